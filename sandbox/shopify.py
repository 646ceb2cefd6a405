"""Shopify. Quirks: a shop's own host, a signed callback, GraphQL that hides errors in a 200, a bucket of points."""

import base64
import hashlib
import hmac
import random
import re
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    build_schema,
    graphql_sync,
    parse,
    visit,
)

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

VERSIONS = re.compile(r"/admin/api/(20\d\d-(?:01|04|07|10))/graphql\.json")
DAY = 86_400
LONGEST_NOTE = 5000
DEEPEST = 25_000  # objects that paging reaches
SCOPES = {
    "customer": "read_customers", "customers": "read_customers", "customerByIdentifier": "read_customers",
    "orders": "read_orders", "products": "read_products", "product": "read_products", "collections": "read_products",
    "collection": "read_products", "pages": "read_content", "page": "read_content", "articles": "read_content",
    "article": "read_content", "customerCreate": "write_customers", "customerUpdate": "write_customers",
    "metafieldsSet": "write_customers", "tagsAdd": "write_customers",
}  # fmt: skip
# What of the Admin API is served; names and types as in its schema, an unknown one is GraphQL's own error.
SCHEMA = """
scalar DateTime scalar Date scalar URL scalar HTML scalar Decimal scalar UnsignedInt64 scalar Money
enum ProductStatus { ACTIVE ARCHIVED DRAFT }
enum ProductSortKeys { ID CREATED_AT UPDATED_AT TITLE }
enum CustomerSortKeys { ID CREATED_AT UPDATED_AT NAME }
enum OrderSortKeys { ID CREATED_AT UPDATED_AT PROCESSED_AT }
enum ArticleSortKeys { ID UPDATED_AT TITLE }
enum CollectionSortKeys { ID UPDATED_AT TITLE }
enum OrderDisplayFinancialStatus { PENDING AUTHORIZED PAID PARTIALLY_PAID REFUNDED VOIDED }
enum OrderDisplayFulfillmentStatus { FULFILLED UNFULFILLED PARTIALLY_FULFILLED IN_PROGRESS }
enum ShopPolicyType { CONTACT_INFORMATION LEGAL_NOTICE PRIVACY_POLICY REFUND_POLICY SHIPPING_POLICY TERMS_OF_SERVICE }
enum CustomerState { DECLINED DISABLED ENABLED INVITED }
scalar CountryCode scalar CurrencyCode
type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
type MoneyV2 { amount: Decimal! currencyCode: CurrencyCode! }
type MoneyBag { shopMoney: MoneyV2! presentmentMoney: MoneyV2! }
type Domain { id: ID! host: String! url: URL! }
type AccessScope { handle: String! description: String! }
type AppInstallation { id: ID! accessScopes: [AccessScope!]! }
type ShopPolicy { id: ID! title: String! body: HTML! type: ShopPolicyType! url: URL! createdAt: Date! updatedAt: Date! }
type Shop { id: ID! name: String! email: String! contactEmail: String! myshopifyDomain: String! primaryDomain: Domain!
  currencyCode: CurrencyCode! ianaTimezone: String! url: URL! shopPolicies: [ShopPolicy!]! }
type MailingAddress { id: ID! address1: String address2: String city: String company: String country: String
  countryCodeV2: CountryCode province: String zip: String phone: String firstName: String lastName: String }
type Metafield { id: ID! namespace: String! key: String! value: String! type: String! }
type MetafieldConnection { nodes: [Metafield!]! pageInfo: PageInfo! }
type Customer { id: ID! legacyResourceId: UnsignedInt64! displayName: String! firstName: String lastName: String
  email: String phone: String note: String tags: [String!]! state: CustomerState! locale: String!
  numberOfOrders: UnsignedInt64! amountSpent: MoneyV2! createdAt: DateTime! updatedAt: DateTime!
  defaultAddress: MailingAddress addresses(first: Int): [MailingAddress!]!
  metafield(namespace: String, key: String!): Metafield
  metafields(namespace: String, first: Int, after: String): MetafieldConnection! }
type CustomerConnection { nodes: [Customer!]! pageInfo: PageInfo! }
type FulfillmentTrackingInfo { company: String number: String url: URL }
type Fulfillment { id: ID! trackingInfo(first: Int): [FulfillmentTrackingInfo!]! }
type LineItem { id: ID! title: String! name: String! quantity: Int! }
type LineItemConnection { nodes: [LineItem!]! pageInfo: PageInfo! }
type Order { id: ID! legacyResourceId: UnsignedInt64! name: String! email: String note: String tags: [String!]!
  createdAt: DateTime! updatedAt: DateTime! processedAt: DateTime! cancelledAt: DateTime closedAt: DateTime
  displayFinancialStatus: OrderDisplayFinancialStatus displayFulfillmentStatus: OrderDisplayFulfillmentStatus!
  currencyCode: CurrencyCode! totalPriceSet: MoneyBag! statusPageUrl: URL! customer: Customer
  lineItems(first: Int, after: String): LineItemConnection! fulfillments(first: Int): [Fulfillment!]! }
type OrderConnection { nodes: [Order!]! pageInfo: PageInfo! }
type ProductPriceRangeV2 { minVariantPrice: MoneyV2! maxVariantPrice: MoneyV2! }
type Product { id: ID! legacyResourceId: UnsignedInt64! title: String! handle: String! descriptionHtml: HTML!
  status: ProductStatus! vendor: String! productType: String! tags: [String!]! onlineStoreUrl: URL
  onlineStorePreviewUrl: URL createdAt: DateTime! updatedAt: DateTime! publishedAt: DateTime
  priceRangeV2: ProductPriceRangeV2! }
type ProductConnection { nodes: [Product!]! pageInfo: PageInfo! }
type Collection { id: ID! title: String! handle: String! descriptionHtml: HTML! updatedAt: DateTime! }
type CollectionConnection { nodes: [Collection!]! pageInfo: PageInfo! }
type Page { id: ID! title: String! handle: String! body: HTML! isPublished: Boolean! publishedAt: DateTime
  createdAt: DateTime! updatedAt: DateTime! }
type PageConnection { nodes: [Page!]! pageInfo: PageInfo! }
type Blog { id: ID! handle: String! title: String! }
type Article { id: ID! title: String! handle: String! body: HTML! isPublished: Boolean! publishedAt: DateTime blog: Blog!
  tags: [String!]! createdAt: DateTime! updatedAt: DateTime }
type ArticleConnection { nodes: [Article!]! pageInfo: PageInfo! }
input UniqueMetafieldValueInput { namespace: String key: String! value: String! }
input CustomerIdentifierInput { id: ID customId: UniqueMetafieldValueInput emailAddress: String phoneNumber: String }
input MailingAddressInput { address1: String address2: String city: String company: String countryCode: CountryCode
  firstName: String lastName: String phone: String provinceCode: String zip: String }
input CustomerInput { id: ID email: String firstName: String lastName: String phone: String note: String locale: String
  tags: [String!] addresses: [MailingAddressInput!] }
input MetafieldsSetInput { ownerId: ID! namespace: String key: String! value: String! type: String compareDigest: String }
type UserError { field: [String!] message: String! }
type MetafieldsSetUserError { field: [String!] message: String! code: String elementIndex: Int }
type CustomerCreatePayload { customer: Customer userErrors: [UserError!]! }
type CustomerUpdatePayload { customer: Customer userErrors: [UserError!]! }
type MetafieldsSetPayload { metafields: [Metafield!] userErrors: [MetafieldsSetUserError!]! }
type QueryRoot {
  shop: Shop! currentAppInstallation: AppInstallation!
  customer(id: ID!): Customer customerByIdentifier(identifier: CustomerIdentifierInput!): Customer
  customers(first: Int, after: String, query: String, sortKey: CustomerSortKeys = ID, reverse: Boolean = false): CustomerConnection!
  orders(first: Int, after: String, query: String, sortKey: OrderSortKeys = PROCESSED_AT, reverse: Boolean = false): OrderConnection!
  product(id: ID!): Product
  products(first: Int, after: String, query: String, sortKey: ProductSortKeys = ID, reverse: Boolean = false): ProductConnection!
  collection(id: ID!): Collection
  collections(first: Int, after: String, query: String, sortKey: CollectionSortKeys = ID, reverse: Boolean = false): CollectionConnection!
  page(id: ID!): Page pages(first: Int, after: String, reverse: Boolean = false): PageConnection!
  article(id: ID!): Article
  articles(first: Int, after: String, query: String, sortKey: ArticleSortKeys = ID, reverse: Boolean = false): ArticleConnection!
}
type Mutation {
  customerCreate(input: CustomerInput!): CustomerCreatePayload
  customerUpdate(input: CustomerInput!): CustomerUpdatePayload
  metafieldsSet(metafields: [MetafieldsSetInput!]!): MetafieldsSetPayload
}
schema { query: QueryRoot mutation: Mutation }
"""  # noqa: E501 (fields and their arguments stand on one line)
BUILT: GraphQLSchema = build_schema(SCHEMA)


