"""Stripe. Quirks: two OAuth systems, form bodies with brackets, idempotency keys, a search that lags."""

import base64
import random
import re
from collections.abc import Callable, Iterable
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
    Route,
    Routes,
    Token,
    TokenFailure,
)
from sandbox.text import articles, people

CUSTOMER_TEXTS = {"name": 256, "email": 512, "phone": 20, "description": 5000}
ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
METADATA = (50, 40, 500)  # keys, characters of a key, characters of a value
SEARCHED = {"customer": ("email", "name", "phone", "metadata", "created")}
PREFIX = {
    "customer": "cus",
    "product": "prod",
    "price": "price",
    "charge": "ch",
    "subscription": "sub",
    "invoice": "in",
}
LISTS: dict[str, tuple[str, ...]] = {  # what a list can be filtered by
    "customer": ("email",), "charge": ("customer", "payment_intent"), "subscription": ("customer", "price"),
    "invoice": ("customer", "status", "subscription"), "product": ("active",), "price": ("active", "product"),
}  # fmt: skip
VERSION = re.compile(r"\d{4}-\d\d-\d\d(\.[a-z]+)?")


class Stripe(Double):
    """One Stripe account; the connected one is told by `account_id`, its mode by `livemode`."""

    name, title = "stripe", "Stripe"
    hosts = (r"api\.stripe\.com", r"connect\.stripe\.com", r"marketplace\.stripe\.com")
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/oauth/v2/authorize", "/v1/oauth/token", bodies=frozenset({"form"}))
    kinds: ClassVar[dict[str, str]] = {
        "customers": "customer", "products": "product", "prices": "price", "charges": "charge",
        "subscriptions": "subscription", "invoices": "invoice",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "access_token_ttl": 3600, "refresh_token_ttl": 365 * 86_400, "rotation": "rotate", "shapes": "new",
        "account_id": "acct_1Sandbox",
        "livemode": False, "country": "IE", "account_name": "Sandbox Shop",
        "per_second": 25, "searches_per_second": 20,
        "stored_failures": 0,  # how many of the next keyed writes end with a 500, which their key then repeats
    }  # fmt: skip

    def structure(self) -> None:
        self.idempotent: dict[tuple[str, str], tuple[tuple[str, bytes], Reply]] = {}
        self.made = 0

    def all_routes(self) -> Iterable[Route]:
        yield from super().all_routes()
        page = type(self).authorize
        for path in ("/oauth/v2/{channel}/authorize", "/oauth/authorize"):
            yield Route("GET", path, lambda self, request, *_: page(self, request), public=True)
        yield Route("POST", "/oauth/token", type(self).exchange, public=True)

    # Hooks

    def served_here(self, entry: Any, request: Request) -> bool:
        own = (
            "marketplace.stripe.com" if entry.path.startswith("/oauth/v2/")
            else "connect.stripe.com" if entry.path.startswith("/oauth/") else "api.stripe.com"
        )  # fmt: skip
        return request.host == own

    def identity(self) -> Record:
        return {name: self.settings[name] for name in ("account_id", "livemode", "account_name", "country")}

    def issue_code(self, query: Record, scope: tuple[str, ...], host: str) -> str:
        value = super().issue_code(query, scope, host)
        self.codes[value].grant.identity["system"] = "connect" if host.startswith("connect") else "apps"
        return value

    def client(self, request: Request) -> tuple[str, Record]:
        """The secret key stands for the client: as Basic user name, as Bearer key, or (Connect) in the body."""
        if not request.is_form:
            raise Abort(self.oauth_error("body"))
        wanted, connect = request.object, request.host.startswith("connect")
        key = self.key(request) or (wanted.get("client_secret") if connect else None)
        if key != self.settings["client_secret"]:
            raise Abort(self.refused_key() if not connect else self.oauth_error("client"))
        known = self.codes.get(str(wanted.get("code"))) or self.refresh_tokens.get(str(wanted.get("refresh_token")))
        if known and (known.grant.identity["system"] == "connect") != connect:
            text = "Authorization code provided does not belong to you"
            raise Abort(Reply({"error": "invalid_grant", "error_description": text}, 400))
        # A code tells its redirect URI itself: none is sent again.
        code = self.codes.get(str(wanted.get("code")))
        return (known.grant.client_id if known else ""), {**wanted, "redirect_uri": code.redirect_uri if code else ""}

    def key(self, request: Request) -> str | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                return base64.b64decode(value, validate=True).decode().partition(":")[0]
            except ValueError:
                return None
        return value or None

    def access_ttl(self, wanted: Record) -> float:
        known = self.codes.get(str(wanted.get("code"))) or self.refresh_tokens.get(str(wanted.get("refresh_token")))
        connect = known is not None and known.grant.identity["system"] == "connect"
        return 10**9 if connect else float(self.settings["access_token_ttl"])

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        who = access.grant.identity
        return Reply({
            "access_token": access.value, "refresh_token": refresh.value, "token_type": "bearer",
            "scope": "stripe_apps" if who["system"] == "apps" else "read_write", "livemode": who["livemode"],
            "stripe_user_id": who["account_id"], "stripe_publishable_key": f"pk_{who['account_id']}",
        })  # fmt: skip

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        if failure == "client":
            return Reply({"error": "invalid_client", "error_description": "No such API key"}, 401)
        error = {"body": "invalid_request", "grant_type": "unsupported_grant_type"}.get(failure, "invalid_grant")
        text = "Authorization code does not exist" if failure == "code" else f"{failure} is not valid"
        return Reply({"error": error, "error_description": text}, 400)

    def error(self, status: int, message: str, *, kind: str = "invalid_request_error", **more: Any) -> Reply:
        return Reply({"error": {"type": kind, "message": message, **more}}, status)

    def refused_key(self) -> Reply:
        return self.error(401, "Invalid API Key provided: sk_******")

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        text = "Expired API Key provided" if failure == "expired" else "Invalid API Key provided"
        return self.error(401, text, **({"code": "api_key_expired"} if failure == "expired" else {}))

    def not_found(self, request: Request) -> Reply:
        text = f"Unrecognized request URL ({request.method}: {request.path})."
        return self.error(404, text)

    def authenticate(self, request: Request) -> Grant:
        """An access token, or the platform's key with the account that it speaks for."""
        account = request.headers.get("stripe-account")
        if account is None:
            return super().authenticate(request)
        if self.key(request) != self.settings["client_secret"]:
            raise Abort(self.unauthenticated("invalid"))
        live = [g for g in self.grants if g.identity["account_id"] == account and not g.revoked]
        if not live:
            text = f"The provided key does not have access to account '{account}' (or that account does not exist)."
            raise Abort(self.error(403, text, code="account_invalid"))
        return live[-1]

    def throttle(self, request: Request) -> None:
        if request.grant is None:
            return
        request.response_headers = {"request-id": f"req_{self.next_id()}"}
        if not VERSION.fullmatch(request.headers.get("stripe-version", "")):
            raise Abort(self.error(400, "Invalid Stripe API version"))
        search = request.raw_path.endswith("/search")
        bucket, limit = (
            ("search", self.settings["searches_per_second"]) if search else ("all", self.settings["per_second"])
        )
        if self.settings["rate_limits"] and self.limiter.hit(bucket, limit, 1)[0] < 0:
            request.response_headers["stripe-rate-limited-reason"] = "global-rate"
            raise Abort(self.error(429, "Request rate limit exceeded.", code="rate_limit"))

    # Records

    def infer_kind(self, record: Record) -> str:
        return "customer" if "email" in record else "product"

    def complete(self, kind: str, record: Record) -> Record:
        now = int(self.clock.now())
        number = record.get("id") or f"{PREFIX[kind]}_{self.next_id()}"
        self.made += 1
        base: Record = {
            "id": number, "object": kind, "created": now, "livemode": self.settings["livemode"], "metadata": {},
        }  # fmt: skip
        extra: dict[str, Record] = {
            "customer": {"address": None, "balance": 0, "currency": None, "default_source": None, "delinquent": False,
                         "description": None, "discount": None, "email": None, "invoice_prefix": "ABCDEF",
                         "name": None, "next_invoice_sequence": 1, "phone": None, "preferred_locales": [],
                         "shipping": None, "tax_exempt": "none"},
            "product": {"active": True, "description": None, "images": [], "name": "", "package_dimensions": None,
                        "shippable": None, "statement_descriptor": None, "tax_code": None, "unit_label": None,
                        "updated": now, "url": None, "default_price": None,
                        **({"features": []} if self.settings["shapes"] == "old" else {"marketing_features": []})},
            "price": {"active": True, "billing_scheme": "per_unit", "currency": "eur", "custom_unit_amount": None,
                      "lookup_key": None, "nickname": None, "product": "", "recurring": None, "tiers_mode": None,
                      "transform_quantity": None, "type": "recurring" if record.get("recurring") else "one_time",
                      "unit_amount": 0, "unit_amount_decimal": str(record.get("unit_amount", 0))},
            "charge": {"amount": 0, "amount_captured": record.get("amount", 0), "amount_refunded": 0,
                       "billing_details": {"address": None, "email": None, "name": None, "phone": None},
                       "captured": True, "currency": "eur", "customer": None, "description": None, "disputed": False,
                       "failure_code": None, "failure_message": None, "paid": True, "payment_intent": None,
                       "receipt_url": None, "refunded": False, "status": "succeeded"},
            "subscription": {"automatic_tax": {"enabled": False}, "billing_cycle_anchor": now,
                             "cancel_at_period_end": False, "canceled_at": None,
                             "collection_method": "charge_automatically", "currency": "eur", "customer": "",
                             "description": None, "latest_invoice": None, "start_date": now, "status": "active"},
            "invoice": {"amount_due": 0, "amount_paid": 0, "amount_remaining": 0, "amount_shipping": 0,
                        "attempt_count": 0, "attempted": False, "automatic_tax": {"enabled": False, "status": None},
                        "collection_method": "charge_automatically", "currency": "eur", "customer": None,
                        "default_tax_rates": [], "description": None, "due_date": None, "hosted_invoice_url": None,
                        "lines": {"object": "list", "data": [], "has_more": False,
                                  "url": f"/v1/invoices/{number}/lines"},
                        "number": None, "period_end": now, "period_start": now,
                        "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0,
                        "starting_balance": 0, "status": "open", "status_transitions": {}, "payment_settings": {},
                        "subtotal": record.get("total", 0), "total": 0, "total_tax_amounts": []},
        }  # fmt: skip
        made = {**base, **extra[kind], **record, "id": number}
        if kind == "subscription":
            made = self.subscribed(made, now)
        if kind == "invoice" and self.settings["shapes"] == "old":
            made |= {
                "paid": made["status"] == "paid",
                "paid_out_of_band": False,
                "subscription": made.get("subscription"),
            }
        return {**made, "_n": self.made}

    def subscribed(self, made: Record, now: int) -> Record:
        """The period stands on the subscription in old versions, on its items in new ones."""
        period = {"current_period_start": now, "current_period_end": made.pop("current_period_end", now + 30 * 86_400)}
        old = self.settings["shapes"] == "old"
        price = made.pop("price", None)
        item = {
            "id": f"si_{made['id']}", "object": "subscription_item", "created": now, "metadata": {}, "quantity": 1,
            "price": self.visible(self.records["price"][price]) if price else None, "subscription": made["id"],
            **({} if old else period),
        }  # fmt: skip
        items = {"object": "list", "data": [item] if price else [], "has_more": False, "url": "/v1/subscription_items"}
        return {**made, **(period if old else {}), "items": items}

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        stamp = {"updated": int(self.clock.now())} if kind == "product" else {}
        return {**known, **stamp, **changes}

    def remove(self, kind: str, key: str) -> Record | None:
        known = self.records[kind].get(key)
        if kind == "customer" and known:  # stays readable, as a stub
            self.save(kind, {"id": key, "object": "customer", "deleted": True, "_n": known["_n"]})
            return known
        return super().remove(kind, key)

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        if kind == "customer":
            return [{"name": f"{p.first} {p.last}", "email": p.email, "phone": p.phone} for p in people(count, source)]
        if kind == "product":
            return [{"name": a.title, "description": a.body} for a in articles(count, source)]
        return super().generate(kind, count, source)

    def visible(self, record: Record) -> Record:
        return {key: value for key, value in record.items() if key != "_n"}

    def one(self, kind: str, key: str) -> Record:
        if (found := self.records[kind].get(key)) is None:
            text = f"No such {kind}: '{key}'"
            raise Abort(self.error(404, text, code="resource_missing", param="id"))
        return found

    # Reading

    def listed(self, request: Request, kind: str, rows: Iterable[Record] | None = None) -> Reply:
        """A list, the newest first, from behind `starting_after`."""
        known = {*LISTS[kind], "limit", "starting_after", "ending_before", "expand[]", "status"}
        for name in request.query:
            if name not in known and not name.startswith("created["):
                raise Abort(
                    self.error(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
                )
        found = [r for r in self.records[kind].values() if not r.get("deleted")] if rows is None else list(rows)
        for name in LISTS[kind]:
            if name in request.query:
                found = [r for r in found if text(r.get(name)) == request.query[name]]
        if (floor := request.query.get("created[gte]")) is not None:
            found = [r for r in found if r["created"] >= int(floor)]
        found.sort(key=lambda r: (r["created"], r["_n"]), reverse=True)
        limit = request.query.get("limit", "10")
        if not limit.isdigit() or not 1 <= int(limit) <= 100:
            raise Abort(self.error(400, f"Invalid integer: {limit}", param="limit"))
        start = 0
        if after := request.query.get("starting_after"):
            places = {r["id"]: n for n, r in enumerate(found)}
            if after not in places:
                raise Abort(
                    self.error(400, f"No such {kind}: '{after}'", code="resource_missing", param="starting_after")
                )
            start = places[after] + 1
        size = self.page_size(request, "limit", 10, 100)
        page = found[start : start + size]
        return Reply({
            "object": "list", "url": request.path, "has_more": start + size < len(found),
            "data": [self.visible(r) for r in page],
        })  # fmt: skip

    @routes.on("GET", "/v1/account")
    def account(self, request: Request) -> Reply:
        who = request.grant.identity if request.grant else {}
        return Reply({
            "id": who["account_id"], "object": "account", "country": who["country"], "email": "owner@sandbox.example",
            "business_profile": {"name": who["account_name"]}, "type": "standard", "charges_enabled": True,
            "payouts_enabled": True, "details_submitted": True, "default_currency": "eur",
            "settings": {
                "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
                "card_payments": {}, "payments": {},
                "dashboard": {"display_name": who["account_name"], "timezone": "Etc/UTC"},
            },
        })  # fmt: skip

    @routes.on("GET", "/v1/customers/search")
    def search_customers(self, request: Request) -> Reply:
        if self.settings["country"] == "IN":
            raise Abort(self.error(400, "Search is not available for accounts in India."))
        rows = [r for r in self.indexed("customer") if not r.get("deleted")]
        try:
            wanted = query(request.query.get("query", ""))
        except ValueError as wrong:
            raise Abort(self.error(400, f"We were unable to parse your search query. {wrong}", param="query")) from None
        found = sorted((r for r in rows if wanted(r)), key=lambda r: -r["_n"])
        size, start = self.page_size(request, "limit", 10, 100), int(request.query.get("page") or 0)
        more = start + size < len(found)
        return Reply({
            "object": "search_result", "url": request.path, "has_more": more,
            "next_page": str(start + size) if more else None,
            "data": [self.visible(r) for r in found[start : start + size]],
        })  # fmt: skip

    @routes.on("GET", "/v1/customers/{id}")
    def customer(self, request: Request, key: str) -> Reply:
        return Reply(self.visible(self.one("customer", key)))  # a deleted one answers 200 as well

    @routes.on("GET", "/v1/customers")
    def customers(self, request: Request) -> Reply:
        return self.listed(request, "customer")

    @routes.on("GET", "/v1/charges")
    def charges(self, request: Request) -> Reply:
        return self.listed(request, "charge")

    @routes.on("GET", "/v1/invoices")
    def invoices(self, request: Request) -> Reply:
        return self.listed(request, "invoice")

    @routes.on("GET", "/v1/subscriptions")
    def subscriptions(self, request: Request) -> Reply:
        wanted = request.query.get("status")
        known = self.records["subscription"].values()
        rows = [r for r in known if (r["status"] != "canceled" if wanted is None else wanted in ("all", r["status"]))]
        return self.listed(request, "subscription", rows)

    @routes.on("GET", "/v1/products/{id}")
    def product(self, request: Request, key: str) -> Reply:
        return Reply(self.visible(self.one("product", key)))

    @routes.on("GET", "/v1/products")
    def products(self, request: Request) -> Reply:
        return self.listed(request, "product")

    @routes.on("GET", "/v1/prices")
    def prices(self, request: Request) -> Reply:
        return self.listed(request, "price")

    # Writing

    def keyed(self, request: Request, write: Callable[[], Reply]) -> Reply:
        """The first answer of an idempotency key again, also a 500; other parameters under it are an error."""
        key = request.headers.get("idempotency-key")
        if key is None:
            return write()
        if len(key) > 255:
            raise Abort(self.error(400, "Idempotency keys have at most 255 characters.", kind="idempotency_error"))
        account, same = request.grant.identity["account_id"] if request.grant else "", (request.path, request.body)
        if (known := self.idempotent.get((account, key))) is not None:
            if known[0] != same:
                text = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                raise Abort(self.error(400, text, kind="idempotency_error"))
            return Reply(known[1].body, known[1].status, {"idempotent-replayed": "true"})
        if self.settings["stored_failures"]:
            self.settings["stored_failures"] -= 1
            reply = self.error(500, "An unknown error occurred", kind="api_error")
        else:
            reply = write()
        self.idempotent[account, key] = (same, reply)
        return reply

    def fields(self, request: Request, known: Record) -> Record:
        """The customer's fields of a form with brackets; an empty text removes what it names."""
        if not request.is_form and request.body:
            raise Abort(self.error(400, "Send the body as application/x-www-form-urlencoded."))
        made: Record = {"metadata": dict(known.get("metadata") or {})}
        address = dict(known.get("address") or {})
        for name, value in request.object.items():
            part = re.fullmatch(r"(\w+)\[([^\[\]]*)\]", name)
            if name in CUSTOMER_TEXTS:
                if len(value) > CUSTOMER_TEXTS[name]:
                    raise Abort(self.error(400, f"Invalid string: {name} is too long", param=name))
                made[name] = value or None
            elif part and part[1] == "metadata":
                self.note(made["metadata"], name, part[2], value)
            elif part and part[1] == "address" and part[2] in ADDRESS:
                address[part[2]] = value or None
            else:
                raise Abort(
                    self.error(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
                )
        if address:
            made["address"] = {name: address.get(name) for name in ADDRESS}
        self.check(made)
        return made

    def note(self, metadata: Record, name: str, key: str, value: str) -> None:
        if len(key) > METADATA[1] or len(value) > METADATA[2]:
            raise Abort(self.error(400, "Metadata keys or values are too long", param=name))
        metadata[key] = value
        if not value:
            del metadata[key]

    def check(self, made: Record) -> None:
        email, country = made.get("email"), (made.get("address") or {}).get("country")
        if email and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
            raise Abort(self.error(400, f"Invalid email address: {email}", code="email_invalid", param="email"))
        if country and not re.fullmatch(r"[A-Z]{2}", country):
            raise Abort(self.error(400, "Country is not valid", code="country_code_invalid", param="address[country]"))
        if len(made["metadata"]) > METADATA[0]:
            raise Abort(self.error(400, "Metadata can have up to 50 keys", param="metadata"))

    @routes.on("POST", "/v1/customers")
    def create_customer(self, request: Request) -> Reply:
        def write() -> Reply:
            made = self.complete("customer", self.fields(request, {}))
            self.save("customer", made)
            return Reply(self.visible(made))

        return self.keyed(request, write)

    @routes.on("POST", "/v1/customers/{id}")
    def update_customer(self, request: Request, key: str) -> Reply:
        def write() -> Reply:
            known = self.one("customer", key)
            if known.get("deleted"):
                raise Abort(self.error(404, f"No such customer: '{key}'", code="resource_missing", param="id"))
            changed = self.changed("customer", known, self.fields(request, known))
            self.save("customer", changed)
            return Reply(self.visible(changed))

        return self.keyed(request, write)

    @routes.on("POST", "/oauth/deauthorize", public=True)
    def deauthorize(self, request: Request) -> Reply:
        if self.key(request) != self.settings["client_secret"]:
            return self.refused_key()
        account = request.object.get("stripe_user_id")
        live = [g for g in self.grants if g.identity["account_id"] == account and not g.revoked]
        if not live:
            text = f"This application is not connected to stripe account {account}, or that account does not exist."
            return Reply({"error": "invalid_client", "error_description": text}, 401)
        for grant in live:
            grant.revoked = True
        return Reply({"stripe_user_id": account})


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


TOKENS = re.compile(
    r"""\s*(?:(?P<word>[A-Za-z_]+)|(?P<op>[:~<>=\[\]-]+?)|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<number>\d+))"""
)


def query(source: str) -> Callable[[Record], bool]:
    """Stripe's search language: clauses `field:"text"` or `metadata["key"]:"text"`, all joined by AND or all by OR."""
    tokens: list[tuple[str, str]] = []
    place = 0
    while source[place:].strip():
        match = TOKENS.match(source, place)
        if match is None:
            raise ValueError("unexpected character")
        kind = match.lastgroup or ""
        value = match[kind]
        tokens.append(("text", re.sub(r"\\(.)", r"\1", value)) if kind in ("double", "single") else (kind, value))
        place = match.end()
    clauses, joints = [], set()
    while tokens:
        clauses.append(clause(tokens))
        if tokens:
            kind, word = tokens.pop(0)
            if kind != "word" or word not in ("AND", "OR") or not tokens:
                raise ValueError("clauses are joined by AND or OR")
            joints.add(word)
    if not clauses or len(joints) > 1:
        raise ValueError("AND and OR do not mix")
    joined = any if joints == {"OR"} else all
    return lambda record: joined(holds(record) for holds in clauses)


def clause(tokens: list[tuple[str, str]]) -> Callable[[Record], bool]:
    def take(*kinds: str) -> str:
        if not tokens or tokens[0][0] not in kinds:
            raise ValueError("a clause is incomplete")
        return tokens.pop(0)[1]

    field = take("word")
    if field not in SEARCHED["customer"]:
        raise ValueError(f"Field `{field}` is an unsupported search field for resource `customers`.")
    key = None
    if field == "metadata":
        if take("op") != "[":
            raise ValueError("metadata needs a key")
        key = take("text")
        if take("op") != "]":
            raise ValueError("metadata needs a key")
    operator, wanted = take("op"), take("text", "number").casefold()
    if operator not in (":", "~"):
        raise ValueError("unknown operator")

    def holds(record: Record) -> bool:
        value = record["metadata"].get(key) if key is not None else record.get(field)
        own = "" if value is None else str(value).casefold()
        return wanted == own if operator == ":" else wanted in own

    return holds
