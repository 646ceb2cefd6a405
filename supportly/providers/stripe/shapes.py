"""Stripe's objects, normalised: amounts as decimal texts, times in ISO 8601."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from supportly.contracts.contacts import Record
from supportly.errors import ProviderFailure
from supportly.http import segment
from supportly.provider import SAME_PAGE, Call

Row = dict[str, Any]

ZERO_DECIMAL: Final = frozenset({
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf",
})  # fmt: skip
"""Currencies whose smallest unit is the unit itself (docs.stripe.com/currencies)."""
THREE_DECIMAL: Final = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
"""Currencies whose smallest unit is a thousandth (docs.stripe.com/currencies)."""


def amount(units: object, currency: object) -> str | None:
    """A decimal text of an amount in the currency's smallest unit; None stays None."""
    if units is None:
        return None
    code = str(currency or "").lower()
    digits = 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2
    return str(
        Decimal(str(units)).scaleb(-digits).quantize(Decimal(1).scaleb(-digits)) if digits else Decimal(str(units))
    )


def moment(seconds: object) -> str | None:
    """Epoch seconds as ISO 8601."""
    return datetime.fromtimestamp(float(str(seconds)), UTC).isoformat() if seconds is not None else None


def rows_of(body: Mapping[str, Any]) -> list[Row]:
    """The rows of a list or a search."""
    rows = body.get("data")
    if not isinstance(rows, list):
        raise ProviderFailure("Stripe answered a list without `data`.")
    return rows


def following(body: Mapping[str, Any], cursor: str | None) -> str | None:
    """What `starting_after` is on the next page. Raises ProviderFailure when the same page came again."""
    rows = rows_of(body)
    if not body.get("has_more"):
        return None
    if not rows or rows[-1].get("id") in (None, cursor):
        raise ProviderFailure(SAME_PAGE)
    return str(rows[-1]["id"])


def page_url(call: Call, kind: str, key: object) -> str:
    """The page of the Dashboard; test mode has a path of its own."""
    mode = "" if call.facts.get("livemode") == "True" else "/test"
    return f"https://dashboard.stripe.com{mode}/{kind}/{segment(key)}"


def customer(call: Call, row: Row) -> Record:
    """A customer as a record."""
    name = row.get("name") or row.get("business_name") or row.get("individual_name")
    return Record(
        id=str(row["id"]),
        type="customer",
        url=page_url(call, "customers", row["id"]),
        name=name or None,
        email=row.get("email") or None,
        phone=row.get("phone") or None,
        updated_at=None,  # Stripe keeps no time of change on a customer.
        raw=row,
    )


def _item(call: Call, kind: str, plural: str, row: Row, **own: Any) -> dict[str, Any]:
    dates = {"created_at": moment(row.get("created")), "updated_at": None}
    return {"id": str(row["id"]), "type": kind, **own, "url": page_url(call, plural, row["id"]), **dates, "raw": row}


def charge(call: Call, row: Row) -> dict[str, Any]:
    """A charge."""
    currency = row.get("currency")
    return _item(
        call, "charge", "payments", row,
        title=row.get("description"), status=row.get("status"), amount=amount(row.get("amount"), currency),
        refunded=amount(row.get("amount_refunded"), currency), currency=_code(row), receipt_url=row.get("receipt_url"),
    )  # fmt: skip


def invoice(call: Call, row: Row) -> dict[str, Any]:
    """An invoice; its subscription stands in another place since version 2025-03-31."""
    parent = (row.get("parent") or {}).get("subscription_details") or {}
    currency = row.get("currency")
    return _item(
        call, "invoice", "invoices", row,
        title=row.get("number") or row.get("description"), status=row.get("status"),
        amount=amount(row.get("total"), currency), amount_due=amount(row.get("amount_due"), currency),
        currency=_code(row), due_date=moment(row.get("due_date")),
        subscription_id=row.get("subscription") or parent.get("subscription"),
        hosted_invoice_url=row.get("hosted_invoice_url"),
    )  # fmt: skip


def subscription(call: Call, row: Row) -> dict[str, Any]:
    """A subscription as a deal; its period stands on the items since version 2025-03-31."""
    items = (row.get("items") or {}).get("data") or []
    first = items[0] if items else {}
    price = first.get("price") or {}
    recurring = price.get("recurring") or {}
    end = row.get("current_period_end") or first.get("current_period_end")
    return _item(
        call, "subscription", "subscriptions", row,
        title=price.get("nickname") or row.get("description"), status=row.get("status"), stage=row.get("status"),
        amount=amount(price.get("unit_amount"), price.get("currency")), currency=_code(price or row),
        quantity=first.get("quantity"), interval=recurring.get("interval"), close_date=None,
        current_period_end=moment(end), cancels_at_period_end=row.get("cancel_at_period_end"),
    )  # fmt: skip


def _code(row: Row) -> str | None:
    return str(row["currency"]).upper() if row.get("currency") else None
