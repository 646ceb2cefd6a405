"""What the endpoints work with. Built when the application starts, never at import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from temporalio.client import Client
from temporalio.service import RPCError

from activities.refinement import Encoders
from api.asking import Asking
from supportly import temporal
from supportly.crypto import KeyRing, Vault
from supportly.errors import Unavailable
from supportly.http import Outbound
from supportly.platform import Platform
from supportly.settings import Settings
from supportly.storage.database import Database

CONNECT_S: Final = 5.0
"""Seconds for the first contact with Temporal; a caller hears 503 afterwards."""
AWAY_RETRY_S: Final = 5.0

T = TypeVar("T")


class TemporalLink:
    """The Temporal client, made when it is first needed; once made it reconnects by itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._lock = asyncio.Lock()

    async def client(self) -> Client:
        """The client. Raises Unavailable while Temporal cannot be reached."""
        if self._client is None:
            async with self._lock:
                if self._client is None:
                    self._client = await self._connect()
        return self._client

    async def _connect(self) -> Client:
        try:
            return await asyncio.wait_for(temporal.connect(self._settings), CONNECT_S)
        except (RuntimeError, RPCError, TimeoutError):
            raise temporal_away() from None


def temporal_away() -> Unavailable:
    """Temporal cannot be reached."""
    return Unavailable("The workflow server is away; nothing was lost, try again.", retry_after=AWAY_RETRY_S)


@dataclass(frozen=True)
class Services:
    """Everything with a connection to the outside."""

    settings: Settings
    db: Database
    vault: Vault
    temporal: TemporalLink
    platform: Platform
    asking: Asking
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when this process has been asked to stop: nobody waits here any longer for what others work on."""

    async def patiently(self, work: Awaitable[T], seconds: float | None) -> T:
        """The result of `work`, which is dropped after `seconds` or when this process has to leave: TimeoutError."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self.leaving.wait())
        try:
            await asyncio.wait((working, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise TimeoutError
        finally:
            leaving.cancel()
            if not working.done():
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

    @classmethod
    @asynccontextmanager
    async def built(cls, settings: Settings) -> AsyncIterator[Services]:
        """The services of one process, closed at the end."""
        db = Database(settings.database_url, settings.database_pool)
        outbound = Outbound(
            timeout_s=settings.provider_timeout_s,
            max_bytes=settings.max_answer_bytes,
            sandbox_url=settings.sandbox_url,
        )
        token = settings.supportly_api_token.get_secret_value()
        try:
            yield cls(
                settings=settings,
                db=db,
                vault=Vault(KeyRing(settings.keys.get_secret_value())),
                temporal=TemporalLink(settings),
                platform=Platform(outbound, settings.supportly_api_url, token),
                asking=Asking(db, Encoders(settings, outbound)),
            )
        finally:
            await outbound.aclose()
            await db.close()
