"""How many candidates a search in an account's own index keeps: found by asking the index, not guessed.

What HNSW misses falls with the candidates that it keeps (`hnsw.ef_search`), and how many are enough depends on the
texts: of accounts of one size, one needs 64 and another 500, and its titles other than its texts. So both graphs of an
index that was built are asked what pieces of its own texts ask, with more and more candidates, until together they find
what an exact scan does.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, Final

from sqlalchemy.exc import ProgrammingError

from supportly.storage.database import Database, do, is_missing_table, rows
from supportly.storage.knowledge_titles import Embed
from supportly.storage.search import EF_LEAST, EF_MOST, POOL, Asked, Graph, Index, near, walk

Found = set[tuple[Any, ...]]
"""Chunks as (document, text hash), or documents as (document,)."""
Nearest = list[tuple[Any, bytes, float]]
"""Chunks as (document, text hash, similarity), the nearest first."""

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
"""Candidates that are tried in each graph."""
PAIRS: Final = sorted(product(LADDER, LADDER), key=lambda pair: (sum(pair), pair))
"""Of the texts' graph and the titles', cheapest first: a walk takes about as long as it keeps candidates."""
EQUAL: Final = 1e-6
"""Similarities that differ by less belong to equal texts: either may be found."""
LOOKED_AT: Final = 400
"""Nearest chunks that are known of a question, so that equal ones are known to be."""


async def calibrate(db: Database, account_id: int, model: int, embed: Embed) -> tuple[int, int] | None:
    """Set the candidates of an index that was built since the last time; None if there is none.

    Answers those of its texts and of its titles.

    No connection is held while questions are embedded. An index that is replaced meanwhile is measured by whoever
    built its successor.
    """
    try:
        return await _calibrated(db, account_id, model, embed)
    except ProgrammingError as error:
        if not is_missing_table(error):
            raise
        return None


async def _calibrated(db: Database, account_id: int, model: int, embed: Embed) -> tuple[int, int] | None:
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
    least = await Trial(db, account_id, Index(part, name), asked).least()
    async with db.tenant(account_id) as c:
        await do(
            c,
            "update knowledge_indexes set ef_search = %(texts)s, ef_search_titles = %(titles)s "
            "where account_id = %(a)s and model_id = %(m)s and name = %(name)s",
            at | {"texts": least[0], "titles": least[1], "name": name},
        )
    return least


class Trial:
    """Questions whose answers are known, and what each walk found for them: no walk is taken twice."""

    def __init__(self, db: Database, account_id: int, index: Index, questions: list[Asked]) -> None:
        self._db, self._account_id, self._index = db, account_id, index
        self._batches = [questions[start : start + TOGETHER] for start in range(0, len(questions), TOGETHER)]
        self._walked: dict[tuple[Graph, int, int], list[Found]] = {}

    async def least(self) -> tuple[int, int]:
        """The fewest candidates of texts and titles that reach the target."""
        truth = [await self._nearest(batch) for batch in self._batches]
        bearable = (1 - TARGET) * NEAREST * sum(map(len, truth))
        for texts, titles in PAIRS:
            missed = 0
            for n, nearest in enumerate(truth):
                own = await self._walks("texts", texts, n)
                titled = await self._walks("titles", titles, n)
                missed += sum(map(_missed, nearest, own, titled))
                if missed > bearable:
                    break
            else:
                return texts, titles
        return EF_MOST, EF_MOST

    async def _nearest(self, questions: list[Asked]) -> list[Nearest]:
        """The chunks that are truly nearest to each question."""
        return await self._asked(near("instant", Index()), Index(), questions, LOOKED_AT)

    async def _walks(self, graph: Graph, candidates: int, n: int) -> list[Found]:
        """What one batch's walks find in a graph."""
        key = (graph, candidates, n)
        if key not in self._walked:
            index, name = replace(self._index, texts=candidates, titles=candidates), self._index.name or ""
            found = await self._asked(walk(graph, "instant", name), index, self._batches[n], POOL)
            self._walked[key] = [{tuple(row[:-1]) for row in each} for each in found]
        return self._walked[key]

    async def _asked(self, sql: str, index: Index, questions: list[Asked], pool: int) -> list[list[Any]]:
        async with self._db.tenant(self._account_id) as c:
            await do(c, "select set_config('hnsw.iterative_scan', 'strict_order', true)", {})
            at: dict[str, Any] = {"a": self._account_id, "p": None, "l": None, "pool": pool}
            return [await rows(c, sql, at | index.values("instant", asked)) for asked in questions]


def _missed(nearest: Nearest, own: Found, titled: Found) -> int:
    """How many of the truly nearest are neither among the texts nor in the documents that were found."""
    wanted = nearest[:NEAREST]
    bar = wanted[-1][2] - EQUAL if wanted else 1.0
    right = [(document, text) for document, text, similarity in nearest if similarity >= bar]
    if len(right) == LOOKED_AT:
        return 0  # too many are equal: any of them is an answer
    return max(0, len(wanted) - sum(chunk in own or chunk[:1] in titled for chunk in right))


def _question(body: str) -> str:
    """A few words from the middle of a chunk."""
    words = body.split()
    start = max(0, len(words) // 2 - WORDS // 2)
    return " ".join(words[start : start + WORDS])
