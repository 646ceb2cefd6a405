"""Zendesk Support and Help Center. Quirks: one host per subdomain, lifetimes chosen by the client, JSON token calls."""

import base64
import binascii
import hashlib
import random
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from urllib.parse import urlencode

from sandbox.double import (
    Abort,
    Double,
    Grant,
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
from sandbox.zendesk_fields import EXTRA, NEVER_NULL, audit

API, HC = "/api/v2", "/api/v2/help_center"
OFFSET_DEPTH = 10_000
SEARCH_DEPTH = 1_000
INCREMENTAL_PAGE = 1_000
IDEMPOTENCY_SECONDS = 7_200
TEN_YEARS = 10 * 365 * 86_400
HIDDEN = frozenset({"translations", "comments"})  # stored inside a record, served by endpoints of their own
NOT_STORED = frozenset({"id", "skip_verify_email", "password", "identities", "organization"})  # of a user's input
SCOPE = re.compile(
    r"read|write|impersonate|(tickets|users|organizations|hc|auditlogs|apps|triggers|automations|targets|webhooks)"
    r":(read|write)"
)


class Zendesk(Double):
    """One Zendesk account; every subdomain shows the same records, a token belongs to its subdomain."""

    name, title = "zendesk", "Zendesk"
    hosts = (r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.zendesk\.com",)
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/oauth/authorizations/new", "/oauth/tokens", bodies=frozenset({"json"}), tenant_hosts=True)
    kinds: ClassVar[dict[str, str]] = {
        "articles": "article", "users": "user", "tickets": "ticket", "organizations": "organization",
        "sections": "section", "categories": "category", "brands": "brand", "macros": "macro", "comments": "comment",
        "user_fields": "user_field", "identities": "identity",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "code_ttl": 120, "rotation": "rotate", "refresh_kills_access": True, "role": "admin", "user_id": 9001,
        "requests_per_minute": 400, "incremental_per_minute": 10, "help_center": True, "token_status": 200,
        # Lifetimes: does the answer name the access token's, and is it what was asked for (None) or a fixed one?
        "states_life": True, "granted_seconds": None, "gives_refresh_token": True,
        # A write keeps its record for so long; one that comes meanwhile is a conflict.
        "write_seconds": 0,
        # What is not set is left out where the published description allows no null; live accounts were seen to answer
        # null there.
        "unset_as_null": False,
    }  # fmt: skip

    def structure(self) -> None:
        self.idempotent: dict[str, tuple[float, str, Record]] = {}
        self.written: dict[tuple[str, str], float] = {}
        self.save("user", self.complete("user", {
            "id": self.settings["user_id"], "name": "Agent Sandbox", "email": "agent@zendesk.example", "role": "admin",
        }))  # fmt: skip
        for kind, record in (
            ("brand", {"id": 360001, "name": "Sandbox", "subdomain": "sandbox"}),
            ("category", {"id": 360010, "name": "General", "description": "Everything about the product"}),
            ("section", {"id": 360020, "name": "FAQ", "description": "Frequently asked", "category_id": 360010}),
            ("macro", {"id": 360030, "title": "Close and redirect to topics", "active": True}),
            ("user_field", {"id": 360040, "key": "city", "title": "City", "type": "text", "active": True}),
            ("user_field", {"id": 360041, "key": "country", "title": "Country", "type": "text", "active": True}),
        ):
            self.save(kind, self.complete(kind, record))

    # Hooks

    def normalised(self, path: str) -> str:
        return path.removesuffix(".json")

    def identity(self) -> Record:
        return {"user_id": self.settings["user_id"], "role": self.settings["role"]}

    def authenticate(self, request: Request) -> Grant:
        grant = super().authenticate(request)
        brands = {f"{brand['subdomain']}.zendesk.com" for brand in self.records["brand"].values()}
        if request.host != grant.host and request.host not in brands:
            raise Abort(self.unauthenticated("invalid"))
        if self.settings["enforce_scopes"]:
            self.check_scope(request, grant)
        return grant

    def check_scope(self, request: Request, grant: Grant) -> None:
        resource = "hc" if request.path.startswith(HC) else request.path.removeprefix(API).split("/")[1]
        verb = "read" if request.method == "GET" else "write"
        valid = all(SCOPE.fullmatch(scope) for scope in grant.scope)
        fits = {verb, f"{resource}:{verb}", f"{resource}:write"} & set(grant.scope) or resource == "oauth"
        if not (valid and fits):
            message = "You do not have access to this page. Please contact the account owner for further help."
            raise Abort(Reply({"error": {"title": "Forbidden", "message": message}}, 403))

    def throttle(self, request: Request) -> None:
        incremental = "/incremental/" in request.path
        name = "incremental-exports" if incremental else "help-center" if request.path.startswith(HC) else "account"
        limit = self.settings["incremental_per_minute" if incremental else "requests_per_minute"]
        enforced = self.settings["rate_limits"]
        left, wait = self.limiter.hit(f"{request.host} {name}", limit, 60) if enforced else (limit, 60.0)
        rest, seconds = str(max(left, 0)), str(int(wait) + 1)
        request.response_headers = {
            "x-rate-limit": str(limit), "x-rate-limit-remaining": rest, "ratelimit-limit": str(limit),
            "ratelimit-remaining": rest, "ratelimit-reset": seconds,
        }  # fmt: skip
        if incremental:
            request.response_headers[f"zendesk-ratelimit-{name}"] = f"total={limit};remaining={rest};resets={seconds}"
        if left < 0:
            text = "Number of allowed API requests per minute exceeded"
            raise Abort(Reply(text, 429, {"retry-after": seconds}, "text/plain; charset=utf-8"))

    def not_found(self, request: Request) -> Reply:
        return Reply({"error": "InvalidEndpoint", "description": "Not found"}, 404)

    def missing(self) -> Abort:
        return Abort(Reply({"error": "RecordNotFound", "description": "Not found"}, 404))

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        if failure == "missing":
            return Reply({"error": "Couldn't authenticate you"}, 401)
        text = "The access token provided is expired, revoked, malformed or invalid for other reasons."
        return Reply({"error": "invalid_token", "error_description": text}, 401)

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        if failure == "client":
            text = "Client authentication failed due to unknown client, no client authentication included"
            return Reply({"error": "invalid_client", "error_description": text}, 401)
        if failure in ("body", "grant_type"):
            error = "invalid_request" if failure == "body" else "unsupported_grant_type"
            return Reply({"error": error, "error_description": "The request is missing a required parameter"}, 400)
        text = "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI"
        return Reply({"error": "invalid_grant", "error_description": text}, 400)

    def scopes(self, text: str) -> tuple[str, ...]:
        return tuple(text.split()) or ("read",)

    def access_ttl(self, wanted: Record) -> float:
        asked = wanted.get("expires_in")
        if asked is None:
            return float(self.settings["access_token_ttl"])
        if not str(asked).isdigit() or not 300 <= int(asked) <= 172_800:
            text = "expires_in must be between 300 and 172800"
            raise Abort(Reply({"error": "invalid_request", "error_description": text}, 400))
        return float(self.settings["granted_seconds"] or asked)

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        reply: Record = {
            "access_token": access.value, "token_type": "bearer", "scope": " ".join(access.grant.scope),
        }  # fmt: skip
        if self.settings["gives_refresh_token"]:
            reply["refresh_token"] = refresh.value
            if "refresh_token_expires_in" in wanted:
                refresh.expires_at = self.clock.now() + int(wanted["refresh_token_expires_in"])
                reply["refresh_token_expires_in"] = int(wanted["refresh_token_expires_in"])
        else:  # an old client's token, which lives until it is revoked
            access.expires_at = self.clock.now() + TEN_YEARS
        if "expires_in" in wanted and self.settings["states_life"]:
            reply["expires_in"] = round(access.expires_at - self.clock.now())
        elif self.settings["gives_refresh_token"]:  # left out, although the token does expire
            access.expires_at = self.clock.now() + self.settings["access_token_ttl"]
        return Reply(reply, self.settings["token_status"])

    # Records

    def infer_kind(self, record: Record) -> str:
        if ("title" in record and "body" in record) or "translations" in record:
            return "article"
        return "user" if "email" in record else "ticket" if "subject" in record else "article"

    def stamp(self) -> str:
        return iso(self.clock.now(), "seconds")

    def complete(self, kind: str, record: Record) -> Record:
        now, number = self.stamp(), record.get("id") or self.next_id()
        own = self.plural(kind)
        place = f"{record.get('source_locale') or record.get('locale') or 'en-us'}/{own}/{number}"
        path = f"{HC}/{place}" if kind in ("article", "section", "category") else f"{API}/{own}/{number}"
        base = {
            "id": number, "url": f"https://sandbox.zendesk.com{path}.json",
            "created_at": record.get("updated_at", now), "updated_at": now,
        }  # fmt: skip
        if kind == "article":
            return self.complete_article({**base, **record})
        made: Record = {**base, **EXTRA[kind]({**base, **record}), **record}
        if kind in ("section", "category"):
            made["html_url"] = f"https://sandbox.zendesk.com/hc/{place}"
        if kind == "brand":
            made["brand_url"] = f"https://{made['subdomain']}.zendesk.com"
        if kind == "identity":
            made["url"] = f"https://sandbox.zendesk.com{API}/users/{made['user_id']}/identities/{number}.json"
        return made

    def complete_article(self, record: Record) -> Record:
        source = record.get("source_locale") or record.get("locale") or "en-us"
        given = record.get("translations") or []
        first = next((item for item in given if item.get("locale") == source), given[0] if given else {})
        article = {
            "author_id": self.settings["user_id"], "comments_disabled": False, "draft": False, "promoted": False,
            "position": 0, "vote_sum": 0, "vote_count": 0, "section_id": 360020, "title": first.get("title", ""),
            "body": first.get("body", ""), "outdated": False, "outdated_locales": [], "user_segment_id": None,
            "user_segment_ids": [], "permission_group_id": 360050, "content_tag_ids": [], "label_names": [],
            "edited_at": record["updated_at"], **record, "source_locale": source, "locale": source,
        }  # fmt: skip
        article["name"] = article["title"]
        article["html_url"] = (
            record.get("html_url") or f"https://sandbox.zendesk.com/hc/{source}/articles/{record['id']}"
        )
        own = {"locale": source, "title": article["title"], "body": article["body"], "draft": article["draft"]}
        others = [item for item in given if item.get("locale") != source]
        article["translations"] = [self.translation(article, item) for item in (own, *others)]
        return article

    def translation(self, article: Record, item: Record) -> Record:
        url = f"{article['html_url'].partition('/hc/')[0]}/hc/{item['locale']}/articles/{article['id']}"
        number = item.get("id") or int(
            hashlib.sha256(f"{article['id']}/{item['locale']}".encode()).hexdigest()[:12], 16
        )
        api = f"https://sandbox.zendesk.com{HC}/articles/{article['id']}/translations/{item['locale']}.json"
        return {
            "id": number, "url": api, "source_id": article["id"], "source_type": "Article", "html_url": url,
            "title": "", "body": None, "draft": False, "outdated": False, "hidden": False,
            "created_at": article["created_at"], "updated_at": article["updated_at"],
            "created_by_id": article["author_id"], "updated_by_id": article["author_id"], **item,
        }  # fmt: skip

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        merged = {**known, "updated_at": self.stamp(), **changes}
        if kind == "article":
            if "translations" in changes and not {"title", "body"} & set(changes):
                merged = {name: value for name, value in merged.items() if name not in ("title", "body")}
            return self.complete_article(merged)
        return merged

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        now = self.clock.now()
        if kind == "article":  # a minute apart, so that pages by time stamp have a beginning and an end
            made = enumerate(articles(count, source))
            return [
                {"title": a.title, "body": a.body, "updated_at": iso(now - 60 * (count - n), "seconds")}
                for n, a in made
            ]
        if kind == "user":
            return [{"name": f"{p.first} {p.last}", "email": p.email, "phone": p.phone} for p in people(count, source)]
        if kind == "ticket":
            return [{"subject": a.title, "description": a.body} for a in articles(count, source)]
        return super().generate(kind, count, source)

    def plural(self, kind: str) -> str:
        return next(plural for plural, singular in self.kinds.items() if singular == kind)

    def one(self, kind: str, key: str) -> Record:
        found = self.records[kind].get(key)
        if found is None:
            raise self.missing()
        return found

    def shown(self, record: Record) -> Record:
        """A record as its endpoint answers it."""
        made = {key: value for key, value in record.items() if key not in HIDDEN}
        if "role" in made or "requester_id" in made:
            bare = frozenset() if self.settings["unset_as_null"] else NEVER_NULL["user" if "role" in made else "ticket"]
            return {key: value for key, value in made.items() if value is not None or key not in bare}
        if "html_body" in made:  # a comment stands under its ticket and is never changed
            return {key: value for key, value in made.items() if key not in ("ticket_id", "url", "updated_at")}
        return made

    # Paging

    def listing(self, request: Request, name: str, items: Iterable[Record], *, most: int = 100, **more: Any) -> Reply:
        """A page by cursor (`page[size]`, `page[after]`) or by offset (`page`, `per_page`)."""
        rows = sorted(items, key=lambda item: int(item["id"]))
        base = f"https://{request.host}{request.path}"
        if any(key.startswith("page[") for key in request.query):
            return self.cursor_page(request, name, rows, base, most, more)
        size, page = self.page_size(request, "per_page", most, most), max(1, request.integer("page", 1))
        if page * size > OFFSET_DEPTH and len(rows) > OFFSET_DEPTH:
            detail = "Offset pagination is limited to the first 10,000 records"
            raise Abort(
                Reply({"errors": [{"code": "InvalidPaginationDepth", "title": "Invalid page", "detail": detail}]}, 400)
            )
        kept = {key: value for key, value in request.query.items() if key != "page"}

        def link(number: int) -> str:
            return f"{base}?{urlencode({**kept, 'page': number})}"

        return Reply({
            name: [self.shown(item) for item in rows[(page - 1) * size : page * size]], "count": len(rows),
            "next_page": link(page + 1) if page * size < len(rows) else None,
            "previous_page": link(page - 1) if page > 1 else None, **more,
        })  # fmt: skip

    def cursor_page(self, request: Request, name: str, rows: list[Record], base: str, most: int, more: Record) -> Reply:
        size, query, every = self.page_size(request, "page[size]", most, most), request.query, len(rows)
        if "page[before]" in query:
            page = [item for item in rows if int(item["id"]) < self.place(query["page[before]"])][-size:]
            has_more = bool(page) and page[0] is not rows[0]
        else:
            if after := query.get("page[after]"):
                rows = [item for item in rows if int(item["id"]) > self.place(after)]
            page, has_more = rows[:size], len(rows) > size
        first, last = (
            base64.urlsafe_b64encode(str(page[n]["id"]).encode()).decode() if page else None for n in (0, -1)
        )
        kept = {key: value for key, value in query.items() if key not in ("page[after]", "page[before]")}
        onward = has_more or "page[before]" in query
        links = {
            "next": f"{base}?{urlencode({**kept, 'page[after]': last})}" if onward and page else None,
            "prev": f"{base}?{urlencode({**kept, 'page[before]': first})}" if page and len(rows) < every else None,
        }
        return Reply({
            name: [self.shown(item) for item in page],
            "meta": {"has_more": has_more, "after_cursor": last, "before_cursor": first}, "links": links, **more,
        })  # fmt: skip

    @staticmethod
    def place(cursor: str) -> int:
        """The id that a cursor stands for."""
        try:
            return int(base64.urlsafe_b64decode(cursor))
        except (binascii.Error, ValueError):
            fault = {"code": "InvalidPaginationParameter", "title": "Invalid page", "detail": "page is invalid"}
            raise Abort(Reply({"errors": [fault]}, 400)) from None

    # OAuth and identity

    @routes.on("GET", API + "/oauth/tokens/current")
    def current_token(self, request: Request) -> Reply:
        token = self.access_tokens[request.headers["authorization"].partition(" ")[2]]
        now = self.stamp()
        return Reply({"token": {
            "id": token.id, "url": f"https://{request.host}{API}/oauth/tokens/{token.id}.json", "client_id": 360090,
            "user_id": token.grant.identity["user_id"], "scopes": list(token.grant.scope), "created_at": now,
            "used_at": now, "expires_at": iso(token.expires_at, "seconds"), "token": token.value[:10],
        }})  # fmt: skip

    @routes.on("DELETE", API + "/oauth/tokens/{id}")
    def delete_token(self, request: Request, key: str) -> Reply:
        token = next((t for t in self.access_tokens.values() if str(t.id) == key and t.grant is request.grant), None)
        if token is None or token.dead:  # "current" is no id: reported failing, so it is not found here either
            raise self.missing()
        token.grant.revoked = True
        return Reply(None, 204)

    @routes.on("GET", API + "/users/me", public=True)
    def me(self, request: Request) -> Reply:
        if "authorization" not in request.headers:
            return Reply(
                {"user": {"id": None, "name": "Anonymous user", "email": "invalid@example.com", "role": "end-user"}}
            )
        grant = self.authenticate(request)
        number = grant.identity["user_id"]
        known = self.records["user"].get(str(number)) or self.complete("user", {"id": number, "name": "Agent"})
        return Reply({"user": self.shown({**known, "role": self.settings["role"]})})

    # Users and organizations

    @routes.on("GET", API + "/users/search")
    def search_users(self, request: Request) -> Reply:
        external = request.query.get("external_id")
        if external is not None:
            found = [u for u in self.indexed("user") if str(u["external_id"] or "").lower() == external.lower()]
        else:
            found = [u for u in self.indexed("user") if matches(request.query.get("query", ""), u, USER_TEXT)]
        return self.listing(request, "users", found)

    @routes.on("GET", API + "/users/show_many")
    def show_many(self, request: Request) -> Reply:
        ids, external = set(request.values("ids")), {item.lower() for item in request.values("external_ids")}
        users = self.records["user"].values()
        found = [u for u in users if str(u["id"]) in ids or str(u["external_id"] or "").lower() in external - {""}]
        return self.listing(request, "users", found)

    @routes.on("GET", API + "/users/{id}")
    def get_user(self, request: Request, key: str) -> Reply:
        return Reply({"user": self.shown(self.one("user", key))})

    @routes.on("POST", API + "/users")
    def create_user(self, request: Request) -> Reply:
        return Reply({"user": self.shown(self.new_user(request.object.get("user") or {}))}, 201)

    def new_user(self, wanted: Record) -> Record:
        if not str(wanted.get("name") or "").strip():
            raise Abort(invalid("name", "Name: cannot be blank", "BlankValue"))
        if wanted.get("email") and self.owner("email", wanted["email"]):
            raise Abort(
                invalid("email", f"Email: {wanted['email']} is already being used by another user", "DuplicateValue")
            )
        if wanted.get("external_id") and self.by_external_id(wanted["external_id"]):
            raise Abort(invalid("external_id", "External has already been taken", "DuplicateValue"))
        user = self.complete("user", {k: v for k, v in wanted.items() if k not in NOT_STORED})
        self.save("user", user)
        return user

    def owner(self, kind: str, value: str) -> Record | None:
        """The user who has this e-mail address or phone number, also as a secondary identity."""
        for user in self.records["user"].values():
            if str(user.get("email" if kind == "email" else "phone") or "").lower() == str(value).lower():
                return user
        for identity in self.records["identity"].values():
            if identity["type"] == kind and identity["value"].lower() == str(value).lower():
                return self.records["user"].get(str(identity["user_id"]))
        return None

    def by_external_id(self, value: str) -> Record | None:
        users = self.records["user"].values()
        return next((u for u in users if str(u["external_id"] or "").lower() == str(value).lower()), None)

    @routes.on("PUT", API + "/users/{id}")
    def update_user(self, request: Request, key: str) -> Reply:
        known = self.one("user", key)
        self.spend(("upsert", 1, 1), (f"upsert {key}", 5, 60))
        self.occupy("user", key)
        return Reply({"user": self.shown(self.edit_user(known, request.object.get("user") or {}))})

    def spend(self, *limits: tuple[str, int, float]) -> None:
        """Counts a write against its own limits (name, calls, seconds); aborts where one of them is used up."""
        if not self.settings["rate_limits"]:
            return
        for name, most, window in limits:
            left, wait = self.limiter.hit(name, most, window)
            if left < 0:
                body = {"error": "APIRateLimitExceeded", "description": "Too many requests"}
                raise Abort(Reply(body, 429, {"retry-after": str(int(wait) + 1)}))

    def occupy(self, kind: str, key: str) -> None:
        """Begins a write; aborts while another write of the record is under way."""
        now = self.clock.now()
        if self.written.get((kind, key), 0.0) > now:
            # Reported: zendesk/zendesk_api_client_php issue 314.
            raise Abort(Reply({"error": "DatabaseConflict", "description": "Database collision"}, 409))
        self.written[kind, key] = now + self.settings["write_seconds"]

    def edit_user(self, user: Record, wanted: Record) -> Record:
        changes = {name: value for name, value in wanted.items() if name not in {*NOT_STORED, "email", "phone"}}
        for name, kind in (("email", "email"), ("phone", "phone_number")):
            value: Any = wanted.get(name)
            if value and str(user[name] or "").lower() != str(value).lower():
                self.add_identity(user, kind, str(value))  # an update adds an identity, it replaces nothing
                if not user[name]:
                    changes[name] = value
        if "user_fields" in changes:
            changes["user_fields"] = {**user["user_fields"], **changes["user_fields"]}
        if all(user.get(name) == value for name, value in changes.items()):
            return user
        changed = self.changed("user", user, changes)
        self.save("user", changed)
        return changed

    def add_identity(self, user: Record, kind: str, value: str) -> Record:
        owner = self.owner(kind, value)
        if owner is not None and owner["id"] != user["id"]:
            raise Abort(invalid("email", f"Email: {value} is already being used by another user", "DuplicateValue"))
        identity = self.complete("identity", {
            "user_id": user["id"], "type": kind, "value": value, "verified": False, "primary": not user.get("email"),
        })  # fmt: skip
        self.save("identity", identity)
        return identity

    @routes.on("POST", API + "/users/create_or_update")
    def create_or_update(self, request: Request) -> Reply:
        wanted = request.object.get("user") or {}
        known = self.owner("email", wanted["email"]) if wanted.get("email") else None
        known = known or (self.by_external_id(wanted["external_id"]) if wanted.get("external_id") else None)
        self.spend(("upsert", 1, 1), (f"upsert {known['id'] if known else wanted.get('email')}", 5, 60))
        if known is None:
            return Reply({"user": self.shown(self.new_user(wanted))}, 201)
        return Reply({"user": self.shown(self.edit_user(known, wanted))})

    @routes.on("GET", API + "/users/{id}/identities")
    def identities(self, request: Request, key: str) -> Reply:
        self.one("user", key)
        return self.listing(
            request, "identities", [i for i in self.records["identity"].values() if str(i["user_id"]) == key]
        )

    @routes.on("POST", API + "/users/{id}/identities")
    def create_identity(self, request: Request, key: str) -> Reply:
        wanted = request.object.get("identity") or {}
        return Reply({"identity": self.add_identity(self.one("user", key), wanted["type"], wanted["value"])}, 201)

    @routes.on("PUT", API + "/users/{id}/identities/{identity}/make_primary")
    def make_primary(self, request: Request, key: str, identity: str) -> Reply:
        user, chosen = self.one("user", key), self.one("identity", identity)
        for item in [i for i in self.records["identity"].values() if i["user_id"] == user["id"]]:
            self.save("identity", {**item, "primary": item["id"] == chosen["id"]})
        if chosen["type"] == "email":
            self.save("user", self.changed("user", user, {"email": chosen["value"]}))
        return self.identities(request, key)

    @routes.on("GET", API + "/user_fields")
    def user_fields(self, request: Request) -> Reply:
        return self.listing(request, "user_fields", self.records["user_field"].values())

    @routes.on("GET", API + "/organizations")
    def organizations(self, request: Request) -> Reply:
        return self.listing(request, "organizations", self.records["organization"].values())

    @routes.on("GET", API + "/organizations/search")
    def search_organizations(self, request: Request) -> Reply:
        name, external = request.query.get("name", "").lower(), request.query.get("external_id")
        found = [
            item for item in self.records["organization"].values()
            if (item["external_id"] == external if external else item["name"].lower() == name)
        ]  # fmt: skip
        return self.listing(request, "organizations", found)

    @routes.on("GET", API + "/organizations/{id}")
    def get_organization(self, request: Request, key: str) -> Reply:
        return Reply({"organization": self.one("organization", key)})

    @routes.on("POST", API + "/organizations")
    def create_organization(self, request: Request) -> Reply:
        wanted = request.object.get("organization") or {}
        if any(o["name"].lower() == str(wanted.get("name", "")).lower() for o in self.records["organization"].values()):
            return invalid("name", "Name: has already been taken", "DuplicateValue")
        made = self.complete("organization", wanted)
        self.save("organization", made)
        return Reply({"organization": made}, 201)

    # Tickets

    @routes.on("POST", API + "/tickets")
    def create_ticket(self, request: Request) -> Reply:
        key, digest = request.headers.get("idempotency-key"), hashlib.sha256(request.body).hexdigest()
        stored = self.idempotent.get(key) if key else None
        if stored and stored[0] > self.clock.now() - IDEMPOTENCY_SECONDS:
            if stored[1] != digest:
                text = "Idempotent requests can only be retried with the same parameters"
                return Reply({"error": "IdempotentRequestError", "description": text}, 400)
            return Reply(stored[2], 201, {"x-idempotency-lookup": "hit"})
        wanted = dict(request.object.get("ticket") or {})
        comment = wanted.pop("comment", None) or ({"body": wanted["description"]} if wanted.get("description") else {})
        content = str(comment.get("body") or comment.get("html_body") or "")
        if not content:
            return invalid("base", "Description: cannot be blank", "BlankValue")
        requester = wanted.pop("requester", None)
        if requester:
            known = self.owner("email", requester["email"]) if requester.get("email") else None
            wanted["requester_id"] = (known or self.new_user({"name": requester.get("email"), **requester}))["id"]
        elif wanted.get("requester_id") is not None and str(wanted["requester_id"]) not in self.records["user"]:
            return invalid("requester", "Requester: is invalid", "InvalidValue")
        author = self.author(request)
        wanted["requester_id"] = wanted.get("requester_id") or author
        public = comment.get("public", True)
        ticket = self.complete("ticket", {
            **wanted, "description": content, "submitter_id": author, "is_public": public,
            "subject": wanted.get("subject") or content[:80],
        })  # fmt: skip
        self.save("ticket", ticket)
        self.add_comment(ticket, comment, author, public)
        body = self.answered(ticket, author)
        if key:
            self.idempotent[key] = (self.clock.now(), digest, body)
        return Reply(body, 201, {"x-idempotency-lookup": "miss"} if key else {})

    def answered(self, ticket: Record, author: Any) -> Record:
        """A write's answer: the ticket, and what it changed."""
        comment = max((c for c in self.records["comment"].values() if c["ticket_id"] == ticket["id"]),
                      key=lambda c: int(c["id"]), default=None)  # fmt: skip
        events = [{k: comment[k] for k in ("id", "type", "author_id", "body", "public")}] if comment else []
        made = audit(ticket["id"], self.next_id(), author, self.stamp(), events)
        return {"ticket": self.shown(ticket), "audit": made}

    def author(self, request: Request) -> Any:
        return request.grant.identity["user_id"] if request.grant else self.settings["user_id"]

    def add_comment(self, ticket: Record, comment: Record, author: Any, public: bool) -> None:
        given = {name: comment[name] for name in ("body", "html_body") if comment.get(name)}
        made = self.complete("comment", {
            "ticket_id": ticket["id"], "author_id": comment.get("author_id", author), "public": public, **given,
        })  # fmt: skip
        self.save("comment", made)

    @routes.on("PUT", API + "/tickets/{id}")
    def update_ticket(self, request: Request, key: str) -> Reply:
        ticket = self.one("ticket", key)
        self.spend((f"ticket {key}", 30, 600), ("ticket updates", 100, 60))
        if ticket["status"] == "closed":
            return invalid("status", "Status: closed prevents ticket update", "ClosedTicket")
        self.occupy("ticket", key)
        wanted = dict(request.object.get("ticket") or {})
        stamp = wanted.pop("updated_stamp", None)
        if wanted.pop("safe_update", False) and stamp != ticket["updated_at"]:
            text = "Safe Update prevented the update due to outdated ticket data."
            return Reply({"error": "UpdateConflict", "description": text}, 409)
        comment = wanted.pop("comment", None)
        changed = self.changed("ticket", ticket, {k: v for k, v in wanted.items() if k != "id"})
        self.save("ticket", changed)
        if comment:  # without `public` a comment inherits the ticket's first one
            self.add_comment(changed, comment, self.author(request), comment.get("public", ticket["is_public"]))
        return Reply(self.answered(changed, self.author(request)))

    @routes.on("GET", API + "/tickets")
    def list_tickets(self, request: Request) -> Reply:
        return self.listing(request, "tickets", self.live_tickets())

    @routes.on("GET", API + "/tickets/{id}")
    def get_ticket(self, request: Request, key: str) -> Reply:
        ticket = self.one("ticket", key)
        if ticket["status"] == "deleted":
            raise self.missing()
        return Reply({"ticket": self.shown(ticket)})

    @routes.on("DELETE", API + "/tickets/{id}")
    def delete_ticket(self, request: Request, key: str) -> Reply:
        self.save("ticket", self.changed("ticket", self.one("ticket", key), {"status": "deleted"}))
        return Reply(None, 204)

    def live_tickets(self) -> list[Record]:
        return [ticket for ticket in self.records["ticket"].values() if ticket["status"] != "deleted"]

    @routes.on("GET", API + "/tickets/{id}/comments")
    def comments(self, request: Request, key: str) -> Reply:
        self.one("ticket", key)
        return self.listing(
            request, "comments", [c for c in self.records["comment"].values() if str(c["ticket_id"]) == key]
        )

    @routes.on("GET", API + "/users/{id}/tickets/requested")
    def requested(self, request: Request, key: str) -> Reply:
        self.one("user", key)
        return self.listing(request, "tickets", [t for t in self.live_tickets() if str(t["requester_id"]) == key])

    @routes.on("GET", API + "/incremental/tickets/cursor")
    def incremental_tickets(self, request: Request) -> Reply:
        if self.settings["role"] != "admin":
            return Reply({"error": {"title": "Forbidden", "message": "You do not have access to this page."}}, 403)
        cursor = request.query.get("cursor")
        start, last = int(request.query.get("start_time", 0)), 0
        if cursor:
            start, last = (int(part) for part in base64.urlsafe_b64decode(cursor).decode().split("|"))
        horizon = self.clock.now() - 60  # the last minute is left out
        rows = [(int(epoch(t["updated_at"])), t["id"], t) for t in self.records["ticket"].values()]
        rows = sorted(r for r in rows if (r[0], r[1]) > (start, last) and r[0] <= horizon)
        size = self.page_size(request, "per_page", INCREMENTAL_PAGE, INCREMENTAL_PAGE)
        page = rows[:size]
        end = page[-1][:2] if page else (start, last)
        after = base64.urlsafe_b64encode(f"{end[0]}|{end[1]}".encode()).decode()
        done = len(rows) <= size
        url = f"https://{request.host}{API}/incremental/tickets/cursor.json?{urlencode({'cursor': after})}"
        return Reply({
            "tickets": [self.shown(t) for *_, t in page], "after_cursor": after, "after_url": url,
            "before_cursor": None, "before_url": None, "end_of_stream": done,
        })  # fmt: skip

    @routes.on("GET", API + "/macros")
    def macros(self, request: Request) -> Reply:
        active = request.query.get("active")
        rows = [m for m in self.records["macro"].values() if active is None or str(m["active"]).lower() == active]
        return self.listing(request, "macros", rows)

    @routes.on("GET", API + "/brands")
    def brands(self, request: Request) -> Reply:
        return self.listing(request, "brands", self.records["brand"].values())

    # Search

    def searched(self, query: str) -> list[Record]:
        wanted = re.findall(r"\btype:(\w+)", query)
        rest = re.sub(r"\btype:\w+", "", query)
        rows = []
        for kind, fields in (("ticket", TICKET_TEXT), ("user", USER_TEXT), ("organization", ("name",))):
            if not wanted or kind in wanted:
                found = (item for item in self.indexed(kind) if item.get("status") != "deleted")
                rows += [{**i, "result_type": kind} for i in found if matches(rest, i, fields, self.owner_id)]
        return rows

    def owner_id(self, text: str) -> str:
        """The id of the user that a query names by id or e-mail address."""
        user = self.owner("email", text)
        return str(user["id"]) if user else text

    @routes.on("GET", API + "/search")
    def search(self, request: Request) -> Reply:
        page, size = max(1, request.integer("page", 1)), self.page_size(request, "per_page", 100, 100)
        if page * size > SEARCH_DEPTH:
            text = f"Search Response Limits: only the first {SEARCH_DEPTH:,} results are available"
            return Reply(
                {"error": "Requested response size was greater than Search Response Limits", "description": text}, 422
            )
        return self.listing(request, "results", self.searched(request.query.get("query", "")), facets=None)

    @routes.on("GET", API + "/search/export")
    def search_export(self, request: Request) -> Reply:
        kind = request.query.get("filter[type]")
        if not kind:
            return Reply({"error": "invalid", "description": "filter[type] is required"}, 400)
        rows = self.searched(f"type:{kind} {request.query.get('query', '')}")
        request.query.setdefault("page[size]", "100")
        return self.listing(request, "results", rows, most=1000, facets=None)

    # Help Center

    def help_center(self, request: Request, *, agents_only: bool = False) -> None:
        if not self.settings["help_center"]:
            raise self.missing()
        if agents_only and self.settings["role"] == "end-user":
            raise Abort(
                Reply({"error": {"title": "Forbidden", "message": "You do not have access to this page."}}, 403)
            )

    def article_view(self, request: Request, article: Record, locale: str | None = None) -> Record | None:
        """An article in one locale (None when it has none), with `translations` side-loaded on demand."""
        view = self.shown(article)
        if locale and locale != article["locale"]:
            chosen = next((item for item in article["translations"] if item["locale"] == locale), None)
            if chosen is None:
                return None
            view |= {key: chosen[key] for key in ("title", "body", "draft", "locale", "html_url")}
            view["name"] = view["title"]
        if "translations" in request.values("include"):
            view["translations"] = article["translations"]
        return view

    def views(self, request: Request, rows: Iterable[Record], locale: str | None = None) -> list[Record]:
        return [view for row in rows if (view := self.article_view(request, row, locale))]

    @routes.on("GET", HC + "/incremental/articles")
    def incremental_articles(self, request: Request) -> Reply:
        self.help_center(request, agents_only=True)
        start = request.query.get("start_time", "")
        if not start.isdigit():
            return Reply({"error": "InvalidValue", "description": "start_time is required"}, 400)
        rows = sorted(
            ((int(epoch(a["updated_at"])), a["id"], a) for a in self.records["article"].values()), key=by_time
        )
        rows = [row for row in rows if row[0] >= int(start)]
        size = self.page_size(request, "per_page", INCREMENTAL_PAGE, INCREMENTAL_PAGE)
        page, end = rows[:size], rows[-1][0] if rows else 1  # an empty diff really answers 1
        if len(rows) > size:
            # A page ends between two seconds, else the next one could not start at `end_time`.
            whole = [row for row in page if row[0] < rows[size][0]]
            page = whole or [row for row in rows if row[0] == page[0][0]]
            end = page[-1][0] if page[-1][0] > int(start) else page[-1][0] + 1
        following = f"https://{request.host}{request.path}?{urlencode({**request.query, 'start_time': end})}"
        found = self.views(request, (row for *_, row in page))
        return Reply({
            "articles": found, "count": len(found), "end_time": end,
            "next_page": following if len(rows) > len(page) else None,
        })  # fmt: skip

    def list_articles(self, request: Request, locale: str | None = None, section: str | None = None) -> Reply:
        self.help_center(request)
        rows = [
            a for a in self.records["article"].values()
            if (section is None or str(a["section_id"]) == section)
            and (locale is None or any(item["locale"] == locale for item in a["translations"]))
        ]  # fmt: skip
        reply = self.listing(request, "articles", rows)
        page = (self.records["article"][str(shown["id"])] for shown in reply.body["articles"])
        reply.body["articles"] = self.views(request, page, locale)
        return reply

    @routes.on("GET", HC + "/articles")
    def all_articles(self, request: Request) -> Reply:
        return self.list_articles(request)

    @routes.on("GET", HC + "/articles/search")
    def search_articles(self, request: Request) -> Reply:
        self.help_center(request)
        locale = request.query.get("locale")
        rows = self.views(request, self.indexed("article"), None if locale == "*" else locale)
        found = [
            {**row, "result_type": "article", "snippet": re.sub(r"<[^>]+>", " ", row["body"] or "")[:140]}
            for row in rows if not row["draft"] and matches(request.query.get("query", ""), row, ("title", "body"))
        ]  # fmt: skip
        return self.listing(request, "results", found[:SEARCH_DEPTH])

    @routes.on("GET", HC + "/articles/{id}")
    def get_article(self, request: Request, key: str) -> Reply:
        self.help_center(request)
        return Reply({"article": self.article_view(request, self.one("article", key))})

    @routes.on("GET", HC + "/articles/{id}/translations")
    def translations(self, request: Request, key: str) -> Reply:
        self.help_center(request)
        draft, locales = request.query.get("draft"), request.values("locales")
        rows = [
            item for item in self.one("article", key)["translations"]
            if (draft is None or str(item["draft"]).lower() == draft) and (not locales or item["locale"] in locales)
        ]  # fmt: skip
        return self.listing(request, "translations", rows)

    @routes.on("GET", HC + "/articles/{id}/translations/{locale}")
    def get_translation(self, request: Request, key: str, locale: str) -> Reply:
        found = [item for item in self.one("article", key)["translations"] if item["locale"] == locale]
        if not found:
            raise self.missing()
        return Reply({"translation": found[0]})

    @routes.on("GET", HC + "/sections")
    def sections(self, request: Request) -> Reply:
        self.help_center(request)
        return self.listing(request, "sections", self.records["section"].values())

    @routes.on("GET", HC + "/categories")
    def categories(self, request: Request) -> Reply:
        self.help_center(request)
        return self.listing(request, "categories", self.records["category"].values())

    @routes.on("GET", HC + "/sections/{id}/articles")
    def section_articles(self, request: Request, section: str) -> Reply:
        return self.list_articles(request, section=section)

    @routes.on("GET", HC + "/{locale}/articles")
    def localised_articles(self, request: Request, locale: str) -> Reply:
        return self.list_articles(request, locale)

    @routes.on("GET", HC + "/{locale}/articles/{id}")
    def localised_article(self, request: Request, locale: str, key: str) -> Reply:
        view = self.article_view(request, self.one("article", key), locale)
        if view is None:
            raise self.missing()
        return Reply({"article": view})

    @routes.on("GET", HC + "/{locale}/sections/{id}/articles")
    def localised_section(self, request: Request, locale: str, section: str) -> Reply:
        return self.list_articles(request, locale, section)


USER_TEXT = ("name", "email", "phone", "external_id", "notes", "details")
TICKET_TEXT = ("subject", "description", "tags", "external_id")


def by_time(row: tuple[int, int, Record]) -> tuple[int, int]:
    return row[0], row[1]


def invalid(name: str, description: str, error: str) -> Reply:
    detail = {name: [{"description": description, "error": error}]}
    return Reply({"error": "RecordInvalid", "description": "Record validation errors", "details": detail}, 422)


def matches(query: str, record: Record, fields: Iterable[str], user_id: Callable[[str], str] = str) -> bool:
    """Whether a record fits a search: `name:value`, `name<value` and words, each found in part of a property."""
    for name, sign, quoted, plain, word in re.findall(r'(\w+)([:<>]=?)(?:"([^"]*)"|(\S+))|(\S+)', query):
        value = (quoted or plain).lower()
        if not name:
            if not any(word.strip('"').lower() in str(record.get(field) or "").lower() for field in fields):
                return False
        elif sign == ":" and name in ("requester", "assignee", "submitter"):
            if str(record.get(f"{name}_id")) != user_id(value):
                return False
        elif not compared(name, sign, value, record):
            return False
    return True


def compared(name: str, sign: str, value: str, record: Record) -> bool:
    aliases = {"created": "created_at", "updated": "updated_at", "ticket_type": "type"}
    own = record.get(aliases.get(name, name))
    if name == "tags":
        return value in (own or [])
    if sign == ":":
        return value.strip("*") in str(own or "").lower()
    order = ["new", "open", "pending", "hold", "solved", "closed"]
    pair: tuple[Any, Any] = (str(own or "").lower(), value)
    if name == "status" and set(pair) <= set(order):
        pair = (order.index(pair[0]), order.index(pair[1]))
    less, equal = bool(pair[0] < pair[1]), bool(pair[0] == pair[1])
    return {"<": less, "<=": less or equal, ">": not less and not equal, ">=": not less}[sign]
