"""The rate budget in PostgreSQL: GCRA rows that all processes share, taken by one statement."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from supportly.http import Cost, Headroom, Lane
from supportly.storage.database import AWAY, away

log = logging.getLogger(__name__)

SHARES: Final[dict[Lane, float]] = {"waiting": 1.0, "sync": 0.9, "knowledge": 0.8}
"""The part of a bucket that a lane may fill: bulk never takes the last fifth, a person may take all."""

WORTH_LEARNING: Final = 0.9
"""Use of a bucket above which the provider's figure is taken over; below it ours agrees well enough."""

_SPEND = text("select spend_budget(:names, :needs, :windows, :share)")
_LEARN = text(
    "insert into rate_buckets (bucket, arrival) values (:bucket, extract(epoch from clock_timestamp()) + :ahead) "
    "on conflict (bucket) do update set arrival = greatest(rate_buckets.arrival, excluded.arrival)"
)


class PostgresBudget:
    """A budget on autocommit connections of its own: a lost row after a crash only forgets a second of spending."""

    def __init__(self, url: str, pool: int = 4, factor: float = 1.0) -> None:
        self._factor = factor
        self._engine: AsyncEngine = create_async_engine(
            url, pool_size=pool, max_overflow=0, isolation_level="AUTOCOMMIT"
        )

        @event.listens_for(self._engine.sync_engine, "connect")
        def _lazy_commit(connection: object, _record: object) -> None:
            with connection.cursor() as cursor:  # type: ignore[attr-defined]  # a DB-API connection has one
                cursor.execute("set synchronous_commit = off")

    async def spend(self, costs: Sequence[Cost], lane: Lane) -> float:
        """Take all costs or none; 0 when taken, else the seconds to wait. Raises Unavailable without the database."""
        if not costs:
            return 0.0
        ordered = sorted(costs, key=lambda cost: cost.bucket)
        values = {
            "names": [cost.bucket for cost in ordered],
            "needs": [cost.window_s / (cost.limit * self._factor) * cost.amount for cost in ordered],
            "windows": [cost.window_s for cost in ordered],
            "share": SHARES[lane],
        }
        try:
            return await self._spend(values)
        except AWAY as error:
            if not getattr(error, "connection_invalidated", False):
                raise away() from error
        # A connection that died in the pool took the others with it; the next one is new. No ping is paid per call.
        try:
            return await self._spend(values)
        except AWAY as error:
            raise away() from error

    async def _spend(self, values: Mapping[str, object]) -> float:
        async with self._engine.connect() as c:
            return float((await c.execute(_SPEND, values)).scalar_one())

    async def learn(self, seen: Sequence[Headroom]) -> None:
        """Move a bucket up to what the provider says is used; it never gives back what we know to be spent.

        Raises nothing: the call has been answered, and a lesson lost is no reason to lose its answer.
        """
        used = {h: 1 - min(1.0, max(0.0, h.remaining / h.limit)) if h.limit else 0.0 for h in seen}
        lessons = [
            {"bucket": h.bucket, "ahead": part * h.window_s} for h, part in used.items() if part > WORTH_LEARNING
        ]
        if not lessons:
            return
        try:
            async with self._engine.connect() as c:
                for lesson in lessons:
                    await c.execute(_LEARN, lesson)
        except AWAY:
            log.warning("what a provider said about its rate limit could not be stored: the database is away")

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()
