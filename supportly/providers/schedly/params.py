"""Settings of Schedly, and the parameters of its actions: snake_case, times in ISO 8601."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, WithJsonSchema, field_validator, model_validator

from supportly.provider import EMPTY, PagedParams, Params, ProviderSettings, countable, countable_schema, one_of

OWN_METADATA: Final = 2
"""Metadata keys of ours on a booking: the marker and the contact's id."""
ROUTED: Final = ("responseId", "teamMemberIds")
"""What a route that was answered holds."""
MOST_METADATA: Final = 50 - OWN_METADATA
"""A booking holds 50 metadata keys of up to 40 characters, with values of up to 500."""


def utc(text: str) -> str:
    """A time with an offset or `Z`, in UTC as `YYYY-MM-DDTHH:MM:SSZ`. A time without one means nothing: ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs `Z` or an offset, as in 2026-12-01T09:00:00Z")
    return countable(moment).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def day_or_utc(text: str) -> str:
    """A date as it is, or a time in UTC."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return utc(text)
    return countable(day).isoformat()


def zone(name: str) -> str:
    """A name of the IANA time zone list."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not an IANA time zone such as Europe/Berlin") from None
    return name


Moment = Annotated[str, AfterValidator(utc), WithJsonSchema(countable_schema("date-time"))]
DayOrMoment = Annotated[
    str,
    AfterValidator(day_or_utc),
    WithJsonSchema({"anyOf": [countable_schema("date"), countable_schema("date-time")]}),
]
TimeZone = Annotated[str, AfterValidator(zone)]
EntityId = int | Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""Whether Schedly's ids are numbers or texts is not known: both pass."""
SettingId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")]


class SchedlySettings(ProviderSettings):
    """The three documented settings."""

    captain_scheduling_enabled: StrictBool = Field(
        False, description="May the AI assistant book, move and cancel, and route leads."
    )
    default_event_type_id: SettingId | None = Field(
        None, description="Event type of slots and bookings where the action names none."
    )
    default_routing_config_id: SettingId | None = Field(
        None, description="Routing form of `route_lead` where the action names none."
    )


class Asked(Params):
    """Base of what may change a calendar: who asked for it."""

    requested_by: Literal["agent", "captain"] = Field(
        "agent", description="`captain` (the AI assistant) needs the setting `captain_scheduling_enabled`."
    )


class GetBookings(PagedParams):
    """Filters of bookings."""

    status: list[Literal["upcoming", "recurring", "past", "cancelled", "unconfirmed"]] | None = Field(
        None, description="Bookings in one of these states."
    )
    attendee_email: str | None = Field(None, description="Bookings of the person with this address.")
    attendee_name: str | None = Field(None, description="Bookings of the person with this name.")
    event_type_ids: list[EntityId] | None = Field(None, description="Bookings of one of these event types.")
    team_ids: list[EntityId] | None = Field(None, description="Bookings of one of these teams.")
    after_start: Moment | None = Field(None, description="Bookings that start at or after this time.")
    before_end: Moment | None = Field(None, description="Bookings that end at or before this time.")
    after_updated_at: Moment | None = Field(None, description="Bookings that changed at or after this time.")
    before_updated_at: Moment | None = Field(None, description="Bookings that changed at or before this time.")
    sort_start: Literal["asc", "desc"] | None = Field(None, description="Order by start.")


