"""Documents and chunks, and the course of a sync: each page and its cursor in one short transaction.

A page is written only where the cursor is still the one that it was read from, the run is still the newest
(`run_epoch`) and the connection is still of this generation; a late attempt raises `Superseded` and writes nothing.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.contracts.knowledge import Counts, KnowledgeJob, RecordFailure
from supportly.errors import Conflict
from supportly.storage.database import Database

FULL_WALK_EVERY: Final = timedelta(hours=24)
"""At least this often a scheduled run walks everything: only a complete walk notices what vanished without a signal."""

COUNTS: Final = tuple(Counts.model_fields)


class Superseded(Conflict):
    """A newer run, another attempt or another connection took over; nothing was written."""

    code = "sync_superseded"


def document_id(account_id: int, provider: str, stream: str, external_id: str) -> uuid.UUID:
    """A document's id: the same for the same record in every sync, so that writing needs no look-up."""
    name = f"{account_id}\x1f{provider}\x1f{stream}\x1f{external_id}"
    return uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16])


@dataclass(frozen=True)
class Plan:
    """A stream that is on, and what it can do."""

    id: str
    incremental: bool
    complete: bool


@dataclass(frozen=True)
class Walk:
    """Where a stream's walk stands."""

    walk: int
    complete: bool
    since: str | None
    cursor: str | None
    state: str


@dataclass(frozen=True)
class Known:
    """What is stored of a document."""

    content_hash: bytes
    deleted: bool


@dataclass(frozen=True)
class DocumentRow:
    """A new or changed document."""

    document_id: uuid.UUID
    external_id: str
    title: str
    url: str | None
    locale: str | None
    audience: str
    updated_at: datetime | None
    metadata: Mapping[str, Any]
    content_hash: bytes
    chunk_count: int


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A new chunk; its vector stands in the same row of `PageWrite.vectors`."""

    document_id: uuid.UUID
    text_hash: bytes
    locale: str | None
    language: str
    position: int
    title: str
    heading: str
    body: str


@dataclass(frozen=True, slots=True)
class KeptChunk:
    """A chunk of a changed document whose text stays; its place may be another."""

    document_id: uuid.UUID
    text_hash: bytes
    position: int


@dataclass(frozen=True)
class PageWrite:
    """Everything that one page changes."""

    job: KnowledgeJob
    stream: str
    walk: Walk
    next_cursor: str | None
    checkpoint: str | None
    unchanged: Sequence[tuple[uuid.UUID, datetime | None]] = ()
    documents: Sequence[DocumentRow] = ()
    added: int = 0
    chunks: Sequence[ChunkRow] = ()
    kept: Sequence[KeptChunk] = ()
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    model: str = ""
    deleted: Sequence[str] = ()
    """External ids that the provider itself reports gone."""
    failures: Sequence[RecordFailure] = ()


class _HalfVectors:
    """Rows of a matrix as a `halfvec[]`; `oid` is the type's number in this database."""

    def __init__(self, matrix: NDArray[np.float32], oid: int) -> None:
        self.matrix = matrix
        self.oid = oid


class _HalfVectorsDumper(Dumper):
    """PostgreSQL's binary form of an array, filled by numpy in one go: a hundred times as fast as one by one."""

    format = Format.BINARY

    def dump(self, obj: _HalfVectors) -> bytes:
        rows, width = obj.matrix.shape
        # Per element: its length in bytes, then pgvector's header (dimensions, unused), then big-endian halves.
        element = np.dtype([("length", ">i4"), ("width", ">u2"), ("unused", ">u2"), ("values", ">f2", (width,))])
        block = np.zeros(rows, element)
        block["length"] = 4 + 2 * width
        block["width"] = width
        block["values"] = obj.matrix
        dimensions = 1 if rows else 0
        head = np.array([dimensions, 0, obj.oid, *([rows, 1] if rows else [])], ">i4")
        return head.tobytes() + block.tobytes()


# --- runs ------------------------------------------------------------------------------------------------------------


