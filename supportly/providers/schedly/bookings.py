"""Schedly's bookings: read, make exactly once, cancel, move."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from supportly.contracts.actions import ActionAnswer
from supportly.errors import InvalidInput, ProviderFailure
from supportly.http import Answer, segment
from supportly.provider import Call, absent_as_none, action, offset
from supportly.providers.schedly import shapes
from supportly.providers.schedly.params import (
    Asked,
    CancelBooking,
    CreateBooking,
    EntityId,
    GetBookings,
    GetSlots,
    RescheduleBooking,
)
from supportly.providers.schedly.protocol import SchedlyProtocol, SlotNotAvailable

MOST_BOOKINGS: Final = 100
"""Bookings on one page; the API's own default."""
MOST_PAGES: Final = 10
"""Pages read while looking for one booking of ours in the day around it."""
ALTERNATIVES: Final = 5
"""Other slots named when the wanted one is taken."""


class Bookings(SchedlyProtocol):
    """The five actions on bookings and slots."""

    async def _bookings(self, call: Call, **params: Any) -> Answer:
        return await call.http.get(self.contract.bookings_path, {"take": MOST_BOOKINGS, **params})

    @action(
        params=GetBookings,
        description="Bookings, by attendee, event type, team, status and time.",
        example={"attendee_email": "ada@example.com", "status": ["upcoming"]},
    )
    async def get_bookings(self, call: Call, params: GetBookings) -> ActionAnswer:
        """One page; the address of each item is checked again, since the filter was seen to let others through."""
        skip = offset(params.cursor)
        answer = await self._bookings(
            call,
            status=_joined(params.status),
            attendeeEmail=params.attendee_email,
            attendeeName=params.attendee_name,
            eventTypeIds=_joined(params.event_type_ids),
            teamsIds=_joined(params.team_ids),
            afterStart=params.after_start,
            beforeEnd=params.before_end,
            afterUpdatedAt=params.after_updated_at,
            beforeUpdatedAt=params.before_updated_at,
            sortStart=params.sort_start,
            take=params.limit,
            skip=skip,
        )
        found, wanted = shapes.rows(answer), (params.attendee_email or "").casefold()
        return ActionAnswer(
            items=[shapes.booking_item(b) for b in found if not wanted or wanted in shapes.addresses(b)],
            next_cursor=_next_offset(answer, skip, len(found)),
            raw=answer.json(),
        )

    @action(
        params=GetSlots,
        description="Free slots of an event type between two dates or times. No slots is an answer, not an error.",
        example={"event_type_id": 1, "start": "2026-12-01", "end": "2026-12-02"},
    )
    async def get_available_slots(self, call: Call, params: GetSlots) -> ActionAnswer:
        """All slots in order of time."""
        by_slug = params.event_type_slug and params.event_type_id is None
        answer = await self._slots(
            call,
            eventTypeId=None if by_slug else self._event_type(call, params.event_type_id),
            eventTypeSlug=params.event_type_slug if by_slug else None,
            username=params.username if by_slug else None,
            teamSlug=params.team_slug if by_slug else None,
            start=params.start,
            end=params.end,
            timeZone=params.time_zone,
            duration=params.duration,
            bookingUidToReschedule=params.booking_uid_to_reschedule,
        )
        return ActionAnswer(items=shapes.slot_items(shapes.data(answer)), raw=answer.json())

    async def _slots(self, call: Call, **params: Any) -> Answer:
        return await call.http.get(self.contract.slots_path, {**params, "format": "range"})

    async def _find_created(self, call: Call, params: CreateBooking) -> ActionAnswer | None:
        """The booking with our marker, else one of the same person, start and event type that bears no other's."""
        kind, start = str(self._event_type(call, params.event_type_id)), shapes.instant(params.start)
        same: list[dict[str, Any]] = []
        for booking in await self._around(call, params.start, params.attendee.email):
            marker = (booking.get("metadata") or {}).get("supportly_marker")
            if marker == call.marker:
                return _answered([booking])
            if (
                not marker
                and booking.get("status") in ("accepted", "pending")
                and shapes.instant(booking.get("start")) == start
                and shapes.event_type_id(booking) == kind
                and params.attendee.email
            ):
                same.append(booking)
        return _answered(same[:1]) if same else None

    async def _around(self, call: Call, start: str, email: str | None) -> list[dict[str, Any]]:
        """All bookings of `email` that lie within a day after `start`, read consistently."""
        found: list[dict[str, Any]] = []
        for _ in range(MOST_PAGES):
            answer = await self._bookings(
                call, attendeeEmail=email, afterStart=start, beforeEnd=_later(start), skip=len(found)
            )
            page = shapes.rows(answer)
            found += page
            if _next_offset(answer, len(found) - len(page), len(page)) is None:
                break
        wanted = (email or "").casefold()
        return [b for b in found if not wanted or wanted in shapes.addresses(b)]

    @action(
        params=CreateBooking,
        description="Book a slot. Answers `slot_not_available` when it is taken.",
        example={
            "event_type_id": 1,
            "start": "2026-12-01T09:00:00Z",
            "attendee": {"name": "Ada Lovelace", "email": "ada@example.com", "time_zone": "Europe/London"},
        },
        writes=True,
        allowed_by="captain_scheduling_enabled",
        find=_find_created,
    )
    async def create_booking(self, call: Call, params: CreateBooking) -> ActionAnswer:
        """Looks at the slots first: a clear answer, with alternatives, and no booking that can only fail."""
        allow(call, params)
        kind, person = self._event_type(call, params.event_type_id), params.attendee
        await self._check_slot(call, kind, params)
        body = {
            "start": params.start,
            "eventTypeId": kind,
            "attendee": _filled(
                name=person.name,
                timeZone=person.time_zone,
                email=person.email,
                phoneNumber=person.phone_number,
                language=person.language,
            ),
            "metadata": params.metadata
            | _filled(supportly_marker=call.marker, supportly_contact_id=params.contact_id and str(params.contact_id)),
            **_filled(
                guests=params.guests,
                bookingFieldsResponses=params.booking_fields,
                lengthInMinutes=params.length_in_minutes,
                location=params.location,
                routing=params.routing and _filled(**{**params.routing, "queuedResponseId": None}),
            ),
        }
        answer = await call.http.post(self.contract.bookings_path, body)
        return _answered(shapes.rows(answer))

    async def _check_slot(self, call: Call, kind: int | str, params: CreateBooking) -> None:
        answer = await self._slots(
            call, eventTypeId=kind, start=params.start, end=_later(params.start), duration=params.length_in_minutes
        )
        free = [slot["start"] for slot in shapes.slot_items(shapes.data(answer))]
        if shapes.instant(params.start) not in map(shapes.instant, free):
            raise SlotNotAvailable("This slot is not available.", details={"alternatives": free[:ALTERNATIVES]})

    async def _find_cancelled(self, call: Call, params: CancelBooking) -> ActionAnswer | None:
        """The booking when it, or the seat, is cancelled; one that was moved is cancelled too, and not by us."""
        answer = await absent_as_none(call.http.get(self._booking(self.contract.booking_path, params.booking_uid)))
        found = shapes.rows(answer) if answer else []
        if params.seat_uid:
            seats = {a.get("seatUid") for b in found for a in b.get("attendees") or []}
            gone = bool(found) and params.seat_uid not in seats
        else:
            gone = bool(found) and all(b.get("status") == "cancelled" and not b.get("rescheduledToUid") for b in found)
        return _answered(found) if gone else None

    @action(
        params=CancelBooking,
        description="Cancel a booking, or one seat of it.",
        example={"booking_uid": "booking-uid", "reason": "The customer asked for it"},
        writes=True,
        allowed_by="captain_scheduling_enabled",
        find=_find_cancelled,
    )
    async def cancel_booking(self, call: Call, params: CancelBooking) -> ActionAnswer:
        """The cancelled booking."""
        allow(call, params)
        body = _filled(
            cancellationReason=params.reason,
            cancelSubsequentBookings=None if params.seat_uid else params.cancel_subsequent_bookings,
            seatUid=params.seat_uid,
        )
        answer = await call.http.post(self._booking(self.contract.cancel_path, params.booking_uid), body)
        return _answered(shapes.rows(answer))

    async def _find_rescheduled(self, call: Call, params: RescheduleBooking) -> ActionAnswer | None:
        """The booking that the old one was moved to, when it starts at the wanted time."""
        answer = await absent_as_none(call.http.get(self._booking(self.contract.booking_path, params.booking_uid)))
        for old in shapes.rows(answer) if answer else []:
            if uid := old.get("rescheduledToUid"):
                moved = shapes.rows(await call.http.get(self._booking(self.contract.booking_path, uid)))
            else:  # the field is optional in the assumed contract: look for one that names the old booking
                email = next(iter(a.get("email") for a in old.get("attendees") or []), None)
                near = await self._around(call, params.start, email)
                moved = [b for b in near if b.get("rescheduledFromUid") == params.booking_uid]
            if there := [b for b in moved if shapes.instant(b.get("start")) == shapes.instant(params.start)]:
                return _answered(there)
        return None

    @action(
        params=RescheduleBooking,
        description="Move a booking to another time. The answer's id is new; `rescheduled_from` names the old one.",
        example={"booking_uid": "booking-uid", "start": "2026-12-02T09:00:00Z"},
        writes=True,
        allowed_by="captain_scheduling_enabled",
        find=_find_rescheduled,
    )
    async def reschedule_booking(self, call: Call, params: RescheduleBooking) -> ActionAnswer:
        """The new booking."""
        allow(call, params)
        body = {
            "start": params.start,
            **_filled(reschedulingReason=params.reason, rescheduledBy=params.rescheduled_by),
        }
        answer = await call.http.post(self._booking(self.contract.reschedule_path, params.booking_uid), body)
        return _answered(shapes.rows(answer))

    def _booking(self, path: str, uid: str) -> str:
        return path.format(uid=segment(uid))

    def _event_type(self, call: Call, given: EntityId | None) -> int | str:
        return chosen("event_type_id", given, "default_event_type_id", call.settings.default_event_type_id)


