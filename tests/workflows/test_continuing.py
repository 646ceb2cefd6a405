"""What can grow goes on as new: nothing that was asked is lost on the way, and no history grows without an end.

The server suggests it after some twenty events instead of thousands; the workflows are told nothing else.
"""

import asyncio
import contextlib
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.common import Priority
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from supportly.contracts import ids
from supportly.contracts.connections import Entity
from supportly.contracts.contacts import RecordRef, SyncJob, SyncResult
from supportly.contracts.knowledge import (
    Counts,
    KnowledgeJob,
    KnowledgeReport,
    Refined,
    RefineJob,
    Stretch,
    SwitchJob,
    SwitchProgress,
)
from supportly.temporal import bulk, search_attributes
from tests.scripted import Script
from tests.scripted import working as working_script
from tests.workflows.entity import Double, authorize, disconnect, until, working
from workflows.connection import ConnectionWorkflow
from workflows.contact_sync import ContactSync
from workflows.knowledge_refinement import KnowledgeRefinement
from workflows.knowledge_sync import KnowledgeSync
from workflows.model_switch import ModelSwitch

LONGEST = 150
"""Events of a run: the twenty after which it is suggested, what one turn adds, and what arrives while it is taken."""


async def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def client(short_histories):
    return await Client.connect(short_histories.address, data_converter=pydantic_data_converter)


async def chain(client, workflow_id):
    """The runs of a workflow, oldest first, as the server describes them."""
    found = []
    handle = client.get_workflow_handle(workflow_id)
    run_id = (await handle.describe()).raw_description.workflow_execution_info.first_run_id
    while run_id:
        described = await client.get_workflow_handle(workflow_id, run_id=run_id).describe()
        found.append(described)
        last = [e async for e in client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events()][-1]
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return found


async def bounded(client, workflow_id, runs):
    """The runs of a workflow, of which there are so many at least, and none of which is long."""
    found = await chain(client, workflow_id)
    assert len(found) >= runs
    assert max(one.history_length for one in found) <= LONGEST
    return found


async def ended(handle):
    return await asyncio.wait_for(handle.result(), 90)


async def test_a_connection_loses_no_update_and_no_standing(client):
    double = Double(now, timedelta(hours=1))
    async with working(client, double) as handle:
        await authorize(handle, "first")

        async def reject() -> None:
            while True:
                with contextlib.suppress(RPCError):  # the signal met a run that had just ended
                    await handle.signal(ConnectionWorkflow.token_rejected, double.at.version)
                await asyncio.sleep(0.02)

        signals = asyncio.create_task(reject())
        stood = [await asyncio.gather(*(authorize(handle, f"p{n}-{m}") for m in range(4))) for n in range(15)]
        await until(lambda: len(double.refreshes) >= 5)
        signals.cancel()
        assert all(one.state == "connected" for row in stood for one in row)
        assert (await disconnect(handle)).state == "disconnected"
        # Every one of the updates was carried out, and once: each made a version, and so did each refresh.
        assert double.at.version == 62 + len(double.refreshes)
        assert (await handle.query(ConnectionWorkflow.standing)).version == double.at.version
        await bounded(client, handle.id, 6)
        await client.get_workflow_handle(handle.id).terminate()


async def test_a_rejection_that_was_not_dealt_with_goes_along(client):
    double = Double(now)
    double.at = await double.connected(3)
    async with working(client, double) as other:
        await other.terminate()
        handle = await client.start_workflow(
            ConnectionWorkflow.run,
            Entity(account_id=1, provider="acme", standing=double.at, rejected=3),
            id=f"connection-{uuid.uuid4()}",
            task_queue="here",
        )
        await until(lambda: double.refreshes)
        assert double.refreshes[0][1:] == (3, True)
        await handle.terminate()


async def test_callbacks_that_fail_do_not_pile_up(client):
    """A connection that is never refreshed has no other reason to wake."""
    double = Double(now, timedelta(days=3650))
    async with working(client, double) as handle:
        await authorize(handle)
        double.failures = [ApplicationError("no", type="invalid_authorization", non_retryable=True)] * 40
        for n in range(40):
            with pytest.raises(WorkflowUpdateFailedError):
                await authorize(handle, f"bad-{n}")
        assert double.failures == []
        await bounded(client, handle.id, 6)
        assert (await handle.query(ConnectionWorkflow.standing)).version == 1
        await client.get_workflow_handle(handle.id).terminate()


async def test_connecting_and_disconnecting_leaves_revocations_behind_it(client):
    """Revocations that wait for a provider are children; more of them than one run may have go on elsewhere."""
    double = Double(now)
    double.revocation_fails = True
    async with working(client, double) as handle:
        for n in range(12):
            await authorize(handle, f"p{n}")
            assert (await disconnect(handle)).state == "disconnected"
        double.revocation_fails = False
        await until(lambda: len(double.revoked) == 12, 60)
        await bounded(client, handle.id, 6)
        await client.get_workflow_handle(handle.id).terminate()


def synced(status):
    return SyncResult(provider="acme", contact_id=2, status=status, record=RecordRef(id="r"))


