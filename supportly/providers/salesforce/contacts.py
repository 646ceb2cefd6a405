"""Salesforce's contacts: found by queries, which do not lag, and written with the org's duplicate rules in mind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, ClassVar, Final

import phonenumbers

from supportly.contracts.contacts import Contact, Record
from supportly.errors import AmbiguousMatch, InvalidInput, NotFound, ProviderFailure
from supportly.http import segment
from supportly.provider import FIRST_PAGE, Call, WritesContacts, absent_as_none, e164
from supportly.providers.salesforce import shapes
from supportly.providers.salesforce.fields import ACCOUNT, NAME, accounts_named, body_of, check, person_field, typed
from supportly.providers.salesforce.shapes import eighteen, is_id, page_url, parent
from supportly.providers.salesforce.soql import Row, everything, optional, quoted, select

CONTACTS: Final = "/sobjects/Contact"
DUPLICATE: Final = ("DUPLICATES_DETECTED", "DUPLICATE_VALUE")
FIELD: Final = r"[A-Za-z][A-Za-z0-9_]{0,79}"
CONTACT_IDS: Final = "003"
"""First characters of a contact's id; a duplicate rule may also name leads."""


class SalesforceContacts(WritesContacts):
    """Finds, creates and updates contacts, and gathers what a lookup shows of them."""

    mapping: ClassVar[Mapping[str, str]] = {
        NAME: "name",
        "Email": "email",
        "Phone": "phone_number",
        ACCOUNT: "company",
        "MailingCity": "city",
        "MailingCountry": "country",
    }

    # --- finding ----------------------------------------------------------------------------------------------------

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The contact; None where it is gone, and for what is no id of Salesforce."""
        if not is_id(record_id):
            return None
        found = await self._where(call, f"Id = {quoted(record_id)}")
        return found[0] if found else None

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """By a query, which ignores case; several hits are normal, since no rule makes addresses unique."""
        return await self._where(call, f"Email = {quoted(email)}")

    async def by_phone(self, call: Call, phone: str) -> list[Record]:
        """By the search index, which lags: numbers are free text there, and a query would miss other spellings.

        Only `q`, `fields` and `sobjects` are sent; `in` and `overallLimit` are unconfirmed. The index knows numbers
        without their country code too, so that is asked for; hits are read again and are candidates only.
        """
        national = phonenumbers.national_significant_number(phonenumbers.parse(phone, None))
        wanted = {"q": national, "fields": ["Id"], "sobjects": [{"name": "Contact"}]}
        hits = (await call.http.post("/parameterizedSearch", wanted)).body().get("searchRecords")
        if not isinstance(hits, list):
            raise ProviderFailure("Salesforce answered a search without `searchRecords`.")
        ids = [str(hit["Id"]) for hit in hits if is_id(str(hit.get("Id")))]
        return await self._named(call, ids)

    async def by_external_id(self, call: Call, contact_id: str) -> list[Record]:
        """By the external-id field of the settings, where there is one; all of several that share the value."""
        field = call.settings.contact_id_field
        if not field:
            return []
        try:
            path = f"{CONTACTS}/{segment(field)}/{segment(contact_id)}"
            answer = await absent_as_none(call.http.get(path, {"fields": "Id"}))
        except AmbiguousMatch as several:
            ids = [str(c["id"]) for c in several.details["candidates"]]
        else:
            ids = [str(answer.body().get("Id"))] if answer else []
        # Read again by a query, which knows the name of the account too.
        return await self._named(call, [i for i in ids if is_id(i)])

    def phones_of(self, record: Record) -> set[str]:
        """Phone and mobile phone."""
        return {number for name in ("Phone", "MobilePhone") if (number := e164(record.raw.get(name)))}

    async def _named(self, call: Call, ids: Sequence[str]) -> list[Record]:
        return await self._where(call, f"Id IN ({', '.join(map(quoted, ids[:FIRST_PAGE]))})") if ids else []

    async def _where(self, call: Call, condition: str) -> list[Record]:
        """Contacts that fit a condition, at most FIRST_PAGE.

        A field that the user may not see makes Salesforce refuse the whole query; then the contacts are read one by
        one, as they are shown to that user.
        """
        rest: dict[str, Any] = {"order": "CreatedDate, Id", "limit": FIRST_PAGE}
        try:
            rows = await everything(call, select(contact_fields(call), "Contact", [condition], **rest))
        except ProviderFailure as error:
            if error.provider_code != "INVALID_FIELD":
                raise
            found = await self._readable(call, select(["Id"], "Contact", [condition], **rest))
            rows = [row for row in found if row]
        return [shapes.contact(call.facts, row) for row in rows]

    @staticmethod
    async def _readable(call: Call, statement: str) -> list[Row | None]:
        async def read(row: Row) -> Row | None:
            answer = await absent_as_none(call.http.get(f"{CONTACTS}/{segment(row['Id'])}"))
            return dict(answer.body()) if answer else None

        return list(await asyncio.gather(*map(read, await everything(call, statement))))

    # --- what a lookup shows ------------------------------------------------------------------------------------------

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """Deals in which the contact has a role, its newest tasks and notes, and its company."""
        return {
            "deals": self._deals(call, record),
            "activities": self._activities(call, record),
            "companies": self._companies(call, record),
        }

    @staticmethod
    async def _deals(call: Call, record: Record) -> list[dict[str, Any]]:
        test = f"Id IN ({roles_of(record.id)})"
        order = "LastModifiedDate DESC, Id DESC"
        names = shapes.deal_fields(call.facts)
        rows = await everything(call, select(names, "Opportunity", [test], order=order, limit=FIRST_PAGE))
        return [shapes.deal(call.facts, row) for row in rows]

    @staticmethod
    async def _companies(call: Call, record: Record) -> list[dict[str, Any]]:
        if not (account := record.raw.get("AccountId")):
            return []
        rows = await everything(call, select(shapes.COMPANY, "Account", [f"Id = {quoted(account)}"]))
        return [shapes.company(call.facts, row) for row in rows]

    @staticmethod
    async def _activities(call: Call, record: Record) -> list[dict[str, Any]]:
        who, note = quoted(record.id), "ContentDocument."
        names = ["ContentDocumentId", *(note + name for name in ("Title", "CreatedDate", "LastModifiedDate"))]
        links = [f"LinkedEntityId = {who}", f"{note}FileType = 'SNOTE'"]
        order = "CreatedDate DESC, Id DESC"
        tasks, notes = await asyncio.gather(
            everything(call, select(shapes.TASK, "Task", [f"WhoId = {who}"], order=order, limit=FIRST_PAGE)),
            optional(call, select(names, "ContentDocumentLink", links, limit=FIRST_PAGE)),
        )
        found = [shapes.task(call.facts, row) for row in tasks]
        found += [
            {
                "id": str(row["ContentDocumentId"]),
                "type": "note",
                "title": parent(row, "ContentDocument", "Title"),
                "at": parent(row, "ContentDocument", "CreatedDate"),
                "url": page_url(call.facts, str(row["ContentDocumentId"])),
                "created_at": parent(row, "ContentDocument", "CreatedDate"),
                "updated_at": parent(row, "ContentDocument", "LastModifiedDate"),
                "raw": row,
            }
            for row in notes
        ]
        return sorted(found, key=lambda item: str(item["at"] or ""), reverse=True)

    # --- writing ------------------------------------------------------------------------------------------------------

    def current(self, record: Record) -> Mapping[str, str | None]:
        """The contact's fields as texts, with the two that stand for others."""
        plain = {name: _text(value) for name, value in record.raw.items() if not isinstance(value, dict | list)}
        return plain | {NAME: shapes.full_name(record.raw), ACCOUNT: _text(parent(record.raw, "Account", NAME))}

    def same(self, name: str, ours: str, theirs: str | None) -> bool:
        """As elsewhere, and equal texts are the same whatever they are; companies whatever their case."""
        mine, other = ours, (theirs or "").strip()
        if name == ACCOUNT:
            mine, other = mine.casefold(), other.casefold()
        return mine == other or super().same(name.lower(), ours, theirs)

    async def writable(
        self, call: Call, fields: dict[str, str], record: Record | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Leaves out what the org would refuse, and turns labels into its own values."""
        return await check(call, fields, record) if fields else ({}, {})

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Creates, exactly once where the settings name an external-id field.

        The one contact that a duplicate rule or a unique field names is updated and answered instead. Raises
        AmbiguousMatch where it names several.
        """
        body = body_of(fields)
        body.setdefault("LastName", contact.email or contact.phone_number or f"Contact {contact.id}")
        if account := await self._account(call, fields):
            body["AccountId"] = account
        try:
            made = await self._created(call, contact, await typed(call, body))
        except ProviderFailure as error:
            there = await self._in_the_way(call, error)
            changed = {k: v for k, v in fields.items() if not self.same(k, v, self.current(there).get(k))}
            kept, _ = await self.writable(call, changed, there)
            key = call.settings.contact_id_field
            if key and not there.raw.get(key):
                kept[key] = str(contact.id)
            return await self.update(call, there, kept) if kept else there
        return shapes.contact(call.facts, {**body, "Id": made})

    @staticmethod
    async def _created(call: Call, contact: Contact, body: Mapping[str, Any]) -> str:
        field = call.settings.contact_id_field
        if not field:
            return made_id((await call.http.post(CONTACTS, dict(body))).body())
        path = f"{CONTACTS}/{segment(field)}/{contact.id}"
        # The address names it: in the body Salesforce refuses it.
        body = {name: value for name, value in body.items() if name not in ("Id", field)}
        try:
            answer = await call.http.patch(path, body)
            # Older versions answer an update with nothing at all.
            return made_id(answer.body() if answer.content else (await call.http.get(path, {"fields": "Id"})).body())
        except NotFound as error:
            text = f"Salesforce has no external-id field `{field}` of contacts; create it or clear the setting."
            raise InvalidInput(text, field="settings.contact_id_field", details=error.details) from None

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Writes the changed fields; those of a person account go to its Account."""
        body = body_of(fields)
        path = f"{CONTACTS}/{segment(record.id)}"
        if record.raw.get("IsPersonAccount") and record.raw.get("AccountId"):
            path = f"/sobjects/Account/{segment(record.raw['AccountId'])}"
            wanted = await typed(call, body)
            await call.http.patch(path, {person_field(name): value for name, value in wanted.items()})
        else:
            if account := await self._account(call, fields):
                body["AccountId"] = account
            await call.http.patch(path, await typed(call, body))
        return shapes.contact(call.facts, {**record.raw, **body, "Id": record.id})

    @staticmethod
    async def _account(call: Call, fields: Mapping[str, str]) -> str | None:
        """The id of the account for a contact's company: the one of its name, else a new one where that is allowed."""
        if not (name := fields.get(ACCOUNT)):
            return None
        ids = await accounts_named(call, name)
        if ids or not call.settings.create_accounts:
            return ids[0] if len(ids) == 1 else None
        return made_id((await call.http.post("/sobjects/Account", {"Name": name})).body())

    async def _in_the_way(self, call: Call, error: ProviderFailure) -> Record:
        """The contact that a duplicate error names, else that error again."""
        if error.provider_code not in DUPLICATE:
            raise error
        ids = [i for i in error.details.get("duplicates", []) if i.startswith(CONTACT_IDS)]
        if len(ids) > 1:
            raise AmbiguousMatch(
                f"A duplicate rule in Salesforce names {len(ids)} contacts. Merge them there, then try again.",
                details={"candidates": [{"id": i, "url": page_url(call.facts, i)} for i in ids]},
            )
        record = await self.by_id(call, ids[0]) if ids else None
        if record is None:
            raise error
        return record


def contact_fields(call: Call) -> list[str]:
    """Names of all contact fields that this account's work needs."""
    extra = [*(call.settings.field_mapping or {}), call.settings.contact_id_field or "Id"]
    if call.facts.get("person_accounts") == "true":
        extra.append("IsPersonAccount")
    # A name goes into the query as it is, so only one that can be a field's does.
    return list(dict.fromkeys([*shapes.CONTACT, *(name for name in extra if re.fullmatch(FIELD, name))]))


def roles_of(contact_id: str) -> str:
    """The sub-select of the deals in which a contact has a role."""
    return select(["OpportunityId"], "OpportunityContactRole", [f"ContactId = {quoted(contact_id)}"])


def made_id(body: Mapping[str, Any]) -> str:
    """The id of a created record. Raises ProviderFailure where there is none, or no success."""
    found = str(body.get("id") or body.get("Id") or "")
    if not is_id(found) or body.get("success") is False:
        raise ProviderFailure("Salesforce answered a write without the record's id.")
    return eighteen(found)


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
