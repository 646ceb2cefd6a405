"""Schedly's records for the contract suite."""

from __future__ import annotations

from typing import Any

from supportly.errors import NotFound, ProviderFailure, Throttled, TokenRefused
from tests.providers.harness import World
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed, monday


def _booking(world: World, name: str, email: str, phone: str) -> dict[str, Any]:
    attendee = {"name": name, "email": email, "phoneNumber": phone}
    return {"eventTypeId": 11, "start": monday(world, 12), "attendee": attendee}


def _error(code: str, message: str) -> dict[str, Any]:
    told = {"code": code, "message": message, "details": {}}
    return {"status": "error", "timestamp": "2026-11-20T08:00:00.000Z", "path": "/v2/me", "error": told}


SLOW = _error("ThrottlerException", "ThrottlerException: Too Many Requests")

SEEDS = Seeds(
    person=lambda world, name, email, phone: {"bookings": [_booking(world, name, email, phone)]},
    phones=False,
    streams={
        "event_types": StreamSeed(
            "event_types",
            lambda n, title, text: {"id": n, "title": title, "description": text},
            broken=lambda n: {"id": n, "title": "Odd", "bookingFields": "a text where a list belongs"},
        ),
        "teams": StreamSeed(
            "teams",
            lambda n, title, text: {"id": n, "name": title, "bio": text},
            broken=lambda n: {"id": n, "slug": f"t{n}", "name": None},
            paged=False,
        ),
    },
    world=lambda world: {
        "event_types": [
            {"id": 11, "title": "Intro", "lengthInMinutes": 30}, *({"title": f"Kind {n}"} for n in range(2)),
        ],
        "teams": [{"name": f"Team {n}"} for n in range(3)],
        "bookings": [
            {"uid": f"uid-{n}", **_booking(world, "Bob", "bob@example.com", "+15550000001")} for n in range(3)
        ],
        "routing_forms": [{"id": "form-1", "targets": [{"eventTypeId": 11}]}],
    },
    params=lambda world: {
        "get_bookings": {"attendee_email": "bob@example.com"},
        "get_available_slots": {"event_type_id": 11, "start": monday(world)[:10], "end": monday(world)[:10]},
        "create_booking": {
            "event_type_id": 11,
            "start": monday(world, 9),
            "attendee": {"name": "Ada", "email": "ada@example.com"},
        },
        "cancel_booking": {"booking_uid": "uid-1"},
        "reschedule_booking": {"booking_uid": "uid-2", "start": monday(world, 15)},
        "route_lead": {"answers": {"a": "b"}, "start": monday(world)[:10], "end": monday(world)[:10]},
    },
    settings={"default_routing_config_id": "form-1"},
    account=lambda n: (dict.fromkeys(("user_id", "organization_id"), n), {}),
    errors=(
        SheetError("bad request", 400, _error("BadRequestException", "start must be a date"), ProviderFailure,
                   code="BadRequestException"),
        SheetError("bad token", 401, _error("UnauthorizedException", "Invalid access token."), TokenRefused),
        SheetError("scope or role", 403, _error("ForbiddenException", "insufficient_scope"), ProviderFailure,
                   code="ForbiddenException"),
        SheetError("unknown, or no version header", 404, _error("NotFoundException", "Cannot GET"), NotFound),
        SheetError("a full seated event, to a read", 409, _error("ConflictException", "Full"), ProviderFailure),
        SheetError("throttled, reset in seconds", 429, SLOW, Throttled, retryable=True, pause=(17, 17),
                   headers={"x-ratelimit-reset-default": "17", "x-ratelimit-remaining-default": "0"}),
        SheetError("throttled, with Retry-After", 429, SLOW, Throttled, retryable=True, pause=(9, 9),
                   headers={"retry-after": "9", "x-ratelimit-reset-default": "17"}),
        SheetError("throttled, nothing said", 429, SLOW, Throttled, retryable=True, pause=(60, 60)),
        SheetError("a plain 500", 500, {"statusCode": 500, "message": "Internal server error"}, ProviderFailure,
                   retryable=True),
        SheetError("a 500 in the envelope", 500, _error("INTERNAL", "Internal"), ProviderFailure, retryable=True,
                   code="INTERNAL"),
    ),
    limits=(
        Limit("an access token's minute", lambda _, call: call.http.get("/v2/me"), {"requests_per_minute": 20}, (1, 61),
              most=21),
    ),
)  # fmt: skip
