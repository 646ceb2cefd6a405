"""What Captain reads of a provider: the switch, the streams, a sync with its progress, past runs, held deletions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.console import charts
from api.console.gateway import segment
from api.console.place import Form, Here, Place, integration, text
from api.console.rendering import page, redirect
from api.console.route import ConsoleRoute
from api.console.routes.integration import shown
from api.console.session import PATH
from api.console.wording import instant
from supportly.contracts import ids
from supportly.errors import InvalidInput, NotFound, SupportlyError

router = APIRouter(
    prefix=f"{PATH}/accounts/{{account_id}}/integrations/{{provider}}",
    route_class=ConsoleRoute,
    include_in_schema=False,
)

SHOWN_RUNS: Final = 100
"""Runs that charts look back over; at the shortest interval a day."""
WATCHED_RUNS: Final = 12
"""Runs that a look at the running one needs: it, and a whole one before it to compare with."""
DECISIONS: Final = ("confirm_deletes", "reject_deletes", "undo_deletes")
SURE_AFTER_S: Final = 1.0
"""Seconds before a rate means anything."""


@router.get("/knowledge")
async def knowledge(request: Request, here: Here, provider: str) -> Response:
    """Everything about the knowledge of one provider."""
    return await _knowledge(request, here, provider, operation=request.query_params.get("operation", ""))


async def _knowledge(
    request: Request, here: Place, provider: str, *, operation: str = "", error: SupportlyError | None = None
) -> Response:
    one = await shown(here, provider)
    runs = await _runs(here, provider, SHOWN_RUNS) if one.api.get("streams") else []
    found = one.card.knowledge
    return page(
        request,
        "knowledge.html",
        status=error.status if error else 200,
        here=here,
        one=one,
        tab="knowledge",
        knowledge=found,
        interval_minutes=one.api.get("settings", {}).get("sync_interval_minutes")
        or here.services.settings.sync_interval_minutes,
        runs=runs,
        progress=_progress(runs, operation),
        operation=operation,
        undoable=[
            (run, sum(held["documents"] for held in run["held"] if held["undo_until"]), _until(run))
            for run in runs
            if _until(run)
        ],
        documents=charts.documents(runs, found["documents"]) if found else None,
        ages=charts.ages(runs),
        workflow=here.workflow(ids.knowledge(here.account_id, provider)) if runs else "",
        schedule=_schedule(here, provider) if found and found["enabled"] else "",
        error=error,
    )


def _until(run: Mapping[str, Any]) -> str:
    """Until when what a run held back and was confirmed can be undone; empty when there is no such thing."""
    ends = [held["undo_until"] for held in run["held"] if held["undo_until"]]
    return min(ends) if ends and instant(min(ends)) > datetime.now(UTC) else ""


def _schedule(here: Place, provider: str) -> str:
    return here.workflow(ids.schedule(here.account_id, provider)).replace("/workflows/", "/schedules/", 1)


async def _runs(here: Place, provider: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await here.api.get(f"/{segment(provider)}/knowledge/runs", limit=limit))["runs"]
    return found


@router.get("/knowledge/progress")
async def progress(request: Request, here: Here, provider: str) -> Response:
    """The running sync, as the page asks for it again and again; when it has ended, the page is told to load anew."""
    operation = request.query_params.get("operation", "")
    runs = await _runs(here, provider, WATCHED_RUNS)
    state = _progress(runs, operation)
    if state["phase"] == "starting":
        found = (await here.api.get(f"/operations/{segment(operation)}"))["status"]
        if found != "running":
            state = {**state, "phase": "ended"}
    answer = page(
        request,
        "progress.html",
        here=here,
        path_of=f"{integration(here, provider)}/knowledge",
        operation=operation,
        progress=state,
    )
    if state["phase"] == "ended":
        answer.headers["HX-Trigger"] = "sync-ended"
    return answer


def _progress(runs: Sequence[Mapping[str, Any]], operation: str) -> dict[str, Any]:
    """How far the running sync is: `phase` is `idle`, `starting`, `running` or `ended`.

    The time left is reckoned from what the last whole walk has seen; without one nobody knows the total.
    """
    newest = runs[0] if runs else None
    if newest is None or newest["state"] != "running":
        return {"phase": "starting" if operation else "idle", "run": newest}
    seconds = (datetime.now(UTC) - instant(newest["started_at"])).total_seconds()
    seen = newest["counts"]["seen"]
    rate = seen / seconds if seconds > SURE_AFTER_S else None
    whole = next(
        (run for run in runs[1:] if run["complete"] and run["state"] == "succeeded" and newest["complete"]), None
    )
    total = whole["counts"]["seen"] if whole else None
    left = (total - seen) / rate if total and rate else None
    return {"phase": "running", "run": newest, "seconds": seconds, "rate": rate, "total": total, "left": left}


@router.post("/knowledge/sync")
async def sync(here: Here, provider: str, _given: Form) -> Response:
    """Starts a sync, or joins the running one; the page then watches it."""
    begun = await here.api.ask("POST", f"/{segment(provider)}/knowledge/sync", {})
    return redirect(f"{integration(here, provider)}/knowledge?operation={begun.pending}#sync")


@router.post("/knowledge/toggle")
async def toggle(here: Here, provider: str, given: Form) -> Response:
    """Turns the switch; off may also remove what was synced."""
    wanted, purge = text(given, "enabled") == "on", "purge" in given
    body: dict[str, Any] = {"enabled": wanted, **({"purge": True} if purge and not wanted else {})}
    answered = (await here.api.ask("POST", f"/{segment(provider)}/knowledge/toggle", body)).body
    done = "knowledge_on" if wanted else "knowledge_purged" if purge else "knowledge_off"
    begun = f"&operation={answered['sync']['operation_id']}" if answered["sync"] else ""
    return redirect(f"{integration(here, provider)}/knowledge?done={done}{begun}")


@router.post("/knowledge/streams")
async def streams(request: Request, here: Here, provider: str, given: Form) -> Response:
    """Which streams are synced; `null` takes the provider's own choice."""
    chosen = [str(one) for one in given.getlist("stream")] if given.get("choice") == "own" else None
    try:
        await here.api.ask("PUT", f"/{segment(provider)}/settings", {"settings": {"streams": chosen}})
    except InvalidInput as error:
        return await _knowledge(request, here, provider, error=error)
    return redirect(f"{integration(here, provider)}/knowledge?done=streams#streams")


@router.post("/knowledge/deletions/{decision}")
async def decide(here: Here, provider: str, decision: str, given: Form) -> Response:
    """Carries held deletions out, refuses them, or takes back what was carried out."""
    if decision not in DECISIONS:
        raise NotFound("There is no such decision.")
    await here.api.ask("POST", f"/{segment(provider)}/knowledge/sync", {decision: text(given, "run_id")})
    return redirect(f"{integration(here, provider)}/knowledge?done={decision}#held")
