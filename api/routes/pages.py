"""Pages and probes without a tenant: health, readiness, documentation, the redirect target of OAuth."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final, cast

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from api import docs
from api.deps import ProviderId, answer
from api.openapi import failed
from api.services import Services
from supportly import providers
from supportly.contracts import ids
from supportly.contracts.answers import Alive, Ready
from supportly.errors import NotFound, SupportlyError

router = APIRouter(tags=["Service"])

PROBE_S: Final = 3.0
"""A probe that takes longer has failed."""
POLLED_WITHIN: Final = timedelta(seconds=75)
"""A worker asks for work at least once a minute (Temporal's long poll), so one that was not seen since is gone."""

PAGE: Final = """<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>{title}</title><style>:root {{ color-scheme: light dark }} body {{ font: 17px/1.6 system-ui, sans-serif;
max-width: 36rem; margin: 12vh auto; padding: 0 1.2rem }} code {{ font-family: ui-monospace, monospace }}</style>
<h1>{title}</h1>{body}</html>"""
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""The page's address holds the code: it loads nothing and tells nobody where it was."""


@router.get("/healthz", summary="The process is alive", responses={200: {"model": Alive}})
async def health(request: Request) -> Response:
    """Answers without asking anything else."""
    return answer({"status": "ok", "version": request.app.version})


@router.get(
    "/readyz",
    summary="The service can work",
    responses={200: {"model": Ready}, 503: {"model": Ready, "description": "Something is missing."}},
)
async def readiness(request: Request) -> Response:
    """503 while the database, Temporal, or a worker for waiting callers is missing; `checks` says which."""
    services = cast("Services", request.app.state.services)
    names = ("database", "temporal", "worker")
    database, (temporal, worker) = await asyncio.gather(_database(services), _temporal(services))
    checks = dict(zip(names, (database, temporal, worker), strict=True))
    ready = all(state == "ok" for state in checks.values())
    headers = {} if ready else {"Retry-After": "5"}
    return answer({"status": "ok" if ready else "unavailable", "checks": checks}, 200 if ready else 503, headers)


async def _database(services: Services) -> str:
    try:
        async with asyncio.timeout(PROBE_S), services.db.system() as connection:
            await connection.execute(text("select 1"))
    except (SupportlyError, TimeoutError):
        return "away"
    return "ok"


async def _temporal(services: Services) -> tuple[str, str]:
    """State of Temporal, and of a worker that polls for waiting callers."""
    try:
        async with asyncio.timeout(PROBE_S):
            client = await services.temporal.client()
            queue = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace,
                    task_queue=TaskQueue(name=ids.INTERACTIVE),
                    task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
                )
            )
    except (SupportlyError, RPCError, TimeoutError):
        return "away", "unknown"
    since = datetime.now(UTC) - POLLED_WITHIN
    seen = any(poller.last_access_time.ToDatetime(UTC) > since for poller in queue.pollers)
    return "ok", "ok" if seen else "none"


@router.get("/docs", include_in_schema=False)
async def documentation(request: Request) -> HTMLResponse:
    """The API, to read."""
    return HTMLResponse(docs.page(request.app.openapi()), headers=PAGE_HEADERS)


@router.get(
    "/oauth/callback/{provider}",
    summary="Where a provider sends the user back",
    response_class=HTMLResponse,
    responses={404: failed(404, [NotFound])},
)
async def landing(request: Request, provider: ProviderId) -> HTMLResponse:
    """A page that says whether code and state arrived. It shows neither, and finishes nothing: the callback does."""
    title = providers.get(provider).title
    query = request.query_params
    if error := query.get("error"):
        word = error if re.fullmatch(r"[a-z_]{1,60}", error) else "an error"
        body = f"<p>{escape(title)} answered <code>{escape(word)}</code>. Nothing was connected; you can try again.</p>"
        return HTMLResponse(PAGE.format(title="Not connected", body=body), 200, PAGE_HEADERS)
    came = [f"<li>{name}: {'arrived' if query.get(name) else 'missing'}</li>" for name in ("code", "state")]
    body = (
        f"<p>{escape(title)} has sent you back.</p><ul>{''.join(came)}</ul><p>The connection is finished by sending "
        f"everything in this page's address as JSON to <code>POST …/supportly_integrations/{escape(provider)}/callback"
        "</code>. You can close this window when that is done.</p>"
    )
    return HTMLResponse(PAGE.format(title="Almost connected", body=body), 200, PAGE_HEADERS)
