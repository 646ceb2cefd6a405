"""How workflows call activities: at once where a person waits, durably where the first try did not do.

The first try runs as a local activity in the workflow's own task, which saves two trips to the server. What it could
not finish goes on as an ordinary activity that Temporal retries; waiting for a provider then holds no worker slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.actions import ActionActivities
    from supportly.contracts.operations import Conclusion, Operation
    from workflows.steps import ONCE, STUBBORN, reason

ATTEMPT: Final = timedelta(seconds=35)
"""One attempt: a few provider calls of 8 seconds each; its write lease (30 s) ends before it."""
READ_LIFE: Final = timedelta(seconds=60)
"""Nobody waits for a read longer than the longest wait that a request may ask for."""
WRITE_LIFE: Final = timedelta(hours=24)
"""A write goes on for a day: longer than the outages and daily quotas that providers report."""
RETRY: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))

J = TypeVar("J", bound=Operation)
R = TypeVar("R")


async def promptly(run: Callable[[Any, J], Awaitable[R]], job: J, *, life: timedelta) -> R:
    """Run an activity method: locally first, then as an ordinary activity for as long as `life`.

    Raises ApplicationError with the code of our error as its type.
    """
    try:
        return await workflow.execute_local_activity_method(run, job, start_to_close_timeout=ATTEMPT, retry_policy=ONCE)
    # What a local activity raises comes bare; that it ran out of time comes inside an ActivityError.
    except FailureError as error:
        own = error if isinstance(error, ApplicationError) else None
        if is_cancelled_exception(error) or (own and own.non_retryable):
            raise
        delay = own.next_retry_delay if own else None
    await asyncio.sleep((delay or RETRY.initial_interval).total_seconds())
    try:
        return await workflow.execute_activity_method(
            run,
            job,
            start_to_close_timeout=ATTEMPT,
            schedule_to_close_timeout=life,
            retry_policy=RETRY,
            priority=workflow.info().priority,
        )
    except ActivityError as error:
        raise reason(error) from None


async def recorded(run: Callable[[Any, J], Awaitable[R]], job: J) -> R:
    """`promptly` for a write; a final failure is stored with its operation before it is raised."""
    try:
        return await promptly(run, job, life=WRITE_LIFE if job.writes else READ_LIFE)
    except ApplicationError as error:
        payload: Any = next(iter(error.details), None) or {
            "code": error.type or "internal_error",
            "status": 503,
            "message": error.message,
            "details": {},
            "retry_after": None,
        }
        end = Conclusion(account_id=job.account_id, operation_id=job.operation_id, error=payload)
        if job.operation_id:
            await workflow.execute_activity_method(
                ActionActivities.fail,
                end,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=STUBBORN,
            )
        raise ApplicationError(error.message, *error.details, type=error.type, non_retryable=True) from None
