"""Zendesk's own shapes: settings, pages, users, tickets, and the words of its search."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import Field

from supportly.contracts.contacts import Record, RecordRef
from supportly.errors import InvalidInput, NotFound, ProviderFailure, Throttled
from supportly.http import segment
from supportly.provider import Call, ProviderSettings, timestamp

Row = dict[str, Any]
Detail = TypeVar("Detail")

SIZE: Final = 100
"""Rows on a page, by cursor and by offset: the most that Zendesk gives."""
SEARCH_DEPTH: Final = 1_000
"""Rows that `/search` and the article search reach; past them they answer 422."""
USER_DEPTH: Final = 10_000
"""Rows that the user search reaches by offset."""
CANDIDATE_PAGES: Final = 10
"""Pages of a user search that are compared; `query` matches parts of values, so the exact one may come late."""
AT_ONCE: Final = 10
"""Calls side by side where each record costs one."""
DETAILS: Final = 100
"""Such calls for one page of a stream, so that it stays within its minute."""
NUMBER: Final = r"^\d{1,20}$"
"""Zendesk's ids."""


class ZendeskSettings(ProviderSettings):
    """Settings of Zendesk."""

    default_ticket_id: str | None = Field(
        None,
        pattern=NUMBER,
        description="Ticket to which notes and calls without a `target` are added; null: each becomes a ticket of the "
        "contact.",
    )
    task_assignee_id: str | None = Field(
        None, pattern=NUMBER, description="Agent who gets the tasks that we log; null: Zendesk's triggers decide."
    )
    allow_closing_tickets: bool = Field(
        False, description="Lets `update_ticket` set the status `closed`, which can never be undone."
    )
    include_restricted_articles: bool = Field(
        False,
        description="Also syncs Help Center articles that are limited to a user segment (signed-in users, agents…), "
        "for internal use. Off: public articles only.",
    )


# --- pages ------------------------------------------------------------------------------------------------------------


def rows(body: Mapping[str, Any], key: str) -> list[Row]:
    """The list under `key`. Raises ProviderFailure where there is none: an error is no empty list."""
    found = body.get(key)
    if not isinstance(found, list):
        raise ProviderFailure(f"Zendesk's answer holds no list of {key}.")
    return [row for row in found if isinstance(row, dict)]


def after(body: Mapping[str, Any], here: str | None) -> str | None:
    """Cursor of the next page, None on the last. Raises ProviderFailure when it leads back to the cursor `here`."""
    meta = body.get("meta") or {}
    following = meta.get("after_cursor") if meta.get("has_more") else None
    if following and following == here:
        raise looping()
    return following


def looping() -> ProviderFailure:
    """What to raise when a page names itself as the next one (reported of Zendesk: singer-io/tap-zendesk PR 103)."""
    return ProviderFailure("Zendesk named the same page as the next one again.")


async def pages(call: Call, path: str, key: str) -> AsyncIterator[list[Row]]:
    """All pages of a list, by cursor."""
    cursor: str | None = None
    while True:
        body = (await call.http.get(path, {"page[size]": SIZE, "page[after]": cursor})).body()
        yield rows(body, key)
        cursor = after(body, cursor)
        if cursor is None:
            return


async def unless_gone(listed: AsyncIterator[list[Row]]) -> list[Row]:
    """All rows of a list that belongs to one record; none when that record is gone."""
    try:
        return [row async for page in listed for row in page]
    except NotFound:
        return []


