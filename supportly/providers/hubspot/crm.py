"""HubSpot's CRM objects: paths, shapes, and the reads that lookups, activities and actions share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from supportly.contracts.contacts import Record
from supportly.errors import InvalidInput, ProviderFailure
from supportly.http import Answer
from supportly.provider import FIRST_PAGE, Call, PagedParams, integer, next_mark, timestamp

VERSION: Final = "2026-09"
"""The newest stable date version; 2026-03 still works, v1 to v4 end in 2027."""
OBJECTS: Final = f"/crm/objects/{VERSION}"
ASSOCIATIONS: Final = f"/crm/associations/{VERSION}"
BATCH: Final = 100
"""Most inputs of one batch read."""
SEARCH_DEPTH: Final = 10_000
"""Results that one search gives; beyond them HubSpot answers 400."""
LONGEST_NAMES: Final = 10_000
"""Characters of property names in one address; addresses break at about 15,000 (reported: airbyte PR 74046)."""
HOME: Final = "app.hubspot.com"
"""Where people see records, unless the account's `uiDomain` says otherwise (EU accounts: app-eu1)."""

Row = dict[str, Any]
"""HubSpot's object: `{id, properties, createdAt, updatedAt, archived, associations?}`; every property is a text."""

TYPE_IDS: Final = {"contacts": "0-1", "companies": "0-2", "deals": "0-3", "products": "0-7"}
DEAL: Final = ("dealname", "amount", "dealstage", "pipeline", "closedate", "deal_currency_code", "hubspot_owner_id")
COMPANY: Final = ("name", "domain", "phone", "city", "country", "industry")
ACTIVITY: Final[Mapping[str, tuple[str, ...]]] = {
    "notes": ("hs_timestamp", "hs_note_body", "hubspot_owner_id"),
    "calls": ("hs_timestamp", "hs_call_title", "hs_call_body", "hs_call_status", "hs_call_direction"),
    "tasks": ("hs_timestamp", "hs_task_subject", "hs_task_body", "hs_task_status", "hs_task_priority"),
}
"""Plural -> the properties read; a note's, call's or task's own names differ in their prefix only."""


def page_url(facts: Mapping[str, str], kind: str, record_id: str) -> str | None:
    """The page on which a person sees the record; None before the account's id is known."""
    home = facts.get("ui_domain", HOME)
    home = home if re.fullmatch(r"[a-z0-9-]+\.hubspot\.com", home) else HOME
    hub = facts.get("hub_id")
    return f"https://{home}/contacts/{hub}/record/{TYPE_IDS[kind]}/{record_id}" if hub else None


def results(body: Mapping[str, Any]) -> list[Row]:
    """The rows of a list, search or batch answer."""
    rows = body.get("results")
    if not isinstance(rows, list):
        raise ProviderFailure("HubSpot answered a list without `results`.")
    return rows


def next_after(body: Mapping[str, Any], after: str | None = None) -> str | None:
    """The `after` of the next page. Raises ProviderFailure when it is the one that was just asked for."""
    return next_mark(((body.get("paging") or {}).get("next") or {}).get("after"), after)


def portions(names: Iterable[str]) -> list[str]:
    """Property names joined by commas, in as many texts as their length in an address needs."""
    found = [""]
    for name in names:
        # A comma takes three characters there.
        if len(found[-1]) + 2 * found[-1].count(",") + len(name) + 3 > LONGEST_NAMES:
            found.append("")
        found[-1] += f",{name}" if found[-1] else name
    return found


def newest_first(ids: Iterable[str]) -> list[str]:
    """Distinct ids, the highest (most recently made) first."""
    return sorted({str(i) for i in ids}, key=lambda i: (len(i), i), reverse=True)


async def linked_ids(call: Call, contact_id: str, kind: str) -> list[str]:
    """Ids of all `kind` objects linked to a contact, newest first; a consistent read, not the search index."""
    found: list[str] = []
    after: str | None = None
    while True:
        asked = {"id": contact_id} | ({"after": after} if after else {})
        body = (await call.http.post(f"{ASSOCIATIONS}/contacts/{kind}/batch/read", {"inputs": [asked]})).body()
        # No link at all is a 207 with an error row and no result.
        row = next(iter(results(body)), {})
        found += [str(to["toObjectId"]) for to in row.get("to", [])]
        after = next_after(row, after)
        if after is None:
            return newest_first(found)


async def known_ids(call: Call, record: Record, kind: str) -> list[str]:
    """As `linked_ids`, from the associations that came with the contact where those are complete."""
    if (came := record.raw.get("associations")) is not None:
        part = came.get(kind) or {}
        if next_after(part) is None:
            return newest_first(row["id"] for row in part.get("results", []))
    return await linked_ids(call, record.id, kind)


