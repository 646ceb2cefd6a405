"""Stored secrets are sealed anew beside running work: every sealed column, no lost update, nobody waits."""

import ast
import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Table, create_engine, select, text
from sqlalchemy.exc import StatementError

from supportly.crypto import CannotOpen, KeyRing, Vault
from supportly.dev.postgres import Postgres
from supportly.storage import rotation
from supportly.storage.database import Database
from supportly.storage.tables import binding, connections, markers, operations, sealed_columns
from tests.keys.conftest import ring

ROOT = Path(__file__).parents[2]
SEALED = {f"{column.table.name}.{column.name}": column for column in sealed_columns()}
OLD, BOTH, NEW = (Vault(KeyRing(ring(*ids))) for ids in (("k1",), ("k2", "k1"), ("k2",)))


@pytest.fixture
async def db(own_postgres: Postgres) -> Any:
    database = Database(own_postgres.url)
    yield database
    await database.close()


@pytest.fixture(autouse=True)
def _clean(own_postgres: Postgres) -> Iterator[None]:
    yield
    engine = create_engine(own_postgres.admin_url)
    with engine.begin() as c:
        for table in {column.table for column in SEALED.values()}:
            c.execute(table.delete())
        c.execute(text("delete from key_rotations"))
    engine.dispose()


def filled(table: Table, account_id: int, **values: Any) -> dict[str, Any]:
    """A row with something in every column that must have something."""
    kinds = {"UUID": uuid.uuid4(), "TEXT": uuid.uuid4().hex, "JSONB": {}, "ARRAY": [], "BOOLEAN": False}
    made = {
        column.name: kinds.get(column.type.__visit_name__.upper(), 1 if "INT" in str(column.type) else None)
        for column in table.columns
        if not column.nullable and column.server_default is None
    }
    made = {k: datetime.now(UTC) if v is None else v for k, v in made.items()}
    return {**made, "account_id": account_id, "provider": "acme", **values}


async def put(db: Database, column: Column[Any], account_id: int, plain: bytes, vault: Vault = OLD, **values: Any):
    """A row whose `column` holds `plain`, sealed for its place; answers the row's key and that place."""
    row = filled(column.table, account_id, **values)
    owner = row.setdefault(column.type.owner, uuid.uuid4())
    place = binding(column, account_id, row["provider"], owner)
    async with db.tenant(account_id) as c:
        await c.execute(column.table.insert().values({**row, column.name: vault.seal(plain, place)}))
    [key] = [part.name for part in column.table.primary_key.columns if part.name != "account_id"]
    return row[key], place


async def stored(db: Database, column: Column[Any], account_id: int) -> list[str]:
    async with db.tenant(account_id) as c:
        return list((await c.execute(select(column).where(column.is_not(None)))).scalars())


