"""Which words are common in an account's chunks: those find too much to find anything by themselves."""

from __future__ import annotations

import uuid
from typing import Any, Final

from supportly.storage.database import Database, do, rows

COMMON_FROM: Final = 100
"""Chunks that hold a word from which it is common: as many as `knowledge_fulltext` fetches by one word."""
CHANGED_SHARE: Final = 0.2
"""An account is counted anew when it has so many chunks more or less than at the last count."""
COUNTED: Final = 20_000
"""Chunks that are read for a count, about: of more a sample is enough to tell a common word from a rare one."""


async def settle(db: Database, account_id: int) -> None:
    """Let words that were just written join the index proper; until then every search reads their list."""
    async with db.tenant(account_id) as c:
        await do(c, "select knowledge_settle()", {})


async def count_common(db: Database, account_id: int) -> bool:
    """Count an account's common words, if it has changed much since the last time; True when they were counted."""
    at = {"a": account_id, "from": COMMON_FROM, "share": CHANGED_SHARE}
    async with db.tenant(account_id) as c:
        due = await rows(
            c,
            "select n.chunks from (select coalesce(sum(chunk_count), 0)::int as chunks from documents "
            "where account_id = %(a)s) n, "
            "(select max(l.counted) as counted from knowledge_languages l where l.account_id = %(a)s) l "
            "where (n.chunks > %(from)s or l.counted is not null) "
            "and abs(n.chunks - coalesce(l.counted, 0)) > %(share)s * n.chunks",
            at,
        )
        if not due:
            return False
        await do(c, "update knowledge_languages set counted = %(n)s where account_id = %(a)s", at | {"n": due[0][0]})
        await do(c, "delete from knowledge_common where account_id = %(a)s", at)
        await do(
            c,
            "insert into knowledge_common (account_id, term, chunks) select %(a)s, t.term, count(*) * %(times)s "
            "from chunks c cross join lateral unnest(c.terms) t (term) "
            "where c.account_id = %(a)s and c.document_id <= %(to)s::uuid "
            "group by t.term having count(*) * %(times)s > %(from)s",
            at | _sample(due[0][0]),
        )
        return True


def _sample(chunks: int) -> dict[str, Any]:
    """The documents that stand for all, and what one counts for. Ids are hashes: those up to a bound are a sample."""
    times = max(1, chunks // COUNTED)
    return {"times": times, "to": uuid.UUID(int=(2**128 - 1) // times)}
