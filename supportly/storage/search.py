"""Finds chunks for a question: by words and by vector, in one snapshot. `knowledge.rank` puts them in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.contracts.knowledge import Audience
from supportly.storage import knowledge_titles
from supportly.storage.database import Database, is_missing_table, rows

Graph = Literal["texts", "titles"]
"""What an account's own index consists of."""
POOL: Final = 64
"""Candidates of each half. Twelve times what is shown, so that the order can lift what one half alone ranks low."""
EF_LEAST: Final = 64
EF_MOST: Final = 600
"""Candidates that an HNSW walk keeps: the least, as many as it answers, and the most. What each graph of an account
needs in between is measured when it was built (`knowledge_recall`); until then it gets the most. pgvector takes no more
than 1,000."""
TITLES: Final = 32
"""Documents that are looked at because their title is near, each with all its chunks. Of 61,000 chunks of 6,800 manuals
each of the nearest ten was among the 64 with the nearest texts or in the 16 documents with the nearest titles. Twice as
many would help where titles are random words, and slow an account of 7,000 chunks of real text down by a half."""
FILTERED: Final = 1.6
"""Behind a filter that leaves one in five, so many times as many candidates."""

_SEEN: Final = (
    "v.account_id = %(a)s and (%(p)s::text is null or v.provider = %(p)s) "
    "and (%(l)s::text is null or v.locale is null or v.locale = %(l)s or v.locale = split_part(%(l)s, '-', 1) "
    "or starts_with(v.locale, %(l)s || '-'))"
)
_NEARNESS: Final = "-(v.embedding <#> %({m}_v)s::halfvec) as similarity"
_EXACT: Final = (
    f"select v.document_id, v.text_hash, {_NEARNESS} from vectors v where "  # noqa: S608 (our own text)
    f"{_SEEN} and v.of_account = %(a)s and v.model_id = %({{m}})s and not v.hidden and v.part > %({{m}}_built)s "
    "order by similarity desc limit %(pool)s"
)
# How many candidates a walk keeps is said in the row that it takes its question from, and so before it begins.
_QUESTION: Final = "(select %({{m}}_v)s::halfvec as v, set_config('hnsw.ef_search', %({{m}}_{0})s, true) offset 0) q"
_TITLED: Final = (
    f"select near.* from {_QUESTION.format('titles')} cross join lateral ("  # noqa: S608 (our own text)
    f"select v.document_id, v.embedding <#> q.v as far from knowledge_ann.{{titles}} v where {_SEEN} "
    f"order by v.embedding <#> q.v limit {TITLES}) near"
)
_OWN: Final = (
    f"select near.* from {_QUESTION.format('texts')} cross join lateral ("  # noqa: S608 (our own text)
    f"select v.document_id, v.text_hash, v.embedding <#> q.v as far from knowledge_ann.{{name}} v where {_SEEN} "
    "order by v.embedding <#> q.v limit %(pool)s) near"
)
# The halves are summed for what either has found, and the best get the similarity of the stored vector, so that where a
# vector stands changes nothing. `offset 0` keeps the planner from joining whole tables.
_INDEXED: Final = (
    f"(with titled as materialized ({_TITLED}), own as materialized ({_OWN}), "  # noqa: S608
    "best as (select o.document_id, o.text_hash, o.far + t.far as far from own o cross join lateral ("
    "select k.embedding <#> %({m}_v)s::halfvec as far from knowledge_ann.{titles} k "
    "where k.account_id = %(a)s and k.document_id = o.document_id offset 0) t "
    "union select k.document_id, k.text_hash, k.far + t.far from titled t cross join lateral ("
    "select c.document_id, c.text_hash, c.embedding <#> %({m}_v)s::halfvec as far from knowledge_ann.{name} c "
    "where c.account_id = %(a)s and c.document_id = t.document_id offset 0) k order by far limit %(pool)s) "
    "select b.document_id, b.text_hash, v.similarity from best b cross join lateral ("
    f"select {_NEARNESS} from vectors v where v.account_id = %(a)s and v.document_id = b.document_id "
    "and v.text_hash = b.text_hash and v.model_id = %({m})s offset 0) v)"
)
# `offset 0` keeps each row a look-up by its key: without statistics of new rows the planner would join whole tables.
_FOUND: Final = """
with said as materialized (
    select document_id, text_hash, score from knowledge_fulltext(%(q)s, %(p)s, %(l)s, %(pool)s)
), {near}, found as (
    select document_id, text_hash from said {union}
)
select c.document_id::text, c.heading, c.body, {similarities}, coalesce(said.score, 0),
    d.title, d.url, d.provider, d.stream, d.locale, d.updated_at, d.audience
from found
cross join lateral (
    select k.document_id, k.text_hash, k.heading, k.body from chunks k
    where k.account_id = %(a)s and k.document_id = found.document_id and k.text_hash = found.text_hash
    and not k.hidden offset 0
) c
cross join lateral (
    select * from documents k
    where k.account_id = %(a)s and k.document_id = found.document_id and k.deleted_at is null offset 0
) d
left join said on said.document_id = found.document_id and said.text_hash = found.text_hash
{nearest}
"""
# Looked up only for what another half has found: a chunk among the nearest brings its own.
_SIMILARITY: Final = (
    "coalesce(near_{m}.similarity, (select -(v.embedding <#> %({m}_v)s::halfvec) from vectors v "
    "where v.account_id = %(a)s and v.model_id = %({m})s "
    "and v.document_id = found.document_id and v.text_hash = found.text_hash))"
)
_NEAR: Final = "left join near_{m} on near_{m}.document_id = found.document_id and near_{m}.text_hash = found.text_hash"


