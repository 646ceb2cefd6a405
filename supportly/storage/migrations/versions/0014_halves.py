"""Indexes of large accounts hold the two halves of a vector apart: chunks by their own text, documents by their title.

A stored vector is half title and half chunk. In one graph of such vectors the chunks of a document lie so close
together that a search seldom gets from one document to the next: of the docstrings of this project's packages (61,000
chunks) it missed a seventh of the nearest ten, keeping 500 candidates. Apart, both graphs are easy to walk, and each of
the nearest ten has a near text or a near title.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from supportly.storage.migrations.tenancy import ROLE, give

revision = "0014"
down_revision = "0013"

SEARCHER = "supportly_search"
INDEXES = "knowledge_ann"

# The table of titles that belongs to `v<account>_<model>_<part>` is `t<account>_<model>_<part>`.
TITLES = rf"""
create function knowledge_titles(of_model smallint, of_dimensions int, of_part int) returns text
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
    name constant text := format('t%s_%s_%s', account, of_model, of_part);
    before text;
begin
    if account is null then
        raise exception 'no account';
    end if;
    execute format('drop table if exists {INDEXES}.%I', name);
    execute format(
        'create table {INDEXES}.%I (account_id bigint not null, document_id uuid primary key, '
        'title_hash text not null, provider text not null, locale text, embedding public.halfvec(%s) not null)',
        name, of_dimensions);
    execute format('alter table {INDEXES}.%I enable row level security, force row level security', name);
    execute format('create policy tenant on {INDEXES}.%I '
        'using (account_id = (select nullif(current_setting(''supportly.account_id'', true), '''')::bigint))', name);
    execute format('grant select, insert, update, delete on {INDEXES}.%I to {ROLE}', name);
    -- What was embedded for an earlier build is not embedded again, also when that never came to its end.
    select c.relname into before from pg_class c where c.relnamespace = '{INDEXES}'::regnamespace and c.relkind = 'r'
    and c.relname ~ format('^t%s_%s_\d+$', account, of_model) and split_part(c.relname, '_', 3)::int < of_part
    order by split_part(c.relname, '_', 3)::int desc limit 1;
    if before is not null then
        execute format('insert into {INDEXES}.%I select * from {INDEXES}.%I', name, before);
    end if;
    return name;
end $$
"""  # noqa: S608 (our own names)
# As before, but for the halves. A build that never came to its end has left titles of an earlier part.
BUILD = rf"""
create or replace function knowledge_build(of_model smallint, of_dimensions int, of_part int) returns text
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set maintenance_work_mem = '64MB' as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
    name constant text := format('v%s_%s_%s', account, of_model, of_part);
    titles constant text := format('t%s_%s_%s', account, of_model, of_part);
    vectors bigint;
    stray text;
begin
    if account is null then
        raise exception 'no account';
    end if;
    for stray in
        select c.relname from pg_class c where c.relnamespace = '{INDEXES}'::regnamespace and c.relkind = 'r'
        and c.relname ~ format('^t%s_%s_\d+$', account, of_model)
        and split_part(c.relname, '_', 3)::int < of_part and not exists (
            select from public.knowledge_indexes i where i.account_id = account and i.model_id = of_model
            and i.name = 'v' || substr(c.relname, 2))
    loop
        execute format('drop table {INDEXES}.%I', stray);
    end loop;
    execute format('drop table if exists {INDEXES}.%I', name);
    execute format(
        'create table {INDEXES}.%I (account_id bigint not null, document_id uuid not null, text_hash bytea not null, '
        'provider text not null, locale text, embedding public.halfvec(%s) not null)', name, of_dimensions);
    execute format(
        'insert into {INDEXES}.%I select v.account_id, v.document_id, v.text_hash, v.provider, v.locale, '
        'v.embedding + v.embedding - t.embedding from public.vectors v '
        'join {INDEXES}.%I t on t.document_id = v.document_id where v.account_id = $1 and v.of_account = $1 '
        'and v.model_id = $2 and v.part <= $3 and not v.hidden', name, titles
    ) using account, of_model, of_part;
    get diagnostics vectors = row_count;
    perform set_config('maintenance_work_mem',
        least(2097151, greatest(65536, vectors * (2 * of_dimensions + 800) / 1024))::text, true);
    execute format('create index on {INDEXES}.%I using hnsw (embedding public.halfvec_ip_ops) '
        'with (ef_construction = 64)', name);
    execute format('create index on {INDEXES}.%I (document_id, text_hash)', name);
    execute format('create index on {INDEXES}.%I using hnsw (embedding public.halfvec_ip_ops) '
        'with (ef_construction = 64)', titles);
    execute format('alter table {INDEXES}.%I enable row level security, force row level security', name);
    execute format('create policy tenant on {INDEXES}.%I '
        'using (account_id = (select nullif(current_setting(''supportly.account_id'', true), '''')::bigint))', name);
    execute format('grant select, insert, delete on {INDEXES}.%I to {ROLE}', name);
    -- Until its rows are counted the planner takes the table for a small one and reads all of it.
    execute format('analyze {INDEXES}.%I (account_id, document_id, provider, locale)', name);
    execute format('analyze {INDEXES}.%I (account_id, document_id, provider, locale)', titles);
    return name;
end $$
"""  # noqa: S608 (our own names)
# Both at once and in the order in which a search reads them, so that neither waits for the other.
DROP = f"""
create or replace function knowledge_drop(name text) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
begin
    if account is null or name not like format('v%s\\_%%', account) then
        raise exception 'not an index of this account';
    end if;
    execute format('drop table if exists {INDEXES}.%I, {INDEXES}.%I', name, 't' || substr(name, 2));
end $$
"""
# Whole vectors are in them; the next sync of each account builds its own anew, and until then it is scanned.
FORGET = f"""
do $$
declare
    name text;
begin
    for name in select relname from pg_class where relnamespace = '{INDEXES}'::regnamespace and relkind = 'r' loop
        execute format('drop table {INDEXES}.%I', name);
    end loop;
end $$
"""  # noqa: S608 (our own name)


def upgrade() -> None:
    """Drop the indexes of whole vectors; `ef_search` says how many candidates each new one needs."""
    op.add_column("knowledge_indexes", sa.Column("ef_search", sa.Integer))
    op.execute(TITLES)
    give("knowledge_titles(smallint, int, int)", SEARCHER)
    op.execute(BUILD)  # both stay their owner's
    op.execute(DROP)
    op.execute(FORGET)
    op.execute("alter table knowledge_indexes no force row level security")
    op.execute("update knowledge_indexes set name = null, built_part = null, built_rows = null, built_at = null")
    op.execute("alter table knowledge_indexes force row level security")
