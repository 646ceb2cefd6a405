"""The application; `python -m api` serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.routing import Route

from api import auth, errors, openapi
from api.captain import PATH, Captain
from api.console import app as console
from api.envelope import Envelope
from api.routes import (
    actions,
    codec,
    contacts,
    integrations,
    knowledge,
    knowledge_runs,
    knowledge_status,
    metrics,
    operations,
    pages,
)
from api.services import Services
from api.traces import trace_requests
from supportly import VERSION
from supportly.logs import configure
from supportly.settings import Settings
from supportly.telemetry import export

TITLE: Final = "Supportly Integrations"
DESCRIPTION: Final = """
Connects a Supportly account to ten providers over OAuth, looks contacts up and writes them, logs activities, runs
provider actions, and keeps Captain's knowledge equal to what the providers hold.

Send an API token in the header `api_access_token`, or as `Authorization: Bearer`. Connect, callback, disconnect,
settings and the knowledge switch need the role administrator.

Lookup, sync, activity and action wait 20 seconds for their result; `Prefer: wait=N` or `Prefer: respond-async` chooses.
When the wait ends first the answer is 202 with a `status_url`, and the work goes on. `Idempotency-Key` on a POST makes
repeating it safe.

Every error is `{"error", "code", "request_id", "details"}`; `code` is stable, and 429, 503 and 504 carry `Retry-After`.
"""
TAGS: Final = (
    {"name": "Integrations", "description": "Connect providers and set them up."},
    {"name": "Contacts", "description": "A Supportly contact at a provider."},
    {"name": "Actions", "description": "What else a provider can do."},
    {"name": "Knowledge", "description": "What Captain knows, and where from."},
    {"name": "Operations", "description": "Requests that answered 202."},
    {"name": "Service", "description": "Probes and pages."},
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Connections are made when it starts, not here; Temporal's when it is first needed."""
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings is None:
            configure(chosen.log_level)
        async with Services.built(chosen) as services, captain.running():
            app.state.services = services
            app.state.callers = auth.callers(chosen, services.db, services.platform)
            yield

    app = FastAPI(
        title=TITLE,
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A path with a slash too many is no other address: redirects would leave the documented shapes.
        redirect_slashes=False,
        # What is answered is described as clients read it, with one shape a model.
        separate_input_output_schemas=False,
    )
    captain = Captain(app, max_body_bytes=chosen.max_body_bytes)
    errors.install(app)
    # Fixed paths stand before `/{provider}`.
    for router in (
        operations.router,
        contacts.router,
        actions.router,
        knowledge.router,
        knowledge_status.router,
        knowledge_runs.router,
        integrations.router,
        pages.router,
        codec.router,
        metrics.router,
        *console.ROUTERS,
    ):
        app.include_router(router)
    app.router.routes.append(Route(PATH, captain, include_in_schema=False))
    app.add_middleware(Envelope, max_body_bytes=chosen.max_body_bytes)
    if chosen.tracing:
        trace_requests(app, export.start("supportly-api"))
    openapi.describe(app, description=DESCRIPTION, tags=TAGS)
    return app
