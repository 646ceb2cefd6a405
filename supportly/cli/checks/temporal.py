"""Temporal as the service finds it: namespace, search attributes, a worker at every queue, and its clock."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from supportly.cli.checks.finding import LOOK_S, Finding, clocks, fail, ok, skipped, warn
from supportly.contracts import ids
from supportly.settings import Settings
from supportly.temporal import connect

QUEUES: Final = (*ids.PROMPT, *ids.BULK)
POLLED_WITHIN: Final = timedelta(seconds=75)
"""A worker asks for work at least once a minute (Temporal's long poll)."""
SHORTEST_RETENTION: Final = timedelta(days=1)
"""A write goes on for a day, and who asks for its end should find it."""
CLOCK: Final = "doctor/clock"
"""Id and queue of the workflow that tells Temporal's time; no worker polls there, so it does nothing."""


async def check(settings: Settings) -> list[Finding]:
    """All findings about the server of `SUPPORTLY_TEMPORAL_ADDRESS`."""
    where = settings.temporal_address
    try:
        client = await asyncio.wait_for(connect(settings), LOOK_S)
    except ValueError as error:
        return [skipped("temporal", f"Payloads cannot be encrypted: {error}")]
    except (RuntimeError, RPCError, TimeoutError):
        return [
            fail(
                "temporal", f"Nothing answers at {where}", "Start it, and check SUPPORTLY_TEMPORAL_ADDRESS and its key."
            )
        ]
    found = [await _namespace(client)]
    if found[0].state == "fail":
        return found
    found += [await _attributes(client), *[await _pollers(client, queue) for queue in QUEUES]]
    return [*found, await _clock(client)]


async def _namespace(client: Client) -> Finding:
    try:
        told = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=timedelta(seconds=LOOK_S)
        )
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return fail(
                "temporal",
                f"It has no namespace {client.namespace}",
                f"`temporal operator namespace create -n {client.namespace} --retention 7d`, or set "
                "SUPPORTLY_TEMPORAL_NAMESPACE.",
            )
        return fail("temporal", f"It refuses to describe its namespace ({error.status.name})", "Check the API key.")
    kept = told.config.workflow_execution_retention_ttl.ToTimedelta()
    if kept < SHORTEST_RETENTION:
        return warn(
            "temporal", f"Namespace {client.namespace} keeps ended workflows for {kept}", "Keep them for a day."
        )
    return ok("temporal", f"Namespace {client.namespace} answers, and keeps ended workflows for {kept.days} days")


async def _attributes(client: Client) -> Finding:
    try:
        told = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=timedelta(seconds=LOOK_S)
        )
    except RPCError as error:
        return warn("search attributes", f"Temporal does not list them ({error.status.name})", "Look in its console.")
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    lacking = [
        name for name in (ids.ACCOUNT_ATTRIBUTE, ids.PROVIDER_ATTRIBUTE) if told.custom_attributes.get(name) != keyword
    ]
    if lacking:
        commands = "; ".join(
            f"temporal operator search-attribute create -n {client.namespace} --name {n} --type Keyword"
            for n in lacking
        )
        return fail("search attributes", f"{', '.join(lacking)} missing: no workflow can be started", commands)
    return ok("search attributes", f"{ids.ACCOUNT_ATTRIBUTE} and {ids.PROVIDER_ATTRIBUTE} are there")


async def _pollers(client: Client, queue: str) -> Finding:
    alive: dict[str, set[str]] = {}
    since = datetime.now(UTC) - POLLED_WITHIN
    for kind, name in (
        (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, "workflows"),
        (TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY, "activities"),
    ):
        try:
            told = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
                ),
                timeout=timedelta(seconds=LOOK_S),
            )
        except RPCError as error:
            return warn(f"queue {queue}", f"Temporal does not describe it ({error.status.name})", "Look in its UI.")
        alive[name] = {p.identity for p in told.pollers if p.last_access_time.ToDatetime(UTC) > since}
    idle = [name for name, who in alive.items() if not who]
    if idle:
        return fail(
            f"queue {queue}",
            f"Nobody polls for {' and '.join(idle)}",
            "Start a worker: `python worker.py` polls all queues.",
        )
    return ok(f"queue {queue}", f"{len(set().union(*alive.values()))} worker processes poll")


async def _clock(client: Client) -> Finding:
    """Temporal tells its time nowhere but in what it writes: an empty workflow is started, read and ended."""
    try:
        before = datetime.now(UTC)
        handle = await client.start_workflow(
            "DoctorClock",
            id=f"{CLOCK}/{uuid.uuid4()}",
            task_queue=CLOCK,
            execution_timeout=timedelta(seconds=30),
            rpc_timeout=timedelta(seconds=LOOK_S),
        )
        after = datetime.now(UTC)
        try:
            theirs = (await handle.describe()).start_time
        finally:
            await handle.terminate("the clock was read")
    except RPCError as error:
        return warn("temporal clock", f"It could not be read ({error.status.name})", "Look at the server's log.")
    return clocks("temporal clock", theirs - (before + (after - before) / 2), "Temporal's")