def test_whoever_seals_names_a_declared_column():
    """A place to seal for is made in one function alone, from a column of the type `Sealed`, which rotation finds."""
    makers = set()
    for package in ("supportly", "activities", "api", "workflows"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                called = node.func if isinstance(node, ast.Call) else None
                if getattr(called, "id", getattr(called, "attr", None)) == "Binding":
                    makers.add(str(path.relative_to(ROOT)))
    # The console's cookie is sealed too, and stored nowhere: it ends within twelve hours, and with its key.
    assert makers == {"supportly/storage/tables.py", "api/console/session.py"}
    with pytest.raises(AttributeError):
        binding(connections.c.account_name, 1, "acme", "x")
    assert set(SEALED) >= {"connections.tokens", "operations.result"}


async def test_nothing_stands_in_the_clear_in_a_sealed_column(db, account_id):
    for column in SEALED.values():
        with pytest.raises((CannotOpen, StatementError)):
            async with db.tenant(account_id) as c:
                await c.execute(column.table.insert().values({**filled(column.table, account_id), column.name: "abc"}))


async def test_every_sealed_column_of_every_account_is_counted_and_brought_over(db, account_id):
    places = {}
    for number, (name, column) in enumerate(SEALED.items()):
        for account in (account_id, account_id + 700_000):
            plain = f"{name} {account}".encode()
            _, place = await put(db, column, account, plain, provider=f"p{number}")
            places[name, account] = (plain, place)
    found = {(use.account_id, use.place, use.key_id): use.values for use in await rotation.usage(db)}
    assert found == {(account, name, "k1"): 1 for name, account in places}, "migrations: sealed_by_key lacks a column"

    said = []
    done = await rotation.rotate(db, BOTH, say=lambda place, values: said.append((place, values)))
    assert (done.resealed, done.left, done.unopened) == (len(places), 0, [])
    assert sum(values for _, values in said) == len(places)
    assert {use.key_id for use in await rotation.usage(db)} == {"k2"}
    for (name, account), (plain, place) in places.items():
        [sealed] = await stored(db, SEALED[name], account)
        assert NEW.open(sealed, place) == plain
        with pytest.raises(CannotOpen):
            OLD.open(sealed, place)
    assert (await rotation.rotate(db, BOTH)).resealed == 0


async def test_many_small_batches_are_all_of_them(db, account_id):
    places = {(await put(db, operations.c.result, account_id, b"%d" % n)) for n in range(53)}
    assert len(places) == 53
    said = []
    done = await rotation.rotate(db, BOTH, batch=10, say=lambda place, values: said.append(values))
    assert said == [10, 10, 10, 10, 10, 3]
    assert done.resealed == 53


async def test_what_somebody_wrote_meanwhile_stands(db, account_id):
    """A refresh, still with the old ring, writes after the rotation has read: its token is the one that lives."""
    _, place = await put(db, connections.c.tokens, account_id, b"old")

    class Overtaken(Vault):
        """Somebody else writes while a value is sealed, three times."""

        times = 0

        def seal(self, plain: bytes, where: Any) -> str:
            if self.times < 3:
                self.times += 1
                engine = create_engine(str(db.engine.url))
                with engine.begin() as c:
                    c.execute(text(f"set local supportly.account_id = '{account_id}'"))
                    fresh = OLD.seal(b"refreshed %d" % self.times, where)
                    c.execute(connections.update().values(tokens=fresh, token_version=self.times))
                engine.dispose()
            return super().seal(plain, where)

    vault = Overtaken(KeyRing(ring("k2", "k1")))
    done = await rotation.rotate(db, vault)
    assert (done.resealed, done.left, vault.times) == (1, 0, 3)
    assert NEW.open((await stored(db, connections.c.tokens, account_id))[0], place) == b"refreshed 3"


async def test_nobody_waits_for_a_row_that_is_held(db, account_id):
    for _ in range(5):
        await put(db, markers.c.result, account_id, b"done")
    held, freed = asyncio.Event(), asyncio.Event()

    async def holding():
        async with db.tenant(account_id) as c:
            await c.execute(select(markers).limit(2).with_for_update())
            held.set()
            await freed.wait()

    holder = asyncio.create_task(holding())
    await held.wait()
    said = []

    def say(place: str, values: int) -> None:
        said.append(values)
        freed.set()

    # It says what it did before the holder lets go; a rotation that waited would never end.
    done = await rotation.rotate(db, BOTH, say=say)
    await holder
    assert (said[0], sum(said), done.resealed) == (3, 5, 5)


async def test_what_cannot_be_opened_is_told_and_left_as_it_is(db, account_id):
    await put(db, operations.c.result, account_id, b"good")
    elsewhere, _ = await put(db, operations.c.result, account_id, b"moved")
    damaged = OLD.seal(b"moved", binding(operations.c.result, account_id + 1, "acme", elsewhere))
    foreign, _ = await put(db, markers.c.result, account_id, b"x", Vault(KeyRing(ring("k0"))))
    async with db.tenant(account_id) as c:
        await c.execute(operations.update().where(operations.c.id == elsewhere).values(result=damaged))
    done = await rotation.rotate(db, BOTH)
    assert (done.resealed, done.left) == (1, 0)
    assert {(one.row, one.key_id) for one in done.unopened} == {(str(elsewhere), "k1"), (str(foreign), "k0")}
    assert damaged in await stored(db, operations.c.result, account_id)


async def test_a_process_that_keeps_sealing_with_the_old_key_is_told(db, account_id, monkeypatch):
    monkeypatch.setattr(rotation, "PASSES", 3)
    await put(db, operations.c.result, account_id, b"0")

    class Beside(Vault):
        """Each sealing is followed by a new row under the old key."""

        def seal(self, plain: bytes, where: Any) -> str:
            engine = create_engine(str(db.engine.url))
            with engine.begin() as c:
                c.execute(text(f"set local supportly.account_id = '{account_id}'"))
                row = filled(operations, account_id)
                row["result"] = OLD.seal(b"more", binding(operations.c.result, account_id, "acme", row["id"]))
                c.execute(operations.insert().values(row))
            engine.dispose()
            return super().seal(plain, where)

    done = await rotation.rotate(db, Beside(KeyRing(ring("k2", "k1"))), batch=1)
    assert done.left > 0
