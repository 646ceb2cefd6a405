"""KnowledgeSync on a real Temporal server, with a provider that lives in memory."""

import asyncio
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import ScheduleOverlapPolicy, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities import schedules
from activities.calls import Calls
from activities.failures import attempting, to_temporal
from activities.knowledge import TRIES, KnowledgeActivities
from activities.knowledge_sample import KnowledgeSampling
from bench import source
from bench.source import MemoryProvider, Source
from supportly.contracts import ids
from supportly.contracts.knowledge import Counts, Document, KnowledgeJob, KnowledgeReport, RunState, Stretch
from supportly.crypto import KeyRing, Vault
from supportly.errors import NotFound, ProviderFailure, Throttled, Unavailable
from supportly.http import Outbound, Unlimited
from supportly.settings import Settings
from supportly.storage import knowledge, knowledge_status
from supportly.temporal import connect
from workflows.knowledge_schedule import KnowledgeSchedule
from workflows.knowledge_sync import KnowledgeSync

TEST_SERVER = Path(__file__).parents[2] / ".venv" / "bin" / "temporal-test-server"


@dataclass
class Running:
    client: Any
    db: Any
    account_id: int
    source: Source
    activities: KnowledgeActivities

    @property
    def place(self):
        return self.account_id, "memory"

    async def start(self, trigger="manual"):
        return await self.client.start_workflow(
            KnowledgeSync.run,
            KnowledgeJob(account_id=self.account_id, provider="memory", trigger=trigger),
            id=ids.knowledge(*self.place),
            task_queue=ids.KNOWLEDGE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    async def sync(self, trigger="manual"):
        return await (await self.start(trigger)).result()

    async def stored(self):
        found = await knowledge_status.read(self.db, self.account_id)
        return found.get("memory", knowledge_status.Knowledge())


def _articles(count, stream="articles"):
    return [
        Document(stream=stream, external_id=f"{stream}-{n}", title=f"Title {n}", body=f"Words of {n}.")
        for n in range(count)
    ]


@pytest.fixture
async def running(temporal, postgres, db, account_id, monkeypatch):
    # A queue of its own: the service's worker, if it runs, does not know the provider in memory.
    monkeypatch.setattr(ids, "KNOWLEDGE", f"knowledge-{uuid.uuid4()}")
    # What is read is counted here, and a sample reads again.
    monkeypatch.setattr("activities.knowledge_sample.PAGES", 0)
    settings = Settings(database_url=postgres.url, temporal_address=temporal.address)
    client = await connect(settings)
    vault = Vault(KeyRing(settings.keys.get_secret_value()))
    held = Source(page_size=10)
    provider = MemoryProvider(held)
    calls = Calls(
        db=db,
        vault=vault,
        outbound=Outbound(timeout_s=2, max_bytes=1_000_000),
        budget=Unlimited(),
        client=client,
        provider=lambda _: provider,
    )
    activities = KnowledgeActivities(calls, settings)
    await source.connect(db, vault, account_id)
    async with Worker(
        client,
        task_queue=ids.KNOWLEDGE,
        workflows=[KnowledgeSync, KnowledgeSchedule],
        activities=[*activities.all(), KnowledgeSampling(calls).sample],
        graceful_shutdown_timeout=timedelta(seconds=1),
    ):
        yield Running(client, db, account_id, held, activities)


async def test_a_whole_sync_and_the_same_again(running):
    running.source.documents = _articles(35)
    report = await running.sync()
    assert (report.state, report.counts.seen, report.counts.added) == ("succeeded", 35, 35)
    report = await running.sync()
    assert (report.counts.unchanged, report.counts.chunks_embedded) == (35, 0)
    found = await running.stored()
    assert (found.documents, found.chunks, found.run.state) == (35, 35, "succeeded")


async def test_every_step_is_watched_so_that_a_dead_worker_is_missed_within_seconds(running):
    running.source.documents = _articles(3)
    handle = await running.start()
    await handle.result()
    steps = [
        (told.activity_type.name, told.heartbeat_timeout.ToTimedelta())
        async for event in handle.fetch_history_events()
        if (told := event.activity_task_scheduled_event_attributes).activity_id
    ]
    names = ("open", "ingest", "sweep", "index", "finish", "sample")
    assert steps == [(f"knowledge_{name}", timedelta(seconds=20)) for name in names]


async def test_a_sample_is_taken_at_the_end_and_its_failure_is_none_of_the_runs(running, monkeypatch):
    running.source.documents = _articles(25)
    monkeypatch.setattr("activities.knowledge_sample.PAGES", 5)
    assert (await running.sync()).state == "succeeded"
    taken = (await running.stored()).sample
    assert taken.equal == taken.sampled >= 10

    async def broken(*_):
        raise RuntimeError("no figure today")

    monkeypatch.setattr("supportly.storage.knowledge_samples.store", broken)
    report = await running.sync()
    assert (report.state, report.counts.unchanged) == ("succeeded", 25)
    assert (await running.stored()).sample == taken


async def test_a_crash_between_pages_repeats_at_most_one(running):
    running.source.documents = _articles(35)
    crashed = []

    def before(_stream, page):
        if page == 2 and not crashed:
            crashed.append(page)
            raise RuntimeError("the process died")

    running.source.before_page = before
    report = await running.sync()
    assert (report.state, report.counts.added, report.counts.seen) == ("succeeded", 35, 35)
    assert [cursor for _, cursor, _ in running.source.reads] == [None, "10", "20", "20", "30"]


@pytest.mark.parametrize("pause", [0.2, 0.0])
async def test_a_pause_is_a_timer_and_not_a_failure(running, pause):
    running.source.documents = _articles(15)
    asked = []

    def before(_stream, page):
        if page == 1 and len(asked) < 2:
            asked.append(page)
            raise Throttled("slow down", retry_after=pause)

    running.source.before_page = before
    handle = await running.start()
    report = await handle.result()
    assert (report.state, report.counts.added) == ("succeeded", 15)
    kinds = [event.event_type async for event in handle.fetch_history_events()]
    timers = [k for k in kinds if k == 17]  # EVENT_TYPE_TIMER_STARTED
    assert len(timers) == 2


@pytest.mark.parametrize("error", [NotFound("no such list"), ProviderFailure("forbidden", provider_status=403)])
async def test_a_stream_that_fails_leaves_the_run_partial(running, monkeypatch, error):
    monkeypatch.setattr(MemoryProvider, "chosen", lambda _self, _settings: ["articles", "products"])
    running.source.documents = [*_articles(5), *_articles(5, "products")]

    def before(stream, _page):
        if stream == "articles":
            raise error

    running.source.before_page = before
    report = await running.sync()
    assert report.state == "partial"
    assert report.failed_streams == {"articles": error.message}
    assert report.counts.added == 5
    assert (await running.stored()).run.failed_streams == {"articles": error.message}


async def test_without_a_connection_nothing_begins(running):
    async with running.db.tenant(running.account_id) as c:
        await c.exec_driver_sql(
            f"update connections set state = 'disconnected' where account_id = {running.account_id}"
        )
    with pytest.raises(WorkflowFailureError) as failure:
        await running.sync()
    assert failure.value.cause.type == "not_connected"


async def test_a_connection_that_ends_half_way_ends_the_run(running, monkeypatch):
    monkeypatch.setattr("activities.knowledge.CALL_S", 0.0)  # each page by a call of its own
    running.source.documents = _articles(30)

    async def end():
        async with running.db.tenant(running.account_id) as c:
            await c.exec_driver_sql(
                f"update connections set state = 'reconnect_required' where account_id = {running.account_id}"
            )

    running.source.before_page = lambda _stream, page: end() if page == 1 else None
    report = await running.sync()
    assert report.state == "failed"
    assert report.counts.added >= 10
    # Connected again, a scheduled run goes on where this one stopped.
    running.source.before_page = None
    async with running.db.tenant(running.account_id) as c:
        await c.exec_driver_sql(f"update connections set state = 'connected' where account_id = {running.account_id}")
    report = await running.sync("schedule")
    assert report.state == "succeeded"
    assert (await running.stored()).documents == 30


async def test_cancelling_stops_between_pages(running):
    running.source.documents = _articles(30)
    reached = asyncio.Event()

    async def stall():
        reached.set()
        await asyncio.sleep(60)

    running.source.before_page = lambda _stream, page: stall() if page == 2 else None
    handle = await running.start()
    await asyncio.wait_for(reached.wait(), 20)
    await handle.cancel()
    report = await handle.result()
    assert report.state == "canceled"
    assert (await running.stored()).run.state == "canceled"


async def test_callers_at_once_share_one_run(running):
    running.source.documents = _articles(5)
    running.source.before_page = lambda *_: asyncio.sleep(0.5)
    handles = await asyncio.gather(*(running.start() for _ in range(5)))
    reports = await asyncio.gather(*(h.result() for h in handles))
    assert len({r.run_id for r in reports}) == 1
    assert len(running.source.reads) == 1


async def test_a_schedule_starts_the_one_sync(running):
    running.source.documents = _articles(3)
    every = timedelta(minutes=30)
    await schedules.switch_on(running.client, *running.place, every)
    assert await schedules.next_run(running.client, *running.place) is not None
    await running.client.get_schedule_handle(ids.schedule(*running.place)).trigger()
    for _ in range(100):
        found = await running.stored()
        if found.run and found.run.state == "succeeded":
            break
        await asyncio.sleep(0.1)
    assert found.run.trigger == "schedule"
    assert found.documents == 3
    await schedules.switch_off(running.client, *running.place)
    assert await schedules.next_run(running.client, *running.place) is None
    await schedules.set_interval(running.client, *running.place, timedelta(minutes=45))
    assert await schedules.next_run(running.client, *running.place) is None  # changing it wakes nothing
    await schedules.switch_on(running.client, *running.place, every)
    described = await running.client.get_schedule_handle(ids.schedule(*running.place)).describe()
    assert described.schedule.policy.catchup_window == timedelta(hours=1)
    assert described.schedule.spec.intervals[0].every == every
    await running.activities.cleanup(*running.place)
    assert await schedules.next_run(running.client, *running.place) is None
    assert (await running.stored()).documents == 0


async def test_cleaning_up_where_nothing_is(running):
    async with AsyncExitStack():
        await running.activities.cleanup(running.account_id + 900_000, "memory")
        await schedules.switch_off(running.client, running.account_id + 900_000, "memory")


@pytest.mark.parametrize("every", [timedelta(minutes=15), timedelta(hours=1), timedelta(days=7)])
def test_offsets_spread_a_thousand_accounts_over_the_interval(every):
    offsets = [schedules.offset(n, "memory", every) for n in range(1000)]
    assert all(timedelta(0) <= o < every for o in offsets)
    parts = Counter(int(o / every * 10) for o in offsets)
    # A hundred in each tenth; four standard deviations of a fair spread are 38.
    assert all(62 <= parts[part] <= 138 for part in range(10))
    assert schedules.offset(1, "memory", every) != schedules.offset(1, "another", every)


async def _described(running):
    return await running.client.get_schedule_handle(ids.schedule(*running.place)).describe()


async def _until(true, seconds=20.0):
    for _ in range(int(seconds / 0.05)):
        if found := await true():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come true")


async def _block(running, page=0):
    """A sync that hangs at its first page until the event answered is set."""
    reached, opened = asyncio.Event(), asyncio.Event()

    async def stall():
        reached.set()
        await opened.wait()

    running.source.before_page = lambda _stream, at: stall() if at == page else None
    handle = await running.start()
    await asyncio.wait_for(reached.wait(), 20)
    return handle, opened


async def test_a_schedule_leaves_a_running_sync_alone(running):
    running.source.documents = _articles(3)
    await schedules.switch_on(running.client, *running.place, timedelta(minutes=30))
    policy = (await _described(running)).schedule.policy
    assert (policy.overlap, policy.catchup_window) == (ScheduleOverlapPolicy.SKIP, timedelta(hours=1))
    handle, opened = await _block(running)
    for turn in (1, 2):
        await running.client.get_schedule_handle(ids.schedule(*running.place)).trigger()

        async def done(turn=turn):
            info = (await _described(running)).info
            return info.num_actions == turn and not info.running_actions

        await _until(done)
    assert [r async for r in running.client.list_workflows(f"WorkflowId = '{ids.knowledge(*running.place)}'")]
    opened.set()
    assert (await handle.result()).state == "succeeded"
    async with running.db.tenant(running.account_id) as c:
        runs = (await c.exec_driver_sql("select trigger from sync_runs")).all()
    assert [tuple(row) for row in runs] == [("manual",)]
    assert len(running.source.reads) == 1
    await schedules.delete(running.client, *running.place)


async def test_what_a_person_paused_stays_paused_through_a_reconnect(running):
    await schedules.switch_on(running.client, *running.place, timedelta(minutes=30))

    async def lose_and_connect_again():
        await schedules.hold(running.client, *running.place)
        assert (await _described(running)).schedule.state.paused
        await schedules.release(running.client, *running.place)
        return not (await _described(running)).schedule.state.paused

    assert await lose_and_connect_again()
    await schedules.switch_off(running.client, *running.place)
    assert not await lose_and_connect_again()
    await schedules.switch_on(running.client, *running.place, timedelta(minutes=30))
    await running.client.get_schedule_handle(ids.schedule(*running.place)).pause(note="not while we move house")

    async def shown():  # when Temporal's scheduler has run: on a busy machine a moment later
        return (await _described(running)).schedule.state.note == "not while we move house"

    await _until(shown)
    assert not await lose_and_connect_again()
    assert (await _described(running)).schedule.state.note == "not while we move house"
    await schedules.delete(running.client, *running.place)
    await schedules.hold(running.client, *running.place)  # where there is none, none comes
    await schedules.release(running.client, *running.place)
    assert await schedules.next_run(running.client, *running.place) is None


@pytest.mark.parametrize("change", [schedules.hold, schedules.release, schedules.set_interval])
async def test_a_persons_pause_in_the_same_moment_is_not_written_over(running, monkeypatch, change):
    """Between the look at a Schedule and its change: the change sees it then, and never takes the pause for its own."""
    half, hour = timedelta(minutes=30), timedelta(hours=1)
    await schedules.switch_on(running.client, *running.place, half)
    if change is schedules.release:
        await schedules.hold(running.client, *running.place)
    service, sent = running.client.workflow_service, []

    async def noted():
        return (await _described(running)).schedule.state.note == "not while we move house"

    async def after_the_person(request, **more):
        if not sent:
            await running.client.get_schedule_handle(request.schedule_id).pause(note="not while we move house")
            await _until(noted)
        sent.append(request)
        return await update(request, **more)

    update = service.update_schedule
    monkeypatch.setattr(service, "update_schedule", after_the_person)
    await change(running.client, *running.place, *([hour] if change is schedules.set_interval else []))
    assert sent
    stored = (await _described(running)).schedule
    assert stored.state.paused
    assert stored.state.note == "not while we move house"
    assert stored.spec.intervals[0].every == (hour if change is schedules.set_interval else half)
    await schedules.delete(running.client, *running.place)


async def test_a_schedule_that_others_change_all_the_time_is_an_error(running, monkeypatch):
    await schedules.switch_on(running.client, *running.place, timedelta(minutes=30))

    async def dropped(_request, **_more):
        return None

    monkeypatch.setattr(running.client.workflow_service, "update_schedule", dropped)
    monkeypatch.setattr(schedules, "LONGER_EACH_TIME", 0)
    with pytest.raises(RPCError) as refused:
        await schedules.hold(running.client, *running.place)
    assert refused.value.status == RPCStatusCode.ABORTED
    await schedules.delete(running.client, *running.place)


async def test_a_run_that_somebody_terminated_is_seen_and_closed_by_the_next(running):
    running.source.documents = _articles(30)
    handle, opened = await _block(running, page=1)
    assert not await schedules.is_stalled(running.client, *running.place)
    await handle.terminate("by hand")
    found = await running.stored()
    assert found.run.state == "running"
    assert await schedules.is_stalled(running.client, *running.place)
    running.source.before_page = None
    opened.set()
    report = await running.sync("schedule")
    assert report.state == "succeeded"
    async with running.db.tenant(running.account_id) as c:
        runs = (await c.exec_driver_sql("select state, failed_streams from sync_runs order by epoch")).all()
    assert [tuple(row) for row in runs] == [("failed", {"articles": knowledge.ENDED_SILENTLY}), ("succeeded", {})]
    found = await running.stored()
    assert found.documents == 30
    assert found.synced_at == found.run.started_at


async def test_a_sync_that_no_worker_takes_is_seen(running, monkeypatch):
    await running.client.start_workflow(
        KnowledgeSync.run,
        KnowledgeJob(account_id=running.account_id, provider="memory"),
        id=ids.knowledge(*running.place),
        task_queue="nobody-works-here",
    )
    assert not await schedules.is_stalled(running.client, *running.place)
    monkeypatch.setattr(schedules, "UNATTENDED", timedelta(0))
    assert await schedules.is_stalled(running.client, *running.place)
    await running.client.get_workflow_handle(ids.knowledge(*running.place)).terminate()


class Slow:
    """Activities of a provider that asks for a pause of ten minutes with every page, and gives `pages` of them."""

    def __init__(self, pages):
        self.left, self.given, self.asked = pages, 0, 0

    @activity.defn(name="knowledge_open")
    async def open(self, job: KnowledgeJob) -> KnowledgeJob:
        return job.model_copy(update={"streams": ["articles"]})

    @activity.defn(name="knowledge_ingest")
    async def ingest(self, job: KnowledgeJob) -> Stretch:
        self.asked += 1
        if self.given < self.left:
            self.given += 1
        elif self.left > 5:
            return Stretch(pages=self.given, stream_done=True)
        return Stretch(pages=self.given, wait_s=600)  # not one record on any of the pages

    @activity.defn(name="knowledge_sweep")
    async def sweep(self, job: KnowledgeJob) -> Counts:
        return Counts()

    @activity.defn(name="knowledge_index")
    async def index(self, job: KnowledgeJob) -> int:
        return 0

    @activity.defn(name="knowledge_finish")
    async def finish(self, job: KnowledgeJob, state: RunState) -> KnowledgeReport:
        return KnowledgeReport(run_id=job.run_id, state=state, failed_streams=job.failed_streams)


class Away(Slow):
    """Activities whose database is away for the first `outage` tries, in any step."""

    def __init__(self, outage, error):
        super().__init__(6)
        self.outage, self.error, self.tries = outage, error, Counter()

    def _may_fail(self, step):
        self.tries[step] += 1
        if self.tries[step] <= self.outage:
            raise to_temporal(self.error)

    @activity.defn(name="knowledge_open")
    async def open(self, job: KnowledgeJob) -> KnowledgeJob:
        self._may_fail("open")
        return job.model_copy(update={"streams": ["articles"]})

    @activity.defn(name="knowledge_ingest")
    async def ingest(self, job: KnowledgeJob) -> Stretch:
        async with attempting(tries=TRIES):
            self._may_fail("ingest")
        return Stretch(pages=1, stream_done=True)

    @activity.defn(name="knowledge_sweep")
    async def sweep(self, job: KnowledgeJob) -> Counts:
        self._may_fail("sweep")
        return Counts()

    @activity.defn(name="knowledge_index")
    async def index(self, job: KnowledgeJob) -> int:
        self._may_fail("index")
        return 0


DATABASE = Unavailable("The database is away.", retry_after=5)
PROVIDER = ProviderFailure("down", provider_status=503, transient=True)


@pytest.mark.parametrize(
    ("outage", "error", "state", "why"),
    [
        (100, DATABASE, "succeeded", {}),  # eight minutes and more, in each step
        (10_000, DATABASE, "partial", {"articles": "The database is away."}),  # an hour, and it has to end some time
        (TRIES - 1, PROVIDER, "succeeded", {}),
        (TRIES, PROVIDER, "partial", {"articles": "down"}),
        (100, PROVIDER, "partial", {"articles": "down"}),
    ],
)
async def test_our_own_outage_spends_nothing_of_the_patience_with_the_provider(outage, error, state, why):
    away = Away(outage, error)
    if state != "succeeded":
        away.tries.update(dict.fromkeys(("open", "index"), outage))
    async with (
        await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=str(TEST_SERVER), data_converter=pydantic_data_converter
        ) as env,
        Worker(
            env.client,
            task_queue="away",
            workflows=[KnowledgeSync],
            activities=[away.open, away.ingest, away.sweep, away.index, away.finish],
        ),
    ):
        job = KnowledgeJob(account_id=1, provider="memory")
        report = await env.client.execute_workflow(KnowledgeSync.run, job, id="away", task_queue="away")
    assert (report.state, report.failed_streams) == (state, why)
    if error is PROVIDER:
        assert away.tries["ingest"] == TRIES  # counted from attempt to attempt by the activity itself


@pytest.mark.parametrize(("pages", "state", "asked"), [(40, "succeeded", 41), (0, "partial", 6), (3, "partial", 8)])
async def test_a_run_without_a_page_for_an_hour_ends_and_says_why(pages, state, asked):
    slow = Slow(pages)
    async with (
        await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=str(TEST_SERVER), data_converter=pydantic_data_converter
        ) as env,
        Worker(
            env.client,
            task_queue="slow",
            workflows=[KnowledgeSync],
            activities=[slow.open, slow.ingest, slow.sweep, slow.index, slow.finish],
        ),
    ):
        job = KnowledgeJob(account_id=1, provider="memory")
        report = await env.client.execute_workflow(KnowledgeSync.run, job, id="slow", task_queue="slow")
    why = {} if state == "succeeded" else {"articles": "The provider gave no page for an hour."}
    assert (report.state, report.failed_streams, slow.asked) == (state, why, asked)
