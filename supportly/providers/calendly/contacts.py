"""Calendly's contacts (an API of May 2026), and invitees where the permission for contacts is missing."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final, NoReturn

from pydantic import Field

from supportly.contracts.contacts import Contact, Record
from supportly.errors import InvalidInput, ProviderFailure, UnsupportedByProvider
from supportly.provider import Call, ProviderSettings, WritesContacts, absent_as_none, e164
from supportly.providers.calendly import api, custom_fields
from supportly.providers.calendly.api import LIST, Row, row_of, rows_of

MOST_LISTED: Final = 10
"""E-mail addresses, and phone numbers, of one contact."""
EVENTS: Final = 5
"""Meetings that a lookup shows, and that are searched for an invitee: the latest ones."""
PLAIN: Final = ("name", "company", "job_title", "city", "state", "country", "timezone", "linkedin")
"""Text fields of a contact."""


class CalendlySettings(ProviderSettings):
    """Settings of Calendly."""

    organization_wide: bool = Field(
        True,
        description="Read event types and meetings of the whole organization, where the connected user may; false: "
        "only the user's own.",
    )
    secret_event_types: bool = Field(
        False, description="Also read event types that are secret, which only people with the link should know."
    )


class CalendlyContacts(WritesContacts):
    """Finds, creates and updates contacts."""

    settings: ClassVar[type[ProviderSettings]] = CalendlySettings
    mapping: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "email": "email",
        "phone": "phone_number",
        "company": "company",
        "city": "city",
        "country": "country",
    }

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The contact, or the invitee, with this URI."""
        kind = "scheduled_events" if "/invitees/" in record_id else "contacts"
        try:
            found = await absent_as_none(call.http.get(api.path_of(record_id, kind)))
        except ProviderFailure as error:
            if api.is_denied(error) and kind == "contacts":  # the permission went with a new consent
                return None
            raise
        if found is None:
            return None
        return api.contact(row_of(found.body())) if kind == "contacts" else api.invitee(row_of(found.body()))

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """Contacts with exactly this address; else, without the permission, the latest invitee with it."""
        if "," in email:  # a comma parts several addresses here
            return []
        try:
            found = await call.http.get("/contacts", {"email": email, "count": LIST})
        except ProviderFailure as error:
            if not api.is_denied(error):
                raise
            return await self._as_invitee(call, email)
        return [api.contact(row) for row in rows_of(found.body())]

    async def by_phone(self, call: Call, phone: str) -> list[Record]:
        """Contacts with exactly this number; invitees cannot be searched by number."""
        try:
            found = await call.http.get("/contacts", {"phone_number": phone, "count": LIST})
        except ProviderFailure as error:
            if not api.is_denied(error):
                raise
            return []
        return [api.contact(row) for row in rows_of(found.body())]

    @staticmethod
    async def _as_invitee(call: Call, email: str) -> list[Record]:
        for event in await _events(call, email):
            path = api.path_of(str(event["uri"]), "scheduled_events")
            rows = rows_of((await call.http.get(f"{path}/invitees", {"email": email, "count": LIST})).body())
            if rows:
                return [api.invitee(rows[-1])]
        return []

    def emails_of(self, record: Record) -> set[str]:
        """All addresses."""
        listed = {str(e["email"]).strip().casefold() for e in record.raw.get("emails") or [] if e.get("email")}
        return listed | super().emails_of(record)

    def phones_of(self, record: Record) -> set[str]:
        """All numbers."""
        numbers = [str(p.get("phone_number") or "") for p in record.raw.get("phone_numbers") or []]
        return {n for number in numbers if (n := e164(number))} | super().phones_of(record)

    def current(self, record: Record) -> Mapping[str, str | None]:
        """Plain fields, primary address, first number, and custom fields by the uuid of their definition."""
        custom = custom_fields.values_of(record.raw)
        plain = {name: record.raw.get(name) for name in PLAIN}
        return {**custom, **plain, "email": record.email, "phone": record.phone}

    async def writable(
        self, call: Call, fields: dict[str, str], record: Record | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Leaves out what would make Calendly refuse the whole contact, and names an option by its uuid."""
        kept, skipped = dict(fields), {}
        if record and fields.get("email", "").casefold() in self.emails_of(record) - {(record.email or "").casefold()}:
            skipped["email"] = "It is another address of the contact already."
        if "phone" in fields and (number := e164(fields["phone"])) is None:
            skipped["phone"] = "It is no number with a country code."
        elif record and "phone" in fields and number in self.phones_of(record):
            skipped["phone"] = "It is a number of the contact already."
        if custom := [name for name in fields if name not in (*PLAIN, "email", "phone")]:
            known = await custom_fields.definitions(call)
            for name in custom:
                kept[name], why_not = custom_fields.checked(known.get(name), fields[name])
                if why_not:
                    skipped[name] = why_not
                elif record and custom_fields.is_set(known[name], kept[name], self.current(record).get(name)):
                    del kept[name]
        return {name: value for name, value in kept.items() if name not in skipped}, skipped

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Creates; an address is required and stands in for a missing name. A twin that a 409 reports is updated."""
        if "email" not in fields:
            raise InvalidInput("Calendly needs an e-mail address to make a contact.", field="email")
        body = await self._body(call, {"name": fields["email"], **fields}, None)
        try:
            made = await call.http.post("/contacts", body)
        except ProviderFailure as error:
            _explain(error)
            wanted = fields["email"].casefold()
            twins = await self.by_email(call, fields["email"]) if error.provider_status == 409 else []
            if twin := next((t for t in twins if wanted in self.emails_of(t)), None):
                return await self.update(call, twin, {n: v for n, v in fields.items() if n != "email"})
            raise
        return api.contact(row_of(made.body()))

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Writes the changed fields; lists are replaced as a whole, so what was there is sent along."""
        if record.type != "contact":
            reconnect()
        if not fields:
            return record
        try:
            body = await self._body(call, fields, record)
            changed = await call.http.patch(api.path_of(record.id, "contacts"), body)
        except ProviderFailure as error:
            _explain(error)
            raise
        return api.contact(row_of(changed.body()))

    @staticmethod
    async def _body(call: Call, fields: Mapping[str, str], record: Record | None) -> Row:
        old = record.raw if record else {}
        body: Row = {name: fields[name] for name in PLAIN if name in fields}
        if email := fields.get("email"):
            others = [e["email"] for e in old.get("emails") or [] if e["email"].casefold() != email.casefold()]
            kept = [{"email": other, "is_primary": False} for other in others[: MOST_LISTED - 1]]
            body["emails"] = [{"email": email, "is_primary": True}, *kept]
        if phone := e164(fields.get("phone")):
            numbers = [p["phone_number"] for p in old.get("phone_numbers") or [] if p["phone_number"] != phone]
            body["phone_numbers"] = [{"phone_number": n} for n in (phone, *numbers)][:MOST_LISTED]
        if custom := [name for name in fields if name not in (*PLAIN, "email", "phone")]:
            known = await custom_fields.definitions(call)
            body["custom_fields"] = [{"uuid": n, "value": custom_fields.typed(known.get(n), fields[n])} for n in custom]
        return body

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """Notes, and the latest meetings of the contact's primary address."""
        parts: dict[str, Awaitable[Any]] = {"scheduled_events": _meetings(call, record)} if record.email else {}
        return {**parts, "activities": _notes(call, record)} if record.type == "contact" else parts


async def _events(call: Call, email: str) -> list[Row]:
    """The latest meetings with an address, the newest first."""
    asked = {"invitee_email": email, "sort": "start_time:desc", "count": EVENTS}
    return rows_of((await api.for_everyone(call, "/scheduled_events", asked))[0])


async def _meetings(call: Call, record: Record) -> list[Row]:
    return [api.event(row) for row in await _events(call, record.email or "")]


async def _notes(call: Call, record: Record) -> list[Row]:
    found = await call.http.get("/notes", {"contact": record.id, "count": LIST})
    notes = [
        {"id": str(row["uri"]), "type": "task" if row.get("remind_at") else "note", "title": row.get("title"),
         "body": row.get("body"), "status": None, "at": row.get("remind_at") or row.get("created_at"), "url": None,
         "raw": row}
        for row in rows_of(found.body())
    ]  # fmt: skip
    return sorted(notes, key=lambda note: str(note["at"] or ""), reverse=True)


def reconnect() -> NoReturn:
    """Raises UnsupportedByProvider: there are only invitees, who cannot be written."""
    text = "Calendly has not granted access to contacts: reconnect, and allow it."
    raise UnsupportedByProvider(text, details={"missing_scope": "contacts:write"})


def _explain(error: ProviderFailure) -> None:
    if api.is_denied(error):
        reconnect()
