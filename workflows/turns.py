"""How ConnectionWorkflow calls its activities: one attempt after the other, for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from workflows.calls import reason

ATTEMPT: Final = timedelta(seconds=60)
"""One attempt at the provider: longer than a lease (25 s), so that a token in hand can still be stored."""
PATIENCE: Final = timedelta(minutes=10)
"""One refresh, exchange or disconnect goes on for this long; a refresh comes back with the timer."""
AGAIN: Final = timedelta(minutes=1)
"""Pause before the next refresh after one that did not end."""
QUICK: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))

J = TypeVar("J")
R = TypeVar("R")


async def attempt(run: Callable[[Any, J], Awaitable[R]], job: J, *, life: timedelta | None = PATIENCE) -> R:
    """Run an activity method, again and again for as long as `life`. Raises ActivityError."""
    return await workflow.execute_activity_method(
        run, job, start_to_close_timeout=ATTEMPT, schedule_to_close_timeout=life, retry_policy=QUICK
    )


async def turn(run: Callable[[Any, J], Awaitable[R]], job: J) -> R:
    """`attempt` within an update: our own error is what the caller gets."""
    try:
        return await attempt(run, job)
    except ActivityError as error:
        raise reason(error) from None
