"""HubSpot's contacts: found by consistent reads where there are any, written by properties."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, ClassVar, Final

import phonenumbers
from pydantic import Field

from supportly.contracts.contacts import Contact, Record
from supportly.errors import InvalidInput, ProviderFailure
from supportly.http import segment
from supportly.provider import FIRST_PAGE, Call, ProviderSettings, WritesContacts, absent_as_none, e164
from supportly.providers.hubspot import crm
from supportly.providers.hubspot.crm import OBJECTS, VERSION, Row, results

CONTACTS: Final = f"{OBJECTS}/contacts"
SHOWN: Final = (
    "firstname", "lastname", "email", "hs_additional_emails", "phone", "mobilephone", "company", "city", "country",
)  # fmt: skip
"""Contact properties that are always read; those of a custom mapping join them."""
ASSOCIATED: Final = "deals,companies,notes,calls,tasks"
"""Comes with a contact read by id or e-mail, which spares a lookup five calls."""
DIGITS: Final = r"^\d{1,20}$"
"""HubSpot's ids."""


class HubSpotSettings(ProviderSettings):
    """Settings of HubSpot."""

    contact_id_property: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9_]{0,99}$",
        description="Internal name of a contact property with unique values that holds the Supportly contact's id; "
        "contacts that we create get it, and contacts are found by it. Null: not used.",
    )
    owner_id: str | None = Field(
        None, pattern=DIGITS, description="HubSpot owner of the notes, calls and tasks that we log; null: nobody."
    )


