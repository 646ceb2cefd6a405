"""Schedly, scheduling. Nothing about its API is public: `contract.py` holds what is assumed, all of it replaceable.

Quirks: a version header per resource, no idempotency keys, a taken slot is a 400 that only its message tells, and
contacts exist only as attendees of bookings. This file: contacts, teams, event types, routing, knowledge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.contacts import Record
from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import InvalidInput, OutcomeUnknown
from supportly.http import Answer, segment
from supportly.provider import Call, FindsContacts, PagedParams, Stream, StreamsKnowledge, action, offset
from supportly.providers.schedly import shapes
from supportly.providers.schedly.bookings import Bookings, allow, chosen
from supportly.providers.schedly.params import GetEventTypes, RouteLead, SchedlySettings

Row = dict[str, Any]
SHOWN_BOOKINGS: Final = 20
"""Bookings that a lookup shows of a person."""
BEFORE_TEAMS: Final = "0"
"""Cursor after one's own event types: before the first team's id."""


class Schedly(Bookings, FindsContacts, StreamsKnowledge):
    """Schedly: bookings, slots, event types, teams and lead routing."""

    settings = SchedlySettings
    streams = (
        Stream("event_types", "Event types", "What can be booked, and how; hidden ones are left out.", default=True),
        Stream("teams", "Teams", "Teams and their booking pages.", default=True),
    )

    # --- contacts -----------------------------------------------------------------------------------------------------

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """Ids are `attendee:{email}`."""
        return next(iter(await self.by_email(call, record_id.removeprefix("attendee:"))), None)

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """The person as their newest booking shows them."""
        for address in dict.fromkeys((email, email.lower())):
            found = shapes.rows(await self._bookings(call, attendeeEmail=address, sortStart="desc"))
            if record := shapes.attendee_record(found, email):
                return [record]
        return []

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """The person's bookings, newest first. They are no activities: nobody logged them here."""
        return {"bookings": self._bookings_of(call, record.email or "")}

    async def _bookings_of(self, call: Call, email: str) -> list[dict[str, Any]]:
        answer = await self._bookings(call, attendeeEmail=email, sortStart="desc", take=SHOWN_BOOKINGS)
        mine = [b for b in shapes.rows(answer) if email.casefold() in shapes.addresses(b)]
        return [{**shapes.booking_item(b), "raw": b} for b in mine]

    # --- actions: teams, event types, routing -------------------------------------------------------------------------

    @action(params=PagedParams, description="Teams of the connected user.", example={"limit": 20})
    async def get_teams(self, call: Call, params: PagedParams) -> ActionAnswer:
        """The provider's list has no pages: ours are cut from it."""
        return _cut(shapes.rows(await call.http.get(self.contract.teams_path)), params, shapes.team_item)

    @action(
        params=GetEventTypes,
        description="Event types of the connected user, or of a team; hidden ones too.",
        example={"limit": 20},
    )
    async def get_event_types(self, call: Call, params: GetEventTypes) -> ActionAnswer:
        """The provider's list has no pages: ours are cut from it."""
        return _cut(shapes.rows(await self._event_types(call, params.team_id)), params, shapes.event_type_item)

    async def _event_types(self, call: Call, team: object) -> Answer:
        if team is None:
            return await call.http.get(self.contract.event_types_path)
        return await call.http.get(self.contract.team_event_types_path.format(team=segment(team)))

    async def _find_routed(self, call: Call, params: RouteLead) -> ActionAnswer | None:
        """A dry run may be repeated. A response that may be stored has no marker by which it could be found."""
        if params.dry_run:
            return None
        raise OutcomeUnknown("The lead may have been routed: look at the routing form's responses in Schedly.")

    @action(
        params=RouteLead,
        description="Route a lead by a routing form: to an event type with its slots, a message or another page.",
        example={"answers": {"company_size": "50"}, "start": "2026-12-01", "end": "2026-12-02", "dry_run": True},
        writes=True,
        allowed_by="captain_scheduling_enabled",
        find=_find_routed,
    )
    async def route_lead(self, call: Call, params: RouteLead) -> ActionAnswer:
        """Where the lead goes; `routing` of the answer goes into `create_booking` as it is."""
        form = chosen("form_id", params.form_id, "default_routing_config_id", call.settings.default_routing_config_id)
        query = {"start": params.start, "end": params.end, "timeZone": params.time_zone, "format": "range"}
        if params.dry_run:
            path = self.contract.dry_route_path.format(form=segment(form))
        else:
            allow(call, params)
            organization = call.facts.get("organization_id") or ""
            if not organization:
                raise InvalidInput(
                    "Routing a lead needs an organization at Schedly; only `dry_run` works without one.",
                    field="dry_run",
                )
            path = self.contract.route_path.format(organization=segment(organization), form=segment(form))
            # A queued response has no id yet, and a booking could not name it.
            query["queueResponse"] = "false"
        answer = await call.http.post(path, params.answers, params=query)
        return ActionAnswer(result=shapes.route_result(shapes.rows(answer)[0]), raw=answer.json())

    # --- knowledge ----------------------------------------------------------------------------------------------------

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """Full lists without pages: teams at once; event types one's own first, then team by team.

        The cursor of event types is the id of the team read last.
        """
        if stream == "teams":
            teams = shapes.rows(await call.http.get(self.contract.teams_path))
            return _page(teams, lambda team: shapes.team_document(team, self.contract.site_url))
        owner, team_id = call.facts.get("username") or "", None
        following: str | None = BEFORE_TEAMS
        if cursor is not None:
            rows = shapes.rows(await call.http.get(self.contract.teams_path))
            teams = sorted((t for t in rows if _order(t["id"]) > _order(cursor)), key=lambda t: _order(t["id"]))
            if not teams:
                return StreamPage()
            owner, team_id = str(teams[0].get("slug") or ""), teams[0]["id"]
            following = str(team_id) if len(teams) > 1 else None
        found = shapes.rows(await self._event_types(call, team_id))
        public = [e for e in found if not e.get("hidden")]
        page = _page(public, lambda e: shapes.event_type_document(e, self.contract.site_url, owner))
        return page.model_copy(update={"next": following})


def _cut(found: Sequence[dict[str, Any]], params: PagedParams, to_item: Callable[[Any], Row]) -> ActionAnswer:
    """A page of a list that came whole."""
    skip = offset(params.cursor)
    page = found[skip : skip + params.limit]
    after = skip + len(page)
    return ActionAnswer(
        items=[to_item(row) for row in page],
        next_cursor=str(after) if after < len(found) else None,
        raw={"status": "success", "data": page},
    )


def _page(rows: Sequence[dict[str, Any]], to_document: Callable[[dict[str, Any]], Document]) -> StreamPage:
    documents: list[Document] = []
    failures: list[RecordFailure] = []
    for row in rows:
        try:
            documents.append(to_document(row))
        except (AttributeError, KeyError, TypeError, ValueError) as wrong:
            told = f"The field {wrong} is missing." if isinstance(wrong, KeyError) else "It has an unexpected shape."
            failures.append(RecordFailure(external_id=str(row.get("id") or ""), reason=told))
    return StreamPage(documents=documents, failures=failures)


def _order(team_id: object) -> tuple[int, str]:
    """Order of ids that are numbers or texts: numbers by size; the empty cursor comes first."""
    return len(str(team_id)), str(team_id)
