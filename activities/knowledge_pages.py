"""Pages of a stream, ready to be stored: what is new, what changed, which chunks keep their vectors."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from supportly.contracts.addresses import web_address
from supportly.contracts.knowledge import Document, KnowledgeJob, RecordFailure, StreamPage
from supportly.knowledge import embed, split, text
from supportly.knowledge.embed import Embedder
from supportly.storage import knowledge, knowledge_chunks, knowledge_models, knowledge_pages
from supportly.storage.database import Database
from supportly.storage.knowledge import Walk
from supportly.storage.knowledge_chunks import ChunkRow, KeptChunk
from supportly.storage.knowledge_pages import DocumentRow, Known, PageWrite

LONGEST_TITLE: Final = 500
BATCH_DOCUMENTS: Final = 500
"""Documents stored in one transaction at most, where pages come faster than they are stored: by then the cost of the
transaction itself has vanished, and a crash repeats at most so many."""
BATCH_CHARS: Final = 4_000_000
"""…and characters: with vectors and rows some 40 MB of memory."""
PAGES_AHEAD: Final = 8
"""Pages that are read while others are embedded and stored: a batch of the usual hundred each, and some."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Split:
    """A new or changed document with its chunks and their hashes."""

    row: DocumentRow
    language: str
    locale: str | None
    chunks: Mapping[bytes, split.Chunk]


@dataclass
class Batch:
    """Pages of one stream that came quickly after one another; they are stored together. `walk` is before the first."""

    walk: Walk
    documents: dict[str, Document] = field(default_factory=dict)
    failures: dict[str, RecordFailure] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    next: str | None = None
    checkpoint: str | None = None
    pages: int = 0
    size: int = 0
    """Characters of all bodies."""

    @property
    def records(self) -> set[str]:
        """External ids of all that is told of."""
        return {*self.documents, *self.failures, *self.deleted}

    def takes(self, page: StreamPage) -> bool:
        """True when a page fits, and tells of no record that an earlier one tells of: those are two states of it."""
        if not self.pages:
            return True
        told = [d.external_id for d in page.documents] + [f.external_id for f in page.failures] + page.deleted
        return (
            len(self.documents) + len(page.documents) <= BATCH_DOCUMENTS
            and self.size + _size(page) <= BATCH_CHARS
            and self.records.isdisjoint(told)
        )

    def add(self, page: StreamPage) -> None:
        """Take a page. The last one counts where a record comes twice on it; one that also failed counts as failed."""
        self.documents |= {d.external_id: d for d in page.documents}
        self.failures |= {f.external_id: f for f in page.failures}
        for failure in page.failures:
            self.documents.pop(failure.external_id, None)
        self.deleted += page.deleted
        self.next, self.checkpoint = page.next, page.checkpoint
        self.pages += 1
        self.size += _size(page)


def _size(page: StreamPage) -> int:
    return sum(len(d.body) for d in page.documents)


class Ahead:
    """Pages that were read and wait to be stored; after the last one comes None, or what kept more from coming."""

    def __init__(self) -> None:
        self._pages: asyncio.Queue[StreamPage | Exception | None] = asyncio.Queue(PAGES_AHEAD)
        self._first: list[StreamPage | Exception | None] = []

    async def put(self, page: StreamPage | Exception | None) -> None:
        """Wait until there is room, and add a page or the end."""
        await self._pages.put(page)

    async def batch(self, walk: Walk) -> Batch | None:
        """The next pages that can be stored together, None after the last one. Raises what ended the reading."""
        page = self._first.pop() if self._first else await self._pages.get()
        batch = Batch(walk)
        while isinstance(page, StreamPage) and batch.takes(page):
            batch.add(page)
            if self._pages.empty():
                return batch
            page = self._pages.get_nowait()
        if batch.pages or page is None:
            self._first.append(page)
            return batch if batch.pages else None
        assert isinstance(page, Exception)  # noqa: S101 (an empty batch takes any page)
        raise page


async def prepare(db: Database, embedder: Embedder, job: KnowledgeJob, stream: str, batch: Batch) -> PageWrite:
    """Compare pages with what is stored, and split and embed what is new."""
    number = partial(knowledge.document_id, job.account_id, job.provider, stream)
    found = {number(external_id): d for external_id, d in batch.documents.items()}
    known = await knowledge_pages.known_documents(db, job.account_id, [*found, *map(number, batch.failures)])
    unchanged, fresh, unread = await asyncio.to_thread(_split_all, found, known)
    failures = [*batch.failures.values(), *unread]
    stored = await knowledge_chunks.known_chunks(
        db, job.account_id, [s.row.document_id for s in fresh if s.row.document_id in known]
    )
    chunks, kept = _compare(fresh, stored)
    vectors = await asyncio.to_thread(
        embed.titled,
        embedder,
        [c.title for c in chunks],
        [split.Chunk(c.title, c.heading, c.body).text for c in chunks],
    )
    return PageWrite(
        job=job,
        stream=stream,
        walk=batch.walk,
        next_cursor=batch.next,
        checkpoint=batch.checkpoint,
        pages=batch.pages,
        unchanged=unchanged,
        touched=_touched(found, known, unchanged, [number(f.external_id) for f in failures]),
        documents=[s.row for s in fresh],
        added=sum(s.row.document_id not in known for s in fresh),
        chunks=chunks,
        kept=kept,
        vectors=vectors,
        model=await knowledge_models.instant(db, embedder.model, embedder.dimensions),
        deleted=batch.deleted,
        failures=failures,
    )