def allow(call: Call, params: Asked) -> None:
    """Refuse the assistant where the account has not let it schedule."""
    if params.requested_by == "captain" and not call.settings.captain_scheduling_enabled:
        raise InvalidInput(
            "Captain may not schedule here: an administrator has to turn on `captain_scheduling_enabled`.",
            field="requested_by",
            code="captain_scheduling_disabled",
        )


def chosen(field: str, given: int | str | None, setting: str, default: str | None) -> int | str:
    """The id given, else that of the setting; digits as a number, since the assumed contract wants numbers."""
    found = given if given is not None else default
    if found is None or found == "":
        raise InvalidInput(f"Name `{field}`, or set `{setting}` in the settings.", field=field)
    return int(found) if str(found).isdecimal() else found


def _answered(bookings: Sequence[dict[str, Any]]) -> ActionAnswer:
    """One booking as the result; several (a recurring set) as items."""
    items = [shapes.booking_item(b) for b in bookings]
    if len(items) == 1:
        return ActionAnswer(result=items[0], raw=bookings[0])
    return ActionAnswer(items=items, raw=list(bookings))


def _filled(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _joined(values: Sequence[object] | None) -> str | None:
    return ",".join(map(str, values)) if values else None


def _later(start: str) -> str:
    """A day after `start`: no meeting that can be booked is longer."""
    return (datetime.fromisoformat(start) + timedelta(days=1)).isoformat().replace("+00:00", "Z")


def _next_offset(answer: Answer, skip: int, returned: int) -> str | None:
    """The next `skip`, None on the last page. An empty page that promises more would never end: ProviderFailure."""
    if not (answer.body().get("pagination") or {}).get("hasNextPage"):
        return None
    if not returned:
        raise ProviderFailure("Schedly promised another page after an empty one.", provider_status=answer.status)
    return str(skip + returned)
