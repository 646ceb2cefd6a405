"""Knowledge: documents, chunks, streams, runs, failures, held deletions; full-text search under row-level security."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR, UUID

from supportly.storage.migrations.tenancy import ROLE, protect

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime(timezone=True)
PARTITIONS = 16
SEARCHER = "supportly_search"
"""Owns the full-text function and can't log in."""

# A column of type regconfig would keep pg_upgrade from running, so chunks name their language as text. The names are
# PostgreSQL's own; whatever it doesn't know is read word by word.
CONFIGURATIONS = [
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "estonian",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
]
CONFIGURATION = f"""
create function knowledge_configuration(language text) returns regconfig
language sql immutable strict parallel safe return
case language {" ".join(f"when '{name}' then 'pg_catalog.{name}'::regconfig" for name in CONFIGURATIONS)}
else 'pg_catalog.simple'::regconfig end
"""
WORDS = """
create function knowledge_words(language text, title text, heading text, body text) returns tsvector
language sql immutable parallel safe return
setweight(to_tsvector(knowledge_configuration(language), title), 'A')
|| setweight(to_tsvector(knowledge_configuration(language), heading), 'B')
|| to_tsvector(knowledge_configuration(language), body)
"""

# The one way around row-level security: `@@` is not leakproof, so behind a policy the planner may not use the GIN
# index. The account comes from the session's setting alone; without one nothing is found.
#
# A word counts by its rarity in the account, as in BM25, times ts_rank's saturating frequency with its default weights
# (title 1, heading 0.4, body 0.1). On the FAQ set that found hit@1 0.381, against 0.345 of ts_rank and 0.360 of
# ts_rank_cd. The rarest words choose up to 1,000 chunks and all words score those, so that a question of common words
# costs some 20 ms in an account of 5,000 chunks and not 150.
SEARCH = """
create function knowledge_fulltext(question text, of_provider text, of_locale text, wanted int)
returns table (document_id uuid, text_hash bytea, score float8)
language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    account constant bigint := nullif(current_setting('supportly.account_id', true), '')::bigint;
    total float8;
    tongues text[];
    tongue text;
    queries tsquery[];
    rarities float8[];
    selective tsquery;
begin
    select count(*) into total from (select from chunks c where c.account_id = account limit 20000) n;
    select array_agg(k.language) into tongues from knowledge_languages k where k.account_id = account;
    foreach tongue in array coalesce(tongues, '{}') loop
        select array_agg(w.query order by w.met),
            array_agg(ln(1 + (total - w.met + 0.5) / (w.met + 0.5)) order by w.met),
            string_agg(w.query::text, '|') filter (where w.before < 1000)::tsquery
        into queries, rarities, selective
        from (
            select n.query, n.met, coalesce(sum(n.met) over (order by n.met, n.query::text
                rows between unbounded preceding and 1 preceding), 0) as before
            from (
                select q.query, least(total, (
                    select count(*) from (
                        select from chunks c where c.account_id = account and c.language = tongue
                        and c.words @@ q.query limit 5000
                    ) m
                )) as met
                from (
                    select (
                        '''' || replace(replace(l.word, '\\', '\\\\'), '''', '''''') || ''''
                    )::tsquery as query
                    from unnest(tsvector_to_array(to_tsvector(knowledge_configuration(tongue), question))) l (word)
                    limit 64
                ) q
            ) n
            where n.met > 0
        ) w;
        continue when selective is null;
        return query
        select f.document_id, f.text_hash, (
            select sum(w.rarity * ts_rank(f.words, w.query)) from unnest(queries, rarities) w (query, rarity)
        ) as found
        from (
            -- The empty vector added makes a copy in memory, which is unpacked once and not for every word.
            select c.document_id, c.text_hash, c.words || ''::tsvector as words
            from chunks c
            where c.account_id = account and c.language = tongue and c.words @@ selective and not c.hidden
            and (of_provider is null or c.provider = of_provider)
            and (of_locale is null or c.locale is null or c.locale = of_locale
                or c.locale = split_part(of_locale, '-', 1) or starts_with(c.locale, of_locale || '-'))
            limit 1000
        ) f
        order by found desc, f.document_id, f.text_hash
        limit wanted;
    end loop;
end $$
"""


