"""Slack's actions: channels, messages, members."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Final

from pydantic import Field

from supportly.contracts.actions import ActionAnswer
from supportly.errors import NotFound
from supportly.provider import Call, PagedParams, Params, Provider, action
from supportly.providers.slack import api, messages
from supportly.providers.slack.api import CHANNEL, MEMBER, STAMP, Row, row_of, rows_of

TYPES: Final = r"^(public_channel|private_channel)(,(public_channel|private_channel))?$"
EXAMPLE: Final = {"channel_id": "C0123456789", "ts": "1767225600.000100"}


class Channels(PagedParams):
    """A page of channels."""

    types: str = Field("public_channel,private_channel", pattern=TYPES, description="Kinds, separated by commas.")
    exclude_archived: bool = Field(True, description="Leave out archived channels.")


class OneChannel(Params):
    """A channel."""

    channel_id: str = Field(pattern=CHANNEL, description="Id of the channel.")


class Message(Params):
    """A message to post."""

    channel_id: str = Field(pattern=CHANNEL, description="Id of the channel or conversation.")
    text: str = Field(min_length=1, max_length=12_000, description="Plain text; it is shown as it is written.")
    blocks: list[dict[str, Any]] | None = Field(
        None, min_length=1, max_length=50, description="Block Kit to show instead of the text, sent as it is given."
    )
    thread_ts: str | None = Field(None, pattern=STAMP, description="`ts` of a message to answer in its thread.")


class Edit(Params):
    """A message of ours to change."""

    channel_id: str = Field(pattern=CHANNEL, description="Id of the channel.")
    ts: str = Field(pattern=STAMP, description="`ts` of the message.")
    text: str = Field(min_length=1, max_length=12_000, description="The new text, plain.")


class OneMessage(Params):
    """A message of ours."""

    channel_id: str = Field(pattern=CHANNEL, description="Id of the channel.")
    ts: str = Field(pattern=STAMP, description="`ts` of the message.")


class Thread(PagedParams):
    """A page of a thread."""

    channel_id: str = Field(pattern=CHANNEL, description="Id of the channel.")
    ts: str = Field(pattern=STAMP, description="`ts` of the message that the thread hangs on.")


class Address(Params):
    """A member's address."""

    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320, description="E-mail address of a member.")


class Members(Params):
    """People to talk to."""

    user_ids: list[Annotated[str, Field(pattern=MEMBER)]] = Field(
        min_length=1, max_length=8, description="Ids of one to eight members."
    )


async def _posted(_self: Any, call: Call, params: Any) -> ActionAnswer | None:
    row = await messages.sent(call, params.channel_id, params.thread_ts)
    return ActionAnswer.single(api.message(call, params.channel_id, row)) if row else None


async def _repeatable(_self: Any, _call: Call, _params: Any) -> None:
    """Doing it twice leaves what doing it once leaves."""


