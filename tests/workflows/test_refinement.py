"""The refined tier on a real Temporal server: chunks get better vectors in the background, and models take turns."""

import asyncio
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from temporalio.client import WorkflowFailureError
from temporalio.worker import Worker

from activities.calls import Calls
from activities.knowledge import KnowledgeActivities
from activities.refinement import Encoders, RefinementActivities
from api.asking import Asking
from bench import source
from bench.source import MemoryProvider, Source
from supportly.contracts import ids
from supportly.contracts.knowledge import Document, KnowledgeJob, SwitchJob
from supportly.crypto import KeyRing, Vault
from supportly.errors import Unavailable
from supportly.http import Outbound, Unlimited
from supportly.settings import Settings
from supportly.storage import knowledge_models, knowledge_refining
from supportly.temporal import connect
from workflows.knowledge_refinement import KnowledgeRefinement
from workflows.knowledge_sync import KnowledgeSync
from workflows.model_switch import ModelSwitch


class Letters:
    """An encoder that counts letters: texts are near when they are written alike."""

    def __init__(self, name: str, dimensions: int = 26) -> None:
        self.model, self.dimensions = name, dimensions
        self.read: list[str] = []
        self.fails: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def encode(self, texts):
        await self.gate.wait()
        if self.fails:
            raise self.fails.pop()
        self.read += texts
        out = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            for letter in text.lower():
                if letter.isalpha() and letter.isascii():
                    out[row, (ord(letter) - 97) % self.dimensions] += 1
            out[row] /= max(float(np.linalg.norm(out[row])), 1e-9)
        return out


class Shelf(Encoders):
    """Encoders that are there, by their spec; any other cannot be had."""

    def __init__(self, settings: Settings, held: dict[str, Letters]) -> None:
        self.settings, self.held = settings, held

    async def get(self, spec):
        return (self.held[spec], "") if spec in self.held else (None, f"There is no encoder `{spec}`.")


@dataclass
class Running:
    client: Any
    db: Any
    account_id: int
    source: Source
    first: Letters
    other: Letters
    asking: Asking
    worker: Any
    knowledge: KnowledgeActivities
    outer: list[Any] = field(default_factory=list)

    async def sync(self):
        return await self.client.execute_workflow(
            KnowledgeSync.run,
            KnowledgeJob(account_id=self.account_id, provider="memory"),
            id=ids.knowledge(self.account_id, "memory"),
            task_queue=ids.KNOWLEDGE,
        )

    async def refined(self):
        """Wait until the refinement that a sync has woken is done; answers how many chunks it read."""
        return await self.client.get_workflow_handle(ids.refinement(self.account_id)).result()

    async def vectors(self, encoder):
        [model] = [m for m in await knowledge_models.read(self.db) if m.name == encoder.model]
        async with self.db.tenant(self.account_id) as c:
            found = await c.exec_driver_sql(f"select count(*) from vectors where model_id = {model.id}")
            return found.scalar_one()

    async def lacking(self, encoder):
        [model] = [m for m in await knowledge_models.read(self.db) if m.name == encoder.model]
        return await knowledge_refining.count(self.db, self.account_id, model.id)

    async def switch(self, spec="other"):
        return await self.client.start_workflow(
            ModelSwitch.run, SwitchJob(spec=spec), id=f"switch-{uuid.uuid4()}", task_queue=ids.REFINEMENT
        )

    async def tiers(self, question):
        self.asking._serving = (0.0, None)
        for _ in range(2):  # the first one only begins to load the encoder
            _, hits = await self.asking.ask(self.account_id, question, 5)
            await asyncio.sleep(0)
        return [(hit.title, "refined" if hit.refined is not None else "instant") for hit, _ in hits]


def articles(count):
    return [
        Document(stream="articles", external_id=f"a{n}", title=f"Title {n}", body=f"Words of {n}.")
        for n in range(count)
    ]


@pytest.fixture
async def running(temporal, postgres, db, account_id, monkeypatch):
    for queue in ("KNOWLEDGE", "REFINEMENT"):
        monkeypatch.setattr(ids, queue, f"{queue}-{uuid.uuid4()}")
    monkeypatch.setattr("workflows.model_switch.ASKED_EVERY", timedelta(milliseconds=200))
    async with db.system() as c:  # models belong to no account: every test begins without those of another
        await c.exec_driver_sql("update knowledge_models set state = 'retired' where tier = 'refined'")
    settings = Settings(database_url=postgres.url, temporal_address=temporal.address, refined_model="minilm")
    client = await connect(settings)
    vault = Vault(KeyRing(settings.keys.get_secret_value()))
    held = Source(page_size=10)
    provider = MemoryProvider(held)
    outbound = Outbound(timeout_s=2, max_bytes=1_000_000)
    calls = Calls(db=db, vault=vault, outbound=outbound, budget=Unlimited(), client=client, provider=lambda _: provider)
    first, other = Letters(f"letters-{uuid.uuid4()}"), Letters(f"other-{uuid.uuid4()}", 13)
    shelf = Shelf(settings, {"minilm": first, "other": other})
    knowledge = KnowledgeActivities(calls, settings)
    refinement = RefinementActivities(db, client, shelf, knowledge.quiet)
    await source.connect(db, vault, account_id)

    def worker(queue, workflows, activities):
        return Worker(
            client,
            task_queue=queue,
            workflows=workflows,
            activities=activities,
            graceful_shutdown_timeout=timedelta(seconds=1),
        )

    async with AsyncExitStack() as closing:
        await closing.enter_async_context(worker(ids.KNOWLEDGE, [KnowledgeSync], knowledge.all()))
        refining = worker(ids.REFINEMENT, [KnowledgeRefinement, ModelSwitch], refinement.all())
        await closing.enter_async_context(refining)
        yield Running(client, db, account_id, held, first, other, Asking(db, shelf), refining, knowledge)