def upgrade() -> None:
    """Create the tables, their partitions, policies, indexes and functions."""
    op.execute("create extension if not exists vector")
    op.execute(CONFIGURATION)
    op.execute(WORDS)
    op.create_table(
        "documents",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("document_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("updated_at", MOMENT),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("chunk_count", sa.Integer, nullable=False),
        sa.Column("seen_walk", sa.BigInteger, nullable=False),
        sa.Column("kept", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("stored_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("deleted_at", MOMENT),
        postgresql_partition_by="HASH (account_id)",
    )
    op.create_index("documents_stream", "documents", ["account_id", "provider", "stream"])
    op.create_table(
        "chunks",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("document_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("text_hash", sa.LargeBinary, primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("locale", sa.Text),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("heading", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("embedding", HALFVEC(256), nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("ann", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column(
            "words",
            TSVECTOR,
            sa.Computed("knowledge_words(language, title, heading, body)", persisted=True),
            nullable=False,
        ),
        postgresql_partition_by="HASH (account_id)",
    )
    for table in ("documents", "chunks"):
        for part in range(PARTITIONS):
            # Room on each page for new versions of its rows: a document that was seen again stays where it is.
            op.execute(
                f"create table {table}_{part} partition of {table} "
                f"for values with (modulus {PARTITIONS}, remainder {part}) with (fillfactor = 90)"
            )
    op.create_index("chunks_words", "chunks", ["words"], postgresql_using="gin")
    op.create_index(
        "chunks_embedding",
        "chunks",
        ["embedding"],
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "halfvec_ip_ops"},
        postgresql_where=sa.text("ann"),
    )
    op.create_index("chunks_ann", "chunks", ["account_id"], postgresql_where=sa.text("ann"))
    op.create_table(
        "knowledge_languages",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("language", sa.Text, primary_key=True),
    )
    op.create_table(
        "knowledge_streams",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("run_epoch", sa.BigInteger, nullable=False),
        sa.Column("walk", sa.BigInteger, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("since", sa.Text),
        sa.Column("cursor", sa.Text),
        sa.Column("pages", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("checkpoint", sa.Text),
        sa.Column("full_walk", sa.BigInteger),
        sa.Column("full_walk_at", MOMENT),
    )
    op.create_table(
        "sync_epochs",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )
    counts = ("seen", "added", "changed", "unchanged", "deleted", "failed", "chunks_embedded", "chunks_reused")
    op.create_table(
        "sync_runs",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("run_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("streams", ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0")) for name in counts),
        sa.Column("failed_streams", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("started_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", MOMENT),
    )
    op.create_index("sync_runs_newest", "sync_runs", ["account_id", "provider", "epoch"])
    op.create_table(
        "sync_failures",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("external_id", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("run_id", UUID(as_uuid=True), nullable=False),
        sa.Column("first_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("last_at", MOMENT, nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "held_deletions",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("run_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("documents", ARRAY(UUID(as_uuid=True)), nullable=False),
        sa.Column("of_total", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("held_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("decided_at", MOMENT),
    )
    op.create_index("held_deletions_provider", "held_deletions", ["account_id", "provider"])
    protect(
        "documents",
        "chunks",
        "knowledge_languages",
        "knowledge_streams",
        "sync_epochs",
        "sync_runs",
        "sync_failures",
        "held_deletions",
    )
    op.execute(
        f"do $$ begin create role {SEARCHER} nologin nobypassrls nosuperuser; "
        "exception when duplicate_object then null; end $$"
    )
    op.execute(f"grant usage on schema public to {SEARCHER}")
    for table in ("chunks", "knowledge_languages"):
        op.execute(f"grant select on {table} to {SEARCHER}")
        op.execute(f"create policy search on {table} for select to {SEARCHER} using (true)")
    op.execute(SEARCH)
    signature = "knowledge_fulltext(text, text, text, int)"
    # To give something away one has to be a member of the receiver, and the receiver may create here.
    op.execute(f"grant {SEARCHER} to current_user")
    op.execute(f"grant create on schema public to {SEARCHER}")
    op.execute(f"alter function {signature} owner to {SEARCHER}")
    op.execute(f"revoke create on schema public from {SEARCHER}")
    op.execute(f"revoke all on function {signature} from public")
    op.execute(f"grant execute on function {signature} to {ROLE}")
