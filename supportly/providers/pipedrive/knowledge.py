"""Pipedrive's knowledge: there are no articles; products, deals and organizations can be chosen.

A cursor is a `Position` as JSON, a checkpoint the moment (Pipedrive's clock) at which a walk started.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import UnknownChoice
from supportly.http import segment
from supportly.provider import Call, Stream, StreamsKnowledge, absent_as_none, timestamp
from supportly.providers.pipedrive import api
from supportly.providers.pipedrive.api import V2, Row, row_of, rows_of

PAGE: Final = 500
"""Most records of one page; a page costs the same tokens whatever its size."""
OVERLAP: Final = timedelta(minutes=2)
"""How far an incremental walk looks back: a record bears the time at which its request began, and lists may be read
from a copy that lags. Times are whole seconds."""


class Position(BaseModel):
    """Where a walk stands."""

    model_config = ConfigDict(frozen=True)
    cursor: str
    started: str
    since: str | None = None


class PipedriveKnowledge(StreamsKnowledge):
    """The streams. Nothing in a CRM is public, so none is on by default."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("products", "Products", "The product catalogue: names, descriptions, prices.", incremental=True),
        Stream("deals", "Deals", "Deals with their value and state; for agents only.", incremental=True),
        Stream("organizations", "Organizations", "Organizations and their addresses; for agents.", incremental=True),
    )

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page in the order of ids, so that a change while we walk moves nothing."""
        if stream not in _TEXTS:
            raise UnknownChoice("Pipedrive has no such stream.", field="streams", allowed=list(_TEXTS))
        at = Position.model_validate_json(cursor) if cursor else None
        floor = at.since if at else _floor(since)
        # Without `status` a list leaves deleted deals out; they are listed for thirty days.
        states = "open,won,lost,deleted" if stream == "deals" else None
        asked = {"limit": PAGE, "cursor": at.cursor if at else None, "updated_since": floor, "status": states}
        answer = await call.http.get(f"{V2}/{stream}", asked)
        body, started = answer.body(), at.started if at else answer.date.isoformat()
        page = StreamPage(checkpoint=started)
        for row in rows_of(body):
            _add(call, stream, row, page)
        if following := api.next_cursor(body, at.cursor if at else None):
            page.next = Position(cursor=following, started=started, since=floor).model_dump_json()
        return page

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True when Pipedrive does not know the id, or marks the record as deleted."""
        found = await absent_as_none(call.http.get(f"{V2}/{stream}/{segment(external_id)}"))
        return found is None or bool(row_of(found.body()).get("is_deleted"))


def _add(call: Call, stream: str, row: Row, page: StreamPage) -> None:
    key = str(row.get("id"))
    if row.get("is_deleted"):
        page.deleted.append(key)
        return
    title = row.get("name") or row.get("title")
    if not isinstance(title, str) or not title.strip():
        page.failures.append(RecordFailure(external_id=key, reason="It has no name."))
        return
    try:
        body = _TEXTS[stream](row)
    except (TypeError, ValueError, AttributeError) as wrong:
        page.failures.append(
            RecordFailure(external_id=key, reason=f"Its fields cannot be read ({type(wrong).__name__}).")
        )
        return
    page.documents.append(
        Document(
            stream=stream,
            external_id=key,
            title=title.strip(),
            body=body,
            url=api.page_url(call, {"products": "product", "deals": "deal"}.get(stream, "organization"), key),
            updated_at=timestamp(row.get("update_time") or row.get("add_time")),
            audience="internal",
        )
    )


def _product(row: Row) -> str:
    prices = [f"{p['price']} {p['currency']}" for p in row.get("prices") or [] if p.get("price") is not None]
    lines = [
        str(row.get("description") or ""),
        f"Code: {row['code']}" if row.get("code") else "",
        f"Category: {row['category']}" if row.get("category") else "",
        f"Price: {', '.join(prices)}" if prices else "",
        f"Unit: {row['unit']}" if row.get("unit") else "",
    ]
    return "\n\n".join(line for line in lines if line)


def _deal(row: Row) -> str:
    lines = [
        f"Value: {row.get('value') or 0} {row.get('currency') or ''}".strip(),
        f"Status: {row.get('status')}",
        f"Expected to close on {row['expected_close_date']}" if row.get("expected_close_date") else "",
        f"Lost because: {row['lost_reason']}" if row.get("lost_reason") else "",
    ]
    return "\n\n".join(line for line in lines if line)


def _organization(row: Row) -> str:
    address = row.get("address") or {}
    lines = [address.get("value") or "", str(row.get("website") or "")]
    return "\n\n".join(line for line in lines if line) or str(row["name"])


_TEXTS: Final[dict[str, Any]] = {"products": _product, "deals": _deal, "organizations": _organization}


def _floor(since: str | None) -> str | None:
    """`updated_since` in whole seconds; fractions were reported as refused."""
    if since is None:
        return None
    return (datetime.fromisoformat(since) - OVERLAP).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
