"""Temporal Schedules of knowledge syncs: one per account and provider, made, paused and deleted here.

Temporal adds a time stamp to the id of a workflow that a Schedule starts, so the Schedule starts `KnowledgeSchedule`,
which starts the sync under its own id: scheduled and manual runs never overlap.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.schedule.v1 import IntervalSpec
from temporalio.api.schedule.v1 import Schedule as StoredSchedule
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode

from supportly.contracts import ids
from supportly.contracts.knowledge import KnowledgeJob
from supportly.contracts.upkeep import Upkeep
from supportly.temporal import amend_schedule, bulk, read_schedule, search_attributes

STARTER: Final = "KnowledgeSchedule"
"""Type of the workflow that a Schedule starts."""
CATCH_UP: Final = timedelta(hours=1)
"""After an outage one late run is enough; the server's default would make up for a year."""
CLEANER: Final = "Maintenance"
"""Type of the workflow that the daily Schedule starts."""
AT_NIGHT: Final = timedelta(hours=3)
"""After midnight UTC: few people of Europe and America wait for an answer then."""
UNATTENDED: Final = timedelta(minutes=15)
"""A task that no worker has taken for this long means that none is there; a busy one takes it within minutes."""
AMENDMENTS: Final = 20
"""How often a change is sent until it stands; with the waits between, four seconds."""
LONGER_EACH_TIME: Final = 0.02
"""Seconds: Temporal's scheduler takes a change up some milliseconds after it was sent, later on a busy server."""
WAITING: Final = "PENDING_ACTIVITY_STATE_SCHEDULED"
PAUSED_BY_SWITCH: Final = "knowledge sync is switched off"
PAUSED_BY_CONNECTION: Final = "waits until the provider is connected again"


def offset(account_id: int, provider: str, every: timedelta) -> timedelta:
    """When within its interval an account's sync starts: hashed, so that all accounts don't start at the full hour."""
    share = int.from_bytes(hashlib.sha256(ids.schedule(account_id, provider).encode()).digest()[:4], "big") / 2**32
    return timedelta(seconds=int(every.total_seconds() * share))


def _schedule(account_id: int, provider: str, every: timedelta) -> Schedule:
    job = KnowledgeJob(account_id=account_id, provider=provider, trigger="schedule", full=False)
    action = ScheduleActionStartWorkflow(
        STARTER,
        job,
        id=f"{ids.schedule(account_id, provider)}/run",
        task_queue=ids.KNOWLEDGE,
        typed_search_attributes=search_attributes(account_id, provider),
        priority=bulk(account_id),
    )
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every, offset=offset(account_id, provider, every))])
    policy = SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP)
    return Schedule(action=action, spec=spec, policy=policy, state=ScheduleState())


def _maintenance() -> Schedule:
    """The definition of the daily Schedule."""
    action = ScheduleActionStartWorkflow(CLEANER, Upkeep(), id=f"{ids.MAINTENANCE}/run", task_queue=ids.REFINEMENT)
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(days=1), offset=AT_NIGHT)])
    policy = SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(days=1))
    return Schedule(action=action, spec=spec, policy=policy, state=ScheduleState())


