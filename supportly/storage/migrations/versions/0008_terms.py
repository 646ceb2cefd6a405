"""Full text by hashed words of the account: a search costs what the account has of a word, whoever else has it.

And memory for the build of a large account's index, by its size.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from supportly.storage.migrations.tenancy import ROLE, protect

revision = "0008"
down_revision = "0007"

SEARCHER = "supportly_search"
INDEXES = "knowledge_ann"

# A chunk's stemmed words as numbers, hashed with the account as seed: in one index of many tenants no word of one is
# another's, so a look-up never sifts through neighbours. Two words of an account share a number once in 2^64.
TERMS = """
create function knowledge_terms(account bigint, language text, title text, heading text, body text) returns bigint[]
language sql immutable parallel safe return
array(
    select hashtextextended(x.word, account) from unnest(tsvector_to_array(
        to_tsvector(knowledge_configuration(language), title || ' ' || heading || ' ' || body)
    )) x (word)
)
"""

# The one way around row-level security: `@>` on arrays is not leakproof, so behind a policy the planner may not use the
# GIN index. The account comes from the session's setting alone; without one nothing is found.
#
# What full text adds to vectors is exact words, and of those the rare ones: `knowledge.rank` reads the candidates'
# texts itself. So each rare word fetches up to 100 chunks, and a chunk counts by the rarity of the words that found it.
# Words that more of the account's chunks hold (`knowledge_common`, counted after a sync) only count together: the
# rarest two and three of them in one chunk.
SEARCH = r"""
create or replace function knowledge_fulltext(question text, of_provider text, of_locale text, wanted int)
returns table (document_id uuid, text_hash bytea, score float8)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set enable_seqscan = off as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
    part regclass;
    terms text[];
begin
    select c.tableoid into part from chunks c where c.account_id = account limit 1;
    if part is null then
        return;
    end if;
    with asked as (
        select distinct w.term, f.chunks
        from knowledge_languages k
        cross join lateral (
            select hashtextextended(x.word, account) as term
            from unnest(tsvector_to_array(to_tsvector(knowledge_configuration(k.language), question))) x (word)
            limit 64
        ) w
        left join knowledge_common f on f.account_id = account and f.term = w.term
        where k.account_id = account
    ), frequent as (
        select a.term, row_number() over (order by a.chunks, a.term) as place from asked a where a.chunks is not null
    )
    select array_agg(t.terms) into terms from (
        select array[a.term]::text as terms from asked a where a.chunks is null
        union all
        select array[a.term, f.term]::text from frequent f join frequent a on a.place = 1 and f.place in (2, 3)
        union all
        select array[f.term]::text from frequent f
        where f.place = 1 and not exists (select from asked a where a.chunks is null)
    ) t;
    -- `+ 0` hides the key: by it all of the account's chunks would be read for each word.
    return query execute format($q$
        with met as materialized (
            select t.place, k.document_id, k.text_hash from unnest($2) with ordinality t (terms, place)
            cross join lateral (
                select c.document_id, c.text_hash from %s c
                where c.account_id + 0 = $1 and c.terms @> t.terms::bigint[] and not c.hidden
                and ($3 is null or c.provider = $3) and ($4 is null or c.locale is null
                or c.locale = $4 or c.locale = split_part($4, '-', 1) or starts_with(c.locale, $4 || '-'))
                limit 100
            ) k
        )
        select m.document_id, m.text_hash, sum(n.rarity)::float8 as found
        from met m
        join (select r.place, ln(1 + 100.0 / count(*)) as rarity from met r group by r.place) n on n.place = m.place
        group by m.document_id, m.text_hash
        order by found desc, m.document_id, m.text_hash
        limit $5
    $q$, part) using account, terms, of_provider, of_locale, wanted;
end $$
"""
# What was just written waits in a list that every search reads from end to end, until it joins the index proper.
SETTLE = """
create function knowledge_settle() returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
    part regclass;
begin
    select c.tableoid into part from chunks c where c.account_id = account limit 1;
    perform gin_clean_pending_list(i.indexrelid)
    from pg_index i join pg_inherits h on h.inhrelid = i.indexrelid
    where i.indrelid = part and h.inhparent = 'chunks_terms'::regclass;
end $$
"""

# As before, but for the memory: a graph that doesn't fit is written to disk half-way, and the rest joins row by row. A
# vertex takes its vector and some 800 bytes of neighbours; a parallel build reserves all of it at once, so that no more
# is asked for than is needed.
BUILD = f"""
create or replace function knowledge_build(of_model smallint, of_dimensions int, of_part int) returns text
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set maintenance_work_mem = '64MB' as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
    name constant text := format('v%s_%s_%s', account, of_model, of_part);
    vectors bigint;
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
    get diagnostics vectors = row_count;
    perform set_config('maintenance_work_mem',
        least(2097151, greatest(65536, vectors * (2 * of_dimensions + 800) / 1024))::text, true);
    execute format('create index on {INDEXES}.%I using hnsw (embedding public.halfvec_ip_ops)', name);
    execute format('create index on {INDEXES}.%I (document_id, text_hash)', name);
    execute format('alter table {INDEXES}.%I enable row level security, force row level security', name);
    execute format('create policy tenant on {INDEXES}.%I '
        'using (account_id = (select nullif(current_setting(''supportly.account_id'', true), '''')::bigint))', name);
    execute format('grant select, insert, delete on {INDEXES}.%I to {ROLE}', name);
    return name;
end $$
"""


def upgrade() -> None:
    """Swap words for terms: each partition is written anew, once."""
    op.execute(TERMS)
    op.drop_index("chunks_words", "chunks")
    op.drop_column("chunks", "words")
    op.execute(
        "alter table chunks add column terms bigint[] not null "
        "generated always as (knowledge_terms(account_id, language, title, heading, body)) stored"
    )
    op.create_index("chunks_terms", "chunks", ["terms"], postgresql_using="gin")
    op.drop_table("knowledge_common")
    op.create_table(
        "knowledge_common",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("term", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("chunks", sa.Integer, nullable=False),
    )
    protect("knowledge_common")
    op.execute(f"grant select on knowledge_common to {SEARCHER}")
    op.execute(f"create policy search on knowledge_common for select to {SEARCHER} using (true)")
    # Counted anew by the next sync of each account: until then every word counts as rare, which only costs time.
    op.execute("alter table knowledge_languages no force row level security")
    op.execute("update knowledge_languages set counted = null")
    op.execute("alter table knowledge_languages force row level security")
    op.execute(SEARCH)  # both stay their owner's
    op.execute(BUILD)
    op.execute("drop function knowledge_words(text, text, text, text)")
    op.execute(SETTLE)
    op.execute("revoke all on function knowledge_settle() from public")
    op.execute(f"grant execute on function knowledge_settle() to {ROLE}")
