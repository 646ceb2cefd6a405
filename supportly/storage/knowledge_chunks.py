"""Chunks and their vectors: written, kept and removed together, and from an account's own indexes too."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.storage import knowledge_titles
from supportly.storage.arrays import Uuids, half_vectors
from supportly.storage.database import Database, do, rows


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
class Change:
    """What becomes of chunks: of the documents `replaced`, all that is not `kept` goes, and `added` come."""

    replaced: Sequence[uuid.UUID]
    kept: Sequence[KeptChunk]
    added: Sequence[ChunkRow]
    vectors: NDArray[np.float32]
    model: int


async def known_chunks(db: Database, account_id: int, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, set[bytes]]:
    """Hashes of the stored chunks of these documents."""
    if not ids:
        return {}
    async with db.tenant(account_id) as c:
        found = await rows(
            c,
            "select document_id, array_agg(text_hash) from chunks where account_id = %(a)s "
            "and document_id = any(%(ids)s::uuid[]) group by document_id",
            {"a": account_id, "ids": Uuids(ids)},
        )
    return {row[0]: {bytes(h) for h in row[1]} for row in found}


async def swap(c: AsyncConnection, at: dict[str, Any], change: Change) -> None:
    """Swap the chunks of new and changed documents. PostgreSQL refuses COPY under row-level security, so one INSERT
    writes all rows from binary arrays; it is as fast.
    """
    gone: list[Any] = []
    if change.replaced:
        gone = await _gone(
            c,
            at,
            "c.document_id = any(%(ids)s::uuid[]) and not exists "
            "(select from unnest(%(docs)s::uuid[], %(hashes)b::bytea[]) k (d, h) "
            "where k.d = c.document_id and k.h = c.text_hash)",
            {
                "ids": change.replaced,
                "docs": [k.document_id for k in change.kept],
                "hashes": [k.text_hash for k in change.kept],
            },
        )
    # Before any row of an index is shared: two pages that share one and then both write it wait for each other.
    part = await _entered(c, at["a"], change.model) if change.added else 0
    await _leave_indexes(c, at, gone)
    if change.kept:
        await do(
            c,
            "with k as (select * from unnest(%(docs)s::uuid[], %(hashes)b::bytea[], %(places)s::int2[]) k (d, h, at)), "
            "shown as (update vectors v set hidden = false from k where v.account_id = %(a)s and v.document_id = k.d "
            "and v.text_hash = k.h and v.hidden) "
            "update chunks c set position = k.at, hidden = false from k where c.account_id = %(a)s "
            "and c.document_id = k.d and c.text_hash = k.h and (c.position <> k.at or c.hidden)",
            {
                "a": at["a"],
                "docs": [k.document_id for k in change.kept],
                "hashes": [k.text_hash for k in change.kept],
                "places": [k.position for k in change.kept],
            },
        )
    if change.added:
        await _add(c, at, change, part)


async def _entered(c: AsyncConnection, account_id: int, model: int) -> int:
    """The part that new vectors of a model belong to; what other models have is no longer everything."""
    part = await current_part(c, account_id, model)
    await do(
        c,
        "update knowledge_indexes set complete = false where account_id = %(a)s and model_id <> %(m)s and complete",
        {"a": account_id, "m": model},
    )
    return part


async def _add(c: AsyncConnection, at: dict[str, Any], change: Change, part: int) -> None:
    new = change.added
    values = {
        "a": at["a"],
        "p": at["p"],
        "m": change.model,
        "docs": Uuids([r.document_id for r in new]),
        "hashes": [r.text_hash for r in new],
        "locales": [r.locale for r in new],
    }
    await do(
        c,
        "insert into chunks (account_id, provider, document_id, text_hash, locale, language, position, title, "
        "heading, body) select %(a)s, %(p)s, x.* from unnest(%(docs)s::uuid[], %(hashes)b::bytea[], "
        "%(locales)b::text[], %(languages)b::text[], %(places)s::int2[], %(titles)b::text[], %(headings)b::text[], "
        "%(bodies)b::text[]) x",
        values
        | {
            "languages": [r.language for r in new],
            "places": [r.position for r in new],
            "titles": [r.title for r in new],
            "headings": [r.heading for r in new],
            "bodies": [r.body for r in new],
        },
    )
    await write_vectors(c, values | {"part": part}, change.vectors)
    await do(
        c,
        "insert into knowledge_languages (account_id, language) select %(a)s, x from unnest(%(l)s::text[]) x "
        "on conflict do nothing",
        {"a": at["a"], "l": sorted({r.language for r in new})},
    )


async def current_part(c: AsyncConnection, account_id: int, model: int) -> int:
    """The part that an account's new vectors of a model belong to, locked until the transaction ends.

    A build of the index counts the part up first and so waits for everybody who writes into the old one.
    """
    at = {"a": account_id, "m": model}
    asked = "select part from knowledge_indexes where account_id = %(a)s and model_id = %(m)s for share"
    found = await rows(c, asked, at)
    if not found:
        await do(
            c,
            "insert into knowledge_indexes (account_id, model_id) values (%(a)s, %(m)s) on conflict do nothing",
            at,
        )
        found = await rows(c, asked, at)
    return int(found[0][0])


async def write_vectors(c: AsyncConnection, values: dict[str, Any], matrix: NDArray[np.float32]) -> int:
    """Store vectors of chunks, a row of `matrix` each; answers how many were not there yet.

    `values`: account `a`, model `m`, provider `p`, `part`, and `docs`, `hashes`, `locales` by row.
    """
    return await do(
        c,
        "insert into vectors (account_id, model_id, provider, part, document_id, text_hash, locale, embedding) "
        "select %(a)s, %(m)s, %(p)s, %(part)s, x.* from unnest(%(docs)s::uuid[], %(hashes)b::bytea[], "
        "%(locales)b::text[], %(vectors)s::halfvec[]) x on conflict do nothing",
        {name: values[name] for name in ("a", "m", "p", "part", "docs", "hashes", "locales")}
        | {"vectors": await half_vectors(c, matrix)},
    )


# --- removing --------------------------------------------------------------------------------------------------------


async def _gone(c: AsyncConnection, at: dict[str, Any], where: str, values: dict[str, Any]) -> list[Any]:
    """Delete chunks with their vectors; answers their keys, which may still stand in the account's own indexes."""
    return await rows(
        c,
        f"with gone as (delete from chunks c where c.account_id = %(a)s and {where} "  # noqa: S608 (our own text)
        "returning c.document_id, c.text_hash), bare as (delete from vectors v using gone g "
        "where v.account_id = %(a)s and v.document_id = g.document_id and v.text_hash = g.text_hash) "
        "select document_id, text_hash from gone",
        {"a": at["a"], **values},
    )


