"""What the contract suite has to know of each double: how its records look. Data only, one entry per provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.providers.harness import World

Records = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class StreamSeed:
    """Records of one stream, of `kind`: `make(id, title, text)` is a published one, `key(id)` its document's id."""

    kind: str
    make: Callable[[int, str, str], dict[str, Any]]
    key: Callable[[int], str] = str


@dataclass(frozen=True)
class Seeds:
    """One provider's records."""

    person: Callable[[World, str, str, str], Records]
    """A contact with (name, e-mail, phone)."""
    streams: Mapping[str, StreamSeed]
    phones: bool = True
    """Contacts can be found by phone, so that two with one number are ambiguous."""
    world: Callable[[World], Records] = lambda _: {}
    """What actions work on."""
    params: Callable[[World], Mapping[str, Mapping[str, Any]]] = lambda _: {}
    """Parameters of actions whose examples name records that a fresh double does not have."""
    settings: Mapping[str, Any] = field(default_factory=dict)


def monday(world: World, hour: int = 9) -> str:
    """A Monday ahead, when hosts work."""
    today = world.now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=7 - today.weekday())).isoformat().replace("+00:00", "Z")


def _html(text: str) -> str:
    return f"<p>{text}</p>"


def _booking(world: World, name: str, email: str, phone: str) -> dict[str, Any]:
    attendee = {"name": name, "email": email, "phoneNumber": phone}
    return {"eventTypeId": 11, "start": monday(world, 12), "attendee": attendee}


SEEDS: Mapping[str, Seeds] = {
    "hubspot": Seeds(
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
                "blog_posts", lambda n, title, text: {"id": n, "name": title, "postBody": _html(text)}
            ),
            "knowledge_articles": StreamSeed(
                "articles", lambda n, title, text: {"id": n, "title": title, "body": _html(text)}
            ),
            "products": StreamSeed(
                "products", lambda n, title, text: {"id": n, "properties": {"name": title, "description": text}}
            ),
        },
        world=lambda _: {
            "deals": [{"properties": {"dealname": f"Deal {n}"}} for n in range(3)],
            "companies": [{"properties": {"name": f"Company {n}"}} for n in range(3)],
        },
    ),
    "zendesk": Seeds(
        person=lambda _, name, email, phone: {"users": [{"name": name, "email": email, "phone": phone}]},
        streams={
            "articles": StreamSeed(
                "articles",
                lambda n, title, text: {"id": n, "title": title, "body": _html(text)},
                key=lambda n: f"{n}:en-us",  # one document per language
            ),
            "macros": StreamSeed("macros", lambda n, title, text: {"id": n, "title": title, "description": text}),
            "tickets": StreamSeed(
                "tickets", lambda n, title, text: {"id": n, "subject": title, "description": text, "status": "solved"}
            ),
        },
        world=lambda _: {
            "users": [{"id": 35001, "name": "Bob", "email": "bob@example.com"}],
            "tickets": [{"id": 35436 + n, "subject": f"Ticket {n}", "requester_id": 35001} for n in range(3)],
        },
        params=lambda _: {"get_tickets": {"user_id": "35001"}, "search_tickets": {"query": "Ticket"}},
    ),
    "schedly": Seeds(
        person=lambda world, name, email, phone: {"bookings": [_booking(world, name, email, phone)]},
        phones=False,
        streams={
            "event_types": StreamSeed(
                "event_types", lambda n, title, text: {"id": n, "title": title, "description": text}
            ),
            "teams": StreamSeed("teams", lambda n, title, text: {"id": n, "name": title, "bio": text}),
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
    ),
}
