"""Events on their way to Supportly: written in the transaction of the change that they tell of.

Status: `pending` -> `started` (a workflow delivers it) -> `delivered` | `failed`; `off` where nobody is told of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.contracts.events import EventKind
from supportly.storage.database import Database
from supportly.storage.tables import outgoing_events as rows

KEPT_FOR: Final = timedelta(days=30)
"""Ended events are kept for this long, for whoever asks what was told and when."""
AT_ONCE: Final = 100
"""Events handed over in one go; an account makes a few an hour."""

Ending = Literal["delivered", "failed", "off"]


@dataclass(frozen=True)
class Event:
    """One event as it is stored: ids, states and counts, nothing personal."""

    id: str
    provider: str
    kind: str
    data: Mapping[str, Any]
    status: str
    created_at: datetime


async def note(c: AsyncConnection, account_id: int, provider: str, kind: EventKind, data: Mapping[str, Any]) -> None:
    """Write an event within the transaction of what it tells of."""
    await c.execute(
        insert(rows).values(
            account_id=account_id, id=uuid.uuid4(), provider=provider, kind=kind, data=dict(data), status="pending"
        )
    )


async def pending(db: Database, account_id: int, told: Collection[str]) -> list[Event]:
    """The events that nobody delivers yet, oldest first. Those of kinds outside `told` are put off on the way."""
    async with db.tenant(account_id) as c:
        waiting = and_(rows.c.account_id == account_id, rows.c.status == "pending")
        await c.execute(
            update(rows).where(waiting, rows.c.kind.not_in(told)).values(status="off", finished_at=func.now())
        )
        found = await c.execute(select(rows).where(waiting).order_by(rows.c.created_at, rows.c.id).limit(AT_ONCE))
        return [_event(row) for row in found.all()]


async def under_way(db: Database, account_id: int) -> list[Event]:
    """The events that a workflow is said to deliver, oldest first."""
    async with db.tenant(account_id) as c:
        waiting = and_(rows.c.account_id == account_id, rows.c.status == "started")
        found = await c.execute(select(rows).where(waiting).order_by(rows.c.created_at, rows.c.id))
        return [_event(row) for row in found.all()]


async def started(db: Database, account_id: int, event_id: str) -> None:
    """A workflow delivers it from here on; one that has ended meanwhile stays as it is."""
    async with db.tenant(account_id) as c:
        await c.execute(
            update(rows).where(_at(account_id, event_id), rows.c.status == "pending").values(status="started")
        )


async def read(db: Database, account_id: int, event_id: str) -> Event | None:
    """One event."""
    async with db.tenant(account_id) as c:
        row = (await c.execute(select(rows).where(_at(account_id, event_id)))).one_or_none()
    return _event(row) if row else None


async def end(db: Database, account_id: int, event_id: str, status: Ending) -> None:
    """Say how it ended; the first end stands. Ends of long ago are forgotten on the way."""
    async with db.tenant(account_id) as c:
        alive = rows.c.status.in_(("pending", "started"))
        await c.execute(
            update(rows).where(_at(account_id, event_id), alive).values(status=status, finished_at=func.now())
        )
        await c.execute(delete(rows).where(rows.c.account_id == account_id, rows.c.finished_at < func.now() - KEPT_FOR))


def _at(account_id: int, event_id: str) -> Any:
    return and_(rows.c.account_id == account_id, rows.c.id == uuid.UUID(event_id))


def _event(row: Any) -> Event:
    return Event(str(row.id), row.provider, row.kind, row.data, row.status, row.created_at)
