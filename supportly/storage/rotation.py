"""Online rotation of keys: every stored secret is sealed anew with the first key of the ring, beside running work.

A batch is read and sealed without any lock, then written where each value is still the one that was read: what
somebody wrote meanwhile stands, and is met by the next pass if it needs the old key. Rows that others hold are passed
over for now, so that nobody waits for a rotation and none for another. Which key a value needs stands in its text, so
an interrupted rotation goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, String, and_, cast, func, select, text
from sqlalchemy.dialects.postgresql import UUID, insert

from supportly.crypto import CannotOpen, Vault
from supportly.storage.database import Database, do
from supportly.storage.tables import Sealed, binding, key_rotations, sealed_columns

BATCH: Final = 200
"""Values a transaction: some 20 ms of sealing, and no row is held for longer than its update takes."""
PASSES: Final = 20
"""More passes than this mean that somebody keeps sealing with an older key: a process runs with the old ring."""
HELD_S: Final = 0.2
"""Before a pass over rows that were all held: nobody holds one for longer than a statement or two."""


@dataclass(frozen=True)
class Use:
    """How many values of one column of one account need which key."""

    account_id: int
    place: str
    """`table.column`."""
    key_id: str
    values: int


@dataclass(frozen=True)
class Unopened:
    """A value that does not open: which key it names, and where it stands."""

    account_id: int
    place: str
    row: str
    key_id: str


@dataclass
class Rotated:
    """What a rotation did: values sealed anew, those that do not open with this ring, and those left for now."""

    resealed: int = 0
    unopened: list[Unopened] = field(default_factory=list)
    """Damaged or moved values, and such that need a key which is not in the ring."""
    left: int = 0
    """Values that still need another key and could be opened: somebody goes on sealing with it."""


async def usage(db: Database) -> list[Use]:
    """Which keys the stored values need, over all accounts."""
    async with db.system() as c:
        found = await c.execute(text("select account_id, place, key_id, values_ from sealed_by_key() order by 1, 2, 3"))
        return [Use(*row) for row in found.all()]


def _silently(_place: str, _values: int) -> None:
    """Who rotates without a spectator."""


async def rotate(
    db: Database, vault: Vault, *, batch: int = BATCH, say: Callable[[str, int], None] = _silently
) -> Rotated:
    """Seal every value with the ring's first key; `say` hears of every batch its place and how many it brought over."""
    done = Rotated()
    for _ in range(PASSES):
        stale = [use for use in await usage(db) if use.key_id != vault.current]
        done.left = sum(use.values for use in stale) - len(done.unopened)
        if done.left <= 0:
            break
        before = done.resealed
        done.unopened.clear()
        for account_id, column in _places(stale):
            async for resealed in _column(db, vault, account_id, column, batch, done.unopened):
                done.resealed += resealed
                if resealed:
                    say(_name(column), resealed)
        if done.resealed == before:
            await asyncio.sleep(HELD_S)
    return done


def _places(stale: list[Use]) -> Iterator[tuple[int, Column[Any]]]:
    """Each account and column with something to do. `connections` come before `revocations`: tokens move that way."""
    columns = {_name(column): column for column in sorted(sealed_columns(), key=lambda c: c.table.name)}
    for account_id in sorted({use.account_id for use in stale}):
        mine = {use.place for use in stale if use.account_id == account_id}
        yield from ((account_id, column) for name, column in columns.items() if name in mine)


def _name(column: Column[Any]) -> str:
    return f"{column.table.name}.{column.name}"


async def _column(
    db: Database, vault: Vault, account_id: int, column: Column[Any], batch: int, unopened: list[Unopened]
) -> AsyncIterator[int]:
    """Bring one account's column over, batch by batch in the order of its key; yields how many each one wrote."""
    table, kind = column.table, column.type
    assert isinstance(kind, Sealed)  # noqa: S101 (for the type checker)
    [key] = [part for part in table.primary_key.columns if part.name != "account_id"]
    mine = and_(
        table.c.account_id == account_id,
        func.split_part(cast(column, String), ".", 2) != vault.current,
    )
    last: Any = None
    while True:
        query = select(key, table.c.provider, table.c[kind.owner].label("owner"), column.label("sealed")).where(mine)
        async with db.tenant(account_id) as c:
            later = query if last is None else query.where(key > last)
            rows = (await c.execute(later.order_by(key).limit(batch))).all()
        if not rows:
            return
        fresh = []
        for row in rows:
            place = binding(column, account_id, row.provider, row.owner)
            try:
                fresh.append((row[0], row.sealed, vault.seal(vault.open(row.sealed, place), place)))
            except CannotOpen:
                unopened.append(Unopened(account_id, _name(column), str(row[0]), row.sealed.split(".")[1]))
        yield await _write(db, account_id, column, key, fresh)
        last = rows[-1][0]


async def _write(
    db: Database, account_id: int, column: Column[Any], key: Column[Any], fresh: list[tuple[Any, str, str]]
) -> int:
    """Put the new text where the old one still stands and nobody holds the row; answers how many were written."""
    if not fresh:
        return 0
    table, name = column.table.name, column.name
    kind = "uuid" if isinstance(key.type, UUID) else "text"
    # Names come from our own tables, values go as parameters.
    statement = f"""
        with given as (
            select * from unnest(%(keys)s::{kind}[], %(old)s::text[], %(new)s::text[]) as given (key, old, new)
        ), free as (
            select t.{key.name} as key from {table} t join given on given.key = t.{key.name}
            where t.account_id = %(a)s and t.{name} = given.old for update of t skip locked
        )
        update {table} t set {name} = given.new from given join free using (key)
        where t.account_id = %(a)s and t.{key.name} = given.key and t.{name} = given.old
    """  # noqa: S608
    keys, old, new = (list(part) for part in zip(*fresh, strict=True))
    async with db.tenant(account_id) as c:
        return await do(c, statement, {"keys": keys, "old": old, "new": new, "a": account_id})


async def begin(db: Database, key_id: str) -> None:
    """Note that stored secrets and workflows are being brought to `key_id`."""
    statement = insert(key_rotations).values(key_id=key_id)
    again = statement.on_conflict_do_update(
        index_elements=["key_id"], set_={"began_at": func.now(), "finished_at": None}
    )
    async with db.system() as c:
        await c.execute(again)


async def finish(db: Database, key_id: str) -> None:
    """Note that everything was brought to `key_id`, once: what began later was sealed with it."""
    statement = insert(key_rotations).values(key_id=key_id, finished_at=func.now())
    once = statement.on_conflict_do_update(
        index_elements=["key_id"], set_={"finished_at": func.coalesce(key_rotations.c.finished_at, func.now())}
    )
    async with db.system() as c:
        await c.execute(once)


async def finished_at(db: Database, key_id: str) -> datetime | None:
    """When everything had been brought to `key_id`; None when that is not known."""
    query = select(key_rotations.c.finished_at).where(key_rotations.c.key_id == key_id)
    async with db.system() as c:
        return (await c.execute(query)).scalar_one_or_none()