class GetSlots(Params):
    """Which slots: of an event type by id, or by slug with its user or team."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"properties": {"event_type_slug": EMPTY}}, *one_of("username", "team_slug")]}
    )
    start: DayOrMoment = Field(description="A date (its beginning in UTC) or a time.")
    end: DayOrMoment = Field(description="A date (its end in UTC) or a time.")
    event_type_id: EntityId | None = Field(None, description="Default: the setting `default_event_type_id`.")
    event_type_slug: str | None = Field(None, description="With `username` or `team_slug`, instead of the id.")
    username: str | None = Field(None, description="Whose event type the slug names.")
    team_slug: str | None = Field(None, description="Which team's event type the slug names.")
    time_zone: TimeZone | None = Field(None, description="Time zone of the answer; default UTC.")
    duration: int | None = Field(None, ge=1, description="Minutes, for event types of several lengths.")
    booking_uid_to_reschedule: str | None = Field(None, description="Counts this booking's own time as free.")

    @model_validator(mode="after")
    def _slug_has_an_owner(self) -> Self:
        if self.event_type_slug and not (self.username or self.team_slug):
            raise ValueError("`event_type_slug` needs `username` or `team_slug`")
        return self


class Attendee(Params):
    """The person who is booked for; an e-mail address, a phone number or both."""

    model_config = ConfigDict(json_schema_extra={"anyOf": one_of("email", "phone_number")})
    name: str = Field(min_length=1, description="Full name.")
    email: str | None = Field(None, pattern=r"^[^@\s]+@[^@\s]+$", description="E-mail address.")
    time_zone: TimeZone = Field("UTC", description="Time zone of the mails that the person gets.")
    phone_number: str | None = Field(None, pattern=r"^\+[1-9][0-9]{5,14}$", description="E.164.")
    language: str | None = Field(None, description="Language of those mails, such as `de`.")

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if not (self.email or self.phone_number):
            raise ValueError("an attendee needs `email` or `phone_number`")
        return self


class CreateBooking(Asked):
    """A new booking."""

    start: Moment = Field(description="One of the times that `get_available_slots` answers.")
    event_type_id: EntityId | None = Field(None, description="Default: the setting `default_event_type_id`.")
    attendee: Attendee = Field(description="Who is booked for.")
    guests: list[str] | None = Field(None, description="E-mail addresses.")
    booking_fields: dict[str, Any] | None = Field(None, description="Answers to booking fields, by slug.")
    metadata: dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=500)]] = Field(
        {},
        max_length=MOST_METADATA,
        description="Flat texts kept with the booking; `supportly_…` is ours.",
        json_schema_extra={"propertyNames": {"maxLength": 40, "pattern": "^(?!supportly_)"}},
    )
    length_in_minutes: int | None = Field(None, ge=1, description="For event types of several lengths.")
    location: dict[str, Any] | None = Field(None, description="One of the event type's locations.")
    routing: dict[str, Any] | None = Field(
        None,
        description="`routing` of a `route_lead` answer, as it came.",
        json_schema_extra={
            "required": list(ROUTED),
            "properties": {name: {"not": {"type": "null"}} for name in ROUTED},
        },
    )
    contact_id: int | None = Field(None, description="Supportly contact; kept in the booking's metadata.")

    @field_validator("metadata")
    @classmethod
    def _leaves_our_keys(cls, given: dict[str, str]) -> dict[str, str]:
        if any(key.startswith("supportly_") for key in given):
            raise ValueError("keys that start with `supportly_` are ours")
        return given

    @model_validator(mode="after")
    def _routing_was_answered(self) -> Self:
        if self.routing is not None and None in map(self.routing.get, ROUTED):
            raise ValueError("`routing` needs `responseId` and `teamMemberIds`; a queued route has none")
        return self


class CancelBooking(Asked):
    """Cancel a booking; the uid of a recurring set cancels all of it."""

    booking_uid: str = Field(min_length=1, description="Uid of the booking.")
    reason: str | None = Field(None, description="Why; the other side is told.")
    cancel_subsequent_bookings: bool | None = Field(None, description="Of a recurring booking: this and all later.")
    seat_uid: str | None = Field(None, description="Cancel one seat of a seated booking.")


class RescheduleBooking(Asked):
    """Move a booking, which then has a new uid."""

    booking_uid: str = Field(min_length=1, description="Uid of the booking.")
    start: Moment = Field(description="The new start: one of the free slots.")
    reason: str | None = Field(None, description="Why; the other side is told.")
    rescheduled_by: str | None = Field(None, description="E-mail; that of the owner confirms the booking at once.")


class GetEventTypes(PagedParams):
    """One's own event types, or those of a team."""

    team_id: EntityId | None = Field(None, description="Id of the team; null: one's own.")


class RouteLead(Asked):
    """Answers of a routing form."""

    form_id: EntityId | None = Field(None, description="Default: the setting `default_routing_config_id`.")
    answers: dict[str, str | list[str]] = Field(description="Field -> value.")
    start: DayOrMoment = Field(description="First day of the slots to answer.")
    end: DayOrMoment = Field(description="Last day of the slots to answer.")
    time_zone: TimeZone | None = Field(None, description="Time zone of the answer; default UTC.")
    dry_run: bool = Field(False, description="Only look where the lead would go; stores no response.")
