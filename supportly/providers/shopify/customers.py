"""Shopify's customers: found by exact identifiers, which do not lag, and written without touching what is there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final

from pydantic import Field

from supportly.contracts.contacts import Contact, Record
from supportly.errors import InvalidInput
from supportly.provider import FIRST_PAGE, Call, ProviderSettings, WritesContacts, e164, timestamp
from supportly.providers.shopify.graphql import Row, ask, gid, nodes, number, write

NAMESPACE: Final = "$app:supportly"
"""Metafields of a custom mapping stand here, where no other app writes."""
CUSTOMER: Final = (
    "id displayName firstName lastName email phone note tags state numberOfOrders amountSpent { amount currencyCode } "
    "createdAt updatedAt defaultAddress { id company city countryCodeV2 } "
    f'metafields(first: 25, namespace: "{NAMESPACE}") {{ nodes {{ key value }} }}'
)
BY_ID: Final = f"query Customer($id: ID!) {{ customer(id: $id) {{ {CUSTOMER} }} }}"
BY_IDENTIFIER: Final = (
    "query CustomerByIdentifier($identifier: CustomerIdentifierInput!) "
    f"{{ customerByIdentifier(identifier: $identifier) {{ {CUSTOMER} }} }}"
)
CREATE: Final = (
    "mutation CustomerCreate($input: CustomerInput!) "
    f"{{ customerCreate(input: $input) {{ customer {{ {CUSTOMER} }} userErrors {{ field message }} }} }}"
)
UPDATE: Final = (
    "mutation CustomerUpdate($input: CustomerInput!) "
    f"{{ customerUpdate(input: $input) {{ customer {{ {CUSTOMER} }} userErrors {{ field message }} }} }}"
)
METAFIELDS: Final = (
    "mutation MetafieldsSet($metafields: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $metafields) "
    "{ metafields { key value } userErrors { field message code } } }"
)
ORDER: Final = (
    "id name createdAt updatedAt displayFinancialStatus displayFulfillmentStatus cancelledAt statusPageUrl "
    "totalPriceSet { shopMoney { amount currencyCode } } lineItems(first: 20) { nodes { title quantity } } "
    "fulfillments(first: 5) { trackingInfo(first: 5) { company number url } }"
)
ORDERS: Final = (
    "query Orders($first: Int!, $after: String, $query: String) { orders(first: $first, after: $after, query: $query, "
    f"sortKey: CREATED_AT, reverse: true) {{ nodes {{ {ORDER} }} pageInfo {{ hasNextPage endCursor }} }} }}"
)
PLAIN: Final = ("firstName", "lastName", "email", "phone")
ADDRESS: Final = {"address.company": "company", "address.city": "city", "address.countryCode": "countryCode"}
MOST_METAFIELDS: Final = 25
"""Most metafields of one mutation."""


class ShopifySettings(ProviderSettings):
    """Settings of Shopify."""

    unpublished_products: bool = Field(
        False, description="Read active products too that the online store does not show (for agents)."
    )


class ShopifyCustomers(WritesContacts):
    """Finds, creates and updates customers; e-mail address and phone number are each unique in a shop."""

    settings: ClassVar[type[ProviderSettings]] = ShopifySettings
    mapping: ClassVar[Mapping[str, str]] = {
        "firstName": "first_name",
        "lastName": "last_name",
        "email": "email",
        "phone": "phone_number",
        "address.company": "company",
        "address.city": "city",
        "address.countryCode": "additional_attributes.country_code",
    }

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The customer with this numeric id."""
        if (key := gid("Customer", record_id)) is None:
            return None
        row = (await ask(call.http, BY_ID, {"id": key}, "one")).get("customer")
        return customer(call, row) if row else None

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """By the exact identifier: the search cuts an address into words and lags."""
        return await self._identified(call, {"emailAddress": email})

    async def by_phone(self, call: Call, phone: str) -> list[Record]:
        """By the exact identifier."""
        return await self._identified(call, {"phoneNumber": phone})

    @staticmethod
    async def _identified(call: Call, identifier: Mapping[str, str]) -> list[Record]:
        row = (await ask(call.http, BY_IDENTIFIER, {"identifier": dict(identifier)}, "one")).get("customerByIdentifier")
        return [customer(call, row)] if row else []

    def current(self, record: Record) -> Mapping[str, str | None]:
        """The customer's fields, the default address's parts, and our metafields as `metafields.{key}`."""
        row, address = record.raw, record.raw.get("defaultAddress") or {}
        flat: dict[str, str | None] = {name: row.get(name) for name in PLAIN}
        flat |= {name: address.get("countryCodeV2" if own == "countryCode" else own) for name, own in ADDRESS.items()}
        own = (row.get("metafields") or {}).get("nodes") or []
        return flat | {f"metafields.{m['key']}": m.get("value") for m in own}

    def same(self, name: str, ours: str, theirs: str | None) -> bool:
        """Shopify keeps addresses in lower case, as we send them."""
        if name in ("email", "address.countryCode"):
            return ours.casefold() == (theirs or "").casefold()
        return super().same(name, ours, theirs)

    async def writable(
        self, call: Call, fields: dict[str, str], record: Record | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Leaves out what would fail the whole mutation, and an address where the customer has one."""
        kept, skipped = dict(fields), {}
        for name, value in fields.items():
            if reason := _refused(name, value):
                skipped[name] = reason
            elif name == "phone":
                kept[name] = e164(value) or value
        now = self.current(record) if record else {}
        if record and record.raw.get("defaultAddress"):
            for name in ADDRESS.keys() & kept.keys():
                if not self.same(name, kept[name], now.get(name)):
                    skipped[name] = "The customer has an address already, which is left as it is."
        if "phone" in kept and "phone" not in skipped and not self.same("phone", kept["phone"], now.get("phone")):
            others = [r for r in await self.by_phone(call, kept["phone"]) if record is None or r.id != record.id]
            # Without a record the one with this number may be the contact itself: then the lookup had found it.
            if others:
                skipped["phone"] = "Another customer of the shop has this number."
        return {name: value for name, value in kept.items() if name not in skipped}, skipped

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Creates; where the address is taken, the customer who has it is updated instead."""
        if not any(fields.get(name) for name in PLAIN):
            raise InvalidInput("A customer needs a name, an e-mail address or a phone number.", field="email")
        try:
            payload = await write(call.http, CREATE, {"input": _input(fields)}, "customerCreate")
        except InvalidInput as taken:
            if taken.details.get("provider_code") != "TAKEN" or not fields.get("email"):
                raise
            found = await self.by_email(call, fields["email"])
            if len(found) != 1:
                raise
            kept, _ = await self.writable(call, dict(fields), found[0])
            now = self.current(found[0])
            changed = {name: value for name, value in kept.items() if not self.same(name, value, now.get(name))}
            return await self.update(call, found[0], changed) if changed else found[0]
        return await self._completed(call, customer(call, payload["customer"]), fields)

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Writes the changed fields; what is left out stays."""
        own = {name: value for name, value in fields.items() if not name.startswith("metafields.")}
        if own:
            wanted = {"id": gid("Customer", record.id), **_input(own)}
            record = customer(call, (await write(call.http, UPDATE, {"input": wanted}, "customerUpdate"))["customer"])
        return await self._completed(call, record, fields)

    @staticmethod
    async def _completed(call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        own = {name.partition(".")[2]: value for name, value in fields.items() if name.startswith("metafields.")}
        if not own:
            return record
        base = {"ownerId": gid("Customer", record.id), "namespace": NAMESPACE, "type": "single_line_text_field"}
        items = [{**base, "key": key, "value": value} for key, value in own.items()][:MOST_METAFIELDS]
        await write(call.http, METAFIELDS, {"metafields": items}, "metafieldsSet")
        known = (record.raw.get("metafields") or {}).get("nodes") or []
        merged = {m["key"]: m["value"] for m in known} | own
        raw = {**record.raw, "metafields": {"nodes": [{"key": k, "value": v} for k, v in merged.items()]}}
        return record.model_copy(update={"raw": raw})

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """Orders, as deals."""
        return {"deals": self._orders(call, record)}

    @staticmethod
    async def _orders(call: Call, record: Record) -> list[dict[str, Any]]:
        asked = {"first": FIRST_PAGE, "query": f"customer_id:{record.id}"}
        return [order(call, row) for row in nodes(await ask(call.http, ORDERS, asked, "page"), "orders")]


def customer(call: Call, row: Row) -> Record:
    """A customer as a record; the id is the numeric part of the global one."""
    key = number(row["id"])
    return Record(
        id=key,
        type="customer",
        url=admin_url(call, "customers", key),
        name=" ".join(filter(None, (row.get("firstName"), row.get("lastName")))) or None,
        email=row.get("email") or None,
        phone=row.get("phone") or None,
        updated_at=timestamp(row.get("updatedAt")),
        raw=row,
    )


def order(call: Call, row: Row) -> dict[str, Any]:
    """An order as a deal."""
    money = (row.get("totalPriceSet") or {}).get("shopMoney") or {}
    tracking = [t for f in row.get("fulfillments") or [] for t in f.get("trackingInfo") or []]
    key = number(row["id"])
    return {
        "id": key, "type": "order", "title": row.get("name"),
        "status": "CANCELLED" if row.get("cancelledAt") else row.get("displayFinancialStatus"),
        "stage": row.get("displayFulfillmentStatus"), "amount": money.get("amount"),
        "currency": money.get("currencyCode"), "items": (row.get("lineItems") or {}).get("nodes") or [],
        "tracking": tracking, "status_url": row.get("statusPageUrl"), "url": admin_url(call, "orders", key),
        "created_at": row.get("createdAt"), "updated_at": row.get("updatedAt"), "raw": row,
    }  # fmt: skip


def admin_url(call: Call, kind: str, key: str) -> str:
    """The page of the admin."""
    return f"https://{call.facts['shop']}/admin/{kind}/{key}"


def _input(fields: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: value for name, value in fields.items() if name in PLAIN}
    if "email" in found:
        found["email"] = found["email"].lower()
    if address := {own: fields[name] for name, own in ADDRESS.items() if name in fields}:
        found["addresses"] = [address | ({"countryCode": c.upper()} if (c := address.get("countryCode")) else {})]
    return found


def _refused(name: str, value: str) -> str:
    """Why Shopify would refuse a value, empty when it would not."""
    if name == "phone" and e164(value) is None:
        return "Shopify wants the number with its country code."
    if name == "address.countryCode" and not re.fullmatch(r"[A-Za-z]{2}", value):
        return "Shopify wants the country's code of two letters."
    if name in PLAIN or name in ADDRESS or re.fullmatch(r"metafields\.[A-Za-z0-9_-]{2,64}", name):
        return ""
    return "It is no field of a customer that can be written; use `metafields.{key}`."