async def open_run(db: Database, job: KnowledgeJob, streams: Sequence[Plan], *, now: datetime) -> KnowledgeJob:
    """Open a run: a new epoch, a walk for every stream that is on, and those of streams switched off removed.

    Answers the job with run, epoch, generation and streams filled in. Opening the same run again answers the same.
    """
    run_id = uuid.UUID(job.run_id)
    async with db.tenant(job.account_id) as c:
        at = {"a": job.account_id, "p": job.provider}
        known = await _rows(
            c,
            "select epoch, generation, complete, streams from sync_runs where account_id = %(a)s and run_id = %(r)s",
            at | {"r": run_id},
        )
        if not known:
            known = [await _begin(c, job, streams, run_id, now)]
        epoch, generation, complete, chosen = known[0]
    return job.model_copy(update={"epoch": epoch, "generation": generation, "full": complete, "streams": list(chosen)})


async def _begin(
    c: AsyncConnection, job: KnowledgeJob, streams: Sequence[Plan], run_id: uuid.UUID, now: datetime
) -> tuple[int, int, bool, list[str]]:
    at: dict[str, Any] = {"a": job.account_id, "p": job.provider, "now": now}
    [(epoch,)] = await _rows(
        c,
        "insert into sync_epochs (account_id, provider, epoch) values (%(a)s, %(p)s, 1) "
        "on conflict (account_id, provider) do update set epoch = sync_epochs.epoch + 1 returning epoch",
        at,
    )
    await _do(
        c,
        "update sync_runs set state = 'failed', finished_at = now() "
        "where account_id = %(a)s and provider = %(p)s and state = 'running'",
        at,
    )
    removed = await _drop_switched_off(c, at | {"on": [s.id for s in streams]}, job.generation)
    await _expire_tombstones(c, at)
    complete = True
    for stream in streams:
        full = await _begin_walk(c, stream, job, at | {"s": stream.id, "e": epoch, "g": job.generation})
        complete = complete and full
    names = [s.id for s in streams]
    await _do(
        c,
        "insert into sync_runs (account_id, run_id, provider, epoch, generation, trigger, complete, streams, state, "
        "deleted) values (%(a)s, %(r)s, %(p)s, %(e)s, %(g)s, %(t)s, %(full)s, %(names)s, 'running', %(d)s)",
        at
        | {"r": run_id, "e": epoch, "g": job.generation, "t": job.trigger, "full": complete}
        | {"names": names, "d": removed},
    )
    return epoch, job.generation, complete, names


async def _begin_walk(c: AsyncConnection, stream: Plan, job: KnowledgeJob, at: dict[str, Any]) -> bool:
    """Begin a stream's walk, or go on with one that an earlier run left; True when it is over everything."""
    found = await _rows(
        c,
        "select state, cursor, complete, generation, checkpoint, "
        "coalesce(full_walk_at < %(now)s - %(every)s, true), "
        "exists (select from sync_failures f where f.account_id = %(a)s and f.provider = %(p)s and f.stream = %(s)s) "
        "from knowledge_streams where account_id = %(a)s and provider = %(p)s and stream = %(s)s for update",
        at | {"every": FULL_WALK_EVERY},
    )
    state, cursor, complete, generation, checkpoint, overdue, failures = (
        found[0] if found else ("", None, True, job.generation, None, True, False)
    )
    same = generation == job.generation
    # A person who asks now wants what stands there now, from the first page on; a scheduled run goes on where an
    # earlier one had to stop (a token that ended, a provider that was down).
    if job.trigger == "schedule" and state == "walking" and cursor is not None and same:
        await _do(
            c,
            "update knowledge_streams set run_epoch = %(e)s "
            "where account_id = %(a)s and provider = %(p)s and stream = %(s)s",
            at,
        )
        return bool(complete)
    # Records that failed are only met again by a walk over everything.
    full = not (
        job.trigger == "schedule" and stream.incremental and checkpoint and same and not overdue and not failures
    )
    await _do(
        c,
        "insert into knowledge_streams (account_id, provider, stream, generation, run_epoch, walk, complete, since, "
        "state) values (%(a)s, %(p)s, %(s)s, %(g)s, %(e)s, %(e)s, %(complete)s, %(since)s, 'walking') "
        "on conflict (account_id, provider, stream) do update set generation = excluded.generation, "
        "run_epoch = excluded.run_epoch, walk = excluded.walk, complete = excluded.complete, since = excluded.since, "
        "cursor = null, pages = 0, state = 'walking', "
        "full_walk = case when %(same)s then knowledge_streams.full_walk end",
        at | {"complete": full and stream.complete, "since": None if full else checkpoint, "same": same},
    )
    return full


