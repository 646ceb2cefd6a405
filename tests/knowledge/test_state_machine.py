"""Thousands of lives of a provider, each synced as the workflow does it, and the store compared with a plain model.

Records come, change, move, fail, hide and vanish; attempts are cut off, come late or are overtaken by a newer run;
streams go off and on; administrators decide. After every step that stores, the documents, their chunks in order, their
vectors, the failures, the held deletions and the counts are what `ledger.Ledger` says.
"""

import asyncio
import contextlib
import hashlib
import itertools
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvloop
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.calls import Calls
from activities.knowledge import KnowledgeActivities
from bench import source
from supportly.contracts.knowledge import KnowledgeJob, Stretch
from supportly.crypto import KeyRing, Vault
from supportly.errors import Conflict, NotFound, ProviderFailure
from supportly.http import Outbound, Unlimited
from supportly.knowledge import embed, split
from supportly.settings import Settings
from supportly.storage import knowledge, knowledge_models, knowledge_status, knowledge_sweeps, provider_settings, search
from supportly.storage.database import Database
from supportly.storage.knowledge import document_id
from tests.knowledge.ledger import Ledger, Refused, Run, StreamState
from tests.knowledge.world import TOO_LONG, Record, World, WorldProvider

WHOLE = os.environ.get("SUPPORTLY_PROOFS") == "whole"
SEQUENCES = int(os.environ.get("SUPPORTLY_SEQUENCES", "0")) or (2000 if WHOLE else 200)
"""Lives, of half a second each."""
PARTS = 4
"""Tests that share them, each with a seed of its own, so that none of them takes minutes in `make test`."""
SEED = int(os.environ.get("SUPPORTLY_SEED", "20261125"))
CAPABLE = {s.id: (s.incremental, s.complete) for s in WorldProvider.streams}
STREAMS = tuple(CAPABLE)
_accounts = itertools.count(2_000_000)


# --- what can happen -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """Something happens at the provider. `pick` chooses records, `n` how many or which variant."""

    kind: str
    pick: int = 0
    n: int = 0


@dataclass(frozen=True)
class Event:
    """Something happens to an attempt while its page number `at` is on its way."""

    kind: str
    at: int
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Sync:
    """A run. One event for each attempt in turn; `abandoned` runs end without a word, as when a worker's host dies."""

    trigger: str
    events: tuple[Event, ...] = ()
    twice: bool = False
    abandoned: bool = False


@dataclass(frozen=True)
class Other:
    """What people do besides: `confirm`, `reject`, `undo`, `switch`, `reconnect`, `day`."""

    kind: str
    n: int = 0


CHANGES = (
    *("create", "create", "create", "edit", "edit", "edit", "rename", "url", "audience", "delete", "delete", "delete"),
    *(
        "signal",
        "signal",
        "by_id",
        "clear",
        "move",
        "hide",
        "off",
        "show",
        "break",
        "break",
        "long",
        "heal",
        "late",
        "too_late",
    ),
    *("tick", "tick", "unborn", "unborn"),
)
changes = st.builds(Change, st.sampled_from(CHANGES), st.integers(0, 30), st.integers(0, 11))
events = st.builds(
    Event,
    st.sampled_from(
        ("crash", "cut", "change", "change", "late", "twin", "overtaken", "resumed", "refused", "hiccup", "gone")
    ),
    st.integers(0, 4),
    st.lists(changes, max_size=3).map(tuple),
)
syncs = st.builds(
    Sync,
    st.sampled_from(("manual", "manual", "schedule", "schedule", "toggle")),
    st.one_of(st.just(()), st.lists(events, min_size=1, max_size=3).map(tuple)),
    st.booleans(),
    st.sampled_from((False,) * 9 + (True,)),
)
others = st.builds(
    Other,
    st.sampled_from(("confirm", "confirm", "reject", "undo", "undo", "switch", "reconnect", "day", "stale")),
    st.integers(0, 6),
)
quiet = st.sampled_from(("manual", "schedule", "manual")).map(Sync)
many = st.builds(Change, st.just("create"), st.integers(0, 30), st.integers(5, 11))
vanishing = st.builds(Change, st.sampled_from(("delete", "hide", "by_id")), st.integers(0, 30), st.integers(0, 11))
decisions = st.builds(Other, st.sampled_from(("confirm", "confirm", "reject", "undo")), st.integers(0, 6))
# A scene is a few steps that belong together: deletions show after two walks only, and what is held is decided later.
scenes = st.one_of(
    st.lists(changes, min_size=1, max_size=4),
    st.tuples(changes, syncs),
    st.tuples(syncs),
    st.tuples(others),
    st.tuples(many, quiet, vanishing, syncs, quiet, decisions),
    st.tuples(vanishing, quiet, changes, syncs, decisions, changes, syncs, decisions),
)
lives = st.lists(scenes, min_size=2, max_size=4).map(lambda found: [step for scene in found for step in scene])