class HubSpotContacts(WritesContacts):
    """Finds, creates and updates contacts, and gathers what a lookup shows of them."""

    settings: ClassVar[type[ProviderSettings]] = HubSpotSettings
    mapping: ClassVar[Mapping[str, str]] = {
        "firstname": "first_name",
        "lastname": "last_name",
        "email": "email",
        "phone": "phone_number",
        "company": "company",
        "city": "city",
        "country": "country",
    }

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The contact; the id of a merged one leads to the one that is left."""
        return await self._read(call, record_id)

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """By a read that does not lag; where it finds nothing, by search among the secondary addresses."""
        if record := await self._read(call, email, by="email"):
            return [record]
        return await self._search(call, [("hs_additional_emails", "CONTAINS_TOKEN", email)])

    async def by_phone(self, call: Call, phone: str) -> list[Record]:
        """By search: HubSpot indexes the number without its country code, so hits are candidates only."""
        national = phonenumbers.national_significant_number(phonenumbers.parse(phone, None))
        loose = ("hs_searchable_calculated_phone_number", "hs_searchable_calculated_mobile_number")
        wanted = [(name, "CONTAINS_TOKEN", f"*{national}") for name in loose]
        return await self._search(call, [*wanted, ("phone", "EQ", phone), ("mobilephone", "EQ", phone)])

    async def by_external_id(self, call: Call, contact_id: str) -> list[Record]:
        """By the unique property of the settings, where there is one."""
        name = call.settings.contact_id_property
        if not name:
            return []
        try:
            record = await self._read(call, contact_id, by=name)
        except ProviderFailure as error:
            if error.provider_status != 400:
                raise
            text = f"HubSpot has no contact property `{name}` with unique values; create it or clear the setting."
            raise InvalidInput(text, field="settings.contact_id_property", details=error.details) from None
        return [record] if record else []

    def emails_of(self, record: Record) -> set[str]:
        """The primary and the secondary addresses."""
        more = str(record.raw["properties"].get("hs_additional_emails") or "").split(";")
        return super().emails_of(record) | {text.strip().casefold() for text in more if text.strip()}

    def phones_of(self, record: Record) -> set[str]:
        """Phone and mobile phone."""
        own = record.raw["properties"]
        return {number for name in ("phone", "mobilephone") if (number := e164(own.get(name)))}

    def current(self, record: Record) -> Mapping[str, str | None]:
        """The properties that were read."""
        own: Mapping[str, str | None] = record.raw["properties"]
        return own

    def same(self, name: str, ours: str, theirs: str | None) -> bool:
        """As elsewhere; and equal texts are the same, also where they are no possible phone number."""
        return ours == (theirs or "").strip() or super().same(name, ours, theirs)

    async def writable(
        self, call: Call, fields: dict[str, str], record: Record | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Leaves out what HubSpot would refuse, and turns an option's label into its internal value."""
        kept, skipped = dict(fields), {}
        email = fields.get("email", "").casefold()
        if record and email != (record.email or "").casefold() and email in self.emails_of(record):
            skipped["email"] = "It is a secondary address of the contact already."
        if custom := [name for name in fields if name not in self.mapping]:
            answer = await call.http.get(f"/crm/properties/{VERSION}/contacts")
            known = {row["name"]: row for row in results(answer.body())}
            for name in custom:
                kept[name], why_not = _internal(known.get(name), fields[name])
                if why_not:
                    skipped[name] = why_not
                elif record and self.same(name, kept[name], self.current(record).get(name)):
                    del kept[name]
        return {name: value for name, value in kept.items() if name not in skipped}, skipped

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Creates; the contact that a 409 names is updated and answered instead."""
        if not any(fields.get(name) for name in ("email", "firstname", "lastname")):
            raise InvalidInput("HubSpot needs a name or an e-mail address to create a contact.", field="email")
        properties = dict(fields)
        if name := call.settings.contact_id_property:
            properties[name] = str(contact.id)
        try:
            answer = await call.http.post(CONTACTS, {"properties": properties, "associations": []})
        except ProviderFailure as error:
            if error.provider_status != 409:
                raise
            there = await self._in_the_way(call, contact, error)
            kept, _ = await self.writable(call, properties, there)
            now = self.current(there)
            changed = {name: value for name, value in kept.items() if not self.same(name, value, now.get(name))}
            return await self.update(call, there, changed) if changed else there
        return crm.contact(call.facts, dict(answer.body()))

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Writes the changed properties."""
        body = (await call.http.patch(f"{CONTACTS}/{segment(record.id)}", {"properties": dict(fields)})).body()
        properties = {**record.raw["properties"], **fields, **body.get("properties", {})}
        return crm.contact(call.facts, {**record.raw, **body, "properties": properties})

    async def _read(self, call: Call, key: str, by: str | None = None) -> Record | None:
        row: Row = {}
        for names in crm.portions(property_names(call)):
            asked = {"idProperty": by, "properties": names, "associations": ASSOCIATED}
            answer = await absent_as_none(call.http.get(f"{CONTACTS}/{segment(key)}", asked))
            if answer is None:
                return None
            body = answer.body()
            # They were asked for: where HubSpot names none, there are none.
            links = {"associations": body.get("associations") or {}}
            row = {**body, **links, "properties": {**row.get("properties", {}), **body["properties"]}}
        return crm.contact(call.facts, row)

    async def _search(self, call: Call, any_of: Sequence[tuple[str, str, str]]) -> list[Record]:
        groups = [{"filters": [{"propertyName": n, "operator": o, "value": v}]} for n, o, v in any_of]
        hits = results((await crm.search(call, "contacts", {"filterGroups": groups})).body())
        # Read again, because the index lags, and a search of 3,000 characters may not hold all property names.
        rows = await crm.read_batch(call, "contacts", [str(hit["id"]) for hit in hits], property_names(call))
        return [crm.contact(call.facts, row) for row in rows]

    async def _in_the_way(self, call: Call, contact: Contact, error: ProviderFailure) -> Record:
        """The contact that made HubSpot answer 409, else that error again."""
        existing = error.details.get("existing_id")
        if existing and (record := await self.by_id(call, existing)):
            return record
        found = await self.find(call, contact, None)
        if len(found) != 1:
            raise error
        return found[0]

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """Deals, the newest notes, calls and tasks, and companies."""
        return {
            "deals": self._deals(call, record),
            "activities": self._activities(call, record),
            "companies": self._companies(call, record),
        }

    async def _deals(self, call: Call, record: Record) -> list[dict[str, Any]]:
        ids = await crm.known_ids(call, record, "deals")
        if not ids:
            return []
        rows, labels = await asyncio.gather(crm.read_batch(call, "deals", ids, crm.DEAL), crm.stage_labels(call))
        return [crm.deal(call.facts, row, labels) for row in rows]

    async def _companies(self, call: Call, record: Record) -> list[dict[str, Any]]:
        ids = await crm.known_ids(call, record, "companies")
        return [crm.company(call.facts, row) for row in await crm.read_batch(call, "companies", ids, crm.COMPANY)]

    async def _activities(self, call: Call, record: Record) -> list[dict[str, Any]]:
        async def of(kind: str) -> list[dict[str, Any]]:
            ids = await crm.known_ids(call, record, kind)
            rows = await crm.read_batch(call, kind, ids[:FIRST_PAGE], crm.ACTIVITY[kind])
            return [crm.activity(call.facts, kind, row, record.id) for row in rows]

        found = await asyncio.gather(*(of(kind) for kind in crm.ACTIVITY))
        return sorted((item for items in found for item in items), key=lambda item: str(item["at"] or ""), reverse=True)


def property_names(call: Call) -> list[str]:
    """Names of all contact properties that this account's work needs."""
    extra = [*(call.settings.field_mapping or {}), call.settings.contact_id_property]
    return list(dict.fromkeys([*SHOWN, *(name for name in extra if name)]))


def _internal(known: Row | None, value: str) -> tuple[str, str]:
    """The value as the property wants it, or why it cannot be written."""
    if known is None or known.get("archived"):
        return value, "HubSpot has no such contact property."
    if known.get("calculated") or (known.get("modificationMetadata") or {}).get("readOnlyValue"):
        return value, "HubSpot does not let this property be written."
    if known.get("type") == "bool":
        return value.lower(), ""
    options: dict[str, str] = {}
    for option in known.get("options") or []:
        own = str(option["value"])
        options |= {own.casefold(): own} | {str(option.get("label") or own).casefold(): own}
    if not options:
        return value, ""
    parts = value.split(";") if known.get("fieldType") == "checkbox" else [value]
    chosen = [options.get(part.strip().casefold()) for part in parts]
    if not all(chosen):
        return value, "The value is none of the property's options."
    return ";".join(part for part in chosen if part), ""
