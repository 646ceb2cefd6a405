"""The titles of an account's own index: every document that it holds, by the vector of its title.

An index holds the halves of its vectors apart (migration 0014 says why). A title's vector is stored nowhere else, so it
is made when the index is, and kept from one build to the next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from supportly.storage.arrays import half_vectors
from supportly.storage.database import Database, do, rows

AT_ONCE: Final = 2_000
"""Titles that are embedded and written together: two megabytes of vectors."""

Embed = Callable[[Sequence[str]], Awaitable[NDArray[np.float32]]]
"""Texts to unit vectors of the index's model, a row each."""


def of(index: str) -> str:
    """The table of titles that belongs to an index's table."""
    return "t" + index[1:]


async def prepare(db: Database, at: dict[str, Any], embed: Embed) -> str:
    """A new table of titles for a build up to `at["part"]`; answers its name."""
    async with db.tenant(at["a"]) as c:
        [(table,)] = await rows(c, "select knowledge_titles(%(m)s::int2, %(d)s, %(part)s)", at)
        await do(
            c,
            f"delete from knowledge_ann.{table} t where not exists (select from documents d "  # noqa: S608 (our name)
            "where d.account_id = %(a)s and d.document_id = t.document_id and d.deleted_at is null)",
            at,
        )
    await complete(db, at, table, embed)
    return str(table)


async def complete(db: Database, at: dict[str, Any], table: str, embed: Embed) -> None:
    """Add the titles that a table lacks, and those that have changed. No connection is held while they are embedded."""
    async with db.tenant(at["a"]) as c:
        # Without statistics of new rows the planner would look each title up in a nested loop over all.
        await do(c, "set local enable_nestloop = off", {})
        lacking = await rows(
            c,
            "select d.document_id, d.title, md5(d.title), d.provider, d.locale from documents d "  # noqa: S608
            f"left join knowledge_ann.{table} t on t.document_id = d.document_id and t.title_hash = md5(d.title) "
            "where d.account_id = %(a)s and d.deleted_at is null and d.chunk_count > 0 and t.document_id is null",
            at,
        )
    for start in range(0, len(lacking), AT_ONCE):
        some = lacking[start : start + AT_ONCE]
        texts = list(dict.fromkeys(row[1] for row in some))
        places = {text: place for place, text in enumerate(texts)}
        vectors = (await embed(texts))[[places[row[1]] for row in some]]
        async with db.tenant(at["a"]) as c:
            await do(
                c,
                f"insert into knowledge_ann.{table} (account_id, document_id, title_hash, provider, locale, embedding) "  # noqa: S608
                "select %(a)s, x.* from unnest(%(docs)s::uuid[], %(hashes)s::text[], %(providers)s::text[], "
                "%(locales)s::text[], %(vectors)s::halfvec[]) x on conflict (document_id) do update set "
                "title_hash = excluded.title_hash, locale = excluded.locale, embedding = excluded.embedding",
                {
                    "a": at["a"],
                    "docs": [row[0] for row in some],
                    "hashes": [row[2] for row in some],
                    "providers": [row[3] for row in some],
                    "locales": [row[4] for row in some],
                    "vectors": await half_vectors(c, vectors),
                },
            )
