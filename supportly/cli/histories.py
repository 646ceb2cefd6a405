"""What Temporal holds by key: payloads of running workflows and of Schedules, and how they are brought to a new key.

Payloads are sealed when a message is sent and stay as they are. Who runs on (`ConnectionWorkflow`) is asked to begin
a new run, whose input its worker seals with the present key; a Schedule's arguments are sealed anew here; everything
else ends by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeScheduleResponse
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from supportly.temporal import KEY_ID, amend_schedule, read_schedule

RUNNING: Final = 'ExecutionStatus = "Running"'
RENEWED: Final = {"ConnectionWorkflow": "renew"}
"""Workflows without an end of their own, and the signal that makes one begin a new run."""
AT_A_TIME: Final = 16
"""Histories read side by side: each is a call or a few, and the server serves others too."""
WAIT_S: Final = 60.0
"""How long a renewed workflow may take: it ends what it is doing first, a refresh for instance."""
PAUSE_S: Final = 1.0


@dataclass
class Held:
    """What running workflows and Schedules need: counts by workflow type (`Schedule` too) and key."""

    uses: Counter[tuple[str, str]] = field(default_factory=Counter)
    stale: list[tuple[WorkflowExecution, set[str]]] = field(default_factory=list)
    """Running workflows that need another key than the present one, and all keys that they need."""
    schedules: list[tuple[str, set[str]]] = field(default_factory=list)
    """Ids of Schedules that do, and their keys."""

    @property
    def left(self) -> int:
        """How many there are that need another key."""
        return len(self.stale) + len(self.schedules)


def payloads(message: Message) -> Iterator[Payload]:
    """All payloads inside a protobuf message, however deep."""
    if isinstance(message, Payload):
        yield message
        return
    for described, value in message.ListFields():
        if described.message_type is None:
            continue
        if described.message_type.GetOptions().map_entry:
            inside: Iterable[object] = list(value.values())
        else:
            inside = value if described.is_repeated else [value]
        for one in inside:
            if isinstance(one, Message):
                yield from payloads(one)


def keys_of(message: Message) -> set[str]:
    """Ids of the keys that a message's payloads need."""
    return {p.metadata[KEY_ID].decode() for p in payloads(message) if KEY_ID in p.metadata}


async def held(client: Client, current: str) -> Held:
    """Read the whole history of every running workflow, and every Schedule. Raises RPCError."""
    found, gate = Held(), asyncio.Semaphore(AT_A_TIME)

    async def read(run: WorkflowExecution) -> None:
        async with gate:
            needed = await _needed(client, run)
        found.uses.update((run.workflow_type, key) for key in needed)
        if needed - {current}:
            found.stale.append((run, needed))

    # Temporal's own, which carry out Schedules, are seen below.
    running = [run async for run in client.list_workflows(RUNNING) if not run.id.startswith("temporal-sys-")]
    await asyncio.gather(*map(read, running))
    async for listed in await client.list_schedules():
        needed = keys_of(await _described(client, listed.id))
        found.uses.update(("Schedule", key) for key in needed)
        if needed - {current}:
            found.schedules.append((listed.id, needed))
    return found


async def _needed(client: Client, run: WorkflowExecution) -> set[str]:
    """Keys of one run's history; none when it has been removed meanwhile."""
    needed: set[str] = set()
    try:
        async for event in client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history_events():
            needed |= keys_of(event)
    except RPCError as error:
        _unless_gone(error)
    return needed


async def renew(client: Client, ring: list[str], *, wait_s: float = WAIT_S) -> Held:
    """Bring Schedules and running workflows to the ring's first key; answers what is held when no more can be done.

    Workflows that end by themselves are left to it, and so is what needs a key that the ring lacks.
    """
    ends = asyncio.get_running_loop().time() + wait_s
    asked: set[str] = set()
    while True:
        found = await held(client, ring[0])
        schedules = [one for one, needed in found.schedules if needed <= set(ring)]
        waiting = [run for run, needed in found.stale if run.workflow_type in RENEWED and needed <= set(ring)]
        for schedule_id in schedules:
            await _renew_schedule(client, schedule_id)
        for run in waiting:
            if run.run_id not in asked:
                asked.add(run.run_id)
                await _ask(client, run)
        if not (waiting or schedules) or asyncio.get_running_loop().time() > ends:
            return found
        await asyncio.sleep(PAUSE_S)


async def _ask(client: Client, run: WorkflowExecution) -> None:
    try:
        await client.get_workflow_handle(run.id, run_id=run.run_id).signal(RENEWED[run.workflow_type])
    except RPCError as error:
        _unless_gone(error)


async def _described(client: Client, schedule_id: str) -> DescribeScheduleResponse:
    try:
        return await read_schedule(client, schedule_id)
    except RPCError as error:
        _unless_gone(error)
        return DescribeScheduleResponse()


async def _renew_schedule(client: Client, schedule_id: str) -> None:
    """Seal a Schedule's payloads anew, where it is still as it was read: nobody's pause or interval gets lost."""
    codec = client.data_converter.payload_codec
    found = await _described(client, schedule_id)
    if codec is None or not found.HasField("schedule"):
        return
    # Search attributes are payloads too, in the clear.
    for payload in [one for one in payloads(found.schedule) if KEY_ID in one.metadata]:
        [fresh] = await codec.encode(await codec.decode([payload]))
        payload.CopyFrom(fresh)
    try:
        await amend_schedule(client, schedule_id, found)
    except RPCError as error:
        _unless_gone(error)


def _unless_gone(error: RPCError) -> None:
    if error.status != RPCStatusCode.NOT_FOUND:
        raise error


async def ended_before(client: Client, moment: datetime | None) -> int:
    """How many ended workflows that began before `moment` Temporal still keeps (all of them without one)."""
    began = f" AND StartTime < '{moment.isoformat()}'" if moment else ""
    return (await client.count_workflows(f'ExecutionStatus != "Running"{began}')).count


async def retention_days(client: Client) -> float:
    """Days for which the namespace keeps the histories of ended workflows."""
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    return found.config.workflow_execution_retention_ttl.ToTimedelta().total_seconds() / 86_400
