"""The refined tier's vectors: which chunks lack one, the newest first, and how they get it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supportly.storage.database import Database, do, rows
from supportly.storage.knowledge_chunks import current_part, write_vectors
from supportly.storage.knowledge_index import builds_ended
from supportly.storage.knowledge_models import Model

_LACKING = (
    "from chunks c join documents d on d.account_id = c.account_id and d.document_id = c.document_id "
    "where c.account_id = %(a)s and not c.hidden and not exists (select from vectors v "
    "where v.account_id = c.account_id and v.model_id = %(m)s and v.document_id = c.document_id "
    "and v.text_hash = c.text_hash)"
)


@dataclass(frozen=True, slots=True)
class Unread:
    """A chunk that a model has not read yet."""

    document_id: uuid.UUID
    text_hash: bytes
    provider: str
    locale: str | None
    title: str
    heading: str
    body: str


async def lacking(db: Database, account_id: int, model: int, limit: int) -> list[Unread]:
    """Chunks of an account without a vector of this model, of the documents that were stored last first."""
    async with db.tenant(account_id) as c:
        # Without statistics of new rows the planner would look each chunk up in a nested loop over all.
        await do(c, "set local enable_nestloop = off", {})
        found = await rows(
            c,
            "select c.document_id, c.text_hash, c.provider, c.locale, c.title, c.heading, c.body "
            f"{_LACKING} order by d.stored_at desc, c.document_id, c.position limit %(n)s",
            {"a": account_id, "m": model, "n": limit},
        )
    return [Unread(*row) for row in found]


async def count(db: Database, account_id: int, model: int) -> int:
    """How many chunks of an account lack a vector of this model."""
    at = {"a": account_id, "m": model}
    async with db.tenant(account_id) as c:
        known = "select complete from knowledge_indexes where account_id = %(a)s and model_id = %(m)s"
        if (True,) in [tuple(row) for row in await rows(c, known, at)]:
            return 0
        await do(c, "set local enable_nestloop = off", {})
        [(number,)] = await rows(c, f"select count(*) {_LACKING}", at)
    return int(number)


async def done_by_provider(db: Database, account_id: int, model: int) -> dict[str, int]:
    """How many chunks of each provider have a vector of this model."""
    async with db.tenant(account_id) as c:
        found = await rows(
            c,
            "select v.provider, count(*) from vectors v where v.account_id = %(a)s and v.of_account = %(a)s "
            "and v.model_id = %(m)s and not v.hidden group by v.provider",
            {"a": account_id, "m": model},
        )
    return {row[0]: int(row[1]) for row in found}


async def store(db: Database, account_id: int, model: int, read: Sequence[Unread], matrix: NDArray[np.float32]) -> int:
    """Store vectors of chunks that are still there, a row of `matrix` each; answers how many."""
    if not read:
        return 0
    async with db.tenant(account_id) as c:
        at = {"a": account_id, "docs": [r.document_id for r in read], "hashes": [r.text_hash for r in read]}
        # Locked: whoever deletes a chunk now waits, and then finds its vector too.
        there = await rows(
            c,
            "select c.document_id, c.text_hash from chunks c "
            "join unnest(%(docs)s::uuid[], %(hashes)s::bytea[]) k (d, h) on c.document_id = k.d and c.text_hash = k.h "
            "where c.account_id = %(a)s for key share of c",
            at,
        )
        alive = {(row[0], bytes(row[1])) for row in there}
        kept = [place for place, one in enumerate(read) if (one.document_id, bytes(one.text_hash)) in alive]
        stored = 0
        for provider in sorted({read[place].provider for place in kept}):
            mine = [place for place in kept if read[place].provider == provider]
            values = {
                "a": account_id,
                "m": model,
                "p": provider,
                "part": await current_part(c, account_id, model),
                "docs": [read[place].document_id for place in mine],
                "hashes": [read[place].text_hash for place in mine],
                "locales": [read[place].locale for place in mine],
            }
            stored += await write_vectors(c, values, matrix[mine])
        return stored


async def settle(db: Database, account_id: int, model: int, instant: int) -> bool:
    """Note that every chunk of an account has its vector of this model, when it is so."""
    at = {"a": account_id, "m": model, "i": instant}
    async with db.tenant(account_id) as c:
        # Pages that are being written hold this row; those that come after us say that it is no longer so.
        await rows(
            c,
            "select 1 from knowledge_indexes where account_id = %(a)s and model_id = %(i)s for update",
            at,
        )
        await current_part(c, account_id, model)
        await do(c, "set local enable_nestloop = off", {})
        return bool(
            await do(
                c,
                "update knowledge_indexes set complete = true "  # noqa: S608 (our own text)
                "where account_id = %(a)s and model_id = %(m)s "
                f"and not complete and not exists (select {_LACKING})",
                at,
            )
        )


async def lacking_everywhere(db: Database, model: int) -> list[tuple[int, int, int]]:
    """Of every account that has chunks: its number, its chunks, and how many lack a vector of this model."""
    async with db.system() as c:
        found = await rows(c, "select * from knowledge_lacking(%(m)s::int2) order by 1", {"m": model})
    return [(int(a), int(n), int(missing)) for a, n, missing in found]


async def forget(db: Database, model: Model) -> None:
    """Remove what is left of a retired model, account by account. Repeating it is fine."""
    async with db.system() as c:
        found = await rows(c, "select * from knowledge_holding(%(m)s::int2)", {"m": model.id})
    for (account_id,) in found:
        async with db.tenant(account_id) as c:
            at = {"a": account_id, "m": model.id}
            await builds_ended(c, account_id)
            gone = await rows(
                c,
                "delete from knowledge_indexes where account_id = %(a)s and model_id = %(m)s returning name",
                at,
            )
            await do(c, "delete from vectors where account_id = %(a)s and model_id = %(m)s", at)
            for (name,) in gone:
                if name is not None:
                    await do(c, "select knowledge_drop(%(n)s)", {"n": name})
