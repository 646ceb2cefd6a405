"""Calendly, API v2. Quirks: ids are URIs, lists want a full user or organization URI, refresh tokens work once."""

import base64
import random
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from sandbox.double import (
    Abort,
    Double,
    OAuth,
    OAuthFailure,
    Record,
    Reply,
    Request,
    Routes,
    Token,
    TokenFailure,
    epoch,
    iso,
)
from sandbox.text import articles, people

API = "https://api.calendly.com"
SCOPES = (
    "users:read", "organizations:read", "event_types:read", "event_types:write", "availability:read",
    "availability:write", "scheduled_events:read", "scheduled_events:write", "contacts:read", "contacts:write",
    "routing_forms:read", "scheduling_links:write", "webhooks:read", "webhooks:write",
)  # fmt: skip
PER_MINUTE = {"paid": 500, "free": 50}  # calls of one user
BOOKINGS = ((10, 60), (50, 3600), (100, 86_400))  # POST /invitees on paid plans below Enterprise
TOKENS = (8, 60)  # OAuth tokens of one user
TEXTS = ("name", "company", "job_title", "city", "state", "country", "timezone", "linkedin")
CONTACT = {*TEXTS, "emails", "phone_numbers", "custom_fields"}
MOST_LISTED = 10  # e-mail addresses, and numbers, of one contact
TITLE, BODY = 255, 10_000  # characters of a note
TRACKING = ("utm_campaign", "utm_source", "utm_medium", "utm_content", "utm_term", "salesforce_uuid")
QUESTIONS = {  # what a question holds besides its name
    "questions": {"type": "text", "required": False, "answer_choices": None},
    "custom_questions": {"type": "text", "enabled": True, "required": False, "answer_choices": [],
                         "include_other": False},
}  # fmt: skip
DAY = 86_400
WINDOW = 31 * DAY  # of available times in one call


