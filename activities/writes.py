"""Exactly-once writes at providers that deduplicate nothing themselves.

A marker row is committed before the call, with a lease: only its holder may send, and only until the lease ends
(`Http.not_after`). A later attempt sees the marker and looks at the provider before it sends anything.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from pydantic import BaseModel

from activities.calls import Calls, OpenCall
from supportly.contracts.operations import Operation
from supportly.errors import (
    OutcomeUnknown,
    ProviderFailure,
    SupportlyError,
    Unavailable,
)
from supportly.http import Lane
from supportly.storage import markers, operations

LEASE_S: Final = 30.0
"""How long one attempt may go on sending: above the longest activity that writes, below a caller's patience."""
BUSY_PAUSE_S: Final = 1.0
"""Between two looks at a marker that another attempt holds."""

Result = TypeVar("Result", bound=BaseModel)
Result_co = TypeVar("Result_co", bound=BaseModel, covariant=True)


class Write(Protocol[Result_co]):
    """The write itself. `look_first`: an earlier attempt may have reached the provider."""

    async def __call__(self, opened: OpenCall, *, look_first: bool) -> Result_co:
        """Write, and answer what is to be stored."""


def maybe_done(error: SupportlyError) -> bool:
    """True when a failed write may have happened: bytes went out and no refusal came back."""
    if not isinstance(error, ProviderFailure) or not error.sent or error.refused:
        return False
    # A success whose answer could not be read has happened like any other.
    status = error.provider_status
    return status is None or status < 300 or status >= 500


async def once(
    calls: Calls,
    job: Operation,
    lane: Lane,
    shape: type[Result],
    write: Write[Result],
    *,
    contact_id: int | None = None,
) -> Result:
    """Run `write` so that it happens once, and answer its result, stored or new."""
    place = (job.account_id, job.provider, job.operation_id)
    async with calls.open(
        job.account_id,
        job.provider,
        lane,
        contact_id=contact_id,
        operation_id=job.operation_id,
        lease_s=LEASE_S,
    ) as opened:
        marker = await markers.intend(
            calls.db, calls.vault, *place, generation=opened.connection.generation, lease_s=LEASE_S
        )
        if marker.state == "done" and marker.result is not None:
            # Whoever wrote it may have died before the operation was told.
            return await _told(calls, job, shape.model_validate_json(marker.result))
        if marker.state == "unknown":
            raise OutcomeUnknown("Whether this was written is not known; it is not repeated. Look at the provider.")
        if marker.state == "busy":
            raise Unavailable("Another attempt of this operation is under way.", retry_after=BUSY_PAUSE_S)
        try:
            result = await write(opened, look_first=marker.state == "intended")
        except OutcomeUnknown:
            await markers.close(calls.db, calls.vault, *place, "unknown")
            raise
        except SupportlyError as error:
            maybe = maybe_done(error) and opened.call.http.wrote
            if marker.state == "intended" or maybe:
                await markers.let_go(calls.db, job.account_id, job.operation_id, held=marker.lease_until)
            else:
                await markers.withdraw(calls.db, job.account_id, job.operation_id, held=marker.lease_until)
            error.retryable = error.retryable or maybe
            raise
    await markers.close(calls.db, calls.vault, *place, "done", result.model_dump_json().encode())
    return await _told(calls, job, result)


async def _told(calls: Calls, job: Operation, result: Result) -> Result:
    """Store the result with the operation, for whoever asks about it; a second time changes nothing."""
    await operations.finish(
        calls.db, calls.vault, job.account_id, job.operation_id, result=result.model_dump(mode="json")
    )
    return result
