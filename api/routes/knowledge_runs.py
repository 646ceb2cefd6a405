"""Past runs of a provider's sync, to watch the newest and to look back."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response
from temporalio.service import RPCError

from activities import schedules
from api.deps import PREFIX, AgentIntegration, Integration, answer
from api.openapi import EXAMPLE_ID, INTEGRATES, documented
from api.routes.knowledge_status import COUNTS_EXAMPLE, run_shown
from api.services import temporal_away
from supportly.contracts.answers import KnowledgeRuns
from supportly.storage import knowledge_runs
from supportly.storage.knowledge_runs import PastRun

router = APIRouter(prefix=PREFIX, tags=["Knowledge"])

MOST_RUNS: Final = 200


@router.get(
    "/{provider}/knowledge/runs",
    **documented(
        "Past syncs of a provider",
        answers=KnowledgeRuns,
        example={
            "provider": "zendesk",
            "runs": [
                {
                    "run_id": EXAMPLE_ID,
                    "state": "succeeded",
                    "trigger": "schedule",
                    "started_at": "2026-11-22T09:41:12+00:00",
                    "finished_at": "2026-11-22T09:41:13+00:00",
                    "counts": COUNTS_EXAMPLE,
                    "failed_streams": {},
                    "complete": True,
                    "streams": ["articles"],
                    "held": [
                        {
                            "stream": "articles",
                            "documents": 40,
                            "of_total": 67,
                            "status": "confirmed",
                            "held_at": "2026-11-22T09:41:13+00:00",
                            "decided_at": "2026-11-22T10:02:00+00:00",
                            "undo_until": "2026-11-23T10:02:00+00:00",
                        }
                    ],
                }
            ],
        },
        failures=INTEGRATES,
    ),
)
async def runs(
    at: AgentIntegration,
    limit: Annotated[int, Query(ge=1, le=MOST_RUNS, description="Runs at most.")] = 50,
) -> Response:
    """The newest runs, newest first; the counts of one that is running move while it works.

    `complete` walks read everything. `held` are deletions that waited for an administrator, and what became of them.
    """
    found = await knowledge_runs.recent(at.services.db, at.account_id, at.provider.id, limit)
    if found and found[0].run.state == "running" and await _unattended(at):
        # One that ended between the two looks has closed its row.
        found = await knowledge_runs.recent(at.services.db, at.account_id, at.provider.id, limit)
        found = [_stalled(found[0]), *found[1:]]
    return answer({"provider": at.provider.id, "runs": [_shown(one) for one in found]})


async def _unattended(at: Integration) -> bool:
    client = await at.services.temporal.client()
    try:
        return await schedules.is_stalled(client, at.account_id, at.provider.id)
    except RPCError:
        raise temporal_away() from None


def _stalled(past: PastRun) -> PastRun:
    return replace(past, run=replace(past.run, state="stalled")) if past.run.state == "running" else past


def _shown(past: PastRun) -> dict[str, Any]:
    return {
        **run_shown(past.run),
        "complete": past.complete,
        "streams": past.streams,
        "held": [asdict(one) for one in past.held],
    }
