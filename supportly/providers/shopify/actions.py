"""What is done on Shopify's customers: dated lines of their note, and the actions."""

from __future__ import annotations

from datetime import UTC
from typing import Any, ClassVar, Final

from pydantic import Field

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.contacts import ActivityJob, ActivityKind, Record, RecordRef
from supportly.errors import InvalidInput, NotFound, UnsupportedByProvider
from supportly.oauth import now_utc
from supportly.provider import Call, LogsActivities, Moment, PagedParams, Params, action
from supportly.providers.shopify.customers import ORDERS, UPDATE, ShopifyCustomers, admin_url, order
from supportly.providers.shopify.graphql import ask, following, gid, nodes, number, quoted, write

LONGEST_NOTE: Final = 5000
"""Characters of a customer's note (reported, not documented)."""
DIGITS: Final = r"^\d{1,20}$"
PRODUCT: Final = (
    "id title handle status vendor productType tags onlineStoreUrl createdAt updatedAt "
    "priceRangeV2 { minVariantPrice { amount currencyCode } maxVariantPrice { amount currencyCode } }"
)
PRODUCTS: Final = (
    "query Products($first: Int!, $after: String, $query: String) { products(first: $first, after: $after, "
    f"query: $query) {{ nodes {{ {PRODUCT} }} pageInfo {{ hasNextPage endCursor }} }} }}"
)


class Orders(PagedParams):
    """A page of orders."""

    record_id: str | None = Field(None, pattern=DIGITS, description="Id of a customer: only that customer's orders.")
    email: str | None = Field(None, min_length=3, max_length=320, description="Address that orders were placed with.")
    name: str | None = Field(None, max_length=50, description="Number of an order, such as `1001`.")
    created_after: Moment | None = Field(None, description="Only orders made at or after this time.")
    status: str | None = Field(
        None, pattern=r"^(open|closed|cancelled)$", description="Only orders in this state; null for all."
    )


class Products(PagedParams):
    """A page of products."""

    query: str | None = Field(None, min_length=1, max_length=200, description="Text in a product; null: all.")
    active: bool = Field(True, description="Only products that are for sale.")


class OneCustomer(Params):
    """A customer, by id, e-mail address or phone number."""

    record_id: str | None = Field(None, pattern=DIGITS, description="Id of the customer.")
    email: str | None = Field(None, min_length=3, max_length=320, description="Address of the customer.")
    phone: str | None = Field(None, pattern=r"^\+[1-9]\d{6,14}$", description="Phone number in E.164.")


class ShopifyActions(ShopifyCustomers, LogsActivities):
    """Logs notes and calls, and runs actions."""

    activity_kinds: ClassVar[tuple[ActivityKind, ...]] = ("note", "call")

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """Appends a dated line to the customer's note, the merchant's own text, which stays as it is.

        Shopify lets nobody write timeline comments. Read and write are two calls: a line that somebody else writes
        between them is lost, as with every other way to edit this note.
        """
        if job.target:
            raise UnsupportedByProvider("Shopify logs on the customer; leave `target` out.", field="target")
        note = str((await self._fresh(call, record)).raw.get("note") or "")
        prefix = "[Call] " if job.kind == "call" else ""
        line = f"{now_utc():%Y-%m-%d} {prefix}{' '.join(job.content.split())} [{call.marker}]"
        text = f"{note}\n{line}" if note else line
        if len(text) > LONGEST_NOTE:
            raise InvalidInput(f"The customer's note would exceed {LONGEST_NOTE} characters.", field="content")
        wanted = {"id": gid("Customer", record.id), "note": text}
        await write(call.http, UPDATE, {"input": wanted}, "customerUpdate")
        return RecordRef(id=record.id, url=record.url)  # a line has no id

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Reads the note for the marker; reading by id does not lag."""
        there = f"[{call.marker}]" in str((await self._fresh(call, record)).raw.get("note") or "")
        return RecordRef(id=record.id, url=record.url) if there else None

    async def _fresh(self, call: Call, record: Record) -> Record:
        if (found := await self.by_id(call, record.id)) is None:
            raise NotFound("Shopify does not know this customer any more.")
        return found

    @action(params=Orders, description="Orders of the shop or of a customer, the newest first.", example={"limit": 10})
    async def get_orders(self, call: Call, params: Orders) -> ActionAnswer:
        """Orders; without the permission for all of them, those of the last sixty days."""
        parts = [f"customer_id:{params.record_id}"] if params.record_id else []
        parts += [f"{name}:{quoted(value)}" for name in ("email", "name") if (value := getattr(params, name))]
        parts += [f"status:{params.status}"] if params.status else []
        if params.created_after:
            parts.append(f"created_at:>='{params.created_after.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'")
        asked = {"first": params.limit, "after": params.cursor, "query": " AND ".join(parts) or None}
        data = await ask(call.http, ORDERS, asked, "page")
        items = [order(call, row) for row in nodes(data, "orders")]
        return ActionAnswer.listed(items, following(data, "orders", params.cursor))

    @action(
        params=Products,
        description="Products of the shop, all or by a text in them, such as a title.",
        example={"limit": 10},
    )
    async def get_products(self, call: Call, params: Products) -> ActionAnswer:
        """Products; a query goes to the search index, which may lag."""
        parts = [quoted(params.query)] if params.query else []
        parts += ["status:ACTIVE"] if params.active else []
        asked = {"first": params.limit, "after": params.cursor, "query": " AND ".join(parts) or None}
        data = await ask(call.http, PRODUCTS, asked, "page")
        items = [_product(call, row) for row in nodes(data, "products")]
        return ActionAnswer.listed(items, following(data, "products", params.cursor))

    @action(
        params=OneCustomer,
        description="One customer, by id, e-mail address or phone number.",
        example={"email": "ada@example.com"},
    )
    async def get_customer(self, call: Call, params: OneCustomer) -> ActionAnswer:
        """The customer with what was spent, tags and note."""
        if params.record_id:
            record = await self.by_id(call, params.record_id)
        elif params.email or params.phone:
            found = (
                await self.by_email(call, params.email)
                if params.email
                else await self.by_phone(call, params.phone or "")
            )
            record = found[0] if found else None
        else:
            raise InvalidInput("Name `record_id`, `email` or `phone`.", field="record_id")
        if record is None:
            raise NotFound("Shopify has no such customer.")
        row = record.raw
        more = {
            "orders": int(row.get("numberOfOrders") or 0), "spent": (row.get("amountSpent") or {}).get("amount"),
            "currency": (row.get("amountSpent") or {}).get("currencyCode"), "tags": row.get("tags") or [],
            "note": row.get("note"),
        }  # fmt: skip
        return ActionAnswer(result={**record.model_dump(mode="json", exclude={"raw"}), **more}, raw=row)


def _product(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    price = (row.get("priceRangeV2") or {}).get("minVariantPrice") or {}
    key = number(row["id"])
    return {
        "id": key, "type": "product", "title": row.get("title"), "status": row.get("status"),
        "amount": price.get("amount"), "currency": price.get("currencyCode"), "vendor": row.get("vendor"),
        "store_url": row.get("onlineStoreUrl"), "url": admin_url(call, "products", key),
        "created_at": row.get("createdAt"), "updated_at": row.get("updatedAt"), "raw": row,
    }  # fmt: skip
