"""Finds chunks for a question: by words and by vector, in one snapshot. `knowledge.rank` puts them in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from supportly.storage.database import Database
from supportly.storage.knowledge import _rows

POOL: Final = 100
"""Candidates of each half. Twenty times what is shown, so that the mix can lift what one half alone ranks low."""
EF_SEARCH: Final = 200
"""Candidates that an HNSW search keeps; it has to be no less than the pool."""

_SEEN: Final = (
    "c.account_id = %(a)s and not c.hidden and (%(p)s::text is null or c.provider = %(p)s) "
    "and (%(l)s::text is null or c.locale is null or c.locale = %(l)s or c.locale = split_part(%(l)s, '-', 1) "
    "or starts_with(c.locale, %(l)s || '-'))"
)
# `+ 0` keeps the planner off the index, which would answer a small tenant's question from other tenants' neighbours.
_EXACT: Final = (
    f"select document_id, text_hash from chunks c where {_SEEN} and not c.ann "  # noqa: S608 (our own text)
    "order by (c.embedding <#> %(v)s::halfvec) + 0 limit %(pool)s"
)
_INDEXED: Final = (
    f"select document_id, text_hash from chunks c where {_SEEN} and c.ann "  # noqa: S608
    "order by c.embedding <#> %(v)s::halfvec limit %(pool)s"
)
# `offset 0` keeps each row a look-up by its key: without statistics of new rows the planner would join whole tables.
_FOUND: Final = """
with said as materialized (
    select document_id, text_hash, score from knowledge_fulltext(%(q)s, %(p)s, %(l)s, %(pool)s)
), near as materialized ({near}), found as (
    select document_id, text_hash from said union select document_id, text_hash from near
)
select c.document_id::text, c.heading, c.body, c.model, -(c.embedding <#> %(v)s::halfvec), coalesce(said.score, 0),
    d.title, d.url, d.provider, d.stream, d.locale, d.updated_at
from found
cross join lateral (
    select * from chunks k
    where k.account_id = %(a)s and k.document_id = found.document_id and k.text_hash = found.text_hash offset 0
) c
cross join lateral (
    select * from documents k
    where k.account_id = %(a)s and k.document_id = found.document_id and k.deleted_at is null offset 0
) d
left join said on said.document_id = found.document_id and said.text_hash = found.text_hash
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that may answer. `similarity` is the inner product, `words` the full-text score (0: no word matches)."""

    document_id: str
    heading: str
    body: str
    model: str
    similarity: float
    words: float
    title: str
    url: str | None
    provider: str
    stream: str
    locale: str | None
    updated_at: datetime | None


async def candidates(
    db: Database,
    account_id: int,
    question: str,
    vector: Sequence[float],
    *,
    provider: str | None = None,
    locale: str | None = None,
    pool: int = POOL,
) -> list[Candidate]:
    """Up to `2 * pool` chunks, in no order. `question` is free of NUL; `locale` is lower-case with hyphens."""
    at = {
        "a": account_id,
        "q": question,
        "v": f"[{','.join(map(repr, map(float, vector)))}]",
        "p": provider,
        "l": locale,
        "pool": pool,
    }
    async with db.tenant(account_id) as c:
        [(indexed,)] = await _rows(c, "select exists (select from chunks where account_id = %(a)s and ann)", at)
        near = _EXACT
        if indexed:
            # A filter must not empty the answer: the index goes on until enough rows pass it.
            await _rows(
                c,
                "select set_config('hnsw.iterative_scan', 'strict_order', true), "
                "set_config('hnsw.ef_search', %(ef)s, true)",
                {"ef": str(EF_SEARCH)},
            )
            near = f"({_EXACT}) union all ({_INDEXED})"
        return [Candidate(*row) for row in await _rows(c, _FOUND.format(near=near), at)]
