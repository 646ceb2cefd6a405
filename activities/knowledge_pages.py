"""One page of a stream, ready to be stored: what is new, what changed, which chunks keep their vectors."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from supportly.contracts.knowledge import Document, KnowledgeJob, RecordFailure, StreamPage
from supportly.errors import ProviderFailure
from supportly.knowledge import embed, split, text
from supportly.knowledge.embed import Embedder
from supportly.storage import knowledge
from supportly.storage.database import Database
from supportly.storage.knowledge import ChunkRow, DocumentRow, KeptChunk, Known, PageWrite, Walk

LONGEST_BODY: Final = 2_000_000
"""Characters; a longer document is a file by mistake, and becomes a failure that says so."""
LONGEST_TITLE: Final = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Split:
    """A new or changed document with its chunks and their hashes."""

    row: DocumentRow
    language: str
    locale: str | None
    chunks: Mapping[bytes, split.Chunk]


async def prepare(
    db: Database, embedder: Embedder, job: KnowledgeJob, stream: str, walk: Walk, page: StreamPage
) -> PageWrite:
    """Compare a page with what is stored, and split and embed what is new. Raises ProviderFailure on a cursor loop."""
    if page.next is not None and page.next == walk.cursor:
        raise ProviderFailure("The provider's paging goes in a circle: the same cursor came twice in a row.")
    # The last one counts where a record comes twice on one page.
    found = {knowledge.document_id(job.account_id, job.provider, stream, d.external_id): d for d in page.documents}
    known = await knowledge.known_documents(db, job.account_id, list(found))
    unchanged, fresh, failures = await asyncio.to_thread(_split_all, found, known, list(page.failures))
    stored = await knowledge.known_chunks(
        db, job.account_id, [s.row.document_id for s in fresh if s.row.document_id in known], embedder.model
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
        walk=walk,
        next_cursor=page.next,
        checkpoint=page.checkpoint,
        unchanged=[(i, found[i].updated_at) for i in unchanged],
        documents=[s.row for s in fresh],
        added=sum(s.row.document_id not in known for s in fresh),
        chunks=chunks,
        kept=kept,
        vectors=vectors,
        model=embedder.model,
        deleted=page.deleted,
        failures=failures,
    )


def _split_all(
    found: Mapping[uuid.UUID, Document], known: Mapping[uuid.UUID, Known], failures: list[RecordFailure]
) -> tuple[list[uuid.UUID], list[_Split], list[RecordFailure]]:
    """Unchanged ids, new or changed documents, and failures with those added that cannot be read."""
    unchanged: list[uuid.UUID] = []
    fresh: list[_Split] = []
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
    # A record that the provider reports as failed and that also came as a document is counted once, as a failure.
    bad = {f.external_id: f for f in failures}
    gone = {i for i, d in found.items() if d.external_id in bad}
    return (
        [i for i in unchanged if i not in gone],
        [s for s in fresh if s.row.document_id not in gone],
        list(bad.values()),
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _Unreadable) else f"The document cannot be read ({type(error).__name__})."


class _Unreadable(ValueError):
    """A document that cannot be stored; the text is for the status."""


def content_hash(document: Document) -> bytes:
    """Sixteen bytes over everything that is stored of a document, but for when it was updated."""
    parts = [split.VERSION, *(getattr(document, name) for name in ("title", "body", "url", "locale", "audience"))]
    # Not orjson: it refuses halves of characters, which providers do send.
    content = json.dumps([parts, document.metadata], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).digest()[:16]


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
    if len(document.body) > LONGEST_BODY:
        raise _Unreadable(f"The document is longer than {LONGEST_BODY} characters.")
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
        url=text.visible(document.url) if document.url else None,
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
