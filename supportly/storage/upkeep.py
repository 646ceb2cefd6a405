"""What nobody will ask for any more: old operations with their markers, expired authorizations, ended revocations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, func, select, text

from supportly.storage.authorizations import KEPT
from supportly.storage.database import Database
from supportly.storage.tables import markers, operations, pending_authorizations, revocations

UNATTENDED: Final = timedelta(hours=1)
"""A revocation is started with its row; one that is open for this long may have lost its workflow."""
BATCH: Final = 500
"""Rows a transaction: some milliseconds, so that nobody waits for it."""


@dataclass(frozen=True)
class Cleaned:
    """What one batch removed, by table; `more` when there may be as much again."""

    removed: Mapping[str, int]
    more: bool


def _ended(table: Table, kept: timedelta) -> ColumnElement[bool]:
    # What never ended counts from its beginning: nothing runs for longer than a day.
    return func.coalesce(table.c.finished_at, table.c.created_at) < func.now() - kept


def _going(kept: timedelta) -> tuple[tuple[Table, str, ColumnElement[bool]], ...]:
    """Tables, their key beside the account, and what of them goes."""
    return (
        (operations, "id", _ended(operations, kept)),
        (markers, "operation_id", _ended(markers, kept)),
        (revocations, "id", revocations.c.finished_at < func.now() - kept),
        (pending_authorizations, "id", pending_authorizations.c.expires_at < func.now() - KEPT),
    )


async def accounts(db: Database, *, after: int, kept: timedelta) -> list[int]:
    """Accounts beyond number `after` with something to clean, in order."""
    query = text(
        "select account_id from accounts_to_clean(now() - :kept, now() - :expired, now() - :waiting) "
        "where account_id > :after order by 1"
    )
    async with db.system() as c:
        found = await c.execute(query, {"kept": kept, "expired": KEPT, "waiting": UNATTENDED, "after": after})
        return list(found.scalars())


async def clean(db: Database, account_id: int, *, kept: timedelta, batch: int = BATCH) -> Cleaned:
    """Remove a batch of each kind of an account's rows that ended longer than `kept` ago."""
    removed: dict[str, int] = {}
    for table, name, goes in _going(kept):
        key: Any = table.c[name]
        mine = table.c.account_id == account_id
        some = select(key).where(mine, goes).limit(batch)
        async with db.tenant(account_id) as c:
            # Again, since somebody may have taken a row over meanwhile.
            removed[table.name] = (await c.execute(table.delete().where(mine, key.in_(some), goes))).rowcount
    return Cleaned({name: n for name, n in removed.items() if n}, more=batch in removed.values())


async def unattended(db: Database, account_id: int) -> list[tuple[str, str]]:
    """Provider and id of an account's revocations that have waited for long."""
    query = select(revocations.c.provider, revocations.c.id).where(
        revocations.c.account_id == account_id,
        revocations.c.status == "open",
        revocations.c.created_at < func.now() - UNATTENDED,
    )
    async with db.tenant(account_id) as c:
        return [(row.provider, str(row.id)) for row in (await c.execute(query.order_by(revocations.c.id))).all()]
