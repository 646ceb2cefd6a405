"""Vectors in a table of their own, one row a model; indexes of large accounts; what a walk has seen, by page."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from supportly.storage.migrations.tenancy import ROLE, give, grant, protect

revision = "0005"
down_revision = "0004"

MOMENT = sa.DateTime(timezone=True)
PARTITIONS = 16
SEARCHER = "supportly_search"
INDEXES = "knowledge_ann"
"""Schema of the accounts' own index tables."""

# An account with many chunks gets a table with an HNSW index of its own: built in one go, which is some ten times as
# fast as row by row, without locking anybody else's rows, and its searches never meet another tenant's neighbours. It
# holds the vectors of all parts up to `of_part`; what was written since is scanned exactly. The account comes from the
# session's setting alone.
BUILD = f"""
create function knowledge_build(of_model smallint, of_dimensions int, of_part int) returns text
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set maintenance_work_mem = '512MB' as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
    name constant text := format('v%s_%s_%s', account, of_model, of_part);
begin
    if account is null then
        raise exception 'no account';
    end if;
    execute format('drop table if exists {INDEXES}.%I', name);
    execute format(
        'create table {INDEXES}.%I (account_id bigint not null, document_id uuid not null, text_hash bytea not null, '
        'provider text not null, locale text, embedding public.halfvec(%s) not null)', name, of_dimensions);
    execute format(
        'insert into {INDEXES}.%I select account_id, document_id, text_hash, provider, locale, embedding '
        'from public.vectors where account_id = $1 and of_account = $1 and model_id = $2 and part <= $3 '
        'and not hidden', name
    ) using account, of_model, of_part;
    execute format('create index on {INDEXES}.%I using hnsw (embedding public.halfvec_ip_ops)', name);
    execute format('create index on {INDEXES}.%I (document_id, text_hash)', name);
    execute format('alter table {INDEXES}.%I enable row level security, force row level security', name);
    execute format('create policy tenant on {INDEXES}.%I '
        'using (account_id = (select nullif(current_setting(''supportly.account_id'', true), '''')::bigint))', name);
    execute format('grant select, insert, delete on {INDEXES}.%I to {ROLE}', name);
    return name;
end $$
"""
DROP = f"""
create function knowledge_drop(name text) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
begin
    if account is null or name not like format('v%s\\_%%', account) then
        raise exception 'not an index of this account';
    end if;
    execute format('drop table if exists {INDEXES}.%I', name);
end $$
"""
# A switch of the model goes over all accounts; it may know how many of their chunks wait, and nothing else.
LACKING = """
create function knowledge_lacking(of_model smallint) returns table (account_id bigint, chunks bigint, lacking bigint)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select c.account_id, count(*), count(*) filter (where v.account_id is null) from chunks c
    left join vectors v on v.account_id = c.account_id and v.model_id = of_model and v.document_id = c.document_id
        and v.text_hash = c.text_hash
    where not c.hidden group by c.account_id
$$
"""
HOLDING = """
create function knowledge_holding(of_model smallint) returns table (account_id bigint)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select distinct i.account_id from knowledge_indexes i where i.model_id = of_model
$$
"""


def upgrade() -> None:
    """Create the tables and functions, move the vectors, and drop what they stood in."""
    op.create_table(
        "knowledge_models",
        sa.Column("model_id", sa.SmallInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("dimensions", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
    )
    grant("knowledge_models")
    op.create_table(
        "vectors",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("document_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("text_hash", sa.LargeBinary, primary_key=True),
        sa.Column("model_id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("locale", sa.Text),
        sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("part", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("of_account", sa.BigInteger, sa.Computed("account_id", persisted=True), nullable=False),
        sa.Column("embedding", HALFVEC(), nullable=False),
        postgresql_partition_by="HASH (account_id)",
    )
    for part in range(PARTITIONS):
        op.execute(
            f"create table vectors_{part} partition of vectors for values with (modulus {PARTITIONS}, remainder {part})"
        )
        # Half-precision numbers don't compress; trying to would cost time.
        op.execute(f"alter table vectors_{part} alter column embedding set storage external")
    # Only who asks for `of_account` scans by it: without statistics of new rows the planner would also take an index
    # on `account_id` for look-ups by key, and read all of an account's vectors for each. An expression won't do: under
    # row-level security only leakproof conditions reach an index.
    op.create_index("vectors_part", "vectors", ["of_account", "model_id", "part"])
    # The same happened to look-ups of documents; sweeps, which read all of a stream, do as well with the key.
    op.drop_index("documents_stream", "documents")
    op.create_table(
        "knowledge_indexes",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("model_id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("part", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("complete", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("built_part", sa.Integer),
        sa.Column("built_rows", sa.Integer),
        sa.Column("name", sa.Text),
        sa.Column("built_at", MOMENT),
    )
    op.create_table(
        "knowledge_seen",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("walk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("page", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("documents", ARRAY(UUID(as_uuid=True)), nullable=False),
    )
    # Sixteen bytes each that don't repeat: compressing them costs time and wins nothing.
    op.execute("alter table knowledge_seen alter column documents set storage external")
    protect("vectors", "knowledge_indexes", "knowledge_seen")
    for table in ("documents", "chunks", "vectors"):
        # As a sub-select the setting is read once a statement; without it once a row, which took most of a scan's time.
        op.execute(
            f"alter policy tenant on {table} "
            "using (account_id = (select nullif(current_setting('supportly.account_id', true), '')::bigint))"
        )
    _move()
    op.execute(f"create schema {INDEXES} authorization {SEARCHER}")
    op.execute(f"grant usage on schema {INDEXES} to {ROLE}")
    for table in ("vectors", "knowledge_indexes"):
        op.execute(f"grant select on {table} to {SEARCHER}")
        op.execute(f"create policy search on {table} for select to {SEARCHER} using (true)")
    op.execute(BUILD)
    op.execute(DROP)
    op.execute(LACKING)
    op.execute(HOLDING)
    give("knowledge_build(smallint, int, int)", SEARCHER)
    give("knowledge_drop(text)", SEARCHER)
    give("knowledge_lacking(smallint)", SEARCHER)
    give("knowledge_holding(smallint)", SEARCHER)


def _move() -> None:
    """What is stored keeps its vectors; what was missed once counts as seen, and is noticed by the next walks."""
    # Forced policies bind the owner of the tables too, unless that is a superuser.
    for table in ("chunks", "vectors"):
        op.execute(f"alter table {table} no force row level security")
    op.execute(
        "insert into knowledge_models (name, tier, dimensions, state) "
        "select distinct model, 'instant', 256, 'serving' from chunks"
    )
    op.execute(
        "insert into vectors (account_id, model_id, document_id, text_hash, provider, locale, hidden, embedding) "
        "select c.account_id, m.model_id, c.document_id, c.text_hash, c.provider, c.locale, c.hidden, c.embedding "
        "from chunks c join knowledge_models m on m.name = c.model"
    )
    for table in ("chunks", "vectors"):
        op.execute(f"alter table {table} force row level security")
    op.drop_index("chunks_embedding", "chunks")
    op.drop_index("chunks_ann", "chunks")
    for column in ("model", "embedding", "ann"):
        op.drop_column("chunks", column)
    op.add_column("documents", sa.Column("missed_walk", sa.BigInteger))
    op.drop_column("documents", "seen_walk")
