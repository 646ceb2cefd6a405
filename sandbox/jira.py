"""Jira Cloud with Service Management. Quirks: one gateway for all sites, documents as bodies, searches by token."""

import base64
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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

SITE = "/ex/jira/{cloud}"
V3, DESK = SITE + "/rest/api/3", SITE + "/rest/servicedeskapi"
NEEDED = ("read:jira-user", "read:jira-work", "write:jira-work", "offline_access")
SCOPES = (
    *NEEDED, "read:servicedesk-request", "write:servicedesk-request", "manage:servicedesk-customer",
    "manage:jira-webhook", "read:me",
)  # fmt: skip
GRACE_S = 600  # in which a refresh token that was replaced is tolerated
POINTS = 65_000  # an hour, for the app across all of its tenants
BURST = {"GET": 100, "POST": 100, "PUT": 50, "DELETE": 50}  # calls a second of one endpoint in one tenant
PER_ISSUE = ((20, 2), (100, 30))  # writes to one issue, and seconds
MOST = 100  # issues with fields on one page
EMPTY_DOC = {"type": "doc", "version": 1, "content": []}
TRANSITIONS = {"To Do": [("11", "Start", "In Progress"), ("31", "Finish", "Done")],
               "In Progress": [("31", "Finish", "Done")], "Done": [("41", "Reopen", "To Do")]}  # fmt: skip
CATEGORIES = {"To Do": ("new", 2), "In Progress": ("indeterminate", 4), "Done": ("done", 3)}


# JQL ------------------------------------------------------------------------------------------------------------------

