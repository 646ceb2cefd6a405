"""Which words are common in an account's chunks: those find too much to find anything by themselves."""

from __future__ import annotations

from typing import Final

from supportly.storage.database import Database, do, rows

COMMON_FROM: Final = 300
"""Chunks that hold a word from which it is common: as many as `knowledge_fulltext` fetches by one word."""
CHANGED_SHARE: Final = 0.2
"""An account is counted anew when it has so many chunks more or less than at the last count."""


async def count_common(db: Database, account_id: int) -> int:
    """Count the common words of each language that has changed much; answers how many languages were counted."""
    async with db.tenant(account_id) as c:
        due = await rows(
            c,
            "select l.language, n.chunks from knowledge_languages l cross join lateral ("
            "select count(*) as chunks from chunks c where c.account_id = %(a)s and c.language = l.language) n "
            "where l.account_id = %(a)s and (n.chunks >= %(from)s or l.counted is not null) "
            "and abs(n.chunks - coalesce(l.counted, 0)) > %(share)s * n.chunks",
            {"a": account_id, "from": COMMON_FROM, "share": CHANGED_SHARE},
        )
    for language, chunks in due:
        async with db.tenant(account_id) as c:
            at = {"a": account_id, "l": language, "n": chunks, "from": COMMON_FROM}
            await do(
                c,
                "update knowledge_languages set counted = %(n)s where account_id = %(a)s and language = %(l)s",
                at,
            )
            await do(c, "delete from knowledge_common where account_id = %(a)s and language = %(l)s", at)
            await do(
                c,
                "insert into knowledge_common (account_id, language, word, chunks) "
                "select %(a)s, %(l)s, s.word, s.ndoc from ts_stat(format("
                "'select words from chunks where account_id = %%s and language = %%L', %(a)s::bigint, %(l)s::text)) s "
                "where s.ndoc > %(from)s",
                at,
            )
    return len(due)
