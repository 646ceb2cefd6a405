"""What only the database knows of the whole service: figures over all accounts, and what has to be running."""

from __future__ import annotations

from dataclasses import dataclass

from supportly.storage.database import Database, rows


@dataclass(frozen=True)
class ProviderState:
    """One provider over all accounts."""

    provider: str
    connected: int
    reconnect_required: int
    syncing_accounts: int
    """Connected accounts whose knowledge switch is on."""
    overdue: int
    """Those of them without a complete sync for two of their intervals and half an hour."""
    oldest_s: float
    """Age of the oldest of their data: seconds since the newest complete sync began."""
    median_s: float
    held_deletions: int


@dataclass(frozen=True)
class Standing:
    """What has to be running for one account and provider."""

    account_id: int
    provider: str
    connected: bool
    """A ConnectionWorkflow has to live: the connection works, or waits to be renewed."""
    reconnect_required: bool
    knowledge_enabled: bool


async def figures(db: Database, default_minutes: int) -> list[ProviderState]:
    """Every provider that any account has connected; `default_minutes` between syncs where an account chose nothing."""
    async with db.system() as c:
        found = await rows(c, "select * from service_figures(%(m)s)", {"m": default_minutes})
    return [ProviderState(*row) for row in found]


async def standing(db: Database) -> list[Standing]:
    """Every account and provider with a connection, in order."""
    async with db.system() as c:
        return [Standing(*row) for row in await rows(c, "select * from service_standing()", {})]


async def revocations(db: Database) -> list[tuple[int, str, str]]:
    """Account, provider and id of every revocation that has not ended."""
    async with db.system() as c:
        found = await rows(c, "select account_id, provider, id::text from service_revocations()", {})
    return [(row[0], row[1], row[2]) for row in found]
