"""How knowledge stands: runs, age, completeness, refinement, failures, held deletions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import Response
from temporalio.service import RPCError

from activities import schedules
from activities.calls import read_settings
from api.deps import PREFIX, AgentTenant, answer
from api.openapi import EXAMPLE_ID, READS, documented
from api.services import Services, temporal_away
from supportly import providers
from supportly.contracts.answers import KnowledgeStatus
from supportly.knowledge.estimate import wilson
from supportly.provider import Provider, StreamsKnowledge
from supportly.storage import (
    connections,
    knowledge_models,
    knowledge_refining,
    knowledge_status,
    provider_settings,
)
from supportly.storage.knowledge_status import Knowledge, Run
from supportly.storage.provider_settings import Stored

router = APIRouter(prefix=PREFIX, tags=["Knowledge"])

RUN_TAKES: Final = timedelta(minutes=15)
"""Data is as old as the interval and a run's length just before the next run ends; older than that it is stale."""
COUNTS_EXAMPLE: Final = {
    "seen": 67,
    "added": 67,
    "changed": 0,
    "unchanged": 0,
    "deleted": 0,
    "failed": 0,
    "chunks_embedded": 81,
    "chunks_reused": 0,
}


@router.get(
    "/knowledge/status",
    **documented(
        "State of knowledge sync",
        answers=KnowledgeStatus,
        example={
            "refined_tier": {"model": "all-MiniLM-L6-v2/1-f87529e1", "building": None, "reason": ""},
            "providers": [
                {
                    "provider": "zendesk",
                    "name": "Zendesk",
                    "enabled": True,
                    "connection": "connected",
                    "state": "succeeded",
                    "next_run": "2026-11-22T10:41:00+00:00",
                    "last_run": {
                        "run_id": EXAMPLE_ID,
                        "state": "succeeded",
                        "trigger": "toggle",
                        "started_at": "2026-11-22T09:41:12+00:00",
                        "finished_at": "2026-11-22T09:41:13+00:00",
                        "counts": COUNTS_EXAMPLE,
                        "failed_streams": {},
                    },
                    "synced_at": "2026-11-22T09:41:12+00:00",
                    "age_seconds": 1860,
                    "stale": False,
                    "completeness": {
                        "share": 1.0,
                        "low": 0.9457,
                        "high": 1.0,
                        "sampled": 67,
                        "at": "2026-11-22T09:41:13+00:00",
                    },
                    "documents": 67,
                    "chunks": 81,
                    "refined": {"done": 70, "of": 81},
                    "failures": [],
                    "failures_total": 0,
                    "held_deletions": [],
                }
            ],
        },
        failures=READS,
    ),
)
async def status(at: AgentTenant) -> Response:
    """Every provider that is connected or has knowledge: the switch, the next and the last run, what is stored.

    `state` is that of the last run, or `never_run`; `stalled` when its row says that it runs and nobody works on it.
    `synced_at` is when the newest run began that read everything it had to, `age_seconds` how long ago that is, and
    `stale` says that this is longer than the sync's interval allows. `completeness` compares a few pages of the
    provider with what is stored, after each run: the share that is equal, with its 95 % interval.
    `refined` counts the chunks that the refined tier has read; until then the instant tier finds them. `refined_tier`
    names its model, the one that is being built to take its place, and why there is none.
    `failures` lists up to 100 records that could not be read; every run tries them again. `held_deletions` wait for
    an administrator: `POST /{provider}/knowledge/sync` with `confirm_deletes` or `reject_deletes`.
    """
    db = at.services.db
    alive = {c.provider: c for c in await connections.read_all(db, at.account_id) if c.state != "disconnected"}
    stored = await provider_settings.read_all(db, at.account_id)
    found = await knowledge_status.read(db, at.account_id)
    client = await at.services.temporal.client()
    shown = [
        p
        for p in providers.PROVIDERS
        if isinstance(p, StreamsKnowledge) and p.available and (p.id in alive or p.id in found)
    ]
    running = [name for name, one in found.items() if one.run and one.run.state == "running"]
    try:
        runs = await asyncio.gather(*(schedules.next_run(client, at.account_id, p.id) for p in shown))
        unattended = await asyncio.gather(*(schedules.is_stalled(client, at.account_id, name) for name in running))
    except RPCError:
        raise temporal_away() from None
    stalled = {name for name, is_so in zip(running, unattended, strict=True) if is_so}
    if stalled:
        # One that has ended since the first look has closed its row before.
        found = await knowledge_status.read(db, at.account_id)
    refined, tier = await _refined(at)
    return answer(
        {
            "refined_tier": tier,
            "providers": [
                {
                    "provider": provider.id,
                    "name": provider.title,
                    "enabled": provider.id in stored and stored[provider.id].knowledge_enabled,
                    "connection": alive[provider.id].state if provider.id in alive else "not_connected",
                    "next_run": next_run,
                    **_shown(found.get(provider.id, Knowledge()), stalled=provider.id in stalled),
                    "refined": {
                        "done": refined.get(provider.id, 0),
                        "of": found.get(provider.id, Knowledge()).chunks,
                    },
                    **_age(
                        found.get(provider.id, Knowledge()).synced_at,
                        interval(at.services, provider, stored.get(provider.id, Stored())),
                        enabled=provider.id in stored and stored[provider.id].knowledge_enabled,
                    ),
                }
                for provider, next_run in zip(shown, runs, strict=True)
            ],
        }
    )


