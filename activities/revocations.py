"""Starts the workflow that revokes a grant, where no workflow waits for the answer."""

from __future__ import annotations

import logging

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from supportly.contracts import ids
from supportly.contracts.connections import RevocationJob
from supportly.temporal import search_attributes

log = logging.getLogger(__name__)


async def start(client: Client, account_id: int, provider: str, revocation_id: str) -> bool:
    """Start `Revocation` for an open row, or leave the one alone that runs. An empty id is nothing to do.

    False while the workflow server is away: the row stays open, and maintenance starts what nobody works on.
    """
    if not revocation_id:
        return True
    try:
        await client.start_workflow(
            "Revocation",
            RevocationJob(account_id=account_id, provider=provider, revocation_id=revocation_id),
            id=ids.revocation(account_id, provider, revocation_id),
            task_queue=ids.CONNECTIONS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=search_attributes(account_id, provider),
        )
    except RPCError:
        log.warning("the workflow server is away: a grant of %s is revoked later", provider)
        return False
    return True
