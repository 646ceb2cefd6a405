"""Pipedrive's persons: found by search, read again by id, written with what is there kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final

import phonenumbers
from pydantic import Field

from supportly.contracts.contacts import Contact, Record
from supportly.errors import InvalidInput
from supportly.http import segment
from supportly.provider import Call, ProviderSettings, WritesContacts, absent_as_none, e164, integer
from supportly.providers.pipedrive import api
from supportly.providers.pipedrive.api import IDS, V1, V2, Row, row_of, rows_of

HASH: Final = r"^[0-9a-f]{40}$"
"""A custom field's key; it is another one in every company."""


STYLES: Final = (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL)
"""Ways to write a number besides E.164; the last one without its country."""


class PipedriveSettings(ProviderSettings):
    """Settings of Pipedrive."""

    contact_id_field: str | None = Field(
        None,
        pattern=HASH,
        description="Key (40 characters) of a person's custom field that holds the Supportly contact's id; persons "
        "that we create get it, and persons are found by it. Null: not used.",
    )
    call_type: str = Field(
        "call", pattern=r"^[a-z0-9_]{1,50}$", description="Key of the activity type that a call is logged as."
    )
    task_type: str = Field(
        "task", pattern=r"^[a-z0-9_]{1,50}$", description="Key of the activity type that a task is logged as."
    )
    owner_id: int | None = Field(
        None, gt=0, description="Pipedrive user who owns the calls and tasks that we log; null: the connected user."
    )


