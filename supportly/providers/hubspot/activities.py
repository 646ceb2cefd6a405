"""What is done on HubSpot's records: notes, calls and tasks, and the actions."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Final

from pydantic import Field

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.contacts import ActivityJob, Record, RecordRef
from supportly.errors import InvalidInput, UnsupportedByProvider
from supportly.oauth import now_utc
from supportly.provider import Call, LogsActivities, PagedParams, action
from supportly.providers.hubspot import crm
from supportly.providers.hubspot.contacts import DIGITS, SHOWN
from supportly.providers.hubspot.crm import BATCH, OBJECTS, results

LONGEST_BODY: Final = 65_536
"""Characters of a note, its markup included."""
TITLE: Final = 100
"""Characters of a call's title or a task's subject: their first line, cut to fit HubSpot's cards."""
TASK_DUE: Final = timedelta(days=1)
"""A task needs a due time and a request names none: tomorrow."""
LINKS: Final = {"notes": 202, "calls": 194, "tasks": 204}
"""HubSpot's association type ids from an activity to a contact."""


class Linked(PagedParams):
    """A page of objects, of one contact or of the whole account."""

    record_id: str | None = Field(
        None, pattern=DIGITS, description="Id of a HubSpot contact: only what is linked to it."
    )


class Search(PagedParams):
    """A page of contacts that hold some text."""

    query: str = Field(min_length=1, max_length=200, description="Text in a name, e-mail address, number or company.")


class HubSpotActivities(LogsActivities):
    """Logs activities and runs actions."""

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """Creates and links the activity in one call; its page is the contact's."""
        if job.target:
            raise UnsupportedByProvider("HubSpot logs on the contact itself; leave `target` out.", field="target")
        kind = f"{job.kind}s"
        # The body is HTML, the content is not.
        body = html.escape(f"{job.content}\n\n[{call.marker}]", quote=False).replace("\n", "<br>")
        if len(body) > LONGEST_BODY:
            raise InvalidInput(f"HubSpot takes at most {LONGEST_BODY} characters.", field="content")
        title = job.content.strip().partition("\n")[0][:TITLE]
        due = now_utc() + (TASK_DUE if job.kind == "task" else timedelta())
        own = {
            "note": {"hs_note_body": body},
            "call": {"hs_call_title": title, "hs_call_body": body, "hs_call_status": "COMPLETED"},
            "task": {
                "hs_task_subject": title,
                "hs_task_body": body,
                "hs_task_status": "NOT_STARTED",
                "hs_task_type": "TODO",
            },
        }[job.kind]
        properties = {"hs_timestamp": due.isoformat(timespec="milliseconds").replace("+00:00", "Z"), **own}
        if owner := call.settings.owner_id:
            properties["hubspot_owner_id"] = owner
        link = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": LINKS[kind]}
        wanted = {"properties": properties, "associations": [{"to": {"id": record.id}, "types": [link]}]}
        made = (await call.http.post(f"{OBJECTS}/{kind}", wanted)).body()
        return RecordRef(id=str(made["id"]), url=record.url)

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Reads what is linked to the contact, newest first, for the marker; the search index would lag."""
        kind = f"{job.kind}s"
        ids = await crm.linked_ids(call, record.id, kind)
        for start in range(0, len(ids), BATCH):
            for row in await crm.read_batch(call, kind, ids[start : start + BATCH], crm.ACTIVITY[kind]):
                if f"[{call.marker}]" in str(row["properties"].get(f"hs_{job.kind}_body")):
                    return RecordRef(id=str(row["id"]), url=record.url)
        return None

    @action(params=Linked, description="Deals of the account, or of one contact.", example={"limit": 10})
    async def get_deals(self, call: Call, params: Linked) -> ActionAnswer:
        """Deals with the labels of their stages."""
        rows, following = await crm.page_of(call, "deals", params, crm.DEAL, params.record_id)
        labels = await crm.stage_labels(call) if rows else {}
        return ActionAnswer.listed([crm.deal(call.facts, row, labels) for row in rows], following)

    @action(params=Linked, description="Companies of the account, or of one contact.", example={"limit": 10})
    async def get_companies(self, call: Call, params: Linked) -> ActionAnswer:
        """Companies."""
        rows, following = await crm.page_of(call, "companies", params, crm.COMPANY, params.record_id)
        return ActionAnswer.listed([crm.company(call.facts, row) for row in rows], following)

    @action(params=Search, description="Contacts that hold some text.", example={"query": "ada@example.com"})
    async def search_contacts(self, call: Call, params: Search) -> ActionAnswer:
        """Contacts from HubSpot's search index, which lags by moments up to minutes."""
        place = params.cursor or "0"
        if not re.fullmatch(DIGITS, place) or int(place) + params.limit > crm.SEARCH_DEPTH:
            text = "`cursor` is not one of this search, or lies past the 10,000 contacts that HubSpot shows; narrow it."
            raise InvalidInput(text, field="params.cursor")
        wanted = {"query": params.query, "properties": list(SHOWN), "limit": params.limit}
        body = (await crm.search(call, "contacts", wanted | {"after": place})).body()
        records = [crm.contact(call.facts, row).model_dump(mode="json") for row in results(body)]
        following = crm.next_after(body, params.cursor)
        # HubSpot answers 400 past its cap, also where it named the page itself.
        deep = following and following.isdecimal() and int(following) + params.limit > crm.SEARCH_DEPTH
        return ActionAnswer.listed(records, None if deep else following)