async def _leave_indexes(c: AsyncConnection, at: dict[str, Any], gone: Sequence[Any]) -> None:
    """Delete what is gone from the account's own indexes too: nothing of it stays."""
    if not gone:
        return
    built = await rows(
        # Locked, so that no build replaces the table meanwhile.
        c,
        "select name from knowledge_indexes where account_id = %(a)s and name is not null for share",
        {"a": at["a"]},
    )
    keys = {"docs": [row[0] for row in gone], "hashes": [row[1] for row in gone]}
    for (name,) in built:
        await do(
            c,
            f"delete from knowledge_ann.{name} i using unnest(%(docs)s::uuid[], %(hashes)b::bytea[]) k (d, h) "  # noqa: S608
            "where i.document_id = k.d and i.text_hash = k.h",
            keys,
        )
        await do(
            c,
            f"delete from knowledge_ann.{knowledge_titles.of(name)} t using unnest(%(docs)s::uuid[]) k (d) "  # noqa: S608
            f"where t.document_id = k.d and not exists (select from knowledge_ann.{name} i where i.document_id = k.d)",
            keys,
        )


async def delete_chunks(c: AsyncConnection, at: dict[str, Any], ids: Sequence[uuid.UUID]) -> None:
    """Delete all chunks of these documents, with their vectors."""
    if ids:
        await _leave_indexes(c, at, await _gone(c, at, "c.document_id = any(%(ids)s::uuid[])", {"ids": list(ids)}))
