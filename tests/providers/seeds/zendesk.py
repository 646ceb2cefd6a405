"""Zendesk's records for the contract suite."""

from __future__ import annotations

from supportly.errors import NotFound, ProviderFailure, Throttled, TokenRefused
from supportly.provider import Call
from tests.providers.harness import World
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed, html

TOO_MANY = "Number of allowed API requests per minute exceeded"
RATE = {"error": "APIRateLimitExceeded", "description": TOO_MANY}
CLOUDFLARE = "<html><head><title>zendesk.com</title></head><body>error</body></html>"


def _word(error: str, description: str = "No.") -> dict[str, object]:
    return {"error": error, "description": description}


def _titled(title: str) -> dict[str, object]:
    return {"error": {"title": title, "message": "You do not have access to this page."}}


def _listed(code: str) -> dict[str, object]:
    return {"errors": [{"code": code, "title": "Invalid", "detail": "The page is too deep"}]}


def _invalid(**details: list[dict[str, str]]) -> dict[str, object]:
    return {"error": "RecordInvalid", "description": "Record validation errors", "details": details}


ERRORS = (
    SheetError("same key, other body", 400, _word("IdempotentRequestError"), ProviderFailure,
               code="IdempotentRequestError"),
    SheetError("a list of errors", 400, _listed("InvalidPaginationDepth"), ProviderFailure,
               code="InvalidPaginationDepth"),
    SheetError("a grant that ended", 400, {"error": "invalid_grant", "error_description": "No."}, ProviderFailure,
               code="invalid_grant"),
    SheetError("not authenticated", 401, {"error": "Couldn't authenticate you"}, TokenRefused),
    SheetError("dead token", 401, {"error": "invalid_token", "error_description": "expired"}, TokenRefused),
    SheetError("scope or plan", 403, _titled("Forbidden"), ProviderFailure, code="Forbidden"),
    SheetError("no Support", 403, {"error": "SupportProductInactive"}, ProviderFailure, code="SupportProductInactive"),
    SheetError("no record", 404, _word("RecordNotFound"), NotFound),
    SheetError("not on this plan", 404, _word("InvalidEndpoint"), NotFound),
    # A conflict passes where something is written; see the provider's own tests. This is a read.
    SheetError("conflict", 409, _word("DatabaseConflict"), ProviderFailure, code="DatabaseConflict"),
    SheetError("invalid", 422, _invalid(name=[{"description": "Name: is too short", "error": "TooShort"}],
                                        email=[{"description": "Email: is taken", "error": "DuplicateValue"}]),
               ProviderFailure, code="RecordInvalid"),
    SheetError("invalid without codes", 422, _invalid(email=[{"description": "Email: is taken"}]), ProviderFailure,
               code="RecordInvalid"),
    SheetError("a search too deep", 422, _word("Requested response size was greater than Search Response Limits"),
               ProviderFailure),
    SheetError("rate", 429, RATE, Throttled, retryable=True, headers={"retry-after": "41"}, pause=(41, 41)),
    SheetError("rate in plain text", 429, TOO_MANY, Throttled, retryable=True, headers={"retry-after": "7"},
               pause=(7, 7)),
    SheetError("rate although there is room", 429, RATE, Throttled, retryable=True, pause=(3, 3),
               headers={"retry-after": "3", "ratelimit-limit": "700", "ratelimit-remaining": "650"}),
    SheetError("rate without a time", 429, TOO_MANY, Throttled, retryable=True, pause=(1, 60)),
    SheetError("too many jobs", 429, _word("TooManyJobs"), Throttled, retryable=True, pause=(1, 60)),
    *(SheetError(f"server {status}", status, CLOUDFLARE, ProviderFailure, retryable=True)
      for status in (500, 502, 503, 504, 520, 524)),
)  # fmt: skip


async def _support(_: World, call: Call) -> None:
    await call.http.get("/macros")


async def _help_center(_: World, call: Call) -> None:
    await call.http.get("/help_center/articles")


