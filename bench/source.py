"""A provider that exists in memory only, and a connection to it: for benches and tests of knowledge."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.crypto import Binding, Vault
from supportly.oauth import OAuth2, Tokens
from supportly.provider import Call, Stream, StreamsKnowledge
from supportly.storage.database import Database
from supportly.storage.tables import connections


@dataclass
class Source:
    """What the provider holds. `before_page(stream, page)` may raise or wait, as a provider does."""

    documents: list[Document] = field(default_factory=list)
    page_size: int = 100
    broken: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    before_page: Callable[[str, int], Any] | None = None
    reads: list[tuple[str, str | None, str | None]] = field(default_factory=list)


class MemoryProvider(StreamsKnowledge):
    """Pages through a Source by offset."""

    id, title = "memory", "Memory"
    base = "https://memory.example/api"
    oauth = OAuth2(authorize="https://memory.example/authorize", token="https://memory.example/token")
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("articles", "Articles", "Help articles", default=True, incremental=True),
        Stream("products", "Products", "Products"),
    )

    def __init__(self, source: Source) -> None:
        self.source = source
        self._starts: dict[tuple[str, str | None, int, int], int] = {}

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page; an incremental walk sees what was updated since its checkpoint (an ISO time)."""
        source = self.source
        source.reads.append((stream, cursor, since))
        place = int(cursor or 0)
        if source.before_page:
            waiting = source.before_page(stream, place // source.page_size)
            if waiting is not None:
                await waiting
        page, end = self._page(stream, since, place)
        return StreamPage(
            documents=[d for d in page if d.external_id not in source.broken],
            failures=[
                RecordFailure(external_id=d.external_id, reason=source.broken[d.external_id])
                for d in page
                if d.external_id in source.broken
            ],
            deleted=source.deleted if end else [],
            next=None if end else str(place + source.page_size),
            checkpoint=datetime.now(UTC).isoformat() if end else None,
        )

    def _page(self, stream: str, since: str | None, place: int) -> tuple[list[Document], bool]:
        """The documents from the `place`-th on, and whether the list ends with them.

        Where a page ended is remembered for the walk while as many documents are there, so that it reads each once.
        """
        held, size = self.source.documents, self.source.page_size
        after = datetime.fromisoformat(since) if since else None
        if not place:
            self._starts = {key: start for key, start in self._starts.items() if key[0] != stream}
        start = self._starts.get((stream, since, place, len(held)))
        skip = place if start is None else 0
        page: list[Document] = []
        for number in range(start or 0, len(held)):
            document = held[number]
            if document.stream != stream or (after and not (document.updated_at and document.updated_at > after)):
                continue
            if skip:
                skip -= 1
            elif len(page) == size:
                self._starts[stream, since, place + size, len(held)] = number
                return page, False
            else:
                page.append(document)
        return page, True

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True for what the Source lists as gone."""
        return True if external_id in self.source.gone else None


async def connect(db: Database, vault: Vault, account_id: int, provider: str = "memory", generation: int = 1) -> None:
    """A connection that works, as the callback would have stored it."""
    connection_id = uuid.uuid4()
    tokens = Tokens(access_token="memory-token", refresh_token=None)
    async with db.tenant(account_id) as c:
        await c.execute(
            connections.insert().values(
                account_id=account_id,
                provider=provider,
                connection_id=connection_id,
                generation=generation,
                state="connected",
                tenant_key="memory",
                account_name="Memory",
                facts={},
                scopes=[],
                tokens=vault.seal(tokens.dump(), Binding(account_id, provider, str(connection_id), "tokens")),
                refreshable=False,
                token_version=1,
                connected_by="bench",
            )
        )


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory for servers, gone afterwards; its path is short, as Unix sockets need it."""
    with tempfile.TemporaryDirectory(prefix="spb-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def documents(records: Sequence[dict[str, Any]], stream: str = "articles") -> list[Document]:
    """Records `{id, title, text or body, url}` as documents."""
    return [
        Document(
            stream=stream,
            external_id=r["id"],
            title=r["title"],
            body=r.get("text") or r.get("body", ""),
            url=r.get("url"),
        )
        for r in records
    ]
