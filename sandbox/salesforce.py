"""Salesforce. Quirks: one API host per org, tokens without a stated life, SOQL, errors as arrays, soft deletes, a day's
quota for all apps of an org that ends in 403.
"""

import base64
import random
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson

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
)
from sandbox.text import articles, people

DATA, LOGIN = "/services/data/{version}", "/services/oauth2"
OLDEST, NEWEST, GONE = 31, 68, 30  # versions that answer, and the last that is gone
HEAD = 16_384  # bytes of a request's address and headers
MOST_ROWS, FEWEST_ROWS = 2_000, 200  # of `batchSize`, which is a hint
GRANTS = 5  # of one user for one app; one more revokes the oldest
DELETED_DAYS = 15
COMPOSITE = 25
FILTERED = 255  # a text area that is longer cannot stand in WHERE
PREFIXES = {
    "Contact": "003", "Account": "001", "Opportunity": "006", "OpportunityContactRole": "00K", "Task": "00T",
    "Note": "002", "ContentNote": "069", "ContentDocumentLink": "06A", "Product2": "01t", "Knowledge__kav": "ka0",
    "Case": "500", "User": "005",
}  # fmt: skip
SYSTEM = "Id:id! CreatedDate:datetime! LastModifiedDate:datetime! SystemModstamp:datetime! IsDeleted:boolean!"
# name:type(length), `!` for read only, `+` for required
SCHEMA = {
    "Contact": "FirstName:string(40) LastName:string(80)+ Name:string(121)! Email:email(80) Phone:phone(40) "
    "MobilePhone:phone(40) AccountId:reference MailingCity:string(40) MailingCountry:string(80) Title:string(128) "
    "Description:textarea(32000) OwnerId:reference",
    "Account": "Name:string(255)+ Website:url(255) Phone:phone(40) BillingCity:string(40) BillingCountry:string(80) "
    "Industry:picklist(255) Description:textarea(32000) OwnerId:reference",
    "Opportunity": "Name:string(120)+ StageName:picklist(255)+ Amount:currency CloseDate:date+ IsClosed:boolean! "
    "IsWon:boolean! AccountId:reference Description:textarea(32000) OwnerId:reference",
    "OpportunityContactRole": "OpportunityId:reference+ ContactId:reference+ Role:picklist(255) IsPrimary:boolean",
    "Task": "WhoId:reference WhatId:reference Subject:string(255) Description:textarea(32000) Status:picklist(255) "
    "Priority:picklist(255) ActivityDate:date OwnerId:reference TaskSubtype:picklist(40) CallType:picklist(40) "
    "CallDurationInSeconds:int CallDisposition:string(255) CallObject:string(255)",
    "Note": "ParentId:reference+ Title:string(80)+ Body:textarea(32000) OwnerId:reference",
    "ContentNote": "Title:string(255)+ Content:base64 FileType:string(20)! TextPreview:string(255)!",
    "ContentDocumentLink": "ContentDocumentId:reference+ LinkedEntityId:reference+ ShareType:picklist(1) "
    "Visibility:picklist(40)",
    "Product2": "Name:string(255)+ ProductCode:string(255) Description:textarea(4000) Family:picklist(255) "
    "IsActive:boolean DisplayUrl:url(1000) StockKeepingUnit:string(180)",
    "Knowledge__kav": "KnowledgeArticleId:reference! Title:string(255)+ UrlName:string(255)+ Summary:textarea(1000) "
    "ArticleNumber:string(50)! Language:picklist(5) PublishStatus:picklist(10)! IsLatestVersion:boolean! "
    "VersionNumber:int! FirstPublishedDate:datetime! LastPublishedDate:datetime! ArchivedDate:datetime! "
    "IsVisibleInPkb:boolean IsVisibleInCsp:boolean IsVisibleInPrm:boolean IsVisibleInApp:boolean",
    "Case": "CaseNumber:string(30)! Subject:string(255) Description:textarea(32000) Status:picklist(255) "
    "ContactId:reference AccountId:reference IsClosed:boolean!",
    "User": "Username:string(80)+ Name:string(121)! Email:email(128)",
}
PARENTS = {
    ("Contact", "Account"): ("AccountId", "Account"), ("Opportunity", "Account"): ("AccountId", "Account"),
    ("OpportunityContactRole", "Opportunity"): ("OpportunityId", "Opportunity"),
    ("OpportunityContactRole", "Contact"): ("ContactId", "Contact"), ("Task", "Who"): ("WhoId", "Contact"),
    ("ContentDocumentLink", "ContentDocument"): ("ContentDocumentId", "ContentNote"),
    ("Case", "Contact"): ("ContactId", "Contact"), ("Case", "Account"): ("AccountId", "Account"),
}  # fmt: skip
PERSON = {"PersonEmail": "Email", "PersonMobilePhone": "MobilePhone", "PersonMailingCity": "MailingCity",
          "PersonMailingCountry": "MailingCountry", "FirstName": "FirstName", "LastName": "LastName",
          "Phone": "Phone"}  # fmt: skip
COUNTRIES = {"GB": "United Kingdom", "US": "United States", "NO": "Norway", "FR": "France", "DE": "Germany"}
STAGES = ("Prospecting", "Qualification", "Negotiation/Review", "Closed Won", "Closed Lost")


@dataclass(frozen=True)
class Column:
    """A field of an object."""

    name: str
    type: str
    length: int = 0
    written: bool = True
    required: bool = False
    external: bool = False

    @property
    def filterable(self) -> bool:
        return self.type != "base64" and not (self.type == "textarea" and self.length > FILTERED)


@lru_cache(256)
def columns(text: str) -> dict[str, Column]:
    """Columns of a text such as `Name:string(80)+ Key__c:string(40)#`; `#` is a unique external id."""
    found = {}
    for item in text.split():
        name, kind, length, flags = re.fullmatch(r"(\w+):(\w+)(?:\((\d+)\))?([!+#]*)", item).groups()  # type: ignore[union-attr]
        found[name] = Column(name, kind, int(length or 0), "!" not in flags, "+" in flags, "#" in flags)
    return found


def salesforce_id(prefix: str, number: int) -> str:
    """The 18 characters of a record's id."""
    return eighteen(f"{prefix}{number:012d}")


def eighteen(short: str) -> str:
    """An id of 15 characters, in which case counts, with the three that make up for systems in which it does not."""
    chunks = (short[at : at + 5] for at in (0, 5, 10))
    sums = (sum(1 << place for place, letter in enumerate(chunk) if letter.isupper()) for chunk in chunks)
    return short + "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[number] for number in sums)


