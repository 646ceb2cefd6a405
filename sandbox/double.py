"""What every double stands on: requests and replies, routing, an OAuth server, records, rate limits.

A double is a class of facts (hosts, `oauth`, `defaults`) with handlers registered in its own
`Routes` table. State lives in memory, handlers are synchronous, so each request is atomic.
"""

import base64
import hashlib
import html
import random
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, unquote, unquote_plus, urlencode

import orjson

Record = dict[str, Any]
Handler = Callable[..., "Reply"]
OAuthFailure = Literal["body", "client", "client_mismatch", "code", "redirect", "pkce", "refresh", "grant_type"]
TokenFailure = Literal["missing", "invalid", "expired"]
KEPT_VERSIONS = 8  # per record, for a search index that lags


class Clock:
    """The sandbox's time in epoch seconds; `offset` moves it, so that tests never sleep."""

    def __init__(self, source: Callable[[], float]) -> None:
        self.source = source
        self.offset = 0.0

    def now(self) -> float:
        return self.source() + self.offset


def iso(moment: float, timespec: str = "milliseconds") -> str:
    """An epoch as ISO 8601 in UTC with `Z`."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


@lru_cache(100_000)  # lists compare the same stamps on every page
def epoch(text: str) -> float:
    """Epoch seconds of an ISO 8601 date or time (UTC when it names no zone), or of milliseconds."""
    if re.fullmatch(r"\d{9,}", text):
        return int(text) / 1000
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class Request:
    """One request as its double sees it: the path has no sandbox prefix, header names are lower case."""

    def __init__(self, method: str, host: str, raw_path: str, query: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.host, self.raw_path, self.query_string = method, host, raw_path, query
        self.headers, self.body = headers, body
        self.path = unquote(raw_path)
        self.grant: Grant | None = None
        self.response_headers: dict[str, str] = {}

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query_string, keep_blank_values=True)

    @cached_property
    def query(self) -> dict[str, str]:
        """The query with the last value of each name."""
        return dict(self.pairs)

    def values(self, name: str) -> list[str]:
        """Every value of a repeated (`a=1&a=2`, `a[]=1`) or comma separated parameter."""
        return [part for key, value in self.pairs if key in (name, f"{name}[]") for part in value.split(",") if part]

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")

    @cached_property
    def data(self) -> Any:
        """The parsed body: JSON or form; an empty body is an empty object, an unreadable one None."""
        if not self.body:
            return {}
        if self.is_form:
            return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @cached_property
    def text(self) -> str:
        """Everything that was asked, decoded: path, query and body."""
        body = self.body.decode("utf-8", "replace")
        return "\n".join((self.path, unquote_plus(self.query_string), unquote_plus(body) if self.is_form else body))

    @property
    def object(self) -> Record:
        return self.data if isinstance(self.data, dict) else {}

    def integer(self, name: str, default: int, most: int | None = None) -> int:
        value = self.query.get(name, "")
        number = int(value) if re.fullmatch(r"\d+", value) else default
        return number if most is None else min(number, most)


@dataclass(slots=True)
class Reply:
    """An answer; `body` is JSON unless it is bytes or text; None sends nothing."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json;charset=utf-8"

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)


class Abort(Exception):
    """Ends a handler with a reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of a routing table."""

    method: str
    path: str
    handler: Handler
    public: bool

    def pattern(self) -> re.Pattern[str]:
        parts = re.split(r"\{\w+\}", self.path)
        return re.compile("([^/]+)".join(re.escape(part) for part in parts))


class Routes(list[Route]):
    """The routing table of one double, filled by decorators; the first match wins."""

    def on(self, method: str, path: str, *, public: bool = False) -> Callable[[Handler], Handler]:
        """Registers a handler; `{name}` in the path is one segment, passed by position. Public ones need no token."""

        def register(handler: Handler) -> Handler:
            self.append(Route(method, path, handler, public))
            return handler

        return register


