"""SQL as the application's own role, in the worst hands: without a tenant, and as another tenant.

What there is to attack is read off PostgreSQL's catalogue: a table, view or function that nobody thought of is found.
"""

from unittest.mock import patch

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from supportly.storage import knowledge_index
from supportly.storage.database import Database
from supportly.storage.tables import OUTSIDE_TENANCY
from tests.attacks.test_tenancy import ADA, MALLORY, tenants  # noqa: F401 (a fixture: rows of two accounts)

RELATIONS = """
select n.nspname as schema, c.relname as name, c.relkind::text as kind, c.relispartition as part,
    c.relrowsecurity and c.relforcerowsecurity as bound,
    has_table_privilege('supportly_app', c.oid, 'select') as readable,
    has_any_column_privilege('supportly_app', c.oid, 'select') as partly_readable,
    exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'account_id') as by_account
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname not like 'pg\\_%'
"""
FUNCTIONS = """
select p.proname as name, p.proconfig::text as config, has_function_privilege('public', p.oid, 'execute') as by_anybody,
    r.rolcanlogin as login, r.rolname as owner, p.proargnames as arguments, p.proargmodes::text[] as modes
from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
where p.prosecdef and n.nspname not in ('pg_catalog', 'information_schema')
"""
DEFINERS = {
    # Of the session's account alone:
    "knowledge_build": "own", "knowledge_drop": "own", "knowledge_fulltext": "own", "knowledge_settle": "own",
    "knowledge_titles": "own",
    # Over all accounts, for work that belongs to none: ids and counts, and one yes or no.
    "grant_is_shared": "all", "knowledge_holding": "all", "knowledge_lacking": "all", "service_figures": "all",
    "service_revocations": "all", "service_standing": "all", "accounts_to_clean": "all", "sealed_by_key": "all",
}  # fmt: skip
"""Functions that run with another role's rights: the only ways around the policies."""
BY_OWNER = {"knowledge_settle"}
"""Runs as who migrates, since only an index's owner may tidy it. It takes no argument and answers nothing."""
EXCEPTIONS = {"api_tokens", "rate_buckets", "knowledge_models", "key_rotations", "alembic_version"}
"""Tables that the role may read without a tenant: they belong to none, or say which one a token is for."""
TELLING = {"account_id", "provider", "id", "connected", "reconnect_required", "knowledge_enabled", "chunks", "lacking",
           "syncing_accounts", "overdue", "oldest_s", "median_s", "held_deletions", "grant_is_shared",
           "knowledge_holding", "place", "key_id", "values_"}  # fmt: skip
"""What those over all accounts may answer with: nothing that a person or a provider has written."""


async def embed(texts):
    """Some vector of each title: what it says doesn't matter here."""
    return np.full((len(texts), 256), 1 / 16, np.float32)


@pytest.fixture
async def everything(tenants, postgres, owner: Engine):  # noqa: F811
    """Every relation of ours, with an index table of Ada's among them.

    Her number times a thousand is no 32-bit integer: the lock of an index once was made of that.
    """
    db = Database(postgres.url)
    with owner.connect() as c:
        model = c.execute(text("select model_id from vectors where account_id = :a limit 1"), {"a": ADA}).scalar_one()
    with patch.object(knowledge_index, "INDEXED_FROM", 1):
        joined = await knowledge_index.bring_up_to_date(db, ADA, model, embed)
        assert joined or not await knowledge_index.bring_up_to_date(db, ADA, model, embed)
    await db.close()
    with owner.connect() as c:
        return list(c.execute(text(RELATIONS)))


REFUSALS = ("42501", "22023", "P0001")
"""Insufficient privilege; a parameter that this role may not set; what our own functions raise."""


async def touched(db: Database, account: int | None, statements: str) -> int | str:
    """Rows that statements touch or answer; `refused` where PostgreSQL, or a function of ours, does not allow one."""
    try:
        async with db.tenant(account) if account else db.system() as c:
            for statement in statements.split("; "):
                rows = (await c.execute(text(statement))).rowcount
            await c.rollback()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") not in REFUSALS:
            raise
        return "refused"
    return rows


async def test_every_relation_is_bound_or_an_exception_by_name(everything):
    names = {(r.schema, r.name) for r in everything}
    assert any(schema == "knowledge_ann" for schema, _ in names), "no index table to attack"
    assert len(names) > 20
    assert {r.kind for r in everything} <= {"r", "p"}, "a view runs with its owner's rights"
    reachable = [r for r in everything if (r.readable or r.partly_readable)]
    assert {r.name for r in reachable if not r.bound} == set(OUTSIDE_TENANCY) == EXCEPTIONS
    # Partitions are reached through their table alone, or are bound themselves.
    assert not [r for r in reachable if r.part and not r.bound]
    assert [r for r in everything if r.by_account and not r.bound and not r.part and r.name != "api_tokens"] == []


