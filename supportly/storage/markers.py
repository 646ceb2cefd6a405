"""Markers of writes that providers don't deduplicate: committed before the call, closed after it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from supportly.crypto import Binding, Vault
from supportly.storage.database import Database
from supportly.storage.tables import binding
from supportly.storage.tables import markers as rows

MarkerState = Literal["new", "intended", "busy", "done", "unknown"]


@dataclass(frozen=True)
class Marker:
    """A write: `new` when this call made the row, `intended` when an earlier attempt may have reached the provider."""

    state: MarkerState
    result: bytes | None = None
    lease_until: datetime | None = None
    """Set for the holder of the lease; it also tells this holder from any other."""


def _binding(account_id: int, provider: str, operation_id: str) -> Binding:
    return binding(rows.c.result, account_id, provider, operation_id)


async def intend(
    db: Database, vault: Vault, account_id: int, provider: str, operation_id: str, *, generation: int, lease_s: float
) -> Marker:
    """Commit the intent to write and take its lease, or answer what became of it.

    `busy` means that another attempt holds the lease: it may be about to send, so nothing is looked up or sent yet.
    """
    async with db.tenant(account_id) as c:
        mine = and_(rows.c.account_id == account_id, rows.c.operation_id == uuid.UUID(operation_id))
        until = func.clock_timestamp() + timedelta(seconds=lease_s)
        statement = insert(rows).values(
            account_id=account_id,
            operation_id=uuid.UUID(operation_id),
            provider=provider,
            generation=generation,
            state="intended",
            lease_until=until,
        )
        held = (await c.execute(statement.on_conflict_do_nothing().returning(rows.c.lease_until))).scalar_one_or_none()
        if held is not None:
            return Marker("new", lease_until=held)
        free = or_(rows.c.lease_until.is_(None), rows.c.lease_until < func.clock_timestamp())
        taken = update(rows).where(mine, rows.c.state == "intended", free).values(lease_until=until)
        held = (await c.execute(taken.returning(rows.c.lease_until))).scalar_one_or_none()
        if held is not None:
            return Marker("intended", lease_until=held)
        row = (await c.execute(select(rows).where(mine))).one()
    if row.state == "intended":
        return Marker("busy")
    plain = vault.open(row.result, _binding(account_id, provider, operation_id)) if row.result else None
    return Marker(row.state, plain)


async def let_go(db: Database, account_id: int, operation_id: str, *, held: datetime | None) -> None:
    """Give the lease `held` back and keep the intent: the attempt has ended, its outcome is unknown."""
    async with db.tenant(account_id) as c:
        await c.execute(update(rows).where(_held(account_id, operation_id, held)).values(lease_until=None))


async def close(
    db: Database,
    vault: Vault,
    account_id: int,
    provider: str,
    operation_id: str,
    state: Literal["done", "unknown"],
    result: bytes | None = None,
) -> None:
    """Store how a write ended; a result that stands is kept."""
    sealed = vault.seal(result, _binding(account_id, provider, operation_id)) if result is not None else None
    async with db.tenant(account_id) as c:
        await c.execute(
            update(rows)
            .where(
                rows.c.account_id == account_id,
                rows.c.operation_id == uuid.UUID(operation_id),
                rows.c.state != "done",
            )
            .values(state=state, result=sealed, finished_at=func.now())
        )


async def withdraw(db: Database, account_id: int, operation_id: str, *, held: datetime | None) -> None:
    """Take an intent back whose request certainly never reached the provider, or was refused by it."""
    async with db.tenant(account_id) as c:
        await c.execute(rows.delete().where(_held(account_id, operation_id, held)))


def _held(account_id: int, operation_id: str, held: datetime | None) -> ColumnElement[bool]:
    """The intent under this very lease: an attempt that overran its own must not touch its successor's."""
    return and_(
        rows.c.account_id == account_id,
        rows.c.operation_id == uuid.UUID(operation_id),
        rows.c.state == "intended",
        rows.c.lease_until == held,
    )
