import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.knowledge_pages import Batch, prepare
from bench import source
from bench.source import MemoryProvider, Source
from supportly.contracts.knowledge import Counts, Document, KnowledgeJob, StreamPage
from supportly.crypto import KeyRing, Vault
from supportly.knowledge.embed import Matrix, WordLlamaEmbedder
from supportly.settings import Settings
from supportly.storage import knowledge, knowledge_models, knowledge_pages, knowledge_sweeps
from supportly.storage.database import Database
from supportly.storage.knowledge import Plan
from supportly.storage.knowledge_pages import PageWrite
from supportly.storage.search import Asked

PLANS = [Plan("articles", incremental=True, complete=True)]


@pytest.fixture(scope="session")
def instant() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


class CountingEmbedder:
    """The instant tier, with a list of what it was given."""

    model, dimensions = WordLlamaEmbedder.model, 256

    def __init__(self, inner: WordLlamaEmbedder) -> None:
        self.inner = inner
        self.texts: list[str] = []

    def embed(self, texts: Any) -> Matrix:
        self.texts += texts
        return self.inner.embed(texts)


@dataclass
class Base:
    """A knowledge base of one account, synced by the steps that the activities take."""

    db: Database
    account_id: int
    embedder: CountingEmbedder
    source: Source = field(default_factory=lambda: Source(page_size=10))

    def article(self, name: str, body: str = "", **extra: Any) -> Document:
        return Document(
            stream="articles", external_id=name, title=f"About {name}", body=body or f"All of {name}.", **extra
        )

    async def open(self, **extra: Any) -> KnowledgeJob:
        job = KnowledgeJob(
            account_id=self.account_id, provider="memory", run_id=str(uuid.uuid4()), generation=1, **extra
        )
        return await knowledge.open_run(self.db, job, PLANS, now=datetime.now(UTC))

    async def page(self, job: KnowledgeJob) -> bool:
        """Store the next page; False when there is none."""
        walk = await knowledge.read_walk(self.db, job, "articles")
        if walk.state != "walking":
            return False
        await knowledge_pages.commit_page(self.db, await self.prepare(job))
        return True

    async def prepare(self, job: KnowledgeJob, page: StreamPage | None = None) -> PageWrite:
        """The next page of the source, or `page` in its place, ready to be stored."""
        walk = await knowledge.read_walk(self.db, job, "articles")
        batch = Batch(walk)
        batch.add(page or await MemoryProvider(self.source).read_stream(None, "articles", walk.cursor, walk.since))
        return await prepare(self.db, self.embedder, job, "articles", batch)

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Vectors of the instant tier."""
        return self.embedder.embed(texts)

    async def asked(self, question: str) -> Asked:
        """A question as the instant tier reads it."""
        model = await knowledge_models.instant(self.db, self.embedder.model, self.embedder.dimensions)
        return Asked(model, self.embedder.embed([question])[0])

    async def sync(self, gone: tuple[str, ...] = (), **extra: Any) -> tuple[KnowledgeJob, Counts]:
        job = await self.open(**extra)
        while await self.page(job):
            pass
        await knowledge_sweeps.sweep(self.db, job, "articles", gone)
        state = "succeeded"
        await knowledge.finish_run(self.db, job, state)
        return job, await knowledge.counts(self.db, job)

    async def rows(self, sql: str) -> list[Any]:
        async with self.db.tenant(self.account_id) as c:
            return list((await c.exec_driver_sql(sql, {"a": self.account_id})).all())

    async def names(self) -> set[str]:
        found = await self.rows("select external_id from documents where account_id = %(a)s and deleted_at is null")
        return {row[0] for row in found}


@pytest.fixture
async def connected(db: Database, account_id: int) -> int:
    await source.connect(db, Vault(KeyRing(Settings().keys.get_secret_value())), account_id)
    return account_id


@pytest.fixture
async def base(db: Database, connected: int, instant: WordLlamaEmbedder) -> Base:
    return Base(db, connected, CountingEmbedder(instant))


@pytest.fixture
def articles(base: Base) -> Callable[[int], list[Document]]:
    return lambda count: [base.article(f"topic{n}", f"Words about topic{n}.") for n in range(count)]