async def _tickets_export(_: World, call: Call) -> None:
    await call.http.get("/incremental/tickets/cursor", {"start_time": 0})


async def _both_exports(world: World, call: Call) -> None:
    """By turns: the two of them share one limit."""
    turn = len(world.requests()) % 2
    path = "/incremental/tickets/cursor" if turn else "/help_center/incremental/articles"
    await call.http.get(path, {"start_time": 0})


async def _one_ticket(world: World, call: Call) -> None:
    world.seed(tickets=[{"id": 9, "subject": "T"}])
    await call.http.put("/tickets/9", {"ticket": {"priority": "high"}})


async def _many_tickets(world: World, call: Call) -> None:
    (key,) = world.seed(tickets=[{"subject": "T"}])
    await call.http.put(f"/tickets/{key}", {"ticket": {"priority": "high"}})


async def _one_user(world: World, call: Call) -> None:
    world.sandbox.clock.offset += 1.5  # slower than the account's limit
    world.seed(users=[{"id": 35001, "name": "Bob"}])
    await call.http.put("/users/35001", {"user": {"details": "x"}})


async def _many_users(world: World, call: Call) -> None:
    (key,) = world.seed(users=[{"name": "Bob"}])
    await call.http.put(f"/users/{key}", {"user": {"details": "x"}})


SEEDS = Seeds(
    person=lambda _, name, email, phone: {"users": [{"name": name, "email": email, "phone": phone}]},
    streams={
        "articles": StreamSeed(
            "articles",
            lambda n, title, text: {"id": n, "title": title, "body": html(text)},
            key=lambda n: f"{n}:en-us",  # one document per language
            broken=lambda n: {"id": n, "title": "Odd", "body": {"html": "an object where a text belongs"}},
        ),
        "macros": StreamSeed(
            "macros",
            lambda n, title, text: {"id": n, "title": title, "description": text},
            broken=lambda n: {"id": n, "title": "Odd", "actions": ["a text where an object belongs"]},
        ),
        "tickets": StreamSeed(
            "tickets",
            lambda n, title, text: {"id": n, "subject": title, "description": text, "status": "solved"},
            broken=lambda n: {"id": n, "subject": {"text": "an object"}, "description": "Text.", "status": "solved"},
        ),
    },
    world=lambda _: {
        "users": [
            {"id": 35001, "name": "Bob", "email": "bob@example.com"},
            *({"name": f"Walker {n}"} for n in range(3)),
        ],
        "articles": [{"title": f"Refund {n}", "body": "<p>How.</p>"} for n in range(3)],
        "macros": [{"title": f"Macro {n}"} for n in range(3)],
        "tickets": [{"id": 35436 + n, "subject": f"Ticket {n}", "requester_id": 35001} for n in range(3)],
    },
    params=lambda _: {
        "get_tickets": {"user_id": "35001"},
        "search_tickets": {"query": "Ticket"},
        "search_contacts": {"query": "Walker"},
    },
    account=lambda n: ({}, {"subdomain": f"acme{n}"}),
    errors=ERRORS,
    limits=(
        Limit("account", _support, pause=(1, 61), most=410),
        Limit("account of the smallest plan", _support, {"requests_per_minute": 200}, (1, 61), most=210),
        Limit("help center", _help_center, pause=(1, 61), most=410),
        Limit("exports", _tickets_export, pause=(1, 61), most=15),
        Limit("exports of both kinds", _both_exports, pause=(1, 61), most=15),
        Limit("exports with the add-on", _tickets_export, {"incremental_per_minute": 30}, (1, 61), most=35),
        Limit("updates of a ticket", _one_ticket, pause=(1, 601), most=35),
        Limit("updates of tickets", _many_tickets, pause=(1, 61), most=110),
        Limit("updates of a user", _one_user, pause=(1, 61), most=10),
        Limit("updates of users", _many_users, pause=(1, 2), most=10),
    ),
)
