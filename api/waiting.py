"""Starts a workflow, waits for it as long as the caller wants, and answers 200, 202 or the failure.

`Prefer: wait=N` and `respond-async` (RFC 7240) choose; without them `SUPPORTLY_WAIT_S` does.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.deps import Integration, Tenant, answer
from api.errors import from_temporal
from api.services import temporal_away
from supportly import logs
from supportly.contracts import ids
from supportly.errors import NotFound, OutcomeUnknown, SupportlyError, from_payload
from supportly.storage import operations
from supportly.storage.operations import Operation
from supportly.temporal import bulk, search_attributes, waiting

LONGEST_WAIT_S: Final = 60
"""Proxies on the way commonly cut a silent request after a minute."""

Kind = Literal["lookup", "sync", "activity", "action"]


@dataclass(frozen=True)
class Patience:
    """How long a caller waits; `applied` is what of its `Prefer` header was honoured."""

    seconds: float
    applied: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The header that says so."""
        return {"Preference-Applied": self.applied} if self.applied else {}


def preference(header: str, default_s: float) -> Patience:
    """Reads `Prefer`. The first `wait` counts, clamped to 0 to 60; what cannot be read is ignored, as the RFC says."""
    wished, at_once = None, False
    for part in header.split(","):
        name, _, value = part.partition(";")[0].partition("=")
        match name.strip().lower():
            case "respond-async":
                at_once = True
            case "wait" if wished is None and re.fullmatch(r"\s*\"?[0-9]{1,9}\"?\s*", value):
                wished = min(int(value.strip().strip('"')), LONGEST_WAIT_S)
            case _:
                pass
    applied = [*(["respond-async"] if at_once else []), *([f"wait={wished}"] if wished is not None else [])]
    seconds = float(wished) if wished is not None else 0.0 if at_once else default_s
    return Patience(seconds, ", ".join(applied))


async def _patience(
    request: Request,
    prefer: Annotated[
        str, Header(alias="Prefer", description="`wait=N` (seconds, 0 to 60) or `respond-async` (RFC 7240).")
    ] = "",
) -> Patience:
    return preference(prefer, request.app.state.services.settings.wait_s)


Waits = Annotated[Patience, Depends(_patience)]


@dataclass(frozen=True)
class Work:
    """One request that a workflow does."""

    kind: Kind
    provider: str
    workflow: Any
    """Run method of the workflow's class."""
    job: BaseModel
    result: type[BaseModel]
    workflow_id: str
    operation_id: str = ""
    """Id of its operation; a lookup has none before its 202."""
    stored: bool = False
    """The operation has a row already: that of a write, or of a request with an Idempotency-Key."""
    shared: bool = False
    """Callers with the same workflow id share one run, and a later one may start another."""
    joins_with: str | None = None
    """Signal for a run that is joined."""


async def opened(
    at: Integration,
    kind: Kind,
    *,
    key: str | None,
    fingerprint: str,
    workflow_id: Callable[[str], str] | None = None,
) -> Operation:
    """The operation of a request: a new one, or the one that the same key made. Raises KeyReused.

    `workflow_id` makes the workflow's id of the operation's, where a workflow belongs to one operation alone.
    """
    operation_id = str(uuid.uuid4())
    found = await operations.open_operation(
        at.services.db,
        at.services.vault,
        account_id=at.account_id,
        provider=at.provider.id,
        kind=kind,
        key=key,
        request_hash=fingerprint,
        operation_id=operation_id,
        workflow_id=workflow_id(operation_id) if workflow_id else None,
    )
    logs.note(operation_id=found.id)
    return found


def replayed(found: Operation, patience: Patience) -> Response | None:
    """The stored answer of an operation that has ended; raises its error. None while it runs."""
    if found.status == "failed" and found.error:
        raise from_payload(found.error)
    if found.status == "succeeded":
        return answer(_with_id(found.result, found.id), headers={**patience.headers, "Idempotent-Replayed": "true"})
    return None


async def perform(at: Tenant, work: Work, patience: Patience) -> Response:
    """Do the work, and answer its result within the caller's patience, or 202. Raises the work's own failure."""
    client = await at.services.temporal.client()
    logs.note(workflow_id=work.workflow_id)
    handle, run_id = await _start(client, at, work, patience)
    try:
        result = await _result(at, work, handle, run_id, patience)
    except WorkflowFailureError as error:
        failure = from_temporal(error)
        if work.stored:
            await _record(at, work.operation_id, error=failure)
        raise failure from None
    except (TimeoutError, RPCError):
        # The work goes on, also when Temporal went away after it had taken it.
        return await _accepted(at, work, run_id, patience)
    found = result.model_dump(mode="json")
    if work.stored and work.shared:
        # Workflows of one operation alone store their result themselves.
        await _record(at, work.operation_id, result=found)
    return answer(_with_id(found, work.operation_id if work.stored else ""), headers=patience.headers)


