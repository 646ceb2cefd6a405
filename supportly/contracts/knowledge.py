"""Knowledge: documents, pages of a stream, and the course of a sync."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

Audience = Literal["public", "internal"]
RunState = Literal["running", "succeeded", "partial", "failed", "canceled"]


class Document(BaseModel):
    """One document of a provider's stream. `body` is Markdown; HTML is turned into it before it gets here."""

    stream: str
    external_id: str
    title: str
    body: str
    url: str | None = None
    locale: str | None = None
    updated_at: datetime | None = None
    audience: Audience = "public"
    metadata: dict[str, Any] = Field(default_factory=dict)


class RecordFailure(BaseModel):
    """A record that could not become a document, and why (a sentence without personal data)."""

    external_id: str
    reason: str


class StreamPage(BaseModel):
    """One page of a stream.

    `next` is the opaque cursor of the following page, None at the end of the walk. `checkpoint` is where the next
    incremental walk starts; it is stored when the walk ends. `deleted` are ids that the provider itself reports gone.
    """

    documents: list[Document] = Field(default_factory=list)
    failures: list[RecordFailure] = Field(default_factory=list)
    deleted: list[str] = Field(default_factory=list)
    next: str | None = None
    checkpoint: str | None = None


class Counts(BaseModel):
    """What a run did; `seen = added + changed + unchanged + failed` always holds."""

    seen: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0
    chunks_embedded: int = 0
    chunks_reused: int = 0

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = self.model_dump(), other.model_dump()
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


class KnowledgeJob(BaseModel):
    """One run of a knowledge sync. `run_id` is empty until the run is open."""

    account_id: int
    provider: str
    run_id: str = ""
    epoch: int = 0
    generation: int = 0
    full: bool = True
    """True for a walk over everything, which may also find deletions; False from the last checkpoint on."""
    trigger: Literal["manual", "schedule", "toggle"] = "manual"
    streams: list[str] = Field(default_factory=list)
    """Streams that are still to be walked, in order."""
    counts: Counts = Field(default_factory=Counts)
    failed_streams: dict[str, str] = Field(default_factory=dict)

    def after(self, stretch: Stretch) -> KnowledgeJob:
        """The job with a stretch behind it: a stream that ended or was given up is no longer to be walked."""
        failed = {self.streams[0]: stretch.stream_error} if stretch.stream_error else {}
        over = stretch.stream_done or bool(failed)
        return self.model_copy(
            update={
                "counts": stretch.counts,
                "streams": self.streams[1:] if over else self.streams,
                "failed_streams": self.failed_streams | failed,
            }
        )


class Stretch(BaseModel):
    """Where a run stands after one activity's minute."""

    counts: Counts = Field(default_factory=Counts)
    """What the whole run has done so far: the database counts with each page, so that a crash loses nothing."""
    pages: int = 0
    """Pages that the run's walks have behind them: what moves even where a page holds no record."""
    stream_done: bool = False
    wait_s: float = 0
    """Seconds that the provider wants us to wait before the next page."""
    stream_error: str = ""
    """Why the stream was given up in this run; empty while it goes well."""


class Sample(BaseModel):
    """What a comparison with the provider found: `equal` of `sampled` documents are stored as they are there."""

    equal: int = 0
    sampled: int = 0


class KnowledgeReport(BaseModel):
    """How a run ended, or where it stands."""

    run_id: str = ""
    state: RunState = "running"
    counts: Counts = Field(default_factory=Counts)
    failed_streams: dict[str, str] = Field(default_factory=dict)
    held_deletes: int = 0
    unrefined: int = 0
    """Chunks of the account that the refined tier has still to read."""


class RefineJob(BaseModel):
    """The chunks of one account that wait for the refined tier; `done` is carried over continue-as-new."""

    account_id: int
    done: int = 0
    """Chunks that were read so far."""


class Refined(BaseModel):
    """What one stretch of refining did."""

    done: int = 0
    left: int = 0
    wait_s: float = 0
    """Seconds until it is worth going on: the endpoint asked for a pause, or no encoder can be had for now."""


class SwitchJob(BaseModel):
    """Another model for the refined tier. `model` is its number, 0 until it is noted."""

    spec: str
    model: int = 0


class SwitchProgress(BaseModel):
    """How far a switch is: the new one serves once every chunk has its vector."""

    model: int = 0
    name: str = ""
    state: Literal["building", "serving", "abandoned"] = "building"
    chunks: int = 0
    lacking: int = 0
    reason: str = ""
    """Why it does not get on, or was abandoned."""
