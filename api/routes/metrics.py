"""What Prometheus reads: this process's own counts, and figures over all accounts from the database.

`GET /metrics` wants `Authorization: Bearer <SUPPORTLY_METRICS_TOKEN>`; without that setting it does not exist. How many
accounts use which provider is nothing for strangers.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Sequence
from typing import Annotated, Final, cast

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from api.services import Services
from supportly.errors import NotAuthenticated, NotFound, SupportlyError
from supportly.storage import service_state
from supportly.storage.service_state import ProviderState

router = APIRouter(include_in_schema=False)

FRESH_S: Final = 15.0
"""Figures of the database are asked for at most this often, however many scrape: Prometheus' usual interval."""
PATIENCE_S: Final = 5.0
"""A scrape gives up after ten seconds; the process's own counts must not be lost with the database's."""
GAUGES: Final = {
    "supportly_connections": ("Connections by state.", ()),
    "supportly_knowledge_accounts": ("Connected accounts whose knowledge sync is on.", ("syncing_accounts",)),
    "supportly_knowledge_overdue": ("Those of them that missed more than one sync.", ("overdue",)),
    "supportly_knowledge_oldest_seconds": ("Age of the data of the account that lags most.", ("oldest_s",)),
    "supportly_knowledge_median_seconds": ("Age of the data, median over accounts.", ("median_s",)),
    "supportly_held_deletions": ("Deletions that wait for an administrator.", ("held_deletions",)),
}

log = logging.getLogger(__name__)


class Figures(Collector):
    """The database's part of one answer."""

    def __init__(self, found: Sequence[ProviderState] | None) -> None:
        self._found = found

    def collect(self) -> list[GaugeMetricFamily]:
        """One sample a provider; `supportly_database_up` says whether there was an answer."""
        up = GaugeMetricFamily("supportly_database_up", "1 when the database answered this scrape.")
        up.add_metric([], 0 if self._found is None else 1)
        families = [up]
        for name, (text, fields) in GAUGES.items():
            family = GaugeMetricFamily(name, text, labels=["provider"] if fields else ["provider", "state"])
            for one in self._found or ():
                for field in fields:
                    family.add_metric([one.provider], getattr(one, field))
                if not fields:
                    family.add_metric([one.provider, "connected"], one.connected)
                    family.add_metric([one.provider, "reconnect_required"], one.reconnect_required)
            families.append(family)
        return families


class Cached:
    """The figures of the database, asked for once for all who scrape at the same time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._found: Sequence[ProviderState] | None = None

    async def get(self) -> Sequence[ProviderState] | None:
        """None while the database does not answer."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._found = await self._asked()
                self._until = time.monotonic() + (FRESH_S if self._found is not None else 0)
            return self._found

    async def _asked(self) -> Sequence[ProviderState] | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await service_state.figures(self._services.db, self._services.settings.sync_interval_minutes)
        except (SupportlyError, TimeoutError):
            log.warning("the database did not answer for the metrics")
            return None


@router.get("/metrics")
async def metrics(request: Request, authorization: Annotated[str, Header()] = "") -> Response:
    """Everything that this process and the database know. Raises NotFound while it is off, NotAuthenticated."""
    services = cast("Services", request.app.state.services)
    token = services.settings.metrics_token.get_secret_value()
    if not token:
        raise NotFound("There is nothing at this address.")
    if not hmac.compare_digest(authorization.removeprefix("Bearer ").encode(), token.encode()):
        raise NotAuthenticated("The metrics need their own token.")
    state = request.app.state
    if not hasattr(state, "figures"):
        state.figures = Cached(services)
    asked = CollectorRegistry()
    asked.register(Figures(await state.figures.get()))
    return Response(generate_latest(REGISTRY) + generate_latest(asked), media_type=CONTENT_TYPE_LATEST)