async def _refined(at: AgentTenant) -> tuple[dict[str, int], dict[str, Any]]:
    """Refined chunks by provider, and how the tier stands: who serves, who is being built, and why nobody."""
    db = at.services.db
    models = {m.state: m for m in await knowledge_models.read(db) if m.tier == "refined"}
    serving, building = models.get("serving"), models.get("building")
    done = await knowledge_refining.done_by_provider(db, at.account_id, serving.id) if serving else {}
    tier: dict[str, Any] = {"model": serving.name if serving else None, "building": None}
    if building:
        built = await knowledge_refining.done_by_provider(db, at.account_id, building.id)
        lacking = await knowledge_refining.count(db, at.account_id, building.id)
        tier["building"] = {"model": building.name, "done": sum(built.values()), "of": sum(built.values()) + lacking}
    off = at.services.settings.refined_model == "off"
    tier["reason"] = "The refined tier is switched off." if off else at.services.asking.reason
    return done, tier


def interval(services: Services, provider: Provider, stored: Stored) -> timedelta:
    """How often a provider's knowledge is synced: its own setting, else the service's."""
    minutes = read_settings(provider, stored.settings).sync_interval_minutes or services.settings.sync_interval_minutes
    return timedelta(minutes=minutes)


def _age(synced_at: datetime | None, every: timedelta, *, enabled: bool) -> dict[str, Any]:
    age = datetime.now(UTC) - synced_at if synced_at else None
    return {
        "synced_at": synced_at,
        "age_seconds": int(age.total_seconds()) if age is not None else None,
        "stale": enabled if age is None else age > every + RUN_TAKES,
    }


def _shown(found: Knowledge, *, stalled: bool) -> dict[str, Any]:
    run = found.run
    if run and run.state == "running" and stalled:
        run = replace(run, state="stalled")
    return {
        "state": run.state if run else "never_run",
        "last_run": run_shown(run) if run else None,
        "completeness": _completeness(found),
        "documents": found.documents,
        "chunks": found.chunks,
        "failures": found.failures,
        "failures_total": found.failures_total,
        "held_deletions": found.held,
    }


def _completeness(found: Knowledge) -> dict[str, Any] | None:
    if found.sample is None:
        return None
    equal, sampled = found.sample.equal, found.sample.sampled
    low, high = wilson(equal, sampled)
    return {
        "share": round(equal / sampled, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "sampled": sampled,
        "at": found.sampled_at,
    }


def run_shown(run: Run) -> dict[str, Any]:
    """A run as callers see it."""
    return {
        "run_id": run.run_id,
        "state": run.state,
        "trigger": run.trigger,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "counts": run.counts.model_dump(),
        "failed_streams": run.failed_streams,
    }
