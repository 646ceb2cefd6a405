"""Pipedrive. Quirks: the API host comes with the tokens, v1 and v2 paths side by side, every call costs tokens."""

import base64
import hashlib
import random
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

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

V1, V2 = "/api/v1", "/api/v2"
SCOPES = ("base", "contacts:full", "activities:full", "deals:read", "products:read", "search:read", "leads:read")
BURST_S, SEARCHES = 2, 10  # a rolling window; a search has ten in it on every plan
DAY = 86_400
COSTS = {"single": 1, "list": 10, "search": 20, "write": 5, "delete": 3}  # v1 costs twice as much
FLOORS = {V1: "%Y-%m-%d %H:%M:%S"}
STAGES = ((1, "Qualified", 1), (2, "Contact Made", 1), (3, "Proposal Made", 1))
TYPES = ("call", "meeting", "task", "deadline", "email")
PERSON = {  # field -> type, of what a client may send; a strict reader refuses all else
    "name": str, "owner_id": int, "org_id": int, "add_time": str, "emails": list, "phones": list, "visible_to": int,
    "label_ids": list, "custom_fields": dict,
}  # fmt: skip
CONTACT_SYNC = ("postal_address", "notes", "im", "birthday", "job_title")  # a feature of the account
ORGANIZATION = {
    "name": str, "owner_id": int, "add_time": str, "visible_to": int, "label_ids": list, "address": dict,
    "website": str, "linkedin": str, "custom_fields": dict,
}  # fmt: skip
ACTIVITY = {
    "subject": str, "type": str, "owner_id": int, "deal_id": int, "lead_id": str, "org_id": int, "project_id": int,
    "due_date": str, "due_time": str, "duration": str, "busy": bool, "done": bool, "location": dict,
    "participants": list, "attendees": list, "public_description": str, "priority": int, "note": str,
}  # fmt: skip
NOTE = ("content", "lead_id", "deal_id", "person_id", "org_id", "project_id", "task_id", "user_id", "add_time")


