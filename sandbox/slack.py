"""Slack, Web API. Quirks: errors are 200 with `ok: false`, a tier for every method, optional token rotation."""

import base64
import math
import random
import re
from collections.abc import Iterable
from typing import Any, ClassVar

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
)
from sandbox.text import articles, people

SCOPES = (
    "chat:write", "chat:write.public", "users:read", "users:read.email", "channels:read", "groups:read", "team:read",
    "channels:history", "groups:history", "channels:join", "im:write", "im:read", "mpim:read", "im:history",
    "mpim:history", "links:read", "reactions:write",
)  # fmt: skip
TIERS = {1: 1, 2: 20, 3: 50, 4: 100}  # calls a minute for each method and workspace
METHODS = {
    "conversations.history": 3, "conversations.replies": 3, "conversations.info": 3, "conversations.join": 3,
    "conversations.open": 3, "users.lookupByEmail": 3, "chat.update": 3, "chat.delete": 3, "team.info": 3,
    "auth.revoke": 3, "conversations.list": 2, "users.list": 2, "apps.uninstall": 1, "users.info": 4,
    "conversations.members": 4, "oauth.v2.access": 4, "auth.test": 4, "chat.getPermalink": 4,
}  # fmt: skip
RESTRICTED = ("conversations.history", "conversations.replies")  # one call a minute for commercial apps
FEW = 15  # messages of one page for those
TEXT, SECTION, BLOCKS, TOTAL = 40_000, 3000, 50, 13_000  # characters; blocks of one message
TYPES = ("public_channel", "private_channel", "mpim", "im")