async def test_a_contact_that_is_asked_for_all_the_time(client):
    """Whoever asks while it is read is served by another reading, and all hear that it was created."""
    workflow_id = f"sync-{uuid.uuid4()}"
    readings = 0

    async def sync(_):
        nonlocal readings
        if activity.info().is_local:
            return ApplicationError("slow today", type="unavailable", next_retry_delay=timedelta(milliseconds=10))
        readings += 1
        if readings < 25:
            # By id alone, as whoever joins: the run may be another one by now.
            await client.get_workflow_handle(workflow_id).signal(ContactSync.again)
        return synced("created" if readings == 1 else "unchanged")

    job = SyncJob(account_id=1, provider="acme", contact_id=2)
    async with working_script(client, Script(contact_sync=sync)):
        handle = await client.start_workflow(ContactSync.run, job, id=workflow_id, task_queue=ids.INTERACTIVE)
        result = await ended(handle)
    assert (result.status, result.record.id) == ("created", "r")
    assert readings == 25
    await bounded(client, workflow_id, 6)


def stretches(count, script):
    """`count` stretches with a page each, the last of which ends the stream."""

    def ingest(job):
        page = len(script.calls("knowledge_ingest"))
        return Stretch(counts=Counts(seen=page, added=page), pages=page, stream_done=page == count)

    return ingest


def knowledge():
    script = Script(
        knowledge_open=lambda job: KnowledgeJob(**job).model_copy(update={"streams": ["articles"], "epoch": 7}),
        knowledge_index=0,
        knowledge_sample=ApplicationError("no figure", non_retryable=True),
        knowledge_finish=lambda job, state: KnowledgeReport(
            run_id=job["run_id"], state=state, counts=Counts(**job["counts"])
        ),
    )
    script.set(knowledge_ingest=stretches(40, script), knowledge_sweep=Counts(seen=40, added=40))
    return script


async def start_knowledge(client):
    # An id of its own instead of the account's: tests share the server.
    return await client.start_workflow(
        KnowledgeSync.run,
        KnowledgeJob(account_id=1, provider="memory"),
        id=f"knowledge-{uuid.uuid4()}",
        task_queue=ids.KNOWLEDGE,
        search_attributes=search_attributes(1, "memory"),
        priority=bulk(1),
    )


async def test_a_long_sync_is_one_run_to_all_who_look(client):
    script = knowledge()
    async with working_script(client, script):
        handle = await start_knowledge(client)
        report = await ended(handle)
    assert (report.state, report.counts.added) == ("succeeded", 40)
    # Opened once, under the name of its first run.
    assert len(script.calls("knowledge_open")) == len(script.calls("knowledge_finish")) == 1
    assert {job["run_id"] for job in script.calls("knowledge_ingest")} == {handle.result_run_id}
    assert {job["epoch"] for job in script.calls("knowledge_ingest")} == {7}
    for run in await bounded(client, handle.id, 8):
        assert all(pair in list(run.typed_search_attributes) for pair in search_attributes(1, "memory"))
        started = await anext(client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history_events())
        priority = started.workflow_execution_started_event_attributes.priority
        assert Priority(priority_key=priority.priority_key, fairness_key=priority.fairness_key) == bulk(1)


async def test_a_sync_is_cancelled_wherever_it_is(client):
    """Also when the wish meets a run that is about to go on as another."""
    for pages in range(3, 15, 2):
        script, reached = knowledge(), asyncio.Event()
        real = stretches(10_000, script)

        def ingest(job, reached=reached, real=real, pages=pages):
            stretch = real(job)
            if stretch.pages == pages:
                reached.set()
            return stretch

        script.set(knowledge_ingest=ingest)
        async with working_script(client, script):
            handle = await start_knowledge(client)
            await reached.wait()
            await client.get_workflow_handle(handle.id).cancel()
            report = await ended(handle)
        assert report.state == "canceled"
        assert report.counts.seen >= pages - 1


async def test_refining_counts_what_all_of_its_runs_read(client):
    left = iter(range(30, -1, -1))
    script = Script(knowledge_refine=lambda _: Refined(done=16, left=next(left)))
    async with working_script(client, script):
        handle = await client.start_workflow(
            KnowledgeRefinement.run, RefineJob(account_id=3), id=f"refine-{uuid.uuid4()}", task_queue=ids.REFINEMENT
        )
        assert await ended(handle) == 31 * 16
        await bounded(client, handle.id, 6)


async def test_a_switch_can_be_given_up_at_any_time(client, monkeypatch):
    """Also in the moment in which it goes on as new."""
    monkeypatch.setattr("workflows.model_switch.ASKED_EVERY", timedelta(milliseconds=20))
    monkeypatch.setattr("workflows.model_switch.LONGEST_PAUSE", timedelta(milliseconds=20))
    for turn in range(6):
        building = SwitchProgress(model=4, name="m", chunks=10, lacking=5)
        script = Script(
            model_begin=building,
            model_spread=building,
            model_abandon=building.model_copy(update={"state": "abandoned"}),
        )
        async with working_script(client, script):
            handle = await client.start_workflow(
                ModelSwitch.run, SwitchJob(spec="m"), id=f"switch-{uuid.uuid4()}", task_queue=ids.REFINEMENT
            )
            await until(lambda script=script, turn=turn: len(script.calls("model_spread")) >= 4 + turn)
            await client.get_workflow_handle(handle.id).signal(ModelSwitch.abandon)
            assert (await ended(handle)).state == "abandoned"
        assert len(script.calls("model_begin")) == len(script.calls("model_abandon")) == 1
        await bounded(client, handle.id, 2)
