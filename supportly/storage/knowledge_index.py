"""Indexes of large accounts: an HNSW index of an account's own, built in one go and extended in batches.

A small account is scanned exactly. A large one has a table in the schema `knowledge_ann` for each model; what was
written since its last build stands in later parts of `vectors` and is scanned exactly, so no answer depends on when the
index is brought up to date. Beside it stands a table of titles: an index holds the halves of a vector apart.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.storage import knowledge_titles
from supportly.storage.database import Database, do, is_missing_table, rows
from supportly.storage.knowledge_titles import Embed

INDEXED_FROM: Final = 2_500
"""Vectors of an account from which it has an index: an exact scan of as many takes about two milliseconds."""
EXTENDED_FROM: Final = 500
"""New vectors that are worth joining an index: until then they cost half a millisecond a search."""
REBUILT_FROM: Final = 0.1
"""Share of new vectors from which an index is built anew: one by one they cost some ten times as much."""
WRITING: Final = "hashtextextended(format('index %%s %%s', %(a)s, {}), 0)"
"""The advisory lock of whoever writes an account's index of a model."""
UNBUILT: Final = "name = null, built_part = null, built_rows = null, ef_search = null, ef_search_titles = null"
"""A row of `knowledge_indexes` whose index is gone."""


async def bring_up_to_date(db: Database, account_id: int, model: int, embed: Embed) -> int:
    """Build, extend or drop the index of an account's vectors of a model; answers how many vectors joined it.

    `embed` makes vectors of that model, of the titles of new documents. Several syncs of one account may end at the
    same time; the first to build replaces what the others were at, which end here, and what they would have brought
    is in that build or scanned beside it.
    """
    try:
        return await _brought(db, account_id, model, embed)
    except ProgrammingError as error:
        if not is_missing_table(error):
            raise
        return 0


async def _brought(db: Database, account_id: int, model: int, embed: Embed) -> int:
    at: dict[str, Any] = {"a": account_id, "m": model}
    async with db.tenant(account_id) as c:
        # Documents know how many chunks they have; counting those themselves would read all of the account's text.
        [(total, built, dimensions)] = await rows(
            c,
            "select (select coalesce(sum(chunk_count), 0) from documents where account_id = %(a)s), "
            "(select built_part from knowledge_indexes where account_id = %(a)s and model_id = %(m)s), "
            "(select dimensions from knowledge_models where model_id = %(m)s)",
            at,
        )
        if total < INDEXED_FROM and built is None:
            return 0
        [(new,)] = await rows(
            c,
            "select count(*) from vectors v where v.account_id = %(a)s and v.of_account = %(a)s "
            "and v.model_id = %(m)s and v.part > %(built)s",
            at | {"built": -1 if built is None else built},
        )
    if total < INDEXED_FROM:
        if built is not None and total < INDEXED_FROM / 2:
            await _drop(db, at)
        return 0
    if built is not None and new < EXTENDED_FROM:
        return 0
    async with db.tenant(account_id) as c:
        # Waits for everybody who writes into the part, and sends everybody after it into the next.
        counted = await rows(
            c,
            "update knowledge_indexes set part = part + 1 where account_id = %(a)s and model_id = %(m)s "
            "returning part - 1",
            at,
        )
    if not counted:
        return 0
    at |= {"part": counted[0][0], "d": dimensions}
    return await (_extend if built is not None and new < REBUILT_FROM * total else _build)(db, at, embed)


async def _alone(c: Any, at: dict[str, Any]) -> bool:
    """True when no other process is writing this index."""
    [(alone,)] = await rows(c, f"select pg_try_advisory_xact_lock({WRITING.format('%(m)s')})", at)
    return bool(alone)


async def builds_ended(c: AsyncConnection, account_id: int) -> None:
    """Wait until nobody writes an index of this account; nobody does until the transaction ends.

    Whoever drops indexes begins with it: a build holds tables and then wants their row in `knowledge_indexes`, so who
    has the row already and wants the tables would never get them; and what a build is about to name can't be seen yet.
    """
    await do(
        c,
        f"select pg_advisory_xact_lock({WRITING.format('i.model_id')}) from "  # noqa: S608 (our own text)
        "(select model_id from knowledge_indexes where account_id = %(a)s order by model_id) i",
        {"a": account_id},
    )


