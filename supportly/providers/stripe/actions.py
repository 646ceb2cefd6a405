"""What can be asked of Stripe, and its knowledge: products with their prices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import Field

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import InvalidInput, NotFound, UnknownChoice
from supportly.http import segment
from supportly.provider import Call, PagedParams, Params, Stream, StreamsKnowledge, absent_as_none, action, timestamp
from supportly.providers.stripe import shapes
from supportly.providers.stripe.customers import MOST, StripeCustomers
from supportly.providers.stripe.shapes import Row, rows_of

CUSTOMER = r"^cus_[A-Za-z0-9_]{1,250}$"
INVOICES = r"^(draft|open|paid|uncollectible|void)$"
SUBSCRIPTIONS = r"^(active|canceled|incomplete|incomplete_expired|past_due|paused|trialing|unpaid|ended|all)$"


class OneCustomer(Params):
    """A customer, by id or by e-mail address."""

    record_id: str | None = Field(None, pattern=CUSTOMER, description="Id of the customer (`cus_…`).")
    email: str | None = Field(None, min_length=3, max_length=512, description="Address of the customer.")


class OfCustomer(PagedParams):
    """A page of what belongs to a customer, or to the whole account."""

    record_id: str | None = Field(None, pattern=CUSTOMER, description="Id of a customer: only what belongs to it.")
    created_after: int | None = Field(
        None, ge=0, description="Only what was made at or after this time (epoch seconds)."
    )


class Invoices(OfCustomer):
    """A page of invoices."""

    status: str | None = Field(None, pattern=INVOICES, description="Only invoices in this state.")


class Subscriptions(OfCustomer):
    """A page of subscriptions."""

    status: str = Field("all", pattern=SUBSCRIPTIONS, description="Only subscriptions in this state; `all` for all.")


class StripeActions(StripeCustomers, StreamsKnowledge):
    """Actions and streams."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("products", "Products", "Active products, each with its prices.", default=True),
    )

    @action(
        params=OneCustomer,
        description="One customer with subscriptions, by id or by e-mail address.",
        example={"email": "ada@example.com"},
    )
    async def get_customer(self, call: Call, params: OneCustomer) -> ActionAnswer:
        """The customer; the newest where several have the address."""
        if params.record_id:
            record = await self.by_id(call, params.record_id)
        elif params.email:
            found = await self.by_email(call, params.email)
            record = next((r for r in found if params.email.casefold() in self.emails_of(r)), None)
        else:
            raise InvalidInput("Name `record_id` or `email`.", field="record_id")
        if record is None:
            raise NotFound("Stripe has no such customer.")
        plain = record.model_dump(mode="json", exclude={"raw"})
        subscriptions = await self._all(call, "subscriptions", record, shapes.subscription, status="all")
        shown = [{k: v for k, v in one.items() if k != "raw"} for one in subscriptions]
        return ActionAnswer(result={**plain, "subscriptions": shown}, raw=record.raw)

    @action(params=OfCustomer, description="Charges, the newest first.", example={"limit": 10})
    async def get_charges(self, call: Call, params: OfCustomer) -> ActionAnswer:
        """Charges of a customer or of the account."""
        return await _page(call, "charges", params, shapes.charge)

    @action(params=Subscriptions, description="Subscriptions, the newest first.", example={"limit": 10})
    async def get_subscriptions(self, call: Call, params: Subscriptions) -> ActionAnswer:
        """Subscriptions of a customer or of the account; Stripe itself would hide canceled ones."""
        return await _page(call, "subscriptions", params, shapes.subscription, status=params.status)

    @action(params=Invoices, description="Invoices, the newest first.", example={"limit": 10})
    async def get_invoices(self, call: Call, params: Invoices) -> ActionAnswer:
        """Invoices of a customer or of the account."""
        return await _page(call, "invoices", params, shapes.invoice, status=params.status)

    # --- knowledge ----------------------------------------------------------------------------------------------------

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page of active products; no list can be filtered by the time of a change, so each walk is whole."""
        if stream != "products":
            raise UnknownChoice("Stripe has no such stream.", field="streams", allowed=["products"])
        asked = {"active": True, "limit": MOST, "starting_after": cursor}
        body = (await call.http.get("/v1/products", asked)).body()
        page = StreamPage(next=shapes.following(body, cursor))
        rows = rows_of(body)
        prices = await self._prices(call, rows)
        for row in rows:
            _add(call, row, prices.get(str(row.get("id")), []), page)
        return page

    @staticmethod
    async def _prices(call: Call, products: list[Row]) -> dict[str, list[Row]]:
        """Active prices by product, from the whole list: it can be filtered by one product only."""
        found: dict[str, list[Row]] = {}
        if not products:
            return found
        cursor: str | None = None
        wanted = {str(row.get("id")) for row in products}
        while True:
            body = (await call.http.get("/v1/prices", {"active": True, "limit": MOST, "starting_after": cursor})).body()
            for row in rows_of(body):
                if str(row.get("product")) in wanted:
                    found.setdefault(str(row["product"]), []).append(row)
            if (cursor := shapes.following(body, cursor)) is None:
                return found

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True when the product is deleted or archived."""
        found = await absent_as_none(call.http.get(f"/v1/products/{segment(external_id)}"))
        return found is None or bool(found.body().get("deleted")) or not found.body().get("active")


async def _page(
    call: Call, kind: str, params: OfCustomer, shape: Callable[[Call, Row], dict[str, Any]], **more: str | None
) -> ActionAnswer:
    asked = {
        "customer": params.record_id, "limit": params.limit, "starting_after": params.cursor,
        "created[gte]": params.created_after, **more,
    }  # fmt: skip
    body = (await call.http.get(f"/v1/{kind}", asked)).body()
    return ActionAnswer.listed([shape(call, row) for row in rows_of(body)], shapes.following(body, params.cursor))


def _add(call: Call, row: Row, prices: list[Row], page: StreamPage) -> None:
    key, name = str(row.get("id")), row.get("name")
    if not isinstance(name, str) or not name.strip():
        page.failures.append(RecordFailure(external_id=key, reason="The product has no name."))
        return
    # `marketing_features` was called `features` before 2024.
    features = row.get("marketing_features") or row.get("features") or []
    named = [str(f["name"]) for f in features if isinstance(f, dict) and f.get("name")]
    parts = [
        str(row.get("description") or ""),
        "\n".join(f"- {feature}" for feature in named),
        "\n".join(f"- Price: {_price(price)}" for price in prices),
    ]
    page.documents.append(
        Document(
            stream="products",
            external_id=key,
            title=name.strip(),
            body="\n\n".join(part for part in parts if part) or name.strip(),
            url=row.get("url") or shapes.page_url(call, "products", key),
            updated_at=timestamp(float(row["updated"]) * 1000) if row.get("updated") else None,
        )
    )


def _price(row: Row) -> str:
    """A price in words: `12.00 EUR per month (Growth)`."""
    recurring = row.get("recurring") or {}
    every = recurring.get("interval_count") or 1
    interval = f" per {'' if every == 1 else f'{every} '}{recurring['interval']}" if recurring.get("interval") else ""
    value = shapes.amount(row.get("unit_amount"), row.get("currency"))
    named = f" ({row['nickname']})" if row.get("nickname") else ""
    # A tiered price, or one that the buyer chooses, has no amount of its own.
    return f"{value or 'by quantity'} {str(row.get('currency') or '').upper()}{interval}{named}"
