"""What Captain may learn from Zendesk: Help Center articles, macros, solved tickets."""

from __future__ import annotations

import html
import json
from typing import ClassVar, Final

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import UnknownChoice
from supportly.http import segment
from supportly.provider import Call, Stream, StreamsKnowledge, absent_as_none, timestamp
from supportly.providers.zendesk import articles
from supportly.providers.zendesk.api import SIZE, Row, after, agent_url, looping, pages, rows, some, unless_gone

TICKETS_PAGE: Final = 100
"""Tickets on a page of the export: each solved one costs a call for its comments."""
DONE: Final = frozenset({"solved", "closed"})
"""Statuses of tickets that have an outcome to learn from."""


class ZendeskKnowledge(StreamsKnowledge):
    """The streams. Only articles are on by default, and of them the public ones."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "articles",
            "Help Center articles",
            "Published articles, one document per language. Public ones, unless the setting "
            "`include_restricted_articles` is on.",
            default=True,
            incremental=True,
        ),
        Stream("macros", "Macros", "Prepared answers of the agents, for internal use."),
        Stream(
            "tickets",
            "Solved tickets",
            "Subjects and public comments of solved and closed tickets, for internal use: personal data. They cost "
            "one call per ticket, and need an administrator's connection.",
            incremental=True,
        ),
    )

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page. An account without a Help Center has no articles; drafts and the like come as `deleted`."""
        at: Row = json.loads(cursor) if cursor else {}
        if stream == "articles":
            incremental = "from" in at if at else since is not None
            return await (articles.changed(call, at, since) if incremental else articles.whole(call, at))
        if stream == "macros":
            return await _macros(call, at)
        if stream == "tickets":
            return await _tickets(call, at, since)
        raise UnknownChoice("Zendesk has no such stream.", field="streams", allowed=[s.id for s in self.streams])

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """Asks for the article's translation, or the ticket. True also of what is there and may no longer be shown."""
        if stream == "articles":
            return await articles.is_gone(call, external_id)
        if stream != "tickets":
            return None
        answer = await absent_as_none(call.http.get(f"/tickets/{segment(external_id)}"))
        return answer is None or answer.body()["ticket"].get("status") not in DONE


async def _macros(call: Call, at: Row) -> StreamPage:
    body = (await call.http.get("/macros", {"page[size]": SIZE, "page[after]": at.get("after"), "active": True})).body()
    page = StreamPage()
    for row in rows(body, "macros"):
        try:
            _add_macro(row, page)
        except (AttributeError, KeyError, TypeError, ValueError):
            page.failures.append(_odd(row))
    following = after(body, at.get("after"))
    page.next = json.dumps({"after": following}) if following else None
    return page


def _add_macro(row: Row, page: StreamPage) -> None:
    text, markup = _macro_text(row)
    if not row.get("active") or not text:
        page.deleted.append(str(row["id"]))
        return
    document = Document(
        stream="macros",
        external_id=str(row["id"]),
        title=row.get("title") or "Untitled",
        body=text,
        updated_at=timestamp(row.get("updated_at")),
        audience="internal",
        metadata={"format": "html"} if markup else {},
    )
    page.documents.append(document)


def _odd(row: Row) -> RecordFailure:
    return RecordFailure(external_id=str(row["id"]), reason="It has an unexpected shape.")


def _macro_text(row: Row) -> tuple[str, bool]:
    """Description and comments that a macro writes, and whether they are HTML."""
    plain = [str(row["description"])] if row.get("description") else []
    markup: list[str] = []
    for step in row.get("actions") or []:
        value = step.get("value")
        # A comment's value is its text, or a pair of channel and text.
        text = str((value[-1] if isinstance(value, list) and value else value) or "")
        if text and step.get("field") in ("comment_value", "comment_value_html"):
            (markup if step["field"].endswith("_html") else plain).append(text)
    if not markup:
        return "\n\n".join(plain), False
    return "\n".join([*("<p>{}</p>".format(html.escape(t).replace("\n", "<br>")) for t in plain), *markup]), True


async def _tickets(call: Call, at: Row, since: str | None) -> StreamPage:
    """A page of the export by cursor, which leaves out the last minute and shows deleted tickets as such."""
    cursor = at.get("cursor") or since
    asked = {"cursor": cursor} if cursor else {"start_time": 0}
    body = (await call.http.get("/incremental/tickets/cursor", {**asked, "per_page": TICKETS_PAGE})).body()
    following, done = body.get("after_cursor"), set(at.get("done") or ())
    listed = [row for row in rows(body, "tickets") if row["id"] not in done]
    page = StreamPage(checkpoint=following or cursor)
    page.deleted = [str(row["id"]) for row in listed if row.get("status") not in DONE]
    solved = [row for row in listed if row.get("status") in DONE]
    threads = await some(solved, lambda row: _thread(call, row))
    for row, text in zip(solved, threads, strict=False):
        try:
            _add_ticket(call, row, text, page)
        except (AttributeError, KeyError, TypeError, ValueError):
            page.failures.append(_odd(row))
    if left := {row["id"] for row in solved[len(threads) :]}:
        page.next = json.dumps({"cursor": cursor, "done": sorted(done | {row["id"] for row in listed} - left)})
    elif not body.get("end_of_stream"):
        if not following or following == cursor:
            raise looping()
        page.next = json.dumps({"cursor": following})
    return page


def _add_ticket(call: Call, row: Row, text: str, page: StreamPage) -> None:
    if not text:
        page.deleted.append(str(row["id"]))
        return
    document = Document(
        stream="tickets",
        external_id=str(row["id"]),
        title=row.get("subject") or "Untitled",
        body=text,
        url=agent_url(call.facts, "tickets", row["id"]),
        updated_at=timestamp(row.get("updated_at")),
        audience="internal",
        metadata={"status": row.get("status"), "tags": list(row.get("tags") or [])},
    )
    page.documents.append(document)


async def _thread(call: Call, row: Row) -> str:
    """The ticket's public comments, each with the side it comes from; empty when the ticket went meanwhile."""
    found = await unless_gone(pages(call, f"/tickets/{segment(row['id'])}/comments", "comments"))
    if not found and row.get("is_public"):
        return str(row.get("description") or "")
    sides = {True: "Customer", False: "Agent"}
    return "\n\n".join(
        f"{sides[entry.get('author_id') == row.get('requester_id')]}: {_said(entry)}"
        for entry in found
        if entry.get("public")
    )


def _said(entry: Row) -> str:
    return str(entry.get("plain_body") or entry.get("body") or "").strip()
