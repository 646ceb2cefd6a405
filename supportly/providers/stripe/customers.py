"""Stripe's customers: found by the consistent list, by search only where no list can."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final

from supportly.contracts.contacts import Contact, Record
from supportly.errors import InvalidInput, ProviderFailure
from supportly.http import segment
from supportly.provider import Call, WritesContacts, absent_as_none
from supportly.providers.stripe import shapes
from supportly.providers.stripe.shapes import rows_of

CUSTOMERS: Final = "/v1/customers"
MOST: Final = 100
"""Most rows of a page."""
LONGEST: Final[Mapping[str, int]] = {"name": 256, "email": 512, "phone": 20}
"""Characters of a field in the published specification; a metadata value has 500."""
LONGEST_METADATA: Final = (40, 500)
"""Characters of a key and of a value."""
STEPS: Final = ("create", "create-2", "create-3")
"""Names of the attempts to create, each with an idempotency key of its own."""
OUR_ID: Final = "supportly_contact_id"
"""Metadata key of the Supportly contact's id."""


def quoted(value: str) -> str:
    r"""`value` as a text of the search language: in double quotes, with `\\` and `"` escaped."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class StripeCustomers(WritesContacts):
    """Finds, creates and updates customers. Field names are those of the form: `address[city]`, `metadata[plan]`."""

    mapping: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "email": "email",
        "phone": "phone_number",
        "metadata[company]": "company",
        "address[city]": "city",
        "address[country]": "additional_attributes.country_code",
    }

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The customer; a deleted one is answered as a stub."""
        found = await absent_as_none(call.http.get(f"{CUSTOMERS}/{segment(record_id)}"))
        row = dict(found.body()) if found else {"deleted": True}
        return None if row.get("deleted") else shapes.customer(call, row)

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """By the list, which does not lag and minds case: the address as it is, and in lower case.

        Only then by search, which knows other spellings; the list's answer stands where an account has no search.
        """
        asked = dict.fromkeys((email, email.lower()))
        answers = await asyncio.gather(
            *(call.http.get(CUSTOMERS, {"email": spelled, "limit": MOST}) for spelled in asked)
        )
        rows = [row for answer in answers for row in rows_of(answer.body())]
        return [shapes.customer(call, row) for row in rows] or await self._search(call, f"email:{quoted(email)}")

    async def by_phone(self, call: Call, phone: str) -> list[Record]:
        """By search: the list has no such filter. Found is what was stored in E.164."""
        return await self._search(call, f"phone:{quoted(phone)}")

    async def by_external_id(self, call: Call, contact_id: str) -> list[Record]:
        """By our metadata, which a customer that we made carries."""
        found = await self._search(call, f'metadata["{OUR_ID}"]:{quoted(contact_id)}')
        return [r for r in found if (r.raw.get("metadata") or {}).get(OUR_ID) == contact_id]

    @staticmethod
    async def _search(call: Call, query: str) -> list[Record]:
        try:
            body = (await call.http.get(f"{CUSTOMERS}/search", {"query": query, "limit": MOST})).body()
        except ProviderFailure as error:
            # Accounts in India have no search; nobody else's failure may pass for an empty answer.
            if error.provider_status != 400 or "not available" not in error.message:
                raise
            return []
        return [shapes.customer(call, row) for row in rows_of(body) if not row.get("deleted")]

    def current(self, record: Record) -> Mapping[str, str | None]:
        """The customer's values under the names of the form."""
        row = record.raw
        flat: dict[str, str | None] = {name: row.get(name) for name in LONGEST}
        for group in ("address", "metadata"):
            flat |= {f"{group}[{name}]": value for name, value in (row.get(group) or {}).items()}
        return flat

    async def writable(
        self, call: Call, fields: dict[str, str], record: Record | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Leaves out what Stripe would refuse."""
        why = {name: reason for name, value in fields.items() if (reason := _refused(name, value))}
        kept = {name: value.upper() if name == "address[country]" else value for name, value in fields.items()}
        return {name: value for name, value in kept.items() if name not in why}, why

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Creates with our id in the metadata; the operation is the idempotency key.

        A 500 is stored under its key and comes again for a day: then a look, and another key where nothing is there.
        """
        if not any(fields.get(name) for name in LONGEST):
            raise InvalidInput("A customer needs a name, an e-mail address or a phone number.", field="email")
        form = {**self._form(fields), f"metadata[{OUR_ID}]": str(contact.id)}
        *again, last = STEPS
        for step in again:
            try:
                return await self._post(call, form, step)
            except ProviderFailure as error:
                if not error.details.get("replayed"):
                    raise
            if found := await self.find(call, contact, None):
                return found[0]
        return await self._post(call, form, last)

    @staticmethod
    async def _post(call: Call, form: Mapping[str, str], step: str) -> Record:
        answer = await call.http.request("POST", CUSTOMERS, form=form, headers=_key(call, step))
        return shapes.customer(call, dict(answer.body()))

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Writes the changed fields; metadata merges by key."""
        path = f"{CUSTOMERS}/{segment(record.id)}"
        answer = await call.http.request("POST", path, form=self._form(fields))
        return shapes.customer(call, dict(answer.body()))

    @staticmethod
    def _form(fields: Mapping[str, str]) -> dict[str, str]:
        # The list by e-mail minds case: what we write is found again.
        return {name: value.lower() if name == "email" else value for name, value in fields.items()}

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """Subscriptions as deals; charges and invoices beside them. Stripe has no activities."""
        return {
            "deals": self._all(call, "subscriptions", record, shapes.subscription, status="all"),
            "charges": self._all(call, "charges", record, shapes.charge),
            "invoices": self._all(call, "invoices", record, shapes.invoice),
        }

    @staticmethod
    async def _all(call: Call, kind: str, record: Record, shape: Any, **more: str) -> list[dict[str, Any]]:
        body = (await call.http.get(f"/v1/{kind}", {"customer": record.id, "limit": MOST, **more})).body()
        return [shape(call, row) for row in rows_of(body)]


def _key(call: Call, step: str) -> dict[str, str]:
    return {"Idempotency-Key": f"{call.marker}:{step}"} if call.operation_id else {}


def _refused(name: str, value: str) -> str:
    """Why Stripe would refuse a value, empty when it would not."""
    if name in LONGEST:
        return f"Stripe takes at most {LONGEST[name]} characters." if len(value) > LONGEST[name] else ""
    if name == "address[country]":
        return "" if re.fullmatch(r"[A-Za-z]{2}", value) else "Stripe wants the country's code of two letters."
    if re.fullmatch(r"address\[(city|line1|line2|postal_code|state)\]", name):
        return ""
    if key := re.fullmatch(r"metadata\[([^\[\]]+)\]", name):
        fits = len(key[1]) <= LONGEST_METADATA[0] and len(value) <= LONGEST_METADATA[1]
        return "" if fits else "Metadata has keys of at most 40 and values of at most 500 characters."
    return "It is no field of a customer that can be written; use `metadata[…]`."
