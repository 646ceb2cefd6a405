"""Pages of a sync: what is stored of their documents, and how they are written, with the cursor, in one transaction.

A page is written only where the cursor is still the one that it was read from, the run is still the newest
(`run_epoch`) and the connection is still of this generation; a late attempt raises `Superseded` and writes nothing.
Several pages that came quickly are written as one.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.contracts.knowledge import Counts, KnowledgeJob, RecordFailure
from supportly.storage import knowledge_chunks
from supportly.storage.arrays import Uuids
from supportly.storage.database import Database, do, rows
from supportly.storage.knowledge import COUNTS, Superseded, Walk, document_id, place, still_ours
from supportly.storage.knowledge_chunks import Change, ChunkRow, KeptChunk, delete_chunks


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of a document. `marked`: it is a tombstone, was missed by a walk, or is kept against one."""

    content_hash: bytes
    deleted: bool
    marked: bool
    updated_at: datetime | None


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


@dataclass(frozen=True)
class PageWrite:
    """Everything that a page, or several pages in a row, change. `walk` stands at the first one's cursor."""

    job: KnowledgeJob
    stream: str
    walk: Walk
    next_cursor: str | None
    checkpoint: str | None
    pages: int = 1
    unchanged: Sequence[uuid.UUID] = ()
    touched: Sequence[tuple[uuid.UUID, datetime | None]] = ()
    """Those of the unchanged, and of the failed, whose row has to say something else: the time of their change, or
    that they are there again."""
    documents: Sequence[DocumentRow] = ()
    added: int = 0
    chunks: Sequence[ChunkRow] = ()
    kept: Sequence[KeptChunk] = ()
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    model: int = 0
    """Number of the model that made `vectors`."""
    deleted: Sequence[str] = ()
    """External ids that the provider itself reports gone."""
    failures: Sequence[RecordFailure] = ()


# --- what is stored --------------------------------------------------------------------------------------------------


async def known_documents(db: Database, account_id: int, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Known]:
    """What is stored of these documents: one query a page."""
    async with db.tenant(account_id) as c:
        found = await rows(
            c,
            "select document_id, content_hash, deleted_at is not null, "
            "deleted_at is not null or missed_walk is not null or kept, updated_at from documents "
            "where account_id = %(a)s and document_id = any(%(ids)s::uuid[])",
            {"a": account_id, "ids": Uuids(ids)},
        )
    return {row[0]: Known(*row[1:]) for row in found}


# --- writing a page --------------------------------------------------------------------------------------------------


async def commit_page(db: Database, page: PageWrite) -> Counts:
    """Write a page and move the cursor, or raise Superseded and write nothing. Answers what the page did."""
    job = page.job
    at = place(job, page.stream)
    failed = [document_id(job.account_id, job.provider, page.stream, f.external_id) for f in page.failures]
    async with db.tenant(job.account_id) as c:
        await still_ours(c, at)
        moved = await rows(
            c,
            "update knowledge_streams set cursor = %(next)s, pages = pages + %(n)s, "
            "state = case when %(next)s::text is null then 'walked' else 'walking' end, "
            "checkpoint = case when %(next)s::text is null then coalesce(%(check)s, checkpoint) else checkpoint end "
            "where account_id = %(a)s and provider = %(p)s and stream = %(s)s and run_epoch = %(e)s "
            "and state = 'walking' and cursor is not distinct from %(old)s "
            "returning pages, exists (select from sync_failures f where f.account_id = %(a)s and f.provider = %(p)s "
            "and f.stream = %(s)s)",
            at | {"next": page.next_cursor, "old": page.walk.cursor, "check": page.checkpoint} | {"n": page.pages},
        )
        if not moved:
            raise Superseded("Another attempt has stored this page already.")
        if page.walk.complete:
            await _see(c, at, page, moved[0][0], failed)
        await _touch(c, at, page.touched)
        await _write_documents(c, at, page)
        old = [d.document_id for d in page.documents] if len(page.documents) > page.added else []
        await knowledge_chunks.swap(c, at, Change(old, page.kept, page.chunks, page.vectors, page.model))
        deleted = await _delete_reported(c, at, page)
        if moved[0][1] or page.failures:
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


async def _see(
    c: AsyncConnection, at: dict[str, Any], page: PageWrite, number: int, failed: Sequence[uuid.UUID]
) -> None:
    seen = [*page.unchanged, *(d.document_id for d in page.documents), *failed]
    if seen:
        await do(
            c,
            "insert into knowledge_seen (account_id, provider, stream, walk, page, documents) "
            "values (%(a)s, %(p)s, %(s)s, %(w)s, %(n)s, %(ids)s::uuid[])",
            at | {"w": page.walk.walk, "n": number, "ids": Uuids(seen)},
        )


async def _count(c: AsyncConnection, at: dict[str, Any], done: Counts) -> None:
    changes = ", ".join(f"{name} = {name} + %({name})s" for name in COUNTS)
    await do(
        c,
        f"update sync_runs set {changes} where account_id = %(a)s and run_id = %(r)s",  # noqa: S608 (our own names)
        at | done.model_dump(),
    )


