"""Calendly's actions: event types, meetings, free times, booking and cancelling."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from supportly.contracts.actions import ActionAnswer
from supportly.provider import Call, Moment, PagedParams, Params, Provider, action
from supportly.providers.calendly import api
from supportly.providers.calendly.api import LIST, Row, row_of, rows_of

Email = Annotated[str, Field(pattern=r"^[^@\s,]+@[^@\s,]+$", max_length=320)]
EVENT: Final = "https://api.calendly.com/scheduled_events/GBGBDCAADAEDCRZ2"
KIND: Final = "https://api.calendly.com/event_types/AAAAAAAAAAAAAAAA"
WINDOW: Final = timedelta(days=31)
"""Longest range of available times in one call, since 9 July 2026."""
OWN: Final = "mine|"
"""Stands before the cursor of a list that is the connected user's own, so that its pages stay of one list."""


class EventTypes(PagedParams):
    """A page of event types."""

    active: bool | None = Field(True, description="Only those that can be booked (true) or not (false); null: all.")


class Events(PagedParams):
    """A page of meetings."""

    invitee_email: Email | None = Field(None, description="Only meetings with this invitee.")
    status: str | None = Field(None, pattern="^(active|canceled)$", description="`active` or `canceled`; null: both.")
    min_start_time: Moment | None = Field(None, description="Earliest start, with a zone.")
    max_start_time: Moment | None = Field(None, description="Latest start, with a zone.")


class OneEvent(PagedParams):
    """A page of one meeting's invitees."""

    event_id: str = Field(min_length=1, max_length=300, description="URI of the meeting.")
    email: Email | None = Field(None, description="Only the invitee with this address.")


class Times(Params):
    """A range of time of one event type."""

    event_type: str = Field(min_length=1, max_length=300, description="URI of the event type.")
    start_time: Moment = Field(description="Start of the range, in the future, with a zone.")
    end_time: Moment = Field(description="End of the range, at most 31 days later.")


class Invitee(BaseModel):
    """Who is booked."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=255, description="Full name.")
    email: Email = Field(description="Address to which Calendly writes.")
    timezone: str = Field("Etc/UTC", pattern=r"^[A-Za-z0-9_+/-]{1,64}$", description="IANA name of the time zone.")


class AnswerTo(BaseModel):
    """One answer to a question of the event type."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(max_length=1000, description="The question's text.")
    answer: str = Field(max_length=10_000, description="The invitee's answer.")
    position: int = Field(0, ge=0, le=100, description="The question's place, from 0.")


class Place(BaseModel):
    """Where a meeting is, in Calendly's words."""

    model_config = ConfigDict(extra="forbid")
    kind: str = Field(pattern=r"^[a-z_]{1,64}$", description="Kind of location, such as `zoom_conference`.")
    location: str | None = Field(None, max_length=1000, description="Address, number or text, where the kind has one.")


class Booking(Params):
    """A meeting to book."""

    event_type: str = Field(min_length=1, max_length=300, description="URI of the event type.")
    start_time: Moment = Field(description="Start of a free slot, with a zone.")
    invitee: Invitee = Field(description="Who is booked.")
    location: Place | None = Field(None, description="Where, if the event type lets the invitee choose.")
    questions_and_answers: list[AnswerTo] = Field(
        default_factory=list, max_length=20, description="Answers to the event type's questions."
    )


class Cancellation(Params):
    """A meeting to cancel."""

    event_id: str = Field(min_length=1, max_length=300, description="URI of the meeting.")
    reason: str | None = Field(None, max_length=10_000, description="Why; Calendly tells the invitees.")


class LinkTo(Params):
    """An event type to share once."""

    event_type: str = Field(min_length=1, max_length=300, description="URI of the event type.")


async def _booked(_self: Any, call: Call, params: Any) -> ActionAnswer | None:
    """The meeting with this person, start and event type: there is no marker, and nobody books it twice."""
    start = _utc(params.start_time)
    wanted = {"invitee_email": params.invitee.email, "status": "active", "min_start_time": start}
    asked = {**wanted, "max_start_time": _utc(params.start_time + timedelta(seconds=1)), "count": LIST}
    body, _ = await api.for_everyone(call, "/scheduled_events", asked)
    kind = api.uri_of(params.event_type, "event_types")
    for event in rows_of(body):
        if event.get("event_type") != kind or _moment(event.get("start_time")) != params.start_time:
            continue
        path = api.path_of(str(event["uri"]), "scheduled_events")
        found = await call.http.get(f"{path}/invitees", {"email": params.invitee.email, "count": LIST})
        if rows := [row for row in rows_of(found.body()) if row.get("status") == "active"]:
            return ActionAnswer.single(api.invited(rows[0]))
    return None


async def _canceled(_self: Any, call: Call, params: Any) -> ActionAnswer | None:
    """The meeting, when it is canceled."""
    row = row_of((await call.http.get(api.path_of(params.event_id, "scheduled_events"))).body())
    return ActionAnswer.single(api.event(row)) if row.get("status") == "canceled" else None


async def _unknown_link(_self: Any, _call: Call, _params: Any) -> None:
    """A link whose address nobody got is used by nobody: making another one is safe."""


