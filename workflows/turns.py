"""Whose turn it is in ConnectionWorkflow, and how it calls its activities: one attempt after the other, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from workflows.steps import SILENCE, reason

IDLE: Final = timedelta(minutes=15)
"""An entity without a connection ends after this time."""
ATTEMPT: Final = timedelta(seconds=60)
"""One attempt at the provider: longer than a lease (25 s), so that a token in hand can still be stored."""
PATIENCE: Final = timedelta(minutes=10)
"""One refresh, exchange or disconnect goes on for this long; a refresh comes back with the timer."""
AGAIN: Final = timedelta(minutes=1)
"""Pause before the next refresh after one that did not end, and said nothing about when to come back."""
LONGEST: Final = timedelta(minutes=5)
"""A token may end meanwhile, so a refresh is tried this often whatever the provider asks for."""
QUICK: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))

J = TypeVar("J")
R = TypeVar("R")


class Turns:
    """One at a time. `taken` counts the turns that ended, well or not: each may have changed how things stand."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.taken = 0
        self.renewed = False
        """Set when a new run is wanted."""

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """A turn; it begins when those before it have ended."""
        try:
            async with self._lock:
                yield
        finally:
            self.taken += 1

    def renew(self) -> None:
        """Ask for a new run; it counts as a turn, so that whoever waits for the next one looks."""
        self.renewed, self.taken = True, self.taken + 1


async def attempt(run: Callable[[Any, J], Awaitable[R]], job: J, *, life: timedelta | None = PATIENCE) -> R:
    """Run an activity method, again and again for as long as `life`. Raises ActivityError."""
    return await workflow.execute_activity_method(
        run,
        job,
        start_to_close_timeout=ATTEMPT,
        schedule_to_close_timeout=life,
        heartbeat_timeout=SILENCE,
        retry_policy=QUICK,
    )


async def turn(run: Callable[[Any, J], Awaitable[R]], job: J) -> R:
    """`attempt` within an update: our own error is what the caller gets."""
    try:
        return await attempt(run, job)
    except ActivityError as error:
        raise reason(error) from None


def pause_after(error: ActivityError) -> timedelta:
    """How long to leave the provider alone after a refresh that did not end."""
    payload = next(iter(reason(error).details), None)
    asked = payload.get("retry_after") if isinstance(payload, dict) else None
    return min(max(timedelta(seconds=asked or 0), AGAIN), LONGEST)
