"""What can be written into a Salesforce contact, as the org's own description of it tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from supportly.contracts.contacts import Record
from supportly.provider import Call
from supportly.providers.salesforce.shapes import eighteen, fields_of, options
from supportly.providers.salesforce.soql import Row, everything, quoted, select

NAME: Final = "Name"
"""Stands for FirstName and LastName together; `Name` itself is read-only."""
ACCOUNT: Final = "Account.Name"
"""Stands for `AccountId`: a contact has no text for its company."""
COUNTRY: Final = "MailingCountry"
COUNTRY_CODE: Final = "MailingCountryCode"
PERSON: Final = {
    "Email": "PersonEmail",
    "MobilePhone": "PersonMobilePhone",
    "MailingCity": "PersonMailingCity",
    COUNTRY: "PersonMailingCountry",
    COUNTRY_CODE: "PersonMailingCountryCode",
}
"""Fields of a person's contact by their names on the Account, to which writes go; `X__c` is `X__pc` there."""


NUMBERS: Final = ("int", "double", "currency", "percent", "long")
TEXTS: Final = frozenset({
    "FirstName", "LastName", "Email", "Phone", "MobilePhone", "AccountId", "MailingCity", COUNTRY, COUNTRY_CODE
})  # fmt: skip
"""Fields that are known to hold texts; of others the type is read before they are written."""


def person_field(name: str) -> str:
    """The Account's name of a person's field."""
    return PERSON.get(name) or (name.removesuffix("__c") + "__pc" if name.endswith("__c") else name)


def name_parts(name: str) -> dict[str, str]:
    """First and last name; a single word is the last name, which Salesforce requires."""
    first, _, last = name.strip().rpartition(" ")
    return {"FirstName": first.strip(), "LastName": last} if first else {"LastName": last}


def body_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Salesforce's own fields of ours. The account is written by `AccountId`, which the caller adds."""
    found = {name: value for name, value in fields.items() if name not in (NAME, ACCOUNT)}
    return (name_parts(fields[NAME]) if NAME in fields else {}) | found


async def check(call: Call, fields: Mapping[str, str], record: Record | None) -> tuple[dict[str, str], dict[str, str]]:
    """Split `fields` by what `describe` says: existence, rights, length, and the values of a picklist."""
    known = await fields_of(call, "Contact") or {}
    kept: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name, value in fields.items():
        if name == ACCOUNT:
            why_not = await _account_refused(call, value, record)
            own = {name: value}
        elif name == NAME:
            own, why_not = {name: value}, _name_refused(known, value, record)
        else:
            own, why_not = _plain(known, name, value, record)
        if why_not:
            skipped[name] = why_not
        else:
            kept |= own
    return kept, skipped


def _plain(known: Mapping[str, Row], name: str, value: str, record: Record | None) -> tuple[dict[str, str], str]:
    field = known.get(name)
    if field is None:
        return {}, "Salesforce has no such field of a contact, or the connected user may not see it."
    if not field.get("updateable" if record else "createable"):
        return {}, "Salesforce does not let the connected user write this field."
    if name == COUNTRY and (codes := options(known.get(COUNTRY_CODE))):
        # With country picklists the text follows from the code, and a text of another spelling is refused.
        code = codes.get(value.casefold())
        if code is None:
            return {}, "The value is none of the org's countries."
        theirs = str(record.raw.get(COUNTRY) or "").casefold() if record else ""
        return ({} if theirs and codes.get(theirs) == code else {COUNTRY_CODE: code}), ""
    if choices := options(field):
        chosen = choices.get(value.casefold())
        if chosen is None:
            return {}, "The value is none of the field's options."
        return ({} if record and record.raw.get(name) == chosen else {name: chosen}), ""
    return {name: value}, _unfit(field, value)


def _unfit(field: Row, value: str) -> str:
    """Why a value does not fit a field, empty when it does."""
    if _typed(field, value) is None:
        return f"The value does not fit a field of type {field.get('type')}."
    most = int(field.get("length") or 0)
    return f"Salesforce takes at most {most} characters here." if most and len(value) > most else ""


def _name_refused(known: Mapping[str, Row], value: str, record: Record | None) -> str:
    for name, part in name_parts(value).items():
        _, why_not = _plain(known, name, part, record)
        if why_not:
            return why_not
    return ""


def _typed(field: Row, value: str) -> str | bool | float | None:
    """A text as JSON of the field's type, None where it is none of it."""
    kind = field.get("type")
    if kind == "boolean":
        return {"true": True, "false": False}.get(value.casefold())
    if kind in NUMBERS:
        try:
            number = float(value)
        except ValueError:
            return None
        return (int(number) if number.is_integer() else number) if math.isfinite(number) else None
    return value


async def typed(call: Call, body: Mapping[str, str]) -> dict[str, Any]:
    """A write's fields as JSON of their types, which are read where a field is not known to be a text."""
    if set(body) <= TEXTS:
        return dict(body)
    known = await fields_of(call, "Contact") or {}
    return {name: _typed(known.get(name, {}), value) for name, value in body.items()}


async def _account_refused(call: Call, name: str, record: Record | None) -> str:
    """Why a contact's company is not written, empty when it can be."""
    if record and record.raw.get("AccountId"):
        return "The contact belongs to another account; moving it changes who may see it and is left to a person."
    ids = await accounts_named(call, name)
    if len(ids) > 1:
        return "Salesforce has several accounts of this name."
    if not ids and not call.settings.create_accounts:
        return "Salesforce has no account of this name; see the setting `create_accounts`."
    return ""


async def accounts_named(call: Call, name: str) -> list[str]:
    """Ids of the accounts with exactly this name (but for case), at most two."""
    rows = await everything(call, select(["Id"], "Account", [f"Name = {quoted(name)}"], order="Id", limit=2))
    return [eighteen(str(row["Id"])) for row in rows]