class CalendlyActions(Provider):
    """The actions."""

    @action(params=EventTypes, description="Event types of the organization or the user.", example={"limit": 10})
    async def get_event_types(self, call: Call, params: EventTypes) -> ActionAnswer:
        """In the order of names."""
        asked = {"active": params.active, "sort": "name:asc", "count": params.limit}
        return await _listed(call, "/event_types", asked, params.cursor, api.event_type)

    @action(
        params=Events,
        description="Meetings of the organization or the user, by invitee, state and time.",
        example={"invitee_email": "ada@example.com", "status": "active"},
    )
    async def get_scheduled_events(self, call: Call, params: Events) -> ActionAnswer:
        """In the order of their start; organization-wide where the connected user is an admin."""
        asked = {
            "invitee_email": params.invitee_email, "status": params.status, "sort": "start_time:asc",
            "min_start_time": _utc(params.min_start_time), "max_start_time": _utc(params.max_start_time),
            "count": params.limit,
        }  # fmt: skip
        return await _listed(call, "/scheduled_events", asked, params.cursor, api.event)

    @action(params=OneEvent, description="Invitees of a meeting, with links to cancel or move it.",
            example={"event_id": EVENT})  # fmt: skip
    async def get_invitees(self, call: Call, params: OneEvent) -> ActionAnswer:
        """A rescheduled meeting is a new one: the old invitee names its successor."""
        path = f"{api.path_of(params.event_id, 'scheduled_events')}/invitees"
        asked = {"email": params.email, "count": params.limit, "page_token": params.cursor}
        body = (await call.http.get(path, asked)).body()
        return ActionAnswer.listed([api.invited(row) for row in rows_of(body)], api.next_token(body, params.cursor))

    @action(
        params=Times,
        description="Free times of an event type, at most 31 days. None is an answer, not an error.",
        example={"event_type": KIND, "start_time": "2026-12-01T00:00:00Z", "end_time": "2026-12-08T00:00:00Z"},
    )
    async def get_available_times(self, call: Call, params: Times) -> ActionAnswer:
        """All at once: this list has no pages."""
        until = min(params.end_time, params.start_time + WINDOW)
        asked = {
            "event_type": api.uri_of(params.event_type, "event_types"),
            "start_time": _utc(params.start_time), "end_time": _utc(until),
        }  # fmt: skip
        rows = rows_of((await call.http.get("/event_type_available_times", asked)).body())
        items = [
            {"id": row.get("start_time"), "type": "available_time", "start_time": row.get("start_time"),
             "status": row.get("status"), "invitees_remaining": row.get("invitees_remaining"),
             "url": row.get("scheduling_url"), "raw": row}
            for row in rows
        ]  # fmt: skip
        return ActionAnswer.listed(items)

    @action(
        params=Booking,
        description="Books a meeting for a person. Needs a paid Calendly plan.",
        example={
            "event_type": KIND,
            "start_time": "2026-12-01T10:00:00Z",
            "invitee": {"name": "Ada Lovelace", "email": "ada@example.com", "timezone": "Europe/London"},
        },
        writes=True,
        find=_booked,
    )
    async def book_meeting(self, call: Call, params: Booking) -> ActionAnswer:
        """Books; the fields of the body are those of a third party's description, unconfirmed by Calendly."""
        body: Row = {
            "event_type": api.uri_of(params.event_type, "event_types"),
            "start_time": _utc(params.start_time),
            "invitee": params.invitee.model_dump(),
        }
        if params.location:
            body["location"] = params.location.model_dump(exclude_none=True)
        if params.questions_and_answers:
            body["questions_and_answers"] = [a.model_dump() for a in params.questions_and_answers]
        return ActionAnswer.single(api.invited(row_of((await call.http.post("/invitees", body)).body())))

    @action(params=Cancellation, description="Cancels a meeting; Calendly tells everybody who takes part.",
            example={"event_id": EVENT, "reason": "Moved to next week"}, writes=True, find=_canceled)  # fmt: skip
    async def cancel_event(self, call: Call, params: Cancellation) -> ActionAnswer:
        """There is no way to move a meeting: hand out `reschedule_url` of an invitee, or cancel and book."""
        path = api.path_of(params.event_id, "scheduled_events")
        reason = {"reason": params.reason} if params.reason else {}
        await call.http.post(f"{path}/cancellation", reason)
        return ActionAnswer.single(api.event(row_of((await call.http.get(path)).body())))

    @action(params=LinkTo, description="A link by which one meeting can be booked, once.",
            example={"event_type": KIND}, writes=True, find=_unknown_link)  # fmt: skip
    async def create_scheduling_link(self, call: Call, params: LinkTo) -> ActionAnswer:
        """A link for a single use."""
        owner = api.uri_of(params.event_type, "event_types")
        body = {"max_event_count": 1, "owner": owner, "owner_type": "EventType"}
        row = row_of((await call.http.post("/scheduling_links", body)).body())
        link = row.get("booking_url")
        return ActionAnswer.single(
            {"id": link, "type": "scheduling_link", "url": link, "event_type": row.get("owner"), "raw": row}
        )


async def _listed(call: Call, path: str, asked: Row, cursor: str | None, shape: Any) -> ActionAnswer:
    mine, token = (cursor or "").startswith(OWN), (cursor or "").removeprefix(OWN) or None
    if cursor and not mine:
        asked = {**asked, "organization": call.facts["organization"], "page_token": token}
        body, own = (await call.http.get(path, asked)).body(), False
    else:
        body, own = await api.for_everyone(call, path, {**asked, "page_token": token}, mine=mine)
    following = api.next_token(body, token)
    return ActionAnswer.listed(
        [shape(row) for row in rows_of(body)], f"{OWN}{following}" if own and following else following
    )


def _utc(moment: datetime | None) -> str | None:
    """A moment as Calendly writes it: UTC with six digits of a second."""
    return None if moment is None else (moment - (moment.utcoffset() or timedelta())).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
