"""Samples of how complete the stored knowledge is: which documents to ask for, and the newest result."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from supportly.contracts.knowledge import KnowledgeJob, Sample
from supportly.storage.database import Database, do, rows


async def some_stored(db: Database, job: KnowledgeJob, streams: Sequence[str], count: int) -> list[tuple[str, str]]:
    """Stream and external id of up to `count` stored documents, drawn at random.

    Without those that an administrator keeps against the provider.
    """
    async with db.tenant(job.account_id) as c:
        found = await rows(
            c,
            "select stream, external_id from documents where account_id = %(a)s and provider = %(p)s "
            "and stream = any(%(s)s::text[]) and deleted_at is null and not kept order by random() limit %(n)s",
            {"a": job.account_id, "p": job.provider, "s": list(streams), "n": count},
        )
    return [(row[0], row[1]) for row in found]


async def began(db: Database, job: KnowledgeJob) -> datetime | None:
    """When the run began; None when it is gone with its connection."""
    async with db.tenant(job.account_id) as c:
        found = await rows(
            c,
            "select started_at from sync_runs where account_id = %(a)s and run_id = %(r)s",
            {"a": job.account_id, "r": uuid.UUID(job.run_id)},
        )
    return found[0][0] if found else None


async def store(db: Database, job: KnowledgeJob, sample: Sample) -> None:
    """Keep the sample as the provider's newest, as long as its run is there."""
    async with db.tenant(job.account_id) as c:
        await do(
            c,
            "insert into knowledge_samples (account_id, provider, run_id, equal, sampled) "
            "select account_id, provider, run_id, %(equal)s, %(sampled)s from sync_runs "
            "where account_id = %(a)s and run_id = %(r)s "
            "on conflict (account_id, provider) do update set run_id = excluded.run_id, equal = excluded.equal, "
            "sampled = excluded.sampled, taken_at = now()",
            {"a": job.account_id, "r": uuid.UUID(job.run_id), **sample.model_dump()},
        )