@dataclass(frozen=True)
class Asked:
    """A question as a model reads it: the model's number, and its vector."""

    model: int
    vector: Sequence[float]


@dataclass(frozen=True)
class Sought:
    """What a search looks for: a question as words and as each tier reads it, within the filters.

    `question` is free of NUL; `locale` is lower-case with hyphens; `pool` bounds what each half finds.
    """

    account_id: int
    question: str
    instant: Asked
    refined: Asked | None = None
    provider: str | None = None
    locale: str | None = None
    pool: int = POOL


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that may answer.

    `instant` and `refined` are inner products with the question under each tier's model, None where the chunk has no
    such vector or the tier was not asked. `words` is the full-text score (0: no word matches).
    """

    document_id: str
    heading: str
    body: str
    instant: float | None
    refined: float | None
    words: float
    title: str
    url: str | None
    provider: str
    stream: str
    locale: str | None
    updated_at: datetime | None
    audience: Audience


@dataclass(frozen=True)
class Index:
    """What an account has of a model: the last part in its own index and that index's table, if there is one.

    `complete`: every chunk has a vector of this model. `texts`, `titles`: candidates that a walk in its graphs keeps.
    """

    built: int = -1
    name: str | None = None
    complete: bool = False
    texts: int = EF_MOST
    titles: int = EF_MOST

    def values(self, tier: str, asked: Asked, *, filtered: bool = False) -> dict[str, Any]:
        """What `near` and `walk` need to know of it and of the question."""
        times = FILTERED if filtered else 1
        return {
            tier: asked.model,
            f"{tier}_v": literal(asked.vector),
            f"{tier}_built": self.built,
            f"{tier}_texts": str(round(times * self.texts)),
            f"{tier}_titles": str(round(times * self.titles)),
        }


async def candidates(db: Database, sought: Sought) -> list[Candidate]:
    """Up to `pool` chunks of each half, in no order.

    The refined tier is asked where the account has its vectors, and the instant one unless they are complete.
    """
    try:
        return await _candidates(db, sought)
    except ProgrammingError as error:
        if not is_missing_table(error):
            raise
    # An index was replaced between being named and being read; its successor is there by now.
    return await _candidates(db, sought)


async def _candidates(db: Database, sought: Sought) -> list[Candidate]:
    async with db.tenant(sought.account_id) as c:
        indexes = await read_indexes(c, sought.account_id)
        sql, values = statement(indexes, sought)
        return [Candidate(*row) for row in await rows(c, sql, values)]


def statement(indexes: Mapping[int, Index], sought: Sought) -> tuple[str, dict[str, Any]]:
    """The one statement of a search, and its values."""
    tiers = {"instant": sought.instant}
    if sought.refined is not None and sought.refined.model in indexes:
        tiers["refined"] = sought.refined
        if indexes[sought.refined.model].complete:
            del tiers["instant"]
    at: dict[str, Any] = {
        "a": sought.account_id,
        "q": sought.question,
        "p": sought.provider,
        "l": sought.locale,
        "pool": sought.pool,
    }
    parts, similarities = [], []
    for tier in ("instant", "refined"):
        asked = tiers.get(tier)
        similarities.append(_SIMILARITY.replace("{m}", tier) if asked else "null")
        if asked:
            index = indexes.get(asked.model, Index())
            at |= index.values(tier, asked, filtered=bool(sought.provider or sought.locale))
            parts.append(f"near_{tier} as materialized ({near(tier, index)})")
    sql = _FOUND.format(
        near=", ".join(parts),
        union=" ".join(f"union select document_id, text_hash from near_{tier}" for tier in tiers),  # noqa: S608
        similarities=", ".join(similarities),
        nearest=" ".join(_NEAR.replace("{m}", tier) for tier in tiers),
    )
    return sql, at


async def read_indexes(c: AsyncConnection, account_id: int) -> dict[int, Index]:
    """The account's indexes by model. A filter must not empty an answer: HNSW goes on until enough rows pass it."""
    found = await rows(
        c,
        "select i.model_id, coalesce(i.built_part, -1), i.name, i.complete, coalesce(i.ef_search, %(most)s), "
        "coalesce(i.ef_search_titles, %(most)s) "
        "from (select set_config('hnsw.iterative_scan', 'strict_order', true)) s "
        "cross join knowledge_indexes i where i.account_id = %(a)s",
        {"a": account_id, "most": EF_MOST},
    )
    return {row[0]: Index(*row[1:]) for row in found}


def near(tier: str, index: Index) -> str:
    """The statement that finds a tier's nearest vectors: by an exact scan, and in the account's index if it has one."""
    exact = _EXACT.replace("{m}", tier)
    return exact if index.name is None else f"({exact}) union all {_named(_INDEXED, tier, index.name)}"


def walk(graph: Graph, tier: str, name: str) -> str:
    """The statement of one walk alone: chunks whose texts are near, or documents whose titles are."""
    return _named(_OWN if graph == "texts" else _TITLED, tier, name)


def _named(template: str, tier: str, name: str) -> str:
    return template.replace("{m}", tier).replace("{name}", name).replace("{titles}", knowledge_titles.of(name))


def literal(vector: Sequence[float]) -> str:
    """A vector as PostgreSQL reads it."""
    return f"[{','.join(map(repr, map(float, vector)))}]"
