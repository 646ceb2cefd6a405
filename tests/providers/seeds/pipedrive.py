"""Pipedrive's records for the contract suite."""

from __future__ import annotations

from supportly.errors import NotFound, ProviderFailure, Throttled, TokenRefused
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed


def _error(text: str, **more: object) -> dict[str, object]:
    return {"success": False, "error": text, "error_info": "…", "data": None, "additional_data": None, **more}


SEEDS = Seeds(
    person=lambda _, name, email, phone: {
        "persons": [
            {
                "name": name,
                "emails": [{"value": email, "primary": True, "label": "work"}],
                "phones": [{"value": phone, "primary": True, "label": "work"}],
            }
        ]
    },
    streams={
        "products": StreamSeed(
            "products",
            lambda n, title, text: {"id": n, "name": title, "description": text},
            broken=lambda n: {"id": n, "name": ""},
        ),
        "deals": StreamSeed(
            "deals",
            lambda n, title, text: {"id": n, "title": title, "lost_reason": text},
            broken=lambda n: {"id": n, "title": ""},
        ),
        "organizations": StreamSeed(
            "organizations",
            lambda n, title, text: {"id": n, "name": title, "address": {"value": text}},
            broken=lambda n: {"id": n, "name": "Odd", "address": "a text where an object belongs"},
        ),
    },
    world=lambda _: {
        "deals": [{"title": f"Deal {n}", "value": 100 * n} for n in range(3)],
        "organizations": [{"name": f"Company {n}"} for n in range(3)],
        "persons": [{"name": f"Walker {n}"} for n in range(3)],
        "leads": [{"id": f"adf21080-0e10-11eb-879b-05d71fb4260{n}", "title": f"Lead {n}"} for n in range(3)],
    },
    params=lambda _: {"search_contacts": {"query": "Walker"}},
    account=lambda n: ({"company_id": n, "company_domain": f"acme{n}"}, {}),
    errors=(
        SheetError("unauthorized", 401, _error("unauthorized access", errorCode=401), TokenRefused),
        SheetError("account closed", 402, _error("Company account is closed"), ProviderFailure),
        SheetError("scope", 403, _error("Scope and URL mismatch", code="ERR_F"), ProviderFailure, code="ERR_F"),
        SheetError("capped", 403, _error("feature_capping_deals_limit"), ProviderFailure),
        SheetError("v2 validation", 400, _error("Validation failed", code="ERR_BAD_REQUEST", field_code="name"),
                   ProviderFailure, code="ERR_BAD_REQUEST"),
        SheetError("v1 code", 400, _error("Bad request", errorCode=400), ProviderFailure, code="400"),
        SheetError("gone", 410, _error("Note has been deleted"), NotFound),
        SheetError("feature off", 415, _error("Feature is not enabled"), ProviderFailure),
        SheetError("maintenance", 503, _error("Service unavailable"), ProviderFailure, retryable=True),
        SheetError("burst", 429, _error("Request over limit"), Throttled, retryable=True, pause=(2, 2),
                   headers={"x-ratelimit-remaining": "0", "x-daily-ratelimit-token-remaining": "12"}),
        SheetError("day spent", 429, _error("Request over limit"), Throttled, retryable=True, pause=(1, 86_400),
                   headers={"x-ratelimit-remaining": "0", "x-daily-ratelimit-token-remaining": "0"}),
        SheetError("day spent, without a daily header", 429, _error("Request over limit"), Throttled, retryable=True,
                   pause=(3, 86_400), headers={"x-ratelimit-remaining": "70"}),
        SheetError("Cloudflare", 403, "<html><title>Access denied</title></html>", Throttled, retryable=True,
                   pause=(300, 300)),
    ),
    limits=(
        Limit("burst", lambda _, call: call.http.get("/api/v1/users/me"), pause=(2, 2)),
        Limit("searches", lambda _, call: call.http.get("/api/v2/persons/search", {"term": "ada"}), pause=(2, 2)),
        Limit("day", lambda _, call: call.http.get("/api/v2/persons"), {"daily": 65, "burst": 500}, (1, 86_400)),
    ),
)  # fmt: skip
