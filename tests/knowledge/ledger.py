"""What has to be stored, in plain Python: the rules of a sync as they are written down, without a database.

It is told which pages were stored, and says what documents, failures, held deletions and counts have to be there then.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from supportly.contracts.knowledge import Counts, Document, StreamPage
from supportly.knowledge import split, text
from tests.knowledge.world import TOO_LONG

Key = tuple[str, str]
Chunk = tuple[str, str]


def chunks_of(document: Document) -> tuple[Chunk, ...]:
    """Heading and body of each chunk, in order; a text that comes twice counts once."""
    pieces = split.split(text.one_line(document.title), text.markdown(document.body, {}))
    return tuple(dict.fromkeys((piece.heading, piece.body) for piece in pieces))


@dataclass
class Held:
    """A document as it is stored. `missed`: complete walks in a row that have not met it."""

    document: Document
    chunks: tuple[Chunk, ...]
    updated: datetime | None
    met: object
    missed: int = 0
    kept: bool = False
    dead: bool = False

    @property
    def content(self) -> tuple[Any, ...]:
        return _content(self.document)


def _content(document: Document) -> tuple[Any, ...]:
    return document.title, document.body, document.url, document.audience


@dataclass
class Failure:
    reason: str
    met: object


@dataclass
class Run:
    id: str
    trigger: str
    streams: list[str] = field(default_factory=list)
    state: str = "running"
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Counts.model_fields, 0))


@dataclass
class StreamState:
    owner: Run | None = None
    walk: object = None
    state: str = "new"
    full: bool = True
    complete: bool = True
    since: str | None = None
    cursor: str | None = None
    checkpoint: str | None = None
    overdue: bool = True


@dataclass
class Hold:
    run_id: str
    stream: str
    ids: list[Key]
    total: int
    status: str = "held"
    old: bool = False


class Refused(Exception):
    """The decision is not possible any more."""


class Ledger:
    """The model. `capable`: stream -> (incremental, complete)."""

    def __init__(self, capable: dict[str, tuple[bool, bool]]) -> None:
        self.capable = capable
        self.documents: dict[Key, Held] = {}
        self.failures: dict[Key, Failure] = {}
        self.streams: dict[str, StreamState] = {}
        self.holds: list[Hold] = []
        self.runs: list[Run] = []
        self.aged: set[Key] = set()

    # --- runs -------------------------------------------------------------------------------------------------------

    def begin(self, run_id: str, trigger: str, on: list[str]) -> Run:
        for before in self.runs:
            before.state = "failed" if before.state == "running" else before.state
        run = Run(run_id, trigger, list(on))
        self.runs.append(run)
        for key in [k for k in self.documents if k[0] not in on]:
            run.counts["deleted"] += not self.documents.pop(key).dead
        self.streams = {name: s for name, s in self.streams.items() if name in on}
        self.failures = {k: f for k, f in self.failures.items() if k[0] in on}
        self.holds = [h for h in self.holds if h.stream in on]
        # Tombstones and decisions of yesterday are final.
        for key in [k for k, d in self.documents.items() if d.dead and k in self.aged]:
            del self.documents[key]
        self.aged.clear()
        for hold in self.holds:
            if hold.status == "confirmed" and hold.old:
                hold.status = "final"
        for name in on:
            self._begin_walk(run, name)
        return run

    def _begin_walk(self, run: Run, name: str) -> None:
        stream = self.streams.setdefault(name, StreamState())
        incremental, complete = self.capable[name]
        scheduled = run.trigger == "schedule"
        stream.owner = run
        if scheduled and stream.state == "walking" and stream.cursor is not None:
            return  # it goes on where the last one stopped
        failing = any(key[0] == name for key in self.failures)
        stream.full = not (scheduled and incremental and stream.checkpoint and not stream.overdue and not failing)
        stream.complete = stream.full and complete
        stream.since = None if stream.full else stream.checkpoint
        stream.cursor, stream.state, stream.walk = None, "walking", object()

    def give_up(self, name: str) -> None:
        self.streams[name].cursor = None

    def finish(self, run: Run, state: str) -> None:
        run.state = state if run.state == "running" else run.state

    # --- pages ------------------------------------------------------------------------------------------------------

    def page(self, run: Run, name: str, page: StreamPage) -> None:
        stream = self.streams[name]
        assert stream.owner is run
        assert stream.state == "walking"
        stream.cursor = page.next
        if page.next is None:
            stream.state = "walked"
            stream.checkpoint = page.checkpoint or stream.checkpoint
        come = {d.external_id: d for d in page.documents}
        bad = {f.external_id: f.reason for f in page.failures}
        for key, document in come.items():
            if len(document.body) > TOO_LONG:
                bad[key] = f"The document is longer than {TOO_LONG} characters."
        counts = run.counts
        for key in page.deleted:
            self.failures.pop((name, key), None)
            if key not in come and key not in bad and (gone := self.documents.pop((name, key), None)):
                counts["deleted"] += not gone.dead
        for key, reason in bad.items():
            counts["failed"] += 1
            self.failures[name, key] = Failure(reason, stream.walk)
            if (old := self.documents.get((name, key))) and not old.dead:
                self._met(old, stream)
        for key, document in come.items():
            if key not in bad:
                self._store(counts, stream, (name, key), document)
        counts["seen"] += len(come.keys() | bad.keys())

    def _met(self, held: Held, stream: StreamState) -> None:
        held.met, held.missed, held.kept = stream.walk, 0, False

    def _store(self, counts: dict[str, int], stream: StreamState, key: Key, document: Document) -> None:
        self.failures.pop(key, None)
        old = self.documents.get(key)
        if old and not old.dead and old.content == _content(document):
            counts["unchanged"] += 1
            old.updated = document.updated_at or old.updated
            self._met(old, stream)
            return
        new = Held(document, chunks_of(document), document.updated_at, stream.walk)
        same_title = old is not None and old.document.title == document.title
        reused = len(set(new.chunks) & set(old.chunks)) if old and same_title else 0
        counts["chunks_reused"] += reused
        counts["chunks_embedded"] += len(new.chunks) - reused
        counts["changed" if old else "added"] += 1
        self.documents[key] = new
        self.aged.discard(key)

    # --- deletions ----------------------------------------------------------------------------------------------------

    def sweep(self, run: Run, name: str, is_gone: Any) -> None:
        """Missing in two complete walks in a row, or missing and gone by id, goes; too much of it is held."""
        stream = self.streams[name]
        assert stream.owner is run
        if stream.state != "walked":
            return
        stream.state = "swept"
        stream.overdue = stream.overdue and not stream.full
        going = self._missing(name, stream, is_gone) if stream.complete else []
        alive = sum(1 for key, d in self.documents.items() if key[0] == name and not d.dead)
        waiting = next((h for h in self.holds if h.stream == name and h.status == "held"), None)
        if going and (len(going) == alive or (len(going) > 5 and len(going) > 0.3 * alive)):
            if waiting:
                waiting.ids, waiting.total = going, alive
            else:
                self.holds.append(Hold(run.id, name, going, alive))
        else:
            for key in going:
                del self.documents[key]
                self.failures.pop(key, None)
            run.counts["deleted"] += len(going)
            if waiting:
                waiting.status = "void"
        if stream.complete:
            self._forget_unlisted(name, stream)

    def _missing(self, name: str, stream: StreamState, is_gone: Any) -> list[Key]:
        going = []
        for key, document in self.documents.items():
            if key[0] == name and not document.dead and not document.kept and document.met is not stream.walk:
                document.missed += 1
                if document.missed >= 2 or is_gone(key):
                    going.append(key)
        return going

    def _forget_unlisted(self, name: str, stream: StreamState) -> None:
        """A record that failed, is not stored and is not listed any more has nothing left to fail."""
        for key in [k for k, f in self.failures.items() if k[0] == name and f.met is not stream.walk]:
            if key not in self.documents or self.documents[key].dead:
                del self.failures[key]

    def decide(self, decision: str, run_id: str) -> int:
        was, to = {
            "confirm": ("held", "confirmed"),
            "reject": ("held", "rejected"),
            "undo": ("confirmed", "undone"),
        }[decision]
        holds = [h for h in self.holds if h.run_id == run_id and h.status == was and not (was == "confirmed" and h.old)]
        if not holds:
            raise Refused
        run = next(r for r in self.runs if r.id == run_id)
        count = 0
        for hold in holds:
            hold.status = to
            for key in hold.ids:
                document = self.documents.get(key)
                if document is None:
                    continue
                if decision == "confirm" and not document.dead and document.missed:
                    document.dead = True
                elif decision == "reject" and not document.dead and document.missed:
                    document.kept = True
                elif decision == "undo" and document.dead:
                    document.dead, document.kept = False, True
                    self.aged.discard(key)
                else:
                    continue
                count += 1
        if decision != "reject":
            run.counts["deleted"] = max(0, run.counts["deleted"] + (count if decision == "confirm" else -count))
        return count

    # --- time and connections -----------------------------------------------------------------------------------------

    def day_passes(self) -> None:
        self.aged |= {k for k, d in self.documents.items() if d.dead}
        for hold in self.holds:
            hold.old = hold.old or hold.status == "confirmed"
        for stream in self.streams.values():
            stream.overdue = True

    def purge(self) -> None:
        for content in (self.documents, self.failures, self.streams, self.holds, self.runs, self.aged):
            content.clear()
