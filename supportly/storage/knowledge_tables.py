"""Tables of knowledge: documents, chunks, streams and their cursors, runs, failures, held deletions.

`documents`, `chunks` and `vectors` are hash-partitioned by account. Everything about full text and vectors that
SQLAlchemy does not know (policies, the search functions) stands in migrations 0002 and 0005.
"""

from __future__ import annotations

from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from supportly.storage.tables import metadata


def _account() -> Column[int]:
    return Column("account_id", BigInteger, primary_key=True, autoincrement=False)


def _provider() -> Column[str]:
    return Column("provider", Text, primary_key=True)


def _moment(name: str, *, now: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=not now, server_default=func.now() if now else None)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


documents = Table(
    "documents",
    metadata,
    _account(),
    Column("document_id", UUID(as_uuid=True), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("url", Text),
    Column("locale", Text),
    Column("audience", Text, nullable=False),
    _moment("updated_at"),
    Column("metadata", JSONB, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("kept", Boolean, nullable=False, server_default=text("false")),
    _moment("stored_at", now=True),
    _moment("deleted_at"),
    Column("missed_walk", BigInteger),
    postgresql_partition_by="HASH (account_id)",
)
"""`missed_walk`: the complete walk that did not meet the document, null while it is met. `kept`: an administrator
refused its deletion; it stays until it is seen again. `deleted_at`: a tombstone that can be brought back for a day."""

chunks = Table(
    "chunks",
    metadata,
    _account(),
    Column("document_id", UUID(as_uuid=True), primary_key=True),
    Column("text_hash", LargeBinary, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("locale", Text),
    Column("language", Text, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("title", Text, nullable=False),
    Column("heading", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("hidden", Boolean, nullable=False, server_default=text("false")),
    Column(
        "terms",
        ARRAY(BigInteger),
        Computed("knowledge_terms(account_id, language, title, heading, body)", persisted=True),
        nullable=False,
    ),
    Index("chunks_terms", "terms", postgresql_using="gin"),
    postgresql_partition_by="HASH (account_id)",
)
"""The text that is searched. `hidden`: belongs to a tombstone. `terms`: its stemmed words as numbers, which mean
something within the account alone."""

knowledge_models = Table(
    "knowledge_models",
    metadata,
    Column("model_id", SmallInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("tier", Text, nullable=False),
    Column("dimensions", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("spec", Text, nullable=False, server_default=""),
    _moment("created_at", now=True),
)
"""Who makes vectors, with its version. `tier`: `instant` or `refined`. `state`: `serving`, `building` (searched when
every chunk has its vector), `retired` (its vectors go). `spec`: how a process builds it, as the settings spell it."""

vectors = Table(
    "vectors",
    metadata,
    _account(),
    Column("document_id", UUID(as_uuid=True), primary_key=True),
    Column("text_hash", LargeBinary, primary_key=True),
    Column("model_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("provider", Text, nullable=False),
    Column("locale", Text),
    Column("hidden", Boolean, nullable=False, server_default=text("false")),
    Column("part", Integer, nullable=False, server_default=text("0")),
    Column("of_account", BigInteger, Computed("account_id", persisted=True), nullable=False),
    Column("embedding", HALFVEC(), nullable=False),
    Index("vectors_part", "of_account", "model_id", "part"),
    postgresql_partition_by="HASH (account_id)",
)
"""The vectors of a chunk, one a model, in rows that are short enough to be scanned. `part` counts up with every build
of the account's index: a build holds all parts up to one, later parts are scanned exactly."""

knowledge_indexes = Table(
    "knowledge_indexes",
    metadata,
    _account(),
    Column("model_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, nullable=False, server_default=text("0")),
    Column("complete", Boolean, nullable=False, server_default=text("false")),
    Column("built_part", Integer),
    Column("built_rows", Integer),
    Column("name", Text),
    _moment("built_at"),
    Column("ef_search", Integer),
    Column("ef_search_titles", Integer),
)
"""Where an account's vectors of a model stand. `part` is the one that is written now. `complete`: every chunk has a
vector of this model. `name`: the table in schema `knowledge_ann` that holds the parts up to `built_part`, or null; that
of the titles is named alike, with a `t`. `ef_search`, `ef_search_titles`: the candidates that a
walk in either keeps, null until measured."""

knowledge_languages = Table(
    "knowledge_languages",
    metadata,
    _account(),
    Column("language", Text, primary_key=True),
    Column("counted", Integer),
)
"""Text search configurations that an account's chunks use, so that a question is read in each of them. `counted`: the
account's chunks at the last count of common words."""

knowledge_common = Table(
    "knowledge_common",
    metadata,
    _account(),
    Column("term", BigInteger, primary_key=True, autoincrement=False),
    Column("chunks", Integer, nullable=False),
)
"""Words that so many of an account's chunks hold that they find nothing by themselves."""

knowledge_streams = Table(
    "knowledge_streams",
    metadata,
    _account(),
    _provider(),
    Column("stream", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("run_epoch", BigInteger, nullable=False),
    Column("walk", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("since", Text),
    Column("cursor", Text),
    _count("pages"),
    Column("state", Text, nullable=False),
    Column("checkpoint", Text),
    Column("full_walk", BigInteger),
    _moment("full_walk_at"),
)
"""Where each walk stands. `walk` is the epoch in which it began, `complete` says that it lists everything; `full_walk`
is the last complete one that ended. `state`: `walking`, `walked` (all pages stored), `swept`."""

knowledge_seen = Table(
    "knowledge_seen",
    metadata,
    _account(),
    _provider(),
    Column("stream", Text, primary_key=True),
    Column("walk", BigInteger, primary_key=True, autoincrement=False),
    Column("page", Integer, primary_key=True, autoincrement=False),
    Column("documents", ARRAY(UUID(as_uuid=True)), nullable=False),
)
"""What a complete walk has met so far, a row a page: an unchanged document costs sixteen bytes, and no write of its
own."""

sync_epochs = Table(
    "sync_epochs",
    metadata,
    _account(),
    _provider(),
    Column("epoch", BigInteger, nullable=False),
)
"""The epoch of the newest run; never goes back, so that a late attempt of an older run can write nothing."""

sync_runs = Table(
    "sync_runs",
    metadata,
    _account(),
    Column("run_id", UUID(as_uuid=True), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("streams", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    *(
        _count(name)
        for name in (
            "seen",
            "added",
            "changed",
            "unchanged",
            "deleted",
            "failed",
            "chunks_embedded",
            "chunks_reused",
        )
    ),
    Column("failed_streams", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _moment("started_at", now=True),
    _moment("finished_at"),
    Index("sync_runs_newest", "account_id", "provider", "epoch"),
)

sync_failures = Table(
    "sync_failures",
    metadata,
    _account(),
    _provider(),
    Column("stream", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("run_id", UUID(as_uuid=True), nullable=False),
    _moment("first_at", now=True),
    _moment("last_at", now=True),
)

held_deletions = Table(
    "held_deletions",
    metadata,
    _account(),
    Column("run_id", UUID(as_uuid=True), primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("documents", ARRAY(UUID(as_uuid=True)), nullable=False),
    Column("of_total", Integer, nullable=False),
    Column("status", Text, nullable=False),
    _moment("held_at", now=True),
    _moment("decided_at"),
    Index("held_deletions_provider", "account_id", "provider"),
)
"""Sweeps that wait for an administrator. `status`: `held`, `confirmed`, `rejected`, `undone`, `void` (what was missing
came back), `final` (past undoing)."""


knowledge_samples = Table(
    "knowledge_samples",
    metadata,
    _account(),
    _provider(),
    Column("run_id", UUID(as_uuid=True), nullable=False),
    Column("equal", Integer, nullable=False),
    Column("sampled", Integer, nullable=False),
    _moment("taken_at", now=True),
)
"""The newest sample of each provider: `equal` of `sampled` documents were stored as the provider lists them."""