# --- how it is run ---------------------------------------------------------------------------------------------------


class HashEmbedder:
    """A vector for each text that no other text has: cheap, and wrong places show."""

    model, dimensions = "hash/1", 256

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def embed(self, texts: Any) -> Any:
        return np.array([self._of(text) for text in texts], np.float32).reshape(len(texts), self.dimensions)

    def _of(self, text: str) -> Any:
        if text not in self._known:
            number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            found = np.random.default_rng(number).standard_normal(self.dimensions).astype(np.float32)
            self._known[text] = found / np.linalg.norm(found)
        return self._known[text]


@dataclass
class House:
    """One database and one embedder for all lives."""

    db: Database
    vault: Vault = field(default_factory=lambda: Vault(KeyRing(Settings().keys.get_secret_value())))
    embedder: HashEmbedder = field(default_factory=HashEmbedder)
    steps: Counter[str] = field(default_factory=Counter)
    lives: int = 0


AGAIN = "again"
"""An attempt that is over and accounted for; the next one goes on."""


class Gate:
    """Stops the `at`-th page that an attempt is answered."""

    def __init__(self, world: World, at: int) -> None:
        self.left = at
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.error: Exception | None = None
        self.cursor: str | None = None
        world.before_answer = self

    async def __call__(self, stream: str, cursor: str | None) -> None:
        self.left -= 1
        if self.left == -1:
            self.cursor = cursor
            self.reached.set()
            await self.opened.wait()
            if self.error:
                raise self.error


