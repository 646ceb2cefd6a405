"""Opens a provider for one piece of work: reads the connection, hands out a `Call`, and deals with refused tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from supportly.contracts import ids
from supportly.contracts.connections import Entity
from supportly.crypto import Vault
from supportly.errors import (
    NotConnected,
    ProviderFailure,
    ReconnectRequired,
    SupportlyError,
    TokenRefused,
    Unavailable,
)
from supportly.http import Budget, Http, Lane, Outbound
from supportly.provider import Call, Provider, ProviderSettings
from supportly.storage import connections, links, provider_settings
from supportly.storage.connections import Connection
from supportly.storage.database import Database
from supportly.temporal import search_attributes

SKEW: Final = timedelta(seconds=2)
"""A token that ends within this time counts as ended: the request's way takes as much."""
TOKEN_PAUSE_S: Final = 0.5
"""A refresh takes about this long; until then callers wait without asking the provider."""
SIGNAL_EVERY_S: Final = 1.0
"""One process tells ConnectionWorkflow once a second about one rejected version, however many callers met it."""

log = logging.getLogger(__name__)


class TokenPending(SupportlyError):
    """The access token is being refreshed; the same call works in a moment."""

    code, status, transient = "token_pending", 503, True

    def __init__(self) -> None:
        super().__init__("The connection's access token is being refreshed; try again.", retry_after=TOKEN_PAUSE_S)


@dataclass(frozen=True)
class OpenCall:
    """A provider that is ready to be asked."""

    provider: Provider
    call: Call
    connection: Connection
    linked: str | None = None
    """The record that the contact asked for is linked to."""


class Calls:
    """Hands out calls. One per worker process."""

    def __init__(
        self,
        *,
        db: Database,
        vault: Vault,
        outbound: Outbound,
        budget: Budget,
        client: Client,
        provider: Callable[[str], Provider],
    ) -> None:
        self.db = db
        self.vault = vault
        self.outbound = outbound
        self.budget = budget
        self.client = client
        self.provider = provider
        self._signalled: dict[tuple[str, int], float] = {}

    @asynccontextmanager
    async def open(
        self,
        account_id: int,
        provider: str,
        lane: Lane,
        *,
        contact_id: int | None = None,
        operation_id: str = "",
        lease_s: float | None = None,
    ) -> AsyncIterator[OpenCall]:
        """A call on the account's connection, and with `contact_id` the link of that contact.

        With `lease_s`, whatever is sent has ended after that many seconds.

        Raises NotConnected, ReconnectRequired, NotFound (unknown provider), and TokenPending while a refresh runs.
        A 401 from the provider inside becomes TokenPending, and ConnectionWorkflow is told; a second one on a fresh
        token is a ProviderFailure.
        """
        found = self.provider(provider)
        async with self.db.tenant(account_id) as c:
            row = await connections.read_in(c, account_id, provider)
            stored = await provider_settings.read_in(c, account_id, provider)
            linked = await links.linked(c, account_id, provider, contact_id) if contact_id is not None else None
        connection = usable(row, found)
        if connection.expires_at is not None and connection.expires_at - SKEW <= connection.read_at:
            await self._tell(connection)
            raise TokenPending
        if self._is_rejected(connection):
            await self._tell(connection)
            raise TokenPending
        http = Http(
            outbound=self.outbound,
            policy=found,
            access_token=connections.open_tokens(self.vault, connection).access_token,
            facts=found.trusted(connection.facts),
            budget=self.budget,
            lane=lane,
            account=ids.digest(connection.tenant_key),
            not_after=time.monotonic() + self._sending_s(lease_s) if lease_s is not None else None,
        )
        call = Call(http, read_settings(found, stored.settings), operation_id)
        try:
            yield OpenCall(found, call, connection, linked)
        except TokenRefused:
            await self._refused(connection)
        if connection.unproven:
            await connections.prove(self.db, account_id, provider, version=connection.version)

    def _sending_s(self, lease_s: float) -> float:
        """How long a lease allows to send: what is sent last has to be answered, or timed out, before it ends."""
        return max(lease_s - self.outbound.timeout_s, lease_s / 2)

    async def _refused(self, connection: Connection) -> None:
        """A 401: a newer version is tried at once, the same one is reported, a fresh one gives up."""
        now = await connections.read(self.db, connection.account_id, connection.provider)
        if now is None or now.version == connection.version:
            if connection.unproven:
                raise ProviderFailure("The provider refuses a token that it has just given.", provider_status=401)
            self._signalled.setdefault((connection.connection_id, connection.version), 0.0)
            await self._tell(connection)
        raise TokenPending

    def _is_rejected(self, connection: Connection) -> bool:
        return (connection.connection_id, connection.version) in self._signalled

    async def _tell(self, connection: Connection) -> None:
        """Signal ConnectionWorkflow that a version was rejected; start it should it be gone."""
        key, now = (connection.connection_id, connection.version), time.monotonic()
        if now - self._signalled.get(key, 0.0) < SIGNAL_EVERY_S:
            return
        self._signalled = {k: at for k, at in self._signalled.items() if k[0] != key[0]} | {key: now}
        account_id, provider = connection.account_id, connection.provider
        try:
            await self.client.start_workflow(
                "ConnectionWorkflow",
                Entity(account_id=account_id, provider=provider),
                id=ids.connection(account_id, provider),
                task_queue=ids.CONNECTIONS,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal="token_rejected",
                start_signal_args=[connection.version],
                search_attributes=search_attributes(account_id, provider),
            )
        except RPCError:
            raise Unavailable("The workflow server is away; nothing was lost, try again.", retry_after=5) from None


def usable(connection: Connection | None, provider: Provider) -> Connection:
    """The connection, when it can be used. Raises NotConnected or ReconnectRequired with its reason."""
    if connection is None or connection.state in ("disconnected", "disconnecting"):
        raise NotConnected(f"{provider.title} is not connected. Connect it first.")
    if connection.state == "reconnect_required":
        raise ReconnectRequired(f"{provider.title} has to be connected again.", details={"reason": connection.reason})
    return connection


def read_settings(provider: Provider, stored: object) -> ProviderSettings:
    """An account's settings as the provider's class; one that an upgrade made invalid falls back to its default."""
    values = dict(stored) if isinstance(stored, dict) else {}
    known = {k: v for k, v in values.items() if k in provider.settings.model_fields}
    return provider.settings.model_validate(known)
