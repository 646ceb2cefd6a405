"""Shopify's records for the contract suite."""

from __future__ import annotations

from supportly.errors import NotFound, ProviderFailure, Throttled, TokenRefused
from supportly.oauth import GrantRefused
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed, html

COST = {
    "requestedQueryCost": 502,
    "throttleStatus": {"maximumAvailable": 2000, "currentlyAvailable": 2, "restoreRate": 100},
}
TYPES = ("REFUND_POLICY", "SHIPPING_POLICY", "PRIVACY_POLICY", "TERMS_OF_SERVICE")


def _error(code: str, **more: object) -> dict[str, object]:
    return {"errors": [{"message": "No.", "extensions": {"code": code}}], **more}


async def _shop(_: object, call: object) -> None:
    await call.http.request("POST", "graphql.json", json={"query": "{ pages(first: 250) { nodes { id } } }"})


SEEDS = Seeds(
    person=lambda _, name, email, phone: {
        "customers": [
            {"firstName": name.partition(" ")[0], "lastName": name.partition(" ")[2], "email": email, "phone": phone}
        ]
    },
    phones=False,  # a number is unique in a shop: two customers cannot share one
    streams={
        "products": StreamSeed(
            "products", lambda n, title, text: {"id": n, "title": title, "descriptionHtml": html(text)},
            broken=lambda n: {"id": n, "title": ""},
        ),
        "pages": StreamSeed("pages", lambda n, title, text: {"id": n, "title": title, "body": html(text)},
                            broken=lambda n: {"id": n, "title": " "}),
        "articles": StreamSeed("articles", lambda n, title, text: {"id": n, "title": title, "body": html(text)},
                               broken=lambda n: {"id": n, "title": " "}),
        "policies": StreamSeed("policies", lambda n, title, text: {
            "id": n, "title": title, "body": html(text), "type": TYPES[n % 4]}, paged=False,
            broken=lambda n: {"id": n, "title": " "}),
        "collections": StreamSeed(
            "collections", lambda n, title, text: {"id": n, "title": title, "descriptionHtml": html(text)},
            broken=lambda n: {"id": n, "title": ""},
        ),
    },
    world=lambda _: {
        "customers": [{"id": 91, "firstName": "Bob", "email": "bob@example.com"}],
        "orders": [{"customer": 91, "total": "19.00", "lines": ["Starter plan"]} for _ in range(3)],
        "products": [{"title": f"Product {n}", "price": "9.00"} for n in range(3)],
    },
    params=lambda _: {"get_customer": {"record_id": "91"}},
    account=lambda n: ({}, {"shop": f"acme{n}.myshopify.com"}),
    wrong_secret=GrantRefused,  # said of an uninstalled app too
    errors=(
        SheetError("token", 401, {"errors": "[API] Invalid API key or access token"}, TokenRefused),
        SheetError("frozen", 402, {"errors": "Unavailable Shop"}, ProviderFailure),
        SheetError("permission", 403, {"errors": "[API] This action requires merchant approval"}, ProviderFailure),
        SheetError("shop or version", 404, {"errors": "Not Found"}, NotFound),
        SheetError("locked", 423, {"errors": "Locked"}, ProviderFailure, retryable=True),
        SheetError("query", 400, {"errors": {"query": "Required parameter missing or invalid"}}, ProviderFailure),
        SheetError("throttled by 429", 429, {"errors": "Throttled"}, Throttled, True,
                   {"retry-after": "2.0"}, pause=(2, 2)),
        SheetError("THROTTLED", 200, _error("THROTTLED", extensions={"cost": COST}), Throttled, True, pause=(5, 5)),
        SheetError("THROTTLED without cost", 200, _error("THROTTLED"), Throttled, True, pause=(1, 1)),
        SheetError("ACCESS_DENIED", 200, _error("ACCESS_DENIED", data=None), ProviderFailure, code="ACCESS_DENIED"),
        SheetError("too dear", 200, _error("MAX_COST_EXCEEDED"), ProviderFailure, code="MAX_COST_EXCEEDED"),
        SheetError("internal", 200, _error("INTERNAL_SERVER_ERROR"), ProviderFailure, True,
                   code="INTERNAL_SERVER_ERROR"),
        SheetError("syntax", 200, {"errors": [{"message": "Field 'x' doesn't exist on type 'Shop'"}]}, ProviderFailure),
    ),
    limits=(
        Limit("points", _shop, {"bucket": 100, "restore_rate": 10}, pause=(1, 10)),
        Limit("points, told by 429", _shop, {"bucket": 100, "restore_rate": 10, "throttle_status": 429}, pause=(2, 2)),
    ),
)  # fmt: skip
