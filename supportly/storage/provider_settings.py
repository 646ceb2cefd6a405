"""An account's settings for a provider, and whether Captain's knowledge sync is on. They outlive a disconnect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, func, not_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.storage.database import Database
from supportly.storage.tables import provider_settings as rows


@dataclass(frozen=True)
class Stored:
    """What is stored: only what somebody set, defaults are the provider's."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    knowledge_enabled: bool = False


async def read(db: Database, account_id: int, provider: str) -> Stored:
    """The settings of one provider; empty where nobody set any."""
    async with db.tenant(account_id) as c:
        return await read_in(c, account_id, provider)


async def read_in(c: AsyncConnection, account_id: int, provider: str) -> Stored:
    """`read` within a transaction."""
    row = (await c.execute(select(rows).where(_at(account_id, provider)))).one_or_none()
    return Stored(row.settings, row.knowledge_enabled) if row else Stored()


async def read_all(db: Database, account_id: int) -> dict[str, Stored]:
    """The settings of all providers that have some, by provider."""
    async with db.tenant(account_id) as c:
        found = (await c.execute(select(rows).where(rows.c.account_id == account_id))).all()
    return {row.provider: Stored(row.settings, row.knowledge_enabled) for row in found}


async def merge(
    db: Database, account_id: int, provider: str, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Stored:
    """Replace the settings by `change(settings)` while nobody else changes them; whatever `change` raises stops it."""
    async with db.tenant(account_id) as c:
        await _ensure(c, account_id, provider)
        mine = _at(account_id, provider)
        row = (await c.execute(select(rows).where(mine).with_for_update())).one()
        settings = dict(change(row.settings))
        await c.execute(update(rows).where(mine).values(settings=settings, updated_at=func.now()))
    return Stored(settings, row.knowledge_enabled)


async def switch_knowledge(db: Database, account_id: int, provider: str, enabled: bool | None = None) -> bool:
    """Turn knowledge sync on or off, or flip it (None); answers how it stands now."""
    async with db.tenant(account_id) as c:
        await _ensure(c, account_id, provider)
        wanted = not_(rows.c.knowledge_enabled) if enabled is None else enabled
        statement = (
            update(rows)
            .where(_at(account_id, provider))
            .values(knowledge_enabled=wanted, updated_at=func.now())
            .returning(rows.c.knowledge_enabled)
        )
        return bool((await c.execute(statement)).scalar_one())


def _at(account_id: int, provider: str) -> Any:
    return and_(rows.c.account_id == account_id, rows.c.provider == provider)


async def _ensure(c: AsyncConnection, account_id: int, provider: str) -> None:
    await c.execute(insert(rows).values(account_id=account_id, provider=provider).on_conflict_do_nothing())
