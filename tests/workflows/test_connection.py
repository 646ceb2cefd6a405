"""The life of a connection on a server that skips time."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from supportly.contracts.connections import RevocationJob
from tests.workflows.entity import QUEUE, Double, authorize, disconnect, until, working
from workflows.connection import IDLE, ConnectionWorkflow
from workflows.maintenance import Revocation


@pytest.mark.parametrize(
    ("life", "time", "most"),
    [
        (timedelta(hours=8), timedelta(days=30), 120),
        (timedelta(minutes=30), timedelta(days=1), 62),
        (timedelta(minutes=5), timedelta(hours=2), 54),
        (timedelta(seconds=30), timedelta(minutes=20), 20),  # never twice within a minute
    ],
)
async def test_it_refreshes_before_the_end_and_no_oftener_than_needed(skipping, life, time, most):
    double = Double(skipping.get_current_time, life)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        began = (await skipping.get_current_time(), 1, False)
        await skipping.sleep(time)
        moments = [began, *double.refreshes]
        gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(moments)]
        assert time / life <= len(double.refreshes) + 1 <= most + 1 or life < timedelta(minutes=1)
        assert min(gaps) >= timedelta(seconds=59)
        assert max(gaps) < life or life < timedelta(minutes=1)
        assert [version for _, version, _ in double.refreshes] == list(range(1, len(double.refreshes) + 1))
        assert not any(after_rejection for _, _, after_rejection in double.refreshes)
        await handle.terminate()


@pytest.mark.parametrize(
    "ahead", [timedelta(hours=-30), timedelta(minutes=-20), timedelta(minutes=20), timedelta(days=3)]
)
async def test_a_clock_that_is_wrong_changes_neither_how_often_nor_when(skipping, ahead):
    """Neither a refresh without a pause (a clock behind) nor a token that ends unrefreshed (one ahead)."""
    double = Double(skipping.get_current_time, timedelta(hours=1), ahead)
    async with working(skipping.client, double) as handle:
        began = await skipping.get_current_time()
        await authorize(handle)
        await skipping.sleep(timedelta(hours=10))
        moments = [began, *(at for at, _, _ in double.refreshes)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert 11 <= len(double.refreshes) <= 13
        assert timedelta(minutes=46) <= min(gaps) <= max(gaps) <= timedelta(minutes=50)
        await handle.terminate()


async def test_a_clock_that_jumps_costs_one_refresh_at_most(skipping):
    double = Double(skipping.get_current_time, timedelta(hours=1))
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        for ahead in (timedelta(hours=7), timedelta(hours=-7), timedelta(0), timedelta(days=-400), timedelta(days=400)):
            double.ahead = ahead
            await skipping.sleep(timedelta(hours=4))
        assert 20 / 0.82 <= len(double.refreshes) <= 20 / 0.78 + 1
        await handle.terminate()


async def test_an_entity_that_finds_a_future_refresh_counts_from_now(skipping):
    """All that it has is a row, stamped by a clock that is two days ahead."""
    double = Double(skipping.get_current_time, timedelta(hours=1), timedelta(days=2))
    double.at = await double.connected(3)
    async with working(skipping.client, double) as handle:
        await skipping.sleep(timedelta(hours=1))
        assert len(double.refreshes) == 1
        await handle.terminate()


async def test_a_callback_that_is_repeated_late_undoes_nothing(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        first = await authorize(handle)
        await authorize(handle, "p2")
        double.earlier = first
        assert await authorize(handle, "p1-again") == first
        assert (await handle.query(ConnectionWorkflow.standing)).version == 2
        await skipping.sleep(timedelta(minutes=29))
        assert [version for _, version, _ in double.refreshes] == [2]
        await handle.terminate()


async def test_a_provider_that_refuses_our_client_is_asked_every_five_minutes(skipping):
    double = Double(skipping.get_current_time)
    refused = {"code": "client_refused", "status": 502, "message": "no", "details": {}, "retry_after": 300}
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        double.failures = [ApplicationError("no", refused, type="client_refused", non_retryable=True)] * 100
        await skipping.sleep(timedelta(minutes=24) + timedelta(hours=1))
        assert 100 - 14 <= len(double.failures) <= 100 - 11
        await handle.terminate()


async def test_a_rejected_token_is_refreshed_at_once(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        await handle.signal(ConnectionWorkflow.token_rejected, 1)
        await until(lambda: double.refreshes)
        assert double.refreshes[0][1:] == (1, True)
        await handle.terminate()


async def test_a_rejection_of_an_older_version_is_settled_already(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        for _ in range(5):
            await handle.signal(ConnectionWorkflow.token_rejected, 1)
        await until(lambda: double.refreshes)
        for _ in range(5):
            await handle.signal(ConnectionWorkflow.token_rejected, 1)
        await skipping.sleep(timedelta(minutes=5))
        assert len(double.refreshes) == 1
        assert (await handle.query(ConnectionWorkflow.standing)).version == 2
        await handle.terminate()


async def test_a_rejection_of_a_version_unknown_here_makes_it_look(skipping):
    """Somebody else changed the row: what counts is in the database."""
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        double.at = double.at.model_copy(update={"version": 5})
        await handle.signal(ConnectionWorkflow.token_rejected, 5)
        await until(lambda: double.refreshes)
        assert double.refreshes[0][1] == 5
        await handle.terminate()


async def test_a_rejection_finds_a_connection_that_the_entity_does_not_know(skipping):
    """A signal starts the entity should it be gone."""
    double = Double(skipping.get_current_time)
    double.at = await double.connected(3)
    async with working(skipping.client, double) as handle:
        await handle.signal(ConnectionWorkflow.token_rejected, 3)
        await until(lambda: double.refreshes)
        assert double.refreshes[0][1:] == (3, True)
        await handle.terminate()


async def test_a_refresh_that_fails_for_long_comes_back(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        double.failures = [ApplicationError("away", type="provider_error", non_retryable=True)] * 3
        await skipping.sleep(timedelta(minutes=29))
        assert double.failures == []
        assert len(double.refreshes) == 1
        await handle.terminate()


async def test_nobody_makes_it_try_before_its_time(skipping):
    """A provider that refuses our client is not asked once a second because callers come."""
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        double.failures = [ApplicationError("no", type="client_refused", non_retryable=True)] * 10
        for _ in range(10):
            await handle.signal(ConnectionWorkflow.token_rejected, 1)
            await asyncio.sleep(0.05)
        assert len(double.failures) == 9
        await skipping.sleep(timedelta(seconds=63))
        assert len(double.failures) == 8
        await handle.terminate()


async def test_an_entity_without_a_connection_ends(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        began = await skipping.get_current_time()
        await handle.result()
        assert await skipping.get_current_time() - began >= IDLE


async def test_an_entity_with_a_connection_stays(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        double.at = double.at.model_copy(update={"refreshable": False})
        await handle.signal(ConnectionWorkflow.token_rejected, 9)
        await skipping.sleep(timedelta(days=2))
        assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
        await handle.terminate()


async def test_connecting_in_the_last_moment_keeps_the_entity(skipping):
    """The idle timer fires while the exchange is under way: who connected must not be left without a refresher."""
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await skipping.sleep(IDLE - timedelta(seconds=2))
        double.delay_s = 4  # real seconds, and the server's clock runs on with them
        await authorize(handle)
        double.delay_s = 0
        await skipping.sleep(timedelta(hours=2))
        assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
        assert len(double.refreshes) >= 4
        await handle.terminate()


async def test_disconnecting_waits_out_a_lease_and_leaves_a_revocation(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        double.lease_s = 20
        began = await skipping.get_current_time()
        running = asyncio.create_task(disconnect(handle))
        await skipping.sleep(30)
        assert (await running).state == "disconnected"
        assert await skipping.get_current_time() - began >= timedelta(seconds=20)
        await until(lambda: double.revoked)
        assert double.revoked == ["r2"]
        await handle.result()
        assert not double.refreshes


async def test_disconnecting_twice_says_so(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        await disconnect(handle)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await disconnect(handle)
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == "not_connected"
        await handle.terminate()


async def test_after_a_disconnect_it_connects_again(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        for turn in range(3):
            assert (await authorize(handle, f"p{turn}")).state == "connected"
            assert (await disconnect(handle)).state == "disconnected"
        assert (await authorize(handle, "last")).version == 7
        await skipping.sleep(timedelta(hours=1))
        assert len(double.refreshes) >= 2
        await handle.terminate()


async def test_a_failed_exchange_leaves_the_connection_as_it_was(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        double.failures = [ApplicationError("no", type="different_account", non_retryable=True)]
        with pytest.raises(WorkflowUpdateFailedError):
            await authorize(handle, "p2")
        assert (await handle.query(ConnectionWorkflow.standing)).version == 1
        await skipping.sleep(timedelta(minutes=29))
        assert len(double.refreshes) == 1
        await handle.terminate()


async def test_tokens_that_cannot_be_revoked_are_destroyed_after_a_day(skipping):
    double = Double(skipping.get_current_time)
    double.revocation_fails = True
    async with Worker(skipping.client, task_queue=QUEUE, workflows=[Revocation], activities=double.all()):
        began = await skipping.get_current_time()
        told = await skipping.client.execute_workflow(
            Revocation.run,
            RevocationJob(account_id=1, provider="acme", revocation_id="r"),
            id=f"revocation-{id(double)}",
            task_queue=QUEUE,
        )
        [(which, then)] = double.destroyed
        assert (told, which) == (False, "r")
        assert timedelta(hours=23) <= then - began <= timedelta(hours=25)


async def test_a_renewed_entity_begins_a_new_run_and_goes_on(skipping):
    """Its history then begins under the present key; nothing that it knew is lost, and nothing is refreshed for it."""
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        first = (await handle.describe()).run_id
        await handle.signal(ConnectionWorkflow.renew)
        later = skipping.client.get_workflow_handle(handle.id)
        for _ in range(500):
            if (described := await later.describe()).run_id != first:
                break
            await asyncio.sleep(0.02)
        assert described.run_id != first
        assert described.status == WorkflowExecutionStatus.RUNNING
        assert (await later.query(ConnectionWorkflow.standing)).version == 1
        assert double.refreshes == []
        await skipping.sleep(timedelta(minutes=29))
        assert len(double.refreshes) == 1
        await later.terminate()


async def test_an_entity_that_is_renewed_while_it_works_finishes_that_first(skipping):
    double = Double(skipping.get_current_time)
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        double.delay_s = 0.5
        await handle.signal(ConnectionWorkflow.token_rejected, 1)
        await until(lambda: double.inside)
        await handle.signal(ConnectionWorkflow.renew)
        connecting = asyncio.create_task(authorize(handle, "p2"))
        assert (await connecting).version == 3
        later = skipping.client.get_workflow_handle(handle.id)
        assert (await later.query(ConnectionWorkflow.standing)).version == 3
        assert len(double.refreshes) == 1
        await later.terminate()