async def _drop_switched_off(c: AsyncConnection, at: dict[str, Any], generation: int) -> int:
    """Remove documents of streams that are off, and of an earlier generation of the connection."""
    gone = await _rows(
        c,
        "delete from documents where account_id = %(a)s and provider = %(p)s "
        "and (not stream = any(%(on)s::text[]) or generation <> %(g)s) returning document_id, deleted_at is null",
        at | {"g": generation},
    )
    await _delete_chunks(c, at, [row[0] for row in gone])
    for table in ("knowledge_streams", "sync_failures", "held_deletions"):
        await _do(
            c,
            f"delete from {table} where account_id = %(a)s and provider = %(p)s "  # noqa: S608 (our own names)
            "and not stream = any(%(on)s::text[])",
            at,
        )
    return sum(row[1] for row in gone)


UNDO_FOR: Final = timedelta(hours=24)
"""How long a confirmed deletion can be brought back."""


async def _expire_tombstones(c: AsyncConnection, at: dict[str, Any]) -> None:
    gone = await _rows(
        c,
        "delete from documents where account_id = %(a)s and provider = %(p)s and deleted_at < %(now)s - %(undo)s "
        "returning document_id",
        at | {"undo": UNDO_FOR},
    )
    await _delete_chunks(c, at, [row[0] for row in gone])
    await _do(
        c,
        "update held_deletions set status = 'final' where account_id = %(a)s and provider = %(p)s "
        "and status = 'confirmed' and decided_at < %(now)s - %(undo)s",
        at | {"undo": UNDO_FOR},
    )


async def _delete_chunks(c: AsyncConnection, at: dict[str, Any], ids: Sequence[uuid.UUID]) -> None:
    if ids:
        await _do(
            c,
            "delete from chunks where account_id = %(a)s and document_id = any(%(ids)s::uuid[])",
            {"a": at["a"], "ids": list(ids)},
        )


async def read_walk(db: Database, job: KnowledgeJob, stream: str) -> Walk:
    """Where a stream's walk stands. Raises Superseded when a newer run took it over."""
    async with db.tenant(job.account_id) as c:
        found = await _rows(
            c,
            "select walk, complete, since, cursor, state from knowledge_streams "
            "where account_id = %(a)s and provider = %(p)s and stream = %(s)s and run_epoch = %(e)s",
            _at(job, stream),
        )
    if not found:
        raise Superseded("A newer run of this sync has taken over.")
    return Walk(*found[0])


async def give_up(db: Database, job: KnowledgeJob, stream: str, reason: str) -> None:
    """Note why a stream was given up in this run; its next walk begins at the first page."""
    async with db.tenant(job.account_id) as c:
        await _do(
            c,
            "update knowledge_streams set cursor = null where account_id = %(a)s and provider = %(p)s "
            "and stream = %(s)s and run_epoch = %(e)s and state = 'walking'",
            _at(job, stream),
        )
        await _do(
            c,
            "update sync_runs set failed_streams = failed_streams || jsonb_build_object(%(s)s::text, %(why)s::text) "
            "where account_id = %(a)s and run_id = %(r)s",
            _at(job, stream) | {"why": reason},
        )


async def counts(db: Database, job: KnowledgeJob) -> Counts:
    """What the run has done so far. The database counts, in the transaction of each page, so a crash loses nothing."""
    async with db.tenant(job.account_id) as c:
        found = await _rows(
            c,
            f"select {', '.join(COUNTS)} from sync_runs where account_id = %(a)s and run_id = %(r)s",  # noqa: S608
            _at(job),
        )
    return Counts(**dict(zip(COUNTS, found[0], strict=True))) if found else Counts()


async def finish_run(db: Database, job: KnowledgeJob, state: str) -> int:
    """Close the run's row and answer how many documents its sweeps hold back. Closing twice changes nothing."""
    async with db.tenant(job.account_id) as c:
        await _do(
            c,
            "update sync_runs set state = %(state)s, finished_at = now(), "
            "failed_streams = failed_streams || %(f)s::jsonb "
            "where account_id = %(a)s and run_id = %(r)s and state = 'running'",
            _at(job) | {"state": state, "f": orjson.dumps(job.failed_streams).decode()},
        )
        [(held,)] = await _rows(
            c,
            "select coalesce(sum(cardinality(documents)), 0)::int from held_deletions "
            "where account_id = %(a)s and provider = %(p)s and status = 'held'",
            _at(job),
        )
        return int(held)