class Shopify(Double):
    """One shop; the connected one is told by the host that the consent page was opened on."""

    name, title = "shopify", "Shopify"
    hosts = (r"[a-z0-9][a-z0-9_-]*\.myshopify\.com",)
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/admin/oauth/authorize", "/admin/oauth/access_token", bodies=frozenset({"json"}), tenant_hosts=True)
    kinds: ClassVar[dict[str, str]] = {
        "customers": "customer", "orders": "order", "products": "product", "pages": "page", "articles": "article",
        "policies": "policy", "collections": "collection",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "access_token_ttl": 3600, "refresh_token_ttl": 90 * DAY, "rotation": "rotate_with_grace",
        "grace_seconds": 30 * DAY, "shop_name": "Sandbox Shop", "expiring": True, "restore_rate": 100, "bucket": 2000,
        "throttle_status": 200, "protected": False, "dropped_scopes": [],
    }  # fmt: skip

    def structure(self) -> None:
        self.spent: dict[str, tuple[float, float]] = {}

    # OAuth

    def authorize(self, request: Request) -> Reply:
        reply = super().authorize(request)
        if reply.status != 302:
            return reply
        base, _, query = reply.headers["location"].partition("?")
        shop = request.host
        more = {
            "shop": shop, "timestamp": str(int(self.clock.now())),
            "host": base64.b64encode(f"admin.shopify.com/store/{shop.partition('.')[0]}".encode()).decode().rstrip("="),
        }  # fmt: skip
        returned = {**dict(parse_qsl(query)), **more}
        text = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(returned.items()))
        returned["hmac"] = hmac.new(self.settings["client_secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
        return Reply(None, 302, {"location": f"{base}?{urlencode(returned)}"})

    def scopes(self, text: str) -> tuple[str, ...]:
        return tuple(part for part in text.replace(" ", ",").split(",") if part)

    def exchange(self, request: Request) -> Reply:
        """A code comes without a grant type and without its redirect URI."""
        wanted = request.object
        if "code" in wanted and "grant_type" not in wanted:
            wanted["grant_type"] = "authorization_code"
        if (code := self.codes.get(str(wanted.get("code")))) is not None:
            wanted["redirect_uri"] = code.redirect_uri
        return super().exchange(request)

    def refresh(self, client_id: str, wanted: Record, host: str) -> Reply:
        used = self.refresh_tokens.get(str(wanted.get("refresh_token")))
        reply = super().refresh(client_id, wanted, host)
        for token in self.refresh_tokens.values():  # the one before works until the new one is used
            if used and token.grant is used.grant and token.id < used.id:
                token.dead = True
        return reply

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        own = {"access_token": access.value, "scope": ",".join(access.grant.scope)}
        asked = wanted.get("expiring") in ("1", 1, True) or wanted["grant_type"] == "refresh_token"
        if not asked or not self.settings["expiring"]:
            access.expires_at = self.clock.now() + 10**9
            return Reply(own)
        return Reply({
            **own, "expires_in": round(access.expires_at - self.clock.now()), "refresh_token": refresh.value,
            "refresh_token_expires_in": round(refresh.expires_at - self.clock.now()),
        })  # fmt: skip

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        error = {
            "client": "invalid_client", "client_mismatch": "invalid_client", "refresh": "invalid_grant",
            "grant_type": "unsupported_grant_type",
        }.get(failure, "invalid_request")  # fmt: skip
        text = {"code": "The authorization code was not found or was already used"}.get(
            failure, f"{failure} is invalid"
        )
        return Reply({"error": error, "error_description": text}, 400)

    def authenticate(self, request: Request) -> Grant:
        value = request.headers.get("x-shopify-access-token", "")
        request.headers["authorization"] = f"Bearer {value}"
        grant = super().authenticate(request)
        if grant.host != request.host:
            raise Abort(self.unauthenticated("invalid"))
        return grant

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        return Reply({"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}, 401)

    def not_found(self, request: Request) -> Reply:
        return Reply({"errors": "Not Found"}, 404)

    @routes.on("DELETE", "/admin/api_permissions/current.json")
    def uninstall(self, request: Request) -> Reply:
        for grant in self.grants:
            grant.revoked = grant.revoked or grant.host == request.host
        return Reply({})

    # Records

    def complete(self, kind: str, record: Record) -> Record:
        now, number = iso(self.clock.now(), "seconds"), int(record.get("id") or self.next_id())
        gid = f"gid://shopify/{'ShopPolicy' if kind == 'policy' else kind.capitalize()}/{number}"
        handle = f"{kind}-{number}"
        base: Record = {"id": number, "gid": gid, "createdAt": now, "updatedAt": now, "handle": handle, "tags": []}
        extra: dict[str, Record] = {
            "customer": {"firstName": None, "lastName": None, "email": None, "phone": None, "note": None,
                         "locale": "en", "state": "DISABLED", "addresses": [], "metafields": [], "numberOfOrders": "0",
                         "amountSpent": "0.0"},
            "order": {"name": f"#{number}", "email": None, "note": None, "processedAt": now, "cancelledAt": None,
                      "closedAt": None, "displayFinancialStatus": "PAID", "displayFulfillmentStatus": "UNFULFILLED",
                      "total": "0.00", "customer": None, "lines": [], "tracking": []},
            "product": {"title": "", "descriptionHtml": "", "status": "ACTIVE", "vendor": "", "productType": "",
                        "published": True, "price": "0.00"},
            "page": {"title": "", "body": "", "isPublished": True, "publishedAt": now},
            "article": {"title": "", "body": "", "isPublished": True, "publishedAt": now, "blog": "news"},
            "collection": {"title": "", "descriptionHtml": ""},
            "policy": {"title": "", "body": "", "type": "SHIPPING_POLICY"},
        }  # fmt: skip
        return {**base, **extra[kind], **record, "id": number}

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        return {**known, "updatedAt": iso(self.clock.now(), "seconds"), **changes, "id": known["id"]}

    def infer_kind(self, record: Record) -> str:
        return "customer" if "email" in record else "product"

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        if kind == "customer":
            made = people(count, source)
            return [{"firstName": p.first, "lastName": p.last, "email": p.email, "phone": p.phone} for p in made]
        if kind in ("product", "page", "article", "collection"):
            body = "descriptionHtml" if kind in ("product", "collection") else "body"
            return [{"title": a.title, body: a.body} for a in articles(count, source)]
        return super().generate(kind, count, source)

    # GraphQL

    @routes.on("POST", "/admin/api/{version}/graphql.json")
    def graphql(self, request: Request, version: str) -> Reply:
        if not VERSIONS.fullmatch(request.path):
            return self.not_found(request)
        query, variables = request.object.get("query"), request.object.get("variables") or {}
        if not isinstance(query, str) or not isinstance(variables, dict):
            return Reply({"errors": {"query": "Required parameter missing or invalid"}}, 400)
        request.response_headers = {"x-shopify-api-version": version, "x-request-id": f"r-{self.next_id()}"}
        try:
            points, fields = cost_of(query, variables)
        except GraphQLError as wrong:
            return Reply({"errors": [{"message": wrong.message}]})
        status = self.spend(request.host, points)
        extensions = {"cost": {"requestedQueryCost": points, "throttleStatus": status}}
        if points > 1000:
            text = f"Query cost is {points}, which exceeds the single query max cost limit 1000."
            return Reply({"errors": [{"message": text, "extensions": {"code": "MAX_COST_EXCEEDED", "cost": points}}]})
        if status["throttled"]:
            del status["throttled"]
            if self.settings["throttle_status"] == 429:
                return Reply({"errors": "Throttled"}, 429, {"retry-after": "2.0"})
            errors = [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
            return Reply({"errors": errors, "extensions": extensions})
        del status["throttled"]
        for name in fields:
            if denied := self.denied(request, name):
                return Reply({"data": None, "errors": [denied], "extensions": extensions})
        done = graphql_sync(BUILT, query, Root(self, request), variable_values=variables)
        errors = [{"message": error.message, "path": [*map(str, error.path or ())]} for error in done.errors or []]
        extensions["cost"]["actualQueryCost"] = points
        return Reply({**({"data": done.data} if done.data is not None or not errors else {}),
                      **({"errors": errors} if errors else {}), "extensions": extensions})  # fmt: skip

    def denied(self, request: Request, field: str) -> Record | None:
        scope, held = SCOPES.get(field), request.grant.scope if request.grant else ()
        protected = self.settings["protected"] and scope in ("read_customers", "write_customers")
        implied = scope and scope.replace("read_", "write_") in held
        if (scope is None or not self.settings["enforce_scopes"] or scope in held or implied) and not protected:
            return None
        text = (
            "This app is not approved to access the Customer object. See "
            "https://shopify.dev/docs/apps/launch/protected-customer-data for more details." if protected
            else f"Access denied for {field} field. Required access: `{scope}` access scope."
        )  # fmt: skip
        return {"message": text, "path": [field], "extensions": {"code": "ACCESS_DENIED"}}

    def spend(self, host: str, points: float) -> Record:
        """The bucket of this app and shop after a query, and whether it was throttled."""
        most, rate, now = self.settings["bucket"], self.settings["restore_rate"], self.clock.now()
        left, at = self.spent.get(host, (most, now))
        left = min(most, left + (now - at) * rate)
        throttled = self.settings["rate_limits"] and left < points
        left -= 0 if throttled or not self.settings["rate_limits"] else points
        self.spent[host] = (left, now)
        told = {"maximumAvailable": most, "currentlyAvailable": int(left), "restoreRate": rate}
        return {**told, "throttled": throttled}


def cost_of(query: str, variables: Record) -> tuple[float, list[str]]:
    """Points of a query, one for each object that it may return, and its root fields. Raises GraphQLError."""

    class Count(Visitor):
        points = 0.0

        def enter_field(self, node: FieldNode, *_: Any) -> None:
            first = next((a.value for a in node.arguments or () if a.name.value == "first"), None)
            if isinstance(first, IntValueNode):
                self.points += 2 + int(first.value) / 10
            elif isinstance(first, VariableNode):
                self.points += 2 + int(variables.get(first.name.value) or 0) / 10

    document, count = parse(query), Count()
    visit(document, count)
    roots = [
        node.name.value for definition in document.definitions if isinstance(definition, OperationDefinitionNode)
        for node in definition.selection_set.selections if isinstance(node, FieldNode)
    ]  # fmt: skip
    return max(1.0, round(count.points, 1)) + (10 if query.lstrip().startswith("mutation") else 0), roots


class Root:
    """What a query is resolved from: a method for each root field."""

    def __init__(self, double: Shopify, request: Request) -> None:
        self.double, self.host = double, request.host
        self.scopes = request.grant.scope if request.grant else ()

    def shop(self, _: Any) -> Record:
        name = self.host.partition(".")[0]
        url = f"https://{self.host}"
        return {
            "id": f"gid://shopify/Shop/{sum(map(ord, name))}", "name": self.double.settings["shop_name"],
            "email": "owner@sandbox.example", "contactEmail": "owner@sandbox.example", "myshopifyDomain": self.host,
            "primaryDomain": {"id": "gid://shopify/Domain/1", "host": self.host, "url": url}, "url": url,
            "currencyCode": "EUR", "ianaTimezone": "Europe/Dublin",
            "shopPolicies": [
                {**p, "id": p["gid"], "url": f"{url}/policies/{p['handle']}", "createdAt": p["createdAt"][:10],
                 "updatedAt": p["updatedAt"][:10]}
                for p in self.double.records["policy"].values()
            ],
        }  # fmt: skip

    def currentAppInstallation(self, _: Any) -> Record:  # noqa: N802 (the schema's name)
        return {
            "id": "gid://shopify/AppInstallation/1",
            "accessScopes": [
                {"handle": scope, "description": scope}
                for scope in self.scopes
                if scope not in self.double.settings["dropped_scopes"]
            ],
        }

    # Single objects

    def one(self, kind: str, gid: str) -> Record | None:
        match = re.fullmatch(r"gid://shopify/(\w+)/(\d+)", gid)
        if match is None:
            raise GraphQLError(f"Invalid global id '{gid}'")
        found = self.double.records[kind].get(match[2])
        return getattr(self, f"as_{kind}")(found) if found and match[1].lower() == kind else None

    def customer(self, _: Any, id: str) -> Record | None:  # noqa: A002 (the schema's name)
        return self.one("customer", id)

    def product(self, _: Any, id: str) -> Record | None:  # noqa: A002
        return self.one("product", id)

    def page(self, _: Any, id: str) -> Record | None:  # noqa: A002
        return self.one("page", id)

    def article(self, _: Any, id: str) -> Record | None:  # noqa: A002
        return self.one("article", id)

    def collection(self, _: Any, id: str) -> Record | None:  # noqa: A002
        return self.one("collection", id)

    def customerByIdentifier(self, _: Any, identifier: Record) -> Record | None:  # noqa: N802
        if len(identifier) != 1:
            raise GraphQLError("Exactly one identifier is required")
        for row in self.double.records["customer"].values():
            same = (
                (row["email"] or "").lower() == identifier["emailAddress"].lower() if "emailAddress" in identifier
                else row["phone"] == identifier["phoneNumber"] if "phoneNumber" in identifier
                else row["gid"] == identifier.get("id")
            )  # fmt: skip
            if same:
                return self.as_customer(row)
        return None

    # Connections

    def connection(self, kind: str, texts: Callable[[Record], Record], args: Record) -> Record:
        first, after, source = args.get("first"), args.get("after"), args.get("query")
        if first is None or not 0 < first <= 250:
            raise GraphQLError("you must provide one of first or last; first is at most 250")
        rows = self.double.indexed(kind) if source else list(self.double.records[kind].values())
        if source:
            holds = search(source)
            rows = [row for row in rows if holds(texts(row))]
        sort = {"UPDATED_AT": "updatedAt", "CREATED_AT": "createdAt", "PROCESSED_AT": "processedAt"}.get(
            args.get("sortKey") or "ID", "id"
        )
        rows.sort(key=lambda row: (row[sort], row["id"]), reverse=bool(args.get("reverse")))
        start = 0
        if after is not None:
            try:
                start = int(base64.b64decode(after, validate=True))
            except ValueError:
                raise GraphQLError(f"Invalid cursor for current pagination sort: {after}") from None
        if start + first > DEEPEST:
            raise GraphQLError(f"Paging reaches {DEEPEST} objects")
        size = min(first, self.double.settings["page_size_max"] or first)
        page, end = rows[start : start + size], start + size
        cursor = base64.b64encode(str(end).encode()).decode()
        return {
            "nodes": [getattr(self, f"as_{kind}")(row) for row in page],
            "pageInfo": {"hasNextPage": end < len(rows), "hasPreviousPage": start > 0, "startCursor": None,
                         "endCursor": cursor if page else None},
        }  # fmt: skip

    def customers(self, _: Any, **args: Any) -> Record:
        return self.connection("customer", lambda r: {**r, "customer_date": r["createdAt"]}, args)

    def orders(self, _: Any, **args: Any) -> Record:
        return self.connection("order", lambda r: {
            **r, "customer_id": str(r["customer"]), "status": "cancelled" if r["cancelledAt"] else
            "closed" if r["closedAt"] else "open", "name": r["name"].lstrip("#"),
        }, args)  # fmt: skip

    def products(self, _: Any, **args: Any) -> Record:
        return self.connection("product", lambda r: r, args)

    def collections(self, _: Any, **args: Any) -> Record:
        return self.connection("collection", lambda r: r, args)

    def pages(self, _: Any, **args: Any) -> Record:
        return self.connection("page", lambda r: r, args)

    def articles(self, _: Any, **args: Any) -> Record:
        return self.connection("article", lambda r: r, args)

    # Shapes

    def money(self, amount: str) -> Record:
        return {"amount": amount, "currencyCode": "EUR"}

    def as_customer(self, row: Record) -> Record:
        names = " ".join(filter(None, (row["firstName"], row["lastName"])))
        addresses = [
            {**dict.fromkeys(("address1", "city", "company", "zip")), **a, "id": f"gid://shopify/MailingAddress/{n}",
             "countryCodeV2": a.get("countryCode"), "country": a.get("countryCode")}
            for n, a in enumerate(row["addresses"], 1)
        ]  # fmt: skip

        def metafields(_: Any, namespace: str | None = None, **__: Any) -> Record:
            nodes = [m for m in row["metafields"] if namespace in (None, m["namespace"])]
            return {"nodes": nodes, "pageInfo": {"hasNextPage": False, "hasPreviousPage": False}}

        return {
            **row, "id": row["gid"], "legacyResourceId": str(row["id"]), "displayName": names or row["email"] or "",
            "defaultAddress": addresses[0] if addresses else None, "addresses": lambda _, first=None: addresses[:first],
            "amountSpent": self.money(row["amountSpent"]), "metafields": metafields,
        }  # fmt: skip

    def as_order(self, row: Record) -> Record:
        customer = self.double.records["customer"].get(str(row["customer"]))
        bag = {"shopMoney": self.money(row["total"]), "presentmentMoney": self.money(row["total"])}
        lines = [{"id": f"gid://shopify/LineItem/{n}", "title": t, "name": t, "quantity": 1}
                 for n, t in enumerate(row["lines"], 1)]  # fmt: skip
        done = [{"id": "gid://shopify/Fulfillment/1", "trackingInfo": lambda _, first=None: row["tracking"][:first]}]
        return {
            **row, "id": row["gid"], "legacyResourceId": str(row["id"]), "currencyCode": "EUR", "totalPriceSet": bag,
            "statusPageUrl": f"https://{self.host}/orders/{row['id']}",
            "customer": self.as_customer(customer) if customer else None,
            "lineItems": lambda _, first=None, **__: {
                "nodes": lines[:first], "pageInfo": {"hasNextPage": False, "hasPreviousPage": False}},
            "fulfillments": lambda _, **__: done if row["tracking"] else [],
        }  # fmt: skip

    def as_product(self, row: Record) -> Record:
        shown = row["published"] and row["status"] == "ACTIVE"
        price = self.money(row["price"])
        url = f"https://{self.host}/products/{row['handle']}"
        return {
            **row, "id": row["gid"], "legacyResourceId": str(row["id"]), "onlineStoreUrl": url if shown else None,
            "priceRangeV2": {"minVariantPrice": price, "maxVariantPrice": price}, "publishedAt": row["createdAt"],
        }  # fmt: skip

    def as_page(self, row: Record) -> Record:
        return {**row, "id": row["gid"]}

    def as_article(self, row: Record) -> Record:
        blog = {"id": "gid://shopify/Blog/1", "handle": row["blog"], "title": row["blog"].capitalize()}
        return {**row, "id": row["gid"], "blog": blog}

    def as_collection(self, row: Record) -> Record:
        return {**row, "id": row["gid"]}

    # Mutations

    def wrong(self, values: Record, own: Record | None) -> list[Record]:
        """What is wrong with a customer's input."""
        found = []
        if (email := values.get("email")) and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
            found.append({"field": ["email"], "message": "Email is invalid"})
        if (phone := values.get("phone")) and not re.fullmatch(r"\+[1-9]\d{7,14}", phone):
            found.append({"field": ["phone"], "message": "Phone is invalid"})
        if len(values.get("note") or "") > LONGEST_NOTE:
            found.append({"field": ["note"], "message": f"Note is too long (maximum is {LONGEST_NOTE} characters)"})
        for name in ("email", "phone"):
            others = (r for r in self.double.records["customer"].values() if own is None or r["id"] != own["id"])
            if values.get(name) and any((r[name] or "").lower() == values[name].lower() for r in others):
                found.append({"field": [name], "message": f"{name.capitalize()} has already been taken"})
        return found

    def customerCreate(self, _: Any, input: Record) -> Record:  # noqa: A002, N802
        if "id" in input:
            return {"customer": None, "userErrors": [{"field": ["id"], "message": "Cannot specify id on create"}]}
        errors = self.wrong(input, None)
        if not any(input.get(name) for name in ("firstName", "lastName", "email", "phone")):
            errors.append({"field": None, "message": "A name, phone number, or email address must be present"})
        if errors:
            return {"customer": None, "userErrors": errors}
        made = self.double.complete("customer", dict(input))
        self.double.save("customer", made)
        return {"customer": self.as_customer(made), "userErrors": []}

    def customerUpdate(self, _: Any, input: Record) -> Record:  # noqa: A002, N802
        known = self.double.records["customer"].get(str(input.get("id") or "").rpartition("/")[2])
        if known is None:
            return {"customer": None, "userErrors": [{"field": ["id"], "message": "Customer does not exist"}]}
        if errors := self.wrong(input, known):
            return {"customer": None, "userErrors": errors}
        changed = self.double.changed("customer", known, {k: v for k, v in input.items() if k != "id"})
        self.double.save("customer", changed)
        return {"customer": self.as_customer(changed), "userErrors": []}

    def metafieldsSet(self, _: Any, metafields: list[Record]) -> Record:  # noqa: N802
        if len(metafields) > 25:
            return {
                "metafields": None,
                "userErrors": [{"field": ["metafields"], "message": "At most 25", "code": "TOO_LONG"}],
            }
        made = []
        for item in metafields:
            key = item["ownerId"].rpartition("/")[2]
            known = self.double.records["customer"][key]
            namespace = item.get("namespace") or "$app"
            others = [m for m in known["metafields"] if (m["namespace"], m["key"]) != (namespace, item["key"])]
            one = {"id": f"gid://shopify/Metafield/{self.double.next_id()}", "namespace": namespace, "key": item["key"],
                   "value": item["value"], "type": item.get("type") or "single_line_text_field"}  # fmt: skip
            self.double.save("customer", self.double.changed("customer", known, {"metafields": [*others, one]}))
            made.append(one)
        return {"metafields": made, "userErrors": []}


# Search syntax: https://shopify.dev/docs/api/usage/search-syntax

TOKEN = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<colon>:(?:>=|<=|>|<)?)|(?P<word>(?:[^\s():"'\\]|\\.)+))"""
)
Holds = Callable[[Record], bool]


def search(source: str) -> Holds:
    """The filter that a search text stands for. Raises GraphQLError when it cannot be read."""
    tokens: list[tuple[str, str]] = []
    place = 0
    while source[place:].strip():
        match = TOKEN.match(source, place)
        if match is None:
            raise GraphQLError("Invalid search syntax")
        tokens.append((match.lastgroup or "", match[match.lastgroup or ""]))
        place = match.end()
    holds = disjunction(tokens)
    if tokens:
        raise GraphQLError("Invalid search syntax")
    return holds


def disjunction(tokens: list[tuple[str, str]]) -> Holds:
    parts = [conjunction(tokens)]
    while tokens and tokens[0] == ("word", "OR"):
        tokens.pop(0)
        parts.append(conjunction(tokens))
    return lambda row: any(part(row) for part in parts)


def conjunction(tokens: list[tuple[str, str]]) -> Holds:
    parts = [negation(tokens)]
    while tokens and tokens[0][0] != "close" and tokens[0] != ("word", "OR"):
        if tokens[0] == ("word", "AND"):
            tokens.pop(0)
        parts.append(negation(tokens))
    return lambda row: all(part(row) for part in parts)


def negation(tokens: list[tuple[str, str]]) -> Holds:
    if tokens and tokens[0] == ("word", "NOT"):
        tokens.pop(0)
        inner = negation(tokens)
        return lambda row: not inner(row)
    return term(tokens)


def term(tokens: list[tuple[str, str]]) -> Holds:
    if not tokens:
        raise GraphQLError("Invalid search syntax")
    kind, value = tokens.pop(0)
    if kind == "open":
        inner = disjunction(tokens)
        if not tokens or tokens.pop(0)[0] != "close":
            raise GraphQLError("Invalid search syntax")
        return inner
    if kind not in ("word", "text"):
        raise GraphQLError("Invalid search syntax")
    if kind == "word" and tokens and tokens[0][0] == "colon":
        operator = tokens.pop(0)[1][1:]
        if not tokens or tokens[0][0] not in ("word", "text"):
            raise GraphQLError("Invalid search syntax")
        wanted_kind, wanted = tokens.pop(0)
        return field(value.lstrip("-"), operator, wanted_kind, wanted, negated=value.startswith("-"))
    return words(kind, value)


def plain(kind: str, value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1] if kind == "text" else value)


def words(kind: str, value: str) -> Holds:
    """A text without a field is looked for in several; a quoted one as a phrase."""
    wanted = plain(kind, value).casefold()

    def holds(row: Record) -> bool:
        names = ("title", "firstName", "lastName", "email", "phone", "name", "body", "descriptionHtml", "tags")
        return any(wanted in str(row.get(name) or "").casefold() for name in names)

    return holds


def field(name: str, operator: str, kind: str, value: str, *, negated: bool) -> Holds:
    wanted = plain(kind, value)
    own = {"updated_at": "updatedAt", "created_at": "createdAt", "product_type": "productType", "tag": "tags"}.get(
        name, name
    )

    def holds(row: Record) -> bool:
        if own in ("updatedAt", "createdAt"):
            there, bound = epoch(row[own]), epoch(wanted)
            return {"": there == bound, ">": there > bound, ">=": there >= bound, "<": there < bound,
                    "<=": there <= bound}[operator]  # fmt: skip
        text = str(row.get(own) or "").casefold()
        if own == "id":
            return text == wanted.rpartition("/")[2]
        if kind == "word" and wanted.endswith("*"):
            return text.startswith(wanted[:-1].casefold())
        # An unquoted value is cut into words, each of which may match anywhere.
        return text == wanted.casefold() if kind == "text" or own in ("customer_id", "status", "name") else (
            any(part in text for part in re.split(r"[@.\s]+", wanted.casefold()) if part)
        )  # fmt: skip

    return (lambda row: not holds(row)) if negated else holds
