"""How many candidates a search in an account's own index keeps: found by asking the index, not guessed.

What HNSW misses falls with the candidates that it keeps (`hnsw.ef_search`), and how many are enough depends on the
texts: of accounts of one size, one needs 64 and another 500. So an index that was built is asked what pieces of its own
texts ask, with more and more candidates, until it finds what an exact scan does.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.exc import ProgrammingError

from supportly.storage.database import Database, do, is_missing_table, rows
from supportly.storage.knowledge_titles import Embed
from supportly.storage.search import EF_LEAST, EF_MOST, POOL, Asked, Index, literal, near

TARGET: Final = 0.995
"""Share of the truly nearest ten that must be found: half a hundredth above what is promised, for it is a sample."""
QUESTIONS: Final = 100
WORDS: Final = 12
"""Of a question, from the middle of a chunk: about what people type."""
NEAREST: Final = 10
LADDER: Final = (EF_LEAST, 80, 100, 130, 160, 200, 250, 320, 400)
"""Candidates that are tried."""
MARGIN: Final = 100
"""So many more are kept than were enough: a piece of a chunk has its own chunk near, so it is an easier question than
people's. Of pieces across sections of 61,000 chunks, 64, which were enough, found 0.981, and 160 found 0.996."""
EQUAL: Final = 1e-6
"""Similarities that differ by less belong to equal texts: either may be found."""


async def calibrate(db: Database, account_id: int, model: int, embed: Embed) -> int | None:
    """Set the candidates of an index that was built since the last time; answers them, or None if there is none.

    No connection is held while questions are embedded. An index that is replaced meanwhile is measured by whoever
    built its successor.
    """
    try:
        return await _calibrated(db, account_id, model, embed)
    except ProgrammingError as error:
        if not is_missing_table(error):
            raise
        return None


async def _calibrated(db: Database, account_id: int, model: int, embed: Embed) -> int | None:
    at: dict[str, Any] = {"a": account_id, "m": model, "n": QUESTIONS}
    async with db.tenant(account_id) as c:
        found = await rows(
            c,
            "select name, built_part from knowledge_indexes where account_id = %(a)s and model_id = %(m)s "
            "and name is not null and ef_search is null",
            at,
        )
        if not found:
            return None
        [(name, part)] = found
        sampled = await rows(
            c,
            f"select c.body from (select document_id, text_hash from knowledge_ann.{name} order by random() "  # noqa: S608
            "limit %(n)s) i join chunks c on c.account_id = %(a)s and c.document_id = i.document_id "
            "and c.text_hash = i.text_hash",
            at,
        )
    vectors = await embed([_question(body) for (body,) in sampled])
    asked = [Asked(model, vector) for vector in vectors.tolist() if any(vector)]
    least = await _least(db, account_id, Index(part, name), asked)
    async with db.tenant(account_id) as c:
        await do(
            c,
            "update knowledge_indexes set ef_search = %(ef)s where account_id = %(a)s and model_id = %(m)s "
            "and name = %(name)s",
            at | {"ef": least, "name": name},
        )
    return least


async def _least(db: Database, account_id: int, index: Index, questions: list[Asked]) -> int:
    """The fewest candidates that reach the target."""
    truth = [await _nearest(db, account_id, Index(), one) for one in questions]
    bars = [min(one, default=1.0) - EQUAL for one in truth]
    for candidates in LADDER:
        found = 0
        for one, bar in zip(questions, bars, strict=True):
            found += sum(s >= bar for s in await _nearest(db, account_id, index, one, candidates))
        if found >= TARGET * sum(map(len, truth)):
            return min(EF_MOST, candidates + MARGIN)
    return EF_MOST


async def _nearest(
    db: Database, account_id: int, index: Index, asked: Asked, candidates: int = EF_LEAST
) -> list[float]:
    """The similarities of the nearest chunks of those that the index holds, falling; exact without its name."""
    at: dict[str, Any] = {"a": account_id, "p": None, "l": None, "pool": POOL}
    at |= {"instant": asked.model, "instant_v": literal(asked.vector), "instant_built": index.built}
    async with db.tenant(account_id) as c:
        await do(c, "select set_config('hnsw.iterative_scan', 'strict_order', true)", {})
        await do(c, "select set_config('hnsw.ef_search', %(ef)s, true)", {"ef": str(candidates)})
        found = await rows(c, near("instant", index), at)
    return sorted((float(row[2]) for row in found), reverse=True)[:NEAREST]


def _question(body: str) -> str:
    """A few words from the middle of a chunk."""
    words = body.split()
    start = max(0, len(words) // 2 - WORDS // 2)
    return " ".join(words[start : start + WORDS])
