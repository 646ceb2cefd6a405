"""HubSpot's records for the contract suite."""

from __future__ import annotations

from supportly.errors import NotFound, ProviderFailure, SupportlyError, Throttled, TokenRefused
from supportly.provider import Call
from supportly.providers.hubspot import crm
from tests.providers.harness import World
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed, html

REFUSED = ("BAD_REFRESH_TOKEN", "BAD_AUTH_CODE", "BAD_REDIRECT_URI", "BAD_CLIENT_ID", "BAD_CLIENT_SECRET")
"""Words of the token endpoint; from an API call they are errors like others."""
CLOUDFLARE = "<html><head><title>hubapi.com</title></head><body>error</body></html>"


def _error(category: str = "", **more: object) -> dict[str, object]:
    named = {"category": category} if category else {}
    return {"status": "error", "message": "No.", "correlationId": "c7a1d4a2-0000-4000-8000-000000000000"} | named | more


def _named(status: int, category: str, kind: type[SupportlyError] = ProviderFailure, **more: object) -> SheetError:
    code = category if kind is ProviderFailure else ""
    return SheetError(category.lower(), status, _error(category, **more), kind, code=code)


def _paused(policy: str, seconds: float) -> SheetError:
    body = _error(errorType="RATE_LIMIT", policyName=policy)
    return SheetError(policy.lower(), 429, body, Throttled, retryable=True, pause=(seconds, seconds))


ERRORS = (
    _named(400, "VALIDATION_ERROR", errors=[{"message": "city", "context": {"propertyName": ["city"]}}], context={}),
    SheetError("search cap", 400, _error("VALIDATION_ERROR", message="The maximum number of results is 10000"),
               ProviderFailure, code="VALIDATION_ERROR"),
    *(SheetError(word.lower(), 400, {"status": word, "message": "missing or invalid"}, ProviderFailure, code=word)
      for word in REFUSED),
    SheetError("rfc 6749", 400, {"error": "invalid_grant", "error_description": "No."}, ProviderFailure),
    _named(401, "INVALID_AUTHENTICATION", TokenRefused),
    _named(401, "EXPIRED_AUTHENTICATION", TokenRefused),
    _named(403, "MISSING_SCOPES", errors=[{"context": {"requiredGranularScopes": ["content"]}}]),
    _named(404, "OBJECT_NOT_FOUND", NotFound, subCategory="crm", links={}),
    _named(409, "CONFLICT", message="Contact already exists. Existing ID: 123456789012"),
    SheetError("nothing but a status", 400, {}, ProviderFailure),
    SheetError("lock", 423, _error(), ProviderFailure, retryable=True, pause=(2, 2)),
    SheetError("migration", 477, _error(), ProviderFailure, retryable=True, headers={"retry-after": "30"},
               pause=(30, 30)),
    SheetError("rate_limits", 429, _error("RATE_LIMITS"), Throttled, retryable=True, pause=(10, 10)),
    _paused("TEN_SECONDLY_ROLLING", 10),
    _paused("SECONDLY", 1),
    _paused("DAILY", 3600),
    *(SheetError(f"server {status}", status, CLOUDFLARE, ProviderFailure, retryable=True)
      for status in (502, 503, 504, 521, 523, 524)),
    SheetError("an address that is too long", 414, CLOUDFLARE, ProviderFailure),
    SheetError("bad token at the edge", 530, CLOUDFLARE, TokenRefused),
)  # fmt: skip


async def _read(_: World, call: Call) -> None:
    await call.http.get("/account-info/2026-09/details")


async def _search(_: World, call: Call) -> None:
    await crm.search(call, "contacts", {})


SEEDS = Seeds(
    person=lambda _, name, email, phone: {
        "contacts": [
            {
                "properties": {
                    "firstname": name.partition(" ")[0],
                    "lastname": name.partition(" ")[2],
                    "email": email,
                    "phone": phone,
                }
            }
        ]
    },
    streams={
        "blog_posts": StreamSeed(
            "blog_posts",
            lambda n, title, text: {"id": n, "name": title, "postBody": html(text)},
            broken=lambda n: {"id": n, "name": "A title and no text"},
        ),
        "knowledge_articles": StreamSeed(
            "articles",
            lambda n, title, text: {"id": n, "title": title, "body": html(text)},
            broken=lambda n: {"id": n, "title": "", "body": html("A text and no title")},
        ),
        "products": StreamSeed(
            "products",
            lambda n, title, text: {"id": n, "properties": {"name": title, "description": text}},
            broken=lambda n: {"id": n, "properties": {"name": "", "description": "A description and no name"}},
        ),
    },
    world=lambda _: {
        "deals": [{"properties": {"dealname": f"Deal {n}"}} for n in range(3)],
        "companies": [{"properties": {"name": f"Company {n}"}} for n in range(3)],
        "contacts": [{"properties": {"lastname": "Walker", "email": f"walker{n}@example.com"}} for n in range(3)],
    },
    params=lambda _: {"search_contacts": {"query": "Walker"}},
    account=lambda n: ({"hub_id": n, "user_id": n}, {}),
    errors=ERRORS,
    limits=(
        Limit("ten seconds", _read, pause=(10, 10), most=120),
        Limit("ten seconds of a free account", _read, {"requests_per_ten_seconds": 100}, (10, 10), most=110),
        Limit("searches", _search, pause=(1, 1), most=10),
        # The quota is of a day; an hour here, because an hour is the pause after which it is asked for again.
        Limit("day", _read, {"requests_per_day": 20, "day_seconds": 3600}, (3600, 3600), most=30),
    ),
)
