"""Schedly's records for the contract suite."""

from __future__ import annotations

from typing import Any

from tests.providers.harness import World
from tests.providers.seeds.shape import Seeds, StreamSeed, monday


def _booking(world: World, name: str, email: str, phone: str) -> dict[str, Any]:
    attendee = {"name": name, "email": email, "phoneNumber": phone}
    return {"eventTypeId": 11, "start": monday(world, 12), "attendee": attendee}


SEEDS = Seeds(
    person=lambda world, name, email, phone: {"bookings": [_booking(world, name, email, phone)]},
    phones=False,
    streams={
        "event_types": StreamSeed("event_types", lambda n, title, text: {"id": n, "title": title, "description": text}),
        "teams": StreamSeed("teams", lambda n, title, text: {"id": n, "name": title, "bio": text}, paged=False),
    },
    world=lambda world: {
        "event_types": [{"id": 11, "title": "Intro", "lengthInMinutes": 30}],
        "bookings": [
            {"uid": f"uid-{n}", **_booking(world, "Bob", "bob@example.com", "+15550000001")} for n in range(3)
        ],
        "routing_forms": [{"id": "form-1", "targets": [{"eventTypeId": 11}]}],
    },
    params=lambda world: {
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
)