class Slack(Double):
    """One workspace; `team`, `enterprise` and `org_install` tell which one is connected."""

    name, title = "slack", "Slack"
    hosts = (r"slack\.com",)
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/oauth/v2/authorize", "/api/oauth.v2.access")
    kinds: ClassVar[dict[str, str]] = {"users": "user", "channels": "channel", "messages": "message"}
    defaults: ClassVar[Record] = {
        "access_token_ttl": 43_200, "refresh_token_ttl": 3650 * 86_400, "code_ttl": 600, "rotation": "rotate",
        "rotating": True, "team": "T0SANDBOX", "team_name": "Sandbox Ltd", "enterprise": None, "org_install": False,
        "user_only": False, "withheld": [], "commercial": True, "gone_members": "not_found", "empty_page": False,
        "limit_error": "rate_limited",
    }  # fmt: skip

    def structure(self) -> None:
        self.save("channel", self.complete("channel", {"id": "C0GENERAL", "name": "general", "is_general": True}))

    # OAuth

    def identity(self) -> Record:
        return {name: self.settings[name] for name in ("team", "team_name", "enterprise", "org_install", "user_only")}

    def authorize(self, request: Request) -> Reply:
        if unknown := [scope for scope in self.scopes(request.query.get("scope", "")) if scope not in SCOPES]:
            page = f"<h1>Slack</h1><p>invalid_scope: {unknown[0]}</p>"
            return Reply(page, 400, content_type="text/html; charset=utf-8")
        return super().authorize(request)

    def client(self, request: Request) -> tuple[str, Record]:
        if (encoded := request.headers.get("authorization", "")).startswith("Basic "):  # preferred
            try:
                who, _, secret = base64.b64decode(encoded[6:], validate=True).decode().partition(":")
            except ValueError:
                who = secret = ""
            if not who or secret != self.settings["client_secret"]:
                raise Abort(self.oauth_error("client"))
            return who, request.object
        return super().client(request)

    def exchange(self, request: Request) -> Reply:
        if "code_verifier" in request.object:  # the app has not been made a public client
            raise Abort(self.no("pkce_not_allowed"))
        wanted = request.object
        if "grant_type" not in wanted and "code" in wanted:
            wanted["grant_type"] = "authorization_code"
        return super().exchange(request)

    def redeem(self, client_id: str, wanted: Record, host: str) -> Reply:
        known = self.codes.get(str(wanted.get("code")))
        if known is not None and known.used:
            raise Abort(self.no("code_already_used"))
        return super().redeem(client_id, wanted, host)

    def issue_code(self, query: Record, scope: tuple[str, ...], host: str) -> str:
        return super().issue_code(query, tuple(s for s in scope if s not in self.settings["withheld"]), host)

    def issue_access(self, grant: Grant, expires: float) -> Token:
        return super().issue_access(grant, expires if self.settings["rotating"] else math.inf)

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        who = access.grant.identity
        body: Record = {
            "ok": True, "app_id": "A0SANDBOX", "authed_user": {"id": "U0ADMIN"}, "scope": ",".join(access.grant.scope),
            "token_type": "bot", "access_token": access.value, "bot_user_id": "U0BOT",
            "team": None if who["org_install"] else {"id": who["team"], "name": who["team_name"]},
            "enterprise": {"id": who["enterprise"], "name": "Sandbox Group"} if who["enterprise"] else None,
            "is_enterprise_install": who["org_install"],
        }  # fmt: skip
        if self.settings["rotating"]:
            body |= {"refresh_token": refresh.value, "expires_in": round(access.expires_at - self.clock.now())}
        if who["user_only"]:
            person = {"access_token": body.pop("access_token"), "token_type": "user", "scope": "identity.basic"}
            body["authed_user"] |= person
        return Reply(body)

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        return self.no({
            "body": "invalid_arguments", "grant_type": "invalid_grant_type", "client": "bad_client_secret",
            "client_mismatch": "invalid_client_id", "code": "invalid_code", "redirect": "bad_redirect_uri",
            "pkce": "invalid_code", "refresh": "invalid_refresh_token",
        }[failure])  # fmt: skip

    # Errors and limits

    def no(self, error: str, **more: Any) -> Reply:
        return Reply({"ok": False, "error": error, **more})

    def not_found(self, request: Request) -> Reply:
        return self.no("unknown_method", req_method=request.path.rpartition("/")[2])

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        return self.no({"missing": "not_authed", "invalid": "invalid_auth", "expired": "token_expired"}[failure])

    def authenticate(self, request: Request) -> Grant:
        value = request.headers.get("authorization", "").partition(" ")[2]
        known = self.access_tokens.get(value)
        if known is not None and (known.dead or known.grant.revoked):
            raise Abort(self.no("token_revoked"))
        return super().authenticate(request)

    def throttle(self, request: Request) -> None:
        method = request.path.rpartition("/")[2]
        team = request.grant.identity["team"] if request.grant else "-"
        if request.grant:
            request.response_headers["x-oauth-scopes"] = ",".join(request.grant.scope)
        if not self.settings["rate_limits"] or method not in (*METHODS, "chat.postMessage"):
            return
        key, limit, window = f"{team} {method}", TIERS[METHODS.get(method, 4)], 60.0
        if method in RESTRICTED and self.settings["commercial"]:
            limit = 1
        if method == "chat.postMessage":
            key, limit, window = f"{key} {request.object.get('channel')}", 1, 1.0
        left, wait = self.limiter.hit(key, limit, window)
        if left < 0:
            error = self.settings["limit_error"] if method == "chat.postMessage" else "ratelimited"
            raise Abort(Reply({"ok": False, "error": error}, 429, {"retry-after": str(max(1, math.ceil(wait)))}))

    def need(self, request: Request, scope: str) -> None:
        held = request.grant.scope if request.grant else ()
        if self.settings["enforce_scopes"] and scope not in held:
            raise Abort(self.no("missing_scope", needed=scope, provided=",".join(held)))

    # Records

    def infer_kind(self, record: Record) -> str:
        return "message" if "text" in record else "user"

    def stamp(self) -> str:
        """A message's time: a text with six digits after the point, which no other message of the workspace has."""
        return f"{self.clock.now():.0f}.{self.next_id():06d}"

    def complete(self, kind: str, record: Record) -> Record:
        now = int(self.clock.now())
        if kind == "user":
            key = str(record.get("id") or f"U{self.next_id():08d}")
            profile = {
                "title": "", "phone": "", "real_name": record.get("real_name", ""), "display_name": "",
                "skype": "", "fields": {},
                "real_name_normalized": record.get("real_name", ""), "display_name_normalized": "", "first_name": "",
                "last_name": "", "status_text": "", "status_emoji": "", "avatar_hash": "g0000000000",
                "image_24": "https://a.slack-edge.com/24.png", "image_32": "https://a.slack-edge.com/32.png",
                "image_48": "https://a.slack-edge.com/48.png", "image_72": "https://a.slack-edge.com/72.png",
                "image_192": "https://a.slack-edge.com/192.png", "image_512": "https://a.slack-edge.com/512.png",
                "team": self.settings["team"],
            }  # fmt: skip
            return {
                "team_id": self.settings["team"], "name": key.lower(), "deleted": False, "color": "9f69e7",
                "real_name": "", "tz": "Etc/UTC", "tz_label": "UTC", "tz_offset": 0, "is_admin": False,
                "is_owner": False, "is_primary_owner": False, "is_restricted": False, "is_ultra_restricted": False,
                "is_bot": False, "is_app_user": False, "updated": now, "has_2fa": False,
                **record, "id": key, "profile": {**profile, **record.get("profile", {})},
            }  # fmt: skip
        if kind == "channel":
            key = str(record.get("id") or f"C{self.next_id():08d}")
            name = record.get("name") or key.lower()
            return {
                "name": name, "is_channel": True, "is_group": False, "is_im": False, "created": now,
                "creator": "U0ADMIN", "is_archived": False, "is_general": False, "unlinked": 0,
                "name_normalized": name, "is_shared": False, "is_ext_shared": False, "is_org_shared": False,
                "pending_shared": [], "is_pending_ext_shared": False, "is_member": True, "is_private": False,
                "is_mpim": False, "topic": {"value": "", "creator": "", "last_set": 0},
                "purpose": {"value": "", "creator": "", "last_set": 0}, "previous_names": [], "num_members": 3,
                **record, "id": key,
            }  # fmt: skip
        stamp = str(record.get("ts") or self.stamp())
        base = {"type": "message", "channel": "C0GENERAL", "user": "U0ADMIN", "text": "", "team": self.settings["team"]}
        made = {**base, **record, "ts": stamp}
        return {**made, "id": f"{made['channel']}:{stamp}"}

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        if kind == "message" and changes.get("text", known["text"]) != known["text"]:
            changes = {**changes, "edited": {"user": known["user"], "ts": self.stamp()}}  # `ts` stays
        return {**known, **changes}

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        if kind == "user":
            return [
                {"real_name": f"{p.first} {p.last}", "profile": {"email": p.email, "phone": p.phone}}
                for p in people(count, source)
            ]
        if kind == "message":
            start = int(self.clock.now()) - 60 * count
            return [
                {"ts": f"{start + 60 * n}.000100", "text": f"{a.title}\n{re.sub(r'<[^>]+>', ' ', a.body)[:500]}"}
                for n, a in enumerate(articles(count, source))
            ]
        return super().generate(kind, count, source)

    def channel(self, request: Request, key: object) -> Record:
        found = self.records["channel"].get(str(key or ""))
        if found is None or (found["is_private"] and not found["is_member"]):
            raise Abort(self.no("channel_not_found"))
        return found

    def remember(self, kind: str, key: str, record: Record | None) -> None:
        super().remember(kind, key, record)
        self.sorted: dict[str, list[Record]] = {}  # of a channel; a walk over ten thousand messages sorts them once

    def of(self, channel: str) -> list[Record]:
        """A channel's messages, the newest first."""
        if channel not in self.sorted:
            rows = [m for m in self.records["message"].values() if m["channel"] == channel]
            self.sorted[channel] = sorted(rows, key=lambda m: str(m["ts"]), reverse=True)
        return self.sorted[channel]

    @staticmethod
    def shown(message: Record) -> Record:
        return {name: value for name, value in message.items() if name not in ("id", "channel")}

    def parent(self, message: Record, replies: dict[str, list[Record]]) -> Record:
        """A message as lists show it: a thread's parent counts its replies."""
        under = replies.get(message["ts"])
        if not under:
            return self.shown(message)
        return self.shown(message) | {
            "thread_ts": message["ts"], "reply_count": len(under), "reply_users_count": 1,
            "latest_reply": max(m["ts"] for m in under), "reply_users": ["U0ADMIN"], "subscribed": False,
        }  # fmt: skip

    def listed(self, request: Request, name: str, rows: list[Record], default: int, most: int) -> Reply:
        """A page of a list whose order does not change; the cursor names the last id."""
        start = 0
        if cursor := request.query.get("cursor"):
            at = self.cursor(cursor, "id:")
            start = next((n + 1 for n, r in enumerate(rows) if r["id"] == at), len(rows))
        elif self.settings["empty_page"] and rows:  # documented: a page may be empty and still have a cursor
            return Reply({"ok": True, name: [], "response_metadata": {"next_cursor": self.token("id:-")}})
        if cursor and self.cursor(cursor, "id:") == "-":
            start = 0
        size = self.page_size(request, "limit", default, most)
        page = rows[start : start + size]
        more = self.token(f"id:{page[-1]['id']}") if start + size < len(rows) else ""
        return Reply({"ok": True, name: page, "response_metadata": {"next_cursor": more}})

    @staticmethod
    def token(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    def cursor(self, value: str, prefix: str) -> str:
        try:
            text = base64.b64decode(value, validate=True).decode()
        except ValueError:
            text = ""
        if not text.startswith(prefix):
            raise Abort(self.no("invalid_cursor"))
        return text.removeprefix(prefix)

    # Auth

    @routes.on("GET", "/api/auth.test")
    def auth_test(self, request: Request) -> Reply:
        assert request.grant
        who = request.grant.identity
        body: Record = {
            "ok": True, "url": "https://sandbox.slack.com/", "team": who["team_name"], "user": "supportly",
            "team_id": who["enterprise"] if who["org_install"] else who["team"], "user_id": "U0BOT",
            "bot_id": "B0BOT", "is_enterprise_install": who["org_install"],
        }  # fmt: skip
        return Reply(body | ({"enterprise_id": who["enterprise"]} if who["enterprise"] else {}))

    @routes.on("GET", "/api/auth.revoke")
    @routes.on("POST", "/api/auth.revoke")
    def auth_revoke(self, request: Request) -> Reply:
        assert request.grant
        request.grant.revoked = True
        return Reply({"ok": True, "revoked": True})

    # Members

    @routes.on("GET", "/api/users.lookupByEmail")
    def lookup(self, request: Request) -> Reply:
        self.need(request, "users:read.email")
        wanted = request.query.get("email", "").casefold()
        found = next(
            (u for u in self.records["user"].values() if u["profile"].get("email", "").casefold() == wanted), None
        )
        if not wanted or found is None or (found["deleted"] and self.settings["gone_members"] == "not_found"):
            raise Abort(self.no("users_not_found"))
        return Reply({"ok": True, "user": found})

    def seen(self, request: Request, user: Record) -> Record:
        held = request.grant.scope if request.grant else ()
        if "users:read.email" in held or not self.settings["enforce_scopes"]:
            return user
        return {**user, "profile": {k: v for k, v in user["profile"].items() if k != "email"}}

    @routes.on("GET", "/api/users.info")
    def user_info(self, request: Request) -> Reply:
        self.need(request, "users:read")
        found = self.records["user"].get(request.query.get("user", ""))
        if found is None:
            raise Abort(self.no("user_not_found"))
        return Reply({"ok": True, "user": self.seen(request, found)})

    def of_team(self, request: Request) -> None:
        """A token of a whole organization has to say which workspace it means."""
        assert request.grant
        if request.grant.identity["org_install"] and request.query.get("team_id") != request.grant.identity["team"]:
            raise Abort(self.no("missing_argument"))

    @routes.on("GET", "/api/users.list")
    def users_list(self, request: Request) -> Reply:
        self.need(request, "users:read")
        self.of_team(request)
        rows = [self.seen(request, u) for u in self.records["user"].values()]
        reply = self.listed(request, "members", rows, 100, 1000)
        return Reply({**reply.body, "cache_ts": int(self.clock.now())})

    # Channels

    @routes.on("GET", "/api/conversations.list")
    def conversations(self, request: Request) -> Reply:
        self.of_team(request)
        types = request.query.get("types", "public_channel").split(",")
        if any(t not in TYPES for t in types):
            raise Abort(self.no("invalid_types"))
        held = request.grant.scope if request.grant else ()
        free = not self.settings["enforce_scopes"]
        if "public_channel" in types and not free and "channels:read" not in held:
            self.need(request, "channels:read")
        rows = []
        for row in self.records["channel"].values():
            kind = "private_channel" if row["is_private"] else "public_channel"
            # Without the scope private channels are silently absent.
            seen = kind == "public_channel" or (row["is_member"] and (free or "groups:read" in held))
            archived = row["is_archived"] and request.query.get("exclude_archived") == "true"
            if kind in types and seen and not archived and not row["is_im"]:
                rows.append(row)
        return self.listed(request, "channels", rows, 100, 1000)

    @routes.on("GET", "/api/conversations.info")
    def conversation(self, request: Request) -> Reply:
        found = self.channel(request, request.query.get("channel"))
        self.need(request, "groups:read" if found["is_private"] else "channels:read")
        return Reply({"ok": True, "channel": found})

    @routes.on("POST", "/api/conversations.join")
    def join(self, request: Request) -> Reply:
        self.need(request, "channels:join")
        found = self.channel(request, request.object.get("channel"))
        if found["is_private"]:
            raise Abort(self.no("method_not_supported_for_channel_type"))
        if found["is_archived"]:
            raise Abort(self.no("is_archived"))
        joined = {**found, "is_member": True}
        self.save("channel", joined)
        if found["is_member"]:
            told = {"warnings": ["already_in_channel"]}
            return Reply({"ok": True, "channel": joined, "warning": "already_in_channel", "response_metadata": told})
        return Reply({"ok": True, "channel": joined})

    @routes.on("POST", "/api/conversations.open")
    def open_conversation(self, request: Request) -> Reply:
        self.need(request, "im:write")
        names = [u for u in str(request.object.get("users") or "").split(",") if u]
        if not names or "user_ids" in request.object:
            raise Abort(self.no("users_list_not_supplied"))
        if any(u not in self.records["user"] for u in names):
            raise Abort(self.no("user_not_found"))
        key = "D" + "".join(sorted(names))[-9:]
        known = self.records["channel"].get(key)
        if known is None:
            made = self.complete("channel", {"id": key, "name": key, "is_im": True, "is_channel": False})
            self.save("channel", made)
        made = self.records["channel"][key]
        own = {name: made[name] for name in ("id", "created", "is_im", "is_org_shared")}
        return Reply({"ok": True, "channel": {**own, "user": names[0], "priority": 0}})

    # Messages

    def window(self, request: Request, rows: list[Record]) -> list[Record]:
        oldest, latest = request.query.get("oldest"), request.query.get("latest")
        inclusive = request.query.get("inclusive") in ("true", "1")
        for name, edge in (("oldest", oldest), ("latest", latest)):
            if edge and not re.fullmatch(r"\d{1,10}(\.\d{1,6})?", edge):
                raise Abort(self.no(f"invalid_ts_{name}"))
        if oldest:
            low = self.wide(oldest)
            rows = [m for m in rows if m["ts"] > low or (inclusive and m["ts"] == low)]
        if latest:
            high = self.wide(latest)
            rows = [m for m in rows if m["ts"] < high or (inclusive and m["ts"] == high)]
        return rows

    @staticmethod
    def wide(stamp: str) -> str:
        """A time with all its digits, so that texts compare as numbers do."""
        whole, _, part = stamp.partition(".")
        return f"{whole:0>10}.{part:0<6}"

    def size(self, request: Request) -> int:
        most = FEW if self.settings["commercial"] else 999
        return self.page_size(request, "limit", min(100, most), most)

    def readable(self, request: Request) -> Record:
        found = self.channel(request, request.query.get("channel"))
        self.need(request, "groups:history" if found["is_private"] else "channels:history")
        if not found["is_member"]:
            raise Abort(self.no("not_in_channel"))
        return found

    @routes.on("GET", "/api/conversations.history")
    def history(self, request: Request) -> Reply:
        channel = self.readable(request)
        rows = self.of(channel["id"])
        replies = self.threads(rows)
        top = [m for m in rows if m.get("thread_ts", m["ts"]) == m["ts"] or m.get("subtype") == "thread_broadcast"]
        top = self.window(request, top)
        if cursor := request.query.get("cursor"):
            at = self.cursor(cursor, "next_ts:")
            top = [m for m in top if m["ts"].replace(".", "") <= at]
        size = self.size(request)
        page, more = top[:size], len(top) > size
        body: Record = {"ok": True, "messages": [self.parent(m, replies) for m in page], "has_more": more}
        body |= {"pin_count": 0, "channel_actions_ts": None, "channel_actions_count": 0}
        if more:
            following = top[size]["ts"].replace(".", "")
            body["response_metadata"] = {"next_cursor": self.token(f"next_ts:{following}")}
        return Reply(body)

    @staticmethod
    def threads(rows: Iterable[Record]) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for row in rows:
            if row.get("thread_ts", row["ts"]) != row["ts"]:
                found.setdefault(row["thread_ts"], []).append(row)
        return found

    @routes.on("GET", "/api/conversations.replies")
    def replies(self, request: Request) -> Reply:
        channel = self.readable(request)
        rows, stamp = self.of(channel["id"]), request.query.get("ts", "")
        under = self.threads(rows)
        head = next((m for m in rows if m["ts"] == stamp), None)
        if head is None:
            raise Abort(self.no("thread_not_found"))
        thread = [
            self.parent(head, under),
            *(self.shown(m) | {"parent_user_id": head["user"]} for m in reversed(under.get(stamp, []))),
        ]
        start = int(self.cursor(request.query["cursor"], "at:")) if request.query.get("cursor") else 0
        size = self.size(request)
        page, more = thread[start : start + size], start + size < len(thread)
        body: Record = {"ok": True, "messages": page, "has_more": more}
        if more:
            body["response_metadata"] = {"next_cursor": self.token(f"at:{start + size}")}
        return Reply(body)

    def message_body(self, request: Request) -> Record:
        self.need(request, "chat:write")
        kind = request.headers.get("content-type", "")
        if request.data is None:
            raise Abort(self.no("invalid_json"))
        body = request.object
        if not kind.startswith("application/json") and not request.is_form:
            raise Abort(self.no("invalid_post_type"))
        blocks = body.get("blocks") or []
        if not body.get("text") and not blocks:
            raise Abort(self.no("no_text"))
        if not isinstance(blocks, list) or len(blocks) > BLOCKS:
            raise Abort(self.no("invalid_blocks"))
        for block in blocks:
            text = (block.get("text") or {}).get("text", "") if isinstance(block, dict) else None
            if text is None or block.get("type") not in ("section", "header", "context", "divider", "actions"):
                raise Abort(self.no("invalid_blocks"))
            if len(text) > SECTION:
                raise Abort(self.no("invalid_blocks"))
        if sum(len((b.get("text") or {}).get("text", "")) for b in blocks) > TOTAL:
            raise Abort(self.no("msg_blocks_too_long"))
        return body

    @routes.on("POST", "/api/chat.postMessage")
    def post(self, request: Request) -> Reply:
        body = self.message_body(request)
        channel = self.records["channel"].get(str(body.get("channel") or ""))
        if channel is None or (channel["is_private"] and not channel["is_member"]):
            raise Abort(self.no("channel_not_found"))
        held = request.grant.scope if request.grant else ()
        if channel["is_archived"]:
            raise Abort(self.no("is_archived"))
        if not channel["is_member"] and "chat:write.public" not in held:
            raise Abort(self.no("not_in_channel"))
        if (thread := body.get("thread_ts")) and f"{channel['id']}:{thread}" not in self.records["message"]:
            raise Abort(self.no("thread_not_found"))
        own = {name: body[name] for name in ("thread_ts", "metadata") if body.get(name)}
        made = self.complete("message", {
            "channel": channel["id"], "user": "U0BOT", "bot_id": "B0BOT", "app_id": "A0SANDBOX",
            "text": str(body.get("text") or "")[:TEXT], "blocks": body.get("blocks") or [], **own,
        })  # fmt: skip
        self.save("message", made)
        warn = {} if "charset" in request.headers.get("content-type", "") else {"warning": "missing_charset"}
        return Reply({"ok": True, "channel": channel["id"], "ts": made["ts"], "message": self.shown(made), **warn})

    def own(self, body: Record) -> Record:
        found = self.records["message"].get(f"{body.get('channel')}:{body.get('ts')}")
        if str(body.get("channel")) not in self.records["channel"]:
            raise Abort(self.no("channel_not_found"))
        if found is None:
            raise Abort(self.no("message_not_found"))
        return found

    @routes.on("POST", "/api/chat.update")
    def update(self, request: Request) -> Reply:
        body = self.message_body(request)
        found = self.own(body)
        if found.get("bot_id") != "B0BOT":
            raise Abort(self.no("cant_update_message"))
        changed = self.changed("message", found, {"text": body.get("text") or "", "blocks": body.get("blocks") or []})
        self.save("message", changed)
        told = {name: changed[name] for name in ("type", "user", "text", "team", "bot_id", "app_id") if name in changed}
        return Reply(
            {"ok": True, "channel": found["channel"], "ts": found["ts"], "text": changed["text"], "message": told}
        )

    @routes.on("POST", "/api/chat.delete")
    def delete(self, request: Request) -> Reply:
        self.need(request, "chat:write")
        found = self.own(request.object)
        if found.get("bot_id") != "B0BOT":
            raise Abort(self.no("cant_delete_message"))
        self.remove("message", found["id"])
        return Reply({"ok": True, "channel": found["channel"], "ts": found["ts"]})

    @routes.on("GET", "/api/chat.getPermalink")
    def permalink(self, request: Request) -> Reply:
        channel, stamp = request.query.get("channel", ""), request.query.get("message_ts", "")
        if f"{channel}:{stamp}" not in self.records["message"]:
            raise Abort(self.no("message_not_found"))
        link = f"https://sandbox.slack.com/archives/{channel}/p{stamp.replace('.', '')}"
        return Reply({"ok": True, "channel": channel, "permalink": link})
