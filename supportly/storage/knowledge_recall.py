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
MOST: Final = 100
FEWEST: Final = 40
A_QUESTION_PER: Final = 500
"""Questions: one for every 500 vectors. A small index misses little, and is built in less time than a hundred exact
scans of it take."""
WORDS: Final = 12
"""Of a question, from the middle of a chunk: about what people type."""
NEAREST: Final = 10
TOGETHER: Final = 20
"""Questions of one transaction, which spares four trips each. Whoever replaces the index meanwhile waits for it: half a
second in an account of 100,000 chunks."""
LADDER: Final = (EF_LEAST, 80, 100, 130, 160, 200, 250, 320, 400)
"""Candidates that are tried."""
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
    at: dict[str, Any] = {"a": account_id, "m": model}
    async with db.tenant(account_id) as c:
        found = await rows(
            c,
            "select name, built_part, built_rows from knowledge_indexes where account_id = %(a)s and model_id = %(m)s "
            "and name is not null and ef_search is null",
            at,
        )
        if not found:
            return None
        [(name, part, held)] = found
        sampled = await rows(
            c,
            f"select c.body from (select document_id, text_hash from knowledge_ann.{name} order by random() "  # noqa: S608
            "limit %(n)s) i join chunks c on c.account_id = %(a)s and c.document_id = i.document_id "
            "and c.text_hash = i.text_hash",
            at | {"n": min(MOST, max(FEWEST, held // A_QUESTION_PER))},
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
    batches = [questions[start : start + TOGETHER] for start in range(0, len(questions), TOGETHER)]
    truth = [await _nearest(db, account_id, Index(), batch) for batch in batches]
    bearable = (1 - TARGET) * sum(len(one) for batch in truth for one in batch)
    for candidates in LADDER:
        missed = 0
        for batch, nearest in zip(batches, truth, strict=True):
            found = await _nearest(db, account_id, index, batch, candidates)
            missed += sum(map(_missed, nearest, found))
            if missed > bearable:
                break
        else:
            return candidates
    return EF_MOST


def _missed(nearest: list[float], found: list[float]) -> int:
    """How many of the truly nearest were not found, by their similarities."""
    bar = min(nearest, default=1.0) - EQUAL
    return max(0, len(nearest) - sum(similarity >= bar for similarity in found))


async def _nearest(
    db: Database, account_id: int, index: Index, questions: list[Asked], candidates: int = EF_LEAST
) -> list[list[float]]:
    """The similarities of the chunks nearest to each question, falling; exact where the index has no name."""
    async with db.tenant(account_id) as c:
        await do(
            c,
            "select set_config('hnsw.iterative_scan', 'strict_order', true), "
            "set_config('hnsw.ef_search', %(ef)s, true)",
            {"ef": str(candidates)},
        )
        found = []
        for asked in questions:
            at: dict[str, Any] = {"a": account_id, "p": None, "l": None, "pool": POOL}
            at |= {"instant": asked.model, "instant_v": literal(asked.vector), "instant_built": index.built}
            near_it = [float(row[2]) for row in await rows(c, near("instant", index), at)]
            found.append(sorted(near_it, reverse=True)[:NEAREST])
        return found


def _question(body: str) -> str:
    """A few words from the middle of a chunk."""
    words = body.split()
    start = max(0, len(words) // 2 - WORDS // 2)
    return " ".join(words[start : start + WORDS])
