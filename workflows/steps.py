"""One activity as a step of a workflow: how often it is tried, and what its failure says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

UNAVAILABLE: Final = "unavailable"
"""Type of a failure that is our own: the database or Temporal was away, or workers died until time ran out."""

SILENCE: Final = timedelta(seconds=20)
"""Heartbeats come every five seconds; after this long without one the worker is dead, and another one takes over."""
ONCE: Final = RetryPolicy(maximum_attempts=1)
# Eight tries take some five minutes: a provider that is down for longer is left to the next run.
PATIENT: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1), maximum_attempts=8
)
# For a step that counts its provider's failures and chooses their pauses itself: what died with its worker goes on.
AT_ONCE: Final = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=1.0)
# For what has to succeed some time, such as the row that says how work ended.
STUBBORN: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))


async def step(activity: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Run an activity. Raises ApplicationError with the code of our error as its type, or the workflow's cancelling."""
    try:
        return await workflow.execute_activity(activity, args=args, **options)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        raise reason(error) from None


def reason(error: ActivityError) -> ApplicationError:
    """Our own error inside an ActivityError; one that ran out of time says so."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return cause
        cause = cause.__cause__
    return ApplicationError("The work did not end in time.", type=UNAVAILABLE, non_retryable=True)
