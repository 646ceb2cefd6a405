"""The course of a sync: runs with their epochs, walks with their cursors, and the counts of what was done."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.contracts.knowledge import Counts, KnowledgeJob
from supportly.errors import Conflict
from supportly.storage import events
from supportly.storage.database import Database, do, rows
from supportly.storage.knowledge_chunks import delete_chunks

FULL_WALK_EVERY: Final = timedelta(hours=24)
"""At least this often a scheduled run walks everything: only a complete walk notices what vanished without a signal."""

ENDED_SILENTLY: Final = "The run ended without a word (stopped, or overtaken by a newer one)."

COUNTS: Final = tuple(Counts.model_fields)


class Superseded(Conflict):
    """A newer run, another attempt or another connection took over; nothing was written."""

    code = "sync_superseded"


def document_id(account_id: int, provider: str, stream: str, external_id: str) -> uuid.UUID:
    """A document's id: the same for the same record in every sync, so that writing needs no look-up."""
    name = f"{account_id}\x1f{provider}\x1f{stream}\x1f{external_id}"
    return uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16])


@dataclass(frozen=True)
class Plan:
    """A stream that is on, and what it can do."""

    id: str
    incremental: bool
    complete: bool


@dataclass(frozen=True)
class Walk:
    """Where a stream's walk stands."""

    walk: int
    complete: bool
    since: str | None
    cursor: str | None
    state: str


# --- runs ------------------------------------------------------------------------------------------------------------


async def open_run(db: Database, job: KnowledgeJob, streams: Sequence[Plan], *, now: datetime) -> KnowledgeJob:
    """Open a run: a new epoch, a walk for every stream that is on, and those of streams switched off removed.

    Answers the job with run, epoch, generation and streams filled in. Opening the same run again answers the same.
    """
    run_id = uuid.UUID(job.run_id)
    async with db.tenant(job.account_id) as c:
        at = {"a": job.account_id, "p": job.provider}
        known = await rows(
            c,
            "select epoch, generation, complete, streams from sync_runs where account_id = %(a)s and run_id = %(r)s",
            at | {"r": run_id},
        )
        if not known:
            known = [await _begin(c, job, streams, run_id, now)]
        epoch, generation, complete, chosen = known[0]
    return job.model_copy(update={"epoch": epoch, "generation": generation, "full": complete, "streams": list(chosen)})


async def _begin(
    c: AsyncConnection, job: KnowledgeJob, streams: Sequence[Plan], run_id: uuid.UUID, now: datetime
) -> tuple[int, int, bool, list[str]]:
    at: dict[str, Any] = {"a": job.account_id, "p": job.provider, "now": now}
    [(epoch,)] = await rows(
        c,
        "insert into sync_epochs (account_id, provider, epoch) values (%(a)s, %(p)s, 1) "
        "on conflict (account_id, provider) do update set epoch = sync_epochs.epoch + 1 returning epoch",
        at,
    )
    await do(
        c,
        "update sync_runs r set state = 'failed', finished_at = now(), failed_streams = failed_streams || coalesce("
        "(select jsonb_object_agg(k.stream, %(why)s::text) from knowledge_streams k where k.account_id = %(a)s "
        "and k.provider = %(p)s and k.run_epoch = r.epoch and k.state <> 'swept' and not r.failed_streams ? k.stream)"
        ", '{}') where account_id = %(a)s and provider = %(p)s and state = 'running'",
        at | {"why": ENDED_SILENTLY},
    )
    removed = await _drop_switched_off(c, at | {"on": [s.id for s in streams]}, job.generation)
    await _expire_tombstones(c, at)
    complete = True
    for stream in streams:
        full = await _begin_walk(c, stream, job, at | {"s": stream.id, "e": epoch, "g": job.generation})
        complete = complete and full
    names = [s.id for s in streams]
    await do(
        c,
        "insert into sync_runs (account_id, run_id, provider, epoch, generation, trigger, complete, streams, state, "
        "deleted) values (%(a)s, %(r)s, %(p)s, %(e)s, %(g)s, %(t)s, %(full)s, %(names)s, 'running', %(d)s)",
        at
        | {"r": run_id, "e": epoch, "g": job.generation, "t": job.trigger, "full": complete}
        | {"names": names, "d": removed},
    )
    return epoch, job.generation, complete, names