async def _touch(c: AsyncConnection, at: dict[str, Any], seen: Sequence[tuple[uuid.UUID, datetime | None]]) -> None:
    if seen:
        await do(
            c,
            "update documents d set missed_walk = null, kept = false, "
            "updated_at = coalesce(x.updated_at, d.updated_at) "
            "from unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) x (id, updated_at) "
            "where d.account_id = %(a)s and d.document_id = x.id and d.deleted_at is null",
            {"a": at["a"], "ids": [s[0] for s in seen], "times": [s[1] for s in seen]},
        )


async def _write_documents(c: AsyncConnection, at: dict[str, Any], page: PageWrite) -> None:
    new = page.documents
    if not new:
        return
    await do(
        c,
        "insert into documents (account_id, provider, stream, generation, document_id, external_id, title, url, "
        " locale, audience, updated_at, metadata, content_hash, chunk_count) "
        "select %(a)s, %(p)s, %(s)s, %(g)s, x.* from unnest(%(ids)s::uuid[], %(external)b::text[], "
        "%(titles)b::text[], %(urls)b::text[], %(locales)b::text[], %(audiences)b::text[], %(times)s::timestamptz[], "
        "%(metadata)s::jsonb[], %(hashes)b::bytea[], %(sizes)s::int[]) x "
        "on conflict (account_id, document_id) do update set generation = excluded.generation, "
        "missed_walk = null, title = excluded.title, url = excluded.url, locale = excluded.locale, "
        "audience = excluded.audience, updated_at = excluded.updated_at, metadata = excluded.metadata, "
        "content_hash = excluded.content_hash, chunk_count = excluded.chunk_count, kept = false, deleted_at = null, "
        "stored_at = now()",
        at
        | {
            "ids": Uuids([d.document_id for d in new]),
            "external": [d.external_id for d in new],
            "titles": [d.title for d in new],
            "urls": [d.url for d in new],
            "locales": [d.locale for d in new],
            "audiences": [d.audience for d in new],
            "times": [d.updated_at for d in new],
            "metadata": [orjson.dumps(d.metadata, default=str).decode() for d in new],
            "hashes": [d.content_hash for d in new],
            "sizes": [d.chunk_count for d in new],
        },
    )


async def _delete_reported(c: AsyncConnection, at: dict[str, Any], page: PageWrite) -> int:
    # A record that is on the same page as a document exists: the signal is the older news.
    here = {d.external_id for d in page.documents} | {f.external_id for f in page.failures}
    present = set(page.unchanged)
    ids = [document_id(at["a"], at["p"], at["s"], e) for e in page.deleted if e not in here]
    return await delete_documents(c, at, [i for i in ids if i not in present])


async def delete_documents(c: AsyncConnection, at: dict[str, Any], ids: Sequence[uuid.UUID]) -> int:
    """Delete documents with everything of them; answers how many people could still see."""
    if not ids:
        return 0
    gone = await rows(
        c,
        "delete from documents where account_id = %(a)s and document_id = any(%(ids)s::uuid[]) "
        "returning external_id, deleted_at is null",
        {"a": at["a"], "ids": list(ids)},
    )
    await delete_chunks(c, at, ids)
    await _forget_failures(c, at, [row[0] for row in gone])
    return sum(row[1] for row in gone)


async def _forget_failures(c: AsyncConnection, at: dict[str, Any], external_ids: Sequence[str]) -> None:
    if external_ids:
        await do(
            c,
            "delete from sync_failures where account_id = %(a)s and provider = %(p)s and stream = %(s)s "
            "and external_id = any(%(ids)s::text[])",
            at | {"ids": list(external_ids)},
        )


async def _note_failures(c: AsyncConnection, at: dict[str, Any], page: PageWrite) -> None:
    # What is fine again loses its row: by id, since a page's unchanged documents are known by that alone.
    await do(
        c,
        "delete from sync_failures f using documents d where f.account_id = %(a)s and f.provider = %(p)s "
        "and f.stream = %(s)s and d.account_id = %(a)s and d.document_id = any(%(ids)s::uuid[]) "
        "and d.external_id = f.external_id",
        at | {"ids": [*page.unchanged, *(d.document_id for d in page.documents)]},
    )
    await _forget_failures(c, at, list(page.deleted))
    if page.failures:
        await do(
            c,
            "insert into sync_failures (account_id, provider, stream, external_id, reason, run_id) "
            "select %(a)s, %(p)s, %(s)s, x.id, x.why, %(r)s from unnest(%(ids)s::text[], %(why)s::text[]) x (id, why) "
            "on conflict (account_id, provider, stream, external_id) "
            "do update set reason = excluded.reason, run_id = excluded.run_id, last_at = now()",
            at | {"ids": [f.external_id for f in page.failures], "why": [f.reason for f in page.failures]},
        )