class Pipedrive(Double):
    """One Pipedrive company; the connected one is told by `company_id`, its host by `company_domain`."""

    name, title = "pipedrive", "Pipedrive"
    hosts = (r"oauth\.pipedrive\.com", r"api\.pipedrive\.com", r"[a-z0-9-]+\.pipedrive\.com")
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/oauth/authorize", "/oauth/token", bodies=frozenset({"form"}), client_auth="basic")
    kinds: ClassVar[dict[str, str]] = {
        "persons": "person", "organizations": "organization", "deals": "deal", "products": "product",
        "activities": "activity", "notes": "note", "leads": "lead", "person_fields": "person_field",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "access_token_ttl": 3600, "refresh_token_ttl": 60 * DAY, "code_ttl": 300, "company_id": 54_235_233,
        "user_id": 2001, "company_name": "Sandbox Ltd", "company_domain": "sandbox", "burst": 80, "daily": 30_000,
        "error_keys": "error", "contact_sync": False, "field_search": "example", "switched_off_types": [],
    }  # fmt: skip

    def structure(self) -> None:
        now = self.stamp()
        for code, name in (("name", "Name"), ("email", "Email"), ("phone", "Phone")):
            self.save("person_field", self.complete("person_field", {
                "field_code": code, "field_name": name, "field_type": "varchar", "is_custom_field": False,
            }))  # fmt: skip
        self.stages = [
            {
                "id": key, "order_nr": key, "name": name, "is_deleted": False, "deal_probability": 100,
                "pipeline_id": pipeline, "is_deal_rot_enabled": False, "days_to_rotten": None, "add_time": now,
                "update_time": now,
            }
            for key, name, pipeline in STAGES
        ]  # fmt: skip

    # Hooks

    def stamp(self) -> str:
        return iso(self.clock.now(), "seconds")

    def identity(self) -> Record:
        return {name: self.settings[name] for name in ("company_id", "user_id", "company_name", "company_domain")}

    def scopes(self, text: str) -> tuple[str, ...]:
        return SCOPES  # fixed on the app; the consent page takes no scope parameter

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        return Reply({
            "access_token": access.value, "token_type": "Bearer", "refresh_token": refresh.value,
            "scope": ",".join(access.grant.scope), "expires_in": round(access.expires_at - self.clock.now()),
            "api_domain": f"https://{access.grant.identity['company_domain']}.pipedrive.com",
        })  # fmt: skip

    def refresh(self, client_id: str, wanted: Record, host: str) -> Reply:
        reply = super().refresh(client_id, wanted, host)
        # Each use starts the sixty days anew.
        token = self.refresh_tokens[reply.body["refresh_token"]]
        token.expires_at = self.clock.now() + self.settings["refresh_token_ttl"]
        return reply

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        error, text = {
            "body": ("invalid_request", "Missing parameter: grant_type"),
            "grant_type": ("unsupported_grant_type", "Unsupported grant type"),
            "client": ("invalid_client", "Invalid client: client is invalid"),
            "client_mismatch": ("invalid_client", "Invalid client: client_id mismatch"),
            "code": ("invalid_grant", "Invalid grant: authorization_code is invalid"),
            "redirect": ("invalid_grant", "Invalid grant: redirect_uri is invalid"),
            "pkce": ("invalid_grant", "Invalid grant: authorization_code is invalid"),
            "refresh": ("invalid_grant", "Invalid grant: refresh_token is invalid"),
        }[failure]
        if self.settings["error_keys"] == "message":
            return Reply({"success": False, "message": text}, 400)
        return Reply({"success": False, "error": error, "error_description": text}, 400)

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        return self.error(401, "unauthorized access", errorCode=401)

    def not_found(self, request: Request) -> Reply:
        return self.error(404, "Unknown method .", code="ERR_NOT_FOUND")

    def error(self, status: int, message: str, **more: Any) -> Reply:
        info = "Please check developers.pipedrive.com"
        body = {"success": False, "error": message, "error_info": info, "data": None, "additional_data": None}
        return Reply({**body, **more}, status)

    def served_here(self, entry: Any, request: Request) -> bool:
        return bool(entry.path.startswith("/oauth/") == (request.host == "oauth.pipedrive.com"))

    def throttle(self, request: Request) -> None:
        if request.grant is None:
            return
        if request.host not in (f"{request.grant.identity['company_domain']}.pipedrive.com", "api.pipedrive.com"):
            raise Abort(self.unauthenticated("invalid"))
        search = "/search" in request.raw_path.lower() or "itemSearch" in request.raw_path
        token = request.headers["authorization"]
        limit = SEARCHES if search else self.settings["burst"]
        enforced = self.settings["rate_limits"]
        left, wait = self.limiter.hit(f"{search}{token}", limit, BURST_S) if enforced else (limit, 0)
        today = iso(self.clock.now())[:10]  # reset at midnight
        spent = f"day {today} {request.grant.identity['company_id']}"
        daily, cost = self.settings["daily"], self.cost(request, search=search)
        rest = daily - len(self.limiter.hits.get(spent, ()))
        for _ in range(cost if enforced and left >= 0 and rest >= cost else 0):
            rest = self.limiter.hit(spent, daily, DAY)[0]
        request.response_headers = {
            "x-ratelimit-limit": str(limit), "x-ratelimit-remaining": str(max(0, left)),
            "x-ratelimit-reset": str(max(1, round(wait))), "x-daily-ratelimit-token-limit": str(daily),
            "x-daily-ratelimit-token-remaining": str(max(0, rest)),
        }  # fmt: skip
        if left < 0 or (enforced and rest < cost):
            if left >= 0:
                request.response_headers["x-daily-ratelimit-token-remaining"] = "0"
            raise Abort(self.error(429, "Request over limit"))

    def cost(self, request: Request, *, search: bool) -> int:
        tail = request.raw_path.rstrip("/").rpartition("/")[2]
        kind = (
            "search" if search else "delete" if request.method == "DELETE" else "write" if request.method != "GET"
            else "single" if tail.isdigit() or tail == "me" else "list"
        )  # fmt: skip
        return COSTS[kind] * (2 if request.raw_path.startswith(V1) else 1)

    def need(self, request: Request, *scopes: str) -> None:
        held = request.grant.scope if request.grant else ()
        if self.settings["enforce_scopes"] and not set(scopes) & set(held):
            raise Abort(self.error(403, "Scope and URL mismatch", code="ERR_FORBIDDEN"))

    # Records

    def infer_kind(self, record: Record) -> str:
        return "product" if "prices" in record or "code" in record else "person"

    def key_field(self, kind: str) -> str:
        return "field_code" if kind == "person_field" else "id"

    def complete(self, kind: str, record: Record) -> Record:
        now, number = self.stamp(), record.get("id") or self.next_id()
        base: Record = {"id": number, "add_time": now, "update_time": now, "owner_id": 2001, "is_deleted": False}
        if kind == "person_field":
            digest = hashlib.sha1(str(self.next_id()).encode(), usedforsecurity=False).hexdigest()
            return {
                "field_code": digest, "field_type": "varchar", "options": None, "subfields": None,
                "is_custom_field": True, "is_optional_response_field": False, "description": None, **record,
            }  # fmt: skip
        if kind == "note":
            v1 = datetime.fromtimestamp(self.clock.now(), UTC).strftime(FLOORS[V1])
            return {
                "id": number, "active_flag": True, "add_time": v1, "update_time": v1, "content": "", "person_id": None,
                "deal_id": None, "org_id": None, "lead_id": None, "project_id": None, "user_id": 2001,
                "last_update_user_id": None, **record,
            }  # fmt: skip
        extra: dict[str, Record] = {
            "person": {"name": "", "org_id": None, "emails": [], "phones": [], "visible_to": 3, "label_ids": [],
                       "picture_id": None, "custom_fields": {}},
            "organization": {"name": "", "address": None, "visible_to": 3, "label_ids": [], "website": None,
                             "linkedin": None, "industry": None, "annual_revenue": None, "employee_count": None,
                             "custom_fields": {}},
            "deal": {"title": "", "creator_user_id": 2001, "value": 0, "currency": "EUR", "person_id": None,
                     "org_id": None, "stage_id": 1, "pipeline_id": 1, "status": "open", "is_archived": False,
                     "probability": None, "lost_reason": None, "visible_to": 3, "close_time": None,
                     "expected_close_date": None, "label_ids": [], "origin": "API", "custom_fields": {}},
            "product": {"name": "", "code": None, "description": "", "unit": "", "tax": 0, "category": None,
                        "is_linkable": True, "visible_to": 3, "billing_frequency": "one-time",
                        "billing_frequency_cycles": None, "prices": [], "custom_fields": {}},
            "activity": {"subject": "Call", "type": "call", "creator_user_id": 2001, "deal_id": None, "lead_id": None,
                         "person_id": None, "org_id": None, "project_id": None, "due_date": None, "due_time": None,
                         "duration": None, "busy": False, "done": False, "marked_as_done_time": None,
                         "location": None, "participants": [], "attendees": None, "public_description": None,
                         "priority": None, "note": None},
            "lead": {"title": "", "person_id": None, "organization_id": None, "is_archived": False, "value": None,
                     "label_ids": [], "source_name": "API", "creator_id": 2001},
        }  # fmt: skip
        made = {**base, **extra[kind], **record, "id": number}
        if kind == "person":
            first, _, last = made["name"].rpartition(" ")
            made |= {"first_name": first or last or None, "last_name": last if first else None}
        return made

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        stamp = {} if kind == "person_field" else {"update_time": self.stamp()}
        if kind == "note":
            stamp = {"update_time": datetime.fromtimestamp(self.clock.now(), UTC).strftime(FLOORS[V1])}
        merged = {**known, **stamp, **changes}
        if kind == "person" and "name" in changes:
            first, _, last = merged["name"].rpartition(" ")
            merged |= {"first_name": first or last or None, "last_name": last if first else None}
        if "custom_fields" in changes:
            merged["custom_fields"] = {**known["custom_fields"], **changes["custom_fields"]}
        return merged

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        now = self.clock.now()
        if kind == "person":
            return [
                {"name": f"{p.first} {p.last}", "emails": [{"value": p.email, "primary": True, "label": "work"}],
                 "phones": [{"value": p.phone, "primary": True, "label": "work"}]}
                for p in people(count, source)
            ]  # fmt: skip
        if kind in ("product", "deal", "organization"):
            title = "title" if kind == "deal" else "name"
            return [
                {title: a.title, **({"description": a.body} if kind == "product" else {}),
                 "update_time": iso(now - 60 * (count - n), "seconds")}
                for n, a in enumerate(articles(count, source))
            ]  # fmt: skip
        return super().generate(kind, count, source)

    def one(self, kind: str, key: str) -> Record:
        found = self.records[kind].get(key)
        if found is None or found.get("is_deleted") or found.get("active_flag") is False:
            raise Abort(self.error(404, f"{kind.capitalize()} not found", code="ERR_NOT_FOUND"))
        return found

    # Reading

    def ok(self, data: Any, more: Any = None) -> Reply:
        return Reply({"success": True, "data": data, **({"additional_data": more} if more is not None else {})})

    def page(self, request: Request, rows: list[Record], most: int = 500) -> Reply:
        """A v2 page; the cursor names the last record and the order."""
        sort, down = request.query.get("sort_by", "id"), request.query.get("sort_direction", "asc") == "desc"
        if sort not in ("id", "add_time", "update_time", "due_date"):
            raise Abort(self.bad("sort_by", "must be one of id, update_time, add_time"))
        rows = sorted(rows, key=lambda r: (str(r.get(sort) or ""), r["id"]) if sort != "id" else r["id"], reverse=down)
        start = 0
        if cursor := request.query.get("cursor"):
            try:
                wanted = orjson.loads(base64.urlsafe_b64decode(cursor))
                start = wanted["offset"]
                key = wanted["id"]
            except (ValueError, KeyError, TypeError):
                raise Abort(self.bad("cursor", "is invalid")) from None
            # Records may have come and gone: the place after the one that the cursor names.
            places = range(min(start, len(rows)), 0, -1)
            start = next((n for n in places if rows[n - 1]["id"] == key), min(start, len(rows)))
        size = self.page_size(request, "limit", 100, most)
        shown, end = rows[start : start + size], start + size
        more = (
            base64.urlsafe_b64encode(orjson.dumps({"offset": end, "id": shown[-1]["id"]})) if end < len(rows) else b""
        )
        return self.ok(shown, {"next_cursor": more.decode() or None})

    def bad(self, field: str, why: str) -> Reply:
        return self.error(400, f"Validation failed: {field}: {field} {why}", code="ERR_BAD_REQUEST", field_code=field)

    def listed(self, request: Request, kind: str, **equal: str) -> list[Record]:
        rows: Iterable[Record] = self.records[kind].values()
        if ids := request.query.get("ids"):
            wanted = set(ids.split(","))
            if len(wanted) > 100:
                raise Abort(self.bad("ids", "must contain at most 100 items"))
            rows = (self.records[kind][i] for i in wanted if i in self.records[kind])
        if (text := request.query.get("updated_since")) is not None:
            since = self.moment("updated_since", text)
            rows = [r for r in rows if epoch(r["update_time"]) >= since]
        if (text := request.query.get("updated_until")) is not None:
            until = self.moment("updated_until", text)
            rows = [r for r in rows if epoch(r["update_time"]) < until]
        for name, field in equal.items():
            if name in request.query:
                rows = [r for r in rows if str(r.get(field)) == request.query[name]]
        return list(rows)

    def moment(self, name: str, text: str) -> float:
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text):  # fractions were reported as refused
            raise Abort(self.bad(name, "must be in RFC3339 format"))
        return epoch(text)

    def search(self, request: Request, kind: str, fields: dict[str, Callable[[Record], list[str]]]) -> Reply:
        self.need(request, "search:read", "contacts:full")
        term, exact = request.query.get("term", ""), request.query.get("exact_match") == "true"
        if len(term) < (1 if exact else 2):
            raise Abort(self.bad("term", "is not allowed to be shorter than 2 characters"))
        names = request.query.get("fields", ",".join(fields)).split(",")
        if unknown := [name for name in names if name not in (*fields, "custom_fields", "notes", "address")]:
            raise Abort(self.bad("fields", f"{unknown[0]} is not allowed"))
        wanted, hits = term.casefold(), []
        for row in self.indexed(kind):
            texts = [t.casefold() for name in names if name in fields for t in fields[name](row)]
            if not row["is_deleted"] and any(t == wanted if exact else wanted in t for t in texts):
                hits.append(row)
        page = self.page(request, hits, 500)
        items = [{"result_score": 0.5, "item": self.hit(kind, row)} for row in page.body["data"]]
        return self.ok({"items": items}, page.body["additional_data"])

    def hit(self, kind: str, row: Record) -> Record:
        own = {"id": row["id"], "type": kind, "name": row.get("name") or row.get("title"), "visible_to": 3,
               "owner": {"id": row["owner_id"]}, "custom_fields": [str(v) for v in row["custom_fields"].values()],
               "notes": []}  # fmt: skip
        if kind == "person":
            org = self.records["organization"].get(str(row["org_id"]))
            own["emails"] = [e["value"] for e in row["emails"]]
            own["phones"] = [p["value"] for p in row["phones"]]
            own["organization"] = {"id": org["id"], "name": org["name"], "address": None} if org else None
        else:
            own["address"] = None
        return own

    @routes.on("GET", V1 + "/users/me")
    def me(self, request: Request) -> Reply:
        who = request.grant.identity if request.grant else {}
        return self.ok({
            "id": who["user_id"], "name": "Sandbox User", "email": "user@sandbox.example", "locale": "en_US", "lang": 1,
            "phone": None, "activated": True, "active_flag": True, "default_currency": "EUR", "is_you": True,
            "last_login": "2026-01-01 08:00:00", "created": "2025-01-01 08:00:00", "modified": "2025-01-01 08:00:00",
            "has_created_company": True, "role_id": 1, "icon_url": None, "is_deleted": False,
            "timezone_name": "Etc/UTC", "timezone_offset": "+00:00",
            "access": [{"app": "global", "admin": True, "permission_set_id": "62cc4d7f-4038-4352-abf3-a8c1c822b631"}],
            "company_id": who["company_id"], "company_name": who["company_name"], "company_country": "EE",
            "company_domain": who["company_domain"], "company_industry": "Software",
            "language": {"language_code": "en", "country_code": "US"},
        })  # fmt: skip

    @routes.on("GET", V2 + "/persons/search")
    def search_persons(self, request: Request) -> Reply:
        return self.search(request, "person", {
            "name": lambda r: [r["name"]],
            "email": lambda r: [e["value"] for e in r["emails"]],
            "phone": lambda r: [p["value"] for p in r["phones"]],
            "custom_fields": lambda r: [str(v) for v in r["custom_fields"].values()],
        })  # fmt: skip

    @routes.on("GET", V2 + "/organizations/search")
    def search_organizations(self, request: Request) -> Reply:
        return self.search(request, "organization", {"name": lambda r: [r["name"]]})

    @routes.on("GET", V2 + "/deals/search")
    def search_deals(self, request: Request) -> Reply:
        return self.search(request, "deal", {"title": lambda r: [r["title"]]})

    @routes.on("GET", V2 + "/itemSearch/field")
    def search_field(self, request: Request) -> Reply:
        self.need(request, "search:read")
        kind, field, term = (request.query.get(name, "") for name in ("entity_type", "field", "term"))
        if kind not in ("person", "organization", "deal", "product") or not field or not term:
            raise Abort(self.bad("entity_type", "is required"))
        match = request.query.get("match", "exact")  # case-sensitive, unlike the other searches
        rows = [r for r in self.indexed(kind) if (v := r["custom_fields"].get(field)) is not None
                and (str(v) == term if match == "exact" else term in str(v))]  # fmt: skip
        page = self.page(request, rows)
        name = "title" if kind == "deal" else "name"
        if self.settings["field_search"] == "schema":
            data = [{"result_score": 1, "item": {"id": r["id"], "name": r[name]}} for r in page.body["data"]]
        else:
            data = [{"id": r["id"], "name": r[name]} for r in page.body["data"]]
        return self.ok(data, page.body["additional_data"])

    @routes.on("GET", V2 + "/persons/{id}")
    def person(self, request: Request, key: str) -> Reply:
        self.need(request, "contacts:full", "contacts:read")
        return self.ok(self.one("person", key))

    @routes.on("GET", V2 + "/persons")
    def persons(self, request: Request) -> Reply:
        self.need(request, "contacts:full", "contacts:read")
        rows = self.listed(request, "person", org_id="org_id", owner_id="owner_id")
        return self.page(request, [r for r in rows if not r["is_deleted"]])

    @routes.on("GET", V2 + "/organizations/{id}")
    def organization(self, request: Request, key: str) -> Reply:
        self.need(request, "contacts:full", "contacts:read")
        return self.ok(self.one("organization", key))

    @routes.on("GET", V2 + "/organizations")
    def organizations(self, request: Request) -> Reply:
        self.need(request, "contacts:full", "contacts:read")
        rows = self.listed(request, "organization", owner_id="owner_id")
        return self.page(request, [r for r in rows if not r["is_deleted"]])

    @routes.on("GET", V2 + "/deals/{id}")
    def deal(self, request: Request, key: str) -> Reply:
        self.need(request, "deals:read", "deals:full")
        return self.ok(self.one("deal", key))

    @routes.on("GET", V2 + "/deals")
    def deals(self, request: Request) -> Reply:
        self.need(request, "deals:read", "deals:full")
        states = request.query.get("status", "open,won,lost").split(",")
        if bad := [s for s in states if s not in ("open", "won", "lost", "deleted")]:
            raise Abort(self.bad("status", f"{bad[0]} is not allowed"))
        rows = self.listed(request, "deal", person_id="person_id", org_id="org_id", stage_id="stage_id")
        return self.page(request, [
            r for r in rows
            if not r["is_archived"] and ("deleted" if r["is_deleted"] else r["status"]) in states
            and (not r["is_deleted"] or epoch(r["update_time"]) > self.clock.now() - 30 * DAY)
        ])  # fmt: skip

    @routes.on("GET", V2 + "/products/{id}")
    def product(self, request: Request, key: str) -> Reply:
        self.need(request, "products:read", "products:full")
        return self.ok(self.one("product", key))

    @routes.on("GET", V2 + "/products")
    def products(self, request: Request) -> Reply:
        self.need(request, "products:read", "products:full")
        return self.page(request, [r for r in self.listed(request, "product") if not r["is_deleted"]])

    @routes.on("GET", V2 + "/stages")
    def all_stages(self, request: Request) -> Reply:
        self.need(request, "deals:read", "deals:full")
        return self.page(request, self.stages)

    @routes.on("GET", V2 + "/pipelines")
    def pipelines(self, request: Request) -> Reply:
        self.need(request, "deals:read", "deals:full")
        now = self.stages[0]["add_time"]
        return self.page(request, [{
            "id": 1, "name": "Sales", "order_nr": 1, "is_deleted": False, "is_deal_probability_enabled": True,
            "add_time": now, "update_time": now,
        }])  # fmt: skip

    @routes.on("GET", V2 + "/personFields")
    def person_fields(self, request: Request) -> Reply:
        rows = [{**row, "id": n} for n, row in enumerate(self.records["person_field"].values())]
        page = self.page(request, rows)
        page.body["data"] = [{k: v for k, v in row.items() if k != "id"} for row in page.body["data"]]
        return page

    @routes.on("GET", V1 + "/activityTypes")
    def activity_types(self, request: Request) -> Reply:
        off, at = self.settings["switched_off_types"], "2025-01-01 08:00:00"
        return self.ok([
            {"id": n, "order_nr": n, "name": key.capitalize(), "key_string": key, "icon_key": key, "color": "FFFFFF",
             "active_flag": key not in off, "is_custom_flag": False, "add_time": at, "update_time": at}
            for n, key in enumerate(TYPES, 1)
        ])  # fmt: skip

    @routes.on("GET", V2 + "/activities")
    def activities(self, request: Request) -> Reply:
        self.need(request, "activities:full", "activities:read")
        rows = self.listed(request, "activity", person_id="person_id", deal_id="deal_id", org_id="org_id")
        return self.page(request, [r for r in rows if not r["is_deleted"]])

    def offset_page(self, request: Request, rows: list[Record], most: int = 500) -> tuple[list[Record], Record]:
        start, size = request.integer("start", 0), self.page_size(request, "limit", 100, most)
        more = start + size < len(rows)
        return rows[start : start + size], {"start": start, "limit": size, "more_items_in_collection": more}

    @routes.on("GET", V1 + "/notes")
    def notes(self, request: Request) -> Reply:
        self.need(request, "contacts:full", "deals:full", "contacts:read")
        rows = [r for r in self.records["note"].values() if r["active_flag"]]
        for name in ("person_id", "deal_id", "org_id", "lead_id"):
            if name in request.query:
                rows = [r for r in rows if str(r[name]) == request.query[name]]
        if since := request.query.get("updated_since"):
            floor = self.moment("updated_since", since)
            rows = [r for r in rows if epoch(r["update_time"]) >= floor]
        down = "DESC" in request.query.get("sort", "").upper()
        rows.sort(key=lambda r: (r["add_time"], r["id"]), reverse=down)
        shown, told = self.offset_page(request, rows)
        if told["more_items_in_collection"]:
            told["next_start"] = told["start"] + told["limit"]
        return self.ok(shown, {"pagination": told})

    @routes.on("GET", V1 + "/notes/{id}")
    def note(self, request: Request, key: str) -> Reply:
        self.need(request, "contacts:full", "contacts:read")
        return self.ok(self.one("note", key))

    @routes.on("GET", V1 + "/leads")
    def leads(self, request: Request) -> Reply:
        self.need(request, "leads:read", "leads:full")
        rows = [r for r in self.records["lead"].values() if not r["is_archived"] and not r["is_deleted"]]
        if "person_id" in request.query:
            rows = [r for r in rows if str(r["person_id"]) == request.query["person_id"]]
        shown, told = self.offset_page(request, rows)
        return self.ok([{k: v for k, v in r.items() if k != "is_deleted"} for r in shown], told)  # no next_start here

    # Writing

    def body(self, request: Request, allowed: dict[str, type]) -> Record:
        """The body of a v2 write; numbers as texts and unknown fields are refused."""
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise Abort(self.error(415, "Unsupported Media Type", code="ERR_UNSUPPORTED_MEDIA_TYPE"))
        for name, value in request.object.items():
            if name not in allowed:
                raise Abort(self.bad(name, "is not allowed"))
            if value is not None and (
                not isinstance(value, allowed[name]) or (allowed[name] is int and isinstance(value, bool))
            ):
                raise Abort(self.bad(name, f"must be of type {allowed[name].__name__}"))
        return dict(request.object)

    def person_body(self, request: Request) -> Record:
        self.need(request, "contacts:full")
        if not self.settings["contact_sync"] and (odd := [n for n in CONTACT_SYNC if n in request.object]):
            raise Abort(self.error(403, f"{odd[0]} needs Contact Sync", code="ERR_FORBIDDEN"))
        body = self.body(
            request, PERSON | (dict.fromkeys(CONTACT_SYNC, object) if self.settings["contact_sync"] else {})
        )
        for name in ("emails", "phones"):
            for item in body.get(name) or []:
                if not isinstance(item, dict) or not item.get("value") or set(item) - {"value", "primary", "label"}:
                    raise Abort(self.bad(name, "must be objects with value, primary and label"))
            body[name] = [{"primary": False, "label": "work", **i} for i in body[name]] if name in body else []
            if name not in request.object:
                del body[name]
        for code, value in (body.get("custom_fields") or {}).items():
            field = self.records["person_field"].get(code)
            if field is None or not field["is_custom_field"]:
                raise Abort(self.bad("custom_fields", f"{code} is not allowed"))
            options = [o["id"] for o in field["options"] or []]
            if value is not None and options and value not in options:
                raise Abort(self.bad(code, "must be an option id"))
        if body.get("org_id") is not None and str(body["org_id"]) not in self.records["organization"]:
            raise Abort(self.bad("org_id", "does not exist"))
        return body

    @routes.on("POST", V2 + "/persons")
    def create_person(self, request: Request) -> Reply:
        body = self.person_body(request)
        if not body.get("name"):
            raise Abort(self.bad("name", "is required"))
        made = self.complete("person", body)
        self.save("person", made)
        return self.ok(made)

    @routes.on("PATCH", V2 + "/persons/{id}")
    def update_person(self, request: Request, key: str) -> Reply:
        body, known = self.person_body(request), self.one("person", key)
        if "name" in body and not body["name"]:
            raise Abort(self.bad("name", "is not allowed to be empty"))
        changed = self.changed("person", known, body)  # lists are replaced as a whole
        self.save("person", changed)
        return self.ok(changed)

    @routes.on("POST", V2 + "/organizations")
    def create_organization(self, request: Request) -> Reply:
        self.need(request, "contacts:full")
        body = self.body(request, ORGANIZATION)
        if not body.get("name"):
            raise Abort(self.bad("name", "is required"))
        made = self.complete("organization", body)
        self.save("organization", made)
        return self.ok(made)

    @routes.on("POST", V2 + "/activities")
    def create_activity(self, request: Request) -> Reply:
        self.need(request, "activities:full")
        if "person_id" in request.object:
            text = "'person_id' is a read-only field. Add a primary participant to set person_id"
            raise Abort(self.error(400, text, code="ERR_BAD_REQUEST"))
        body = self.body(request, ACTIVITY)
        if body.get("type", "call") not in TYPES or body.get("type") in self.settings["switched_off_types"]:
            raise Abort(self.bad("type", "is not a known activity type"))
        for name, pattern in (("due_date", r"\d{4}-\d\d-\d\d"), ("due_time", r"\d\d:\d\d"), ("duration", r"\d\d:\d\d")):
            if body.get(name) is not None and not re.fullmatch(pattern, body[name]):
                raise Abort(self.bad(name, f"must match {pattern}"))
        primary = [p for p in body.get("participants") or [] if p.get("primary")]
        for one in body.get("participants") or []:
            self.one("person", str(one.get("person_id")))
        made = self.complete("activity", {**body, "person_id": primary[0]["person_id"] if primary else None})
        self.save("activity", made)
        return self.ok(made)

    @routes.on("POST", V1 + "/notes")
    def create_note(self, request: Request) -> Reply:
        self.need(request, "contacts:full")
        body = {k: v for k, v in request.object.items() if k in NOTE}  # v1 is lenient
        places = [name for name in ("person_id", "deal_id", "org_id", "lead_id") if body.get(name)]
        if not body.get("content") or not places:
            raise Abort(self.error(400, "Note must be attached to a deal, person, organization or lead", errorCode=400))
        if "person_id" in body:
            self.one("person", str(body["person_id"]))
        body["content"] = re.sub(r"(?is)<script.*?</script>", "", str(body["content"]))
        made = self.complete("note", body)
        self.save("note", made)
        return self.ok(made)

    @routes.on("POST", "/oauth/revoke", public=True)
    def revoke_token(self, request: Request) -> Reply:
        client_id, wanted = self.client(request)
        value = str(wanted.get("token"))
        found = self.refresh_tokens.get(value) or self.access_tokens.get(value)
        if found is not None and found.grant.client_id == client_id:
            found.dead = True
            if value in self.refresh_tokens:  # uninstalls the app for this user
                found.grant.revoked = True
        return Reply(None, 200)
