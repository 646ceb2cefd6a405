"""What is deleted after a walk, what is held back for an administrator, and how a decision is undone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.contracts.knowledge import KnowledgeJob
from supportly.errors import Conflict, NotFound
from supportly.storage import events
from supportly.storage.database import Database, do, rows
from supportly.storage.knowledge import UNDO_FOR, Superseded, forget_seen, place, still_ours
from supportly.storage.knowledge_index import drop_indexes
from supportly.storage.knowledge_pages import delete_documents

HELD_SHARE: Final = 0.3
"""A sweep that would remove more than this share of a stream waits for an administrator…"""
HELD_FROM: Final = 5
"""…unless it is this many documents or fewer, and some stay."""

_MISSING: Final = (
    "with seen as materialized (select unnest(k.documents) id from knowledge_seen k where k.account_id = %(a)s "
    "and k.provider = %(p)s and k.stream = %(s)s), "
    "missing as materialized (select d.document_id, d.external_id, d.missed_walk from documents d, knowledge_streams s "
    "where d.account_id = %(a)s and d.provider = %(p)s and d.stream = %(s)s "
    "and s.account_id = %(a)s and s.provider = %(p)s and s.stream = %(s)s and s.run_epoch = %(e)s "
    "and s.state = 'walked' and s.complete and d.deleted_at is null and not d.kept "
    "and not exists (select from seen where seen.id = d.document_id)) "
)
"""Documents that the complete walk which has just ended did not meet."""


@dataclass(frozen=True)
class Swept:
    """What a sweep removed, and how much it holds back."""

    deleted: int = 0
    held: int = 0


@dataclass(frozen=True)
class Missing:
    """What a walk that has just ended did not meet: whether there is anything, and what is missing for the first time
    (external ids, worth asking the provider for).
    """

    any: bool
    first_time: list[str]


async def missing(db: Database, job: KnowledgeJob, stream: str, limit: int) -> Missing:
    """Compare a walk with what is stored; names up to `limit` documents that it missed for the first time."""
    async with db.tenant(job.account_id) as c:
        await _compare_at_once(c)
        found = await rows(
            c,
            _MISSING + "select case when missed_walk is null then external_id end from missing "  # noqa: S608 (our own text)
            "order by missed_walk is not null, external_id limit %(limit)s",
            place(job, stream) | {"limit": limit},
        )
    return Missing(bool(found), [row[0] for row in found if row[0] is not None])


async def sweep(db: Database, job: KnowledgeJob, stream: str, gone: Sequence[str], *, compare: bool = True) -> Swept:
    """End a stream's walk: remove what two complete walks in a row missed, and what the provider says is `gone`.

    `compare` is False where nothing is missing.

    A sweep that would remove too much is held instead. Sweeping twice changes nothing. Raises Superseded.
    """
    at = place(job, stream)
    async with db.tenant(job.account_id) as c:
        await still_ours(c, at)
        row = await rows(
            c,
            "select state, walk from knowledge_streams where account_id = %(a)s and provider = %(p)s "
            "and stream = %(s)s and run_epoch = %(e)s for update",
            at,
        )
        if not row:
            raise Superseded("A newer run of this sync has taken over.")
        if row[0][0] != "walked":
            return Swept()
        await _compare_at_once(c)
        missed: list[Any] = []
        if compare:
            missed = await rows(
                c,
                _MISSING  # noqa: S608 (our own text)
                + "select document_id, missed_walk is not null or external_id = any(%(gone)s::text[]) from missing",
                at | {"gone": list(gone)},
            )
        ids = [document for document, certain in missed if certain]
        await do(
            c,
            "update documents set missed_walk = %(w)s where account_id = %(a)s "
            "and document_id = any(%(ids)s::uuid[]) and missed_walk is null",
            at | {"w": row[0][1], "ids": [document for document, _ in missed]},
        )
        [(total,)] = await rows(
            c,
            "select count(*) from documents where account_id = %(a)s and provider = %(p)s and stream = %(s)s "
            "and deleted_at is null",
            at,
        )
        held = bool(ids) and (len(ids) == total or (len(ids) > HELD_FROM and len(ids) > HELD_SHARE * total))
        deleted = 0
        if held:
            await _hold(c, at, ids, total)
        else:
            deleted = await delete_documents(c, at, ids)
            await _void_hold(c, at)
            await do(
                c,
                "update sync_runs set deleted = deleted + %(n)s where account_id = %(a)s and run_id = %(r)s",
                at | {"n": deleted},
            )
        await _forget_unlisted(c, at)
        await do(
            c,
            "update knowledge_streams set state = 'swept', "
            "full_walk = case when complete then walk else full_walk end, "
            "full_walk_at = case when since is null then now() else full_walk_at end "
            "where account_id = %(a)s and provider = %(p)s and stream = %(s)s",
            at,
        )
        await forget_seen(c, at)
        return Swept(deleted, len(ids) if held else 0)


async def _compare_at_once(c: AsyncConnection) -> None:
    """Let the planner hash what was seen: it knows nothing of rows that have just come, and would compare each with
    each.
    """
    await do(c, "set local enable_nestloop = off", {})


async def _forget_unlisted(c: AsyncConnection, at: dict[str, Any]) -> None:
    """A record that failed, is not stored and is not listed any more has nothing left to fail."""
    await do(
        c,
        "delete from sync_failures f using knowledge_streams s where f.account_id = %(a)s and f.provider = %(p)s "
        "and f.stream = %(s)s and s.account_id = %(a)s and s.provider = %(p)s and s.stream = %(s)s and s.complete "
        "and not exists (select from sync_runs r where r.account_id = %(a)s and r.run_id = f.run_id "
        "and r.epoch >= s.walk) and not exists (select from documents d where d.account_id = %(a)s "
        "and d.provider = %(p)s and d.stream = %(s)s and d.external_id = f.external_id and d.deleted_at is null)",
        at,
    )


async def _hold(c: AsyncConnection, at: dict[str, Any], ids: list[uuid.UUID], total: int) -> None:
    """Hold a sweep. One that waits already keeps its run id, by which people know it, and is brought up to date."""
    values = at | {"ids": ids, "n": total}
    waiting = await do(
        c,
        "update held_deletions set documents = %(ids)s::uuid[], of_total = %(n)s "
        "where account_id = %(a)s and provider = %(p)s and stream = %(s)s and status = 'held'",
        values,
    )
    if not waiting:
        await do(
            c,
            "insert into held_deletions (account_id, run_id, stream, provider, documents, of_total, status) "
            "values (%(a)s, %(r)s, %(s)s, %(p)s, %(ids)s::uuid[], %(n)s, 'held')",
            values,
        )
        counted = {"run_id": str(at["r"]), "stream": at["s"], "documents": len(ids), "of_total": total}
        await events.note(c, at["a"], at["p"], "knowledge.deletions_held", counted)


async def _void_hold(c: AsyncConnection, at: dict[str, Any]) -> None:
    await do(
        c,
        "update held_deletions set status = 'void', decided_at = now() where account_id = %(a)s "
        "and provider = %(p)s and stream = %(s)s and status = 'held'",
        at,
    )


# --- an administrator's decisions ------------------------------------------------------------------------------------


async def confirm(db: Database, account_id: int, provider: str, run_id: str) -> int:
    """Delete what a run holds back, as far as it has not been seen since; answers how many documents went.

    They stay as tombstones for a day. Raises NotFound for a run that holds nothing, Conflict when it was decided.
    """
    async with db.tenant(account_id) as c:
        at = await _decide(c, account_id, provider, run_id, to="confirmed", was="held")
        gone = await rows(
            c,
            "update documents d set deleted_at = now() from held_deletions h "
            "where h.account_id = %(a)s and h.run_id = %(r)s and h.provider = %(p)s and h.status = 'confirmed' "
            "and d.account_id = %(a)s and d.document_id = any(h.documents) and d.deleted_at is null "
            "and d.missed_walk is not null returning d.document_id",
            at,
        )
        return await _mark(c, at, [row[0] for row in gone], hidden=True)


async def reject(db: Database, account_id: int, provider: str, run_id: str) -> int:
    """Keep what a run holds back, until the provider shows it again; answers how many documents stay by that.

    What it has shown again since is not among them: it needs no keeping, and may vanish like any other.
    """
    async with db.tenant(account_id) as c:
        at = await _decide(c, account_id, provider, run_id, to="rejected", was="held")
        return await do(
            c,
            "update documents d set kept = true from held_deletions h "
            "where h.account_id = %(a)s and h.run_id = %(r)s and h.provider = %(p)s and h.status = 'rejected' "
            "and d.account_id = %(a)s and d.document_id = any(h.documents) and d.missed_walk is not null",
            at,
        )


async def undo(db: Database, account_id: int, provider: str, run_id: str) -> int:
    """Bring back what `confirm` deleted, within a day; answers how many documents came back."""
    async with db.tenant(account_id) as c:
        at = await _decide(c, account_id, provider, run_id, to="undone", was="confirmed")
        back = await rows(
            c,
            "update documents d set deleted_at = null, kept = true from held_deletions h where h.account_id = %(a)s "
            "and h.run_id = %(r)s and h.provider = %(p)s and h.status = 'undone' and d.account_id = %(a)s "
            "and d.document_id = any(h.documents) and d.deleted_at is not null returning d.document_id",
            at,
        )
        return await _mark(c, at, [row[0] for row in back], hidden=False)


async def _decide(
    c: AsyncConnection, account_id: int, provider: str, run_id: str, *, to: str, was: str
) -> dict[str, Any]:
    try:
        at: dict[str, Any] = {"a": account_id, "p": provider, "r": uuid.UUID(run_id), "undo": UNDO_FOR}
    except ValueError:
        raise NotFound("There is no such run.") from None
    found = await rows(
        c,
        "select status, decided_at < now() - %(undo)s from held_deletions "
        "where account_id = %(a)s and run_id = %(r)s and provider = %(p)s for update",
        at,
    )
    if not found:
        raise NotFound("No deletions are held for this run.")
    if not any(status == was and not (was == "confirmed" and late) for status, late in found):
        raise Conflict(f"The deletions of this run are {found[0][0]} already.", details={"status": found[0][0]})
    await do(
        c,
        "update held_deletions set status = %(to)s, decided_at = now() where account_id = %(a)s and run_id = %(r)s "
        "and provider = %(p)s and status = %(was)s",
        at | {"to": to, "was": was},
    )
    return at


async def _mark(c: AsyncConnection, at: dict[str, Any], ids: list[uuid.UUID], *, hidden: bool) -> int:
    for table in ("chunks", "vectors"):
        await do(
            c,
            f"update {table} set hidden = %(h)s where account_id = %(a)s "  # noqa: S608 (our own names)
            "and document_id = any(%(ids)s::uuid[])",
            {"a": at["a"], "ids": ids, "h": hidden},
        )
    await do(
        c,
        "update sync_runs set deleted = greatest(0, deleted + %(n)s) where account_id = %(a)s and run_id = %(r)s",
        at | {"n": len(ids) if hidden else -len(ids)},
    )
    return len(ids)


PURGED: Final = (
    "knowledge_streams", "knowledge_seen", "chunks", "vectors", "documents", "sync_failures", "held_deletions",
    "sync_runs", "knowledge_samples",
)  # fmt: skip


async def purge(db: Database, account_id: int, provider: str) -> None:
    """Remove all knowledge of a provider. Epochs stay, so that an attempt which is still alive can write nothing."""
    at = {"a": account_id, "p": provider}
    async with db.tenant(account_id) as c:
        # First the walks: a page that is being written has locked its own, and finds nothing afterwards.
        for table in PURGED:
            await do(c, f"delete from {table} where account_id = %(a)s and provider = %(p)s", at)  # noqa: S608
        await drop_indexes(c, account_id)
