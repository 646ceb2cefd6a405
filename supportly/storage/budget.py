"""The rate budget in PostgreSQL: GCRA rows that all processes share, taken by one statement."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from psycopg import InterfaceError, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy import make_url

from supportly.http import Cost, Headroom, Lane
from supportly.storage.database import away

log = logging.getLogger(__name__)

SHARES: Final[dict[Lane, float]] = {"waiting": 1.0, "sync": 0.9, "knowledge": 0.8}
"""The part of a bucket that a lane may fill: bulk never takes the last fifth, a person may take all."""

WORTH_LEARNING: Final = 0.9
"""Use of a bucket above which the provider's figure is taken over; below it ours agrees well enough."""

_SPEND = "select spend_budget(%s, %s, %s, %s)"
_LEARN = (
    "insert into rate_buckets (bucket, arrival) values (%s, extract(epoch from clock_timestamp()) + %s) "
    "on conflict (bucket) do update set arrival = greatest(rate_buckets.arrival, excluded.arrival)"
)
GONE: Final = (OperationalError, InterfaceError)
"""What a lost connection or a stopped server raises; any other error of psycopg is a mistake of ours."""
WAIT_S: Final = 5.0
"""Longest wait for a connection of the pool; a statement takes less than a millisecond."""

Statement = tuple[str, Sequence[object]]


class PostgresBudget:
    """A budget on autocommit connections of its own: a lost row after a crash only forgets a second of spending.

    It speaks to psycopg directly: one fixed statement per provider call needs nothing that SQLAlchemy adds.
    """

    def __init__(self, url: str, pool: int = 4, factor: float = 1.0) -> None:
        self._factor = factor
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._pool = AsyncConnectionPool(
            plain,
            min_size=1,
            max_size=pool,
            timeout=WAIT_S,
            open=False,
            kwargs={"autocommit": True, "options": "-c synchronous_commit=off"},
        )

    async def spend(self, costs: Sequence[Cost], lane: Lane) -> float:
        """Take all costs or none; 0 when taken, else the seconds to wait. Raises Unavailable without the database."""
        if not costs:
            return 0.0
        ordered = sorted(costs, key=lambda cost: cost.bucket)
        values = (
            [cost.bucket for cost in ordered],
            [float(cost.window_s / (cost.limit * self._factor) * cost.amount) for cost in ordered],
            [float(cost.window_s) for cost in ordered],  # psycopg refuses a list of integers and floats
            SHARES[lane],
        )
        try:
            return await self._run([(_SPEND, values)])
        except PoolTimeout:
            raise away() from None
        except GONE:
            # A connection that died in the pool is not handed out again; the next one is new.
            try:
                return await self._run([(_SPEND, values)])
            except (*GONE, PoolTimeout):
                raise away() from None

    async def learn(self, seen: Sequence[Headroom]) -> None:
        """Move a bucket up to what the provider says is used; it never gives back what we know to be spent.

        Raises nothing: the call has been answered, and a lesson lost is no reason to lose its answer.
        """
        used = {h: 1 - min(1.0, max(0.0, h.remaining / h.limit)) if h.limit else 0.0 for h in seen}
        lessons = [(_LEARN, (h.bucket, part * h.window_s)) for h, part in used.items() if part > WORTH_LEARNING]
        if not lessons:
            return
        try:
            await self._run(lessons)
        except (*GONE, PoolTimeout):
            log.warning("what a provider said about its rate limit could not be stored: the database is away")

    async def _run(self, statements: Sequence[Statement]) -> float:
        """Run the statements; the answer of the last one that has any."""
        found = 0.0
        await self._pool.open()
        async with self._pool.connection() as connection:
            for statement, values in statements:
                cursor = await connection.execute(statement, values)
                if cursor.description and (row := await cursor.fetchone()):
                    found = float(row[0])
        return found

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()