def _touched(
    found: Mapping[uuid.UUID, Document],
    known: Mapping[uuid.UUID, Known],
    unchanged: Sequence[uuid.UUID],
    failed: Sequence[uuid.UUID],
) -> list[tuple[uuid.UUID, datetime | None]]:
    """Stored documents that stay as they are, but were missed before, or have another time of change."""
    touched: list[tuple[uuid.UUID, datetime | None]] = []
    for document_id in unchanged:
        before, now = known[document_id], found[document_id].updated_at
        if before.marked or (now is not None and now != before.updated_at):
            touched.append((document_id, now))
    return touched + [(i, None) for i in failed if i in known and known[i].marked]


def _split_all(
    found: Mapping[uuid.UUID, Document], known: Mapping[uuid.UUID, Known]
) -> tuple[list[uuid.UUID], list[_Split], list[RecordFailure]]:
    """Unchanged ids, new or changed documents, and those that cannot be read."""
    unchanged: list[uuid.UUID] = []
    fresh: list[_Split] = []
    failures: list[RecordFailure] = []
    for document_id, document in found.items():
        content = content_hash(document)
        before = known.get(document_id)
        if before is not None and before.content_hash == content and not before.deleted:
            unchanged.append(document_id)
            continue
        try:
            fresh.append(_split_one(document_id, document, content))
        except Exception as error:  # noqa: BLE001 (one record that no parser takes must not stop the others)
            log.warning("a document could not be read: %s", type(error).__name__)
            failures.append(RecordFailure(external_id=document.external_id, reason=_reason(error)))
    return unchanged, fresh, failures


def _reason(error: Exception) -> str:
    return (
        str(error) if isinstance(error, text.Unreadable) else f"The document cannot be read ({type(error).__name__})."
    )


def content_hash(document: Document) -> bytes:
    """Sixteen bytes over everything that is stored of a document, but for when it was updated."""
    # Not orjson: it refuses halves of characters, which providers do send.
    metadata = json.dumps(document.metadata, sort_keys=True, default=str) if document.metadata else ""
    digest = hashlib.blake2b(f"{split.VERSION} {text.VERSION}".encode(), digest_size=16)
    for part in (document.title, document.body, document.url, document.locale, document.audience, metadata):
        content = (part or "").encode("utf-8", "surrogatepass")
        # Each with its length, so that no text can pass for the end of one part and the beginning of the next.
        digest.update(b"-" if part is None else len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.digest()


def _storable(value: Any) -> Any:
    """JSON without the characters that PostgreSQL's jsonb refuses."""
    if isinstance(value, str):
        return text.visible(value)
    if isinstance(value, Mapping):
        return {text.visible(str(name)): _storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value


def _split_one(document_id: uuid.UUID, document: Document, content: bytes) -> _Split:
    title = text.one_line(document.title)[:LONGEST_TITLE]
    body = text.markdown(document.body, document.metadata)
    locale = text.normal_locale(document.locale)
    language = text.language(document.locale, lambda: f"{title} {body}")
    pieces = split.split(title, body)
    # Equal chunks of one document are one: finding the same words twice helps nobody.
    chunks = {split.text_hash(piece, language=language, locale=locale): piece for piece in pieces}
    row = DocumentRow(
        document_id=document_id,
        external_id=document.external_id,
        title=title,
        url=web_address(text.visible(document.url)) if document.url else None,
        locale=document.locale,
        audience=document.audience,
        updated_at=document.updated_at,
        metadata=_storable(document.metadata),
        content_hash=content,
        chunk_count=len(chunks),
    )
    return _Split(row, language, locale, chunks)


def _compare(fresh: Sequence[_Split], stored: Mapping[uuid.UUID, set[bytes]]) -> tuple[list[ChunkRow], list[KeptChunk]]:
    """Chunks to embed, and those that keep their vectors."""
    new: list[ChunkRow] = []
    kept: list[KeptChunk] = []
    for one in fresh:
        document_id = one.row.document_id
        have = stored.get(document_id, set())
        for position, (digest, chunk) in enumerate(one.chunks.items()):
            if digest in have:
                kept.append(KeptChunk(document_id, digest, position))
            else:
                place = (one.locale, one.language, position)
                new.append(ChunkRow(document_id, digest, *place, chunk.title, chunk.heading, chunk.body))
    return new, kept
