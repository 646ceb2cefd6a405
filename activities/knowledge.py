"""Knowledge: opens a run, ingests pages for up to a minute at a time, sweeps what vanished, and closes the run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

from temporalio import activity
from temporalio.service import RPCError

from activities import schedules
from activities.calls import Calls
from activities.failures import translated
from activities.knowledge_pages import prepare
from supportly.contracts.knowledge import Counts, KnowledgeJob, KnowledgeReport, RunState, StreamPage, Stretch
from supportly.errors import Conflict, SupportlyError, Unavailable, UnsupportedByProvider
from supportly.knowledge.embed import Embedder, WordLlamaEmbedder
from supportly.provider import Provider, StreamsKnowledge
from supportly.settings import Settings
from supportly.storage import knowledge, knowledge_status, knowledge_sweeps, provider_settings
from supportly.storage.knowledge import Plan, Walk

STRETCH_S: Final = 55.0
"""One activity ingests for about a minute: long enough to be cheap in Temporal, short enough to lose little."""
HEARTBEAT_S: Final = 5.0
"""Also while a slow provider is awaited; the workflow misses a dead worker after `SILENCE`."""
CHECKED_BY_ID: Final = 20
"""Missing documents that one sweep asks the provider for by id; the others wait for the second complete walk."""
INDEX_BATCH: Final = 500
"""Vectors that join the HNSW index in one transaction: about a second of work at 2.3 ms each."""


class KnowledgeActivities:
    """Activities of KnowledgeSync."""

    def __init__(self, calls: Calls, settings: Settings, embedder: Embedder | None = None) -> None:
        self.calls = calls
        self.db = calls.db
        self.settings = settings
        self.embedder = embedder or WordLlamaEmbedder()

    def all(self) -> list[Callable[..., Any]]:
        """Every activity, for the worker."""
        return [self.open, self.ingest, self.sweep, self.index, self.finish]

    async def cleanup(self, account_id: int, provider: str) -> None:
        """Remove what knowledge leaves behind a connection that ends: Schedule, running sync, documents and chunks.

        The switch goes off with them: whoever connects again chooses again. Raises Unavailable.
        """
        try:
            await schedules.delete(self.calls.client, account_id, provider)
            await schedules.cancel_sync(self.calls.client, account_id, provider)
        except RPCError:
            raise Unavailable("The workflow server is away; nothing was lost, try again.", retry_after=5) from None
        await provider_settings.switch_knowledge(self.db, account_id, provider, enabled=False)
        await knowledge_sweeps.purge(self.db, account_id, provider)

    async def hold(self, account_id: int, provider: str) -> None:
        """No scheduled syncs until somebody connects again; all that is stored stays. Temporal away is no failure."""
        with contextlib.suppress(RPCError):
            await schedules.hold(self.calls.client, account_id, provider)

    async def release(self, account_id: int, provider: str) -> None:
        """The scheduled syncs go on, unless a person paused them. A Temporal away is no failure."""
        with contextlib.suppress(RPCError):
            await schedules.release(self.calls.client, account_id, provider)

    @activity.defn(name="knowledge_open")
    async def open(self, job: KnowledgeJob) -> KnowledgeJob:
        """Open a run and fill in its epoch, generation and streams. Raises NotConnected, ReconnectRequired."""
        with translated():
            async with self.calls.open(job.account_id, job.provider, "knowledge") as opened:
                provider = _streaming(opened.provider)
                chosen = set(provider.chosen(opened.call.settings))
                plans = [Plan(s.id, s.incremental, s.complete) for s in provider.streams if s.id in chosen]
                job = job.model_copy(update={"generation": opened.connection.generation})
            return await knowledge.open_run(self.db, job, plans, now=datetime.now(UTC))

    @activity.defn(name="knowledge_ingest")
    async def ingest(self, job: KnowledgeJob) -> Stretch:
        """Store page after page of the first stream of the job until its minute is over.

        The next page is fetched while this one is embedded, and this one embedded while the one before is stored.
        Answers the run's counts so far; what an earlier attempt stored is in them.
        """
        stream = job.streams[0]
        done, error, wait_s = False, "", 0.0
        with translated():
            async with _beating():
                try:
                    done = (await self._walk(job, stream)).state != "walking"
                except SupportlyError as failure:
                    # What concerns the whole run is the workflow's to decide; a hiccup is tried again by Temporal.
                    if isinstance(failure, Conflict) or (failure.retryable and failure.retry_after is None):
                        raise
                    if failure.retryable:
                        wait_s = failure.retry_after or 0.0
                    else:
                        error = failure.message
                        await knowledge.give_up(self.db, job, stream, error)
            counts = await knowledge.counts(self.db, job)
        return Stretch(counts=counts, stream_done=done, stream_error=error, wait_s=wait_s)

    async def _walk(self, job: KnowledgeJob, stream: str) -> Walk:
        """Walk for a stretch; answers where the walk stands then."""
        ends = asyncio.get_running_loop().time() + STRETCH_S
        walk = await knowledge.read_walk(self.db, job, stream)
        if walk.state != "walking":
            return walk
        storing: asyncio.Task[Counts] | None = None
        stored: set[str] = set()
        reading = asyncio.create_task(self._read(job, stream, walk.cursor, walk.since))
        try:
            while True:
                page = await reading
                here = {d.external_id for d in page.documents}
                more = page.next is not None and asyncio.get_running_loop().time() < ends
                if more:
                    reading = asyncio.create_task(self._read(job, stream, page.next, walk.since))
                if storing and here & stored:
                    # A record on two pages in a row: the comparison has to see what the first one stored.
                    await storing
                write = await prepare(self.db, self.embedder, job, stream, walk, page)
                if storing:
                    await storing
                storing, stored = asyncio.create_task(knowledge.commit_page(self.db, write)), here
                if not more:
                    await storing
                    return await knowledge.read_walk(self.db, job, stream)
                walk = Walk(walk.walk, walk.complete, walk.since, page.next, walk.state)
        finally:
            reading.cancel()
            # A page on its way into the database takes milliseconds; whatever stopped us, it need not be done again.
            await asyncio.gather(reading, *([storing] if storing else []), return_exceptions=True)

    async def _read(self, job: KnowledgeJob, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        async with self.calls.open(job.account_id, job.provider, "knowledge") as opened:
            return await _streaming(opened.provider).read_stream(opened.call, stream, cursor, since)

    @activity.defn(name="knowledge_sweep")
    async def sweep(self, job: KnowledgeJob) -> Counts:
        """End the walk of the first stream of the job: remove what is gone, or hold it. Answers the counts so far."""
        stream = job.streams[0]
        with translated():
            suspects = await knowledge_sweeps.missed_once(self.db, job, stream, CHECKED_BY_ID)
            gone = await self._gone(job, stream, suspects) if suspects else []
            await knowledge_sweeps.sweep(self.db, job, stream, gone)
            return await knowledge.counts(self.db, job)

    async def _gone(self, job: KnowledgeJob, stream: str, suspects: list[str]) -> list[str]:
        """Those of `suspects` that the provider says are gone; asking stops at the first trouble."""
        gone = []
        with contextlib.suppress(SupportlyError):
            async with self.calls.open(job.account_id, job.provider, "knowledge") as opened:
                provider = _streaming(opened.provider)
                for external_id in suspects:
                    activity.heartbeat()
                    if await provider.is_gone(opened.call, stream, external_id):
                        gone.append(external_id)
        return gone

    @activity.defn(name="knowledge_index")
    async def index(self, job: KnowledgeJob) -> int:
        """Let a large account's new vectors join the HNSW index, in batches; answers how many did."""
        with translated():
            joined = 0
            while some := await knowledge_status.index_some(self.db, job.account_id, INDEX_BATCH):
                joined += some
                activity.heartbeat(joined)
            return joined

    @activity.defn(name="knowledge_finish")
    async def finish(self, job: KnowledgeJob, state: RunState) -> KnowledgeReport:
        """Close the run and answer how it ended."""
        with translated():
            held = await knowledge.finish_run(self.db, job, state)
            counts = await knowledge.counts(self.db, job)
        return KnowledgeReport(
            run_id=job.run_id, state=state, counts=counts, failed_streams=job.failed_streams, held_deletes=held
        )


def _streaming(provider: Provider) -> StreamsKnowledge:
    if not isinstance(provider, StreamsKnowledge):
        raise UnsupportedByProvider(f"{provider.title} offers no knowledge.")
    return provider


@contextlib.asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    """Heartbeats while the block runs, so that a cancelled or dead attempt is noticed."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_S)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