class Calendly(Double):
    """One Calendly organization; who is connected is told by `user`, `organization` and `role`."""

    name, title = "calendly", "Calendly"
    hosts = (r"auth\.calendly\.com", r"api\.calendly\.com")
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/oauth/authorize", "/oauth/token", bodies=frozenset({"form"}), client_auth="basic")
    kinds: ClassVar[dict[str, str]] = {
        "contacts": "contact", "event_types": "event_type", "scheduled_events": "scheduled_event",
        "invitees": "invitee", "routing_forms": "routing_form", "notes": "note", "custom_fields": "custom_field",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "access_token_ttl": 7200, "refresh_token_ttl": 3650 * DAY, "code_ttl": 600, "rotation": "rotate",
        "user": "USER1", "organization": "ORG1", "user_name": "Robin Sandbox", "role": "owner", "plan": "paid",
        "withheld": [], "legacy_app": False, "names_in_token": True, "note_field": "contact", "reminders": True,
        "same_email": "refused", "contacts_of": "user", "per_minute": None,
        # Calendly's reference tells of `uri`, `label` and `field_type`; a third party of `uuid`, `name` and `type`.
        "definitions": "reference",
    }  # fmt: skip

    # OAuth

    def identity(self) -> Record:
        return {name: self.settings[name] for name in ("user", "organization", "user_name", "role", "plan")}

    def scopes(self, text: str) -> tuple[str, ...]:
        asked = super().scopes(text)
        if unknown := [name for name in asked if name not in SCOPES]:
            body = {"error": "invalid_scope", "error_description": f"The requested scope is invalid: {unknown[0]}"}
            raise Abort(Reply(body, 400))
        return tuple(name for name in asked if name not in self.settings["withheld"])

    def exchange(self, request: Request) -> Reply:
        reply = super().exchange(request)
        if self.settings["rate_limits"]:
            grant = self.access_tokens[reply.body["access_token"]].grant
            left, wait = self.limiter.hit(f"tokens {grant.identity['user']}", *TOKENS)
            if left < 0:
                headers = {"x-ratelimit-reset": max(1, round(wait))}
                raise Abort(self.error(429, "Too Many Requests", "Too many tokens", **headers))
        return reply

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        who = access.grant.identity
        named = {
            "owner": self.uri("users", who["user"]),
            "organization": self.uri("organizations", who["organization"]),
        }
        return Reply({
            "access_token": access.value, "refresh_token": refresh.value, "token_type": "Bearer",
            "expires_in": round(access.expires_at - self.clock.now()), "created_at": int(self.clock.now()),
            "scope": " ".join(access.grant.scope), **(named if self.settings["names_in_token"] else {}),
        })  # fmt: skip

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        text = {
            "client": "Client authentication failed due to unknown client, or no client authentication included.",
            "client_mismatch": "The provided authorization grant was issued to another client.",
        }.get(failure, "The provided authorization grant is invalid, expired, or revoked.")
        error = {"client": "invalid_client", "body": "invalid_request", "grant_type": "unsupported_grant_type"}
        status = 401 if failure == "client" else 400
        return Reply({"error": error.get(failure, "invalid_grant"), "error_description": text}, status)

    @routes.on("POST", "/oauth/revoke", public=True)
    def revoke_token(self, request: Request) -> Reply:
        form = request.object
        if not request.is_form or not all(form.get(name) for name in ("client_id", "client_secret", "token")):
            return Reply({"error": "invalid_request", "error_description": "A parameter is missing"}, 400)
        if form["client_secret"] != self.settings["client_secret"]:
            text = "You are not authorized to revoke this token"
            return Reply({"error": "unauthorized_client", "error_description": text}, 403)
        found = self.refresh_tokens.get(form["token"]) or self.access_tokens.get(form["token"])
        if found and found.grant.client_id == form["client_id"]:
            found.grant.revoked = True
        return Reply({})

    def served_here(self, entry: Any, request: Request) -> bool:
        return bool(entry.path.startswith("/oauth/") == (request.host == "auth.calendly.com"))

    # Errors and limits

    def error(self, status: int, title: str, message: str, *details: tuple[str, str], **headers: Any) -> Reply:
        body: Record = {"title": title, "message": message}
        if details:
            body["details"] = [{"parameter": name, "message": text} for name, text in details]
        return Reply(body, status, {name: str(value) for name, value in headers.items()})

    def bad(self, parameter: str, message: str) -> Reply:
        return self.error(400, "Invalid Argument", "The supplied parameters are invalid.", (parameter, message))

    def denied(self, message: str = "You do not have permission to access this resource.") -> Reply:
        return self.error(403, "Permission Denied", message)

    def not_found(self, request: Request) -> Reply:
        return self.error(404, "Resource Not Found", "The server could not find the requested resource.")

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        text = "The access token expired" if failure == "expired" else "The access token is invalid"
        return self.error(401, "Unauthenticated", text)

    def throttle(self, request: Request) -> None:
        if request.grant is None:
            return
        who, enforced = request.grant.identity, self.settings["rate_limits"]
        limit = self.settings["per_minute"] or PER_MINUTE[who["plan"]]
        left, wait = self.limiter.hit(f"calls {who['user']}", limit, 60) if enforced else (limit, 60.0)
        if enforced and left >= 0 and (request.method, request.raw_path) == ("POST", "/invitees"):
            for most, window in BOOKINGS:
                spare, pause = self.limiter.hit(f"bookings {window} {who['user']}", most, window)
                if spare < left:
                    limit, left, wait = most, spare, pause
        request.response_headers = {
            "x-ratelimit-limit": str(limit), "x-ratelimit-remaining": str(max(0, left)),
            "x-ratelimit-reset": str(max(1, round(wait))),  # seconds, not a moment
        }  # fmt: skip
        if left < 0:
            raise Abort(self.error(429, "Too Many Requests", "You have exceeded the rate limit."))

    def need(self, request: Request, scope: str) -> None:
        held = request.grant.scope if request.grant else ()
        if self.settings["legacy_app"] or not self.settings["enforce_scopes"]:
            return
        # `:write` includes `:read`
        if scope not in held and not (scope.endswith(":read") and scope.replace(":read", ":write") in held):
            raise Abort(self.denied(f"Your token is missing the scope {scope}."))

    # Records

    def uri(self, kind: str, key: str) -> str:
        return f"{API}/{kind}/{key}"

    def me(self, request: Request) -> tuple[str, str]:
        assert request.grant
        who = request.grant.identity
        return self.uri("users", who["user"]), self.uri("organizations", who["organization"])

    def stamp(self) -> str:
        return iso(self.clock.now(), "microseconds")

    def infer_kind(self, record: Record) -> str:
        return "event_type" if "duration" in record else "contact"

    def complete(self, kind: str, record: Record) -> Record:
        now, key = self.stamp(), str(record.get("id") or f"{self.next_id():08d}-cafe-4a6e-9b1d-0123456789ab")
        plural = next(name for name, singular in self.kinds.items() if singular == kind)
        base: Record = {"id": key, "uri": self.uri(plural, key), "created_at": now, "updated_at": now}
        user = self.uri("users", self.settings["user"])
        if kind == "invitee":
            event = str(record["event"]).rpartition("/")[2]
            base |= {
                "uri": self.uri("scheduled_events", f"{event}/invitees/{key}"), "status": "active",
                "event": self.uri("scheduled_events", event), "first_name": None, "last_name": None,
                "timezone": "Etc/UTC", "questions_and_answers": [], "text_reminder_number": None,
                "rescheduled": False, "old_invitee": None, "new_invitee": None, "no_show": None, "payment": None,
                "reconfirmation": None, "routing_form_submission": None, "tracking": dict.fromkeys(TRACKING),
                "scheduling_method": None, "invitee_scheduled_by": None,
                "cancel_url": f"https://calendly.com/cancellations/{key}",
                "reschedule_url": f"https://calendly.com/reschedulings/{key}",
            }  # fmt: skip
            first, _, last = str(record.get("name") or "").rpartition(" ")
            base |= {"first_name": first or None, "last_name": last or None} if first else {}
            return base | {name: value for name, value in record.items() if name != "event"}
        extra: dict[str, Record] = {
            "contact": {
                **dict.fromkeys(TEXTS), "emails": [], "phone_numbers": [], "custom_fields": [], "owner": user,
                "app_url": f"https://calendly.com/app/contacts/{key}",
            },
            "event_type": {
                "name": "", "slug": key, "active": True, "admin_managed": False, "booking_method": "instant",
                "color": "#0069ff", "custom_questions": [], "deleted_at": None, "description_plain": None,
                "description_html": None, "duration": 30, "internal_note": None, "kind": "solo", "locations": None,
                "pooling_type": None, "profile": {"type": "User", "owner": user, "name": "Robin Sandbox"},
                "duration_options": None, "position": 0, "locale": "en", "kind_description": "One-on-One",
                "scheduling_url": f"https://calendly.com/sandbox/{key}", "secret": False, "type": "StandardEventType",
            },
            "scheduled_event": {
                "name": "Meeting", "status": "active", "event_type": self.uri("event_types", "gone"),
                "location": {"type": "physical", "location": "Sandbox, room 1"}, "event_guests": [],
                "calendar_event": {"kind": "google", "external_id": f"event-{key}"},
                "event_memberships": [self.host(user)], "invitees_counter": {"total": 1, "active": 1, "limit": 1},
                "meeting_notes_plain": None, "meeting_notes_html": None, "end_time": None,
            },
            "routing_form": {
                "organization": self.uri("organizations", self.settings["organization"]), "name": "",
                "status": "published", "questions": [],
            },
            "note": {"contact": None, "title": None, "body": None, "remind_at": None, "owner": user},
            "custom_field": {"uri": f"{API}/contacts/custom_field_definitions/{key}", "label": "",
                             "field_type": "text", "options": None, "currency": None},
        }  # fmt: skip
        made = {**base, **extra[kind], **record, "id": key}
        if kind == "custom_field" and made["options"]:
            made["options"] = [
                {"uuid": f"{key}-{place}", "label": label, "color": None} for place, label in enumerate(made["options"])
            ]
        for name, usual in QUESTIONS.items():
            if isinstance(made.get(name), list):
                places = [{"uuid": f"q{n}"} if name == "questions" else {"position": n} for n in range(len(made[name]))]
                made[name] = [{**place, **usual, **asked} for place, asked in zip(places, made[name], strict=True)]
        if kind == "scheduled_event":
            made["start_time"] = made.get("start_time") or now
            made["end_time"] = made["end_time"] or iso(epoch(made["start_time"]) + 1800, "microseconds")
        if kind == "event_type" and made["description_html"] and made["description_plain"] is None:
            made["description_plain"] = re.sub(r"<[^>]+>", " ", made["description_html"]).strip()
        return made

    def host(self, user: str) -> Record:
        return {"user": user, "user_email": "robin@sandbox.example", "user_name": "Robin Sandbox"}

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        return {**known, "updated_at": self.stamp(), **changes}

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        if kind == "contact":
            return [
                {"name": f"{p.first} {p.last}", "emails": [{"email": p.email, "is_primary": True}],
                 "phone_numbers": [{"phone_number": p.phone}], "city": p.city}
                for p in people(count, source)
            ]  # fmt: skip
        if kind == "event_type":
            return [{"name": a.title, "description_html": a.body} for a in articles(count, source)]
        if kind == "routing_form":
            return [
                {"name": a.title, "questions": [{"uuid": f"q{n}", "name": a.body[:200], "type": "text"}]}
                for n, a in enumerate(articles(count, source))
            ]
        return super().generate(kind, count, source)

    def public(self, record: Record) -> Record:
        """As the API shows it: the id is the last part of the URI, and owners of contacts are not told."""
        hidden = ("id", "owner") if "owner" in record and "slug" not in record else ("id",)
        shown = {name: value for name, value in record.items() if name not in hidden}
        if "emails" in record:
            shown["custom_fields"] = self.custom_values(record)
        return shown

    def custom_values(self, contact: Record) -> list[Record]:
        """Every defined field with the contact's value: what is unset is null, or an empty list."""
        held = {item["uuid"]: item["value"] for item in contact["custom_fields"]}
        if self.settings["definitions"] != "reference":
            return [{"uuid": key, "value": value} for key, value in held.items()]
        return [
            {"uri": field["uri"], "label": field["label"],
             "value": held.get(key, [] if field["field_type"] == "tags" else None)}
            for key, field in self.records["custom_field"].items()
        ]  # fmt: skip

    def one(self, request: Request, kind: str, key: str) -> Record:
        found = self.records[kind].get(key)
        if found is None or not self.mine(request, kind, found):
            raise Abort(self.not_found(request))
        return found

    def mine(self, request: Request, kind: str, record: Record) -> bool:
        if kind == "note" or (kind == "contact" and self.settings["contacts_of"] == "user"):
            return bool(record["owner"] == self.me(request)[0])
        return True

    def resource(self, record: Record, status: int = 200) -> Reply:
        return Reply({"resource": self.public(record)}, status)

    def listed(
        self, request: Request, rows: Iterable[Record], sorts: tuple[str, ...] = (), default: str = "created_at:asc"
    ) -> Reply:
        """One page of `collection`; the token names the last record, so that pages move when records do."""
        raw = request.query.get("count", "20")
        if not raw.isdigit() or not 1 <= int(raw) <= 100:
            raise Abort(self.bad("count", "must be between 1 and 100"))
        field, _, way = request.query.get("sort", default).partition(":")
        if ("sort" in request.query and field not in sorts) or way not in ("asc", "desc"):
            raise Abort(self.bad("sort", f"is not one of {', '.join(sorts)}"))
        shown = sorted(rows, key=lambda r: (str(r.get(field) or ""), r["id"]), reverse=way == "desc")
        start = 0
        if token := request.query.get("page_token"):
            try:
                at, last = orjson.loads(base64.urlsafe_b64decode(token))
            except ValueError:
                raise Abort(self.bad("page_token", "is invalid")) from None
            place = next((n for n in range(min(at, len(shown)), 0, -1) if shown[n - 1]["id"] == last), None)
            start = min(at, len(shown)) if place is None else place
        size = self.page_size(request, "count", 20, 100)
        page, end = shown[start : start + size], start + size
        token = None
        if end < len(shown):
            token = base64.urlsafe_b64encode(orjson.dumps([end, page[-1]["id"]])).decode()
        before = None
        if start:
            first = max(0, start - size)
            key = shown[first - 1]["id"] if first else ""
            before = base64.urlsafe_b64encode(orjson.dumps([first, key])).decode()
        kept = [(name, value) for name, value in request.pairs if name != "page_token"]
        links = [f"{API}{request.path}?{urlencode([*kept, ('page_token', t)])}" if t else None for t in (token, before)]
        return Reply({
            "collection": [self.public(row) for row in page],
            "pagination": {
                "count": len(page), "next_page": links[0], "previous_page": links[1], "next_page_token": token,
                "previous_page_token": before,
            },
        })  # fmt: skip

    def within(self, request: Request, *, organization_only: bool = False) -> str | None:
        """Whose records are asked for: one user's URI, or None for all of the organization."""
        user, organization = request.query.get("user"), request.query.get("organization")
        own, ours = self.me(request)
        for name, value, known in (("user", user, f"{API}/users/"), ("organization", organization, ours)):
            if value is not None and not value.startswith(known):
                raise Abort(self.bad(name, f"must be a valid {name} URI"))
        if organization_only and organization is None:
            raise Abort(self.bad("organization", "is missing"))
        if user is None and organization is None:
            raise Abort(self.bad("user", "one of user or organization is required"))
        assert request.grant
        if request.grant.identity["role"] not in ("admin", "owner") and user != own:
            raise Abort(self.denied())
        return user

    # Users

    @routes.on("GET", "/users/me")
    def get_me(self, request: Request) -> Reply:
        self.need(request, "users:read")
        assert request.grant
        user, organization = self.me(request)
        name = request.grant.identity["user_name"]
        return Reply({"resource": {
            "uri": user, "name": name, "slug": "sandbox", "email": "robin@sandbox.example", "timezone": "Etc/UTC",
            "scheduling_url": "https://calendly.com/sandbox", "avatar_url": None, "current_organization": organization,
            "created_at": "2025-01-01T08:00:00.000000Z", "updated_at": "2025-01-01T08:00:00.000000Z",
            "resource_type": "User", "locale": "en",
        }})  # fmt: skip

    # Contacts and notes

    @routes.on("GET", "/contacts")
    def contacts(self, request: Request) -> Reply:
        self.need(request, "contacts:read")
        rows = [r for r in self.records["contact"].values() if self.mine(request, "contact", r)]
        if emails := {e.strip().casefold() for e in request.query.get("email", "").split(",") if e.strip()}:
            rows = [r for r in rows if emails & {e["email"].casefold() for e in r["emails"]}]
        if numbers := {n.strip() for n in request.query.get("phone_number", "").split(",") if n.strip()}:
            rows = [r for r in rows if numbers & {p["phone_number"] for p in r["phone_numbers"]}]
        return self.listed(request, rows, ("updated_at", "created_at"))

    @routes.on("GET", "/contacts/custom_field_definitions")
    def definitions(self, request: Request) -> Reply:
        self.need(request, "contacts:read")
        fields = [(key, {k: v for k, v in f.items() if k != "id"}) for key, f in self.records["custom_field"].items()]
        if self.settings["definitions"] != "reference":
            fields = [
                (key, {"uuid": key, "name": f["label"], "type": f["field_type"],
                       "options": [o["label"] for o in f["options"] or []]})
                for key, f in fields
            ]  # fmt: skip
        return Reply({"collection": [field for _, field in fields]})  # all at once, without pages

    @routes.on("GET", "/contacts/{uuid}")
    def contact(self, request: Request, key: str) -> Reply:
        self.need(request, "contacts:read")
        return self.resource(self.one(request, "contact", key))

    def contact_body(self, request: Request, known: Record | None) -> Record:
        self.need(request, "contacts:write")
        body = self.contact_texts(self.json(request), known)
        self.contact_lists(body)
        for item in body.get("custom_fields") or []:
            self.custom_value(item)
        return body

    def contact_texts(self, body: Record, known: Record | None) -> Record:
        if unknown := sorted(set(body) - CONTACT):
            raise Abort(self.bad(unknown[0], "is not permitted"))
        if known is not None and not body:
            raise Abort(self.bad("base", "at least one field is required"))
        for name in TEXTS:
            if body.get(name) is not None and not isinstance(body[name], str):
                raise Abort(self.bad(name, "must be a string"))
        for name in ("name", "emails") if known is None else [n for n in ("name", "emails") if n in body]:
            if not body.get(name):
                raise Abort(self.bad(name, "can't be blank"))
        return body

    def contact_lists(self, body: Record) -> None:
        for name, keys in (("emails", {"email", "is_primary"}), ("phone_numbers", {"phone_number"})):
            items = body.get(name) or []
            if not isinstance(items, list) or len(items) > MOST_LISTED:
                raise Abort(self.bad(name, f"must be a list of at most {MOST_LISTED}"))
            if any(not isinstance(i, dict) or set(i) != keys for i in items):
                raise Abort(self.bad(name, f"items must have {', '.join(sorted(keys))}"))
        if body.get("emails") and [e["is_primary"] for e in body["emails"]].count(True) != 1:
            raise Abort(self.bad("emails", "exactly one must be primary"))
        if any(not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", e["email"]) for e in body.get("emails") or []):
            raise Abort(self.bad("emails", "is invalid"))
        if any(not re.fullmatch(r"\+[1-9]\d{6,14}", p["phone_number"]) for p in body.get("phone_numbers") or []):
            raise Abort(self.bad("phone_numbers", "is invalid"))

    def custom_value(self, item: Record) -> None:
        field = self.records["custom_field"].get(str(item.get("uuid")))
        if field is None or set(item) != {"uuid", "value"}:
            raise Abort(self.bad("custom_fields", "is not a known custom field"))
        value, kind = item["value"], field["field_type"]
        # A choice is named by its uuid, or by its label where only one option has it.
        options = [option for option in field["options"] or [] if value in (option["uuid"], option["label"])]
        good = (
            isinstance(value, int | float) and not isinstance(value, bool) if kind in ("number", "currency")
            else isinstance(value, list) and all(isinstance(v, str) for v in value) if kind == "tags"
            else isinstance(value, str) and bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value)) if kind == "date"
            else len(options) == 1 if kind == "single_select"
            else isinstance(value, str)
        )  # fmt: skip
        if value is not None and not good:
            raise Abort(self.bad("custom_fields", f"{field['label']} has the wrong type or option"))
        if kind == "single_select" and options:
            item["value"] = options[0]["label" if self.settings["definitions"] != "reference" else "uuid"]

    @routes.on("POST", "/contacts")
    def create_contact(self, request: Request) -> Reply:
        body = self.contact_body(request, None)
        taken = {e["email"].casefold() for e in body["emails"]}
        for row in self.records["contact"].values():
            same = taken & {e["email"].casefold() for e in row["emails"]} and self.mine(request, "contact", row)
            if same and self.settings["same_email"] == "refused":
                raise Abort(self.error(409, "Already Exists", "A contact with this email already exists."))
        made = self.complete("contact", {**body, "owner": self.me(request)[0]})
        self.save("contact", made)
        return self.resource(made, 201)

    @routes.on("PATCH", "/contacts/{uuid}")
    def update_contact(self, request: Request, key: str) -> Reply:
        known = self.one(request, "contact", key)
        body = self.contact_body(request, known)
        if "custom_fields" in body:
            given = {item["uuid"]: item for item in body["custom_fields"]}
            body["custom_fields"] = [i for i in known["custom_fields"] if i["uuid"] not in given] + [*given.values()]
        changed = self.changed("contact", known, body)
        self.save("contact", changed)
        return self.resource(changed)

    @routes.on("DELETE", "/contacts/{uuid}")
    def delete_contact(self, request: Request, key: str) -> Reply:
        self.need(request, "contacts:write")
        self.one(request, "contact", key)
        self.remove("contact", key)
        return Reply(None, 204)

    @routes.on("GET", "/notes")
    def notes(self, request: Request) -> Reply:
        self.need(request, "contacts:read")
        if odd := sorted(set(request.query) - {"contact", "count", "page_token"}):
            raise Abort(self.bad(odd[0], "is not a known parameter"))
        wanted = set(request.values("contact"))
        if not 1 <= len(wanted) <= 10:
            raise Abort(self.bad("contact", "between 1 and 10 contacts are required"))
        rows = [r for r in self.records["note"].values() if r["contact"] in wanted and self.mine(request, "note", r)]
        return self.listed(request, rows, default="updated_at:desc")

    @routes.on("POST", "/notes")
    def create_note(self, request: Request) -> Reply:
        self.need(request, "contacts:write")
        body, field = self.json(request), self.settings["note_field"]
        if not body.get(field):
            raise Abort(self.bad(field, "is missing"))
        if unknown := sorted(set(body) - {field, "title", "body", "remind_at"}):
            raise Abort(self.bad(unknown[0], "is not permitted"))
        title, text = (str(body.get(name) or "").strip() for name in ("title", "body"))
        if not title and not text:
            raise Abort(self.bad("body", "title or body is required"))
        for name, value, most in (("title", title, TITLE), ("body", text, BODY)):
            if len(value) > most:
                raise Abort(self.bad(name, f"is too long (maximum is {most} characters)"))
        remind = body.get("remind_at")
        if remind is not None and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", str(remind)):
            raise Abort(self.bad("remind_at", "must be RFC 3339 with seconds"))
        contact = self.one(request, "contact", str(body[field]).rpartition("/")[2])
        if remind is not None and not self.settings["reminders"]:
            raise Abort(self.denied("Reminders are not available for this account."))
        made = self.complete("note", {
            "contact": contact["uri"], "title": title or None, "body": text or None, "remind_at": remind,
            "owner": self.me(request)[0],
        })  # fmt: skip
        self.save("note", made)
        return self.resource(made, 201)

    def json(self, request: Request) -> Record:
        if not request.headers.get("content-type", "").startswith("application/json") or request.data is None:
            raise Abort(self.error(400, "Invalid Argument", "The request body is not valid JSON."))
        return dict(request.object)

    # Event types and availability

    @routes.on("GET", "/event_types")
    def event_types(self, request: Request) -> Reply:
        self.need(request, "event_types:read")
        user = self.within(request)
        rows: Iterable[Record] = self.records["event_type"].values()
        if user:
            rows = [r for r in rows if r["profile"]["owner"] == user]
        for name in ("active", "admin_managed"):
            if wanted := request.query.get(name):
                if wanted not in ("true", "false"):
                    raise Abort(self.bad(name, "must be a boolean"))
                rows = [r for r in rows if r[name] == (wanted == "true")]
        return self.listed(request, rows, ("name", "position", "created_at", "updated_at"))

    @routes.on("GET", "/event_types/{uuid}")
    def event_type(self, request: Request, key: str) -> Reply:
        self.need(request, "event_types:read")
        return self.resource(self.one(request, "event_type", key))

    def slots(self, kind: Record, start: float, end: float) -> list[float]:
        """Starts of free slots: weekdays from nine to five, every `duration` minutes, without what is booked."""
        taken = {
            epoch(e["start_time"]) for e in self.records["scheduled_event"].values()
            if e["event_type"] == kind["uri"] and e["status"] == "active"
        }  # fmt: skip
        found, day = [], datetime.fromtimestamp(start, UTC).replace(hour=9, minute=0, second=0, microsecond=0)
        while day.timestamp() < end:
            if day.weekday() < 5:
                step = kind["duration"] * 60
                moments = [day.timestamp() + n * step for n in range(int(8 * 3600 // step))]
                found += [at for at in moments if start <= at < end and at not in taken]
            day += timedelta(days=1)
        return found

    @routes.on("GET", "/event_type_available_times")
    def available_times(self, request: Request) -> Reply:
        self.need(request, "availability:read")
        start, end = (self.moment(name, request.query.get(name)) for name in ("start_time", "end_time"))
        if start < self.clock.now():
            raise Abort(self.bad("start_time", "must be in the future"))
        if not start < end <= start + WINDOW:
            raise Abort(self.bad("end_time", "the range can be no greater than 31 days"))
        kind = self.typed(request, str(request.query.get("event_type") or ""))
        return Reply({"collection": [
            {"status": "available", "invitees_remaining": 1, "start_time": iso(at, "seconds"),
             "scheduling_url": f"{kind['scheduling_url']}/{iso(at, 'seconds')}"}
            for at in self.slots(kind, start, end)
        ]})  # fmt: skip

    def typed(self, request: Request, uri: str) -> Record:
        if not uri.startswith(f"{API}/event_types/"):
            raise Abort(self.bad("event_type", "must be a valid event type URI"))
        return self.one(request, "event_type", uri.rpartition("/")[2])

    def moment(self, name: str, text: object) -> float:
        if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", text):
            raise Abort(self.bad(name, "must be a valid UTC time"))
        return epoch(text)

    # Scheduled events

    @routes.on("GET", "/scheduled_events")
    def scheduled_events(self, request: Request) -> Reply:
        self.need(request, "scheduled_events:read")
        user = self.within(request)
        rows: list[Record] = list(self.records["scheduled_event"].values())
        if user:
            rows = [r for r in rows if any(m["user"] == user for m in r["event_memberships"])]
        if email := request.query.get("invitee_email"):
            events = {i["event"] for i in self.records["invitee"].values() if i["email"].casefold() == email.casefold()}
            rows = [r for r in rows if r["uri"] in events]
        if status := request.query.get("status"):
            if status not in ("active", "canceled"):
                raise Abort(self.bad("status", "must be active or canceled"))
            rows = [r for r in rows if r["status"] == status]
        for name, sign in (("min_start_time", 1), ("max_start_time", -1)):
            if text := request.query.get(name):
                edge = self.moment(name, text)
                rows = [r for r in rows if sign * (epoch(r["start_time"]) - edge) >= 0]
        return self.listed(request, rows, ("start_time",))

    @routes.on("GET", "/scheduled_events/{uuid}")
    def scheduled_event(self, request: Request, key: str) -> Reply:
        self.need(request, "scheduled_events:read")
        return self.resource(self.one(request, "scheduled_event", key))

    @routes.on("GET", "/scheduled_events/{uuid}/invitees")
    def invitees(self, request: Request, key: str) -> Reply:
        self.need(request, "scheduled_events:read")
        event = self.one(request, "scheduled_event", key)
        rows = [i for i in self.records["invitee"].values() if i["event"] == event["uri"]]
        if email := request.query.get("email"):
            rows = [i for i in rows if i["email"].casefold() == email.casefold()]
        if status := request.query.get("status"):
            rows = [i for i in rows if i["status"] == status]
        return self.listed(request, rows, ("created_at",))

    @routes.on("GET", "/scheduled_events/{uuid}/invitees/{invitee}")
    def invitee(self, request: Request, key: str, invitee: str) -> Reply:
        self.need(request, "scheduled_events:read")
        found = self.one(request, "invitee", invitee)
        if not found["event"].endswith(f"/{key}"):
            raise Abort(self.not_found(request))
        return self.resource(found)

    def booking_body(self, request: Request) -> Record:
        body, allowed = self.json(request), {"event_type", "start_time", "invitee", "location", "questions_and_answers"}
        if unknown := sorted(set(body) - allowed):
            raise Abort(self.bad(unknown[0], "is not permitted"))
        person = body.get("invitee") or {}
        for name in ("name", "email", "timezone"):
            if not isinstance(person.get(name), str) or not person[name]:
                raise Abort(self.bad(f"invitee.{name}", "can't be blank"))
        for answer in body.get("questions_and_answers") or []:
            if set(answer) != {"question", "answer", "position"}:
                raise Abort(self.bad("questions_and_answers", "need question, answer and position"))
        if body.get("location") is not None and "kind" not in body["location"]:
            raise Abort(self.bad("location.kind", "is missing"))
        return body

    @routes.on("POST", "/invitees")
    def book(self, request: Request) -> Reply:
        self.need(request, "scheduled_events:write")
        assert request.grant
        if request.grant.identity["plan"] == "free":
            raise Abort(self.denied("Please upgrade your Calendly account to Standard or higher."))
        body = self.booking_body(request)
        kind, start = (
            self.typed(request, str(body.get("event_type"))),
            self.moment("start_time", body.get("start_time")),
        )
        person = body["invitee"]
        if start not in self.slots(kind, start, start + 1):
            raise Abort(self.bad("start_time", "is not available"))
        # Asked for as `{kind, location}`, told as `{type, location}`.
        asked = body.get("location")
        place = {"type": asked["kind"], "location": asked.get("location")} if asked else None
        event = self.complete("scheduled_event", {
            "name": kind["name"], "event_type": kind["uri"], "start_time": iso(start, "microseconds"),
            "end_time": iso(start + kind["duration"] * 60, "microseconds"),
            "event_memberships": [self.host(kind["profile"]["owner"])], **({"location": place} if place else {}),
        })  # fmt: skip
        self.save("scheduled_event", event)
        made = self.complete("invitee", {
            "event": event["uri"], **person, "questions_and_answers": body.get("questions_and_answers") or [],
        })  # fmt: skip
        self.save("invitee", made)
        return self.resource(made, 201)

    @routes.on("POST", "/scheduled_events/{uuid}/cancellation")
    def cancel(self, request: Request, key: str) -> Reply:
        self.need(request, "scheduled_events:write")
        event, body = self.one(request, "scheduled_event", key), self.json(request)
        if set(body) - {"reason"}:
            raise Abort(self.bad(min(set(body) - {"reason"}), "is not permitted"))
        if event["status"] == "canceled":
            raise Abort(self.denied("Event is already canceled"))
        if epoch(event["end_time"]) < self.clock.now():
            raise Abort(self.denied("Event in the past"))
        told = {"canceled_by": "Robin Sandbox", "reason": body.get("reason"), "canceler_type": "host",
                "created_at": self.stamp()}  # fmt: skip
        self.save(
            "scheduled_event", self.changed("scheduled_event", event, {"status": "canceled", "cancellation": told})
        )
        for row in [i for i in self.records["invitee"].values() if i["event"] == event["uri"]]:
            self.save("invitee", self.changed("invitee", row, {"status": "canceled", "cancellation": told}))
        return Reply({"resource": told}, 201)

    @routes.on("POST", "/scheduling_links")
    def scheduling_link(self, request: Request) -> Reply:
        self.need(request, "scheduling_links:write")
        body = self.json(request)
        if body.get("max_event_count") != 1:
            raise Abort(self.bad("max_event_count", "must be 1"))
        if body.get("owner_type") != "EventType":
            raise Abort(self.bad("owner_type", "must be EventType"))
        kind = self.typed(request, str(body.get("owner")))
        url = f"https://calendly.com/d/{self.next_id()}/{kind['slug']}"
        return Reply({"resource": {"booking_url": url, "owner": kind["uri"], "owner_type": "EventType"}}, 201)

    # Routing forms

    @routes.on("GET", "/routing_forms")
    def routing_forms(self, request: Request) -> Reply:
        self.need(request, "routing_forms:read")
        self.within(request, organization_only=True)
        return self.listed(request, self.records["routing_form"].values(), ("created_at",))

    @routes.on("GET", "/routing_forms/{uuid}")
    def routing_form(self, request: Request, key: str) -> Reply:
        self.need(request, "routing_forms:read")
        return self.resource(self.one(request, "routing_form", key))
