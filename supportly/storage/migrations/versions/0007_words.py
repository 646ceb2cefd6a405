"""Full text finds candidates by the rare words of a question."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from supportly.storage.migrations.tenancy import protect

revision = "0007"
down_revision = "0006"

SEARCHER = "supportly_search"
PARTITIONS = 16

# The one way around row-level security: `@@` is not leakproof, so behind a policy the planner may not use the GIN
# index. The account comes from the session's setting alone; without one nothing is found.
#
# What full text adds to vectors is exact words, and of those the rare ones: `knowledge.rank` reads the candidates'
# texts itself. So each rare word fetches up to 100 chunks by the index, and a chunk counts by the rarity of the words
# that found it. Words that more of the account's chunks hold (`knowledge_common`, counted after a sync) only count
# together: the rarest two and three of them in one chunk. An account of up to 2,500 chunks is read whole, once: by the
# index it would be sought among its neighbours' chunks with the same words (45 ms in a partition of 100,000).
SEARCH = r"""
create or replace function knowledge_fulltext(question text, of_provider text, of_locale text, wanted int)
returns table (document_id uuid, text_hash bytea, score float8)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp set enable_seqscan = off as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
    seen constant text := 'not c.hidden and ($3 is null or c.provider = $3) and ($4 is null or c.locale is null '
        'or c.locale = $4 or c.locale = split_part($4, ''-'', 1) or starts_with(c.locale, $4 || ''-''))';
    total int;
    part regclass;
    source text;
    terms tsquery[];
begin
    select count(*), min(n.part) into total, part
    from (select c.tableoid as part from chunks c where c.account_id = account limit 2501) n;
    if total = 0 then
        return;
    elsif total <= 2500 then
        source := 'select t.place, c.document_id, c.text_hash from chunks c cross join lateral ('
            'select q.place from unnest($2) with ordinality q (query, place) where c.words @@ q.query) t '
            'where c.account_id = $1 and ' || seen;
    else
        -- `+ 0` hides the key: by it all of the account's chunks would be read for each word.
        source := format('select t.place, k.document_id, k.text_hash from unnest($2) with ordinality t (query, place) '
            'cross join lateral (select c.document_id, c.text_hash from %s c '
            'where c.account_id + 0 = $1 and c.words @@ t.query and %s limit 100) k', part, seen);
    end if;
    with asked as (
        select distinct w.word, f.chunks, (
            '''' || replace(replace(w.word, '\', '\\'), '''', '''''') || ''''
        )::tsquery as query
        from knowledge_languages k
        cross join lateral (
            select x.word
            from unnest(tsvector_to_array(to_tsvector(knowledge_configuration(k.language), question))) x (word)
            limit 64
        ) w
        left join knowledge_common f on f.account_id = account and f.word = w.word
        where k.account_id = account
    ), frequent as (
        select a.query, row_number() over (order by a.chunks, a.word) as place from asked a where a.chunks is not null
    )
    select array_agg(t.query) into terms from (
        select a.query from asked a where a.chunks is null
        union all
        select a.query && f.query from frequent f join frequent a on a.place = 1 and f.place in (2, 3)
        union all
        select f.query from frequent f
        where f.place = 1 and not exists (select from asked a where a.chunks is null)
    ) t;
    return query execute format($q$
        with met as materialized (%s)
        select m.document_id, m.text_hash, sum(n.rarity)::float8 as found
        from met m
        join (select r.place, ln(1 + 100.0 / count(*)) as rarity from met r group by r.place) n on n.place = m.place
        group by m.document_id, m.text_hash
        order by found desc, m.document_id, m.text_hash
        limit $5
    $q$, source) using account, terms, of_provider, of_locale, wanted;
end $$
"""


def upgrade() -> None:
    """Create the table of common words, and replace the function."""
    op.create_table(
        "knowledge_common",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("word", sa.Text, primary_key=True),
        sa.Column("chunks", sa.Integer, nullable=False),
    )
    protect("knowledge_common")
    op.add_column("knowledge_languages", sa.Column("counted", sa.Integer))
    op.execute(f"grant select on knowledge_common to {SEARCHER}")
    op.execute(f"create policy search on knowledge_common for select to {SEARCHER} using (true)")
    op.execute(SEARCH)  # it stays its owner's
    for part in range(PARTITIONS):
        # Rows of some two kilobytes stay as they are: packing their words cost every insert and every read.
        op.execute(f"alter table chunks_{part} set (toast_tuple_target = 4080)")
