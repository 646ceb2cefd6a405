"""Schedly's answers (assumed: Cal.com v2) in our own shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from supportly.contracts.contacts import Record
from supportly.contracts.knowledge import Document
from supportly.errors import ProviderFailure
from supportly.http import Answer
from supportly.provider import timestamp

Json = Mapping[str, Any]


def data(answer: Answer) -> Any:
    """`data` of the envelope `{status, data}`. ProviderFailure where a success says `error`, or has no data."""
    body = answer.body()
    if body.get("status") == "error" or "data" not in body:
        raise ProviderFailure("Schedly answered without data.", provider_status=answer.status)
    return body["data"]


def rows(answer: Answer) -> list[dict[str, Any]]:
    """`data` as a list of objects. A recurring booking is a list where a single one is an object."""
    found = data(answer)
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ProviderFailure("Schedly answered with an unexpected shape.", provider_status=answer.status)
    return found


def instant(text: object) -> datetime | None:
    """The moment of a text, so that `…Z`, `….000Z` and `…+01:00` compare equal."""
    return timestamp(text) if isinstance(text, str) else None


def addresses(booking: Json) -> set[str]:
    """All addresses of a booking's attendees and guests, case-folded."""
    attendees = [a for a in booking.get("attendees") or [] if isinstance(a, dict)]
    found = [a.get(name) for a in attendees for name in ("email", "displayEmail")] + list(booking.get("guests") or [])
    return {str(address).strip().casefold() for address in found if address}


def event_type_id(booking: Json) -> str:
    """The id of a booking's event type as a text."""
    return str((booking.get("eventType") or {}).get("id") or booking.get("eventTypeId") or "")


def booking_item(booking: Json) -> dict[str, Any]:
    """A booking, normalised."""
    return {
        "id": booking.get("uid"),
        "type": "booking",
        "title": booking.get("title"),
        "status": booking.get("status"),
        "url": booking.get("meetingUrl"),
        "start_time": booking.get("start"),
        "end_time": booking.get("end"),
        "duration_minutes": booking.get("duration"),
        "event_type_id": event_type_id(booking) or None,
        "location": booking.get("location"),
        "attendees": [_person(a) for a in booking.get("attendees") or []],
        "hosts": [_person(h) for h in booking.get("hosts") or []],
        "rescheduled_from": booking.get("rescheduledFromUid"),
        "rescheduled_to": booking.get("rescheduledToUid"),
        "cancellation_reason": booking.get("cancellationReason"),
        "created_at": booking.get("createdAt"),
        "updated_at": booking.get("updatedAt"),
        "metadata": booking.get("metadata") or {},
    }


def _person(person: Json) -> dict[str, Any]:
    return {
        "name": person.get("name"),
        "email": person.get("displayEmail") or person.get("email"),
        "phone_number": person.get("phoneNumber"),
        "time_zone": person.get("timeZone"),
    }


def attendee_record(bookings: Sequence[Json], email: str) -> Record | None:
    """The person with this address as the newest of `bookings` shows them; None when no booking has them."""
    wanted = email.strip().casefold()
    mine = sorted((b for b in bookings if wanted in addresses(b)), key=lambda b: str(b.get("start")), reverse=True)
    for booking in mine:
        for attendee in booking.get("attendees") or []:
            if wanted in addresses({"attendees": [attendee]}):
                return Record(
                    id=f"attendee:{wanted}",
                    type="attendee",
                    name=attendee.get("name"),
                    email=wanted,
                    phone=attendee.get("phoneNumber"),
                    updated_at=instant(booking.get("updatedAt")),
                    raw={"attendee": attendee, "booking": booking},
                )
    return None


def slot_items(slots: Any) -> list[dict[str, Any]]:
    """The map date -> slots as one list in order of time. A slot is `{start[, end]}`, `{time}` or a plain text."""
    found = []
    for day, entries in (slots or {}).items():
        for entry in entries:
            slot = entry if isinstance(entry, dict) else {"start": entry}
            found.append({"date": day, "start": slot.get("start") or slot.get("time"), "end": slot.get("end")})
    return sorted(found, key=lambda slot: str(slot["start"]))


def event_type_item(event_type: Json) -> dict[str, Any]:
    """An event type, normalised."""
    return {
        "id": str(event_type.get("id")),
        "type": "event_type",
        "title": event_type.get("title"),
        "slug": event_type.get("slug"),
        "status": "hidden" if event_type.get("hidden") else "active",
        "url": event_type.get("bookingUrl"),
        "description": event_type.get("description"),
        "duration_minutes": event_type.get("lengthInMinutes"),
        "durations_minutes": event_type.get("lengthInMinutesOptions") or [event_type.get("lengthInMinutes")],
        "team_id": event_type.get("teamId"),
        "booking_fields": event_type.get("bookingFields") or [],
    }


def team_item(team: Json) -> dict[str, Any]:
    """A team, normalised."""
    return {
        "id": str(team.get("id")),
        "type": "team",
        "title": team.get("name"),
        "slug": team.get("slug"),
        "time_zone": team.get("timeZone"),
        "parent_id": team.get("parentId"),
        "is_organization": team.get("isOrganization"),
    }


def route_result(route: Json) -> dict[str, Any]:
    """Where a lead goes: an event type with slots, a message or another page. `routing` is for `create_booking`."""
    message, redirect = route.get("routingCustomMessage"), route.get("routingExternalRedirectUrl")
    return {
        "outcome": "message" if message else "redirect" if redirect else "event_type",
        "event_type_id": route.get("eventTypeId"),
        "routing": route.get("routing"),
        "slots": slot_items(route.get("slots")),
        "message": message,
        "redirect_url": redirect,
    }


def event_type_document(event_type: Json, site: str, owner: str) -> Document:
    """An event type for the knowledge base. `owner` is the user name or team slug of its booking page."""
    lengths = event_type.get("lengthInMinutesOptions") or [event_type.get("lengthInMinutes")]
    url = event_type.get("bookingUrl") or (f"{site}/{owner}/{event_type['slug']}" if owner else None)
    places = [str(p.get("type") or p.get("integration")) for p in event_type.get("locations") or []]
    questions = [
        str(f["label"]) for f in event_type.get("bookingFields") or [] if f.get("label") and not f.get("hidden")
    ]
    parts = [
        str(event_type.get("description") or "").strip(),
        f"Length: {' or '.join(f'{minutes} minutes' for minutes in lengths if minutes)}" if any(lengths) else "",
        f"Where: {', '.join(dict.fromkeys(places))}" if places else "",
        "Asked when booking:\n\n" + "\n".join(f"- {q}" for q in dict.fromkeys(questions)) if questions else "",
        f"Book here: {url}" if url else "",
    ]
    return Document(
        stream="event_types",
        external_id=str(event_type["id"]),
        title=event_type["title"],
        body="\n\n".join(part for part in parts if part),
        url=url,
        metadata={"slug": event_type["slug"]},
    )


def team_document(team: Json, site: str) -> Document:
    """A team for the knowledge base: what it is, and where it is booked."""
    url = f"{site}/{team['slug']}" if team.get("slug") else None
    parts = [
        str(team.get("bio") or "").strip(),
        f"Time zone: {team['timeZone']}" if team.get("timeZone") else "",
        f"Book the team here: {url}" if url else "",
    ]
    return Document(
        stream="teams",
        external_id=str(team["id"]),
        title=team["name"],
        body="\n\n".join(part for part in parts if part) or str(team["name"]),
        url=url,
    )