class PipedrivePersons(WritesContacts):
    """Finds, creates and updates persons."""

    settings: ClassVar[type[ProviderSettings]] = PipedriveSettings
    mapping: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "email": "email",
        "phone": "phone_number",
        "company": "company",
    }

    async def find(self, call: Call, contact: Contact, linked: str | None) -> list[Record]:
        """As elsewhere; where nothing is found, also among the persons that were changed last.

        Pipedrive neither checks duplicates nor says how long its search lags: what we made a moment ago is only there.
        """
        if found := await super().find(call, contact, linked):
            return found
        email, phone = (contact.email or "").strip().casefold(), e164(contact.phone_number)
        if not email and not phone:
            return []
        records = [api.person(call, row) for row in await api.newest(call, "persons") if not row.get("is_deleted")]
        by_email = [r for r in records if email and email in self.emails_of(r)]
        return by_email or [r for r in records if phone and phone in self.phones_of(r)]

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The person; None when it is deleted (for thirty days it can be restored there)."""
        found = await absent_as_none(call.http.get(f"{V2}/persons/{segment(record_id)}"))
        row = row_of(found.body()) if found else {"is_deleted": True}
        return None if row.get("is_deleted") else api.person(call, row)

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """By exact search, which ignores case."""
        return await self._search(call, email, "email")

    async def by_phone(self, call: Call, phone: str) -> list[Record]:
        """Numbers stay as they were typed, so the usual ways to write one are searched, also without the country."""
        number = phonenumbers.parse(phone, None)
        shown = [phonenumbers.format_number(number, style) for style in STYLES]
        forms = dict.fromkeys((phone, *shown, re.sub(r"\D", "", shown[-1])))
        hits = await asyncio.gather(*(self._search(call, form, "phone") for form in forms))
        return [_with_country(record, phone) for found in hits for record in found]

    async def by_external_id(self, call: Call, contact_id: str) -> list[Record]:
        """By the custom field of the settings, where there is one."""
        if not (field := call.settings.contact_id_field):
            return []
        asked = {"entity_type": "person", "field": field, "match": "exact", "term": contact_id, "limit": IDS}
        hits = rows_of((await call.http.get(f"{V2}/itemSearch/field", asked)).body())
        # The documented schema and its example disagree: the record stands under `item`, or is the row itself.
        return await self._read(call, [hit.get("item", hit)["id"] for hit in hits])

    async def _search(self, call: Call, term: str, field: str) -> list[Record]:
        asked = {"term": term, "fields": field, "exact_match": True, "limit": IDS}
        hits = rows_of((await call.http.get(f"{V2}/persons/search", asked)).body())
        return await self._read(call, [hit["item"]["id"] for hit in hits])

    @staticmethod
    async def _read(call: Call, ids: list[Any]) -> list[Record]:
        return [api.person(call, row) for row in await api.read_ids(call, "persons", ids)]

    def emails_of(self, record: Record) -> set[str]:
        """All addresses."""
        return {str(e["value"]).strip().casefold() for e in record.raw.get("emails") or [] if e.get("value")}

    def phones_of(self, record: Record) -> set[str]:
        """All numbers that name their country, and one that was found without it (see `by_phone`)."""
        numbers = {n for p in record.raw.get("phones") or [] if (n := e164(str(p.get("value") or "")))}
        return numbers | super().phones_of(record)

    def current(self, record: Record) -> Mapping[str, str | None]:
        """Name, primary address and number, and custom fields by their keys; the company is compared in `writable`."""
        custom = {k: None if v is None else str(v) for k, v in (record.raw.get("custom_fields") or {}).items()}
        return {"name": record.name, "email": record.email, "phone": record.phone, **custom}

    async def writable(
        self, call: Call, fields: dict[str, str], record: Record | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Leaves out what Pipedrive would refuse or has already, and turns an option's label into its id."""
        kept, skipped = dict(fields), {}
        email = fields.get("email", "").casefold()
        if record and email != (record.email or "").casefold() and email in self.emails_of(record):
            skipped["email"] = "It is a secondary address of the person already."
        if record and "company" in kept and (org := record.raw.get("org_id")):
            known = await absent_as_none(call.http.get(f"{V2}/organizations/{segment(org)}"))
            if known and str(row_of(known.body()).get("name") or "").casefold() == kept["company"].casefold():
                del kept["company"]
        if custom := [name for name in fields if name not in self.mapping]:
            known_fields = await self._fields(call)
            for name in custom:
                kept[name], why_not = _internal(known_fields.get(name), fields[name])
                if why_not:
                    skipped[name] = why_not
        return {name: value for name, value in kept.items() if name not in skipped}, skipped

    @staticmethod
    async def _fields(call: Call) -> dict[str, Row]:
        found: dict[str, Row] = {}
        cursor = None
        while True:
            body = (await call.http.get(f"{V2}/personFields", {"limit": 500, "cursor": cursor})).body()
            found |= {str(row["field_code"]): row for row in rows_of(body)}
            if (cursor := api.next_cursor(body, cursor)) is None:
                return found

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Creates; a name is required, and the address or the number stands in for a missing one."""
        name = fields.get("name") or fields.get("email") or fields.get("phone")
        if not name:
            raise InvalidInput("Pipedrive needs a name, an e-mail address or a phone number.", field="name")
        body = await self._body(call, {**fields, "name": name}, None)
        if field := call.settings.contact_id_field:
            body["custom_fields"] = {**body.get("custom_fields", {}), field: str(contact.id)}
        return api.person(call, row_of((await call.http.post(f"{V2}/persons", body)).body()))

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Writes the changed fields; lists are replaced as a whole, so what was there is sent along."""
        body = await self._body(call, fields, record)
        return api.person(call, row_of((await call.http.patch(f"{V2}/persons/{segment(record.id)}", body)).body()))

    async def _body(self, call: Call, fields: Mapping[str, str], record: Record | None) -> dict[str, Any]:
        body: dict[str, Any] = {"name": fields["name"]} if "name" in fields else {}
        for name, plural in (("email", "emails"), ("phone", "phones")):
            if name in fields:
                there = record.raw.get(plural) or [] if record else []
                old = [o for o in there if not self.same(name, fields[name], str(o["value"]))]
                kept = [{"value": o["value"], "primary": False, "label": o.get("label") or "work"} for o in old]
                body[plural] = [{"value": fields[name], "primary": True, "label": "work"}, *kept]
        if "company" in fields:
            body["org_id"] = await self._organization(call, fields["company"])
        custom = [name for name in fields if name not in self.mapping]
        if custom:
            known = await self._fields(call)
            body["custom_fields"] = {name: _typed(known.get(name), fields[name]) for name in custom}
        return body

    @staticmethod
    async def _organization(call: Call, name: str) -> int:
        """Id of the organization with this name: by search, among the newest, else a new one."""
        asked = {"term": name, "fields": "name", "exact_match": True, "limit": IDS}
        hits = [hit["item"] for hit in rows_of((await call.http.get(f"{V2}/organizations/search", asked)).body())]
        for row in hits or await api.newest(call, "organizations"):
            if str(row.get("name") or "").casefold() == name.casefold():
                return integer(row["id"])
        return integer(row_of((await call.http.post(f"{V2}/organizations", {"name": name})).body())["id"])

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """Deals, notes with calls and tasks, and the organization."""
        return {
            "deals": self._deals(call, record),
            "activities": self._activities(call, record),
            "companies": self._companies(call, record),
        }

    @staticmethod
    async def _deals(call: Call, record: Record) -> list[dict[str, Any]]:
        rows = rows_of((await call.http.get(f"{V2}/deals", {"person_id": record.id, "limit": IDS})).body())
        names = await api.stage_names(call) if rows else {}
        return [api.deal(call, row, names) for row in rows]

    @staticmethod
    async def _companies(call: Call, record: Record) -> list[dict[str, Any]]:
        org = record.raw.get("org_id")
        return [api.company(call, row) for row in await api.read_ids(call, "organizations", [org] if org else [])]

    @staticmethod
    async def _activities(call: Call, record: Record) -> list[dict[str, Any]]:
        planned, notes = await asyncio.gather(
            call.http.get(f"{V2}/activities", {"person_id": record.id, "limit": IDS}),
            call.http.get(f"{V1}/notes", {"person_id": record.id, "sort": "add_time DESC", "limit": IDS}),
        )
        found = [
            {"id": str(row["id"]), "type": row.get("type"), "title": row.get("subject"), "body": row.get("note"),
             "status": "done" if row.get("done") else "open", "at": row.get("due_date") or row.get("add_time"),
             "url": record.url, "raw": row}
            for row in rows_of(planned.body())
        ]  # fmt: skip
        found += [
            {"id": str(row["id"]), "type": "note", "title": None, "body": row.get("content"), "status": None,
             "at": row.get("add_time"), "url": record.url, "raw": row}
            for row in rows_of(notes.body())
        ]  # fmt: skip
        return sorted(found, key=lambda item: str(item["at"] or ""), reverse=True)