async def test_a_sync_is_found_at_once_and_refined_afterwards(running):
    running.first.gate.clear()
    running.source.documents = articles(25)
    report = await running.sync()
    assert report.unrefined == 25
    assert {tier for _, tier in await running.tiers("Title 7")} == {"instant"}
    running.first.gate.set()
    assert await running.refined() == 25
    assert await running.lacking(running.first) == 0
    # The title apart from the chunk, each once.
    assert running.first.read.count("Title 7") == 1
    assert {tier for _, tier in await running.tiers("Title 7")} == {"refined"}


async def test_the_newest_come_first_and_only_what_is_new_is_read_again(running):
    running.source.documents = articles(5)
    await running.sync()
    await running.refined()
    running.first.read.clear()
    running.source.documents[2] = running.source.documents[2].model_copy(update={"body": "Other words."})
    running.source.documents += [Document(stream="articles", external_id="new", title="New", body="Just written.")]
    report = await running.sync()
    assert report.unrefined == 2
    assert await running.refined() == 2
    assert len(running.first.read) == 4  # two titles, two chunks
    assert await running.vectors(running.first) == 6


async def test_what_is_deleted_loses_its_refined_vector(running):
    running.source.documents = articles(8)
    await running.sync()
    await running.refined()
    del running.source.documents[0]
    await running.sync()
    await running.sync()
    assert await running.vectors(running.first) == 7


async def test_a_chunk_that_goes_while_it_is_read_gets_no_vector(running):
    running.source.documents = articles(3)
    running.first.gate.clear()
    await running.sync()
    await asyncio.sleep(0.2)  # the encoder has the three texts
    running.source.documents = articles(3)[1:]
    await running.sync()
    await running.sync()
    running.first.gate.set()
    await running.refined()
    assert await running.vectors(running.first) == 2


async def test_an_endpoint_that_is_away_is_asked_again(running):
    running.first.fails = [Unavailable("away", retry_after=0.2), Unavailable("away", retry_after=0.2)]
    running.source.documents = articles(3)
    await running.sync()
    assert await running.refined() == 3


async def test_refining_makes_way_for_a_sync(running):
    running.knowledge.quiet.clear()
    running.source.documents = articles(3)
    sync = await running.client.start_workflow(
        KnowledgeRefinement.run,
        {"account_id": running.account_id},
        id=ids.refinement(running.account_id),
        task_queue=ids.REFINEMENT,
    )
    await asyncio.sleep(0.3)
    assert running.first.read == []
    running.knowledge.quiet.set()
    await sync.result()
    await running.sync()  # a sync of its own sets and clears it
    assert running.knowledge.quiet.is_set()
    assert await running.refined() == 3


async def test_another_model_is_built_beside_the_old_one_and_then_serves(running):
    running.source.documents = articles(12)
    await running.sync()
    await running.refined()
    asked = len(running.source.reads)
    running.other.gate.clear()
    switch = await running.switch()
    for _ in range(100):
        progress = await switch.query(ModelSwitch.progress)
        if progress.lacking:
            break
        await asyncio.sleep(0.05)
    # The old one answers until the new one is complete.
    assert (progress.state, progress.lacking >= 12) == ("building", True)
    serving = await knowledge_models.serving(running.db)
    assert serving.name == running.first.model
    assert {tier for _, tier in await running.tiers("Title 7")} == {"refined"}
    running.other.gate.set()
    ended = await switch.result()
    assert (ended.state, ended.lacking, ended.name) == ("serving", 0, running.other.model)
    assert (await knowledge_models.serving(running.db)).name == running.other.model
    assert await running.vectors(running.other) == 12
    assert await running.vectors(running.first) == 0
    assert {tier for _, tier in await running.tiers("Title 7")} == {"refined"}
    assert len(running.source.reads) == asked  # no provider was asked


async def test_a_switch_can_be_abandoned_and_begun_again(running):
    running.source.documents = articles(4)
    await running.sync()
    await running.refined()
    running.other.gate.clear()
    switch = await running.switch()
    await asyncio.sleep(0.3)
    await switch.signal(ModelSwitch.abandon)
    assert (await switch.result()).state == "abandoned"
    assert (await knowledge_models.serving(running.db)).name == running.first.model
    running.other.gate.set()
    assert (await (await running.switch()).result()).state == "serving"
    assert await running.vectors(running.other) == 4


async def test_only_one_model_is_built_at_a_time_and_one_that_cannot_be_had_never(running):
    running.source.documents = articles(2)
    await running.sync()
    await running.refined()
    with pytest.raises(WorkflowFailureError) as refused:
        await (await running.switch("nonsense")).result()
    assert "no encoder `nonsense`" in str(refused.value.cause)
    assert (await knowledge_models.serving(running.db)).name == running.first.model


async def test_a_page_that_comes_while_an_account_is_settled_is_not_forgotten(running):
    """`complete` is said under the lock of whoever writes pages, so a chunk that came meanwhile takes it back."""
    running.source.documents = articles(4)
    await running.sync()
    await running.refined()
    for round_ in range(5):
        running.source.documents = [*running.source.documents, *articles(30)[4 + round_ * 3 : 7 + round_ * 3]]
        await running.sync()
        await running.refined()
    async with running.db.tenant(running.account_id) as c:
        [(complete,)] = (
            await c.exec_driver_sql(
                "select i.complete from knowledge_indexes i join knowledge_models m using (model_id) "
                f"where m.name = '{running.first.model}'"
            )
        ).all()
    assert complete == (await running.lacking(running.first) == 0)
    assert complete
