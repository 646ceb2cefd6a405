"""Which words are common in an account's chunks: those find too much to find anything by themselves."""

from __future__ import annotations

from typing import Final

from supportly.storage.database import Database, do, rows

COMMON_FROM: Final = 100
"""Chunks that hold a word from which it is common: as many as `knowledge_fulltext` fetches by one word."""
CHANGED_SHARE: Final = 0.2
"""An account is counted anew when it has so many chunks more or less than at the last count."""


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
            "insert into knowledge_common (account_id, word, chunks) select %(a)s, s.word, s.ndoc from "
            "ts_stat(format('select words from chunks where account_id = %%s', %(a)s::bigint)) s "
            "where s.ndoc > %(from)s",
            at,
        )
        return True