async def some(wanted: Sequence[Row], read: Callable[[Row], Awaitable[Detail]]) -> list[Detail]:
    """Details of the first records, at most DETAILS, in order, where each costs a call.

    Stops early, with what is there, when the provider or our budget wants a pause: what was paid for is not lost.
    """
    found: list[Detail] = []
    for start in range(0, min(len(wanted), DETAILS), AT_ONCE):
        answers = await asyncio.gather(*map(read, wanted[start : start + AT_ONCE]), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                if found and isinstance(answer, Throttled):
                    return found
                raise answer
            found.append(answer)
    return found


def offset(cursor: str | None, limit: int, depth: int) -> int:
    """The page number in the cursor of a search. Raises InvalidInput when it lies past what Zendesk shows."""
    text = cursor or "1"
    if not re.fullmatch(r"[1-9]\d{0,5}", text) or int(text) * limit > max(depth, limit):
        raise InvalidInput(
            f"`cursor` is not one of this search, or lies past the {depth} rows that Zendesk shows; narrow the query.",
            field="params.cursor",
        )
    return int(text)


def next_offset(body: Mapping[str, Any], page: int, limit: int, depth: int) -> str | None:
    """Cursor of the next page of a search, None on the last one that Zendesk shows."""
    return str(page + 1) if body.get("next_page") and (page + 1) * limit <= depth else None


def query_number(url: object, name: str) -> int | None:
    """The number under `name` in the query of an address."""
    found = parse_qs(urlsplit(str(url)).query).get(name, [""])[0]
    return int(found) if found.isdecimal() else None


# --- search -----------------------------------------------------------------------------------------------------------


def term(text: str) -> str:
    """`text` as one value of Zendesk's search: what could be read as an operator stands in quotes, without its own."""
    if re.fullmatch(r"[A-Za-z0-9][\w.@+-]*", text, re.ASCII):
        return text
    return '"' + " ".join(re.sub(r'["\\\x00-\x1f\x7f]', " ", text).split()) + '"'


async def search_users(call: Call, query: str) -> list[Record]:
    """Candidates of a user search. The index lags by minutes and matches parts of values: compare them."""
    found: list[Record] = []
    for page in range(1, CANDIDATE_PAGES + 1):
        body = (await call.http.get("/users/search", {"query": query, "per_page": SIZE, "page": page})).body()
        found += [user(call.facts, row) for row in rows(body, "users") if living(row)]
        if not body.get("next_page"):
            break
    return found


# --- records ----------------------------------------------------------------------------------------------------------


def living(row: Row) -> bool:
    """False of a deleted user, whom Zendesk still answers by id."""
    return row.get("active") is not False


def agent_url(facts: Mapping[str, str], kind: str, record_id: object) -> str:
    """The page on which an agent sees a record."""
    return f"https://{facts.get('subdomain', '')}.zendesk.com/agent/{kind}/{record_id}"


def user(facts: Mapping[str, str], row: Row) -> Record:
    """A user as a record."""
    return Record(
        id=str(row["id"]),
        type="user",
        url=agent_url(facts, "users", row["id"]),
        name=row.get("name"),
        email=row.get("email"),
        phone=row.get("phone"),
        updated_at=timestamp(row.get("updated_at")),
        raw=row,
    )


def ticket(facts: Mapping[str, str], row: Row) -> Row:
    """A ticket, normalised; `ticket_type` is Zendesk's `type`."""
    kept = ("status", "priority", "requester_id", "assignee_id", "tags", "due_at", "created_at", "updated_at")
    return {
        "id": str(row["id"]),
        "type": "ticket",
        "title": row.get("subject") or row.get("raw_subject") or "",
        "ticket_type": row.get("type"),
        "url": agent_url(facts, "tickets", row["id"]),
        **{name: row.get(name) for name in kept},
    }


def ticket_ref(call: Call, ticket_id: object) -> RecordRef:
    """Where a ticket is."""
    return RecordRef(id=str(ticket_id), url=agent_url(call.facts, "tickets", ticket_id))


def comment(row: Row) -> Row:
    """A ticket comment, normalised."""
    return {
        "id": str(row["id"]),
        "type": "comment",
        "body": row.get("plain_body") or row.get("body") or "",
        "public": bool(row.get("public")),
        "author_id": row.get("author_id"),
        "created_at": row.get("created_at"),
    }


async def tickets_of(
    call: Call, user_id: str, limit: int = SIZE, cursor: str | None = None
) -> tuple[list[Row], str | None, Mapping[str, Any]]:
    """One page of the tickets that a user requested: rows, next cursor, Zendesk's answer.

    The list of a user's tickets is not in every description of the API; where it is missing, search answers, with
    cursors that begin with `search:`.
    """
    if not (cursor or "").startswith("search:"):
        path = f"/users/{segment(user_id)}/tickets/requested"
        try:
            body = (await call.http.get(path, {"page[size]": limit, "page[after]": cursor})).body()
        except NotFound:
            if cursor:
                raise
        else:
            return rows(body, "tickets"), after(body, cursor), body
    page = offset((cursor or "").removeprefix("search:"), limit, SEARCH_DEPTH)
    asked = {"query": f"type:ticket requester:{term(user_id)}", "per_page": limit, "page": page}
    body = (await call.http.get("/search", asked)).body()
    following = next_offset(body, page, limit, SEARCH_DEPTH)
    return rows(body, "results"), f"search:{following}" if following else None, body


async def bearing(call: Call, ticket_id: str, marker: str) -> bool:
    """True when a comment of the ticket carries the marker. Reads the comments themselves, not the search index."""
    async for page in pages(call, f"/tickets/{segment(ticket_id)}/comments", "comments"):
        if any(marker in str(row.get("body") or row.get("plain_body") or "") for row in page):
            return True
    return False