@dataclass(frozen=True, slots=True)
class OAuth:
    """Facts of a provider's OAuth server."""

    authorize: str
    token: str
    authorize_host: str | None = None  # a host that serves the authorize page alone
    bodies: frozenset[str] = frozenset({"json", "form"})
    client_auth: Literal["body", "basic"] = "body"
    unassignable_scopes: frozenset[str] = frozenset()
    tenant_hosts: bool = False  # a code or token works only on the host that it was given out on


@dataclass(slots=True)
class Grant:
    """One user's consent; its tokens live and die with it."""

    id: int
    client_id: str
    scope: tuple[str, ...]
    host: str
    identity: Record
    revoked: bool = False
    access: "list[Token]" = field(default_factory=list)


@dataclass(slots=True)
class Token:
    """An access or a refresh token; `superseded_at` is when rotation replaced it."""

    id: int
    value: str
    grant: Grant
    expires_at: float
    dead: bool = False
    superseded_at: float | None = None


@dataclass(slots=True)
class Code:
    """An authorization code and what its exchange must repeat."""

    grant: Grant
    redirect_uri: str
    challenge: str | None
    expires_at: float
    used: bool = False


class Limiter:
    """Sliding windows: at most `limit` hits in `window` seconds for each key."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.hits: dict[str, deque[float]] = {}

    def hit(self, key: str, limit: int, window: float) -> tuple[int, float]:
        """Counts one call; answers what remains (-1 when it is refused) and the seconds until the window moves."""
        now = self.clock.now()
        hits = self.hits.setdefault(key, deque())
        while hits and hits[0] <= now - window:
            hits.popleft()
        wait = hits[0] + window - now if hits else window
        if len(hits) >= limit:
            return -1, wait
        hits.append(now)
        return limit - len(hits), wait


CONSENT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: sandbox consent</title><style>
body{{font:16px system-ui;max-width:34rem;margin:10vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5em 1.2em;margin-right:1em}} code{{background:#eee;padding:.1em .3em}}
</style></head><body><h1>{title} <small>(sandbox)</small></h1>
<p>The application <code>{client}</code> asks for access to <b>{host}</b>:</p><ul>{scopes}</ul>
<form method="post"><button name="decision" value="approve">Approve</button>
<button name="decision" value="deny">Deny</button></form></body></html>"""