async def keep_maintenance(client: Client) -> None:
    """Make the daily Schedule, or bring its definition up to date; one that a person paused stays so. Raises RPCError.

    Every worker asks for it when it starts.
    """
    wanted = _maintenance()

    def renewed(found: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted.state = found.description.schedule.state
        return ScheduleUpdate(schedule=wanted)

    try:
        await client.create_schedule(ids.MAINTENANCE, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(ids.MAINTENANCE).update(renewed)


def _handle(client: Client, account_id: int, provider: str) -> ScheduleHandle:
    return client.get_schedule_handle(ids.schedule(account_id, provider))


async def switch_on(client: Client, account_id: int, provider: str, every: timedelta) -> None:
    """Make the Schedule, or wake the paused one with the present interval. Raises RPCError."""
    wanted = _schedule(account_id, provider, every)

    def renewed(_: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(schedule=wanted)

    try:
        await client.create_schedule(
            ids.schedule(account_id, provider), wanted, search_attributes=search_attributes(account_id, provider)
        )
    except ScheduleAlreadyRunningError:
        await _handle(client, account_id, provider).update(renewed)


async def set_interval(client: Client, account_id: int, provider: str, every: timedelta) -> None:
    """Change how often the sync runs; a paused Schedule stays paused, a missing one missing. Raises RPCError."""
    wanted = IntervalSpec(interval=Duration(), phase=Duration())
    wanted.interval.FromTimedelta(every)
    wanted.phase.FromTimedelta(offset(account_id, provider, every))

    def changed(schedule: StoredSchedule) -> bool:
        if list(schedule.spec.interval) == [wanted]:
            return False
        del schedule.spec.interval[:]
        schedule.spec.interval.append(wanted)
        return True

    await _amend(client, ids.schedule(account_id, provider), changed)


async def switch_off(client: Client, account_id: int, provider: str) -> None:
    """Pause the Schedule; what is stored stays. Raises RPCError."""
    try:
        await _handle(client, account_id, provider).pause(note=PAUSED_BY_SWITCH)
    except RPCError as error:
        _unless_missing(error)


async def hold(client: Client, account_id: int, provider: str) -> None:
    """Pause a Schedule whose connection has to be renewed first; one that is paused keeps its note. Raises RPCError."""

    def held(schedule: StoredSchedule) -> bool:
        if schedule.state.paused:
            return False
        schedule.state.paused, schedule.state.notes = True, PAUSED_BY_CONNECTION
        return True

    await _amend(client, ids.schedule(account_id, provider), held)


async def release(client: Client, account_id: int, provider: str) -> None:
    """Wake a Schedule that `hold` paused, and no other: what a person paused stays paused. Raises RPCError."""

    def released(schedule: StoredSchedule) -> bool:
        if not (schedule.state.paused and schedule.state.notes == PAUSED_BY_CONNECTION):
            return False
        schedule.state.paused, schedule.state.notes = False, "connected again"
        return True

    await _amend(client, ids.schedule(account_id, provider), released)


async def _amend(client: Client, name: str, changed: Callable[[StoredSchedule], bool]) -> None:
    """Change a Schedule, and nothing that somebody else changes in the same moment; a missing one is fine.

    `changed` makes the change and returns True, or returns False where there is nothing to change: the end. Raises
    RPCError, ABORTED when others get in first every time.
    """
    try:
        for before in range(AMENDMENTS):
            found = await read_schedule(client, name)
            if not changed(found.schedule):
                return
            await amend_schedule(client, name, found)
            await asyncio.sleep(before * LONGER_EACH_TIME)
    except RPCError as error:
        _unless_missing(error)
        return
    raise RPCError("The Schedule did not take a change.", RPCStatusCode.ABORTED, b"")


async def delete(client: Client, account_id: int, provider: str) -> None:
    """Delete the Schedule; a missing one is fine. Raises RPCError."""
    try:
        await _handle(client, account_id, provider).delete()
    except RPCError as error:
        _unless_missing(error)


async def next_run(client: Client, account_id: int, provider: str) -> datetime | None:
    """When the sync runs next by itself; None while it is paused or there is no Schedule. Raises RPCError."""
    try:
        found = await _handle(client, account_id, provider).describe()
    except RPCError as error:
        _unless_missing(error)
        return None
    if found.schedule.state.paused or not found.info.next_action_times:
        return None
    return found.info.next_action_times[0]


async def is_stalled(client: Client, account_id: int, provider: str) -> bool:
    """True when nobody works on a sync that ought to run: its workflow is gone, or its next task waits for a worker.

    Raises RPCError.
    """
    try:
        found = await client.get_workflow_handle(ids.knowledge(account_id, provider)).describe()
    except RPCError as error:
        _unless_missing(error)
        return True
    if found.status != WorkflowExecutionStatus.RUNNING:
        return True
    raw = found.raw_description
    waiting = [a.scheduled_time for a in raw.pending_activities if a.state == PendingActivityState.Value(WAITING)]
    if raw.HasField("pending_workflow_task"):
        waiting.append(raw.pending_workflow_task.scheduled_time)
    return any(t.ToDatetime(UTC) < datetime.now(UTC) - UNATTENDED for t in waiting)


async def cancel_sync(client: Client, account_id: int, provider: str) -> None:
    """Cancel the running sync, if there is one. Raises RPCError."""
    try:
        await client.get_workflow_handle(ids.knowledge(account_id, provider)).cancel()
    except RPCError as error:
        _unless_missing(error)


def _unless_missing(error: RPCError) -> None:
    if error.status != RPCStatusCode.NOT_FOUND:
        raise error
