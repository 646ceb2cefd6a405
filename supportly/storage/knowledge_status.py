"""How knowledge stands: per provider the newest run, documents, chunks, failures and held deletions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from supportly.contracts.knowledge import Counts, KnowledgeJob, Sample
from supportly.storage.database import Database, rows
from supportly.storage.knowledge import COUNTS

SHOWN_FAILURES: Final = 100


@dataclass(frozen=True)
class Run:
    """One run of a sync."""

    run_id: str
    state: str
    trigger: str
    started_at: datetime
    finished_at: datetime | None
    counts: Counts
    failed_streams: Mapping[str, str]


@dataclass(frozen=True)
class Knowledge:
    """What an account holds of one provider."""

    documents: int = 0
    chunks: int = 0
    run: Run | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)
    failures_total: int = 0
    held: list[dict[str, Any]] = field(default_factory=list)
    synced_at: datetime | None = None
    """When the newest run began that read every stream to its end: so old is what is stored."""
    sample: Sample | None = None
    sampled_at: datetime | None = None


async def pages(db: Database, job: KnowledgeJob) -> int:
    """Pages that the walks of this run have behind them."""
    async with db.tenant(job.account_id) as c:
        [(count,)] = await rows(
            c,
            "select coalesce(sum(pages), 0)::int from knowledge_streams "
            "where account_id = %(a)s and provider = %(p)s and run_epoch = %(e)s",
            {"a": job.account_id, "p": job.provider, "e": job.epoch},
        )
    return int(count)


async def read(db: Database, account_id: int) -> dict[str, Knowledge]:
    """All providers of which the account has documents or runs, in one snapshot."""
    at = {"a": account_id, "limit": SHOWN_FAILURES}
    async with db.tenant(account_id) as c:
        stored = await rows(
            c,
            "select provider, count(*), coalesce(sum(chunk_count), 0) from documents "
            "where account_id = %(a)s and deleted_at is null group by provider",
            at,
        )
        runs = await rows(
            c,
            "select distinct on (provider) provider, run_id::text, state, trigger, started_at, finished_at, "  # noqa: S608
            f"failed_streams, {', '.join(COUNTS)} from sync_runs where account_id = %(a)s "
            "order by provider, epoch desc",
            at,
        )
        synced = await rows(
            c,
            "select provider, max(started_at) from sync_runs where account_id = %(a)s "
            "and state in ('succeeded', 'partial') and failed_streams = '{}'::jsonb group by provider",
            at,
        )
        samples = await rows(
            c, "select provider, equal, sampled, taken_at from knowledge_samples where account_id = %(a)s", at
        )
        failures = await rows(
            c,
            "select provider, stream, external_id, reason, first_at, last_at, total from (select *, "
            "count(*) over (partition by provider) total, "
            "row_number() over (partition by provider order by last_at desc, stream, external_id) place "
            "from sync_failures where account_id = %(a)s) f where place <= %(limit)s order by place",
            at,
        )
        held = await rows(
            c,
            "select provider, run_id::text, stream, cardinality(documents), of_total, held_at from held_deletions "
            "where account_id = %(a)s and status = 'held' order by held_at",
            at,
        )
    counted = {row[0]: (int(row[1]), int(row[2])) for row in stored}
    newest = {
        row[0]: Run(row[1], row[2], row[3], row[4], row[5], Counts(**dict(zip(COUNTS, row[7:], strict=True))), row[6])
        for row in runs
    }
    names = {*counted, *newest, *(row[0] for row in failures), *(row[0] for row in held)}
    return {
        name: Knowledge(
            *counted.get(name, (0, 0)),
            newest.get(name),
            [
                dict(zip(("stream", "external_id", "reason", "first_at", "last_at"), row[1:6], strict=True))
                for row in failures
                if row[0] == name
            ],
            next((row[6] for row in failures if row[0] == name), 0),
            [
                dict(zip(("run_id", "stream", "documents", "of_total", "held_at"), row[1:], strict=True))
                for row in held
                if row[0] == name
            ],
            next((row[1] for row in synced if row[0] == name), None),
            next((Sample(equal=row[1], sampled=row[2]) for row in samples if row[0] == name), None),
            next((row[3] for row in samples if row[0] == name), None),
        )
        for name in names
    }