TOKENS = re.compile(
    r"""\s+|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op>!=|!~|>=|<=|=|~|>|<)|(?P<mark>[(),])"""
    r"""|(?P<word>[^\s"'()<>=!~,\\&|;:\[\]{}*/%^$#@?`+]+)""",
    re.DOTALL,
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\", " ": " "}


class BadJql(Exception):
    """A query that Jira would refuse."""


@dataclass(frozen=True)
class Clause:
    """One comparison of a field."""

    field: str
    op: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """A query as a tree: `("and" | "or" | "not", parts)` or a Clause; and its order."""

    where: Any
    order: tuple[tuple[str, bool], ...]

    def clauses(self) -> list[Clause]:
        def walk(node: Any) -> Iterable[Clause]:
            if isinstance(node, Clause):
                yield node
            elif node:
                for part in node[1]:
                    yield from walk(part)

        return list(walk(self.where))


def jql(text: str) -> Query:
    """Reads a query. Raises BadJql."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = TOKENS.match(text, at)
        if not found:
            raise BadJql(f"Error in the JQL Query: The character {text[at]!r} is a reserved JQL character.")
        at = found.end()
        if found.lastgroup:
            tokens.append((found.lastgroup, found[0]))
    return _Parser(tokens).query()


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self, *words: str) -> bool:
        kind, text = self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")
        return kind in ("word", "mark") and text.upper() in words

    def take(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise BadJql("Error in the JQL Query: The query ended unexpectedly.")
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, word: str) -> bool:
        if self.peek(word):
            self.at += 1
            return True
        return False

    def query(self) -> Query:
        where = None if self.peek("ORDER") or not self.tokens else self.either()
        order = []
        if self.accept("ORDER"):
            if not self.accept("BY"):
                raise BadJql("Error in the JQL Query: Expecting 'BY'.")
            while True:
                field = self.value()
                down = self.accept("DESC")
                if not down:
                    self.accept("ASC")
                order.append((field.casefold(), down))
                if not self.accept(","):
                    break
        if self.at < len(self.tokens):
            raise BadJql(f"Error in the JQL Query: Expecting 'AND' or 'OR' but got '{self.tokens[self.at][1][:40]}'.")
        return Query(where, tuple(order))

    def either(self) -> Any:
        parts = [self.both()]
        while self.accept("OR"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else ("or", parts)

    def both(self) -> Any:
        parts = [self.unit()]
        while self.accept("AND"):
            parts.append(self.unit())
        return parts[0] if len(parts) == 1 else ("and", parts)

    def unit(self) -> Any:
        if self.accept("NOT"):
            return ("not", [self.unit()])
        if self.accept("("):
            inner = self.either()
            if not self.accept(")"):
                raise BadJql("Error in the JQL Query: Expecting ')'.")
            return inner
        field = self.value().casefold()
        if self.accept("IN"):
            return Clause(field, "in", self.values())
        if self.peek("NOT"):
            self.take()
            if not self.accept("IN"):
                raise BadJql("Error in the JQL Query: Expecting 'IN'.")
            return Clause(field, "not in", self.values())
        if self.accept("IS"):
            negated = self.accept("NOT")
            if self.value().upper() not in ("EMPTY", "NULL"):
                raise BadJql("Error in the JQL Query: Expecting 'EMPTY'.")
            return Clause(field, "is not" if negated else "is", ())
        kind, op = self.take()
        if kind != "op":
            raise BadJql(f"Error in the JQL Query: Expecting operator but got '{op[:40]}'.")
        return Clause(field, op, (self.value(),))

    def values(self) -> tuple[str, ...]:
        if not self.accept("("):
            raise BadJql("Error in the JQL Query: Expecting '('.")
        found = [self.value()]
        while self.accept(","):
            found.append(self.value())
        if not self.accept(")"):
            raise BadJql("Error in the JQL Query: Expecting ')'.")
        return tuple(found)

    def value(self) -> str:
        kind, text = self.take()
        if kind == "word":
            if text.upper() in ("AND", "OR", "NOT", "IN", "ORDER"):
                raise BadJql(f"Error in the JQL Query: '{text}' is a reserved JQL word.")
            return text
        if kind != "string":
            raise BadJql(f"Error in the JQL Query: Expecting a value but got '{text}'.")

        def unescaped(found: re.Match[str]) -> str:
            if found[1].startswith("u"):
                return chr(int(found[1][1:], 16))
            if found[1] not in ESCAPES:
                raise BadJql(f"Error in the JQL Query: '\\{found[1]}' is an illegal JQL escape sequence.")
            return ESCAPES[found[1]]

        return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", unescaped, text[1:-1], flags=re.DOTALL)


# Documents ------------------------------------------------------------------------------------------------------------


def words(node: Any) -> str:
    """The text of a document, as a search index sees it."""
    if not isinstance(node, dict):
        return ""
    return str(node.get("text") or "") + " ".join(words(child) for child in node.get("content") or [])


def is_doc(value: Any) -> bool:
    """True for a document of version 1 whose nodes have types."""

    def good(node: Any) -> bool:
        if not isinstance(node, dict) or not isinstance(node.get("type"), str):
            return False
        if node["type"] == "text" and not (isinstance(node.get("text"), str) and node["text"]):
            return False  # an empty text node is refused
        return all(good(child) for child in node.get("content") or [])

    return isinstance(value, dict) and value.get("type") == "doc" and value.get("version") == 1 and good(value)


class Jira(Double):
    """One app, and the sites that its user may open; the connected one is the first of `sites`."""

    name, title = "jira", "Jira"
    hosts = (r"auth\.atlassian\.com", r"api\.atlassian\.com")
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/authorize", "/oauth/token")
    kinds: ClassVar[dict[str, str]] = {
        "issues": "issue", "comments": "comment", "users": "user", "projects": "project",
        "service_desks": "service_desk", "links": "link",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "access_token_ttl": 3600, "refresh_token_ttl": 90 * 86_400, "code_ttl": 600, "rotation": "rotate_with_grace",
        "grace_seconds": GRACE_S, "refusal_status": 403,
        "sites": [["11111111-1111-4111-8111-111111111111", "acme"]], "admin": True, "strict_conflict": True,
        "points": POINTS, "retry_after": True, "service_management": True, "myself": True, "hidden_emails": False,
        "withheld": [], "embedded_comments": 5, "is_last": False,
    }  # fmt: skip

    def structure(self) -> None:
        self.kept: dict[str, list[Record]] = {}  # results by query: a walk over ten thousand issues searches once
        self.spent: dict[str, int] = {}
        self.highest: dict[str, int] = {}  # number of each project's newest issue; deleted ones leave gaps
        self.save("project", self.complete("project", {"id": "10000", "key": "SUP", "name": "Support"}))
        self.save("service_desk", self.complete("service_desk", {
            "id": "1", "projectId": "10000", "projectName": "Support", "projectKey": "SUP", "customers": [],
        }))  # fmt: skip
        self.save("user", self.complete("user", {
            "id": "admin-account", "displayName": "Robin Sandbox", "emailAddress": "robin@sandbox.example",
        }))  # fmt: skip

    # OAuth

    def authorize(self, request: Request) -> Reply:
        query = request.query
        if query.get("audience") != "api.atlassian.com" or query.get("prompt") != "consent":
            page = "<h1>Jira</h1><p>audience and prompt are required</p>"
            return Reply(page, 400, content_type="text/html; charset=utf-8")
        if any(scope not in SCOPES for scope in self.scopes(query.get("scope", ""))):
            return Reply("<h1>Jira</h1><p>invalid_scope</p>", 400, content_type="text/html; charset=utf-8")
        return super().authorize(request)

    def issue_code(self, query: Record, scope: tuple[str, ...], host: str) -> str:
        return super().issue_code(query, tuple(s for s in scope if s not in self.settings["withheld"]), host)

    def identity(self) -> Record:
        return {"sites": self.settings["sites"], "admin": self.settings["admin"]}

    def refresh(self, client_id: str, wanted: Record, host: str) -> Reply:
        reply = super().refresh(client_id, wanted, host)
        fresh = self.refresh_tokens[reply.body["refresh_token"]]
        fresh.expires_at = self.clock.now() + self.settings["refresh_token_ttl"]  # each use starts ninety days anew
        return reply

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        body: Record = {
            "access_token": access.value, "expires_in": round(access.expires_at - self.clock.now()),
            "token_type": "Bearer", "scope": " ".join(access.grant.scope),
        }  # fmt: skip
        if "offline_access" in access.grant.scope:
            body["refresh_token"] = refresh.value
        return Reply(body)

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        if failure == "client":
            return Reply({"error": "access_denied", "error_description": "Unauthorized"}, 401)
        if failure in ("body", "grant_type"):
            return Reply({"error": "invalid_request", "error_description": failure}, 400)
        if failure == "refresh":
            text = "Unknown or invalid refresh token."
            return Reply({"error": "invalid_grant", "error_description": text}, self.settings["refusal_status"])
        return Reply({"error": "invalid_grant", "error_description": "Invalid authorization code"}, 403)

    def served_here(self, entry: Any, request: Request) -> bool:
        return bool((entry.path in ("/authorize", "/oauth/token")) == (request.host == "auth.atlassian.com"))

    # Errors and limits

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        return Reply({"code": 401, "message": "Unauthorized"}, 401)

    def not_found(self, request: Request) -> Reply:
        if re.search(r"/rest/api/[23]/search$", request.path):
            return Reply({"errorMessages": ["The requested API has been removed. See CHANGE-2046."], "errors": {}}, 410)
        return Reply({"code": 404, "message": "Not Found"}, 404)

    def bad(self, message: str = "", status: int = 400, /, **errors: str) -> Reply:
        return Reply({"errorMessages": [message] if message else [], "errors": errors}, status)

    def gone(self, kind: str = "Issue") -> Abort:
        text = f"{kind} does not exist or you do not have permission to see it."
        return Abort(self.bad(text, 404))

    def need(self, request: Request, *scopes: str) -> None:
        held = request.grant.scope if request.grant else ()
        if self.settings["enforce_scopes"] and not set(scopes) <= set(held):
            raise Abort(Reply({"code": 401, "message": "Unauthorized; scope does not match"}, 401))

    def throttle(self, request: Request) -> None:
        if request.grant is None or not request.raw_path.startswith("/ex/jira/"):
            return
        cloud = request.raw_path.split("/")[3]
        if cloud not in [site[0] for site in request.grant.identity["sites"]]:
            raise Abort(Reply({"code": 404, "message": "Not Found"}, 404))
        if not self.settings["rate_limits"]:
            return
        hour = iso(self.clock.now())[:13]
        if self.spent.get(hour, 0) >= self.settings["points"]:
            wait = 3600 - self.clock.now() % 3600
            raise Abort(self.slow("jira-quota-global-based", wait, self.settings["points"]))
        self.spend(1)
        tail = re.sub(r"/(issue|comment)/[^/]+", r"/\1/{id}", request.raw_path)
        burst = BURST.get(request.method, 50)
        left, wait = self.limiter.hit(f"{request.method} {tail}", burst, 1)
        if left < 0:
            raise Abort(self.slow("jira-burst-based", wait, burst))
        found = re.search(r"/(?:issue|request)/([^/]+)", request.raw_path)
        if found and request.method in ("PUT", "POST", "DELETE") and found[1] not in ("bulkfetch", "bulk"):
            for most, window in PER_ISSUE:
                left, wait = self.limiter.hit(f"writes {found[1]} {window}", most, window)
                if left < 0:
                    raise Abort(self.slow("jira-per-issue-on-write", wait, most))

    def spend(self, points: int) -> None:
        hour = iso(self.clock.now())[:13]
        self.spent[hour] = self.spent.get(hour, 0) + points

    def slow(self, reason: str, wait: float, limit: int) -> Reply:
        headers = {
            "x-ratelimit-limit": str(limit), "x-ratelimit-remaining": "0", "ratelimit-reason": reason,
            "x-ratelimit-reset": iso(self.clock.now() + wait, "seconds"),
        }  # fmt: skip
        if self.settings["retry_after"]:
            headers["retry-after"] = str(max(1, round(wait)))
        return Reply({"errorMessages": ["Rate limit exceeded."], "errors": {}}, 429, headers)

    # Records

    def infer_kind(self, record: Record) -> str:
        return "issue" if "summary" in record or "fields" in record else "user"

    def stamp(self) -> str:
        return datetime.fromtimestamp(self.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"

    def at(self) -> str:
        cloud = self.settings["sites"][0][0]
        return f"https://api.atlassian.com/ex/jira/{cloud}/rest/api/3"

    def complete(self, kind: str, record: Record) -> Record:
        key = str(record.get("id") or self.next_id())
        if kind == "user":
            return {
                "accountId": key, "accountType": "atlassian", "active": True, "displayName": key, "emailAddress": "",
                "timeZone": "Etc/UTC", "locale": "en_US", **record, "id": key,
            }  # fmt: skip
        if kind == "project":
            return {"key": f"P{key}", "name": f"Project {key}", "projectTypeKey": "software", "simplified": False,
                    "style": "classic", "isPrivate": False, **record, "id": key}  # fmt: skip
        if kind == "service_desk":
            return {"projectId": "10000", "projectName": "Support", "projectKey": "SUP", "customers": [],
                    **record, "id": key}  # fmt: skip
        now = self.stamp()
        if kind in ("comment", "link"):
            body = self.doc(record.get("body", ""))
            own = {"author": "admin-account", "created": now, "updated": now} if kind == "comment" else {}
            return {**own, **record, **({"body": body} if kind == "comment" else {}), "id": key}
        project = record.get("project", "SUP")
        number = record.get("number") or self.highest.get(project, 0) + 1
        base = {
            "project": project, "number": number, "key": f"{project}-{number}", "summary": f"Issue {number}",
            "description": None, "status": "To Do", "issuetype": "10001", "labels": [], "reporter": "admin-account",
            "assignee": None, "priority": "Medium", "duedate": None, "created": now, "updated": now, "security": None,
        }  # fmt: skip
        made = {**base, **record, "id": key}
        return {**made, "description": self.doc(made["description"]) if made["description"] else None}

    def save(self, kind: str, record: Record) -> Any:
        if kind == "issue":
            self.highest[record["project"]] = max(self.highest.get(record["project"], 0), record["number"])
        return super().save(kind, record)

    def remember(self, kind: str, key: str, record: Record | None) -> None:
        super().remember(kind, key, record)
        self.kept = {}

    @staticmethod
    def doc(text: Any) -> Any:
        """What a person types in the editor, as a document."""
        if not isinstance(text, str):
            return text
        lines = [{"type": "paragraph", "content": [{"type": "text", "text": t}]} for t in text.split("\n") if t]
        return {"type": "doc", "version": 1, "content": lines}

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        stamp = {"updated": self.stamp()} if kind in ("issue", "comment") else {}
        for name in ("description", "body"):
            if name in changes:
                changes = {**changes, name: self.doc(changes[name])}
        return {**known, **stamp, **changes}

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        if kind == "user":
            return [{"displayName": f"{p.first} {p.last}", "emailAddress": p.email} for p in people(count, source)]
        if kind == "issue":
            return [
                {"number": n, "summary": a.title, "description": re.sub(r"<[^>]+>", " ", a.body)}
                for n, a in enumerate(articles(count, source), 1)
            ]
        return super().generate(kind, count, source)

    def issue(self, key: str) -> Record:
        found = self.records["issue"].get(key)
        found = found or next((i for i in self.records["issue"].values() if i["key"] == key.upper()), None)
        if found is None or found["security"]:  # restricted issues vanish silently
            raise self.gone()
        return found

    def person(self, key: str | None) -> Record | None:
        found = self.records["user"].get(key or "")
        if found is None:
            return None
        own = {k: v for k, v in found.items() if k in ("accountId", "accountType", "active", "displayName", "timeZone")}
        if found["emailAddress"] and not self.settings["hidden_emails"]:
            own["emailAddress"] = found["emailAddress"]
        return {**own, "self": f"{self.at()}/user?accountId={key}"}

    def status(self, name: str) -> Record:
        category, number = CATEGORIES[name]
        return {"self": f"{self.at()}/status/{number}", "id": str(number), "name": name, "description": "",
                "statusCategory": {"id": number, "key": category, "name": name, "colorName": "blue-gray"}}  # fmt: skip

    def shown(self, issue: Record, fields: list[str]) -> Record:
        """An issue with the fields that were asked for; by default none but its id."""
        project = next((p for p in self.records["project"].values() if p["key"] == issue["project"]), None)
        every: dict[str, Callable[[], Any]] = {
            "summary": lambda: issue["summary"], "description": lambda: issue["description"],
            "created": lambda: issue["created"], "updated": lambda: issue["updated"],
            "labels": lambda: issue["labels"], "duedate": lambda: issue["duedate"],
            "status": lambda: self.status(issue["status"]),
            "priority": lambda: {"name": issue["priority"], "id": "3"},
            "issuetype": lambda: {"id": issue["issuetype"], "name": "Task", "subtask": False},
            "project": lambda: {"id": project["id"] if project else "0", "key": issue["project"]},
            "reporter": lambda: self.person(issue["reporter"]), "assignee": lambda: self.person(issue["assignee"]),
            "comment": lambda: self.embedded(issue),
        }  # fmt: skip
        names = list(every) if "*all" in fields or "*navigable" in fields else [f for f in fields if f in every]
        made: Record = {"id": issue["id"]}
        if fields != ["id"]:
            made |= {"key": issue["key"], "self": f"{self.at()}/issue/{issue['id']}", "expand": "names,schema"}
            made["fields"] = {name: every[name]() for name in names}
        return made

    def of(self, issue: Record) -> list[Record]:
        return [self.comment_of(c) for c in self.records["comment"].values() if c["issue"] == issue["id"]]

    def embedded(self, issue: Record) -> Record:
        found = self.of(issue)
        most = self.settings["embedded_comments"]
        return {"comments": found[:most], "maxResults": most, "total": len(found), "startAt": 0}

    def comment_of(self, row: Record) -> Record:
        own = {"id": row["id"], "self": f"{self.at()}/issue/{row['issue']}/comment/{row['id']}", "body": row["body"],
               "author": self.person(row["author"]), "created": row["created"], "updated": row["updated"]}  # fmt: skip
        for name in ("visibility", "jsdPublic"):
            if name in row:
                own[name] = row[name]
        return own

    # Identity

    @routes.on("GET", "/oauth/token/accessible-resources")
    def resources(self, request: Request) -> Reply:
        assert request.grant
        return Reply([
            {"id": cloud, "name": label, "url": f"https://{label}" if "." in label else f"https://{label}.atlassian.net",
             "scopes": list(request.grant.scope), "avatarUrl": "https://site-admin-avatar-cdn.example/a.png"}
            for cloud, label in request.grant.identity["sites"]
        ])  # fmt: skip

    @routes.on("GET", V3 + "/myself")
    def myself(self, request: Request, cloud: str) -> Reply:
        self.need(request, "read:jira-user")
        if not self.settings["myself"]:
            raise Abort(self.bad("Forbidden", 403))
        return Reply(self.person("admin-account"))

    # People

    @routes.on("GET", V3 + "/user")
    def user(self, request: Request, cloud: str) -> Reply:
        self.need(request, "read:jira-user")
        found = self.person(request.query.get("accountId"))
        if found is None:
            raise Abort(self.bad("Specified user does not exist or you do not have required permissions", 404))
        return Reply(found)

    @routes.on("GET", V3 + "/user/search")
    def user_search(self, request: Request, cloud: str) -> Reply:
        self.need(request, "read:jira-user")
        wanted, most = request.query.get("query", "").casefold(), self.page_size(request, "maxResults", 50, 1000)
        if "query" not in request.query:
            raise Abort(self.bad("Neither query nor property is given"))
        start = request.integer("startAt", 0)
        seen = [self.person(u["id"]) for u in list(self.records["user"].values())[:1000]]
        hits = [u for u in seen if u and (wanted in u["displayName"].casefold()
                                          or wanted in u.get("emailAddress", "").casefold())]  # fmt: skip
        self.spend(2 * len(hits[start : start + most]))  # a user costs two points
        return Reply(hits[start : start + most])

    # Service Management

    def desk(self, key: str) -> Record:
        found = self.records["service_desk"].get(key)
        if found is None or not self.settings["service_management"]:
            raise Abort(Reply({"errorMessage": "The service desk does not exist.", "i18nErrorMessage": {
                "i18nKey": "sd.error", "parameters": []}}, 404))  # fmt: skip
        return found

    def sd_page(self, request: Request, rows: list[Record]) -> Reply:
        start, size = request.integer("start", 0), self.page_size(request, "limit", 50, 50)
        shown = rows[start : start + size]
        return Reply({"size": len(shown), "start": start, "limit": size, "isLastPage": start + size >= len(rows),
                      "_links": {"base": "", "context": "", "self": ""}, "values": shown})  # fmt: skip

    @routes.on("GET", DESK + "/servicedesk")
    def desks(self, request: Request, cloud: str) -> Reply:
        self.need(request, "read:servicedesk-request")
        rows = list(self.records["service_desk"].values()) if self.settings["service_management"] else []
        return self.sd_page(request, [self.desk_of(r) for r in rows])

    @staticmethod
    def desk_of(row: Record) -> Record:
        return {k: v for k, v in row.items() if k != "customers"}

    @routes.on("GET", DESK + "/servicedesk/{id}")
    def one_desk(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "read:servicedesk-request")
        return Reply(self.desk_of(self.desk(key)))

    @routes.on("GET", DESK + "/servicedesk/{id}/customer")
    def customers(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "manage:servicedesk-customer")
        if request.headers.get("x-experimentalapi") != "opt-in":
            raise Abort(Reply({"errorMessage": "This method is experimental: set X-ExperimentalApi."}, 412))
        desk, wanted = self.desk(key), request.query.get("query", "").casefold()
        rows = [p for p in (self.person(a) for a in desk["customers"]) if p]
        hits = [
            p for p in rows if wanted in p["displayName"].casefold() or wanted in p.get("emailAddress", "").casefold()
        ]
        return self.sd_page(request, hits)

    @routes.on("POST", DESK + "/customer")
    def create_customer(self, request: Request, cloud: str) -> Reply:
        self.need(request, "manage:servicedesk-customer")
        assert request.grant
        if not request.grant.identity["admin"]:
            raise Abort(Reply({"errorMessage": "Only Jira administrators may create customers."}, 403))
        body = request.object
        if set(body) - {"email", "displayName", "fullName"} or not re.fullmatch(
            r"[^@\s]+@[^@\s]+", body.get("email", "")
        ):
            raise Abort(Reply({"errorMessage": "The email address is invalid."}, 400))
        if any(u["emailAddress"].casefold() == body["email"].casefold() for u in self.records["user"].values()):
            strict = self.settings["strict_conflict"] and request.query.get("strictConflictStatusCode") == "true"
            raise Abort(Reply({"errorMessage": "An account already exists for this email address."},
                              409 if strict else 400))  # fmt: skip
        made = self.complete("user", {
            "displayName": body.get("displayName") or body["email"], "emailAddress": body["email"],
            "accountType": "customer",
        })  # fmt: skip
        self.save("user", made)
        return Reply(self.person(made["id"]), 201)

    @routes.on("POST", DESK + "/servicedesk/{id}/customer")
    def add_customers(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "manage:servicedesk-customer")
        desk, ids = self.desk(key), request.object.get("accountIds")
        if not isinstance(ids, list) or any(i not in self.records["user"] for i in ids):
            raise Abort(Reply({"errorMessage": "An account does not exist."}, 400))
        self.save("service_desk", {**desk, "customers": list(dict.fromkeys([*desk["customers"], *ids]))})
        return Reply(None, 204)

    @routes.on("POST", DESK + "/request")
    def create_request(self, request: Request, cloud: str) -> Reply:
        self.need(request, "write:servicedesk-request")
        body = request.object
        known = {"serviceDeskId", "requestTypeId", "requestFieldValues", "raiseOnBehalfOf", "requestParticipants"}
        if set(body) - known or not body.get("requestTypeId"):
            raise Abort(Reply({"errorMessage": "The request is invalid."}, 400))
        desk, values = self.desk(str(body.get("serviceDeskId"))), body.get("requestFieldValues") or {}
        if not values.get("summary"):
            raise Abort(Reply({"errorMessage": "summary: you must specify a summary of the issue."}, 400))
        who = body.get("raiseOnBehalfOf") or "admin-account"
        if who not in self.records["user"]:
            raise Abort(Reply({"errorMessage": "The customer does not exist."}, 400))
        made = self.complete("issue", {
            "project": desk["projectKey"], "summary": values["summary"], "reporter": who, "request": True,
            "description": str(values.get("description") or "") or None,
        })  # fmt: skip
        self.save("issue", made)
        link = f"https://acme.atlassian.net/servicedesk/customer/portal/1/{made['key']}"
        return Reply({
            "issueId": made["id"], "issueKey": made["key"], "requestTypeId": str(body["requestTypeId"]),
            "serviceDeskId": desk["id"], "_links": {"web": link}, "reporter": self.person(who),
        }, 201)  # fmt: skip

    @routes.on("POST", DESK + "/request/{key}/comment")
    def request_comment(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "write:servicedesk-request")
        issue, body = self.issue(key), request.object
        if not issue.get("request"):
            raise Abort(Reply({"errorMessage": "The request does not exist."}, 404))
        if not isinstance(body.get("body"), str) or not isinstance(body.get("public"), bool):
            raise Abort(Reply({"errorMessage": "body and public are required."}, 400))
        made = self.complete("comment", {"issue": issue["id"], "body": body["body"], "jsdPublic": body["public"]})
        self.save("comment", made)
        return Reply({"id": made["id"], "body": body["body"], "public": body["public"],
                      "author": self.person("admin-account")}, 201)  # fmt: skip

    # Issues

    @routes.on("POST", V3 + "/issue")
    def create_issue(self, request: Request, cloud: str) -> Reply:
        self.need(request, "write:jira-work")
        fields, errors = request.object.get("fields") or {}, {}
        project = fields.get("project") or {}
        found = next((p for p in self.records["project"].values()
                      if project.get("key") == p["key"] or project.get("id") == p["id"]), None)  # fmt: skip
        if found is None:
            errors["project"] = "Specify a valid project ID or key"
        if not (fields.get("issuetype") or {}).get("id"):
            errors["issuetype"] = "Specify an issue type"
        summary = str(fields.get("summary") or "")
        if not summary.strip() or len(summary) > 255 or "\n" in summary:
            errors["summary"] = "You must specify a summary of the issue."
        if fields.get("description") is not None and not is_doc(fields["description"]):
            errors["description"] = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
        if any(" " in label for label in fields.get("labels") or []):
            errors["labels"] = "The label can't contain spaces."
        if fields.get("duedate") and not re.fullmatch(r"\d{4}-\d\d-\d\d", fields["duedate"]):
            errors["duedate"] = "Error parsing date string"
        known = {
            "project",
            "issuetype",
            "summary",
            "description",
            "labels",
            "duedate",
            "priority",
            "assignee",
            "reporter",
        }
        errors |= {name: f"Field '{name}' cannot be set." for name in fields if name not in known}
        if errors:
            raise Abort(self.bad(**errors))
        assert found
        made = self.complete("issue", {
            "project": found["key"], "summary": summary, "description": fields.get("description"),
            "labels": fields.get("labels") or [], "duedate": fields.get("duedate"),
            "issuetype": fields["issuetype"]["id"],
            "reporter": (fields.get("reporter") or {}).get("id") or "admin-account",
            "priority": (fields.get("priority") or {}).get("name") or "Medium",
        })  # fmt: skip
        self.save("issue", made)
        return Reply({"id": made["id"], "key": made["key"], "self": f"{self.at()}/issue/{made['id']}"}, 201)

    @routes.on("POST", V3 + "/issue/bulkfetch")
    def bulkfetch(self, request: Request, cloud: str) -> Reply:
        self.need(request, "read:jira-work")
        keys = request.object.get("issueIdsOrKeys") or []
        if not 1 <= len(keys) <= MOST:
            raise Abort(self.bad("Between 1 and 100 issues are required."))
        by_key = {i["key"]: i for i in self.records["issue"].values()}
        found = [self.records["issue"].get(key) or by_key.get(key.upper()) for key in keys]
        rows = [i for i in found if i is not None and not i["security"]]
        self.spend(len(rows))
        fields = request.object.get("fields") or ["*navigable"]
        missing = [{"id": k, "errorMessage": "gone"} for k, i in zip(keys, found, strict=True) if i is None]
        return Reply({"issues": [self.shown(i, fields) for i in rows], **({"issueErrors": missing} if missing else {})})

    @routes.on("GET", V3 + "/issue/{key}")
    def one_issue(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "read:jira-work")
        return Reply(self.shown(self.issue(key), request.values("fields") or ["*all"]))

    @routes.on("GET", V3 + "/issue/{key}/comment")
    def comments(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "read:jira-work")
        found = self.of(self.issue(key))
        if request.query.get("orderBy") == "-created":
            found.reverse()
        start, size = request.integer("startAt", 0), self.page_size(request, "maxResults", 100, 5000)
        return Reply(
            {"startAt": start, "maxResults": size, "total": len(found), "comments": found[start : start + size]}
        )

    @routes.on("POST", V3 + "/issue/{key}/comment")
    def add_comment(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "write:jira-work")
        issue, body = self.issue(key), request.object
        if not is_doc(body.get("body")):  # plain texts are version 2's
            raise Abort(self.bad(comment="Comment body is not valid!"))
        made = self.complete("comment", {"issue": issue["id"], "body": body["body"],
                                         **({"visibility": body["visibility"]} if "visibility" in body else {}),
                                         **({"jsdPublic": True} if issue.get("request") else {})})  # fmt: skip
        self.save("comment", made)
        self.save("issue", self.changed("issue", issue, {}))
        return Reply(self.comment_of(made), 201)

    @routes.on("GET", V3 + "/issue/{key}/transitions")
    def transitions(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "read:jira-work")
        issue = self.issue(key)
        return Reply({"expand": "transitions", "transitions": [
            {"id": number, "name": name, "to": self.status(to), "hasScreen": False, "isGlobal": False,
             "isInitial": False, "isAvailable": True, "isConditional": False}
            for number, name, to in TRANSITIONS[issue["status"]]
        ]})  # fmt: skip

    @routes.on("POST", V3 + "/issue/{key}/transitions")
    def transition(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "write:jira-work")
        issue, wanted = self.issue(key), (request.object.get("transition") or {}).get("id")
        target = next((to for number, _, to in TRANSITIONS[issue["status"]] if number == wanted), None)
        if target is None:
            raise Abort(self.bad("It seems that you have tried to perform an illegal workflow operation."))
        self.save("issue", self.changed("issue", issue, {"status": target}))
        return Reply(None, 204)

    @routes.on("PUT", V3 + "/issue/{key}/assignee")
    def assign(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "write:jira-work")
        issue, who = self.issue(key), request.object.get("accountId")
        if who is not None and who not in self.records["user"]:
            raise Abort(self.bad(assignee="User does not exist."))
        self.save("issue", self.changed("issue", issue, {"assignee": who}))
        return Reply(None, 204)

    @routes.on("POST", V3 + "/issue/{key}/remotelink")
    def remote_link(self, request: Request, cloud: str, key: str) -> Reply:
        self.need(request, "write:jira-work")
        issue, body = self.issue(key), request.object
        told = body.get("object") or {}
        if not told.get("url") or not told.get("title"):
            raise Abort(self.bad(title="'title' is required.", url="'url' is required."))
        name = body.get("globalId")
        known = next((r for r in self.records["link"].values()
                      if name and r["globalId"] == name and r["issue"] == issue["id"]), None)  # fmt: skip
        made = self.complete("link", {"issue": issue["id"], "globalId": name, "object": told,
                                      **({"id": known["id"]} if known else {})})  # fmt: skip
        self.save("link", made)
        link = f"{self.at()}/issue/{issue['key']}/remotelink/{made['id']}"
        return Reply({"id": int(made["id"]), "self": link}, 200 if known else 201)

    # Search

    @routes.on("GET", V3 + "/search/jql")
    @routes.on("POST", V3 + "/search/jql")
    def search(self, request: Request, cloud: str) -> Reply:
        self.need(request, "read:jira-work")
        asked = request.query if request.method == "GET" else request.object
        fields: list[str] = request.values("fields") if request.method == "GET" else request.object.get("fields") or []
        text = str(asked.get("jql") or "")
        seen = f"{self.clock.now():.0f} {text}"  # an index that lags changes by itself
        try:
            query = jql(text)
            rows = self.kept.get(seen) or self.matching(query)
        except BadJql as wrong:
            raise Abort(self.bad(str(wrong))) from None
        if query.where is None:
            raise Abort(self.bad("Unbounded JQL queries are not allowed here. Please add a search restriction."))
        self.kept[seen] = rows
        size = min(int(asked.get("maxResults") or 50), MOST if fields and fields != ["id"] else 5000)
        size = min(size, self.settings["page_size_max"] or size)
        start = 0
        if token := asked.get("nextPageToken"):
            try:
                start, last = orjson.loads(base64.urlsafe_b64decode(str(token)))
            except ValueError:
                raise Abort(self.bad("The next page token is invalid.")) from None
            # What was changed meanwhile has moved to the end.
            start = next((n for n in range(min(start, len(rows)), 0, -1) if rows[n - 1]["id"] == last), start)
        page = rows[start : start + size]
        self.spend(len(page))
        body: Record = {"issues": [self.shown(i, fields or ["id"]) for i in page]}
        if start + size < len(rows):
            body["nextPageToken"] = base64.urlsafe_b64encode(orjson.dumps([start + size, page[-1]["id"]])).decode()
        if self.settings["is_last"]:
            body["isLast"] = "nextPageToken" not in body
        return Reply(body)

    def matching(self, query: Query) -> list[Record]:
        seen = [i for i in self.indexed("issue") if not i["security"]]
        rows = [i for i in seen if query.where is None or self.fits(i, query.where)]
        for field, down in reversed(query.order):
            if field not in ("updated", "created", "key", "id"):
                raise BadJql(f"Field '{field}' does not exist or you do not have permission to view it.")
            rows.sort(key=lambda i: i["number"] if field == "key" else int(i["id"]) if field == "id" else i[field],
                      reverse=down)  # fmt: skip
        return rows

    def fits(self, issue: Record, node: Any) -> bool:
        if isinstance(node, Clause):
            return self.compare(issue, node)
        kind, parts = node
        found = (self.fits(issue, part) for part in parts)
        return all(found) if kind == "and" else any(found) if kind == "or" else not next(iter(found))

    def compare(self, issue: Record, clause: Clause) -> bool:
        field, op, values = clause.field, clause.op, [v.casefold() for v in clause.values]
        if field in ("updated", "created"):
            return self.moment(issue[field], op, clause.values[0])
        if field in ("summary", "text"):
            texts = [issue["summary"], *([words(issue["description"])] if field == "text" else [])]
        elif field in ("project", "reporter", "assignee", "status", "labels", "key", "id", "issuetype"):
            texts = issue[field] if field == "labels" else [issue[field] or ""]
        else:
            raise BadJql(f"Field '{field[:40]}' does not exist or you do not have permission to view it.")
        held = {t.casefold() for t in texts}
        if field in ("summary", "text"):
            if op not in ("~", "!~"):
                raise BadJql(f"The operator '{op}' is not supported by the '{field}' field.")
            hit = all(any(word in text for text in held) for word in re.findall(r"\w+", values[0]))
            return hit == (op == "~")
        if op in ("is", "is not"):
            return (not any(held)) == (op == "is")
        if op not in ("=", "!=", "in", "not in"):
            raise BadJql(f"The operator '{op}' is not supported by the '{field}' field.")
        return bool(held & set(values)) == (op in ("=", "in"))

    @staticmethod
    def moment(text: str, op: str, value: str) -> bool:
        """Unquoted milliseconds; a quoted date has the precision of a minute."""
        try:
            edge = int(value) / 1000 if value.isdigit() else datetime.strptime(value, "%Y-%m-%d %H:%M").replace(
                tzinfo=UTC).timestamp()  # fmt: skip
        except ValueError:
            raise BadJql(f"Date value '{value[:40]}' for field 'updated' is invalid.") from None
        at = epoch(text)
        known = {">=": at >= edge, ">": at > edge, "<=": at <= edge, "<": at < edge}
        if op not in known:
            raise BadJql(f"The operator '{op}' is not supported by the 'updated' field.")
        return known[op]

    # Projects

    @routes.on("GET", V3 + "/project/search")
    def projects(self, request: Request, cloud: str) -> Reply:
        self.need(request, "read:jira-work")
        wanted = request.query.get("query", "").casefold()
        rows = [p | {"self": f"{self.at()}/project/{p['id']}"}
                for p in self.records["project"].values()
                if wanted in p["name"].casefold() or wanted in p["key"].casefold()]  # fmt: skip
        start, size = request.integer("startAt", 0), self.page_size(request, "maxResults", 50, 100)
        self.spend(len(rows[start : start + size]))
        return Reply({"self": f"{self.at()}/project/search", "startAt": start, "maxResults": size, "total": len(rows),
                      "isLast": start + size >= len(rows), "values": rows[start : start + size]})  # fmt: skip

    @routes.on("GET", V3 + "/issue/createmeta/{project}/issuetypes")
    def issue_types(self, request: Request, cloud: str, project: str) -> Reply:
        self.need(request, "read:jira-work")
        if not any(project in (p["key"], p["id"]) for p in self.records["project"].values()):
            raise Abort(self.bad("No project could be found with key or id.", 400))
        rows = [{"id": number, "name": name, "description": "", "subtask": False, "hierarchyLevel": 0,
                 "self": f"{self.at()}/issuetype/{number}", "iconUrl": "https://acme.atlassian.net/i.png"}
                for number, name in (("10001", "Task"), ("10002", "Bug"), ("10003", "Story"))]  # fmt: skip
        start, size = request.integer("startAt", 0), self.page_size(request, "maxResults", 50, 200)
        return Reply(
            {"startAt": start, "maxResults": size, "total": len(rows), "issueTypes": rows[start : start + size]}
        )
