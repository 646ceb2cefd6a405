"""What every activity owes Temporal: our errors as its own, translated once and free of secrets, results that it takes,
and heartbeats.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from supportly.contracts.operations import fits
from supportly.crypto import CannotOpen
from supportly.errors import AnswerTooLarge, SupportlyError, Unavailable

LONGEST_PAUSE_S: Final = 3600.0
"""A provider that asks for more is asked again after an hour: its clock may be wrong, and ours goes on."""
FIRST_PAUSE_S: Final = 1.0
"""Between a first failure and the second try."""
LONGEST_COUNTED_S: Final = 60.0
"""Between two tries of those that are counted."""
LONGEST_BACKOFF_S: Final = 300.0
"""A provider that fails for hours is asked every five minutes."""
HEARTBEAT_S: Final = 5.0
"""Also while a slow provider is awaited; workflows miss a dead worker after some twenty seconds."""
READ_PATIENCE_S: Final = 15.0
"""A read whose provider wants a longer pause than this fails at once: the caller waits for 20 s, and it takes some."""

UNAVAILABLE: Final = Unavailable.code
"""Our own database or Temporal is away: that says nothing about a provider."""

log = logging.getLogger(__name__)
T = TypeVar("T")


def to_temporal(
    error: SupportlyError, *, patience_s: float | None = None, tried_s: float | None = None
) -> ApplicationError:
    """The error as Temporal carries it: its code is the type, its payload the details.

    With `patience_s`, a pause that is longer than it makes the error final. With `tried_s`, the seconds for which this
    has been tried, the next try is as long away again, which doubles the pauses: also where a provider names a short
    one every time, or none. Attempts are not counted, since many only wait for a lease or a token.
    """
    said = pause = error.retry_after
    if tried_s is not None and error.retryable and (said is None or "provider_status" in error.details):
        pause = max(said or 0.0, min(max(tried_s, FIRST_PAUSE_S), LONGEST_BACKOFF_S))
    impatient = patience_s is not None and said is not None and said > patience_s
    return ApplicationError(
        error.message,
        error.payload(),
        type=error.own_code,
        non_retryable=impatient or not error.retryable,
        next_retry_delay=timedelta(seconds=min(pause, LONGEST_PAUSE_S)) if pause is not None else None,
    )


@contextmanager
def translated(*, patience_s: float | None = None, paced: bool = False) -> Iterator[None]:
    """Whatever an activity raises leaves it as an ApplicationError; an unforeseen one loses its text.

    `paced`: the pauses between tries are ours to choose and not the retry policy's (see `to_temporal`).
    """
    try:
        yield
    except SupportlyError as error:
        tried_s = None
        if paced and activity.in_activity():
            info = activity.info()  # both times by the server's clock
            tried_s = (info.started_time - info.scheduled_time).total_seconds()
        raise to_temporal(error, patience_s=patience_s, tried_s=tried_s) from None
    except CannotOpen as error:
        raise ApplicationError(str(error), type="cannot_open", non_retryable=True) from None
    except ApplicationError:
        raise
    except Exception as error:  # noqa: BLE001 (nothing may leave untranslated)
        # The text of a foreign exception may quote a URL or a row; the type and the lines of code may not.
        places = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(traceback.extract_tb(error.__traceback__)[-4:]))
        log.error("unforeseen %s at %s", type(error).__name__, places)  # noqa: TRY400 (the traceback quotes values)
        raise ApplicationError(f"unforeseen {type(error).__name__}", type="internal_error") from None


def leaving() -> bool:
    """True when this worker has been asked to stop: what can be gone on with elsewhere ends at its next good place."""
    return activity.in_activity() and activity.is_worker_shutdown()


class ResultLimit(Interceptor):
    """Makes a result that Temporal would not take a final failure; otherwise it would be tried again without an end."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (theirs)
        """Around every activity, local ones too."""
        return _Limited(next)


class _Limited(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (theirs)
        result = await super().execute_activity(input)
        if not fits(result):
            raise to_temporal(AnswerTooLarge("The provider's answer is larger than 1.5 MB; ask for less of it."))
        return result


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Heartbeats while the block runs, so that a cancelled or dead attempt is noticed; none outside of Temporal."""
    if not activity.in_activity():
        yield
        return

    async def beat() -> None:
        while True:
            activity.heartbeat(*activity.info().heartbeat_details)  # what earlier attempts have noted stays
            await asyncio.sleep(HEARTBEAT_S)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def attempting(*, tries: int | None = None) -> AsyncIterator[None]:
    """`translated` with heartbeats: one attempt of an activity whose worker is missed when it dies.

    With `tries`, the failure that makes so many is final, and pauses double up to a minute. Attempts that died with
    their worker, or met no database, are none of them, which a retry policy cannot tell apart.
    """
    try:
        with translated():
            async with beating():
                yield
    except ApplicationError as error:
        if tries is None or error.non_retryable or error.type == UNAVAILABLE or not activity.in_activity():
            raise
        failed = 1 + next((noted for noted in activity.info().heartbeat_details if isinstance(noted, int)), 0)
        activity.heartbeat(failed)  # the SDK delivers the last one before the failure
        raise ApplicationError(
            error.message,
            *error.details,
            type=error.type,
            non_retryable=failed >= tries,
            next_retry_delay=error.next_retry_delay or timedelta(seconds=min(2 ** (failed - 1), LONGEST_COUNTED_S)),
        ) from None


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is not cut off: a cancellation is passed on once it has ended.

    Temporal cancels an attempt that it has given up, also one that has just woken with a token in its hands.
    """
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait({task})  # which leaves the task alone when it is cancelled itself
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled() and task.exception() is not None:
            log.info("an attempt that was given up ended with %s", type(task.exception()).__name__)
        raise cancelled
    return task.result()
