"""Knowledge: opens a run, ingests pages for up to a minute at a time, sweeps what vanished, and closes the run."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from temporalio import activity
from temporalio.service import RPCError

from activities import schedules
from activities.calls import Calls
from activities.events import hand_over
from activities.failures import FIRST_PAUSE_S, attempting, leaving
from activities.knowledge_pages import Ahead, Batch, prepare
from supportly.contracts.knowledge import Counts, KnowledgeJob, KnowledgeReport, RunState, Stretch
from supportly.errors import Conflict, ProviderFailure, SupportlyError, Unavailable, UnsupportedByProvider
from supportly.knowledge.embed import Embedder, Matrix, WordLlamaEmbedder
from supportly.provider import Provider, StreamsKnowledge
from supportly.settings import Settings
from supportly.storage import (
    knowledge,
    knowledge_index,
    knowledge_models,
    knowledge_pages,
    knowledge_recall,
    knowledge_refining,
    knowledge_status,
    knowledge_sweeps,
    knowledge_words,
    provider_settings,
)
from supportly.storage.knowledge import Plan, Walk
from supportly.telemetry import metrics

STRETCH_S: Final = 55.0
"""One activity ingests for about a minute: long enough to be cheap in Temporal, short enough to lose little."""
TRIES: Final = 8
"""Failures of a provider in one stretch, over some five minutes: one that is down for longer is left to another run."""
CHECKED_BY_ID: Final = 20
"""Missing documents that one sweep asks the provider for by id; the others wait for the second complete walk."""
BATCHES: Final = 3
"""Batches under way at once: one that is stored and two that are prepared."""
CALL_S: Final = 5.0
"""How long pages are read with one opened call: opening costs a transaction, and a token may be refreshed meanwhile."""


class KnowledgeActivities:
    """Activities of KnowledgeSync."""

    def __init__(self, calls: Calls, settings: Settings, embedder: Embedder | None = None) -> None:
        self.calls = calls
        self.db = calls.db
        self.settings = settings
        self._embedder = embedder
        self._ingesting = 0
        self.quiet = asyncio.Event()
        """Set while this process ingests nothing; what can wait makes way until then."""
        self.quiet.set()

    @cached_property
    def embedder(self) -> Embedder:
        """What makes the instant tier's vectors; loaded when it is asked for, since not every worker ingests."""
        return self._embedder or WordLlamaEmbedder()

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
        async with attempting():
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
        async with attempting(tries=TRIES):
            try:
                done = (await self._walk(job, stream)).state != "walking"
            except SupportlyError as failure:
                # What concerns the whole run is the workflow's to decide; a hiccup is tried again by Temporal.
                if isinstance(failure, Conflict) or (failure.retryable and failure.retry_after is None):
                    raise
                if failure.retryable:
                    # At least a second: a provider that names no pause, or none to speak of, is not asked at once.
                    wait_s = max(failure.retry_after or 0.0, FIRST_PAUSE_S)
                else:
                    error = failure.message
                    await knowledge.give_up(self.db, job, stream, error)
            counts = await knowledge.counts(self.db, job)
            pages = await knowledge_status.pages(self.db, job)
        return Stretch(counts=counts, pages=pages, stream_done=done, stream_error=error, wait_s=wait_s)

    async def _walk(self, job: KnowledgeJob, stream: str) -> Walk:
        """Walk for a stretch; answers where the walk stands then.

        Three steps overlap: pages are read ahead, what came is compared, split and embedded (two batches at once, so
        that one is worked on while the other asks the database), and what was prepared before is stored, in order.
        Pages that wait for their turn are stored together.
        """
        walk = await knowledge.read_walk(self.db, job, stream)
        if walk.state != "walking":
            return walk
        ahead = Ahead()
        self._ingesting += 1
        self.quiet.clear()
        reading = asyncio.create_task(self._read_ahead(job, stream, walk, ahead))
        underway: deque[tuple[set[str], asyncio.Task[Counts]]] = deque()
        try:
            while (batch := await ahead.batch(walk)) is not None:
                here = batch.records
                # A record that comes again: the comparison has to see what was stored of it.
                while underway and (len(underway) >= BATCHES or any(here & there for there, _ in underway)):
                    await underway.popleft()[1]
                before = underway[-1][1] if underway else None
                underway.append((here, asyncio.create_task(self._store(job, stream, batch, before))))
                walk = Walk(walk.walk, walk.complete, walk.since, batch.next, walk.state)
            while underway:
                await underway.popleft()[1]
            return await knowledge.read_walk(self.db, job, stream)
        finally:
            self._ingesting -= 1
            if not self._ingesting:
                self.quiet.set()
            reading.cancel()
            # Pages on their way into the database take milliseconds; whatever stopped us, it need not be done again.
            await asyncio.gather(reading, *(task for _, task in underway), return_exceptions=True)

    async def _store(self, job: KnowledgeJob, stream: str, batch: Batch, before: asyncio.Task[Counts] | None) -> Counts:
        """Prepare a batch, and store it after the one before it; what kept that one from being stored is raised."""
        write = await prepare(self.db, self.embedder, job, stream, batch)
        if before:
            await before
        done = await knowledge_pages.commit_page(self.db, write)
        for change in ("added", "changed", "unchanged", "deleted", "failed"):
            metrics.DOCUMENTS.labels(job.provider, change).inc(getattr(done, change))
        metrics.CHUNKS.labels(job.provider, "embedded").inc(done.chunks_embedded)
        metrics.CHUNKS.labels(job.provider, "reused").inc(done.chunks_reused)
        return done

    async def _read_ahead(self, job: KnowledgeJob, stream: str, walk: Walk, ahead: Ahead) -> None:
        """Read page after page until the stream or the stretch ends; what stops it earlier is the last thing ahead.

        The call is opened anew every few seconds, so that a token that was refreshed meanwhile is the one in use.
        """
        clock = asyncio.get_running_loop().time
        ends, until, cursor, more = clock() + STRETCH_S, 0.0, walk.cursor, True
        try:
            # One page at least, so that every stretch gets on; none when others can go on at once.
            while more and (clock() < ends or not until) and not leaving():
                async with self.calls.open(job.account_id, job.provider, "knowledge") as opened:
                    fresh, until = True, min(ends, clock() + CALL_S)
                    while more and (fresh or clock() < until) and not leaving():
                        fresh = False
                        page = await _streaming(opened.provider).read_stream(opened.call, stream, cursor, walk.since)
                        if page.next is not None and page.next == cursor:
                            raise ProviderFailure("The provider's paging goes in a circle: the same cursor came twice.")
                        cursor, more = page.next, page.next is not None
                        await ahead.put(page)
        except Exception as error:  # noqa: BLE001 (whoever stores the pages raises it, after those that came before)
            await ahead.put(error)
        else:
            await ahead.put(None)

    @activity.defn(name="knowledge_sweep")
    async def sweep(self, job: KnowledgeJob) -> Counts:
        """End the walk of the first stream of the job: remove what is gone, or hold it. Answers the counts so far."""
        stream = job.streams[0]
        async with attempting():
            missing = await knowledge_sweeps.missing(self.db, job, stream, CHECKED_BY_ID)
            gone = await self._gone(job, stream, missing.first_time) if missing.first_time else []
            swept = await knowledge_sweeps.sweep(self.db, job, stream, gone, compare=missing.any)
            metrics.DOCUMENTS.labels(job.provider, "deleted").inc(swept.deleted)
            await hand_over(self.db, self.calls.client, self.settings, job.account_id)
            return await knowledge.counts(self.db, job)

    async def _gone(self, job: KnowledgeJob, stream: str, suspects: list[str]) -> list[str]:
        """Those of `suspects` that the provider says are gone; asking stops at the first trouble."""
        gone = []
        with contextlib.suppress(SupportlyError):
            async with self.calls.open(job.account_id, job.provider, "knowledge") as opened:
                provider = _streaming(opened.provider)
                for external_id in suspects:
                    if await provider.is_gone(opened.call, stream, external_id):
                        gone.append(external_id)  # noqa: PERF401 (what was found before the trouble stays)
        return gone

    @activity.defn(name="knowledge_index")
    async def index(self, job: KnowledgeJob) -> int:
        """Bring a large account's own index up to date; answers how many vectors joined it."""
        async with attempting():
            model = await knowledge_models.instant(self.db, self.embedder.model, self.embedder.dimensions)
            await knowledge_words.settle(self.db, job.account_id)
            await knowledge_words.count_common(self.db, job.account_id)
            joined = await knowledge_index.bring_up_to_date(self.db, job.account_id, model, self._embed)
            await knowledge_recall.calibrate(self.db, job.account_id, model, self._embed)
            return joined

    async def _embed(self, texts: Sequence[str]) -> Matrix:
        """Vectors of the instant tier, made beside the event loop."""
        return await asyncio.to_thread(self.embedder.embed, texts)

    @activity.defn(name="knowledge_finish")
    async def finish(self, job: KnowledgeJob, state: RunState) -> KnowledgeReport:
        """Close the run and answer how it ended."""
        async with attempting():
            held = await knowledge.finish_run(self.db, job, state)
            counts = await knowledge.counts(self.db, job)
            unrefined = await self._unrefined(job.account_id)
            await hand_over(self.db, self.calls.client, self.settings, job.account_id)
        return KnowledgeReport(
            run_id=job.run_id,
            state=state,
            counts=counts,
            failed_streams=job.failed_streams,
            held_deletes=held,
            unrefined=unrefined,
        )

    async def _unrefined(self, account_id: int) -> int:
        """Chunks that the refined tier has still to read: all of them while it has no model yet."""
        if self.settings.refined_model == "off":
            return 0
        model = await knowledge_models.serving(self.db)
        return await knowledge_refining.count(self.db, account_id, model.id if model else 0)


def _streaming(provider: Provider) -> StreamsKnowledge:
    if not isinstance(provider, StreamsKnowledge):
        raise UnsupportedByProvider(f"{provider.title} offers no knowledge.")
    return provider
