"""Schedly, modelled on Cal.com API v2. Quirks: a version header per resource, a new uid after rescheduling."""

import random
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.double import Abort, Double, OAuth, OAuthFailure, Record, Reply, Request, Routes, TokenFailure, epoch, iso
from sandbox.text import articles

BOOKINGS, SLOTS, EVENT_TYPES, SCHEDULES = "2024-08-13", "2024-09-04", "2024-06-14", "2024-06-11"
TAKEN = "User either already has booking at this time or is not available"
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
STATUSES = {"upcoming", "recurring", "past", "cancelled", "unconfirmed"}
HELD_MINUTES = 5


class Schedly(Double):
    """One user of one organization, with event types, teams, routing forms and bookings."""

    name, title = "schedly", "Schedly"
    hosts = (r"api\.cal\.com", r"app\.cal\.com")
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/auth/oauth2/authorize", "/v2/auth/oauth2/token", authorize_host="app.cal.com")
    kinds: ClassVar[dict[str, str]] = {
        "event_types": "event_type", "bookings": "booking", "teams": "team", "routing_forms": "routing_form",
        "responses": "response", "schedules": "schedule", "reservations": "reservation",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "rotation": "rotate_with_grace", "user_id": 301, "username": "sam", "user_email": "sam@schedly.example",
        "user_name": "Sam Scheduler", "time_zone": "UTC", "organization_id": 41, "requests_per_minute": 500,
        "token_scope": True,
    }  # fmt: skip

    def structure(self) -> None:
        self.save("schedule", {
            "id": 21, "ownerId": self.settings["user_id"], "name": "Working hours", "timeZone": "UTC",
            "isDefault": True, "availability": [{"days": DAYS[:5], "startTime": "09:00", "endTime": "17:00"}],
            "overrides": [],
        })  # fmt: skip

    # Hooks

    def identity(self) -> Record:
        return {name: self.settings[name] for name in ("user_id", "organization_id")}

    def error(self, request: Request, status: int, code: str, message: str, details: Any = None) -> Reply:
        fault = {"code": code, "message": message, "details": details or {"message": message, "statusCode": status}}
        return Reply(
            {"status": "error", "timestamp": iso(self.clock.now()), "path": request.path, "error": fault}, status
        )

    def not_found(self, request: Request) -> Reply:
        return self.error(request, 404, "NotFoundException", f"Cannot {request.method} {request.path}")

    def bad(self, request: Request, message: str) -> Abort:
        return Abort(self.error(request, 400, "BadRequestException", message))

    def handle(self, request: Request) -> Reply:
        self.current = request  # error bodies name the path, also where the base class makes them
        return super().handle(request)

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        text = "No authentication method provided." if failure == "missing" else "Invalid access token."
        return self.error(self.current, 401, "UnauthorizedException", text)

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        if failure == "client":
            return Reply({"error": "invalid_client", "error_description": "invalid_client_credentials"}, 401)
        error, text = {
            "code": ("invalid_grant", "code_invalid_or_expired"), "refresh": ("invalid_grant", "invalid_refresh_token"),
            "pkce": ("invalid_grant", "pkce_verification_failed"),
            "redirect": ("invalid_grant", "redirect_uri_mismatch"),
            "client_mismatch": ("invalid_grant", "client_id_mismatch"),
        }.get(failure, ("invalid_request", "invalid_request"))  # fmt: skip
        return Reply({"error": error, "error_description": text}, 400)

    def token_reply(self, wanted: Record, access: Any, refresh: Any) -> Reply:
        reply = super().token_reply(wanted, access, refresh)
        if not self.settings["token_scope"]:
            reply.body.pop("scope")
        return reply

    def throttle(self, request: Request) -> None:
        who = request.headers.get("authorization", "anonymous")
        limit = self.settings["requests_per_minute"] if request.grant else 120
        enforced = self.settings["rate_limits"]
        left, wait = self.limiter.hit(who, limit, 60) if enforced else (limit, 60.0)
        request.response_headers = {
            "x-ratelimit-limit-default": str(limit), "x-ratelimit-remaining-default": str(max(left, 0)),
            "x-ratelimit-reset-default": str(int(wait) + 1),
        }  # fmt: skip
        if left < 0:
            raise Abort(self.error(request, 429, "ThrottlerException", "ThrottlerException: Too Many Requests"))

    def demand(self, request: Request, version: str) -> None:
        """Aborts with the 404 that a missing or wrong version header brings."""
        if request.headers.get("cal-api-version") != version:
            raise Abort(self.not_found(request))

    def need(self, request: Request, scope: str) -> None:
        held = request.grant.scope if request.grant else ()
        fits = {scope, scope.replace("TEAM_", "ORG_", 1)} & set(held)
        if self.settings["enforce_scopes"] and not fits:
            raise Abort(
                self.error(request, 403, "ForbiddenException", f"insufficient_scope: token does not have {scope}")
            )

    # Records

    def infer_kind(self, record: Record) -> str:
        return "event_type" if "lengthInMinutes" in record else "booking" if "start" in record else "team"

    def key_field(self, kind: str) -> str:
        return {"booking": "uid", "reservation": "reservationUid"}.get(kind, "id")

    def complete(self, kind: str, record: Record) -> Record:
        made = {"event_type": self.new_event_type, "booking": self.new_booking, "team": self.new_team}.get(kind)
        if made:
            return made(record)
        now = iso(self.clock.now())
        if kind == "routing_form":
            form = {
                "id": f"form-{self.next_id()}", "name": "Form", "description": None, "position": 0, "createdAt": now,
                "updatedAt": now, "userId": self.settings["user_id"], "teamId": None, "disabled": False, "fields": None,
                "routes": None, "settings": None,
            }  # fmt: skip
            return {**form, **record}
        return {"id": self.next_id(), **record}

    def new_team(self, record: Record) -> Record:
        team = {
            "id": self.next_id(), "parentId": self.settings["organization_id"], "name": "Team", "isOrganization": False,
            "isPrivate": False, "hideBranding": False, "bio": "", "metadata": {}, "timeZone": "Europe/London",
            "weekStart": "Sunday",
        }  # fmt: skip
        team |= record
        return {**team, "slug": team.get("slug") or slugged(team["name"])}

    def new_event_type(self, record: Record) -> Record:
        title = record.get("title", "Meeting")
        fields = [
            {"type": kind, "slug": kind, "label": kind.title(), "placeholder": "", "required": True, "isDefault": True}
            for kind in ("name", "email")
        ]  # fmt: skip
        made: Record = {
            "id": record.get("id") or self.next_id(), "lengthInMinutes": 30, "title": title, "slug": slugged(title),
            "description": "", "locations": [{"type": "integration", "integration": "cal-video"}],
            "bookingFields": fields,
            "disableGuests": False, "slotInterval": None, "minimumBookingNotice": 0, "beforeEventBuffer": 0,
            "afterEventBuffer": 0, "recurrence": None, "metadata": {}, "price": 0, "currency": "usd",
            "lockTimeZoneToggleOnBookingPage": False, "seatsPerTimeSlot": None, "forwardParamsSuccessRedirect": None,
            "successRedirectUrl": None, "isInstantEvent": False, "scheduleId": None, "hidden": False,
            "bookingRequiresAuthentication": False,
        }  # fmt: skip
        made |= record
        if made.get("teamId"):
            team = self.records["team"].get(str(made["teamId"])) or {
                "id": made["teamId"],
                "slug": "team",
                "name": "Team",
            }
            made["team"] = {
                "id": team["id"], "slug": team["slug"], "name": team["name"], "bannerUrl": "", "logoUrl": "",
                "weekStart": "Sunday", "brandColor": "#292929", "darkBrandColor": "#fafafa", "theme": "light",
            }  # fmt: skip
            return {"hosts": [], "schedulingType": "roundRobin", "ownerId": None, "parentEventTypeId": None, **made}
        site = f"https://cal.com/{self.settings['username']}/{made['slug']}"
        return {"ownerId": self.settings["user_id"], "users": [self.settings["username"]], "bookingUrl": site, **made}

    def host(self) -> Record:
        own, email = self.settings, self.settings["user_email"]
        names = {"name": own["user_name"], "email": email, "displayEmail": email, "username": own["username"]}
        return {"id": own["user_id"], **names, "timeZone": own["time_zone"]}

    def new_booking(self, record: Record) -> Record:
        number, now = record.get("id") or self.next_id(), iso(self.clock.now())
        kind = self.records["event_type"].get(str(record.get("eventTypeId"))) or {}
        length = record.get("duration") or kind.get("lengthInMinutes", 30)
        people = record.get("attendees") or [record.get("attendee") or {"name": "Guest", "email": "guest@example.com"}]
        attendees = [
            {"timeZone": "UTC", "language": "en", "absent": False, "displayEmail": person.get("email", ""), **person}
            for person in people
        ]  # fmt: skip
        start = epoch(record["start"])
        made: Record = {
            "id": number, "uid": secrets.token_urlsafe(16), "description": "", "hosts": [self.host()],
            "status": "accepted",
            "title": f"{kind.get('title', 'Meeting')} between {self.settings['user_name']} and {attendees[0]['name']}",
            "duration": length, "eventTypeId": record.get("eventTypeId", 0), "meetingUrl": "https://app.cal.com/video/x",
            "eventType": {"id": record.get("eventTypeId", 0), "slug": kind.get("slug", "meeting")},
            "location": "integrations:daily", "absentHost": False, "createdAt": now, "updatedAt": now, "metadata": {},
            "guests": [], "icsUid": f"{number}@cal.com",
        }  # fmt: skip
        made |= {key: value for key, value in record.items() if key != "attendee"}
        answers = {"name": attendees[0]["name"], "email": attendees[0].get("email", "")}
        made["bookingFieldsResponses"] = {**answers, **(record.get("bookingFieldsResponses") or {})}
        return {**made, "attendees": attendees, "start": iso(start), "end": iso(start + 60 * length)}

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        if kind != "booking":
            return {**known, **({"updatedAt": iso(self.clock.now())} if "updatedAt" in known else {}), **changes}
        merged = {**known, "updatedAt": iso(self.clock.now()), **changes}
        if "attendee" in changes:
            merged["attendees"] = [merged.pop("attendee")]
        return self.new_booking(merged)

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        if kind != "event_type":
            return super().generate(kind, count, source)
        return [
            {"title": f"Session {n}: {a.title}", "description": a.body, "lengthInMinutes": source.choice([15, 30, 60])}
            for n, a in enumerate(articles(count, source), 1)
        ]  # fmt: skip

    # Identity, schedules, teams, event types

    @routes.on("GET", "/v2/me")
    def me(self, request: Request) -> Reply:
        self.need(request, "PROFILE_READ")
        assert request.grant
        own, organization = self.settings, request.grant.identity["organization_id"]
        who: Record = {
            "id": request.grant.identity["user_id"], "username": own["username"], "email": own["user_email"],
            "name": own["user_name"], "avatarUrl": None, "bio": None, "timeFormat": 24, "defaultScheduleId": 21,
            "weekStart": "Monday", "timeZone": own["time_zone"], "organizationId": organization,
        }  # fmt: skip
        if organization is not None:
            who["organization"] = {"isPlatform": False, "id": organization}
        return success(who)

    @routes.on("GET", "/v2/schedules")
    def schedules(self, request: Request) -> Reply:
        self.demand(request, SCHEDULES)
        self.need(request, "SCHEDULE_READ")
        return success(list(self.records["schedule"].values()))

    @routes.on("GET", "/v2/teams")
    def teams(self, request: Request) -> Reply:
        self.need(request, "TEAM_PROFILE_READ")
        return success(list(self.records["team"].values()))

    @routes.on("GET", "/v2/teams/{id}")
    def team(self, request: Request, key: str) -> Reply:
        self.need(request, "TEAM_PROFILE_READ")
        found = self.records["team"].get(key)
        return success(found) if found else self.error(request, 404, "NotFoundException", "Team not found")

    @routes.on("GET", "/v2/teams/{id}/event-types")
    def team_event_types(self, request: Request, key: str) -> Reply:
        self.need(request, "TEAM_EVENT_TYPE_READ")
        if key not in self.records["team"]:
            return self.error(request, 404, "NotFoundException", "Team not found")
        slug = request.query.get("eventSlug")
        rows = [item for item in self.records["event_type"].values() if str(item.get("teamId")) == key]
        return success([item for item in rows if slug in (None, item["slug"])])

    @routes.on("GET", "/v2/event-types")
    def event_types(self, request: Request) -> Reply:
        self.demand(request, EVENT_TYPES)
        self.need(request, "EVENT_TYPE_READ")
        slug = request.query.get("eventSlug")
        rows = [item for item in self.records["event_type"].values() if not item.get("teamId")]
        return success([item for item in rows if slug in (None, item["slug"])])

    @routes.on("GET", "/v2/event-types/{id}")
    def event_type(self, request: Request, key: str) -> Reply:
        self.demand(request, EVENT_TYPES)
        self.need(request, "EVENT_TYPE_READ")
        found = self.records["event_type"].get(key)
        return success(found) if found else self.error(request, 404, "NotFoundException", f"Event type {key} not found")

    # Slots

    def busy(self, except_uid: str | None = None) -> list[tuple[float, float]]:
        """What the one host has no time for: live bookings and held slots."""
        taken = [
            (epoch(item["start"]), epoch(item["end"])) for item in self.records["booking"].values()
            if item["status"] in ("accepted", "pending") and item["uid"] != except_uid
        ]  # fmt: skip
        held = self.records["reservation"].values()
        now = self.clock.now()
        return taken + [
            (epoch(r["slotStart"]), epoch(r["slotEnd"])) for r in held if epoch(r["reservationUntil"]) > now
        ]

    def open_slots(self, kind: Record, start: float, end: float, minutes: float, except_uid: str | None) -> list[float]:
        """The starts of free slots: inside the schedule, not too soon, and not taken."""
        schedule = self.records["schedule"].get(str(kind.get("scheduleId"))) or next(
            iter(self.records["schedule"].values()), None
        )
        if schedule is None:
            return []
        zone, busy, length = ZoneInfo(schedule["timeZone"]), self.busy(except_uid), minutes * 60
        soonest = self.clock.now() + 60 * (kind.get("minimumBookingNotice") or 0)
        step, found = 60 * (kind.get("slotInterval") or minutes), []
        day = datetime.fromtimestamp(start, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        while day.timestamp() < end:
            for hours in (item for item in schedule["availability"] if DAYS[day.weekday()] in item["days"]):
                at, close = clock_time(day, hours["startTime"]), clock_time(day, hours["endTime"])
                while at + length <= close:
                    free = all(at + length <= low or at >= high for low, high in busy)
                    if free and start <= at < end and at > soonest:
                        found.append(at)
                    at += step
            day += timedelta(days=1)
        return sorted(found)

    def slot_map(self, request: Request, kind: Record) -> Record:
        query = request.query
        if "start" not in query or "end" not in query:
            raise self.bad(request, "start and end are required")
        try:
            start, end = epoch(query["start"]), epoch(query["end"])
            zone = ZoneInfo(query.get("timeZone") or "UTC")
        except (ValueError, ZoneInfoNotFoundError):
            raise self.bad(request, "start, end or timeZone is not valid") from None
        if re.fullmatch(r"\d{4}-\d\d-\d\d", query["end"]):
            end += 86_399  # a date alone means the end of that day
        minutes = request.integer("duration", int(kind["lengthInMinutes"]))
        days: Record = {}
        for at in self.open_slots(kind, start, end, minutes, query.get("bookingUidToReschedule")):
            begin = datetime.fromtimestamp(at, zone)
            slot = {"start": begin.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
            if query.get("format") == "range":
                finish = datetime.fromtimestamp(at + 60 * minutes, zone)
                slot["end"] = finish.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            days.setdefault(begin.date().isoformat(), []).append(slot)
        return days

    def chosen(self, request: Request, wanted: Record) -> Record:
        """The event type named by id, or by slug with a user's or a team's name."""
        rows = self.records["event_type"]
        found = rows.get(str(wanted.get("eventTypeId")))
        if found is None and wanted.get("eventTypeSlug") and (wanted.get("username") or wanted.get("teamSlug")):
            team = wanted.get("teamSlug")
            fits = (
                r
                for r in rows.values()
                if r["slug"] == wanted["eventTypeSlug"] and r.get("team", {}).get("slug") == team
            )
            found = next(fits, None)
        if found is None:
            raise Abort(self.error(request, 404, "NotFoundException", "Event Type not found"))
        return found

    @routes.on("GET", "/v2/slots", public=True)
    def slots(self, request: Request) -> Reply:
        self.demand(request, SLOTS)
        return success(self.slot_map(request, self.chosen(request, request.query)))

    @routes.on("POST", "/v2/slots/reservations", public=True)
    def reserve(self, request: Request) -> Reply:
        self.demand(request, SLOTS)
        kind, start = self.chosen(request, request.object), self.start(request)
        minutes = request.object.get("slotDuration") or kind["lengthInMinutes"]
        self.check_free(request, kind, start, minutes)
        held = request.object.get("reservationDuration") or HELD_MINUTES
        made = {
            "eventTypeId": kind["id"], "slotStart": iso(start), "slotEnd": iso(start + 60 * minutes),
            "slotDuration": minutes, "reservationUid": secrets.token_urlsafe(12), "reservationDuration": held,
            "reservationUntil": iso(self.clock.now() + 60 * held),
        }  # fmt: skip
        self.save("reservation", made)
        return success(made, 201)

    def start(self, request: Request) -> float:
        try:
            return epoch(str(request.object.get("start") or request.object.get("slotStart") or ""))
        except ValueError:
            raise self.bad(request, "start must be a valid ISO 8601 date string") from None

    def check_free(
        self, request: Request, kind: Record, start: float, minutes: float, except_uid: str | None = None
    ) -> None:
        if start <= self.clock.now():
            raise self.bad(request, "Attempting to book a meeting in the past.")
        if start not in self.open_slots(kind, start, start + 1, minutes, except_uid):
            raise self.bad(request, TAKEN)

    # Bookings

    @routes.on("GET", "/v2/bookings")
    def bookings(self, request: Request) -> Reply:
        self.demand(request, BOOKINGS)
        self.need(request, "BOOKING_READ")
        query, wanted = request.query, set(request.values("status"))
        if wanted - STATUSES:
            raise self.bad(request, "status must be one of upcoming, recurring, past, cancelled, unconfirmed")
        kinds = {*request.values("eventTypeId"), *request.values("eventTypeIds")}
        teams = {*request.values("teamId"), *request.values("teamsIds")}
        own = {str(item["id"]) for item in self.records["event_type"].values() if str(item.get("teamId")) in teams}
        rows = [
            item for item in self.records["booking"].values()
            if (not wanted or self.states(item) & wanted)
            and (not kinds or str(item["eventTypeId"]) in kinds)
            and (not teams or str(item["eventTypeId"]) in own)
            and (query.get("bookingUid") in (None, item["uid"]))
            and attends(item, "email", query.get("attendeeEmail"), whole=True)
            and attends(item, "name", query.get("attendeeName"), whole=False)
        ]  # fmt: skip
        for name, stored in (
            ("Start", "start"),
            ("CreatedAt", "createdAt"),
            ("UpdatedAt", "updatedAt"),
            ("End", "end"),
        ):
            low, high = query.get(f"after{name}"), query.get(f"before{name}")
            rows = [row for row in rows if not low or epoch(row[stored]) >= epoch(low)]
            rows = [row for row in rows if not high or epoch(row[stored]) <= epoch(high)]
        for name, stored in (
            ("sortCreated", "createdAt"),
            ("sortUpdatedAt", "updatedAt"),
            ("sortEnd", "end"),
            ("sortStart", "start"),
        ):
            if name in query:
                rows.sort(key=lambda row, by=stored: row[by], reverse=query[name] == "desc")  # type: ignore[misc]
        take, skip, total = self.page_size(request, "take", 100, 250), request.integer("skip", 0), len(rows)
        page = rows[skip : skip + take]
        left = max(0, total - skip - len(page))
        return Reply({"status": "success", "data": page, "pagination": {
            "totalItems": total, "remainingItems": left, "returnedItems": len(page), "itemsPerPage": take,
            "currentPage": skip // take + 1, "totalPages": -(-total // take), "hasNextPage": left > 0,
            "hasPreviousPage": skip > 0,
        }})  # fmt: skip

    def states(self, booking: Record) -> set[str]:
        """The list filters that a booking falls under."""
        if booking["status"] in ("cancelled", "rejected"):
            return {"cancelled"}
        later = epoch(booking["end"]) >= self.clock.now()
        return {"upcoming" if later else "past", "unconfirmed" if booking["status"] == "pending" else ""}

    def booked(self, request: Request, uid: str) -> Record:
        found = self.records["booking"].get(uid)
        if found is None:
            raise Abort(
                self.error(request, 404, "NotFoundException", f"Booking with uid={uid} was not found in the database")
            )
        return found

    @routes.on("GET", "/v2/bookings/{uid}", public=True)
    def booking(self, request: Request, uid: str) -> Reply:
        self.demand(request, BOOKINGS)
        return success(self.booked(request, uid))

    @routes.on("GET", "/v2/bookings/{uid}/attendees")
    def attendees(self, request: Request, uid: str) -> Reply:
        self.demand(request, BOOKINGS)
        self.need(request, "BOOKING_READ")
        return success([{"id": n, **item} for n, item in enumerate(self.booked(request, uid)["attendees"], 1)])

    @routes.on("POST", "/v2/bookings", public=True)
    def create_booking(self, request: Request) -> Reply:
        self.demand(request, BOOKINGS)
        wanted, person = request.object, request.object.get("attendee")
        if not isinstance(person, dict) or not person.get("name") or not person.get("timeZone"):
            raise self.bad(request, "attendee must have a name and a timeZone")
        if not person.get("email") and not person.get("phoneNumber"):
            raise self.bad(request, "attendee must have an email or a phoneNumber")
        if wanted.get("routing") is not None and "responseId" not in wanted["routing"]:
            raise self.bad(request, "routing.responseId must be a number")
        start, kind = self.start(request), self.chosen(request, wanted)
        minutes = wanted.get("lengthInMinutes") or kind["lengthInMinutes"]
        self.check_free(request, kind, start, minutes)
        given = ("attendee", "bookingFieldsResponses", "guests", "metadata", "meetingUrl")
        made = self.new_booking({
            **{name: wanted[name] for name in given if wanted.get(name) is not None},
            "start": iso(start), "eventTypeId": kind["id"], "duration": minutes,
        })  # fmt: skip
        self.save("booking", made)
        return success(made, 201)

    @routes.on("POST", "/v2/bookings/{uid}/cancel", public=True)
    def cancel_booking(self, request: Request, uid: str) -> Reply:
        self.demand(request, BOOKINGS)
        known = self.booked(request, uid)
        if known["status"] == "cancelled":
            raise self.bad(request, f"Can't cancel booking with uid={uid} because it has been cancelled already")
        reason = request.object.get("cancellationReason")
        made = self.changed(
            "booking", known, {"status": "cancelled", **({"cancellationReason": reason} if reason else {})}
        )
        self.save("booking", made)
        return success(made)

    @routes.on("POST", "/v2/bookings/{uid}/confirm")
    def confirm_booking(self, request: Request, uid: str) -> Reply:
        self.demand(request, BOOKINGS)
        self.need(request, "BOOKING_WRITE")
        made = self.changed("booking", self.booked(request, uid), {"status": "accepted"})
        self.save("booking", made)
        return success(made)

    @routes.on("POST", "/v2/bookings/{uid}/reschedule", public=True)
    def reschedule_booking(self, request: Request, uid: str) -> Reply:
        self.demand(request, BOOKINGS)
        known = self.booked(request, uid)
        if known["status"] == "cancelled":
            raise self.bad(request, f"Can't reschedule booking with uid={uid} because it has been cancelled")
        start = self.start(request)
        kind = self.records["event_type"].get(str(known["eventTypeId"])) or {"lengthInMinutes": known["duration"]}
        self.check_free(request, kind, start, known["duration"], uid)
        fresh = {k: v for k, v in known.items() if k not in ("id", "uid", "icsUid", "end", "createdAt", "updatedAt")}
        reason = (
            {"reschedulingReason": request.object["reschedulingReason"]}
            if request.object.get("reschedulingReason")
            else {}
        )
        made = self.new_booking({**fresh, "start": iso(start), "rescheduledFromUid": uid, **reason})
        self.save(
            "booking",
            self.changed("booking", known, {"status": "cancelled", "rescheduledToUid": made["uid"], **reason}),
        )
        self.save("booking", made)
        return success(made, 201)

    # Routing forms

    @routes.on("GET", "/v2/organizations/{org}/routing-forms")
    def routing_forms(self, request: Request, organization: str) -> Reply:
        self.need(request, "ORG_ROUTING_FORM_READ")
        self.own_organization(request, organization)
        rows, skip = list(self.records["routing_form"].values()), request.integer("skip", 0)
        return success([self.form_view(item) for item in rows[skip:][: self.page_size(request, "take", 250, 250)]])

    def form_view(self, form: Record) -> Record:
        """A form as the provider shows it; `targets` are the sandbox's own rules."""
        return {key: value for key, value in form.items() if key != "targets"}

    def own_organization(self, request: Request, key: str) -> None:
        if str(self.settings["organization_id"]) != key:
            raise Abort(self.error(request, 403, "ForbiddenException", "User is not a member of this organization"))

    def routed(self, request: Request, key: str) -> Record:
        """Where the answers lead: the first target whose `when` fits, of `eventTypeId`, `message` or `url`."""
        form = self.records["routing_form"].get(key)
        if form is None or form["disabled"]:
            raise Abort(self.error(request, 404, "NotFoundException", "Routing Form not found."))
        # The server turns the body into query parameters, so everything is compared as text.
        answers = {name: str(value).lower() for name, value in request.object.items()}
        for target in form.get("targets") or []:
            if all(answers.get(name) == str(value).lower() for name, value in (target.get("when") or {}).items()):
                return dict(target)
        raise Abort(
            self.error(
                request, 404, "NotFoundException", "Route to which the form response should be redirected not found."
            )
        )

    @routes.on("POST", "/v2/routing-forms/{form}/calculate-slots")
    def calculate_slots(self, request: Request, key: str) -> Reply:
        kind = self.records["event_type"].get(str(self.routed(request, key).get("eventTypeId")))
        if kind is None:
            return self.error(request, 404, "NotFoundException", "The route does not lead to an event type.")
        return success({"eventTypeId": kind["id"], "slots": self.slot_map(request, kind)})

    @routes.on("POST", "/v2/organizations/{org}/routing-forms/{form}/responses")
    def respond(self, request: Request, organization: str, key: str) -> Reply:
        self.own_organization(request, organization)
        target = self.routed(request, key)
        queued = request.query.get("queueResponse") == "true"
        number = self.next_id()
        if not queued:
            self.save("response", {
                "id": number, "formId": key, "formFillerId": secrets.token_hex(8), "routedToBookingUid": None,
                "response": request.object, "createdAt": iso(self.clock.now()),
            })  # fmt: skip
        if "message" in target:
            return success({"routingCustomMessage": target["message"]}, 201)
        if "url" in target:
            return success({"routingExternalRedirectUrl": target["url"]}, 201)
        kind = self.records["event_type"].get(str(target.get("eventTypeId")))
        if kind is None:
            return self.error(request, 404, "NotFoundException", "The route does not lead to an event type.")
        routing: Record = {
            **({"queuedResponseId": str(number), "responseId": None} if queued else {"responseId": number}),
            "teamMemberIds": target.get("teamMemberIds") or [self.settings["user_id"]],
            "teamMemberEmail": self.settings["user_email"], "skipContactOwner": True,
        }  # fmt: skip
        return success({"eventTypeId": kind["id"], "routing": routing, "slots": self.slot_map(request, kind)}, 201)

    @routes.on("GET", "/v2/organizations/{org}/routing-forms/{form}/responses")
    def responses(self, request: Request, organization: str, key: str) -> Reply:
        self.need(request, "ORG_ROUTING_FORM_READ")
        self.own_organization(request, organization)
        return success([item for item in self.records["response"].values() if item["formId"] == key])


def success(data: Any, status: int = 200) -> Reply:
    return Reply({"status": "success", "data": data}, status)


def slugged(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def clock_time(day: datetime, text: str) -> float:
    hours, minutes = text.split(":")
    return day.replace(hour=int(hours), minute=int(minutes)).astimezone(UTC).timestamp()


def attends(booking: Record, name: str, wanted: str | None, *, whole: bool) -> bool:
    if not wanted:
        return True
    own = [str(item.get(name) or "").lower() for item in booking["attendees"]]
    return any(wanted.lower() == value if whole else wanted.lower() in value for value in own)
