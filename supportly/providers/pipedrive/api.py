"""Pipedrive's answers: two dialects of lists, and the shapes that lookups, activities and actions share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from supportly.contracts.contacts import Record
from supportly.errors import ProviderFailure
from supportly.provider import SAME_PAGE, Call, integer, next_mark, timestamp

V1: Final = "/api/v1"
V2: Final = "/api/v2"
IDS: Final = 100
"""Most ids of one `ids=` parameter."""

Row = dict[str, Any]


def rows_of(body: Mapping[str, Any]) -> list[Row]:
    """The rows of a list; `data` is null where there are none."""
    rows = body.get("data")
    rows = rows.get("items") if isinstance(rows, dict) else rows
    if rows is None and body.get("success") is True:
        return []
    if not isinstance(rows, list):
        raise ProviderFailure("Pipedrive answered a list without `data`.")
    return rows


def row_of(body: Mapping[str, Any]) -> Row:
    """The one record of an answer."""
    row = body.get("data")
    if not isinstance(row, dict):
        raise ProviderFailure("Pipedrive answered a record without `data`.")
    return row


def next_cursor(body: Mapping[str, Any], cursor: str | None) -> str | None:
    """The cursor of the next v2 page. Raises ProviderFailure when it is the one that was just asked for."""
    return next_mark((body.get("additional_data") or {}).get("next_cursor"), cursor)


def next_start(body: Mapping[str, Any], start: int) -> int | None:
    """The offset of the next v1 page; leads tell it flat and without `next_start`."""
    told = body.get("additional_data") or {}
    told = told.get("pagination", told)
    if not told.get("more_items_in_collection"):
        return None
    following = told.get("next_start")
    following = integer(told.get("start")) + integer(told.get("limit")) if following is None else integer(following)
    if following <= start:
        raise ProviderFailure(SAME_PAGE)
    return following


async def read_ids(call: Call, kind: str, ids: Iterable[object]) -> list[Row]:
    """Records by id, at most 100, in the order of `ids`; what is gone is left out."""
    wanted = list(dict.fromkeys(str(i) for i in ids))[:IDS]
    if not wanted:
        return []
    answer = await call.http.get(f"{V2}/{kind}", {"ids": ",".join(wanted), "limit": IDS})
    found = {str(row["id"]): row for row in rows_of(answer.body())}
    return [found[i] for i in wanted if i in found and not found[i].get("is_deleted")]


async def newest(call: Call, kind: str) -> list[Row]:
    """The records that were changed last: a consistent list, where the search may not know them yet."""
    asked = {"sort_by": "update_time", "sort_direction": "desc", "limit": IDS}
    return rows_of((await call.http.get(f"{V2}/{kind}", asked)).body())


async def stage_names(call: Call) -> dict[str, str]:
    """Names of all stages (`s1`) and pipelines (`p1`)."""
    names = {}
    for letter, kind in (("s", "stages"), ("p", "pipelines")):
        for row in rows_of((await call.http.get(f"{V2}/{kind}", {"limit": 500})).body()):
            names[f"{letter}{row['id']}"] = str(row.get("name") or "")
    return names


def page_url(call: Call, kind: str, record_id: object) -> str | None:
    """The page on which a person sees the record."""
    domain = call.facts.get("company_domain")
    return f"https://{domain}.pipedrive.com/{kind}/{record_id}" if domain else None


def primary(values: Sequence[Mapping[str, Any]] | None) -> str | None:
    """The primary value of e-mails or phones, else the first."""
    known = [v for v in values or [] if v.get("value")]
    chosen = next((v for v in known if v.get("primary")), known[0] if known else None)
    return str(chosen["value"]) if chosen else None


def person(call: Call, row: Row) -> Record:
    """A person, normalised."""
    return Record(
        id=str(row["id"]),
        type="person",
        url=page_url(call, "person", row["id"]),
        name=row.get("name") or None,
        email=primary(row.get("emails")),
        phone=primary(row.get("phones")),
        updated_at=timestamp(row.get("update_time") or row.get("add_time")),
        raw=row,
    )


def _item(call: Call, kind: str, row: Row, **own: Any) -> dict[str, Any]:
    times = {"created_at": row.get("add_time"), "updated_at": row.get("update_time") or row.get("add_time")}
    return {"id": str(row["id"]), "type": kind, **own, "url": page_url(call, kind, row["id"]), **times, "raw": row}


def deal(call: Call, row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    """A deal; `stage` and `pipeline` by name where they are known, `amount` a decimal text."""
    stage, pipeline = row.get("stage_id"), row.get("pipeline_id")
    return _item(
        call, "deal", row,
        title=row.get("title"), status=row.get("status"), stage=names.get(f"s{stage}") or stage,
        pipeline=names.get(f"p{pipeline}") or pipeline, amount=str(row.get("value") or 0),
        currency=row.get("currency"), close_date=row.get("expected_close_date"), owner_id=row.get("owner_id"),
    )  # fmt: skip


def company(call: Call, row: Row) -> dict[str, Any]:
    """An organization."""
    address = row.get("address") or {}
    place = {"city": address.get("locality"), "country": address.get("country")}
    own = {"name": row.get("name"), "website": row.get("website"), "address": address.get("value"), **place}
    return {**_item(call, "organization", row, **own), "type": "company"}
