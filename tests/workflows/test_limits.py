"""What Temporal allows one workflow: updates at a time, updates in all. More of them wait or are told, and go on."""

import asyncio
import gc
import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from api import entity
from supportly.contracts import ids
from supportly.dev import temporal as dev
from supportly.errors import Unavailable
from tests.workflows.entity import QUEUE, Double, authorize, until, working
from workflows.connection import ConnectionWorkflow
from workflows.maintenance import Revocation

_accounts = itertools.count(1)


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server that takes two updates of a workflow at a time instead of ten, and twenty in all instead of 2,000."""
    with pytest.MonkeyPatch.context() as patch:
        limits = {"history.maxInFlightUpdates": "2", "history.maxTotalUpdates": "20"}
        patch.setattr(dev, "DYNAMIC_CONFIG", {**dev.DYNAMIC_CONFIG, **limits})
        server = dev.Temporal.start(tmp_path_factory.mktemp("strict"), ui=False)
    yield server
    server.stop()


@pytest.fixture
async def client(strict):
    return await Client.connect(strict.address, data_converter=pydantic_data_converter)


@pytest.fixture
def at(client, monkeypatch):
    """An account's place for a provider, as the endpoints that connect and disconnect have it."""
    monkeypatch.setattr(ids, "CONNECTIONS", QUEUE)

    async def known():
        return client

    services = SimpleNamespace(temporal=SimpleNamespace(client=known))
    return SimpleNamespace(
        services=services, account_id=next(_accounts), provider=SimpleNamespace(id="acme"), actor="token:1"
    )


async def now() -> datetime:
    return datetime.now(UTC)


async def test_more_updates_at_once_than_are_taken_wait_for_each_other(client, at):
    double = Double(now)
    double.delay_s = 0.1
    async with working(client, double) as other:
        await other.terminate()
        stood = await asyncio.gather(*(entity.authorize(at, f"p{n}") for n in range(8)))
        assert sorted(one.version for one in stood) == list(range(1, 9))


async def test_who_waits_too_long_is_told_and_loses_nothing(client, at, monkeypatch):
    monkeypatch.setattr(entity, "PATIENCE_S", 1.5)
    double = Double(now)
    double.delay_s = 4
    async with working(client, double) as other:
        await other.terminate()
        answers = await asyncio.gather(*(entity.authorize(at, f"p{n}") for n in range(4)), return_exceptions=True)
        assert all(isinstance(one, Unavailable) for one in answers), answers
        assert {(one.own_code, one.status, one.retry_after) for one in answers} == {("unavailable", 503, 5.0)}
        assert all("Nothing is lost" in one.message for one in answers)
        double.delay_s = 0
        monkeypatch.setattr(entity, "PATIENCE_S", 60)
        # The same callbacks again: those that were taken answer what came of them, the others come to their turn.
        stood = await asyncio.gather(*(entity.authorize(at, f"p{n}") for n in range(4)))
        assert sorted(one.version for one in stood) == [1, 2, 3, 4]


async def test_more_updates_than_one_run_may_have_go_on_in_another(client):
    double = Double(now, timedelta(days=365))
    async with working(client, double) as handle:
        for n in range(50):
            assert (await authorize(handle, f"p{n}")).version == n + 1
        await client.get_workflow_handle(handle.id).terminate()


@workflow.defn(name="ConnectionWorkflow", sandboxed=False)
class Failing:
    """Its tasks fail, as those of a worker that is missed."""

    @workflow.run
    async def run(self, _entity: dict) -> None:
        raise RuntimeError


async def test_a_workflow_that_takes_no_update_for_now_is_asked_until_it_does(client, at, monkeypatch, caplog):
    refused, update = [], entity._update

    async def noted(*of):
        try:
            return await update(*of)
        except RPCError as error:
            refused.append(error.status)
            raise

    monkeypatch.setattr(entity, "_update", noted)
    monkeypatch.setattr(entity, "PATIENCE_S", 60)
    monkeypatch.setattr(entity, "NOT_READY_S", 0.05)
    async with Worker(client, task_queue=QUEUE, workflows=[Failing]):
        asking = asyncio.create_task(entity.authorize(at, "p1"))
        await until(lambda: refused, seconds=30)
    double = Double(now)
    async with Worker(client, task_queue=QUEUE, workflows=[ConnectionWorkflow, Revocation], activities=double.all()):
        assert (await asking).version == 1
        await client.get_workflow_handle(ids.connection(at.account_id, "acme")).terminate()
    assert set(refused) == {RPCStatusCode.FAILED_PRECONDITION}
    gc.collect()  # what nobody looked at is reported when it goes
    assert "never retrieved" not in caplog.text


async def test_a_workflow_that_never_takes_one_is_busy_and_not_away(at, monkeypatch):
    async def refused(*_):
        raise RPCError("no", RPCStatusCode.FAILED_PRECONDITION, b"")

    monkeypatch.setattr(entity, "_update", refused)
    monkeypatch.setattr(entity, "PATIENCE_S", 0.2)
    monkeypatch.setattr(entity, "NOT_READY_S", 0.01)
    with pytest.raises(Unavailable, match="Nothing is lost: repeat the same request"):
        await entity.disconnect(at)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (RPCStatusCode.RESOURCE_EXHAUSTED, "Nothing is lost: repeat the same request"),
        (RPCStatusCode.UNAVAILABLE, "The workflow server is away"),
    ],
)
async def test_a_refusal_says_what_it_is(at, monkeypatch, status, says):
    async def refused(*_):
        raise RPCError("no", status, b"")

    monkeypatch.setattr(entity, "_update", refused)
    with pytest.raises(Unavailable, match=says):
        await entity.disconnect(at)
