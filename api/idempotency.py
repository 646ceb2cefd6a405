"""Idempotency-Key for requests that no workflow answers: the first one does the work, the others get its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from fastapi.responses import Response

from api.deps import Integration, answer
from api.waiting import fingerprint
from supportly.errors import Conflict, SupportlyError, from_payload
from supportly.storage import operations
from supportly.storage.operations import Operation

PATIENCE_S: Final = 20.0
"""How long a second request with the same key waits for the first one."""
PAUSE_S: Final = 0.1
DEAD_AFTER: Final = timedelta(seconds=90)
"""A request that has not ended by then died with its process: longer than any request is served."""


async def once(
    at: Integration, kind: str, key: str | None, body: Any, work: Callable[[], Awaitable[dict[str, Any]]]
) -> Response:
    """The answer of `work`, done once per key. A failure that may pass leaves the key free; a final one is its answer.

    Raises KeyReused for another request, and Conflict when the first one takes too long.
    """
    if key is None:
        return answer(await work())
    db, vault = at.services.db, at.services.vault
    found = await operations.open_operation(
        db,
        vault,
        account_id=at.account_id,
        provider=at.provider.id,
        kind=kind,
        key=key,
        request_hash=fingerprint(at, body),
    )
    if not found.new:
        settled = await _settled(at, found)
        if settled.status == "failed" and settled.error:
            raise from_payload(settled.error)
        if settled.status == "succeeded":
            return answer(settled.result, headers={"Idempotent-Replayed": "true"})
    try:
        result = await work()
    except SupportlyError as error:
        if error.transient or error.status >= 500:
            await operations.forget(db, at.account_id, found.id)
        else:
            await operations.finish(db, vault, at.account_id, found.id, error=error.payload())
        raise
    except BaseException:
        await operations.forget(db, at.account_id, found.id)
        raise
    await operations.finish(db, vault, at.account_id, found.id, result=result)
    return answer(result)


async def _settled(at: Integration, found: Operation) -> Operation:
    """The other request's operation when it has ended; still running when its maker is dead and it is ours now."""
    db, ends = at.services.db, time.monotonic() + PATIENCE_S
    while found.status == "running":
        if await operations.take_over(db, at.account_id, found.id, after=DEAD_AFTER):
            return found
        if time.monotonic() > ends:
            raise Conflict(
                "A request with this Idempotency-Key is still being worked on.",
                code="operation_in_progress",
                retry_after=PATIENCE_S,
            )
        await asyncio.sleep(PAUSE_S)
        again = await operations.read(db, at.services.vault, at.account_id, found.id)
        if again is None:
            raise Conflict("The first request with this key failed; send it again.", code="operation_failed")
        found = again
    return found