class SlackActions(Provider):
    """The actions."""

    @action(params=Channels, description="Channels that the app can see.", example={"limit": 50})
    async def list_channels(self, call: Call, params: Channels) -> ActionAnswer:
        """A page may be empty and still have a successor. Private channels are there when the app was invited."""
        asked = {
            "types": params.types, "exclude_archived": params.exclude_archived, "limit": params.limit,
            "cursor": params.cursor, "team_id": api.team_of(call),
        }  # fmt: skip
        body = (await call.http.get("/conversations.list", asked)).body()
        items = [api.channel(row) for row in rows_of(body, "channels")]
        return ActionAnswer.listed(items, api.next_cursor(body, params.cursor))

    @action(params=OneChannel, description="One channel.", example={"channel_id": "C0123456789"})
    async def get_channel(self, call: Call, params: OneChannel) -> ActionAnswer:
        """The channel."""
        found = await call.http.get("/conversations.info", {"channel": params.channel_id})
        return ActionAnswer.single(api.channel(row_of(found.body(), "channel")))

    @action(
        params=Message,
        description="Posts a message to a channel, or into a thread.",
        example={"channel_id": "C0123456789", "text": "The customer has called back."},
        writes=True,
        find=_posted,
    )
    async def post_message(self, call: Call, params: Message) -> ActionAnswer:
        """Posts; control characters of the text are escaped, so that it calls nobody."""
        body: Row = {"channel": params.channel_id, **_texts(params.text)}
        if params.blocks:
            body["blocks"] = params.blocks
        if params.thread_ts:
            body["thread_ts"] = params.thread_ts
        made = await messages.send(call, body)
        row = {**(made.get("message") or {}), "ts": made["ts"]}
        return ActionAnswer.single(api.message(call, str(made["channel"]), row))

    @action(
        params=Edit,
        description="Changes a message that the app has posted.",
        example={**EXAMPLE, "text": "Solved."},
        writes=True,
        find=_repeatable,
    )
    async def update_message(self, call: Call, params: Edit) -> ActionAnswer:
        """Changes the text; `ts` stays."""
        body = {"channel": params.channel_id, "ts": params.ts, **_texts(params.text)}
        made = (await api.post(call, "chat.update", body)).body()
        row = {**(made.get("message") or {}), "ts": made["ts"]}
        return ActionAnswer.single(api.message(call, params.channel_id, row))

    @action(params=OneMessage, description="Deletes a message that the app has posted.", example=EXAMPLE,
            writes=True, find=_repeatable)  # fmt: skip
    async def delete_message(self, call: Call, params: OneMessage) -> ActionAnswer:
        """Deletes; a message that is gone is deleted."""
        with contextlib.suppress(NotFound):
            await api.post(call, "chat.delete", {"channel": params.channel_id, "ts": params.ts})
        gone = {"id": f"{params.channel_id}:{params.ts}", "type": "message", "deleted": True, "url": None}
        return ActionAnswer.single({**gone, "raw": {"channel": params.channel_id, "ts": params.ts}})

    @action(params=Address, description="The member with an e-mail address.", example={"email": "ada@example.com"})
    async def find_user_by_email(self, call: Call, params: Address) -> ActionAnswer:
        """No member is an answer without items."""
        try:
            found = await call.http.get("/users.lookupByEmail", {"email": params.email})
        except NotFound:
            return ActionAnswer.listed([])
        return ActionAnswer.listed([api.person(row_of(found.body(), "user"))])

    @action(params=PagedParams, description="Members of the workspace, without apps and deactivated accounts.",
            example={"limit": 50})  # fmt: skip
    async def list_users(self, call: Call, params: PagedParams) -> ActionAnswer:
        """A page may be short: who is left out is left out after paging."""
        asked = {"limit": params.limit, "cursor": params.cursor, "team_id": api.team_of(call)}
        body = (await call.http.get("/users.list", asked)).body()
        rows = [r for r in rows_of(body, "members") if not (r.get("deleted") or r.get("is_bot"))]
        # Slack's own helper is no bot by its flags.
        items = [api.person(row) for row in rows if row.get("id") != "USLACKBOT"]
        return ActionAnswer.listed(items, api.next_cursor(body, params.cursor))

    @action(params=Members, description="Opens a direct message with members; answers the one that is there.",
            example={"user_ids": ["U0123456789"]}, writes=True, find=_repeatable)  # fmt: skip
    async def open_dm(self, call: Call, params: Members) -> ActionAnswer:
        """The conversation's id."""
        made = (await api.post(call, "conversations.open", {"users": ",".join(params.user_ids)})).body()
        row = row_of(made, "channel")
        return ActionAnswer.single({"id": str(row["id"]), "type": "conversation", "url": None, "raw": row})

    @action(params=OneChannel, description="Lets the app join a public channel.",
            example={"channel_id": "C0123456789"}, writes=True, find=_repeatable)  # fmt: skip
    async def join_channel(self, call: Call, params: OneChannel) -> ActionAnswer:
        """Joins; private channels have to invite the app."""
        made = (await api.post(call, "conversations.join", {"channel": params.channel_id})).body()
        return ActionAnswer.single(api.channel(row_of(made, "channel")))

    @action(params=Thread, description="A message and its replies; some apps may read one page a minute.",
            example=EXAMPLE)  # fmt: skip
    async def get_thread(self, call: Call, params: Thread) -> ActionAnswer:
        """The message comes first on the first page."""
        asked = {"channel": params.channel_id, "ts": params.ts, "limit": params.limit, "cursor": params.cursor}
        body = (await call.http.get("/conversations.replies", asked)).body()
        items = [api.message(call, params.channel_id, row) for row in rows_of(body, "messages")]
        return ActionAnswer.listed(items, api.next_cursor(body, params.cursor))


def _texts(text: str) -> Row:
    """A message's blocks, and the text that notifications show."""
    return {"text": api.escaped(text[: api.SECTION // 5]), "blocks": api.sections(text)}