class Double:
    """A stand-in for one provider. Subclasses give facts, routes, `complete`, and the hooks for their own errors."""

    name: ClassVar[str]
    title: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]] = ()  # regular expressions, matched in full
    mount: ClassVar[str | None] = None  # a path prefix that is served whatever the host is
    routes: ClassVar[Routes]
    oauth: ClassVar[OAuth | None] = None
    kinds: ClassVar[dict[str, str]] = {}  # plural to singular; a record belongs to a singular kind
    defaults: ClassVar[Record] = {}

    base_defaults: ClassVar[Record] = {
        "access_token_ttl": 1800,
        "refresh_token_ttl": 30 * 86_400,
        "code_ttl": 600,
        "rotation": "none",
        "grace_seconds": None,  # None: the old refresh token works until it expires
        "refresh_kills_access": False,
        "page_size_max": None,  # None: the provider's own
        "search_lag_seconds": 0,
        "rate_limits": True,
        "enforce_scopes": True,
    }
    rotations: ClassVar[tuple[str, ...]] = ("none", "rotate", "rotate_with_reuse_detection", "rotate_with_grace")

    def __init__(self, clock: Clock, *, rate_limits: bool = True) -> None:
        self.clock = clock
        self.initial = {
            **self.base_defaults, "client_secret": f"sandbox-{self.name}-secret", **self.defaults,
            "rate_limits": rate_limits,
        }  # fmt: skip
        self.table: dict[tuple[str, int], list[tuple[re.Pattern[str], Route]]] = {}
        for entry in self.all_routes():
            self.table.setdefault((entry.method, entry.path.count("/")), []).append((entry.pattern(), entry))
        self.reset()

    def all_routes(self) -> Iterable[Route]:
        yield from self.routes
        if self.oauth:
            page = type(self).authorize
            yield Route("GET", self.oauth.authorize, page, public=True)
            yield Route("POST", self.oauth.authorize, page, public=True)
            yield Route("POST", self.oauth.token, type(self).exchange, public=True)

    def reset(self) -> None:
        """Forgets everything; what is structural at the provider is there again."""
        self.settings: Record = dict(self.initial)
        self.records: dict[str, dict[str, Record]] = {kind: {} for kind in self.kinds.values()}
        self.versions: dict[str, dict[str, list[tuple[float, Record | None]]]] = {k: {} for k in self.kinds.values()}
        self.grants: list[Grant] = []
        self.codes: dict[str, Code] = {}
        self.access_tokens: dict[str, Token] = {}
        self.refresh_tokens: dict[str, Token] = {}
        self.limiter = Limiter(self.clock)
        self.last_id = 1000
        self.structure()

    # Requests

    def handle(self, request: Request) -> Reply:
        """The answer to a request: route, credentials, limits, handler."""
        request.raw_path = self.normalised(request.raw_path)
        for pattern, entry in self.table.get((request.method, request.raw_path.count("/")), ()):
            if (match := pattern.fullmatch(request.raw_path)) and self.served_here(entry, request):
                break
        else:
            return self.not_found(request)
        try:
            if not entry.public:
                request.grant = self.authenticate(request)
            self.throttle(request)
            reply = entry.handler(self, request, *(unquote(part) for part in match.groups()))
        except Abort as stop:
            reply = stop.reply
        except (KeyError, TypeError, ValueError, AttributeError) as wrong:  # nothing a provider would accept either
            reply = Reply({"error": f"the sandbox cannot read this request: {type(wrong).__name__}: {wrong}"}, 400)
        # Clients that keep a provider's own time as a checkpoint read it here.
        date = {"date": formatdate(self.clock.now(), usegmt=True)}
        reply.headers = {**date, **request.response_headers, **reply.headers}
        return reply

    def served_here(self, entry: Route, request: Request) -> bool:
        if self.oauth is None or self.oauth.authorize_host is None:
            return True
        return (entry.path == self.oauth.authorize) == (request.host == self.oauth.authorize_host)

    def authenticate(self, request: Request) -> Grant:
        """The grant behind the bearer token, else the provider's own 401."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = self.access_tokens.get(value) if scheme.lower() == "bearer" else None
        if token is None:
            raise Abort(self.unauthenticated("invalid" if value else "missing"))
        if token.dead or token.grant.revoked:
            raise Abort(self.unauthenticated("invalid"))
        if token.expires_at <= self.clock.now():
            raise Abort(self.unauthenticated("expired"))
        return token.grant

    def page_size(self, request: Request, name: str, default: int, most: int) -> int:
        """The page size asked for, at most the provider's maximum or the setting `page_size_max`."""
        most = min(most, self.settings["page_size_max"] or most)
        return max(1, request.integer(name, min(default, most), most))

    # Hooks

    def normalised(self, path: str) -> str:
        return path

    def structure(self) -> None:
        """Puts the records there that an empty account of the provider has."""

    def throttle(self, request: Request) -> None:
        """Counts the call, sets rate headers in `request.response_headers`, raises the provider's 429."""

    def not_found(self, request: Request) -> Reply:
        return Reply({"error": "not found", "path": request.path}, 404)

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        return Reply({"error": f"{failure}_token"}, 401)

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        if failure == "client":
            return Reply({"error": "invalid_client"}, 401)
        error = {"body": "invalid_request", "grant_type": "unsupported_grant_type"}.get(failure, "invalid_grant")
        return Reply({"error": error, "error_description": failure}, 400)

    def identity(self) -> Record:
        """Who consents: kept with the grant, so that later settings change new connections only."""
        return {}

    def access_ttl(self, wanted: Record) -> float:
        return float(self.settings["access_token_ttl"])

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        return Reply({
            "access_token": access.value, "refresh_token": refresh.value, "token_type": "bearer",
            "expires_in": round(access.expires_at - self.clock.now()), "scope": " ".join(access.grant.scope),
        })  # fmt: skip

    def scopes(self, text: str) -> tuple[str, ...]:
        return tuple(re.split(r"[\s,]+", text.strip())) if text.strip() else ()

    # OAuth server

    def authorize(self, request: Request) -> Reply:
        """The consent page; for clients that ask for no HTML it decides at once (`decision=deny` declines)."""
        assert self.oauth
        query = request.query
        scope = self.scopes(f"{query.get('scope', '')} {query.get('optional_scope', '')}")
        target = query.get("redirect_uri", "")
        wrong = (
            "client_id is missing" if not query.get("client_id")
            else "redirect_uri is missing or not absolute" if not re.match(r"https?://", target)
            else "response_type must be code" if query.get("response_type", "code") != "code"
            else "only S256 is supported" if query.get("code_challenge_method", "S256") != "S256"
            else "a scope cannot be assigned to this app" if self.oauth.unassignable_scopes & set(scope)
            else None
        )  # fmt: skip
        if wrong:  # these stay on the provider's page: no callback ever comes
            return Reply(f"<h1>{self.title}</h1><p>{wrong}</p>", 400, content_type="text/html; charset=utf-8")
        decision = request.object.get("decision") if request.method == "POST" else query.get("decision")
        if decision is None and "text/html" in request.headers.get("accept", ""):
            items = "".join(f"<li><code>{html.escape(item)}</code></li>" for item in scope)
            page = CONSENT.format(
                title=self.title, client=html.escape(query["client_id"]), host=html.escape(request.host), scopes=items
            )
            return Reply(page, content_type="text/html; charset=utf-8")
        back = {"state": query["state"]} if "state" in query else {}
        if decision == "deny":
            back |= {"error": "access_denied", "error_description": "The user denied the request"}
        else:
            back["code"] = self.issue_code(query, scope, request.host)
        separator = "&" if "?" in target else "?"
        return Reply(None, 302, {"location": f"{target}{separator}{urlencode(back)}"})

    def issue_code(self, query: Record, scope: tuple[str, ...], host: str) -> str:
        grant = Grant(self.next_id(), query["client_id"], scope, host, self.identity())
        value = secrets.token_urlsafe(24)
        expires = self.clock.now() + self.settings["code_ttl"]
        self.codes[value] = Code(grant, query["redirect_uri"], query.get("code_challenge"), expires)
        return value

    def exchange(self, request: Request) -> Reply:
        """The token endpoint: a code or a refresh token for a pair of tokens."""
        client_id, wanted = self.client(request)
        if wanted.get("grant_type") == "authorization_code":
            return self.redeem(client_id, wanted, request.host)
        if wanted.get("grant_type") == "refresh_token":
            return self.refresh(client_id, wanted, request.host)
        raise Abort(self.oauth_error("grant_type"))

    def client(self, request: Request) -> tuple[str, Record]:
        """The authenticated client's id and the parameters; aborts as the provider does."""
        assert self.oauth
        kind = "form" if request.is_form else "json"
        if kind not in self.oauth.bodies or not isinstance(request.data, dict):
            raise Abort(self.oauth_error("body"))
        client_id, secret = request.object.get("client_id"), request.object.get("client_secret")
        if self.oauth.client_auth == "basic":
            encoded = request.headers.get("authorization", "").removeprefix("Basic ")
            try:
                client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except ValueError:
                client_id = secret = None
        if not client_id or secret != self.settings["client_secret"]:
            raise Abort(self.oauth_error("client"))
        return str(client_id), request.object

    def redeem(self, client_id: str, wanted: Record, host: str) -> Reply:
        code, expires = self.codes.get(str(wanted.get("code"))), self.clock.now() + self.access_ttl(wanted)
        if code is None or code.used or code.expires_at <= self.clock.now() or not self.usable(code.grant, host):
            raise Abort(self.oauth_error("code"))
        if code.grant.client_id != client_id:
            raise Abort(self.oauth_error("client_mismatch"))
        if code.redirect_uri != wanted.get("redirect_uri"):
            raise Abort(self.oauth_error("redirect"))
        if code.challenge:
            digest = hashlib.sha256(str(wanted.get("code_verifier", "")).encode()).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
                raise Abort(self.oauth_error("pkce"))
        code.used = True
        self.grants.append(code.grant)
        return self.token_reply(wanted, self.issue_access(code.grant, expires), self.issue_refresh(code.grant))

    def refresh(self, client_id: str, wanted: Record, host: str) -> Reply:
        old, now, policy = self.refresh_tokens.get(str(wanted.get("refresh_token"))), self.clock.now(), self.settings
        expires = now + self.access_ttl(wanted)
        if old is None or old.dead or old.expires_at <= now or not self.usable(old.grant, host):
            raise Abort(self.oauth_error("refresh"))
        if old.grant.client_id != client_id:
            raise Abort(self.oauth_error("client_mismatch"))
        if old.superseded_at is not None and policy["rotation"] != "none":
            grace = policy["grace_seconds"]
            kept = policy["rotation"] == "rotate_with_grace" and (grace is None or now - old.superseded_at <= grace)
            if not kept:
                old.grant.revoked = policy["rotation"] == "rotate_with_reuse_detection"
                raise Abort(self.oauth_error("refresh"))
        if policy["refresh_kills_access"]:
            for token in old.grant.access:
                token.dead = True
        fresh = old
        if policy["rotation"] != "none":
            old.superseded_at = old.superseded_at or now
            fresh = self.issue_refresh(old.grant)
        return self.token_reply(wanted, self.issue_access(old.grant, expires), fresh)

    def usable(self, grant: Grant, host: str) -> bool:
        assert self.oauth
        return not grant.revoked and (not self.oauth.tenant_hosts or grant.host == host)

    def issue_access(self, grant: Grant, expires: float) -> Token:
        token = Token(self.next_id(), f"{self.name}-at-{secrets.token_urlsafe(32)}", grant, expires)
        self.access_tokens[token.value] = token
        grant.access.append(token)
        return token

    def issue_refresh(self, grant: Grant) -> Token:
        expires = self.clock.now() + self.settings["refresh_token_ttl"]
        token = Token(self.next_id(), f"{self.name}-rt-{secrets.token_urlsafe(32)}", grant, expires)
        self.refresh_tokens[token.value] = token
        return token

    # Control plane

    def configure(self, changes: Record) -> Record:
        """Changes settings; a name or a rotation that does not exist is a ValueError."""
        if unknown := sorted(set(changes) - set(self.settings)):
            raise ValueError(f"unknown settings {unknown}; there are {sorted(self.settings)}")
        if changes.get("rotation", "none") not in self.rotations:
            raise ValueError(f"rotation is one of {self.rotations}")
        self.settings |= changes
        return self.settings

    def expire(self) -> int:
        """Every access token is expired from now on; refresh tokens live."""
        live = [token for token in self.access_tokens.values() if token.expires_at > self.clock.now()]
        for token in live:
            token.expires_at = self.clock.now()
        return len(live)

    def revoke(self) -> int:
        """Every grant is revoked, as if the user had removed the app."""
        live = [grant for grant in self.grants if not grant.revoked]
        for grant in live:
            grant.revoked = True
        return len(live)

    def usable_tokens(self, grant: Grant) -> tuple[list[str], list[str]]:
        """The access and refresh tokens of a grant that work now, oldest first."""
        now = self.clock.now()

        def of(tokens: dict[str, Token]) -> list[str]:
            mine = [t for t in tokens.values() if t.grant is grant and not grant.revoked]
            return [t.value for t in mine if not t.dead and t.expires_at > now]

        replaced = self.settings["rotation"] != "none"
        fresh = [t for t in of(self.refresh_tokens) if not (replaced and self.refresh_tokens[t].superseded_at)]
        return of(self.access_tokens), fresh

    def kind(self, name: str) -> str:
        kind = self.kinds.get(name, name)
        if kind not in self.records:
            raise ValueError(f"{self.name} has no records of kind {name!r}; there are {sorted(self.records)}")
        return kind

    def seed(self, data: Any) -> Record:
        """Takes a list of records, `{kind: [records]}` or `{"generate": {kind: count, "seed": n}}`."""
        pairs: list[tuple[str, Record]] = []
        if isinstance(data, list):
            pairs = [(self.kind(item.get("_kind") or self.infer_kind(item)), item) for item in data]
        elif isinstance(data, dict) and "generate" in data:
            wanted = dict(data["generate"])
            source = random.Random(wanted.pop("seed", 1))
            pairs = [(self.kind(k), item) for k, n in wanted.items() for item in self.generate(self.kind(k), n, source)]
        elif isinstance(data, dict):
            pairs = [(self.kind(name), item) for name, items in data.items() for item in items]
        else:
            raise ValueError("a list of records, an object of lists, or {generate: {kind: count}}")
        ids, counts = [], dict.fromkeys([kind for kind, _ in pairs], 0)
        for kind, item in pairs:
            clean = {key: value for key, value in item.items() if key not in ("_kind", "_deleted")}
            key = clean.get(self.key_field(kind))
            if item.get("_deleted"):
                self.remove(kind, str(key))
            else:
                known = self.records[kind].get(str(key)) if key is not None else None
                key = self.save(kind, self.changed(kind, known, clean) if known else self.complete(kind, clean))
            ids.append(key)
            counts[kind] += 1
        return {"seeded": counts, "ids": ids}

    def infer_kind(self, record: Record) -> str:
        """The kind of a seeded record that does not name it."""
        return next(iter(self.kinds.values()))

    def complete(self, kind: str, record: Record) -> Record:
        """A new record with everything filled in that the provider would have filled in."""
        return {"id": self.next_id(), **record}

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        """A known record after an edit at the provider."""
        return {**known, **changes}

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        raise ValueError(f"{self.name} cannot generate {kind!r}")

    # Records

    def key_field(self, kind: str) -> str:
        return "id"

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def save(self, kind: str, record: Record) -> Any:
        """Stores a record (never changed in place, so versions stay what they were) and answers its id."""
        key = record[self.key_field(kind)]
        self.records[kind][str(key)] = record
        self.remember(kind, str(key), record)
        if isinstance(key, int) or str(key).isdigit():
            self.last_id = max(self.last_id, int(key))
        return key

    def remove(self, kind: str, key: str) -> Record | None:
        gone = self.records[kind].pop(key, None)
        if gone is not None:
            self.remember(kind, key, None)
        return gone

    def remember(self, kind: str, key: str, record: Record | None) -> None:
        history = self.versions[kind].setdefault(key, [])
        history.append((self.clock.now(), record))
        del history[:-KEPT_VERSIONS]

    def indexed(self, kind: str) -> list[Record]:
        """What a search sees: the records as they were `search_lag_seconds` ago."""
        lag = self.settings["search_lag_seconds"]
        if not lag:
            return list(self.records[kind].values())
        horizon = self.clock.now() - lag
        seen = ([item for at, item in history if at <= horizon][-1:] for history in self.versions[kind].values())
        return [item for versions in seen for item in versions if item is not None]
