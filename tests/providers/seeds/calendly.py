"""Calendly's records for the contract suite."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sandbox.calendly import API
from supportly.errors import NotFound, ProviderFailure, Throttled, TokenRefused
from supportly.provider import Call
from tests.providers.harness import World
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed, html, monday

KIND, EVENT = f"{API}/event_types/intro", f"{API}/scheduled_events/meeting"


def _error(title: str, message: str, *details: tuple[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {"title": title, "message": message}
    return body | ({"details": [{"parameter": p, "message": m} for p, m in details]} if details else {})


async def _book(world: World, call: Call) -> None:
    world.seed(event_types=[{"id": "intro", "name": "Intro"}])
    for event in world.double.records["scheduled_event"].values():  # frees the slot
        event["status"] = "canceled"
    who = {"name": "Ada", "email": "ada@example.com", "timezone": "Etc/UTC"}
    await call.http.post("/invitees", {"event_type": KIND, "start_time": monday(world, 9), "invitee": who})


SEEDS = Seeds(
    person=lambda _, name, email, phone: {
        "contacts": [
            {"name": name, "emails": [{"email": email, "is_primary": True}], "phone_numbers": [{"phone_number": phone}]}
        ]
    },
    streams={
        "event_types": StreamSeed(
            "event_types",
            lambda n, title, text: {"id": str(n), "name": title, "description_html": html(text)},
            key=lambda n: f"{API}/event_types/{n}",
            broken=lambda n: {"id": str(n), "name": " "},
        ),
        "routing_forms": StreamSeed(
            "routing_forms",
            lambda n, title, text: {"id": str(n), "name": title, "questions": [{"uuid": "q", "name": text}]},
            key=lambda n: f"{API}/routing_forms/{n}",
            broken=lambda n: {"id": str(n), "name": "Odd", "questions": "a text where a list belongs"},
        ),
    },
    world=lambda world: {
        "event_types": [{"id": "intro", "name": "Intro"}, *({"id": f"k{n}", "name": f"Kind {n}"} for n in range(3))],
        "scheduled_events": [
            {
                "id": key,
                "name": "Meeting",
                "event_type": KIND,
                "start_time": (world.now + timedelta(days=n)).isoformat().replace("+00:00", "Z"),
            }
            for n, key in enumerate(("meeting", "second", "third"), 1)
        ],
        "invitees": [
            {"id": f"i{n}", "event": "meeting", "name": f"Guest {n}", "email": f"guest{n}@example.com"}
            for n in range(3)
        ],
    },
    params=lambda world: {
        "get_invitees": {"event_id": EVENT},
        "get_scheduled_events": {"status": "active"},
        "get_available_times": {
            "event_type": KIND,
            "start_time": monday(world, 8),
            "end_time": monday(world, 18),
        },
        "book_meeting": {
            "event_type": KIND,
            "start_time": monday(world, 10),
            "invitee": {"name": "Ada", "email": "ada@example.com"},
        },
        "cancel_event": {"event_id": EVENT},
        "create_scheduling_link": {"event_type": KIND},
    },
    account=lambda n: ({"user": f"USER{n}"}, {}),
    errors=(
        SheetError("invalid argument", 400,
                   _error("Invalid Argument", "The supplied parameters are invalid.", ("count", "is too big")),
                   ProviderFailure, code="Invalid Argument"),
        SheetError("unauthenticated", 401, _error("Unauthenticated", "The access token is invalid"), TokenRefused),
        SheetError("scope, role or plan", 403, _error("Permission Denied", "You do not have permission"),
                   ProviderFailure, code="Permission Denied"),
        SheetError("past event", 403, _error("Permission Denied", "Event in the past"), ProviderFailure),
        SheetError("unknown", 404, _error("Resource Not Found", "The server could not find it."), NotFound),
        SheetError("exists", 409, _error("Already Exists", "It exists."), ProviderFailure, code="Already Exists"),
        SheetError("throttled, reset in seconds", 429, _error("Too Many Requests", "Slow down"), Throttled,
                   retryable=True, headers={"x-ratelimit-reset": "41"}, pause=(41, 41)),
        SheetError("throttled without headers", 429, _error("Too Many Requests", "Slow down"), Throttled,
                   retryable=True, pause=(1, 60)),
        SheetError("internal", 500, _error("Internal Server Error", "Unexpected"), ProviderFailure, retryable=True),
        SheetError("titles change, the status decides", 403, _error("Something Else", "No"), ProviderFailure),
    ),
    limits=(
        Limit("calls, paid plan", lambda _, call: call.http.get("/users/me"), pause=(1, 60)),
        Limit("calls, free plan", lambda _, call: call.http.get("/users/me"), {"per_minute": 50}, (1, 60), most=51),
        Limit("bookings", _book, pause=(1, 86_400), most=11),
    ),
)  # fmt: skip
