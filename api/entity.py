"""Asks the ConnectionWorkflow of an account and provider, which is started should it not be there."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Any, Final

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from api.deps import Integration
from api.errors import from_temporal
from api.services import temporal_away
from supportly.contracts import ids
from supportly.contracts.connections import Authorization, Disconnection, Entity, Standing
from supportly.errors import Unavailable
from supportly.temporal import search_attributes, waiting
from workflows.connection import ConnectionWorkflow

PATIENCE_S: Final = 20.0
"""An exchange takes two provider calls of at most 8 seconds each."""
BUSY_RETRY_S: Final = 5.0
NOT_READY_S: Final = 0.5
"""Between two tries while Temporal takes no update of a workflow: its tasks have failed or were missed several times in
a row, as when its worker died and another one is busy taking everything over."""


async def authorize(at: Integration, pending_id: str) -> Standing:
    """Exchange a received code; repeating it answers the same. Unavailable without a worker, and nothing is lost."""
    job = Authorization(account_id=at.account_id, provider=at.provider.id, pending_id=pending_id)
    return await _ask(at, ConnectionWorkflow.authorize, job, update_id=pending_id)


async def disconnect(at: Integration) -> Standing:
    """End the connection. Raises NotConnected when there is none."""
    job = Disconnection(account_id=at.account_id, provider=at.provider.id, requested_by=at.actor)
    return await _ask(at, ConnectionWorkflow.disconnect, job, update_id=str(uuid.uuid4()))


async def _ask(at: Integration, update: Any, job: Authorization | Disconnection, *, update_id: str) -> Standing:
    client = await at.services.temporal.client()
    try:
        return await asyncio.wait_for(_until_ready(client, at, update, job, update_id), PATIENCE_S)
    except WorkflowUpdateFailedError as error:
        raise from_temporal(error) from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        raise _busy() from None
    except RPCError as error:
        # Temporal takes ten updates of one workflow at a time; the client waits for a place, and not for ever.
        raise (_busy() if error.status == RPCStatusCode.RESOURCE_EXHAUSTED else temporal_away()) from None


def _busy() -> Unavailable:
    return Unavailable(
        "This takes longer than usual. Nothing is lost: repeat the same request in a moment.", retry_after=BUSY_RETRY_S
    )


async def _until_ready(client: Client, at: Integration, update: Any, job: Any, update_id: str) -> Standing:
    """Ask again while the workflow can't be asked; the id makes the tries one."""
    while True:
        try:
            return await _update(client, at, update, job, update_id)
        except RPCError as error:
            if error.status != RPCStatusCode.FAILED_PRECONDITION:
                raise
        await asyncio.sleep(NOT_READY_S)


async def _update(client: Client, at: Integration, update: Any, job: Any, update_id: str) -> Standing:
    start: WithStartWorkflowOperation[ConnectionWorkflow, None] = WithStartWorkflowOperation(
        ConnectionWorkflow.run,
        Entity(account_id=at.account_id, provider=at.provider.id),
        id=ids.connection(at.account_id, at.provider.id),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        task_queue=ids.CONNECTIONS,
        search_attributes=search_attributes(at.account_id, at.provider.id),
        priority=waiting(at.account_id),
    )
    try:
        found: Standing = await client.execute_update_with_start_workflow(
            update, job, start_workflow_operation=start, id=update_id
        )
    except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError):
        # The operation keeps its failure for whoever asks for the handle; unasked it would be logged as an error.
        with contextlib.suppress(RPCError, asyncio.CancelledError):
            await start.workflow_handle()
        raise
    return found
