"""What the ingest activity does around its pages; the workflow's tests run it inside Temporal."""

import asyncio
import dataclasses
import uuid
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.calls import Calls
from activities.knowledge import TRIES, KnowledgeActivities
from activities.knowledge_sample import KnowledgeSampling
from bench import source
from bench.source import MemoryProvider, Source
from supportly.contracts.knowledge import Document, KnowledgeJob
from supportly.crypto import KeyRing, Vault
from supportly.errors import ProviderFailure, Throttled
from supportly.http import Outbound, Unlimited
from supportly.settings import Settings
from supportly.storage import knowledge_pages


@pytest.fixture
async def held(db, account_id):
    return Source([Document(stream="articles", external_id=str(n), title=f"T{n}", body="b") for n in range(40)], 10)


@pytest.fixture
async def activities(db, account_id, held):
    settings = Settings()
    vault = Vault(KeyRing(settings.keys.get_secret_value()))
    await source.connect(db, vault, account_id)
    provider = MemoryProvider(held)
    outbound = Outbound(timeout_s=2, max_bytes=1000)
    calls = Calls(db=db, vault=vault, outbound=outbound, budget=Unlimited(), client=None, provider=lambda _: provider)
    return KnowledgeActivities(calls, settings)


@pytest.fixture
async def job(activities, account_id):
    named = KnowledgeJob(account_id=account_id, provider="memory", run_id=str(uuid.uuid4()))
    return await ActivityEnvironment().run(activities.open, named)


async def test_a_stretch_ends_after_its_time_and_goes_on(activities, job, monkeypatch):
    monkeypatch.setattr("activities.knowledge.STRETCH_S", 0.0)
    stretches = [await ActivityEnvironment().run(activities.ingest, job) for _ in range(4)]
    assert [s.counts.added for s in stretches] == [10, 20, 30, 40]
    assert [s.stream_done for s in stretches] == [False, False, False, True]
    # A repeated call after the end changes nothing.
    assert (await ActivityEnvironment().run(activities.ingest, job)).stream_done


async def test_the_next_page_is_fetched_while_one_is_worked_on(activities, job, held, monkeypatch):
    fetched = []
    original = knowledge_pages.known_documents

    async def slow(*args):
        await asyncio.sleep(0.05)
        fetched.append(len(held.reads))
        return await original(*args)

    held.before_page = lambda *_: asyncio.sleep(0)
    monkeypatch.setattr(knowledge_pages, "known_documents", slow)
    stretch = await ActivityEnvironment().run(activities.ingest, job)
    # All four were read while the first was worked on.
    assert set(fetched) == {4}
    assert stretch.counts.added == 40


async def test_a_worker_that_has_to_leave_stores_what_it_has_read_and_reads_no_further(activities, job, held):
    leaving = ActivityEnvironment()
    held.before_page = lambda _stream, page: leaving.worker_shutdown() if page == 1 else None
    stretch = await leaving.run(activities.ingest, job)
    assert (stretch.counts.added, stretch.stream_done, len(held.reads)) == (20, False, 2)
    # Where the next worker goes on.
    stretch = await ActivityEnvironment().run(activities.ingest, job)
    assert (stretch.counts.added, stretch.stream_done, len(held.reads)) == (40, True, 4)


async def test_every_step_is_missed_when_its_worker_dies(activities, job):
    sampling = KnowledgeSampling(activities.calls)
    steps = [(activities.open,), (activities.ingest,), (activities.sweep,), (activities.index,), (sampling.sample,)]
    for step, *more in [*steps, (activities.finish, "succeeded")]:
        beats, environment = [], ActivityEnvironment()
        environment.on_heartbeat = lambda *details, beats=beats: beats.append(details)
        await environment.run(step, job, *more)
        assert beats, step.__name__


async def test_a_circle_of_cursors_is_an_error(activities, job, held, monkeypatch):
    original = MemoryProvider.read_stream

    async def circling(*args):
        page = await original(*args)
        return page.model_copy(update={"next": "20"}) if page.next == "30" else page

    monkeypatch.setattr(MemoryProvider, "read_stream", circling)
    stretch = await ActivityEnvironment().run(activities.ingest, job)
    assert "circle" in stretch.stream_error
    assert stretch.counts.added == 20


async def test_what_was_fetched_before_a_pause_is_stored(activities, job, held):
    def before(_stream, page):
        if page == 2:
            raise Throttled("later", retry_after=7)

    held.before_page = before
    stretch = await ActivityEnvironment().run(activities.ingest, job)
    assert (stretch.wait_s, stretch.stream_done, stretch.counts.added) == (7, False, 20)


async def test_a_hiccup_is_temporals_and_a_refusal_the_streams(activities, job, held):
    def hiccup(*_):
        raise ProviderFailure("bad gateway", transient=True)

    held.before_page = hiccup
    with pytest.raises(ApplicationError) as failure:
        await ActivityEnvironment().run(activities.ingest, job)
    assert not failure.value.non_retryable

    def refusal(*_):
        raise ProviderFailure("forbidden", provider_status=403)

    held.before_page = refusal
    assert (await ActivityEnvironment().run(activities.ingest, job)).stream_error == "forbidden"


async def test_what_the_provider_says_by_id_goes_at_the_first_miss(activities, account_id, held):
    async def run():
        named = KnowledgeJob(account_id=account_id, provider="memory", run_id=str(uuid.uuid4()))
        job = await ActivityEnvironment().run(activities.open, named)
        await ActivityEnvironment().run(activities.ingest, job)
        return await ActivityEnvironment().run(activities.sweep, job)

    await run()
    del held.documents[:2]
    held.gone = {"0"}
    assert (await run()).deleted == 1
    assert (await run()).deleted == 1


@pytest.mark.parametrize(
    ("attempt", "noted", "final"),
    [(1, (), False), (30, (), False), (50, (TRIES - 2,), False), (TRIES, (TRIES - 1,), True), (9, (TRIES - 1,), True)],
)
async def test_failures_of_the_provider_are_counted_and_attempts_that_died_are_not(
    activities, job, held, attempt, noted, final
):
    """Thirty attempts whose worker was killed are followed by the provider's first failure: it is tried again."""

    def before(_stream, _page):
        raise ProviderFailure("down", provider_status=503, transient=True)

    held.before_page = before
    environment, beats = ActivityEnvironment(), []
    environment.info = dataclasses.replace(environment.info, attempt=attempt, heartbeat_details=noted)
    environment.on_heartbeat = lambda *details: beats.append(details)
    with pytest.raises(ApplicationError) as caught:
        await environment.run(activities.ingest, job)
    assert (caught.value.type, caught.value.message, caught.value.non_retryable) == ("provider_error", "down", final)
    assert caught.value.next_retry_delay == timedelta(seconds=min(2 ** sum(noted), 60))
    assert beats[-1] == (sum(noted) + 1,)
    assert set(beats[:-1]) <= {noted}  # what earlier attempts have noted is not wiped out meanwhile
