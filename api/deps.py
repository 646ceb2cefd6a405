"""What a route asks for in its signature: the tenant, the integration, the preferences of the caller.

    @router.get("/{provider}/things")
    async def things(at: AgentIntegration, body: Annotated[Wish, Depends(json_body(Wish))]) -> Response: ...

The checked place (`at`) stands first: token, account, role, provider are settled before anything else is read.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

import orjson
from fastapi import Depends, Header, Path, Request
from fastapi.responses import Response
from pydantic.json_schema import SkipJsonSchema

from api.auth import Callers, check, sent_token
from api.services import Services
from supportly import logs, providers
from supportly.errors import InvalidInput, NotConnected, NotFound, ProviderNotAvailable, ReconnectRequired
from supportly.provider import Provider
from supportly.storage import connections
from supportly.storage.connections import Connection

PREFIX: Final = "/api/v1/accounts/{account_id}/supportly_integrations"
LARGEST_ID: Final = 2**63 - 1
IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
"""1 to 255 printable ASCII characters."""


@dataclass(frozen=True)
class Tenant:
    """An account, seen by a caller who may."""

    services: Services
    account_id: int
    actor: str
    request: Request

    @property
    def base(self) -> str:
        """Path of this account's integrations."""
        return PREFIX.format(account_id=self.account_id)


@dataclass(frozen=True)
class Integration(Tenant):
    """An account's place for one provider."""

    provider: Provider

    async def connection(self) -> Connection:
        """The usable connection. Raises NotConnected or ReconnectRequired."""
        found = await connections.read(self.services.db, self.account_id, self.provider.id)
        if found is None or found.state in ("disconnected", "disconnecting"):
            raise NotConnected(f"{self.provider.title} is not connected. Connect it first.")
        if found.state == "reconnect_required":
            raise ReconnectRequired(
                f"{self.provider.title} has to be connected again.", details={"reason": found.reason}
            )
        return found


def number(text: str) -> int | None:
    """An id from a path: 1 to 2^63-1 in ASCII digits, None for anything else."""
    found = int(text) if re.fullmatch(r"[0-9]{1,19}", text) else 0
    return found if 1 <= found <= LARGEST_ID else None


NUMBER: Final[dict[str, Any]] = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}
"""How `number` is described: parameters stay texts, so that whatever stands there answers the same 404."""
AccountId = Annotated[str, Path(description="Supportly account.", json_schema_extra=NUMBER, examples=[1])]
ProviderId = Annotated[
    str,
    Path(
        description="Provider, such as `hubspot`.",
        json_schema_extra={"enum": sorted(providers.BY_ID)},
        examples=["hubspot"],
    ),
]
ContactPath = Annotated[str, Path(description="Supportly contact.", json_schema_extra=NUMBER, examples=[42])]


def _tenant(*, administrator: bool) -> Callable[[Request, str], Awaitable[Tenant]]:
    async def tenant(request: Request, account_id: AccountId) -> Tenant:
        services = cast("Services", request.app.state.services)
        callers = cast("Callers", request.app.state.callers)
        account = number(account_id)
        caller = check(await callers.identify(sent_token(request)), account, administrator=administrator)
        logs.note(account_id=account)
        return Tenant(services, cast("int", account), caller.actor, request)

    return tenant


_agent, _administrator = _tenant(administrator=False), _tenant(administrator=True)


def _at(tenant: Tenant, provider: str) -> Integration:
    found = providers.get(provider)
    logs.note(provider=found.id)
    return Integration(tenant.services, tenant.account_id, tenant.actor, tenant.request, found)


def _built(place: Integration) -> Integration:
    """Refuses a provider that is announced only."""
    if not place.provider.available:
        raise ProviderNotAvailable(
            f"{place.provider.title} is not available yet.", details={"provider": place.provider.id}
        )
    return place


async def _any_integration(tenant: Annotated[Tenant, Depends(_agent)], provider: ProviderId) -> Integration:
    return _at(tenant, provider)


async def _agent_integration(tenant: Annotated[Tenant, Depends(_agent)], provider: ProviderId) -> Integration:
    return _built(_at(tenant, provider))


async def _admin_integration(tenant: Annotated[Tenant, Depends(_administrator)], provider: ProviderId) -> Integration:
    return _built(_at(tenant, provider))


AgentTenant = Annotated[Tenant, Depends(_agent)]
"""Any caller of the account."""
AdminTenant = Annotated[Tenant, Depends(_administrator)]
"""An administrator of the account."""
AnyIntegration = Annotated[Integration, Depends(_any_integration)]
"""Any caller, and any provider of the list, built or not."""
AgentIntegration = Annotated[Integration, Depends(_agent_integration)]
"""Any caller, and a provider that is built."""
AdminIntegration = Annotated[Integration, Depends(_admin_integration)]
"""An administrator, and a provider that is built."""


async def _contact_id(contact_id: ContactPath) -> int:
    found = number(contact_id)
    if found is None:
        raise NotFound("Supportly does not know this contact.", details={"field": "contact_id"})
    return found


ContactId = Annotated[int, Depends(_contact_id)]


async def _idempotency_key(
    key: Annotated[
        str | SkipJsonSchema[None],
        Header(
            alias="Idempotency-Key",
            description="The same key and request give the same operation and result.",
            json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
        ),
    ] = None,
) -> str | None:
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput("`Idempotency-Key` has to be 1 to 255 printable ASCII characters.", field="Idempotency-Key")
    return key


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`content` as JSON."""
    return Response(orjson.dumps(content), status, headers, "application/json")
