"""Zendesk's tickets: notes, calls and tasks, and the actions."""

from __future__ import annotations

import re
from typing import Any, Final

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.contacts import ActivityJob, Record, RecordRef
from supportly.errors import InvalidInput, NotFound, OutcomeUnknown, UnsupportedByProvider
from supportly.http import segment
from supportly.provider import Call, LogsActivities, action, integer
from supportly.providers.zendesk.api import (
    NUMBER,
    SEARCH_DEPTH,
    SIZE,
    USER_DEPTH,
    Row,
    after,
    agent_url,
    bearing,
    comment,
    living,
    next_offset,
    offset,
    rows,
    search_users,
    term,
    ticket,
    ticket_ref,
    tickets_of,
    user,
)
from supportly.providers.zendesk.params import (
    ArticleSearch,
    Macros,
    NewComment,
    NewTicket,
    OneTicket,
    Search,
    TicketChanges,
    Tickets,
)

TAG: Final = "supportly"
CALL_TAG: Final = "supportly_call"
SUBJECT: Final = 150
"""Characters of a subject made from an activity's first line: what a list of tickets shows."""


class ZendeskTickets(LogsActivities):
    """Logs activities as internal comments or tickets, and runs actions."""

    # --- activities -------------------------------------------------------------------------------------------------

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """An internal comment on the ticket named by `target` or setting, else a ticket of the contact; a task always.

        A new ticket goes under an idempotency key; a comment has none and carries the marker, as both do in the text.
        """
        body = {"body": f"{job.content}\n\n[{call.marker}]", "public": False}
        if known := _place(call, job):
            change: Row = {"comment": body}
            if job.kind == "call":
                row = await _read(call, known)
                if CALL_TAG not in (tags := list(row.get("tags") or [])):
                    # Tags are replaced as a whole: name the old ones, and let a change meanwhile be a conflict (409).
                    change |= {"tags": [*tags, CALL_TAG], "safe_update": True, "updated_stamp": row.get("updated_at")}
            await call.http.put(f"/tickets/{segment(known)}", {"ticket": change})
            return ticket_ref(call, known)
        new: Row = {
            "requester_id": integer(record.id),
            "subject": job.content.strip().partition("\n")[0][:SUBJECT] or job.kind.capitalize(),
            "comment": body,
            "tags": [TAG, CALL_TAG] if job.kind == "call" else [TAG],
        }
        if job.kind == "task":
            new["type"] = "task"
            if assignee := call.settings.task_assignee_id:
                new["assignee_id"] = int(assignee)
        made = await _post(call, new, call.marker)
        return ticket_ref(call, made["id"])

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Reads the ticket's comments for the marker, or the first texts of the contact's tickets.

        Both are lists, not the search index. Where Zendesk has no list of a user's tickets, nothing is found, and the
        idempotency key of `log` answers the ticket that is there already.
        """
        if known := _place(call, job):
            return ticket_ref(call, known) if await bearing(call, known, call.marker) else None
        cursor: str | None = None
        while not (cursor or "").startswith("search:"):
            found, cursor, _ = await tickets_of(call, record.id, SIZE, cursor)
            for row in found:
                if call.marker in str(row.get("description") or ""):
                    return ticket_ref(call, row["id"])
            if cursor is None:
                break
        return None

    # --- actions: tickets -------------------------------------------------------------------------------------------

    @action(params=Tickets, description="Tickets that a person requested.", example={"email": "ada@example.com"})
    async def get_tickets(self, call: Call, params: Tickets) -> ActionAnswer:
        """One page of a person's tickets; a person whom Zendesk does not know has none."""
        user_id = params.user_id
        if not user_id:
            wanted = str(params.email).strip().casefold()
            hits = await search_users(call, f"email:{term(str(params.email).strip())}")
            user_id = next((hit.id for hit in hits if (hit.email or "").casefold() == wanted), None)
        if not user_id:
            return ActionAnswer(items=[], raw={})
        found, cursor, raw = await tickets_of(call, user_id, params.limit, params.cursor)
        shown = [row for row in found if params.status in (None, row.get("status"))]
        return ActionAnswer(items=[ticket(call.facts, row) for row in shown], next_cursor=cursor, raw=raw)

    @action(
        params=OneTicket,
        description="One ticket, on demand with its comments.",
        example={"ticket_id": "35436", "with_comments": True},
    )
    async def get_ticket(self, call: Call, params: OneTicket) -> ActionAnswer:
        """The ticket; `next_cursor` leads to further comments."""
        row = await _read(call, params.ticket_id)
        result, raw, cursor = ticket(call.facts, row), {"ticket": row}, None
        if params.with_comments:
            path = f"/tickets/{segment(params.ticket_id)}/comments"
            asked = {"page[size]": SIZE, "page[after]": params.comments_cursor}
            body = (await call.http.get(path, asked)).body()
            result["comments"] = [comment(entry) for entry in rows(body, "comments")]
            raw["comments"], cursor = body["comments"], after(body, params.comments_cursor)
        return ActionAnswer(result=result, next_cursor=cursor, raw=raw)

    @action(
        params=NewTicket,
        description="Creates a ticket; its text is an internal comment unless `public`.",
        example={"subject": "Cannot sign in", "body": "Since this morning.", "requester": {"email": "ada@example.com"}},
        writes=True,
        keyed=True,
    )
    async def create_ticket(self, call: Call, params: NewTicket) -> ActionAnswer:
        """The ticket, once per idempotency key."""
        new: Row = {"subject": params.subject, "comment": {"body": params.body, "public": params.public}}
        new |= params.model_dump(include={"priority", "type", "tags"}, exclude_none=True)
        if who := params.requester:
            named = {"email": who.email, "name": who.name or who.email}
            new |= {"requester_id": int(who.id)} if who.id else {"requester": named}
        made = await _post(call, new, params.idempotency_key or call.marker)
        return ActionAnswer(result=ticket(call.facts, made), raw={"ticket": made})

    async def _updated(self, call: Call, params: TicketChanges) -> ActionAnswer | None:
        """The ticket, when it is as wanted already."""
        row = await _read(call, params.ticket_id)
        if any(_comparable(row.get(name)) != _comparable(value) for name, value in params.changes().items()):
            return None
        return ActionAnswer(result=ticket(call.facts, row), raw={"ticket": row})

    @action(
        params=TicketChanges,
        description="Changes fields of a ticket.",
        example={"ticket_id": "35436", "status": "pending", "priority": "high"},
        writes=True,
        find=_updated,
    )
    async def update_ticket(self, call: Call, params: TicketChanges) -> ActionAnswer:
        """The ticket after the change. Raises InvalidInput for `closed` unless the settings allow it."""
        if params.status == "closed" and not call.settings.allow_closing_tickets:
            raise InvalidInput(
                "Closing cannot be undone. Use `solved`, or turn on the setting `allow_closing_tickets`.",
                field="params.status",
            )
        path = f"/tickets/{segment(params.ticket_id)}"
        row = (await call.http.put(path, {"ticket": params.changes()})).body()["ticket"]
        return ActionAnswer(result=ticket(call.facts, row), raw={"ticket": row})

    async def _commented(self, call: Call, params: NewComment) -> ActionAnswer | None:
        """The comment by its marker; a public one has none, since the customer reads it, and stays unknown."""
        if params.public:
            raise OutcomeUnknown(
                "Zendesk did not answer, and whether the public comment was written cannot be told from others. It is "
                "not repeated; look at the ticket.",
                details={"url": agent_url(call.facts, "tickets", params.ticket_id)},
            )
        if not await bearing(call, params.ticket_id, call.marker):
            return None
        row = await _read(call, params.ticket_id)
        return ActionAnswer(result=ticket(call.facts, row), raw={"ticket": row})

    @action(
        params=NewComment,
        description="Adds a comment to a ticket: an internal note unless `public`.",
        example={"ticket_id": "35436", "body": "The customer called again."},
        writes=True,
        find=_commented,
    )
    async def add_comment(self, call: Call, params: NewComment) -> ActionAnswer:
        """The ticket with the new comment."""
        text = params.body if params.public else f"{params.body}\n\n[{call.marker}]"
        wanted = {"ticket": {"comment": {"body": text, "public": params.public}}}
        row = (await call.http.put(f"/tickets/{segment(params.ticket_id)}", wanted)).body()["ticket"]
        return ActionAnswer(result=ticket(call.facts, row), raw={"ticket": row})

    # --- actions: searches and macros -------------------------------------------------------------------------------

    @action(
        params=Search,
        description="Searches tickets, up to 1,000; the index lags by some minutes.",
        example={"query": "status<solved invoice"},
    )
    async def search_tickets(self, call: Call, params: Search) -> ActionAnswer:
        """One page of tickets."""
        body, cursor = await _search(call, "/search", {"query": f"type:ticket {params.query}"}, params, SEARCH_DEPTH)
        # A `type:` within the query may bring other records.
        found = [row for row in rows(body, "results") if row.get("result_type", "ticket") == "ticket"]
        return ActionAnswer(items=[ticket(call.facts, row) for row in found], next_cursor=cursor, raw=body)

    @action(
        params=Search,
        description="Searches users by name, address, number or id; the index lags by some minutes.",
        example={"query": "ada"},
    )
    async def search_contacts(self, call: Call, params: Search) -> ActionAnswer:
        """One page of users, agents included; `role` tells them apart."""
        body, cursor = await _search(call, "/users/search", {"query": params.query}, params, USER_DEPTH)
        found = [row for row in rows(body, "users") if living(row)]
        items = [
            {**user(call.facts, row).model_dump(mode="json", exclude={"raw"}), "role": row.get("role")} for row in found
        ]
        return ActionAnswer(items=items, next_cursor=cursor, raw=body)

    @action(
        params=ArticleSearch,
        description="Searches Help Center articles, up to 1,000.",
        example={"query": "refund"},
    )
    async def search_articles(self, call: Call, params: ArticleSearch) -> ActionAnswer:
        """One page of articles; `restricted` ones are not for every customer."""
        asked = {"query": params.query, "locale": params.locale}
        try:
            body, cursor = await _search(call, "/help_center/articles/search", asked, params, SEARCH_DEPTH)
        except NotFound as error:
            raise UnsupportedByProvider("This Zendesk account has no Help Center.", details=error.details) from None
        return ActionAnswer(items=[_article(row) for row in rows(body, "results")], next_cursor=cursor, raw=body)

    @action(params=Macros, description="Macros: prepared answers of the agents.")
    async def get_macros(self, call: Call, params: Macros) -> ActionAnswer:
        """One page of macros."""
        asked = {"page[size]": params.limit, "page[after]": params.cursor, "active": params.active}
        body = (await call.http.get("/macros", asked)).body()
        kept = ("title", "description", "active", "actions", "created_at", "updated_at")
        shown = ({name: row.get(name) for name in ("id", *kept)} for row in rows(body, "macros"))
        items = [{**row, "id": str(row["id"]), "type": "macro"} for row in shown]
        return ActionAnswer(items=items, next_cursor=after(body, params.cursor), raw=body)