# --- pages -----------------------------------------------------------------------------------------------------------


async def known_documents(db: Database, account_id: int, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Known]:
    """What is stored of these documents: one query a page."""
    async with db.tenant(account_id) as c:
        found = await _rows(
            c,
            "select document_id, content_hash, deleted_at is not null from documents "
            "where account_id = %(a)s and document_id = any(%(ids)s::uuid[])",
            {"a": account_id, "ids": list(ids)},
        )
    return {row[0]: Known(bytes(row[1]), row[2]) for row in found}


async def known_chunks(
    db: Database, account_id: int, ids: Sequence[uuid.UUID], model: str
) -> dict[uuid.UUID, set[bytes]]:
    """Hashes of the stored chunks of these documents that this model embedded."""
    if not ids:
        return {}
    async with db.tenant(account_id) as c:
        found = await _rows(
            c,
            "select document_id, array_agg(text_hash) from chunks where account_id = %(a)s "
            "and document_id = any(%(ids)s::uuid[]) and model = %(m)s group by document_id",
            {"a": account_id, "ids": list(ids), "m": model},
        )
    return {row[0]: {bytes(h) for h in row[1]} for row in found}


async def commit_page(db: Database, page: PageWrite) -> Counts:
    """Write a page and move the cursor, or raise Superseded and write nothing. Answers what the page did."""
    job = page.job
    at = _at(job, page.stream)
    async with db.tenant(job.account_id) as c:
        await _still_ours(c, at)
        moved = await _do(
            c,
            "update knowledge_streams set cursor = %(next)s, pages = pages + 1, "
            "state = case when %(next)s::text is null then 'walked' else 'walking' end, "
            "checkpoint = case when %(next)s::text is null then coalesce(%(check)s, checkpoint) else checkpoint end "
            "where account_id = %(a)s and provider = %(p)s and stream = %(s)s and run_epoch = %(e)s "
            "and state = 'walking' and cursor is not distinct from %(old)s",
            at | {"next": page.next_cursor, "old": page.walk.cursor, "check": page.checkpoint},
        )
        if not moved:
            raise Superseded("Another attempt has stored this page already.")
        failed = [document_id(job.account_id, job.provider, page.stream, f.external_id) for f in page.failures]
        await _touch(c, at | {"w": page.walk.walk}, [*page.unchanged, *((d, None) for d in failed)])
        await _write_documents(c, at | {"w": page.walk.walk}, page)
        await _write_chunks(c, at, page)
        deleted = await _delete_reported(c, at, page)
        await _note_failures(c, at, page)
        done = Counts(
            seen=len(page.unchanged) + len(page.documents) + len(page.failures),
            added=page.added,
            changed=len(page.documents) - page.added,
            unchanged=len(page.unchanged),
            failed=len(page.failures),
            deleted=deleted,
            chunks_embedded=len(page.chunks),
            chunks_reused=len(page.kept),
        )
        await _count(c, at, done)
    return done


async def _still_ours(c: AsyncConnection, at: dict[str, Any]) -> None:
    """Lock the connection's row against a disconnect or another generation while a page is written."""
    found = await _rows(
        c,
        "select 1 from connections where account_id = %(a)s and provider = %(p)s and generation = %(g)s "
        "and state in ('connected', 'reconnect_required') for share",
        at,
    )
    if not found:
        raise Superseded("The connection that this sync belongs to is gone.")


async def _count(c: AsyncConnection, at: dict[str, Any], done: Counts) -> None:
    changes = ", ".join(f"{name} = {name} + %({name})s" for name in COUNTS)
    await _do(
        c,
        f"update sync_runs set {changes} where account_id = %(a)s and run_id = %(r)s",  # noqa: S608 (our own names)
        at | done.model_dump(),
    )


async def _touch(c: AsyncConnection, at: dict[str, Any], seen: Sequence[tuple[uuid.UUID, datetime | None]]) -> None:
    if seen:
        await _do(
            c,
            "update documents d set seen_walk = greatest(d.seen_walk, %(w)s), kept = false, "
            "updated_at = coalesce(x.updated_at, d.updated_at) "
            "from unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) x (id, updated_at) "
            "where d.account_id = %(a)s and d.document_id = x.id and d.deleted_at is null",
            {"a": at["a"], "w": at["w"], "ids": [s[0] for s in seen], "times": [s[1] for s in seen]},
        )