async def read_batch(call: Call, kind: str, ids: Sequence[str], properties: Iterable[str]) -> list[Row]:
    """At most 100 objects by id, in the order of `ids`; those that are gone are left out."""
    if not ids:
        return []
    # The contract marks `propertiesWithHistory` as required.
    wanted = {
        "properties": list(properties),
        "propertiesWithHistory": [],
        "inputs": [{"id": i} for i in ids[:BATCH]],
    }
    body = (await call.http.post(f"{OBJECTS}/{kind}/batch/read", wanted)).body()
    rows = {str(row["id"]): row for row in results(body)}
    return [rows[i] for i in ids if i in rows]


async def page_of(
    call: Call, kind: str, params: PagedParams, properties: Sequence[str], contact_id: str | None
) -> tuple[list[Row], str | None]:
    """One page of all `kind` objects, or of those linked to a contact, and the cursor of the next."""
    if contact_id is None:
        asked = {"limit": params.limit, "after": params.cursor, "properties": ",".join(properties)}
        body = (await call.http.get(f"{OBJECTS}/{kind}", asked)).body()
        return results(body), next_after(body, params.cursor)
    if params.cursor is not None and not params.cursor.isdecimal():
        raise InvalidInput("`cursor` is not one that this action gave.", field="params.cursor")
    ids = await linked_ids(call, contact_id, kind)
    if params.cursor is not None:
        ids = [i for i in ids if integer(i) < integer(params.cursor)]
    shown = ids[: params.limit]
    return await read_batch(call, kind, shown, properties), shown[-1] if len(ids) > len(shown) else None


async def search(call: Call, kind: str, wanted: Mapping[str, Any]) -> Answer:
    """One search: `{results, total, paging?}`. Its index lags writes by moments up to minutes.

    The contract marks all of these members as required, and a sort as a property's name, `-` before it for descending.
    """
    whole = {"filterGroups": [], "sorts": [], "properties": [], "limit": FIRST_PAGE, "after": "0", **wanted}
    return await call.http.post(f"{OBJECTS}/{kind}/search", whole)


async def stage_labels(call: Call) -> dict[str, str]:
    """Labels of all deal pipelines and stages by id; empty where the grant may not read them."""
    try:
        body = (await call.http.get(f"/crm/pipelines/{VERSION}/deals")).body()
    except ProviderFailure as error:
        if error.provider_status != 403:
            raise
        return {}
    both = [part for pipeline in results(body) for part in (pipeline, *pipeline.get("stages", []))]
    return {str(part["id"]): str(part["label"]) for part in both}


def contact(facts: Mapping[str, str], row: Row) -> Record:
    """A contact, normalised."""
    own = row["properties"]
    return Record(
        id=str(row["id"]),
        url=page_url(facts, "contacts", str(row["id"])),
        name=" ".join(filter(None, (own.get("firstname"), own.get("lastname")))) or None,
        email=own.get("email") or None,
        phone=own.get("phone") or own.get("mobilephone") or None,
        updated_at=timestamp(row.get("updatedAt")),
        raw=row,
    )


def _item(facts: Mapping[str, str], kind: str, row: Row, **own: Any) -> dict[str, Any]:
    times = {"created_at": row.get("createdAt"), "updated_at": row.get("updatedAt")}
    return {"id": str(row["id"]), **own, "url": page_url(facts, kind, str(row["id"])), **times, "raw": row}


def deal(facts: Mapping[str, str], row: Row, labels: Mapping[str, str]) -> dict[str, Any]:
    """A deal, normalised; `status` is its stage's label, `amount` a decimal text."""
    own = row["properties"]
    stage, pipeline = own.get("dealstage") or "", own.get("pipeline") or ""
    return _item(
        facts, "deals", row,
        type="deal", title=own.get("dealname"), status=labels.get(stage, stage), stage=stage,
        pipeline=labels.get(pipeline, pipeline), amount=own.get("amount"), currency=own.get("deal_currency_code"),
        close_date=own.get("closedate"), owner_id=own.get("hubspot_owner_id"),
    )  # fmt: skip


def company(facts: Mapping[str, str], row: Row) -> dict[str, Any]:
    """A company, normalised."""
    return _item(facts, "companies", row, type="company", **{name: row["properties"].get(name) for name in COMPANY})


def activity(facts: Mapping[str, str], kind: str, row: Row, contact_id: str) -> dict[str, Any]:
    """A note, call or task, normalised; its page is the contact's. `body` is HTML; `at` is a task's due time."""
    own, one = row["properties"], kind[:-1]
    item = _item(
        facts, "contacts", row,
        type=one, title=own.get(f"hs_{one}_title") or own.get(f"hs_{one}_subject"), body=own.get(f"hs_{one}_body"),
        status=own.get(f"hs_{one}_status"), at=own.get("hs_timestamp"),
    )  # fmt: skip
    return {**item, "url": page_url(facts, "contacts", contact_id)}
