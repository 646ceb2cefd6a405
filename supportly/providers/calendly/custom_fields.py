"""Custom fields of Calendly's contacts, by the uuid of their definition (since August 2026).

The reference tells of `uri`, `label` and `field_type`; a third party of `uuid` and `type`. Both are read. One unknown
uuid, or one value of the wrong type, makes Calendly refuse the whole contact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from supportly.provider import Call
from supportly.providers.calendly.api import Row, rows_of

NUMBERS: Final = ("number", "currency")
"""Amounts are in the currency's main unit (corrected by Calendly in October 2026)."""
DATE: Final = r"\d{4}-\d\d-\d\d"


async def definitions(call: Call) -> dict[str, Row]:
    """All custom fields by uuid; this list takes no parameters and has no pages."""
    rows = rows_of((await call.http.get("/contacts/custom_field_definitions")).body())
    return {_uuid(row): row for row in rows}


def values_of(contact: Row) -> dict[str, str | None]:
    """A contact's custom values by the uuid of their field; the entries carry the field's `uri`."""
    entries = contact.get("custom_fields") or []
    return {_uuid(entry): _text(entry.get("value")) for entry in entries if _uuid(entry)}


def checked(known: Row | None, value: str) -> tuple[str, str]:
    """The value as it is to be written, or why it would be refused."""
    if known is None:
        return value, "Calendly has no such field; custom fields are named by the uuid of their definition."
    kind = _kind(known)
    if kind in NUMBERS and _number(value) is None:
        return value, "The field holds a number."
    if kind == "date" and not re.fullmatch(DATE, value):
        return value, "The field holds a date such as 2026-01-31."
    if kind == "single_select":
        chosen = _option(known, value)
        return (str(chosen[0]), "") if chosen else (value, "The value is none of the field's options.")
    return value, ""


def is_set(known: Row, value: str, theirs: str | None) -> bool:
    """True when the contact has this value already; a choice may be told by its uuid or by its label."""
    if theirs is None:
        return False
    if _kind(known) in NUMBERS:
        return _number(value) == _number(theirs)
    if _kind(known) == "tags":
        return _tags(value) == _tags(theirs)
    return theirs in (_option(known, value) or (value,))


def typed(known: Row | None, value: str) -> Any:
    """The value in the type of its field."""
    kind = _kind(known or {})
    if kind in NUMBERS and (number := _number(value)) is not None:
        return int(number) if number.is_integer() else number
    return _tags(value) if kind == "tags" else value


def _uuid(row: Mapping[str, Any]) -> str:
    return str(row.get("uuid") or str(row.get("uri") or "").rpartition("/")[2])


def _kind(known: Mapping[str, Any]) -> str:
    return str(known.get("field_type") or known.get("type") or "")


def _option(known: Row, value: str) -> tuple[str, ...] | None:
    """What the option is written as (its uuid), and by which other texts it is known. Labels mind case there."""
    for option in known.get("options") or []:
        own = option if isinstance(option, dict) else {"label": option}
        texts = tuple(str(own[name]) for name in ("uuid", "value", "label", "name") if own.get(name))
        if value in texts:
            return texts
    return None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _tags(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _text(value: object) -> str | None:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or None
    if isinstance(value, dict):  # a choice that describes itself
        value = value.get("uuid") or value.get("label") or value.get("value")
    return None if value is None else str(value)
