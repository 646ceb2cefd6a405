"""Two builds of the worker side by side: what runs on the old one ends there, what begins now begins on the new one."""

import asyncio
import re
import subprocess
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import VersioningBehavior
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

import worker as product
from supportly.contracts import ids
from supportly.contracts.connections import Authorization, Entity, Standing
from supportly.contracts.contacts import ActivityJob, ActivityResult, RecordRef
from supportly.dev import temporal as dev
from supportly.settings import Settings
from tests.scripted import Script
from tests.workflows.entity import until
from workflows.connection import ConnectionWorkflow
from workflows.contact_activity import ContactActivity

DEPLOYMENT = "supportly"
DOCS = Path(__file__).parents[2] / "docs" / "changing-workflows.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that notices within a second that nothing runs on a build any more."""
    with pytest.MonkeyPatch.context() as patch:
        quick = {
            "matching.wv.VersionDrainageStatusVisibilityGracePeriod": '"1s"',
            "matching.wv.VersionDrainageStatusRefreshInterval": '"1s"',
        }
        patch.setattr(dev, "DYNAMIC_CONFIG", {**dev.DYNAMIC_CONFIG, **quick})
        started = dev.Temporal.start(tmp_path_factory.mktemp("builds"), ui=False)
    yield started
    started.stop()


@pytest.fixture
async def client(server):
    return await Client.connect(server.address, data_converter=pydantic_data_converter)


@pytest.fixture
def operate(server):
    """The commands of docs/changing-workflows.md."""

    async def run(*words):
        command = [dev.find_program(), "worker", "deployment", *words, "--address", server.address]
        for _ in range(60):
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout
            # The server hears of a build's queues from its workers, which have only just begun to poll.
            await asyncio.sleep(0.5)
        raise AssertionError(done.stderr)

    return run


@asynccontextmanager
async def build(client, build_id, script):
    """The product's own workers as that build, with the script's activities."""
    settings = Settings(worker_deployment=DEPLOYMENT, worker_build_id=build_id, graceful_shutdown_s=1)
    activities = SimpleNamespace(by_queue=lambda: {queue: [script.activity] for queue in product.WORKFLOWS})
    async with AsyncExitStack() as closing:
        for one in product.workers(client, settings, activities):
            await closing.enter_async_context(one)
        yield


def logged(who):
    return ActivityResult(provider="acme", contact_id=2, activity_type="note", record=RecordRef(id=who))


def connected(version):
    now = datetime.now(UTC)
    return Standing(
        state="connected", connection_id="c", version=version, refreshed_at=now, refreshable=True,
        expires_at=now + timedelta(hours=8),
    )  # fmt: skip


async def note(client):
    job = ActivityJob(account_id=1, provider="acme", contact_id=2, content="called", operation_id=str(uuid.uuid4()))
    return await client.start_workflow(
        ContactActivity.run, job, id=f"note-{job.operation_id}", task_queue=ids.INTERACTIVE
    )


@workflow.defn(name="ContactActivity", sandboxed=False)
class Rewritten:
    """What no run of the old code could be replayed with: it sleeps first, and asks nobody."""

    @workflow.run
    async def run(self, job: ActivityJob) -> ActivityResult:
        await asyncio.sleep(0.01)
        return logged("the new workflow")


async def test_old_runs_end_on_the_old_build_and_new_ones_begin_on_the_new(client, operate, monkeypatch):
    ready = asyncio.Event()

    async def once_ready(_):
        # The provider is away for as long as the deployment takes: the run is in the middle of its work.
        if not ready.is_set():
            return ApplicationError("away", type="provider_error", next_retry_delay=timedelta(milliseconds=200))
        return logged("one")

    def standing(_):
        return connected(1) if one.calls("connection_exchange") else Standing(state="disconnected")

    one = Script(contact_log=once_ready, connection_standing=standing, connection_exchange=connected(1))
    two = Script(connection_refresh=connected(2))
    current = ("set-current-version", "--deployment-name", DEPLOYMENT, "--yes", "--build-id")
    async with build(client, "2026.11.1-a1b2c3", one):
        await operate(*current, "2026.11.1-a1b2c3")
        old = await note(client)
        # A connection lives for years: it moves to the new build.
        place = Entity(account_id=1, provider="acme")
        entity = await client.start_workflow(
            ConnectionWorkflow.run, place, id=f"connection-{uuid.uuid4()}", task_queue=ids.CONNECTIONS
        )
        callback = Authorization(account_id=1, provider="acme", pending_id="p")
        assert (await entity.execute_update(ConnectionWorkflow.authorize, callback)).version == 1
        await until(lambda: len(one.calls("contact_log")) >= 2, 60)

        monkeypatch.setitem(
            product.WORKFLOWS,
            ids.INTERACTIVE,
            [Rewritten if kind is ContactActivity else kind for kind in product.WORKFLOWS[ids.INTERACTIVE]],
        )
        async with build(client, "2026.11.2-d4e5f6", two):
            await operate(*current, "2026.11.2-d4e5f6")
            new = await note(client)
            assert (await asyncio.wait_for(new.result(), 60)).record.id == "the new workflow"
            await entity.signal(ConnectionWorkflow.token_rejected, 1)
            await until(lambda: two.calls("connection_refresh"), 60)
            assert not one.calls("connection_refresh")

            # Half of the old run was done by the old build, and so is the rest.
            shown = await operate("describe-version", "--deployment-name", DEPLOYMENT, "--build-id", "2026.11.1-a1b2c3")
            assert "draining" in shown.lower(), shown
            ready.set()
            assert (await asyncio.wait_for(old.result(), 60)).record.id == "one"
            assert not two.calls("contact_log")
            for _ in range(120):
                shown = await operate(
                    "describe-version", "--deployment-name", DEPLOYMENT, "--build-id", "2026.11.1-a1b2c3"
                )
                if "drained" in shown.lower():
                    break
                await asyncio.sleep(0.5)
            assert "drained" in shown.lower(), shown
            await entity.terminate()


def test_a_build_has_a_name():
    with pytest.raises(ValueError, match="SUPPORTLY_WORKER_BUILD_ID"):
        Settings(worker_deployment=DEPLOYMENT)
    with pytest.raises(ValueError, match="worker_deployment"):
        Settings(worker_deployment="supportly.eu", worker_build_id="1")
    assert Settings(worker_build_id="1").worker_deployment == ""
    assert product._deployment(Settings(), ids.KNOWLEDGE) is None


def test_every_queue_says_whether_its_runs_move():
    assert product.ON_A_NEW_BUILD.keys() == product.WORKFLOWS.keys()
    words = {VersioningBehavior.PINNED: "end where they began", VersioningBehavior.AUTO_UPGRADE: "move"}
    told = dict(re.findall(r"^\| `(\w+)` \| .* \| ([\w ]+) \|$", DOCS.read_text(), re.MULTILINE))
    assert told == {queue: words[behaviour] for queue, behaviour in product.ON_A_NEW_BUILD.items()}
