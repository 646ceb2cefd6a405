"""Calendly's knowledge: event types and routing forms. Small lists without a filter for changes: each walk is full.

A cursor is a `Position` as JSON; there are no checkpoints.
"""

from __future__ import annotations

import html
import re
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import UnknownChoice
from supportly.provider import Call, Stream, StreamsKnowledge, absent_as_none, timestamp
from supportly.providers.calendly import api
from supportly.providers.calendly.api import LIST, Row, row_of, rows_of


class Position(BaseModel):
    """Where a walk stands; `mine` when it lists the connected user's own."""

    model_config = ConfigDict(frozen=True)
    token: str
    mine: bool = False


class CalendlyKnowledge(StreamsKnowledge):
    """The streams. Event types are what a booking page shows, so they are on by default."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "event_types", "Event types", "What can be booked: names, descriptions, questions, links.", default=True
        ),
        Stream("routing_forms", "Routing forms", "Published routing forms and their questions; needs an admin."),
    )

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page; a record that is off is reported as deleted."""
        if stream not in [s.id for s in self.streams]:
            raise UnknownChoice("Calendly has no such stream.", field="streams", allowed=[s.id for s in self.streams])
        at = Position.model_validate_json(cursor) if cursor else None
        asked = {"count": LIST, "page_token": at.token if at else None}
        if stream == "routing_forms" or (at and not at.mine):
            asked |= {"organization": call.facts["organization"]}
            asked |= {"active": True} if stream == "event_types" else {"sort": "created_at:asc"}
            body, mine = (await call.http.get(f"/{stream}", asked)).body(), False
        else:
            mine = at is not None
            body, mine = await api.for_everyone(call, "/event_types", {**asked, "active": True}, mine=mine)
        page = StreamPage()
        for row in rows_of(body):
            _add(call, stream, row, page)
        if following := api.next_token(body, at.token if at else None):
            page.next = Position(token=following, mine=mine).model_dump_json()
        return page

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True when Calendly does not know the id, or the record is off."""
        found = await absent_as_none(call.http.get(api.path_of(external_id, stream)))
        return found is None or _is_off(call, stream, row_of(found.body()))


def _is_off(call: Call, stream: str, row: Row) -> bool:
    if stream == "routing_forms":
        return row.get("status") == "draft"
    hidden = bool(row.get("secret")) and not call.settings.secret_event_types
    return bool(row.get("deleted_at")) or row.get("active") is False or hidden


def _add(call: Call, stream: str, row: Row, page: StreamPage) -> None:
    key = str(row.get("uri"))
    if _is_off(call, stream, row):
        page.deleted.append(key)
        return
    title = row.get("name")
    if not isinstance(title, str) or not title.strip():
        page.failures.append(RecordFailure(external_id=key, reason="It has no name."))
        return
    try:
        body = _event_type(row) if stream == "event_types" else _routing_form(row)
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        reason = f"Its fields cannot be read ({type(wrong).__name__})."
        page.failures.append(RecordFailure(external_id=key, reason=reason))
        return
    page.documents.append(
        Document(
            stream=stream,
            external_id=key,
            title=title.strip(),
            body=body,
            url=row.get("scheduling_url"),
            updated_at=timestamp(row.get("updated_at")),
            audience="public" if stream == "event_types" and not row.get("secret") else "internal",
            metadata={"format": "html"},
        )
    )


def _event_type(row: Row) -> str:
    """Description, and what it leaves out, as HTML."""
    kinds = [re.sub(r"_+", " ", str(place.get("kind") or "")) for place in row.get("locations") or []]
    lines = [
        f"Duration: {row['duration']} minutes" if row.get("duration") else "",
        f"Where: {', '.join(kinds)}" if kinds else "",
        f"Book at {row['scheduling_url']}" if row.get("scheduling_url") else "",
    ]
    described = row.get("description_html") or html.escape(row.get("description_plain") or "", quote=False)
    facts = "".join(f"<p>{html.escape(line, quote=False)}</p>" for line in lines if line)
    return f"{described}\n{_questions(row.get('custom_questions'))}{facts}"


def _routing_form(row: Row) -> str:
    return _questions(row.get("questions")) or html.escape(str(row["name"]), quote=False)


def _questions(asked: Any) -> str:
    items = []
    for question in asked or []:
        if question.get("enabled") is False:
            continue
        choices = ", ".join(str(c) for c in question.get("answer_choices") or [])
        text = f"{question['name']} ({choices})" if choices else question["name"]
        items.append(f"<li>{html.escape(text, quote=False)}</li>")
    return f"<p>Questions:</p><ul>{''.join(items)}</ul>" if items else ""