async def test_without_a_tenant_there_are_no_rows(everything, db: Database, owner: Engine):
    """Of any table under row-level security; those with rows of Ada's are most of them."""
    filled = 0
    for one in everything:
        if not (one.readable and one.bound):
            continue
        table = f'"{one.schema}"."{one.name}"'
        with owner.connect() as c:
            query = text(f"select exists (select from {table} where account_id = :a)")
            filled += c.execute(query, {"a": ADA}).scalar_one()
        for setting in ("", "0", "-1"):
            async with db.system() as c:
                await c.execute(text("select set_config('supportly.account_id', :s, true)"), {"s": setting})
                assert (await c.execute(text(f"select count(*) from {table}"))).scalar_one() == 0, one.name
                assert (await c.execute(text(f"select 1 from {table} limit 1"))).all() == []
        async with db.engine.connect() as c:
            # Nobody has ever set it in this session.
            await c.execute(text("reset supportly.account_id"))
            assert (await c.execute(text(f"select count(*) from {table}"))).scalar_one() == 0, one.name
        for statement in (f"update {table} set account_id = account_id", f"delete from {table}"):
            assert await touched(db, None, statement) in (0, "refused"), statement
    assert filled >= 12, "too few tables hold anything to be seen"


async def test_a_tenant_sees_its_own_rows_alone(everything, db: Database):
    for one in everything:
        if one.readable and one.bound:
            async with db.tenant(MALLORY) as c:
                seen = await c.execute(text(f'select distinct account_id from "{one.schema}"."{one.name}"'))
                assert set(seen.scalars()) <= {MALLORY}, one.name


@pytest.mark.parametrize(
    "statement",
    [
        "set row_security = off; select * from connections",
        "set session authorization postgres",
        "set role supportly_grants",
        "set role postgres",
        "alter table connections disable row level security",
        "drop policy tenant on connections",
        "create policy mine on connections using (true)",
        "create table mine (x int)",
        "create function mine() returns int language sql security definer as 'select 1'",
        "create view mine as select * from connections",
        "create schema mine",
        "create temporary view mine as select * from pg_authid; select * from mine",
        "copy connections to program 'cat'",
        "copy (select 1) to '/tmp/mine'",
        "select pg_read_file('/etc/passwd')",
        "select lo_import('/etc/passwd')",
        "select * from pg_authid",
        "truncate connections",
        f"insert into api_tokens values (gen_random_uuid(), {ADA}, 'administrator', 'x', 'x', 'x')",
        f"update api_tokens set account_id = {ADA}",
        "alter role supportly_app bypassrls",
        "grant supportly_grants to supportly_app",
    ],
)
async def test_the_applications_role_may_not(db: Database, tenants, statement):  # noqa: F811
    assert await touched(db, MALLORY, statement) == "refused"


async def test_the_ways_around_the_policies_are_known_by_name(owner: Engine):
    with owner.connect() as c:
        found = list(c.execute(text(FUNCTIONS)))
    assert {f.name for f in found} == set(DEFINERS)
    for one in found:
        assert "search_path=pg_catalog, public, pg_temp" in one.config, one.name
        assert not one.by_anybody, one.name
        assert one.login == (one.name in BY_OWNER), f"{one.name} runs with the rights of {one.owner}"
        if DEFINERS[one.name] == "all":
            columns = zip(one.arguments or (), one.modes or (), strict=False)
            told = {name for name, mode in columns if mode in ("t", "o")} or {one.name}
            assert told <= TELLING, (one.name, told - TELLING)


async def test_the_ways_around_lead_nowhere_without_a_tenant(everything, db: Database, owner: Engine):
    with owner.connect() as c:
        [name] = c.execute(text("select name from knowledge_indexes where account_id = :a"), {"a": ADA}).scalars()
        model = c.execute(text("select model_id from knowledge_indexes where account_id = :a"), {"a": ADA}).scalar_one()
    question = "select * from knowledge_fulltext('reset password', null, null, 50)"
    async with db.tenant(ADA) as c:
        assert len((await c.execute(text(question))).all()) > 0
    for account in (None, MALLORY):
        async with db.tenant(account) if account else db.system() as c:
            assert (await c.execute(text(question))).all() == []
        for index in (name, f"v{account}%", f'{name}" cascade --', f"v{account}_x.{name}"):
            dropped = await touched(db, account, f"select knowledge_drop('{index}')")
            # Of a name that begins like one's own, only what has exactly this name is dropped, and nothing has.
            assert dropped == "refused" or index.startswith(f"v{account}_"), index
        assert await touched(db, account, f'delete from knowledge_ann."{name}"') == 0
    assert await touched(db, None, f"select knowledge_build({model}::int2, 256, 0)") == "refused"
    # An account whose number begins like Ada's is another account.
    assert await touched(db, ADA // 10, f"select knowledge_drop('{name}')") == "refused"
    with owner.connect() as c:
        rows = c.execute(text(f'select count(*) from knowledge_ann."{name}"')).scalar_one()
        assert rows > 0
    async with db.tenant(MALLORY) as c:
        assert (await c.execute(text(f'select count(*) from knowledge_ann."{name}"'))).scalar_one() == 0