async def _start(
    client: Client, at: Tenant, work: Work, patience: Patience
) -> tuple[WorkflowHandle[Any, Any], str | None]:
    once = WorkflowIDReusePolicy.ALLOW_DUPLICATE if work.shared else WorkflowIDReusePolicy.REJECT_DUPLICATE
    signal: dict[str, Any] = {"start_signal": work.joins_with, "start_signal_args": []} if work.joins_with else {}
    try:
        handle = await client.start_workflow(
            work.workflow,
            work.job,
            id=work.workflow_id,
            task_queue=ids.INTERACTIVE if patience.seconds > 0 else ids.BACKGROUND,
            result_type=work.result,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=once,
            search_attributes=search_attributes(at.account_id, work.provider),
            priority=waiting(at.account_id) if patience.seconds > 0 else bulk(at.account_id),
            **signal,
        )
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle(work.workflow_id, result_type=work.result), None
    except RPCError:
        raise temporal_away() from None
    return handle, handle.result_run_id


async def _result(
    at: Tenant, work: Work, handle: WorkflowHandle[Any, Any], run_id: str | None, patience: Patience
) -> BaseModel:
    """The result in time; TimeoutError after it. A shared run is noted with its operation while it works."""
    if work.shared and work.stored and run_id:
        await operations.attach(at.services.db, at.account_id, work.operation_id, work.workflow_id, run_id)
    if patience.seconds <= 0:
        raise TimeoutError
    return await at.services.patiently(handle.result(), patience.seconds)


async def _accepted(at: Tenant, work: Work, run_id: str | None, patience: Patience) -> Response:
    operation_id = work.operation_id
    if not work.stored:
        made = await operations.open_operation(
            at.services.db,
            at.services.vault,
            account_id=at.account_id,
            provider=work.provider,
            kind=work.kind,
            request_hash="",
            operation_id=operation_id or None,
            workflow_id=work.workflow_id,
            run_id=run_id,
        )
        operation_id = made.id
    url = status_url(at, operation_id)
    body = {"operation_id": operation_id, "status": "running", "status_url": url}
    return answer(body, 202, {**patience.headers, "Location": url})


def status_url(at: Tenant, operation_id: str) -> str:
    """Where to ask for an operation."""
    return f"{at.base}/operations/{operation_id}"


async def _record(at: Tenant, operation_id: str, *, result: Any = None, error: SupportlyError | None = None) -> None:
    await operations.finish(
        at.services.db,
        at.services.vault,
        at.account_id,
        operation_id,
        result=result,
        error=error.payload() if error else None,
    )


def _with_id(result: Any, operation_id: str) -> Any:
    return {**result, "operation_id": operation_id} if operation_id and isinstance(result, dict) else result


async def settled(at: Tenant, found: Operation, patience: Patience) -> Operation:
    """The operation as it stands: a running one is looked up in Temporal, and stored when it has ended there."""
    if found.status != "running" or not found.workflow_id:
        return found
    if not ids.of_account(found.workflow_id, at.account_id):
        # No row of ours names another account's workflow, and whoever can write rows must not read results by it.
        raise NotFound("There is no such operation.")
    client = await at.services.temporal.client()
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(found.workflow_id, run_id=found.run_id)
    try:
        if not patience.seconds and (await handle.describe()).status == WorkflowExecutionStatus.RUNNING:
            return found
        result = await at.services.patiently(handle.result(), patience.seconds or None)
        await _record(at, found.id, result=result)
    except TimeoutError:
        return found
    except WorkflowFailureError as error:
        await _record(at, found.id, error=from_temporal(error))
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise temporal_away() from None
        lost = OutcomeUnknown("How this ended is not on record any more. Look at the provider.")
        await _record(at, found.id, error=lost)
    return await operations.read(at.services.db, at.services.vault, at.account_id, found.id) or found


def fingerprint(at: Tenant, body: Any = None) -> str:
    """What an Idempotency-Key is bound to: method, path, query and body."""
    url = at.request.url
    return operations.request_hash(at.request.method, url.path, url.query, body)