async def _write_documents(c: AsyncConnection, at: dict[str, Any], page: PageWrite) -> None:
    rows = page.documents
    if not rows:
        return
    await _do(
        c,
        "insert into documents (account_id, provider, stream, generation, seen_walk, document_id, external_id, title, "
        "url, locale, audience, updated_at, metadata, content_hash, chunk_count) "
        "select %(a)s, %(p)s, %(s)s, %(g)s, %(w)s, x.* from unnest(%(ids)s::uuid[], %(external)s::text[], "
        "%(titles)s::text[], %(urls)s::text[], %(locales)s::text[], %(audiences)s::text[], %(times)s::timestamptz[], "
        "%(metadata)s::jsonb[], %(hashes)s::bytea[], %(sizes)s::int[]) x "
        "on conflict (account_id, document_id) do update set generation = excluded.generation, "
        "seen_walk = excluded.seen_walk, title = excluded.title, url = excluded.url, locale = excluded.locale, "
        "audience = excluded.audience, updated_at = excluded.updated_at, metadata = excluded.metadata, "
        "content_hash = excluded.content_hash, chunk_count = excluded.chunk_count, kept = false, deleted_at = null, "
        "stored_at = now()",
        at
        | {
            "ids": [d.document_id for d in rows],
            "external": [d.external_id for d in rows],
            "titles": [d.title for d in rows],
            "urls": [d.url for d in rows],
            "locales": [d.locale for d in rows],
            "audiences": [d.audience for d in rows],
            "times": [d.updated_at for d in rows],
            "metadata": [orjson.dumps(d.metadata, default=str).decode() for d in rows],
            "hashes": [d.content_hash for d in rows],
            "sizes": [d.chunk_count for d in rows],
        },
    )


async def _write_chunks(c: AsyncConnection, at: dict[str, Any], page: PageWrite) -> None:
    """Swap the chunks of changed documents. PostgreSQL refuses COPY under row-level security, so one INSERT writes
    all rows from binary arrays; it is as fast.
    """
    if len(page.documents) > page.added:
        await _do(
            c,
            "delete from chunks c where c.account_id = %(a)s and c.document_id = any(%(ids)s::uuid[]) and not exists "
            "(select from unnest(%(docs)s::uuid[], %(hashes)s::bytea[]) k (d, h) "
            "where k.d = c.document_id and k.h = c.text_hash)",
            {
                "a": at["a"],
                "ids": [d.document_id for d in page.documents],
                "docs": [k.document_id for k in page.kept],
                "hashes": [k.text_hash for k in page.kept],
            },
        )
    if page.kept:
        await _do(
            c,
            "update chunks c set position = k.at, hidden = false "
            "from unnest(%(docs)s::uuid[], %(hashes)s::bytea[], %(places)s::int2[]) k (d, h, at) "
            "where c.account_id = %(a)s and c.document_id = k.d and c.text_hash = k.h "
            "and (c.position <> k.at or c.hidden)",
            {
                "a": at["a"],
                "docs": [k.document_id for k in page.kept],
                "hashes": [k.text_hash for k in page.kept],
                "places": [k.position for k in page.kept],
            },
        )
    rows = page.chunks
    if not rows:
        return
    await _do(
        c,
        "insert into chunks (account_id, provider, model, document_id, text_hash, locale, language, position, title, "
        "heading, body, embedding) select %(a)s, %(p)s, %(model)s, x.* from unnest(%(docs)s::uuid[], "
        "%(hashes)s::bytea[], %(locales)s::text[], %(languages)s::text[], %(places)s::int2[], %(titles)s::text[], "
        "%(headings)s::text[], %(bodies)s::text[], %(vectors)s::halfvec[]) x",
        {
            "a": at["a"],
            "p": at["p"],
            "model": page.model,
            "docs": [r.document_id for r in rows],
            "hashes": [r.text_hash for r in rows],
            "locales": [r.locale for r in rows],
            "languages": [r.language for r in rows],
            "places": [r.position for r in rows],
            "titles": [r.title for r in rows],
            "headings": [r.heading for r in rows],
            "bodies": [r.body for r in rows],
            "vectors": _HalfVectors(page.vectors, await _halfvec_oid(c)),
        },
    )
    await _do(
        c,
        "insert into knowledge_languages (account_id, language) select %(a)s, x from unnest(%(l)s::text[]) x "
        "on conflict do nothing",
        {"a": at["a"], "l": sorted({r.language for r in rows})},
    )


