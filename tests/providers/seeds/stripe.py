"""Stripe's records for the contract suite."""

from __future__ import annotations

from supportly.errors import NotFound, ProviderFailure, Throttled, TokenRefused
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed


def _error(kind: str, **more: object) -> dict[str, object]:
    return {"error": {"type": kind, "message": "No.", **more}}


SEEDS = Seeds(
    person=lambda _, name, email, phone: {"customers": [{"name": name, "email": email, "phone": phone}]},
    streams={
        "products": StreamSeed(
            "products",
            lambda n, title, text: {"id": f"prod_{n}", "name": title, "description": text},
            key=lambda n: f"prod_{n}",
            broken=lambda n: {"id": f"prod_{n}", "name": ""},
        ),
    },
    world=lambda _: {
        "customers": [{"id": "cus_B", "name": "Bob", "email": "bob@example.com"}],
        "charges": [{"customer": "cus_B", "amount": 1200 + n} for n in range(3)],
        "invoices": [{"customer": "cus_B", "total": 1200 + n, "number": f"A-{n}"} for n in range(3)],
        "prices": [{"id": "price_1", "product": "prod_1", "unit_amount": 900, "recurring": {
            "interval": "month", "interval_count": 1, "usage_type": "licensed"}}],
        "subscriptions": [{"customer": "cus_B", "price": "price_1"} for _ in range(3)],
    },
    params=lambda _: {"get_customer": {"record_id": "cus_B"}},
    account=lambda n: ({"account_id": f"acct_{n}"}, {}),
    errors=(
        SheetError("parameter", 400, _error("invalid_request_error", code="parameter_unknown", param="x"),
                   ProviderFailure, code="parameter_unknown"),
        SheetError("revoked key", 401, _error("invalid_request_error"), TokenRefused),
        SheetError("card", 402, _error("card_error", code="card_declined"), ProviderFailure, code="card_declined"),
        SheetError("permission", 403, _error("invalid_request_error"), ProviderFailure),
        SheetError("missing", 404, _error("invalid_request_error", code="resource_missing"), NotFound),
        SheetError("key conflict", 409, _error("idempotency_error"), ProviderFailure, retryable=True),
        SheetError("key reused", 400, _error("idempotency_error"), ProviderFailure, code="idempotency_error"),
        SheetError("lock", 429, _error("invalid_request_error", code="lock_timeout"), Throttled, retryable=True,
                   pause=(1, 1)),
        SheetError("rate", 429, _error("invalid_request_error", code="rate_limit"), Throttled, retryable=True,
                   pause=(1, 1), headers={"stripe-rate-limited-reason": "global-rate"}),
        SheetError("api error", 500, _error("api_error"), ProviderFailure, retryable=True),
        SheetError("told not to", 500, _error("api_error"), ProviderFailure, headers={"stripe-should-retry": "false"}),
        SheetError("told to", 400, _error("api_error"), ProviderFailure, True, {"stripe-should-retry": "true"}),
        SheetError("OAuth's shape", 400, {"error": "invalid_request", "error_description": "No."}, ProviderFailure,
                   code="invalid_request"),
    ),
    limits=(
        Limit("account", lambda _, call: call.http.get("/v1/account"), pause=(1, 1)),
        Limit("search", lambda _, call: call.http.get("/v1/customers/search", {"query": 'name:"a"'}), pause=(1, 1)),
    ),
)  # fmt: skip
