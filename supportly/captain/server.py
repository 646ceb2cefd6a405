"""The MCP server: five tools. What they may do is decided by the API, with the caller's token."""

from __future__ import annotations

from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from supportly.captain.place import Place, Whereabouts
from supportly.captain.shapes import NOTICE, ActionDone, ActionKnown, ActionList, ContactFound, Passages
from supportly.contracts.answers import ActionOffered

INSTRUCTIONS: Final = (
    f"Tools of a support account: its knowledge, its contacts at other providers, its actions. {NOTICE}"
)
CAPTAIN: Final = "captain"
"""What an action's parameter `requested_by` says here, whatever the model wrote: the provider may refuse Captain more
than a person."""
MOST_PASSAGES: Final = 20
"""More would fill a model's context without helping it."""

Provider = Annotated[str, Field(description="Provider, such as `hubspot`.", min_length=1, max_length=40)]
Action = Annotated[
    str, Field(description="Name of the action; `list_actions` names them.", min_length=1, max_length=100)
]
Params = Annotated[dict[str, Any] | None, Field(description="Its parameters, by the action's own schema.")]
AnyContext = Context[Any, Any]


def server(whereabouts: Whereabouts, *, version: str = "0") -> MCPServer[Any]:
    """An MCP server whose tools work where `whereabouts` says."""
    made: MCPServer[Any] = MCPServer(
        "supportly-integrations",
        title="Supportly Integrations",
        version=version,
        instructions=INSTRUCTIONS,
        log_level="WARNING",
        subscriptions=False,
    )

    @made.tool(title="Search knowledge", annotations=_reads("Search knowledge", open_world=False))
    async def search_knowledge(
        ctx: AnyContext,
        question: Annotated[str, Field(description="The question, in words.", min_length=1, max_length=10_000)],
        limit: Annotated[int, Field(description="Passages at most.", ge=1, le=MOST_PASSAGES)] = 5,
        provider: Annotated[str | None, Field(description="Only this provider's documents.")] = None,
        locale: Annotated[str | None, Field(description="This language, such as `en`, and what has none.")] = None,
    ) -> Passages:
        """Passages of the account's synced documents that answer a question, best first, each with its source."""
        async with whereabouts(ctx) as at:
            return Passages.of(await at.send(at.me.search(question, limit=limit, provider=provider, locale=locale)))

    @made.tool(title="Look a contact up", annotations=_reads("Look a contact up"))
    async def look_up_contact(
        ctx: AnyContext,
        provider: Provider,
        contact_id: Annotated[int, Field(description="Id of the contact in Supportly.", ge=1)],
    ) -> ContactFound:
        """What a connected provider knows of a Supportly contact: records, deals, activities."""
        async with whereabouts(ctx) as at:
            return ContactFound.of(await at.send(at.me.look_up(provider, contact_id)))

    @made.tool(title="List actions", annotations=_reads("List actions", open_world=False))
    async def list_actions(
        ctx: AnyContext,
        provider: Annotated[str | None, Field(description="One provider; left out: all that are connected.")] = None,
    ) -> ActionList:
        """Actions with the schema of their parameters, and whether this account lets them be run from here."""
        async with whereabouts(ctx) as at:
            chosen = [provider] if provider else await _connected(at)
            found = [(name, await _actions(at, name)) for name in chosen]
        return ActionList(actions=[ActionKnown.of(name, one) for name, actions in found for one in actions.values()])

    @made.tool(title="Run a reading action", annotations=_reads("Run a reading action"))
    async def run_action(ctx: AnyContext, provider: Provider, action: Action, params: Params = None) -> ActionDone:
        """Runs an action that only reads. One that changes something is refused: `run_writing_action` runs it."""
        async with whereabouts(ctx) as at:
            offered = await _offered(at, provider, action)
            if offered.writes:
                raise ToolError(f"action_writes: `{action}` changes something; `run_writing_action` runs it.")
            return ActionDone.of(await at.send(at.me.run_action(provider, action, _signed(offered, params or {}))))

    @made.tool(
        title="Run a writing action",
        annotations=ToolAnnotations(
            title="Run a writing action",
            read_only_hint=False,
            destructive_hint=True,
            idempotent_hint=True,
            open_world_hint=True,
        ),
    )
    async def run_writing_action(
        ctx: AnyContext,
        provider: Provider,
        action: Action,
        idempotency_key: Annotated[
            str,
            Field(
                description="One key for one intention: the same key and parameters happen once, however often sent.",
                min_length=8,
                max_length=255,
                pattern=r"^[\x21-\x7e]+$",
            ),
        ],
        params: Params = None,
    ) -> ActionDone:
        """Runs an action that changes something at the provider, where the account's settings allow it."""
        async with whereabouts(ctx) as at:
            offered = await _offered(at, provider, action)
            if not offered.captain:
                raise ToolError(
                    f"not_allowed: this account does not let `{action}` of {provider} be run from here. An "
                    "administrator can allow it in the provider's settings."
                )
            ask = at.me.run_action(provider, action, _signed(offered, params or {}))
            return ActionDone.of(await at.send(ask.keyed(idempotency_key)))

    return made


def _reads(title: str, *, open_world: bool = True) -> ToolAnnotations:
    return ToolAnnotations(
        title=title, read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=open_world
    )


async def _connected(at: Place) -> list[str]:
    found = await at.send(at.me.integrations())
    return [one.provider for one in found.integrations if one.connected and one.capabilities.actions]


async def _actions(at: Place, provider: str) -> dict[str, ActionOffered]:
    return {one.name: one for one in (await at.send(at.me.integration(provider))).actions}


async def _offered(at: Place, provider: str, action: str) -> ActionOffered:
    """The action as the API offers it now: settings may have changed since it was listed."""
    actions = await _actions(at, provider)
    if action not in actions:
        raise ToolError(f"unknown_choice: {provider} has no action `{action}`.\nallowed: {', '.join(actions)}")
    return actions[action]


def _signed(offered: ActionOffered, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with Captain's name where the action asks who wants it."""
    return (
        {**params, "requested_by": CAPTAIN} if "requested_by" in offered.params_schema.get("properties", {}) else params
    )
