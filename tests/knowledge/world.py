"""A provider whose records change in every way that a provider's do, under a clock of whole ticks.

It follows the contract of `StreamsKnowledge` and knows nothing of what is stored of it.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from bench.source import MemoryProvider, Source
from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.provider import Stream

LOOK_BACK = 5
"""Ticks by which a record may become visible late: an incremental walk reads that much again."""
DAWN = datetime(2026, 1, 1, tzinfo=UTC)
TOO_LONG = 3_000
"""Characters from which the test lets a body be unreadable."""


@dataclass
class Record:
    """One record. `sections` are numbers of its paragraphs; a number that comes twice is a text that comes twice."""

    stream: str
    id: str
    sections: tuple[int, ...]
    updated: int
    title: int = 0
    url: int = 0
    audience: str = "public"
    seen: str = "yes"
    """`yes`; `no`: left out without a word; `off`: listed as deleted, like an archived or private record."""
    broken: str = ""
    """Why the provider cannot give it; `long`: it can, and nobody can read it."""

    @property
    def body(self) -> str:
        text = "\n\n".join(f"## Part {n}\n\nWhat part {n} says." for n in self.sections)
        return text + "x" * TOO_LONG if self.broken == "long" else text

    def document(self) -> Document:
        return Document(
            stream=self.stream,
            external_id=self.id,
            title=f"{self.id} v{self.title}",
            body=self.body,
            url=f"https://world.example/{self.stream}/{self.id}/{self.url}",
            updated_at=DAWN + timedelta(seconds=self.updated),
            audience=self.audience,
        )


@dataclass(frozen=True)
class Served:
    """A page that was given out."""

    stream: str
    since: str | None
    cursor: str | None
    page: StreamPage


@dataclass
class World:
    """All records, and what the provider can tell of those that are gone."""

    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    signals: dict[tuple[str, str], int] = field(default_factory=dict)
    """Deletions that the provider reports, and when they happened."""
    tells_by_id: set[tuple[str, str]] = field(default_factory=set)
    """Records of which it answers 404 once they are gone; of others it cannot tell."""
    now: int = 100
    page_size: int = 3
    served: list[Served] = field(default_factory=list)
    before_answer: Callable[[str, str | None], Awaitable[None]] | None = None

    def listed(self, stream: str, since: int | None) -> Iterator[Record]:
        for record in sorted((r for r in self.records.values() if r.stream == stream), key=lambda r: r.id):
            if record.seen != "no" and (since is None or record.updated >= since):
                yield record


class WorldProvider(MemoryProvider):
    """Pages by offset, oldest id first, so that pages shift when something goes or comes in front."""

    id, title = "world", "World"
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("articles", "Articles", "Changes and deletions can be asked for", default=True, incremental=True),
        Stream("products", "Products", "Only whole lists", default=True),
        Stream("deals", "Deals", "Lists that leave things out", incremental=True, complete=False),
    )

    def __init__(self, world: World) -> None:
        super().__init__(Source())
        self.world = world

    async def read_stream(self, call: Any, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        world = self.world
        offset, started = json.loads(cursor) if cursor else (0, world.now)
        floor = int(since) - LOOK_BACK if since else None
        listed = list(world.listed(stream, floor))
        here = listed[offset : offset + world.page_size]
        end = offset + world.page_size >= len(listed)
        page = StreamPage(
            next=None if end else json.dumps([offset + world.page_size, started]),
            # What changes while the walk goes on is met by the next one: the checkpoint is the walk's beginning.
            checkpoint=str(started),
        )
        for record in here:
            if record.seen == "off":
                page.deleted.append(record.id)
            elif record.broken and record.broken != "long":
                page.failures.append(RecordFailure(external_id=record.id, reason=record.broken))
            else:
                page.documents.append(record.document())
        if end:
            page.deleted += [
                key
                for (of, key), at in world.signals.items()
                if of == stream and (of, key) not in world.records and (floor is None or at >= floor)
            ]
        world.served.append(Served(stream, since, cursor, page))
        if world.before_answer:
            await world.before_answer(stream, cursor)
        return page

    async def is_gone(self, call: Any, stream: str, external_id: str) -> bool | None:
        if (stream, external_id) not in self.world.tells_by_id:
            return None
        record = self.world.records.get((stream, external_id))
        return record is None or record.seen != "yes"