async def _halfvec_oid(c: AsyncConnection) -> int:
    """Number of the type in this database; asked once for every server connection, which also learns the dumper."""
    raw = (await c.get_raw_connection()).driver_connection
    assert raw is not None  # noqa: S101 (a checked-out connection has its driver's)
    oid: int | None = getattr(raw, "_supportly_halfvec", None)
    if oid is None:
        [(oid,)] = await _rows(c, "select 'halfvec'::regtype::oid::int", {})
        raw.adapters.register_dumper(_HalfVectors, _HalfVectorsDumper)
        raw._supportly_halfvec = oid
    return int(oid)


async def _delete_reported(c: AsyncConnection, at: dict[str, Any], page: PageWrite) -> int:
    # A record that is on the same page as a document exists: the signal is the older news.
    here = {d.external_id for d in page.documents} | {f.external_id for f in page.failures}
    present = {d for d, _ in page.unchanged}
    ids = [document_id(at["a"], at["p"], at["s"], e) for e in page.deleted if e not in here]
    return await _delete_documents(c, at, [i for i in ids if i not in present])


async def _delete_documents(c: AsyncConnection, at: dict[str, Any], ids: Sequence[uuid.UUID]) -> int:
    if not ids:
        return 0
    gone = await _rows(
        c,
        "delete from documents where account_id = %(a)s and document_id = any(%(ids)s::uuid[]) "
        "returning external_id, deleted_at is null",
        {"a": at["a"], "ids": list(ids)},
    )
    await _delete_chunks(c, at, ids)
    await _forget_failures(c, at, [row[0] for row in gone])
    return sum(row[1] for row in gone)


async def _forget_failures(c: AsyncConnection, at: dict[str, Any], external_ids: Sequence[str]) -> None:
    if external_ids:
        await _do(
            c,
            "delete from sync_failures where account_id = %(a)s and provider = %(p)s and stream = %(s)s "
            "and external_id = any(%(ids)s::text[])",
            at | {"ids": list(external_ids)},
        )


async def _note_failures(c: AsyncConnection, at: dict[str, Any], page: PageWrite) -> None:
    # What is fine again loses its row: by id, since a page's unchanged documents are known by that alone.
    await _do(
        c,
        "delete from sync_failures f using documents d where f.account_id = %(a)s and f.provider = %(p)s "
        "and f.stream = %(s)s and d.account_id = %(a)s and d.document_id = any(%(ids)s::uuid[]) "
        "and d.external_id = f.external_id",
        at | {"ids": [d for d, _ in page.unchanged] + [d.document_id for d in page.documents]},
    )
    await _forget_failures(c, at, list(page.deleted))
    if page.failures:
        await _do(
            c,
            "insert into sync_failures (account_id, provider, stream, external_id, reason, run_id) "
            "select %(a)s, %(p)s, %(s)s, x.id, x.why, %(r)s from unnest(%(ids)s::text[], %(why)s::text[]) x (id, why) "
            "on conflict (account_id, provider, stream, external_id) "
            "do update set reason = excluded.reason, run_id = excluded.run_id, last_at = now()",
            at | {"ids": [f.external_id for f in page.failures], "why": [f.reason for f in page.failures]},
        )


# --- plumbing --------------------------------------------------------------------------------------------------------


def _at(job: KnowledgeJob, stream: str = "") -> dict[str, Any]:
    return {
        "a": job.account_id,
        "p": job.provider,
        "s": stream,
        "e": job.epoch,
        "g": job.generation,
        "r": uuid.UUID(job.run_id),
    }


async def _rows(c: AsyncConnection, sql: str, values: Mapping[str, Any]) -> list[Any]:
    # The driver's own parameters: arrays go over in binary, and SQLAlchemy still classifies what goes wrong.
    return list((await c.exec_driver_sql(sql, dict(values))).all())


async def _do(c: AsyncConnection, sql: str, values: Mapping[str, Any]) -> int:
    return (await c.exec_driver_sql(sql, dict(values))).rowcount
