"""How complete the stored knowledge is, seen against providers that tell the truth and such that do not."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities import knowledge_sample
from activities.calls import Calls
from activities.knowledge import KnowledgeActivities
from activities.knowledge_sample import BY_ID, PAGES, KnowledgeSampling
from bench import source
from bench.source import MemoryProvider, Source
from supportly.contracts.knowledge import Document, KnowledgeJob, Sample, Stretch
from supportly.crypto import KeyRing, Vault
from supportly.errors import Throttled
from supportly.http import Outbound, Unlimited
from supportly.settings import Settings
from supportly.storage import knowledge_status, knowledge_sweeps

LONG_AGO = datetime.now(UTC) - timedelta(days=3)


class Liar(MemoryProvider):
    """Leaves `hidden` out of what it lists while `lying`, and knows by id what is there."""

    hidden: frozenset[str] = frozenset()
    lying = True

    async def read_stream(self, call, stream, cursor, since):
        page = await super().read_stream(call, stream, cursor, since)
        if self.lying:
            page.documents = [d for d in page.documents if d.external_id not in self.hidden]
        return page

    async def is_gone(self, call, stream, external_id):
        return external_id not in {d.external_id for d in self.source.documents}


class World:
    def __init__(self, db, account_id):
        self.db, self.account_id = db, account_id
        held = [Document(stream="articles", external_id=str(n), title=f"T{n}", body="b", updated_at=LONG_AGO)
                for n in range(30)]  # fmt: skip
        self.source = Source(held, page_size=10)
        self.provider = Liar(self.source)
        settings = Settings()
        self.vault = Vault(KeyRing(settings.keys.get_secret_value()))
        calls = Calls(
            db=db,
            vault=self.vault,
            outbound=Outbound(timeout_s=2, max_bytes=1000),
            budget=Unlimited(),
            client=None,
            provider=lambda _: self.provider,
        )
        self.knowledge, self.sampling = KnowledgeActivities(calls, settings), KnowledgeSampling(calls)

    async def do(self, activity, *args):
        return await ActivityEnvironment().run(activity, *args)

    async def sync(self):
        job = KnowledgeJob(account_id=self.account_id, provider="memory", run_id=str(uuid.uuid4()))
        job = await self.do(self.knowledge.open, job)
        while job.streams:
            await self.do(self.knowledge.ingest, job)
            job = job.after(Stretch(counts=await self.do(self.knowledge.sweep, job), stream_done=True))
        await self.do(self.knowledge.finish, job, "succeeded")
        self.source.reads.clear()
        return job

    async def sample(self, job):
        return await self.do(self.sampling.sample, job)

    async def shown(self):
        return (await knowledge_status.read(self.db, self.account_id)).get("memory", knowledge_status.Knowledge())


@pytest.fixture
async def world(db, account_id, monkeypatch):
    # Every page, so that what is expected does not hang on chance.
    monkeypatch.setattr(knowledge_sample.random.Random, "randint", lambda _self, _low, high: high)
    made = World(db, account_id)
    await source.connect(db, made.vault, account_id)
    return made


async def test_an_honest_provider_is_stored_whole(world):
    job = await world.sync()
    assert (await world.shown()).sample is None
    taken = await world.sample(job)
    assert taken == Sample(equal=30 + BY_ID, sampled=30 + BY_ID)
    found = await world.shown()
    assert found.sample == taken
    assert found.sampled_at >= found.run.finished_at


async def test_a_record_that_a_walk_left_out_shows_in_the_figure(world):
    world.provider.hidden = frozenset({"7", "21"})
    job = await world.sync()
    world.provider.lying = False
    assert await world.sample(job) == Sample(equal=28 + BY_ID, sampled=30 + BY_ID)
    assert await world.sample(await world.sync()) == Sample(equal=30 + BY_ID, sampled=30 + BY_ID)


async def test_an_edit_that_nobody_saw_shows_and_one_after_the_run_does_not(world):
    job = await world.sync()
    world.source.documents[3] = world.source.documents[3].model_copy(update={"body": "another, with the same time"})
    later = datetime.now(UTC) + timedelta(minutes=1)
    world.source.documents[4] = world.source.documents[4].model_copy(update={"body": "new", "updated_at": later})
    assert await world.sample(job) == Sample(equal=28 + BY_ID, sampled=29 + BY_ID)


async def test_what_is_gone_and_still_stored_shows(world):
    job = await world.sync()
    world.source.documents.clear()
    assert await world.sample(job) == Sample(equal=0, sampled=BY_ID)


async def test_it_takes_few_calls(world):
    world.source.documents = [Document(stream="articles", external_id=str(n), title="T", body="b") for n in range(200)]
    job = await world.sync()
    await world.sample(job)
    assert 0 < len(world.source.reads) <= PAGES


async def test_a_provider_in_trouble_ends_the_sample_and_not_the_run(world):
    job = await world.sync()

    def refuse(_stream, page):
        if page == 1:
            raise Throttled("enough", retry_after=60)

    world.source.before_page = refuse
    assert (await world.sample(job)).sampled == 10
    world.source.before_page = lambda *_: refuse("", 1)
    assert (await world.sample(job)).sampled == 0
    assert (await world.shown()).sample.sampled == 10


async def test_a_sample_goes_with_its_provider_and_none_comes_late(world):
    job = await world.sync()
    await world.sample(job)
    await knowledge_sweeps.purge(world.db, world.account_id, "memory")
    assert (await world.shown()).sample is None
    assert await world.sample(job) == Sample()
    assert (await world.shown()).sample is None