async def _build(db: Database, at: dict[str, Any], embed: Embed) -> int:
    await knowledge_titles.prepare(db, at, embed)
    async with db.tenant(at["a"]) as c:
        if not await _alone(c, at):
            return 0
        [(before,)] = await rows(
            c, "select name from knowledge_indexes where account_id = %(a)s and model_id = %(m)s", at
        )
        [(name,)] = await rows(c, "select knowledge_build(%(m)s::int2, %(d)s, %(part)s)", at)
        [(joined,)] = await rows(c, f"select count(*) from knowledge_ann.{name}", {})  # noqa: S608 (our own name)
        await do(
            c,
            "update knowledge_indexes set name = %(name)s, built_part = %(part)s, built_rows = %(n)s, "
            "built_at = now(), ef_search = null, ef_search_titles = null where account_id = %(a)s and model_id = %(m)s",
            at | {"name": name, "n": joined},
        )
        if before is not None and before != name:
            await do(c, "select knowledge_drop(%(n)s)", {"n": before})
    async with db.tenant(at["a"]) as c:
        # What was deleted while the index was built is in it, and must not stay.
        await do(c, "set local enable_nestloop = off", {})
        await do(
            c,
            f"delete from knowledge_ann.{name} i where not exists (select from vectors v "  # noqa: S608
            "where v.account_id = %(a)s and v.model_id = %(m)s and v.document_id = i.document_id "
            "and v.text_hash = i.text_hash)",
            at,
        )
    return int(joined)


async def _extend(db: Database, at: dict[str, Any], embed: Embed) -> int:
    current = "select name from knowledge_indexes where account_id = %(a)s and model_id = %(m)s"
    async with db.tenant(at["a"]) as c:
        [(name,)] = await rows(c, current, at)
    if name is None:  # somebody has just dropped it
        return 0
    await knowledge_titles.complete(db, at, knowledge_titles.of(name), embed)
    async with db.tenant(at["a"]) as c:
        if not await _alone(c, at) or (await rows(c, current, at))[0][0] != name:
            return 0
        joined = await do(
            c,
            f"insert into knowledge_ann.{name} (account_id, document_id, text_hash, provider, locale, embedding) "  # noqa: S608
            "select v.account_id, v.document_id, v.text_hash, v.provider, v.locale, "
            "v.embedding + v.embedding - t.embedding from vectors v "
            "join knowledge_indexes i on i.account_id = v.account_id and i.model_id = v.model_id "
            f"join knowledge_ann.{knowledge_titles.of(name)} t on t.document_id = v.document_id "
            "where v.account_id = %(a)s and v.of_account = %(a)s and v.model_id = %(m)s "
            "and v.part > i.built_part and v.part <= %(part)s and not v.hidden",
            at,
        )
        await do(
            c,
            "update knowledge_indexes set built_part = %(part)s, built_rows = built_rows + %(n)s "
            "where account_id = %(a)s and model_id = %(m)s",
            at | {"n": joined},
        )
    return joined


async def _drop(db: Database, at: dict[str, Any]) -> None:
    async with db.tenant(at["a"]) as c:
        if not await _alone(c, at):
            return
        found = await rows(
            c, "select name from knowledge_indexes where account_id = %(a)s and model_id = %(m)s for update", at
        )
        await do(
            c,
            f"update knowledge_indexes set {UNBUILT} where account_id = %(a)s and model_id = %(m)s",  # noqa: S608
            at,
        )
        for (name,) in found:
            if name is not None:
                await do(c, "select knowledge_drop(%(n)s)", {"n": name})


async def drop_indexes(c: AsyncConnection, account_id: int) -> None:
    """Drop an account's own indexes: they hold what has just gone. What is left is scanned until the next build.

    So do the titles of builds that never came to their end.
    """
    await builds_ended(c, account_id)
    at = {"a": account_id, "mine": rf"^[tv]{account_id}_\d+_\d+$"}
    await do(
        c,
        f"update knowledge_indexes set {UNBUILT} where account_id = %(a)s and name is not null",  # noqa: S608
        at,
    )
    for (name,) in await rows(
        c,
        "select distinct 'v' || substr(c.relname, 2) from pg_class c "
        "where c.relnamespace = 'knowledge_ann'::regnamespace and c.relkind = 'r' and c.relname ~ %(mine)s",
        at,
    ):
        await do(c, "select knowledge_drop(%(n)s)", {"n": name})
