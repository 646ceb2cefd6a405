"""What is done on Pipedrive's persons: notes (v1), calls and tasks (v2), and the actions."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

from pydantic import Field

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.contacts import ActivityJob, Record, RecordRef
from supportly.errors import InvalidInput, ProviderFailure, UnsupportedByProvider
from supportly.oauth import now_utc
from supportly.provider import Call, LogsActivities, PagedParams, action, integer, offset
from supportly.providers.pipedrive import api
from supportly.providers.pipedrive.api import IDS, V1, V2, Row, row_of, rows_of

TITLE: Final = 100
"""Characters of a subject: the first line of what happened, cut to what a list shows."""
TASK_DUE: Final = timedelta(days=1)
"""A task wants a due date and a request names none: tomorrow."""
DIGITS: Final = r"^\d{1,20}$"
STATUSES: Final = r"^(open|won|lost)(,(open|won|lost)){0,2}$"


class Deals(PagedParams):
    """A page of deals."""

    record_id: str | None = Field(None, pattern=DIGITS, description="Id of a person: only that person's deals.")
    company_id: str | None = Field(None, pattern=DIGITS, description="Id of an organization: only its deals.")
    status: str = Field("open,won,lost", pattern=STATUSES, description="States to list, separated by commas.")


class Companies(PagedParams):
    """A page of organizations."""

    query: str | None = Field(None, min_length=2, max_length=200, description="Text in the name; null lists all.")


class Search(PagedParams):
    """A page of persons that hold some text."""

    query: str = Field(
        min_length=2, max_length=200, description="Text in a name, e-mail address, phone number, note or custom field."
    )


class Leads(PagedParams):
    """A page of leads."""

    record_id: str | None = Field(None, pattern=DIGITS, description="Id of a person: only that person's leads.")


class PipedriveActivities(LogsActivities):
    """Logs activities and runs actions."""

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """A note is v1's; calls and tasks are activities with the person as primary participant."""
        if job.target:
            raise UnsupportedByProvider("Pipedrive logs on the person; leave `target` out.", field="target")
        # Both bodies are HTML, the content is not.
        body = html.escape(f"{job.content}\n\n[{call.marker}]", quote=False).replace("\n", "<br>")
        wanted: dict[str, Any]
        if job.kind == "note":
            wanted = {"content": body, "person_id": integer(record.id)}
            made = row_of((await call.http.post(f"{V1}/notes", wanted)).body())
            return RecordRef(id=str(made["id"]), url=record.url)
        kind = call.settings.call_type if job.kind == "call" else call.settings.task_type
        due = now_utc() + (TASK_DUE if job.kind == "task" else timedelta())
        wanted = {
            "subject": job.content.strip().partition("\n")[0][:TITLE],
            "type": kind,
            "done": job.kind == "call",
            "due_date": due.date().isoformat(),
            "note": body,
            # `person_id` is read-only here, although the published contract lists it (reported, August 2026).
            "participants": [{"person_id": integer(record.id), "primary": True}],
        }
        if owner := call.settings.owner_id:
            wanted["owner_id"] = owner
        try:
            made = row_of((await call.http.post(f"{V2}/activities", wanted)).body())
        except ProviderFailure as error:
            await self._explain(call, job.kind, kind, error)
            raise
        return RecordRef(id=str(made["id"]), url=record.url)

    @staticmethod
    async def _explain(call: Call, kind: str, key: str, error: ProviderFailure) -> None:
        """A company may rename or switch off activity types: then the refusal says which there are."""
        if error.provider_status != 400:
            return
        rows = rows_of((await call.http.get(f"{V1}/activityTypes")).body())
        there = [str(row["key_string"]) for row in rows if row.get("active_flag")]
        if key not in there:
            text = f"This Pipedrive company has no activity type `{key}`; choose one for a {kind} in the settings."
            raise InvalidInput(text, field=f"settings.{kind}_type", allowed=there) from None

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Reads the person's notes or activities, the newest first, for the marker; these lists do not lag."""
        mark, field = f"[{call.marker}]", "content" if job.kind == "note" else "note"
        async for row in _notes(call, record) if job.kind == "note" else _planned(call, record):
            if mark in str(row.get(field)):
                return RecordRef(id=str(row["id"]), url=record.url)
        return None

    @action(params=Deals, description="Deals of the company, of a person or of an organization.", example={"limit": 10})
    async def get_deals(self, call: Call, params: Deals) -> ActionAnswer:
        """Deals with the names of their stages; archived ones are not listed."""
        asked = {
            "person_id": params.record_id, "org_id": params.company_id, "status": params.status,
            "limit": params.limit, "cursor": params.cursor,
        }  # fmt: skip
        body = (await call.http.get(f"{V2}/deals", asked)).body()
        rows = rows_of(body)
        names = await api.stage_names(call) if rows else {}
        return ActionAnswer.listed([api.deal(call, row, names) for row in rows], api.next_cursor(body, params.cursor))

    @action(params=Companies, description="Organizations, all or by name.", example={"limit": 10})
    async def get_companies(self, call: Call, params: Companies) -> ActionAnswer:
        """Organizations; by name they come from the search index, which may lag."""
        asked = {"limit": params.limit, "cursor": params.cursor}
        if params.query:
            found = await call.http.get(f"{V2}/organizations/search", {"term": params.query, "fields": "name", **asked})
            hits = [hit["item"]["id"] for hit in rows_of(found.body())]
            rows, body = await api.read_ids(call, "organizations", hits), found.body()
        else:
            body = (await call.http.get(f"{V2}/organizations", asked)).body()
            rows = rows_of(body)
        return ActionAnswer.listed([api.company(call, row) for row in rows], api.next_cursor(body, params.cursor))

    @action(params=Search, description="Persons that hold some text.", example={"query": "ada@example.com"})
    async def search_contacts(self, call: Call, params: Search) -> ActionAnswer:
        """Persons from the search index, which may lag; each is read again."""
        asked = {"term": params.query, "limit": params.limit, "cursor": params.cursor}
        body = (await call.http.get(f"{V2}/persons/search", asked)).body()
        rows = await api.read_ids(call, "persons", [hit["item"]["id"] for hit in rows_of(body)])
        records = [api.person(call, row).model_dump(mode="json") for row in rows]
        return ActionAnswer.listed(records, api.next_cursor(body, params.cursor))

    @action(params=Leads, description="Leads that are not archived, all or of a person.", example={"limit": 10})
    async def get_leads(self, call: Call, params: Leads) -> ActionAnswer:
        """Leads, which are v1's: the cursor is an offset."""
        start = offset(params.cursor)
        asked = {"person_id": params.record_id, "limit": params.limit, "start": start}
        body = (await call.http.get(f"{V1}/leads", asked)).body()
        items = [
            {"id": str(row["id"]), "type": "lead", "title": row.get("title"), **_worth(row),
             "person_id": row.get("person_id"), "url": api.page_url(call, "leads/inbox", row["id"]),
             "created_at": row.get("add_time"), "updated_at": row.get("update_time"), "raw": row}
            for row in rows_of(body)
        ]  # fmt: skip
        following = api.next_start(body, start)
        return ActionAnswer.listed(items, None if following is None else str(following))


def _worth(row: Row) -> dict[str, Any]:
    worth = row.get("value") or {}
    return {name: worth.get(name) for name in ("amount", "currency")}


async def _notes(call: Call, record: Record) -> AsyncIterator[Row]:
    start: int | None = 0
    while start is not None:
        asked = {"person_id": record.id, "sort": "add_time DESC", "start": start, "limit": IDS}
        body = (await call.http.get(f"{V1}/notes", asked)).body()
        for row in rows_of(body):
            yield row
        start = api.next_start(body, start)


async def _planned(call: Call, record: Record) -> AsyncIterator[Row]:
    cursor = None
    while True:
        asked = {
            "person_id": record.id, "sort_by": "update_time", "sort_direction": "desc", "limit": IDS, "cursor": cursor,
        }  # fmt: skip
        body = (await call.http.get(f"{V2}/activities", asked)).body()
        for row in rows_of(body):
            yield row
        if (cursor := api.next_cursor(body, cursor)) is None:
            return
