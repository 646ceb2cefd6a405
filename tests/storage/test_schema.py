"""Migrations and models agree, and no tenant sees another's rows."""

import base64
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    Table,
    Text,
    create_engine,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.exc import ProgrammingError

from supportly.crypto import Binding, KeyRing, Vault
from supportly.storage import knowledge_tables, migrate
from supportly.storage.database import Database
from supportly.storage.tables import OUTSIDE_TENANCY, Sealed, metadata

assert knowledge_tables  # it adds its tables to `metadata`
TENANTS = [table for table in metadata.sorted_tables if table.name not in OUTSIDE_TENANCY]


SEALED = Vault(KeyRing("k1:" + base64.urlsafe_b64encode(bytes(32)).decode())).seal(b"x", Binding(1, "acme", "x", "x"))
VALUES = (
    (Sealed, lambda kind: SEALED),
    (UUID, lambda kind: uuid.uuid4()),
    (JSONB, lambda kind: {}),
    (ARRAY, lambda kind: []),
    (DateTime, lambda kind: datetime.now(UTC)),
    (Boolean, lambda kind: False),
    (LargeBinary, lambda kind: uuid.uuid4().bytes),
    (Integer | Float, lambda kind: 1),  # BigInteger too
    (Text, lambda kind: uuid.uuid4().hex),
    (object, lambda kind: [0.0] * (kind.dim or 3)),  # a vector
)


def sample(table: Table, account_id: int) -> dict[str, Any]:
    """A row that every column takes."""
    makers = {
        column.name: next(make for kind, make in VALUES if isinstance(column.type, kind))
        for column in table.columns
        if column.computed is None
    }
    return {name: make(table.c[name].type) for name, make in makers.items()} | {"account_id": account_id}


def test_migrations_and_models_agree(postgres):
    engine = create_engine(postgres.admin_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                # Partitions belong to their parents, and alembic_version to Alembic.
                "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
            },
        )
        difference = compare_metadata(context, metadata)
    engine.dispose()
    assert difference == []


def test_the_database_holds_no_table_that_nobody_declares(postgres):
    engine = create_engine(postgres.admin_url)
    query = (
        "select relname from pg_class where relnamespace = 'public'::regnamespace "
        "and relkind in ('r', 'p') and not relispartition"
    )
    with engine.connect() as connection:
        found = set(connection.execute(text(query)).scalars())
    engine.dispose()
    assert found == set(metadata.tables) | {"alembic_version"}


def test_migrating_again_changes_nothing(postgres):
    migrate.upgrade(postgres.admin_url)
    migrate.upgrade(postgres.admin_url)


async def test_the_application_cannot_get_around_the_policies(db: Database):
    async with db.system() as c:
        role = (
            await c.execute(
                text(
                    "select rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication "
                    "from pg_roles where rolname = current_user"
                )
            )
        ).one()
        owned = (
            await c.execute(
                text("select count(*) from pg_class join pg_roles r on r.oid = relowner where r.rolname = current_user")
            )
        ).scalar_one()
        memberships = (
            await c.execute(
                text(
                    "select count(*) from pg_auth_members m join pg_roles r on r.oid = m.member "
                    "where r.rolname = current_user"
                )
            )
        ).scalar_one()
    assert tuple(role) == ("supportly_app", False, False, False, False, False)
    assert (owned, memberships) == (0, 0)


@pytest.mark.parametrize("forbidden", ["set row_security = off; select * from connections", "set role postgres"])
async def test_the_application_cannot_switch_the_policies_off(db: Database, forbidden):
    with pytest.raises(ProgrammingError):
        async with db.system() as c:
            for statement in forbidden.split("; "):
                await c.execute(text(statement))


async def test_every_table_of_a_tenant_is_bound(postgres, db: Database):
    async with db.system() as c:
        query = (
            "select relname, relrowsecurity, relforcerowsecurity from pg_class "
            "where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition"
        )
        found = {row.relname: (row.relrowsecurity, row.relforcerowsecurity) for row in await c.execute(text(query))}
    assert found == {name: (name not in OUTSIDE_TENANCY,) * 2 for name in found}