def _place(call: Call, job: ActivityJob) -> str | None:
    """The ticket on which an activity belongs, None for one of its own. Raises InvalidInput for no ticket's id."""
    if job.kind == "task":
        if job.target:
            raise InvalidInput("A task becomes a ticket of its own; leave `target` out.", field="target")
        return None
    target: str | None = job.target or call.settings.default_ticket_id
    if target and not re.fullmatch(NUMBER, target):
        raise InvalidInput("`target` is the id of a ticket, such as 35436.", field="target")
    return target


async def _read(call: Call, ticket_id: str) -> Row:
    row: Row = (await call.http.get(f"/tickets/{segment(ticket_id)}")).body()["ticket"]
    return row


async def _post(call: Call, new: Row, key: str) -> Row:
    """Create a ticket. Zendesk keeps the key for two hours and refuses another body under it."""
    row: Row = (await call.http.post("/tickets", {"ticket": new}, headers={"Idempotency-Key": key})).body()["ticket"]
    return row


async def _search(call: Call, path: str, asked: Row, params: Search, depth: int) -> tuple[dict[str, Any], str | None]:
    """One page of a search by offset, and the cursor of the next."""
    page = offset(params.cursor, params.limit, depth)
    body = dict((await call.http.get(path, {**asked, "per_page": params.limit, "page": page})).body())
    return body, next_offset(body, page, params.limit, depth)


def _article(row: Row) -> Row:
    kept = ("title", "locale", "snippet", "section_id", "draft", "created_at", "updated_at")
    return {
        "id": str(row["id"]),
        "type": "article",
        "url": row.get("html_url"),
        "restricted": bool(row.get("user_segment_id") or row.get("user_segment_ids")),
        **{name: row.get(name) for name in kept},
    }


def _comparable(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else value