def _with_country(record: Record, wanted: str) -> Record:
    """The record; with `wanted` as its number where that stands there as it is dialled within its country."""
    region = phonenumbers.region_code_for_number(phonenumbers.parse(wanted, None))
    for typed in (str(p.get("value") or "") for p in record.raw.get("phones") or []):
        try:
            number = phonenumbers.parse(typed, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == wanted:
            return record.model_copy(update={"phone": wanted})
    return record


def _options(known: Row | None) -> dict[str, str]:
    return {str(o.get("label") or "").casefold(): str(o["id"]) for o in (known or {}).get("options") or []}


def _internal(known: Row | None, value: str) -> tuple[str, str]:
    """The value as the field holds it, or why it cannot be written."""
    if known is None or not known.get("is_custom_field"):
        return value, "Pipedrive has no such custom field of persons; its key has 40 characters."
    kind, options = known.get("field_type"), _options(known)
    if kind in ("enum", "set"):
        chosen = options.get(value.casefold(), value if value in options.values() else "")
        return (chosen, "") if chosen else (value, "The value is none of the field's options.")
    if kind in ("double", "int", "monetary"):
        try:
            float(value)
        except ValueError:
            return value, "The field holds a number."
    return value, ""


def _typed(known: Row | None, value: str) -> Any:
    """The value in the type that v2 insists on."""
    kind = (known or {}).get("field_type")
    if kind == "enum":
        return int(value)
    if kind == "set":
        return [int(value)]
    return float(value) if kind in ("double", "int") else value