@pytest.fixture
async def _made_up(db: Database, account_id: int) -> AsyncIterator[None]:
    """Rows that belong to nothing are gone afterwards: a chunk without its document is work that never ends."""
    yield
    async with db.tenant(account_id) as c:
        for table in TENANTS:
            await c.execute(table.delete())


@pytest.mark.usefixtures("_made_up")
@pytest.mark.parametrize("table", TENANTS, ids=lambda table: table.name)
async def test_a_tenant_sees_its_own_rows_alone(db: Database, account_id: int, table: Table):
    async with db.tenant(account_id) as c:
        await c.execute(table.insert().values(sample(table, account_id)))
        assert (await c.execute(table.select())).rowcount == 1
    async with db.tenant(account_id + 1_000_000) as c:
        assert (await c.execute(table.select())).all() == []
        assert (await c.execute(table.delete())).rowcount == 0
        assert (await c.execute(table.update().values(account_id=account_id + 1_000_000))).rowcount == 0
    async with db.system() as c:
        assert (await c.execute(table.select())).all() == []
        assert (await c.execute(table.delete())).rowcount == 0
    async with db.tenant(account_id) as c:
        assert len((await c.execute(table.select())).all()) == 1


@pytest.mark.usefixtures("_made_up")
@pytest.mark.parametrize("table", TENANTS, ids=lambda table: table.name)
async def test_nobody_writes_for_another_tenant(db: Database, account_id: int, table: Table):
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with db.tenant(account_id + 1_000_000) as c:
            await c.execute(table.insert().values(sample(table, account_id)))
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with db.system() as c:
            await c.execute(table.insert().values(sample(table, account_id)))
    async with db.tenant(account_id) as c:
        await c.execute(table.insert().values(sample(table, account_id)))
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with db.tenant(account_id) as c:
            await c.execute(table.update().values(account_id=account_id + 1_000_000))


@pytest.mark.parametrize("partitioned", ["documents", "chunks", "vectors"])
async def test_partitions_are_no_way_around(db: Database, partitioned):
    for part in range(16):
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with db.tenant(1) as c:
                await c.execute(text(f"select * from {partitioned}_{part}"))


async def test_a_transaction_leaves_no_tenant_behind(db: Database, account_id: int):
    """Connections are pooled: the next one to use this one must not inherit its tenant."""
    one = Database(str(db.engine.url), pool=2)
    for _ in range(5):
        async with one.tenant(account_id) as c:
            await c.execute(text("select 1"))
        async with one.system() as c:
            said = (await c.execute(text("select current_setting('supportly.account_id', true)"))).scalar_one()
            assert said in (None, "")
    await one.close()


async def test_who_hangs_in_a_transaction_keeps_nobody_waiting(db: Database):
    """A process that is stopped with a row's lock would hold it until somebody wakes it."""
    async with db.system() as c:
        said = (await c.execute(text("show idle_in_transaction_session_timeout"))).scalar_one()
    assert said == "30s"


async def test_tokens_are_read_and_never_written_by_the_service(db: Database):
    async with db.system() as c:
        await c.execute(text("select * from api_tokens"))
    for statement in (
        "delete from api_tokens",
        "update api_tokens set role = 'administrator'",
        "drop table api_tokens",
    ):
        with pytest.raises(ProgrammingError, match="permission denied|must be owner"):
            async with db.system() as c:
                await c.execute(text(statement))


async def test_a_database_that_is_away_is_said_to_be(postgres):
    from supportly.errors import Unavailable

    away = Database("postgresql+psycopg://supportly_app@127.0.0.1:1/supportly")
    with pytest.raises(Unavailable) as caught:
        async with away.tenant(1):
            pass
    assert caught.value.retry_after
    await away.close()