async def _begin_walk(c: AsyncConnection, stream: Plan, job: KnowledgeJob, at: dict[str, Any]) -> bool:
    """Begin a stream's walk, or go on with one that an earlier run left; True when it is over everything."""
    found = await rows(
        c,
        "select state, cursor, complete, generation, checkpoint, "
        "coalesce(full_walk_at < %(now)s - %(every)s, true), "
        "exists (select from sync_failures f where f.account_id = %(a)s and f.provider = %(p)s and f.stream = %(s)s) "
        "from knowledge_streams where account_id = %(a)s and provider = %(p)s and stream = %(s)s for update",
        at | {"every": FULL_WALK_EVERY},
    )
    state, cursor, complete, generation, checkpoint, overdue, failures = (
        found[0] if found else ("", None, True, job.generation, None, True, False)
    )
    same = generation == job.generation
    # A person who asks now wants what stands there now, from the first page on; a scheduled run goes on where an
    # earlier one had to stop (a token that ended, a provider that was down).
    if job.trigger == "schedule" and state == "walking" and cursor is not None and same:
        await do(
            c,
            "update knowledge_streams set run_epoch = %(e)s "
            "where account_id = %(a)s and provider = %(p)s and stream = %(s)s",
            at,
        )
        return bool(complete)
    # Records that failed are only met again by a walk over everything.
    full = not (
        job.trigger == "schedule" and stream.incremental and checkpoint and same and not overdue and not failures
    )
    await do(
        c,
        "insert into knowledge_streams (account_id, provider, stream, generation, run_epoch, walk, complete, since, "
        "state) values (%(a)s, %(p)s, %(s)s, %(g)s, %(e)s, %(e)s, %(complete)s, %(since)s, 'walking') "
        "on conflict (account_id, provider, stream) do update set generation = excluded.generation, "
        "run_epoch = excluded.run_epoch, walk = excluded.walk, complete = excluded.complete, since = excluded.since, "
        "cursor = null, pages = 0, state = 'walking', "
        "full_walk = case when %(same)s then knowledge_streams.full_walk end",
        at | {"complete": full and stream.complete, "since": None if full else checkpoint, "same": same},
    )
    await forget_seen(c, at)
    return full


async def forget_seen(c: AsyncConnection, at: dict[str, Any]) -> None:
    """Forget what walks of a stream have met: a new one begins, or its sweep is done."""
    await do(c, "delete from knowledge_seen where account_id = %(a)s and provider = %(p)s and stream = %(s)s", at)


async def _drop_switched_off(c: AsyncConnection, at: dict[str, Any], generation: int) -> int:
    """Remove documents of streams that are off, and of an earlier generation of the connection."""
    gone = await rows(
        c,
        "delete from documents where account_id = %(a)s and provider = %(p)s "
        "and (not stream = any(%(on)s::text[]) or generation <> %(g)s) returning document_id, deleted_at is null",
        at | {"g": generation},
    )
    await delete_chunks(c, at, [row[0] for row in gone])
    for table in ("knowledge_streams", "knowledge_seen", "sync_failures", "held_deletions"):
        await do(
            c,
            f"delete from {table} where account_id = %(a)s and provider = %(p)s "  # noqa: S608 (our own names)
            "and not stream = any(%(on)s::text[])",
            at,
        )
    return sum(row[1] for row in gone)


UNDO_FOR: Final = timedelta(hours=24)
"""How long a confirmed deletion can be brought back."""