def stamp(moment: float) -> str:
    """A time as the API writes it; all are UTC, so that they compare as texts."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def failed(status: int, code: str, message: str, fields: Iterable[str] = (), **more: Any) -> Abort:
    return Abort(Reply([{"message": message, "errorCode": code, "fields": list(fields), **more}], status))


# --- SOQL -------------------------------------------------------------------------------------------------------------

TOKENS = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')"
    r"|(?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,3})?(?:Z|[+-]\d\d:\d\d))?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)|(?P<sign><=|>=|!=|<>|[=<>(),]))",
    re.DOTALL,
)
ESCAPES = {"n": "\n", "N": "\n", "r": "\r", "R": "\r", "t": "\t", "T": "\t", "b": "\b", "B": "\b", "f": "\f",
           "F": "\f", '"': '"', "'": "'", "\\": "\\"}  # fmt: skip
WORDS = frozenset({
    "select", "from", "where", "and", "or", "not", "in", "like", "order", "by", "limit", "offset", "null", "true",
    "false", "asc", "desc", "nulls", "first", "last",
})  # fmt: skip
Test = Callable[[Record], bool]


def malformed(message: str) -> Abort:
    return failed(400, "MALFORMED_QUERY", message)


def letters(literal: str) -> Iterator[tuple[str, bool]]:
    """Characters of a literal with its quotes; True marks one that stood behind a backslash."""
    inner = iter(literal[1:-1])
    for letter in inner:
        if letter in "\n\r":
            raise malformed("line breaks not allowed in string literals")
        if letter != "\\":
            yield letter, False
            continue
        following = next(inner)
        if following not in ESCAPES and following not in "%_":
            raise malformed(f"Illegal character sequence '\\{following}' in string literal")
        yield following, True


def plain(literal: str) -> str:
    """The value of a literal outside LIKE, where an escaped `%` or `_` means nothing."""
    found = []
    for letter, escaped in letters(literal):
        if escaped and letter not in ESCAPES:
            raise malformed(f"Illegal character sequence '\\{letter}' in string literal")
        found.append(ESCAPES[letter] if escaped else letter)
    return "".join(found)


def pattern(literal: str) -> re.Pattern[str]:
    """What a literal behind LIKE matches: `%` any text, `_` one character, unless escaped; case does not count."""
    found = []
    for letter, escaped in letters(literal):
        if not escaped and letter in "%_":
            found.append(".*" if letter == "%" else ".")
        else:
            found.append(re.escape(ESCAPES.get(letter, letter) if escaped else letter))
    return re.compile("".join(found), re.IGNORECASE | re.DOTALL)


@dataclass
class Query:
    """A statement, read."""

    object: str
    select: list[str] = field(default_factory=list)
    count: bool = False
    where: Test | None = None
    filtered: set[str] = field(default_factory=set)
    order: list[tuple[str, bool, bool]] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0


class Parser:
    """Reads one SOQL statement against the org's schema and makes a test for rows of it."""

    def __init__(self, org: "Salesforce", text: str, *, deleted: bool) -> None:
        self.org, self.text, self.deleted = org, text, deleted
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text) and text[at:].strip():
            found = TOKENS.match(text, at)
            if not found:
                raise malformed(f"unexpected token: '{text[at:].strip()[:20]}'")
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind]))
            at = found.end()
        self.at = 0

    # tokens

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        place = self.at + ahead
        return self.tokens[place] if place < len(self.tokens) else ("end", "<EOF>")

    def next(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def word(self, *words: str) -> bool:
        """Takes these keywords when they come next."""
        if all(self.peek(n)[0] == "name" and self.peek(n)[1].lower() == word for n, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def sign(self, sign: str) -> bool:
        if self.peek() == ("sign", sign):
            self.at += 1
            return True
        return False

    def expect(self, wanted: str) -> None:
        if not (self.sign(wanted) or self.word(wanted)):
            raise malformed(f"expecting '{wanted}', found '{self.peek()[1]}'")

    def name(self) -> str:
        kind, value = self.next()
        if kind != "name" or value.lower() in WORDS:
            raise malformed(f"unexpected token: '{value}'")
        return value

    def integer(self) -> int:
        kind, value = self.next()
        if kind != "number" or not value.isdigit():
            raise malformed(f"unexpected token: '{value}'")
        return int(value)

    # grammar

    def statement(self) -> Query:
        query = self.select()
        if self.peek()[0] != "end":
            raise malformed(f"unexpected token: '{self.peek()[1]}'")
        return query

    def select(self) -> Query:
        self.expect("select")
        wanted, count = self.selected()
        self.expect("from")
        query = Query(self.org.readable(self.name()), count=count)
        if "*" in wanted:
            wanted = [c for c in self.org.columns(query.object) if c not in wanted]
        query.select = [self.path(query.object, name)[0] for name in wanted]
        if self.word("where"):
            query.where = self.condition(query)
        if self.word("order", "by"):
            query.order = [self.ordering(query.object)]
            while self.sign(","):
                query.order.append(self.ordering(query.object))
        query.limit = self.integer() if self.word("limit") else None
        query.offset = self.integer() if self.word("offset") else 0
        if query.offset > MOST_ROWS:
            raise failed(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        if query.object == "ContentDocumentLink" and not query.filtered & {"ContentDocumentId=", "LinkedEntityId="}:
            raise malformed(
                "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId "
                "or LinkedEntityId using the equals operator or multiple Id's using the IN operator."
            )
        return query

    def selected(self) -> tuple[list[str], bool]:
        """The names behind SELECT (`*` for FIELDS(ALL)), and whether rows are only counted."""
        wanted, count = [], False
        while True:
            name = self.name()
            if self.sign("("):
                inner = "" if self.peek() == ("sign", ")") else self.name()
                self.expect(")")
                if name.lower() == "count" and not inner:
                    count = True
                elif name.lower() == "fields" and inner.lower() == "all":
                    wanted.append("*")
                else:
                    raise malformed(f"unexpected token: '{name}('")
            else:
                wanted.append(name)
            if not self.sign(","):
                return wanted, count

    def ordering(self, sobject: str) -> tuple[str, bool, bool]:
        path, column = self.path(sobject, self.name())
        if not column.filterable:
            raise malformed(f"field '{column.name}' can not be sorted in a query call")
        down = not self.word("asc") and self.word("desc")
        last = False
        if self.word("nulls"):
            last = not self.word("first")
            if last:
                self.expect("last")
        return path, down, last

    def path(self, sobject: str, name: str) -> tuple[str, Column]:
        """A field by its path, in the schema's own spelling. Aborts with INVALID_FIELD."""
        at, spelled = sobject, []
        *parents, last = name.split(".")
        for parent in parents:
            known = next((p for p in PARENTS if p[0] == at and p[1].lower() == parent.lower()), None)
            if known is None:
                raise failed(400, "INVALID_FIELD", f"Didn't understand relationship '{parent}' in field path.")
            spelled.append(known[1])
            at = PARENTS[known][1]
        column = next((c for n, c in self.org.columns(at).items() if n.lower() == last.lower()), None)
        if column is None:
            text = f"No such column '{last}' on entity '{at}'. If you are attempting to use a custom field, be sure"
            raise failed(400, "INVALID_FIELD", f"{text} to append the '__c' after the custom field name.")
        return ".".join([*spelled, column.name]), column

    def condition(self, query: Query) -> Test:
        nested, query.filtered = query.filtered, query.filtered - {"semi"}
        tests = [self.term(query)]
        joint = ""
        while self.peek()[0] == "name" and self.peek()[1].lower() in ("and", "or"):
            word = self.next()[1].lower()
            if joint and word != joint:
                raise malformed(f"unexpected token: '{word}'")  # AND and OR mix in brackets only
            joint = word
            tests.append(self.term(query))
        if joint == "or" and "semi" in query.filtered:
            raise malformed("Semi join sub-selects are not allowed with the 'OR' operator")
        query.filtered |= nested
        if len(tests) == 1:
            return tests[0]
        return (lambda row: any(t(row) for t in tests)) if joint == "or" else (lambda row: all(t(row) for t in tests))

    def term(self, query: Query) -> Test:
        if self.word("not"):
            inner = self.term(query)
            return lambda row: not inner(row)
        if self.sign("("):
            before = "semi" in query.filtered
            inner = self.condition(query)
            if "semi" in query.filtered and not before:
                text = "Semi join sub-selects are only allowed at the top level WHERE expressions"
                raise malformed(f"{text} and not in nested WHERE expressions.")
            self.expect(")")
            return inner
        path, column = self.path(query.object, self.name())
        if not column.filterable:
            raise failed(400, "INVALID_FIELD", f"field '{column.name}' can not be filtered in a query call")
        read = self.org.reader(query.object, path)
        if self.word("like"):
            kind, literal = self.next()
            if kind != "text" or column.type in ("id", "reference", "boolean", "datetime", "date", "currency", "int"):
                raise failed(400, "INVALID_QUERY_FILTER_OPERATOR", f"'LIKE' operator cannot be used on {column.name}")
            wanted = pattern(literal)
            return lambda row: (own := read(row)) is not None and wanted.fullmatch(own) is not None
        negated = self.word("not")
        if self.word("in"):
            query.filtered.add(f"{path}=")
            values = self.members(query, column)
            return (
                (lambda row: folded(read(row)) not in values) if negated else (lambda row: folded(read(row)) in values)
            )
        kind, sign = self.next()
        if kind != "sign" or sign in "(),":
            raise malformed(f"unexpected token: '{sign}'")
        if sign == "=":
            query.filtered.add(f"{path}=")
        return compared(sign, read, self.value(column))

    def members(self, query: Query, column: Column) -> set[Any]:
        self.expect("(")
        if self.peek()[1].lower() == "select":
            query.filtered.add("semi")
            inner = self.select()
            if len(inner.select) != 1:
                raise malformed("a semi join sub-select has one field")
            read = self.org.reader(inner.object, inner.select[0])
            found = {folded(read(row)) for row in self.org.rows(inner, deleted=self.deleted)}
        else:
            found = {folded(self.value(column))}
            while self.sign(","):
                found.add(folded(self.value(column)))
        self.expect(")")
        return found

    def value(self, column: Column) -> Any:
        """A literal as the column holds it. Aborts where its kind does not fit."""
        kind, text = self.next()
        if kind == "name" and text.lower() == "null":
            return None
        if column.type in ("id", "reference") and kind == "text":
            found = plain(text)
            if not re.fullmatch(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?", found):
                raise failed(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {found}")
            return eighteen(found[:15])
        wanted = {"boolean": "name", "datetime": "time", "date": "time", "currency": "number", "int": "number"}
        fits = kind == wanted.get(column.type, "text")
        if column.type == "boolean":
            fits = fits and text.lower() in ("true", "false")
        elif kind == "time":
            fits = fits and ("T" in text) == (column.type == "datetime")
        if not fits:
            quotes = " and should not be enclosed in quotes" if kind == "text" else ""
            said = f"value of filter criterion for field '{column.name}' must be of type {column.type}{quotes}"
            raise failed(400, "INVALID_FIELD", said)
        read: dict[str, Callable[[str], Any]] = {
            "name": lambda t: t.lower() == "true", "number": float, "text": plain,
            "time": lambda t: stamp(epoch(t)) if "T" in t else t,
        }  # fmt: skip
        return read[kind](text)


def folded(value: Any) -> Any:
    """A value as `=` compares it: case does not count, except in ids, which differ in their check letters too."""
    return value.casefold() if isinstance(value, str) else value


def compared(sign: str, read: Callable[[Record], Any], wanted: Any) -> Test:
    if sign == "=":
        return lambda row: folded(read(row)) == folded(wanted)
    if sign in ("!=", "<>"):
        return lambda row: folded(read(row)) != folded(wanted)

    def test(row: Record) -> bool:
        own = read(row)
        if own is None or wanted is None:
            return False
        less, same = bool(own < wanted), bool(own == wanted)
        return {"<": less, "<=": less or same, ">": not less and not same, ">=": not less}[sign]

    return test


# --- the double -------------------------------------------------------------------------------------------------------


class Salesforce(Double):
    """One org. It is logged in to at its own domain or at the common hosts; the API answers at `instance_url` alone."""

    name, title = "salesforce", "Salesforce"
    hosts = (
        r"(login|test)\.salesforce\.com",
        r"[a-z0-9-]+(\.(sandbox|develop|scratch|trailblaze))?\.my\.(salesforce|site)\.com",
        r"[a-z]{2,4}\d{1,4}\.salesforce\.com",
    )
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth(f"{LOGIN}/authorize", f"{LOGIN}/token", bodies=frozenset({"form"}))
    kinds: ClassVar[dict[str, str]] = {
        "contacts": "Contact", "accounts": "Account", "opportunities": "Opportunity",
        "contact_roles": "OpportunityContactRole", "tasks": "Task", "notes": "Note", "content_notes": "ContentNote",
        "content_links": "ContentDocumentLink", "products": "Product2", "articles": "Knowledge__kav", "cases": "Case",
        "users": "User",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "access_token_ttl": 7200, "refresh_token_ttl": 365 * 86_400,
        "instance_url": "https://acme.my.salesforce.com", "organization_number": 1, "user_number": 1,
        "username": "admin@acme.example", "refuse_scope_on_refresh": True, "token_error": None, "userinfo_refusal": 403,
        "require_pkce": False,  # an app that more than two customers install has to have it on
        "daily_requests": 15_000, "quota_seconds": 86_400, "limit_info": "",
        "multi_currency": False, "person_accounts": False, "country_codes": False, "custom_fields": {},
        "hidden_objects": [], "hidden_fields": [], "api_enabled": True,
        "duplicate_rule": "off", "validation_rule": None, "upsert_status": 200, "task_statuses": None,
        "call_fields": True, "content_notes": True, "classic_notes": True, "search_options": True,
        "knowledge": "on", "knowledge_object": "Knowledge__kav", "article_channels": True,
        "article_fields": "Answer__c:textarea(32000)", "article_languages": ["en_US"],
        "locator_seconds": 900, "deleted_most": 600_000,
    }  # fmt: skip

    def structure(self) -> None:
        self.locators: dict[str, tuple[float, Query, list[Record], int]] = {}
        self.current_version: dict[tuple[str, str], str] = {}
        self.removed: dict[str, list[tuple[float, str]]] = {}
        self.save("User", self.complete("User", {"Id": self.user_id, "Username": self.settings["username"]}))

    # Hooks

    @property
    def organization_id(self) -> str:
        return salesforce_id("00D", self.settings["organization_number"])

    @property
    def user_id(self) -> str:
        return salesforce_id("005", self.settings["user_number"])

    def normalised(self, path: str) -> str:
        return path.rstrip("/")

    def identity(self) -> Record:
        return {"organization_id": self.organization_id, "user_id": self.user_id,
                "username": self.settings["username"]}  # fmt: skip

    def authenticate(self, request: Request) -> Grant:
        grant = super().authenticate(request)
        own = urlsplit(self.settings["instance_url"]).hostname
        if request.path.startswith(LOGIN):
            if self.settings["enforce_scopes"] and not {"openid", "id", "full"} & set(grant.scope):
                raise Abort(Reply("Insufficient_Scope", 403, content_type="text/html; charset=UTF-8"))
            return grant
        if request.host != own:
            raise Abort(self.unauthenticated("invalid"))
        if self.settings["enforce_scopes"] and not {"api", "full"} & set(grant.scope):
            raise failed(403, "INSUFFICIENT_ACCESS", "This session is not valid for use with the REST API")
        if not self.settings["api_enabled"]:
            raise failed(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner")
        if version := re.match(r"/services/data/([^/]+)", request.path):
            number = re.fullmatch(r"v(\d+)\.0", version[1])
            if number and int(number[1]) <= GONE:
                raise failed(410, "UNSUPPORTED_API_VERSION", "This version of the API has been retired.")
            if not number or not OLDEST <= int(number[1]) <= NEWEST:
                raise failed(404, "NOT_FOUND", "The requested resource does not exist")
        return grant

    def throttle(self, request: Request) -> None:
        size = (
            len(request.raw_path) + len(request.query_string) + sum(len(k) + len(v) for k, v in request.headers.items())
        )
        if size > HEAD:
            page = "<html><body><h1>HTTP/1.1 431 Request Header Fields Too Large</h1></body></html>"
            raise Abort(Reply(page, 414 if len(request.query_string) > HEAD else 431, content_type="text/html"))
        if not request.path.startswith("/services/data/"):
            return
        limit = self.settings["daily_requests"]
        left = (
            self.limiter.hit("daily", limit, self.settings["quota_seconds"])[0]
            if self.settings["rate_limits"]
            else limit - 1
        )
        told = f"api-usage={limit - max(left, 0)}/{limit}{self.settings['limit_info']}"
        request.response_headers = {"sforce-limit-info": told}
        if left < 0:
            raise failed(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

    def not_found(self, request: Request) -> Reply:
        depth = request.raw_path.count("/")
        for (method, count), entries in self.table.items():
            if count == depth and any(p.fullmatch(request.raw_path) for p, _ in entries):
                text = f"HTTP Method '{request.method}' not allowed. Allowed are {method}"
                return failed(405, "METHOD_NOT_ALLOWED", text).reply
        return self.missing().reply

    def missing(self) -> Abort:
        return failed(404, "NOT_FOUND", "The requested resource does not exist")

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        return failed(401, "INVALID_SESSION_ID", "Session expired or invalid").reply

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        error, text = {
            "client": ("invalid_client", "invalid client credentials"),
            "client_mismatch": ("invalid_client_id", "client identifier invalid"),
            "code": ("invalid_grant", "expired authorization code"),
            "redirect": ("redirect_uri_mismatch", "redirect_uri must match configuration"),
            "pkce": ("invalid_grant", "invalid code verifier"),
            "refresh": ("invalid_grant", "expired access/refresh token"),
            "body": ("invalid_request", "the body must be form encoded"),
            "grant_type": ("unsupported_grant_type", "grant type not supported"),
        }[failure]
        return Reply({"error": error, "error_description": text}, 400)

    def exchange(self, request: Request) -> Reply:
        if told := self.settings["token_error"]:
            return Reply({"error": told, "error_description": told.replace("_", " ")}, 400)
        wanted = request.object
        if wanted.get("grant_type") == "refresh_token" and "scope" in wanted and (
            self.settings["refuse_scope_on_refresh"]
        ):  # fmt: skip
            return Reply({"error": "invalid_request", "error_description": "scope parameter not supported"}, 400)
        return super().exchange(request)

    def authorize(self, request: Request) -> Reply:
        if self.settings["require_pkce"] and not request.query.get("code_challenge"):
            text = "<h1>OAuth Error</h1><p>error=invalid_request: missing required code challenge</p>"
            return Reply(text, 400, content_type="text/html; charset=UTF-8")
        return super().authorize(request)

    def redeem(self, client_id: str, wanted: Record, host: str) -> Reply:
        reply = super().redeem(client_id, wanted, host)
        who = self.grants[-1].identity
        same = [g for g in self.grants if not g.revoked and g.client_id == client_id and g.identity == who]
        for grant in same[:-GRANTS]:
            grant.revoked = True
        return reply

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        grant, issued = access.grant, str(int(self.clock.now() * 1000))
        login = "test" if ".sandbox." in self.settings["instance_url"] else "login"
        who = f"https://{login}.salesforce.com/id/{grant.identity['organization_id']}/{grant.identity['user_id']}"
        body = {
            "access_token": access.value, "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
            "scope": " ".join(grant.scope), "instance_url": self.settings["instance_url"], "id": who,
            "token_type": "Bearer", "issued_at": issued,
        }  # fmt: skip
        offline = {"refresh_token", "offline_access", "full"} & set(grant.scope)
        if offline and (wanted["grant_type"] == "authorization_code" or self.settings["rotation"] != "none"):
            body["refresh_token"] = refresh.value
        return Reply(body)  # there is no `expires_in`

    def token_named(self, request: Request) -> Token | None:
        value = str(request.object.get("token", ""))
        return self.refresh_tokens.get(value) or self.access_tokens.get(value)

    @routes.on("POST", f"{LOGIN}/revoke", public=True)
    def revoke_token(self, request: Request) -> Reply:
        token = self.token_named(request) if request.is_form else None
        if token is None or token.grant.revoked or token.dead:
            return Reply({"error": "unsupported_token_type", "error_description": "this token is not known"}, 400)
        if token.value in self.refresh_tokens:
            token.grant.revoked = True
        token.dead = True
        return Reply(None)

    @routes.on("POST", f"{LOGIN}/introspect", public=True)
    def introspect(self, request: Request) -> Reply:
        client_id, _ = self.client(request)
        token = self.token_named(request)
        alive = token is not None and not token.dead and not token.grant.revoked
        if token is None or not alive or token.expires_at <= self.clock.now():
            return Reply({"active": False})
        scope, ends = " ".join(token.grant.scope), int(token.expires_at)
        kind = "refresh_token" if token.value in self.refresh_tokens else "access_token"
        return Reply({"active": True, "client_id": client_id, "exp": ends, "scope": scope, "token_type": kind})

    def who(self, request: Request) -> Reply:
        try:
            request.grant = self.authenticate(request)
        except Abort as stop:
            if stop.reply.status == 401 and self.settings["userinfo_refusal"] == 403:
                return Reply("Bad_OAuth_Token", 403, content_type="text/html; charset=UTF-8")
            raise
        own, known = self.settings["instance_url"], request.grant.identity
        return Reply({
            "sub": f"https://login.salesforce.com/id/{known['organization_id']}/{known['user_id']}",
            "user_id": known["user_id"], "organization_id": known["organization_id"],
            "preferred_username": known["username"], "name": "Sandbox Admin", "email": known["username"],
            "active": True, "user_type": "STANDARD",
            "urls": {"rest": f"{own}/services/data/v{{version}}/", "custom_domain": own},
        })  # fmt: skip

    @routes.on("GET", f"{LOGIN}/userinfo", public=True)
    def userinfo(self, request: Request) -> Reply:
        return self.who(request)

    # Schema

    def columns(self, sobject: str) -> dict[str, Column]:
        """The fields of an object that the user may see."""
        policy = self.settings
        text = f"{SYSTEM} {SCHEMA[sobject]} {policy['custom_fields'].get(sobject, '')}"
        if sobject == "Opportunity" and policy["multi_currency"]:
            text += " CurrencyIsoCode:picklist(3)"
        if sobject == "Contact" and policy["country_codes"]:
            text += " MailingCountryCode:picklist(10)"
        if sobject in ("Contact", "Account") and policy["person_accounts"]:
            text += " IsPersonAccount:boolean!"
        if sobject == "Account" and policy["person_accounts"]:
            text += " FirstName:string(40) LastName:string(80) PersonEmail:email(80) PersonMobilePhone:phone(40) "
            text += "PersonMailingCity:string(40) PersonMailingCountry:string(80) PersonContactId:reference!"
        if sobject == "Knowledge__kav":
            text += f" {policy['article_fields']}"
        found = columns(text)
        gone = {n.partition(".")[2] for n in policy["hidden_fields"] if n.startswith(f"{sobject}.")}
        if sobject == "Knowledge__kav" and not policy["article_channels"]:
            gone |= {n for n in found if n.startswith("IsVisibleIn")}
        if sobject == "Task" and not policy["call_fields"]:
            gone |= {n for n in found if n.startswith("Call")}
        return {name: column for name, column in found.items() if name not in gone}

    def visible(self, name: str) -> str | None:
        """The object by its API name in this org, None where the user cannot see it."""
        policy = self.settings
        if name == policy["knowledge_object"]:
            return "Knowledge__kav" if policy["knowledge"] != "missing" else None
        if name in ("ContentDocument", "Knowledge__kav") or name not in SCHEMA:
            return None
        off = {"ContentNote": not policy["content_notes"], "Note": not policy["classic_notes"]}
        return None if off.get(name) or name in policy["hidden_objects"] else name

    def readable(self, name: str) -> str:
        """The object of a FROM. Aborts with INVALID_TYPE."""
        exact = next((n for n in [*SCHEMA, self.settings["knowledge_object"]] if n.lower() == name.lower()), name)
        if not (found := self.visible(exact)):
            text = f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to"
            raise failed(400, "INVALID_TYPE", f"{text} append the '__c' after the entity name.")
        return found

    def sobject(self, name: str) -> str:
        """The object of a path. Aborts with 404."""
        if not (found := self.visible(name)):
            raise self.missing()
        return found

    def reader(self, sobject: str, path: str) -> Callable[[Record], Any]:
        """Reads a field of a row, across parents."""
        *parents, last = path.split(".")
        steps, at = [], sobject
        for parent in parents:
            key, at = PARENTS[at, parent]
            steps.append((key, self.records[at]))

        def read(row: Record) -> Any:
            for key, table in steps:
                found = table.get(str(row.get(key)))
                if found is None:
                    return None
                row = found
            return row.get(last)

        return read

    # Records

    def infer_kind(self, record: Record) -> str:
        return "Knowledge__kav" if "Title" in record else "Contact" if "LastName" in record else "Product2"

    def key_field(self, kind: str) -> str:
        return "Id"

    def seed(self, data: Any) -> Record:
        """As the base; a record may give a number as `id`, which becomes an id of its object."""
        if isinstance(data, dict) and "generate" not in data:
            data = {k: [self.numbered(self.kind(k), item) for item in items] for k, items in data.items()}
        elif isinstance(data, list):
            data = [self.numbered(self.kind(i.get("_kind") or self.infer_kind(i)), i) for i in data]
        return super().seed(data)

    def numbered(self, kind: str, item: Record) -> Record:
        if "id" not in item:
            return item
        rest = {k: v for k, v in item.items() if k != "id"}
        number = int(item["id"])
        if kind == "Knowledge__kav":
            article, language = salesforce_id("kA0", number), item.get("Language", "en_US")
            known = self.current_version.get((article, language))
            return {"Id": known or salesforce_id("ka0", self.next_id()), "KnowledgeArticleId": article, **rest}
        return {"Id": salesforce_id(PREFIXES[kind], number), **rest}

    def complete(self, kind: str, record: Record) -> Record:
        now = stamp(self.clock.now())
        made: Record = dict.fromkeys(self.columns(kind)) | {
            "Id": salesforce_id(PREFIXES[kind], self.next_id()), "CreatedDate": now, "LastModifiedDate": now,
            "SystemModstamp": now, "IsDeleted": False,
        }  # fmt: skip
        made |= {name: False for name, c in self.columns(kind).items() if c.type == "boolean"}
        given: dict[str, Record] = {
            "Opportunity": {"StageName": "Prospecting", "CloseDate": now[:10], "CurrencyIsoCode": "EUR"},
            "Task": {"Status": "Not Started", "Priority": "Normal", "TaskSubtype": "Task"},
            "Product2": {"IsActive": True}, "ContentNote": {"FileType": "SNOTE"},
            "ContentDocumentLink": {"ShareType": "V"}, "Case": {"Status": "New"},
            "Knowledge__kav": {
                "KnowledgeArticleId": salesforce_id("kA0", self.last_id), "Language": "en_US",
                "PublishStatus": "Online", "IsLatestVersion": True, "VersionNumber": 1, "FirstPublishedDate": now,
                "LastPublishedDate": now, "IsVisibleInPkb": True, "IsVisibleInApp": True,
                "UrlName": f"article-{self.last_id}", "ArticleNumber": f"{self.last_id:09d}",
            },
        }  # fmt: skip
        return self.derived(kind, made | given.get(kind, {}) | record)

    def derived(self, kind: str, record: Record) -> Record:
        """The record with what Salesforce works out of other fields."""
        found = dict(record)
        if kind == "Contact":
            found["Name"] = " ".join(filter(None, (found.get("FirstName"), found.get("LastName"))))
        elif kind == "Opportunity":
            won = found["StageName"] == "Closed Won"
            found |= {"IsWon": won, "IsClosed": won or found["StageName"] == "Closed Lost"}
        elif kind == "Case":
            found["IsClosed"] = found["Status"] == "Closed"
            found["CaseNumber"] = found["CaseNumber"] or found["Id"][7:15]
        elif kind == "Knowledge__kav" and found["PublishStatus"] == "Online":
            self.current_version[found["KnowledgeArticleId"], found["Language"]] = found["Id"]
        return found

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        now = stamp(self.clock.now())
        stamps = {"LastModifiedDate": now, "SystemModstamp": now}
        if kind == "Knowledge__kav" and known["PublishStatus"] == "Online" and "PublishStatus" not in changes:
            # An edit is published as a new version; the old one is archived and stays to be queried.
            archived = {"PublishStatus": "Archived", "IsLatestVersion": False, "ArchivedDate": now}
            self.save(kind, {**known, **archived, **stamps})
            fresh = {"Id": salesforce_id("ka0", self.next_id()), "VersionNumber": known["VersionNumber"] + 1}
            return self.derived(kind, {**known, **changes, **fresh, **stamps, "LastPublishedDate": now})
        return self.derived(kind, {**known, **changes, "Id": known["Id"], **stamps})

    def remove(self, kind: str, key: str) -> Record | None:
        """Into the recycle bin; an article is archived instead, which is how articles leave."""
        known = self.records[kind].get(key)
        if known is None:
            return None
        if kind == "Knowledge__kav":
            archived = {"PublishStatus": "Archived", "ArchivedDate": stamp(self.clock.now())}
            self.current_version.pop((known["KnowledgeArticleId"], known["Language"]), None)
            self.save(kind, self.changed(kind, known, archived))
        else:
            self.save(kind, self.changed(kind, known, {"IsDeleted": True}))
            self.removed.setdefault(kind, []).append((self.clock.now(), key))
        return known

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        if kind == "Knowledge__kav":
            return [{"Title": a.title, "Answer__c": a.body} for a in articles(count, source)]
        if kind in ("Product2", "Account"):
            return [{"Name": a.title, "Description": a.body} for a in articles(count, source)]
        if kind == "Contact":
            return [{"FirstName": p.first, "LastName": p.last, "Email": p.email, "Phone": p.phone}
                    for p in people(count, source)]  # fmt: skip
        if kind == "Case":
            made = articles(count, source)
            return [{"Subject": a.title, "Description": a.body, "Status": "Closed"} for a in made]
        if kind == "Task":
            return [{"Subject": a.title, "Description": a.body} for a in articles(count, source)]
        return super().generate(kind, count, source)

    # Queries

    def rows(self, query: Query, *, deleted: bool) -> list[Record]:
        """What a query finds, in its order, before LIMIT."""
        table = self.records[query.object].values()
        if query.object == "Knowledge__kav" and self.settings["knowledge"] == "unreadable":
            return []
        found = [r for r in table if (deleted or not r["IsDeleted"]) and (query.where is None or query.where(r))]
        for path, down, last in reversed(query.order):
            read = self.reader(query.object, path)
            known = [r for r in found if read(r) is not None]
            blank = [r for r in found if read(r) is None]
            known.sort(key=read, reverse=down)
            found = known + blank if last else blank + known
        return found

    def run(self, request: Request, *, deleted: bool) -> Reply:
        text = request.query.get("q")
        if not text:
            raise malformed("A query string has to be specified")
        query = Parser(self, text, deleted=deleted).statement()
        found = self.rows(query, deleted=deleted)[query.offset :]
        found = found if query.limit is None else found[: query.limit]
        if query.count:
            return Reply({"totalSize": len(found), "done": True, "records": []})
        hint = re.search(r"batchSize=(\d+)", request.headers.get("sforce-query-options", ""))
        size = min(max(int(hint[1]) if hint else MOST_ROWS, FEWEST_ROWS), MOST_ROWS)
        size = min(size, self.settings["page_size_max"] or size)
        key = f"01g{secrets.token_hex(7)}"
        self.locators[key] = (self.clock.now(), query, found, size)
        return self.page(request, key, 0)

    def page(self, request: Request, key: str, start: int) -> Reply:
        _, query, found, size = self.locators[key]
        self.locators[key] = (self.clock.now(), query, found, size)
        base = "/".join(request.path.split("/")[:5])
        shown = [self.projected(query, row) for row in found[start : start + size]]
        body: Record = {"totalSize": len(found), "done": start + size >= len(found), "records": shown}
        if not body["done"]:
            body["nextRecordsUrl"] = f"{base}/{key}-{start + size}"
        else:
            del self.locators[key]
        return Reply(body)

    def projected(self, query: Query, row: Record) -> Record:
        shown = self.attributes(query.object, row)
        for path in query.select:
            *parents, last = path.split(".")
            at, sobject, source = shown, query.object, row
            for parent in parents:
                key, sobject = PARENTS[sobject, parent]
                found = self.records[sobject].get(str(source.get(key)))
                if found is None:
                    at.setdefault(parent, None)
                    break
                source = found
                at = at.setdefault(parent, self.attributes(sobject, found))
            else:
                at[last] = self.served(sobject, last, source)
        return shown

    def attributes(self, sobject: str, row: Record) -> Record:
        name = self.settings["knowledge_object"] if sobject == "Knowledge__kav" else sobject
        return {"attributes": {"type": name, "url": f"/services/data/v66.0/sobjects/{name}/{row['Id']}"}}

    def served(self, sobject: str, name: str, row: Record) -> Any:
        if name == "Content":  # a blob is told by its address
            return f"/services/data/v66.0/sobjects/{sobject}/{row['Id']}/Content"
        return row.get(name)

    @routes.on("GET", f"{DATA}/query")
    def query(self, request: Request, version: str) -> Reply:
        return self.run(request, deleted=False)

    @routes.on("GET", f"{DATA}/queryAll")
    def query_all(self, request: Request, version: str) -> Reply:
        return self.run(request, deleted=True)

    @routes.on("GET", f"{DATA}/query/{{locator}}")
    def query_more(self, request: Request, version: str, locator: str) -> Reply:
        key, _, start = locator.rpartition("-")
        known = self.locators.get(key)
        if known is None or not start.isdigit() or known[0] + self.settings["locator_seconds"] < self.clock.now():
            raise failed(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self.page(request, key, int(start))

    @routes.on("GET", f"{DATA}/queryAll/{{locator}}")
    def query_all_more(self, request: Request, version: str, locator: str) -> Reply:
        return self.query_more(request, version, locator)

    @routes.on("POST", f"{DATA}/parameterizedSearch")
    def search(self, request: Request, version: str) -> Reply:
        wanted = self.body(request)
        known = {"q", "fields", "sobjects"} | ({"in", "overallLimit"} if self.settings["search_options"] else set())
        if odd := sorted(set(wanted) - known):
            raise failed(400, "JSON_PARSER_ERROR", f'Unrecognized field "{odd[0]}"')
        words = str(wanted.get("q", "")).split()
        if sum(map(len, words)) < 2:
            raise failed(400, "MALFORMED_SEARCH", "search term must be longer than one character")
        found = []
        for item in wanted.get("sobjects") or []:
            sobject, fields = self.readable(item["name"]), item.get("fields") or wanted.get("fields") or ["Id"]
            parser = Parser(self, "", deleted=False)
            query = Query(sobject, [parser.path(sobject, name)[0] for name in fields])
            table = self.columns(sobject)
            hits = [r for r in self.indexed(sobject) if not r["IsDeleted"] and all(spoken(w, r, table) for w in words)]
            found += [self.projected(query, row) for row in hits[: int(item.get("limit") or MOST_ROWS)]]
        return Reply({"searchRecords": found[: int(wanted.get("overallLimit") or MOST_ROWS)]})

    # Objects

    def body(self, request: Request) -> Record:
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise failed(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type is not supported")
        if not isinstance(request.data, dict):
            raise failed(400, "JSON_PARSER_ERROR", "The body is not a JSON object")
        return request.data

    def one(self, sobject: str, key: str) -> Record:
        found = self.records[sobject].get(eighteen(key[:15]) if len(key) in (15, 18) else key)
        if found is None:
            raise failed(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible")
        if found["IsDeleted"]:
            raise failed(404, "ENTITY_IS_DELETED", "entity is deleted")
        return found

    @routes.on("GET", "/services/data", public=True)
    def versions_list(self, request: Request) -> Reply:
        return Reply([{"label": f"v{n}", "url": f"/services/data/v{n}.0", "version": f"{n}.0"}
                      for n in range(OLDEST, NEWEST + 1)])  # fmt: skip

    @routes.on("GET", f"{DATA}/limits")
    def limits(self, request: Request, version: str) -> Reply:
        most = self.settings["daily_requests"]
        used = len(self.limiter.hits.get("daily", ()))
        return Reply({"DailyApiRequests": {"Max": most, "Remaining": max(0, most - used)}})

    @routes.on("GET", f"{DATA}/sobjects/{{object}}/describe")
    def describe(self, request: Request, version: str, name: str) -> Reply:
        sobject = self.sobject(name)
        fields = [self.described(sobject, c) for c in self.columns(sobject).values()]
        return Reply({
            "name": name, "label": name, "labelPlural": f"{name}s", "keyPrefix": PREFIXES[sobject], "custom": False,
            "queryable": True, "retrieveable": True, "searchable": True, "replicateable": True,
            "createable": sobject != "Knowledge__kav", "updateable": True, "deletable": True, "fields": fields,
            "childRelationships": [], "recordTypeInfos": [],
            "urls": {"sobject": f"/services/data/{version}/sobjects/{name}"},
        })  # fmt: skip

    def described(self, sobject: str, column: Column) -> Record:
        values: Iterable[tuple[str, str]] = ()
        if column.name == "Language":
            values = ((text, text) for text in self.settings["article_languages"])
        elif column.name == "MailingCountryCode":
            values = COUNTRIES.items()
        elif (sobject, column.name) == ("Task", "Status"):
            values = ((text, text) for text in self.statuses())
        elif column.name == "StageName":
            values = ((text, text) for text in STAGES)
        elif column.name == "Tier__c":
            values = (("gold", "Gold"), ("silver", "Silver"))
        html = column.type == "textarea" and column.name.endswith("__c")
        return {
            "name": column.name, "label": column.name, "type": column.type, "length": column.length,
            "createable": column.written, "updateable": column.written, "nillable": not column.required,
            "custom": column.name.endswith("__c"), "sortable": column.filterable,
            "calculated": False, "defaultedOnCreate": False,
            "externalId": column.external, "unique": column.external, "filterable": column.filterable,
            "htmlFormatted": html, "extraTypeInfo": "richtextarea" if html else None,
            "picklistValues": [{"value": v, "label": t, "active": True, "defaultValue": False} for v, t in values],
        }  # fmt: skip

    def statuses(self) -> list[str]:
        return self.settings["task_statuses"] or ["Not Started", "In Progress", "Completed"]

    @routes.on("GET", f"{DATA}/sobjects/{{object}}/deleted")
    def deleted_records(self, request: Request, version: str, name: str) -> Reply:
        kind, now = self.sobject(name), self.clock.now()
        form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
        given = [request.query.get(key, "") for key in ("start", "end")]
        if not all(re.fullmatch(form, text) for text in given):
            raise failed(400, "INVALID_REPLICATION_DATE", "start and end are date times with an encoded offset")
        start, end = (epoch(text) // 60 * 60 for text in given)  # seconds are ignored
        if end - start < 60 or start < now - DELETED_DAYS * 86_400:
            raise failed(400, "INVALID_REPLICATION_DATE", "the window is too short or starts more than 15 days ago")
        ids = [(at, key) for at, key in self.removed.get(kind, []) if start <= at < end]
        if len(ids) > self.settings["deleted_most"]:
            raise failed(400, "EXCEEDED_ID_LIMIT", "too many ids; use a shorter window")
        return Reply({
            "deletedRecords": [{"id": key, "deletedDate": stamp(at)} for at, key in ids],
            "earliestDateAvailable": stamp(now - 90 * 86_400), "latestDateCovered": stamp(min(end, now // 60 * 60)),
        })  # fmt: skip

    @routes.on("POST", f"{DATA}/sobjects/{{object}}")
    def create(self, request: Request, version: str, name: str) -> Reply:
        made = self.inserted(self.sobject(name), self.body(request), request)
        return Reply({"id": made["Id"], "success": True, "errors": []}, 201)

    def inserted(self, sobject: str, wanted: Record, request: Request) -> Record:
        wanted = self.checked(sobject, wanted, None)
        absent = [c.name for c in self.columns(sobject).values() if c.required and wanted.get(c.name) in (None, "")]
        if absent:
            text = f"Required fields are missing: [{', '.join(absent)}]"
            raise failed(400, "REQUIRED_FIELD_MISSING", text, absent)
        if sobject == "Contact":
            self.duplicates(wanted, request)
        made = self.complete(sobject, wanted)
        self.save(sobject, made)
        return made

    def checked(self, sobject: str, wanted: Record, own: str | None) -> Record:
        """The fields of a write as they are stored. Aborts as Salesforce does."""
        table, found = self.columns(sobject), {k: v for k, v in wanted.items() if k != "attributes"}
        for name in found:
            if name not in table:
                raise failed(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}")
        if closed := [name for name in found if not table[name].written]:
            text = f"Unable to create/update fields: {', '.join(closed)}. Please check the security settings of this"
            raise failed(
                400, "INVALID_FIELD_FOR_INSERT_UPDATE", f"{text} field and verify that it is read/write.", closed
            )
        for name, value in found.items():
            self.check_value(sobject, table[name], value, own)
        rule = self.settings["validation_rule"]
        if rule and rule["object"] == sobject and rule["field"] in found:
            raise failed(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", rule["message"], [rule["field"]])
        if sobject == "Contact" and self.settings["country_codes"]:
            if "MailingCountryCode" in found:
                found["MailingCountry"] = COUNTRIES.get(found["MailingCountryCode"])
            elif found.get("MailingCountry") and found["MailingCountry"] not in COUNTRIES.values():
                text = "There's a problem with this country, even though it may appear correct."
                raise failed(400, "FIELD_INTEGRITY_EXCEPTION", text, ["MailingCountry"])
        return found

    def check_value(self, sobject: str, column: Column, value: Any, own: str | None) -> None:
        name = column.name
        if value is None:
            return
        fits = isinstance(value, {"boolean": bool, "int": int, "currency": int | float}.get(column.type, str))
        if not fits or (column.type == "date" and not re.fullmatch(r"\d{4}-\d\d-\d\d", value)):
            raise failed(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of {column.type} from value")
        if column.length and len(str(value)) > column.length:
            text = f"{name}: data value too large: {value} (max length={column.length})"
            raise failed(400, "STRING_TOO_LONG", text, [name])
        if column.type == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
            raise failed(400, "INVALID_EMAIL_ADDRESS", f"{name}: invalid email address: {value}", [name])
        if column.type == "base64":
            base64.b64decode(value, validate=True)
        if (sobject, name) == ("Task", "Status") and value not in self.statuses():
            raise failed(
                400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"bad value for picklist field: {value}", [name]
            )
        if column.type == "reference" and not any(value in table for table in self.records.values()):
            raise failed(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if column.external and (other := self.by_key(sobject, name, value)) and other[0]["Id"] != own:
            text = f"duplicate value found: {name} duplicates value on record with id: {other[0]['Id'][:15]}"
            raise failed(400, "DUPLICATE_VALUE", text)

    def by_key(self, sobject: str, name: str, value: str) -> list[Record]:
        return [r for r in self.records[sobject].values() if not r["IsDeleted"] and r.get(name) == value]

    def duplicates(self, wanted: Record, request: Request) -> None:
        """A duplicate rule by e-mail address, or by full name and phone."""
        rule = self.settings["duplicate_rule"]
        if rule == "off" or (rule == "alert" and "allowsave=true" in (
            request.headers.get("sforce-duplicate-rule-header", "").lower().replace(" ", "")
        )):  # fmt: skip
            return
        email = (wanted.get("Email") or "").casefold()
        name = " ".join(filter(None, (wanted.get("FirstName"), wanted.get("LastName")))).casefold()
        found = [
            r for r in self.records["Contact"].values() if not r["IsDeleted"] and (
                (email and (r["Email"] or "").casefold() == email)
                or (r["Name"].casefold() == name and r["Phone"] and r["Phone"] == wanted.get("Phone")))
        ]  # fmt: skip
        if not found:
            return
        rows = [{"matchConfidence": 100.0, "fieldDiffs": [], "additionalInformation": [],
                 "record": {**self.attributes("Contact", r), "Id": r["Id"]}} for r in found]  # fmt: skip
        result = {
            "allowSave": rule == "alert", "duplicateRule": "Standard_Contact_Duplicate_Rule",
            "duplicateRuleEntityType": "Contact", "errorMessage": "Use one of these records?",
            "matchResults": [{"entityType": "Contact", "errors": [], "matchEngine": "FuzzyMatchEngine",
                              "matchRecords": rows, "rule": "Standard_Contact_Match_Rule", "size": len(rows),
                              "success": True}],
        }  # fmt: skip
        raise failed(400, "DUPLICATES_DETECTED", "Use one of these records?", duplicateResult=result)

    @routes.on("GET", f"{DATA}/sobjects/ContentNote/{{id}}/Content")
    def note_content(self, request: Request, version: str, key: str) -> Reply:
        return Reply(
            base64.b64decode(self.one(self.sobject("ContentNote"), key)["Content"] or ""), content_type="text/html"
        )

    @routes.on("GET", f"{DATA}/sobjects/{{object}}/{{id}}")
    def retrieve(self, request: Request, version: str, name: str, key: str) -> Reply:
        sobject = self.sobject(name)
        return Reply(self.whole(sobject, self.one(sobject, key), request.query.get("fields")))

    def whole(self, sobject: str, row: Record, fields: str | None) -> Record:
        names = [n.strip() for n in fields.split(",")] if fields else list(self.columns(sobject))
        if odd := [n for n in names if n not in self.columns(sobject)]:
            raise failed(400, "INVALID_FIELD", f"No such column '{odd[0]}' on entity '{sobject}'")
        return {**self.attributes(sobject, row), **{n: self.served(sobject, n, row) for n in (*names, "Id")}}

    @routes.on("PATCH", f"{DATA}/sobjects/{{object}}/{{id}}")
    def update(self, request: Request, version: str, name: str, key: str) -> Reply:
        sobject = self.sobject(name)
        self.updated(sobject, self.one(sobject, key), self.body(request))
        return Reply(None, 204)

    def updated(self, sobject: str, known: Record, wanted: Record) -> None:
        if sobject == "Contact" and known.get("IsPersonAccount"):
            text = "Unable to create/update fields: a person account is edited through its Account."
            raise failed(400, "INVALID_FIELD_FOR_INSERT_UPDATE", text, list(wanted))
        changes = self.checked(sobject, wanted, known["Id"])
        self.save(sobject, self.changed(sobject, known, changes))
        if sobject == "Account" and (person := known.get("PersonContactId")):
            mirrored = {PERSON[n]: v for n, v in changes.items() if n in PERSON}
            self.save("Contact", self.changed("Contact", self.records["Contact"][person], mirrored))

    @routes.on("DELETE", f"{DATA}/sobjects/{{object}}/{{id}}")
    def delete(self, request: Request, version: str, name: str, key: str) -> Reply:
        sobject = self.sobject(name)
        self.remove(sobject, self.one(sobject, key)["Id"])
        return Reply(None, 204)

    def external(self, sobject: str, name: str, value: str) -> list[Record]:
        column = self.columns(sobject).get(name)
        if column is None or not column.external:
            text = f"Provided external ID field does not exist or is not accessible: {name}"
            raise failed(404, "NOT_FOUND", text)
        return self.by_key(sobject, name, value)

    @routes.on("GET", f"{DATA}/sobjects/{{object}}/{{field}}/{{value}}")
    def retrieve_by(self, request: Request, version: str, name: str, by: str, value: str) -> Reply:
        sobject = self.sobject(name)
        found = self.external(sobject, by, value)
        if len(found) > 1:
            return Reply([f"/services/data/{version}/sobjects/{name}/{row['Id']}" for row in found], 300)
        if not found:
            raise self.missing()
        return Reply(self.whole(sobject, found[0], request.query.get("fields")))

    @routes.on("PATCH", f"{DATA}/sobjects/{{object}}/{{field}}/{{value}}")
    def upsert(self, request: Request, version: str, name: str, by: str, value: str) -> Reply:
        sobject, wanted = self.sobject(name), self.body(request)
        found = self.external(sobject, by, value)
        if {"Id", by} & set(wanted):
            text = f"The {by} field should not be specified in the sobject data."
            raise failed(400, "INVALID_FIELD", text, [by])
        if len(found) > 1:
            return Reply([f"/services/data/{version}/sobjects/{name}/{row['Id']}" for row in found], 300)
        if found:
            self.updated(sobject, found[0], wanted)
            if self.settings["upsert_status"] == 204:
                return Reply(None, 204)
            return Reply({"id": found[0]["Id"], "success": True, "errors": [], "created": False})
        if request.query.get("updateOnly") == "true":
            raise self.missing()
        made = self.inserted(sobject, {**wanted, by: value}, request)
        return Reply({"id": made["Id"], "success": True, "errors": [], "created": True}, 201)

    # Composite

    @routes.on("POST", f"{DATA}/composite")
    def composite(self, request: Request, version: str) -> Reply:
        wanted = self.body(request)
        parts = wanted.get("compositeRequest") or []
        if len(parts) > COMPOSITE:
            raise failed(400, "LIMIT_EXCEEDED", f"The composite request has more than {COMPOSITE} sub-requests")
        before = {kind: dict(rows) for kind, rows in self.records.items()}
        answers: list[Record] = []
        for part in parts:
            answers.append(self.part(request, part, answers))
            if wanted.get("allOrNone") and answers[-1]["httpStatusCode"] >= 300:
                self.records.update(before)
                halted = [{"errorCode": "PROCESSING_HALTED", "message": "The transaction was rolled back since another "
                           "operation in the same transaction failed."}]  # fmt: skip
                at = len(answers) - 1
                answers = [
                    answers[at] if n == at else
                    {"body": halted, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": p["referenceId"]}
                    for n, p in enumerate(parts)
                ]  # fmt: skip
                break
        return Reply({"compositeResponse": answers})

    def part(self, outer: Request, part: Record, before: list[Record]) -> Record:
        """One sub-request, with `@{reference.id}` filled in."""
        known = {f"@{{{a['referenceId']}.id}}": a["body"]["id"] for a in before if a["httpStatusCode"] == 201}
        text = orjson.dumps(part).decode()
        for mark, value in known.items():
            text = text.replace(mark, value)
        filled = orjson.loads(text)
        url = urlsplit(filled["url"])
        body = orjson.dumps(filled["body"]) if "body" in filled else b""
        headers = {**outer.headers, "content-type": "application/json"}
        inner = Request(filled["method"], outer.host, url.path, url.query, headers, body)
        inner.grant = outer.grant
        reply = self.missing().reply
        for shape, entry in self.table.get((inner.method, inner.raw_path.count("/")), ()):
            if match := shape.fullmatch(inner.raw_path):
                try:
                    reply = entry.handler(self, inner, *match.groups())
                except Abort as stop:
                    reply = stop.reply
                break
        return {"body": reply.body, "httpHeaders": {}, "httpStatusCode": reply.status,
                "referenceId": part["referenceId"]}  # fmt: skip


def digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def spoken(word: str, row: Record, table: dict[str, Column]) -> bool:
    """Whether a word of a search is in a row: whole words of texts (a `*` ends a beginning), or a phone number that
    ends with its digits, however either is written.
    """
    wanted = word.casefold()
    for column in table.values():
        own = row.get(column.name)
        if not isinstance(own, str):
            continue
        if column.type == "phone" and len(digits(wanted)) > 3 and digits(own).endswith(digits(wanted)):
            return True
        words = [own.casefold(), *re.split(r"[^\w]+", own.casefold())]
        if wanted in words or (wanted.endswith("*") and any(w.startswith(wanted[:-1]) for w in words)):
            return True
    return False