class Life:
    """One account, its provider, what is stored of it, and what should be."""

    def __init__(self, house: House) -> None:
        self.house, self.db = house, house.db
        self.account_id = next(_accounts)
        self.world, self.ledger = World(), Ledger(CAPABLE)
        self.neighbour = World()
        self.on = [s.id for s in WorldProvider.streams if s.default]
        self.generation = 1
        self.names = itertools.count()
        self.texts = itertools.count(100)
        self.old_jobs: list[KnowledgeJob] = []
        providers = {"world": WorldProvider(self.world), "other": WorldProvider(self.neighbour)}
        calls = Calls(
            db=self.db,
            vault=house.vault,
            outbound=Outbound(timeout_s=2, max_bytes=1000),
            budget=Unlimited(),
            client=None,
            provider=providers.__getitem__,
        )
        self.does = KnowledgeActivities(calls, Settings(), house.embedder)

    async def do(self, activity: Any, *args: Any) -> Any:
        return await ActivityEnvironment().run(activity, *args)

    async def rows(self, sql: str, provider: str = "world", account_id: int | None = None) -> list[Any]:
        account_id = account_id or self.account_id
        async with self.db.tenant(account_id) as c:
            return list((await c.exec_driver_sql(sql, {"a": account_id, "p": provider})).all())

    async def play(self, steps: list[Any]) -> None:
        """Live through `steps`, then two quiet syncs, after which nothing may be left to do."""
        for name in ("world", "other"):
            await source.connect(self.db, self.house.vault, self.account_id, name)
        self.neighbour.records = {
            ("articles", f"n{i}"): Record("articles", f"n{i}", (i, i + 1), updated=1) for i in range(4)
        }
        await self._plain_sync("other")
        before = await self.everything_of("other")
        for one in steps:
            self.house.steps[one.kind if not isinstance(one, Sync) else f"sync {one.trigger}"] += 1
            match one:
                case Change():
                    self.change(one)
                case Sync():
                    await self.sync(one)
                case Other():
                    await self.other(one)
        for _ in range(2):
            await self.sync(Sync("manual"))
        self.converged()
        assert await self.everything_of("other") == before

    async def _plain_sync(self, provider: str) -> None:
        job = KnowledgeJob(account_id=self.account_id, provider=provider, run_id=str(uuid.uuid4()))
        job = await self.do(self.does.open, job)
        while job.streams:
            await self.do(self.does.ingest, job)
            job = job.after(Stretch(counts=await self.do(self.does.sweep, job), stream_done=True))
        await self.do(self.does.finish, job, "succeeded")

    async def everything_of(self, provider: str) -> list[Any]:
        """Rows of another provider of the same account, whole."""
        tables = ("documents", "chunks", "knowledge_streams", "sync_runs", "sync_failures", "held_deletions")
        every = " union all ".join(
            f"select '{t}', to_jsonb(t)::text from {t} t where account_id = %(a)s and provider = %(p)s" for t in tables
        )
        return sorted(tuple(row) for row in await self.rows(every, provider))

    # --- at the provider ----------------------------------------------------------------------------------------------

    def change(self, change: Change) -> None:
        world = self.world
        if change.kind in ("create", "unborn"):
            for _ in range(1 + (change.n if change.kind == "create" else 0)):
                stream = STREAMS[(change.pick % 7) // 3]
                # An id that sorts somewhere: new records come in front of known ones too.
                number = next(self.names)
                name = f"{(number * 7 + change.pick) % 10}-{number}"
                # Unborn: it fails from the beginning, so that nothing is stored of it.
                broken = "It has no text yet." if change.kind == "unborn" else ""
                made = Record(stream, name, (number % 5, number % 3), world.now, broken=broken)
                world.records[stream, name] = made
            return
        if change.kind == "tick":
            world.now += change.n
            return
        if change.kind == "clear":
            world.signals.clear()
            return
        if not world.records:
            return
        keys = list(world.records)
        many = 1 + change.n if change.kind in ("delete", "signal", "by_id", "hide") else 1
        for turn in range(many):
            key = keys[(change.pick + turn) % len(keys)]
            if key in world.records:
                self._change_one(change, key, world.records[key])

    def _change_one(self, change: Change, key: tuple[str, str], record: Record) -> None:  # noqa: C901, PLR0912 (a table)
        world, number = self.world, next(self.texts)
        match change.kind:
            case "delete" | "signal" | "by_id":
                del world.records[key]
                if change.kind == "signal":
                    world.signals[key] = world.now
                if change.kind == "by_id":
                    world.tells_by_id.add(key)
                return
            case "move":
                del world.records[key]
                if change.n % 2:
                    world.signals[key] = world.now
                record.stream = STREAMS[(STREAMS.index(record.stream) + 1 + change.n % 2) % 3]
                world.records[record.stream, record.id] = record
            case "edit" | "late" | "too_late":
                middle = change.n % (len(record.sections) + 1)
                if change.n % 4 == 3:
                    record.sections = tuple(reversed(record.sections))
                elif change.n % 4 == 2:
                    record.sections = record.sections[1:]
                else:
                    record.sections = (*record.sections[:middle], number % 8, *record.sections[middle:])
            case "rename":
                record.title = number
            case "url":
                record.url = number
            case "audience":
                record.audience = "internal" if record.audience == "public" else "public"
            case "hide":
                record.seen = "no"
            case "off":
                record.seen = "off"
            case "show":
                record.seen = "yes"
            case "break":
                record.broken = f"It has no text ({change.n % 2})."
            case "long":
                record.broken = "long"
            case "heal":
                record.broken = ""
        # Late: visible now, with the time of a while ago; as far back as a walk looks, or farther.
        record.updated = world.now - {"late": change.n % 5, "too_late": 6 + change.n}.get(change.kind, 0)

    # --- a run --------------------------------------------------------------------------------------------------------

    async def sync(self, sync: Sync) -> None:
        """A run as the workflow drives it, with what happens to its attempts."""
        run_id = str(uuid.uuid4())
        job = KnowledgeJob(account_id=self.account_id, provider="world", run_id=run_id, trigger=sync.trigger)
        job = await self.do(self.does.open, job)
        run = self.ledger.begin(run_id, sync.trigger, self.on)
        assert job.streams == self.on
        if sync.twice:
            assert await self.do(self.does.open, job) == job
        walks = await self.rows(
            "select stream, since, cursor, complete from knowledge_streams "
            "where account_id = %(a)s and provider = %(p)s"
        )
        assert {tuple(row) for row in walks} == {
            (name, w.since, w.cursor, w.complete) for name, w in self.ledger.streams.items()
        }
        happening = list(sync.events)
        opened = job
        while job.streams:
            stretch = await self.attempt(job, run, happening)
            if stretch == "overtaken":
                self.old_jobs.append(opened)
                return
            if stretch is None or stretch == AGAIN:
                continue
            if sync.abandoned:
                self.old_jobs.append(opened)
                return
            job = job.after(await self.swept(job, run, stretch, twice=sync.twice))
        failed = bool(job.failed_streams or job.counts.failed)
        assert failed or not run.counts["failed"]
        state = "partial" if failed else "succeeded"
        report = await self.do(self.does.finish, job, state)
        self.ledger.finish(run, state)
        assert report.counts.model_dump() == run.counts
        self.old_jobs.append(opened)
        await self.compare()
        if not sync.events and sync.trigger != "schedule":
            self.quiet()

    async def swept(self, job: KnowledgeJob, run: Run, stretch: Stretch, *, twice: bool = False) -> Stretch:
        if stretch.stream_done:
            stretch.counts = await self.do(self.does.sweep, job)
            self.ledger.sweep(run, job.streams[0], self._gone)
            if twice:
                assert await self.do(self.does.sweep, job) == stretch.counts
        elif stretch.stream_error:
            self.ledger.give_up(job.streams[0])
        return stretch

    def _gone(self, key: tuple[str, str]) -> bool:
        record = self.world.records.get(key)
        return key in self.world.tells_by_id and (record is None or record.seen != "yes")

    async def attempt(self, job: KnowledgeJob, run: Run, happening: list[Event]) -> Any:
        """One ingest; None when it was cut off and has to be tried again."""
        event = happening.pop(0) if happening else None
        stream, first = job.streams[0], len(self.world.served)
        self.world.before_answer = None
        gate = Gate(self.world, event.at) if event and event.kind != "cut" else None
        working = asyncio.create_task(self.do(self.does.ingest, job))
        if event and event.kind == "cut":
            await asyncio.sleep(event.at * 0.0015)
            working.cancel()
        elif gate:
            reaching = asyncio.create_task(gate.reached.wait())
            await asyncio.wait({working, reaching}, return_when=asyncio.FIRST_COMPLETED)
            reaching.cancel()
            self.world.before_answer = None
            if gate.reached.is_set():
                self.house.steps[f"event {event.kind}"] += 1
                ended = await self._happens(event, gate, working, job, run, first)
                if ended is not None:
                    return ended
        try:
            stretch = await working
        except asyncio.CancelledError:
            stretch = None
        except ApplicationError as error:
            if error.non_retryable:
                raise
            stretch = None
        if stretch is not None and stretch.stream_error:
            assert gate is not None
            # What was read before the refusal is stored, though the stream's next walk begins at its first page.
            self._stored(run, stream, first, lambda mine: mine.cursor != gate.cursor)
        else:
            await self.account(job, run, stream, first)
        return stretch

    async def _happens(
        self, event: Event, gate: Gate, working: asyncio.Task[Any], job: KnowledgeJob, run: Run, first: int
    ) -> Any:
        """What happens while a page is on its way; None lets the attempt go on."""
        stream = job.streams[0]
        match event.kind:
            case "crash":
                working.cancel()
                return None
            case "change":
                for change in event.changes:
                    self.change(change)
            case "hiccup":
                gate.error = ProviderFailure("bad gateway", transient=True)
            case "refused":
                gate.error = ProviderFailure("forbidden", provider_status=403)
            case "twin":
                return await self._twin(gate, working, job, run, first)
            case "late" | "overtaken" | "resumed" | "gone":
                await self._settled(job, stream, gate.cursor)
                await self.account(job, run, stream, first)
                for change in event.changes:
                    self.change(change)
                result = await self._meanwhile(event.kind, job, run)
                gate.opened.set()
                with pytest.raises(ApplicationError) as refused:
                    await working
                assert refused.value.type == "sync_superseded"
                await self.compare()
                return result
        gate.opened.set()
        return None

    async def _twin(self, gate: Gate, working: asyncio.Task[Any], job: KnowledgeJob, run: Run, first: int) -> Any:
        """A second attempt of the same run stores the page that the first one hangs at, and is still walking."""
        stream = job.streams[0]
        await self._settled(job, stream, gate.cursor)
        ahead = Gate(self.world, 1)
        second = asyncio.create_task(self.do(self.does.ingest, job))
        reaching = asyncio.create_task(ahead.reached.wait())
        await asyncio.wait({second, reaching}, return_when=asyncio.FIRST_COMPLETED)
        reaching.cancel()
        self.world.before_answer = None
        if ahead.reached.is_set():
            await self._settled(job, stream, ahead.cursor)
        walk = await knowledge.read_walk(self.db, job, stream)
        overtaken = walk.state != "walking" or walk.cursor != gate.cursor
        gate.opened.set()
        [late] = await asyncio.gather(working, return_exceptions=True)
        if overtaken:
            assert isinstance(late, ApplicationError)
            assert late.type == "sync_superseded"
            assert await knowledge.read_walk(self.db, job, stream) == walk
        ahead.opened.set()
        [stretch] = await asyncio.gather(second, return_exceptions=True)
        await self.account(job, run, stream, first)
        if overtaken and isinstance(stretch, BaseException):
            raise stretch
        # Where pages are stored in batches either of the two may win; the run goes on from where it stands.
        return stretch if isinstance(stretch, Stretch) and stretch.stream_done else AGAIN

    async def _meanwhile(self, kind: str, job: KnowledgeJob, run: Run) -> Any:
        """While an attempt hangs: another attempt of its run, a newer run, or another connection."""
        if kind == "late":
            while not isinstance(stretch := await self.attempt(job, run, []), Stretch) or not stretch.stream_done:
                pass
            return stretch
        if kind == "gone":
            await self.other(Other("reconnect"))
        else:
            await self.sync(Sync("schedule" if kind == "resumed" else "manual"))
            await self.stale(job)
        return "overtaken"

    async def _settled(self, job: KnowledgeJob, stream: str, cursor: str | None) -> None:
        """Until the pages before the one that hangs are stored, or no more of them are on their way."""
        for _ in range(10):
            if (await knowledge.read_walk(self.db, job, stream)).cursor == cursor:
                return
            await asyncio.sleep(0.005)

    async def account(self, job: KnowledgeJob, run: Run, stream: str, first: int) -> None:
        """Tell the ledger which of the pages served since `first` were stored."""
        walk = await knowledge.read_walk(self.db, job, stream)
        self._stored(run, stream, first, lambda mine: walk.state != "walking" or mine.cursor != walk.cursor)
        mine = self.ledger.streams[stream]
        assert (mine.state, mine.cursor) == (walk.state, walk.cursor)

    def _stored(self, run: Run, stream: str, first: int, more: Callable[[StreamState], bool]) -> None:
        mine = self.ledger.streams[stream]
        pages = {s.cursor: s for s in self.world.served[first:] if s.stream == stream}
        while mine.state == "walking" and more(mine):
            assert pages[mine.cursor].since == mine.since
            self.ledger.page(run, stream, pages[mine.cursor].page)

    async def stale(self, job: KnowledgeJob) -> None:
        """Attempts of a run that is not the newest any more: they change nothing."""
        for activity in (self.does.ingest, self.does.sweep):
            with pytest.raises(ApplicationError) as refused:
                await self.do(activity, job)
            assert refused.value.type == "sync_superseded"
        await self.do(self.does.finish, job, "succeeded")
        await self.compare()

    # --- what people do -----------------------------------------------------------------------------------------------

    async def other(self, other: Other) -> None:
        match other.kind:
            case "confirm" | "reject" | "undo":
                await self._decide(other)
            case "switch":
                self.on = [s for n, s in enumerate(STREAMS) if (other.n + 1) >> n & 1]
                await provider_settings.merge(self.db, self.account_id, "world", lambda _: {"streams": self.on})
            case "reconnect":
                self.generation += 1
                await self.rows(
                    f"update connections set generation = {self.generation} "
                    "where account_id = %(a)s and provider = %(p)s returning 1"
                )
                await knowledge_sweeps.purge(self.db, self.account_id, "world")
                self.ledger.purge()
                await self.compare()
            case "day":
                await self._day_passes()
            case "stale":
                # An attempt of any older run that wakes up now.
                newest = self.ledger.runs[-1].id if self.ledger.runs else ""
                jobs = [j for j in self.old_jobs if j.run_id != newest and j.streams]
                if jobs:
                    await self.stale(jobs[other.n % len(jobs)])

    async def _decide(self, other: Other) -> None:
        ids = list(dict.fromkeys(h.run_id for h in self.ledger.holds))
        run_id = ids[other.n % len(ids)] if ids else str(uuid.uuid4())
        decide = getattr(knowledge_sweeps, other.kind)
        try:
            expected = self.ledger.decide(other.kind, run_id)
        except Refused:
            with pytest.raises((Conflict, NotFound)):
                await decide(self.db, self.account_id, "world", run_id)
        else:
            assert await decide(self.db, self.account_id, "world", run_id) == expected
            self.house.steps[f"decided {other.kind}"] += 1
            await self.compare()

    async def _day_passes(self) -> None:
        for table, column in (
            ("documents", "deleted_at"),
            ("held_deletions", "decided_at"),
            ("knowledge_streams", "full_walk_at"),
        ):
            await self.rows(
                f"update {table} set {column} = {column} - interval '25 hours' "
                "where account_id = %(a)s and provider = %(p)s returning 1"
            )
        self.ledger.day_passes()

    # --- what has to be true ------------------------------------------------------------------------------------------

    async def compare(self) -> None:
        """Everything that is stored, against the ledger."""
        stored = await self.rows(
            "select stream, external_id, title, url, audience, updated_at, deleted_at is not null, document_id "
            "from documents where account_id = %(a)s and provider = %(p)s"
        )
        assert {tuple(row[:7]) for row in stored} == {
            (*key, d.document.title, d.document.url, d.document.audience, d.updated, d.dead)
            for key, d in self.ledger.documents.items()
        }
        assert len(stored) == len(self.ledger.documents)
        ids = {k: document_id(self.account_id, "world", *k) for k in self.ledger.documents}
        assert {row[7] for row in stored} == set(ids.values())
        alive = {ids[k]: d for k, d in self.ledger.documents.items() if not d.dead}
        await self._compare_chunks(alive, {ids[k] for k, d in self.ledger.documents.items() if d.dead})
        await self._compare_status(alive)

    async def _compare_chunks(self, alive: dict[uuid.UUID, Any], dead: set[uuid.UUID]) -> None:
        found: dict[uuid.UUID, list[tuple[str, str]]] = {}
        places: dict[uuid.UUID, list[int]] = {}
        for row in await self.rows(
            "select document_id, position, heading, body from chunks where account_id = %(a)s and provider = %(p)s "
            "order by document_id, position"
        ):
            found.setdefault(row[0], []).append((row[2], row[3]))
            places.setdefault(row[0], []).append(row[1])
        assert {k: v for k, v in found.items() if k not in dead} == {k: list(d.chunks) for k, d in alive.items()}
        assert found.keys() == alive.keys() | dead
        assert all(of == list(range(len(of))) for of in places.values())
        # Every chunk is found by its own vector, and by no other: what a question meets is title and text, half each.
        embedder = self.house.embedder
        asked = embedder.embed(["any question"])[0]
        model = await knowledge_models.instant(self.db, embedder.model, embedder.dimensions)
        read = search.Asked(model, asked.tolist())
        met = await search.candidates(self.db, search.Sought(self.account_id, "zzz", read, provider="world", pool=3000))
        expected = {
            (str(key), *chunk): (d.document.title, split.Chunk(d.document.title, *chunk).text)
            for key, d in alive.items()
            for chunk in d.chunks
        }
        assert Counter((c.document_id, c.heading, c.body) for c in met) == Counter(expected.keys())
        if expected:
            vectors = embed.titled(embedder, *(list(x) for x in zip(*expected.values(), strict=True)))
            wanted = dict(zip(expected, (vectors @ asked).tolist(), strict=True))
            wrong = [c for c in met if abs(c.instant - wanted[c.document_id, c.heading, c.body]) > 2e-3]
            assert not wrong

    async def _compare_status(self, alive: dict[uuid.UUID, Any]) -> None:
        status = (await knowledge_status.read(self.db, self.account_id)).get("world", knowledge_status.Knowledge())
        assert (status.documents, status.chunks) == (len(alive), sum(len(d.chunks) for d in alive.values()))
        assert {(f["stream"], f["external_id"], f["reason"]) for f in status.failures} == {
            (*key, f.reason) for key, f in self.ledger.failures.items()
        }
        assert status.failures_total == len(self.ledger.failures)
        assert {(h["run_id"], h["stream"], h["documents"], h["of_total"]) for h in status.held} == {
            (h.run_id, h.stream, len(h.ids), h.total) for h in self.ledger.holds if h.status == "held"
        }
        assert (status.run is None) == (not self.ledger.runs)
        if status.run:
            run, counts = self.ledger.runs[-1], status.run.counts
            assert (status.run.run_id, status.run.state, status.run.trigger) == (run.id, run.state, run.trigger)
            assert counts.model_dump() == run.counts
            assert counts.seen == counts.added + counts.changed + counts.unchanged + counts.failed

    def quiet(self) -> None:
        """After an undisturbed run over everything: whatever the provider shows is stored as it is there."""
        for key, record in self.world.records.items():
            if record.seen == "yes" and record.stream in self.on:
                stored = self.ledger.documents.get(key)
                if record.broken:
                    assert key in self.ledger.failures
                else:
                    assert stored
                    assert not stored.dead
                    shown = record.document()
                    assert stored.document.model_copy(update={"updated_at": stored.updated}) == shown

    def converged(self) -> None:
        """After two of them, nothing is stored that the provider does not show, unless a person has a say in it."""
        held = {key for h in self.ledger.holds if h.status == "held" for key in h.ids}
        for key, stored in self.ledger.documents.items():
            record = self.world.records.get(key)
            if key[0] != "deals" and not (record and record.seen == "yes"):
                assert stored.dead or stored.kept or key in held


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_store_equals_the_model(postgres, monkeypatch, capsys, part):
    monkeypatch.setattr("supportly.knowledge.text.LONGEST_BODY", TOO_LONG)
    began = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        # Not every commit has to reach the disk here: nobody pulls the plug.
        separator = "&" if "?" in postgres.url else "?"
        house = House(Database(f"{postgres.url}{separator}options=-csynchronous_commit%3Doff"))

        @seed(SEED + part)
        @settings(
            max_examples=max(1, SEQUENCES // PARTS),
            deadline=None,
            database=None,
            # Making a failure smaller takes minutes; it is printed as it was found.
            phases=(Phase.explicit, Phase.generate, *([Phase.shrink] if os.environ.get("SUPPORTLY_SHRINK") else [])),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        @given(lives)
        @example([Change("create", 0, 11), Sync("manual", (Event("twin", 1), Event("twin", 0)))])
        @example([Change("create", 0, 11), Sync("manual", (Event("crash", 2), Event("resumed", 1)))])
        def every_life(steps: list[Any]) -> None:
            house.lives += 1
            runner.run(Life(house).play(steps))

        try:
            every_life()
        finally:
            with contextlib.suppress(RuntimeError):
                runner.run(house.db.close())
            with capsys.disabled():
                taken, steps = time.monotonic() - began, dict(sorted(house.steps.items()))
                print(f"\n  {house.lives} lives (seed {SEED + part}) in {taken:.0f} s: {steps}")  # noqa: T201 (a figure)