async def _expire_tombstones(c: AsyncConnection, at: dict[str, Any]) -> None:
    gone = await rows(
        c,
        "delete from documents where account_id = %(a)s and provider = %(p)s and deleted_at < %(now)s - %(undo)s "
        "returning document_id",
        at | {"undo": UNDO_FOR},
    )
    await delete_chunks(c, at, [row[0] for row in gone])
    await do(
        c,
        "update held_deletions set status = 'final' where account_id = %(a)s and provider = %(p)s "
        "and status = 'confirmed' and decided_at < %(now)s - %(undo)s",
        at | {"undo": UNDO_FOR},
    )


async def read_walk(db: Database, job: KnowledgeJob, stream: str) -> Walk:
    """Where a stream's walk stands. Raises Superseded when a newer run took it over."""
    async with db.tenant(job.account_id) as c:
        found = await rows(
            c,
            "select walk, complete, since, cursor, state from knowledge_streams "
            "where account_id = %(a)s and provider = %(p)s and stream = %(s)s and run_epoch = %(e)s",
            place(job, stream),
        )
    if not found:
        raise Superseded("A newer run of this sync has taken over.")
    return Walk(*found[0])


async def give_up(db: Database, job: KnowledgeJob, stream: str, reason: str) -> None:
    """Note why a stream was given up in this run; its next walk begins at the first page."""
    async with db.tenant(job.account_id) as c:
        await do(
            c,
            "update knowledge_streams set cursor = null where account_id = %(a)s and provider = %(p)s "
            "and stream = %(s)s and run_epoch = %(e)s and state = 'walking'",
            place(job, stream),
        )
        await do(
            c,
            "update sync_runs set failed_streams = failed_streams || jsonb_build_object(%(s)s::text, %(why)s::text) "
            "where account_id = %(a)s and run_id = %(r)s",
            place(job, stream) | {"why": reason},
        )


async def counts(db: Database, job: KnowledgeJob) -> Counts:
    """What the run has done so far. The database counts, in the transaction of each page, so a crash loses nothing."""
    async with db.tenant(job.account_id) as c:
        found = await rows(
            c,
            f"select {', '.join(COUNTS)} from sync_runs where account_id = %(a)s and run_id = %(r)s",  # noqa: S608
            place(job),
        )
    return Counts(**dict(zip(COUNTS, found[0], strict=True))) if found else Counts()


async def finish_run(db: Database, job: KnowledgeJob, state: str) -> int:
    """Close the run's row and answer how many documents its sweeps hold back. Closing twice changes nothing."""
    async with db.tenant(job.account_id) as c:
        closed = await rows(
            c,
            "update sync_runs set state = %(state)s, finished_at = now(), "  # noqa: S608 (our own names)
            "failed_streams = failed_streams || %(f)s::jsonb "
            f"where account_id = %(a)s and run_id = %(r)s and state = 'running' returning {', '.join(COUNTS)}",
            place(job) | {"state": state, "f": orjson.dumps(job.failed_streams).decode()},
        )
        [(held,)] = await rows(
            c,
            "select coalesce(sum(cardinality(documents)), 0)::int from held_deletions "
            "where account_id = %(a)s and provider = %(p)s and status = 'held'",
            place(job),
        )
        if closed:
            counts = dict(zip(COUNTS, closed[0], strict=True))
            data = {"run_id": job.run_id, "trigger": job.trigger, "state": state, "counts": counts, "held": int(held)}
            await events.note(c, job.account_id, job.provider, "knowledge.synced", data)
        return int(held)


async def still_ours(c: AsyncConnection, at: dict[str, Any]) -> None:
    """Lock the connection's row against a disconnect or another generation while something is written."""
    found = await rows(
        c,
        "select 1 from connections where account_id = %(a)s and provider = %(p)s and generation = %(g)s "
        "and state in ('connected', 'reconnect_required') for share",
        at,
    )
    if not found:
        raise Superseded("The connection that this sync belongs to is gone.")


def place(job: KnowledgeJob, stream: str = "") -> dict[str, Any]:
    """What every statement about a run, or a stream in it, has to name."""
    return {
        "a": job.account_id,
        "p": job.provider,
        "s": stream,
        "e": job.epoch,
        "g": job.generation,
        "r": uuid.UUID(job.run_id),
    }
