"""Shopify's knowledge: what the online store shows, as documents.

A cursor is a `Position` as JSON, a checkpoint the moment (Shopify's clock) at which a walk started.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import UnknownChoice
from supportly.provider import Call, Stream, StreamsKnowledge, timestamp
from supportly.providers.shopify.graphql import Row, ask, following, gid, nodes, number, send

PAGE: Final = 100
"""Objects of a page; 250 are allowed, and bodies are long."""
DEEPEST: Final = 24_000
"""Objects that are read from one starting point: paging stops at 25,000."""
OVERLAP: Final = timedelta(minutes=5)
"""How far an incremental walk looks back, since filters use the search index."""
FIELDS: Final = {
    "products": "id title handle descriptionHtml status vendor productType tags onlineStoreUrl updatedAt "
    "priceRangeV2 { minVariantPrice { amount currencyCode } maxVariantPrice { amount currencyCode } }",
    "collections": "id title handle descriptionHtml updatedAt",
    "articles": "id title handle body isPublished updatedAt blog { handle }",
    "pages": "id title handle body isPublished updatedAt",
}
POLICIES: Final = "query Policies { shop { shopPolicies { id title body type url updatedAt } } }"
SORTED: Final = frozenset({"products", "collections", "articles"})
"""Lists that take `query` and `sortKey` in every version; `pages` got them after 2025-01, and is short."""
KINDS: Final = {"products": "Product", "collections": "Collection", "articles": "Article", "pages": "Page"}


def _list(stream: str) -> str:
    own = ", $query: String" if stream in SORTED else ""
    use = ", query: $query, sortKey: UPDATED_AT" if stream in SORTED else ""
    return (
        f"query List($first: Int!, $after: String{own}) {{ {stream}(first: $first, after: $after{use}) "
        f"{{ nodes {{ {FIELDS[stream]} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    )


class Position(BaseModel):
    """Where a walk stands."""

    model_config = ConfigDict(frozen=True)
    started: str = ""
    after: str | None = None
    floor: str | None = None
    """Time of change that the walk starts from; moves on where paging would reach its end."""
    read: int = 0
    """Objects read from this floor."""


class ShopifyKnowledge(StreamsKnowledge):
    """The streams; those that are on hold what every visitor of the store can read."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("products", "Products", "Products that the online store shows.", default=True, incremental=True),
        Stream("pages", "Pages", "Published pages.", default=True),
        Stream("articles", "Blog articles", "Published articles of all blogs.", default=True, incremental=True),
        Stream("policies", "Policies", "Refunds, shipping, privacy and terms.", default=True),
        Stream("collections", "Collections", "Collections, published or not: for internal use.", incremental=True),
    )

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page in the order of changes; what is no longer published comes as `deleted`."""
        if stream == "policies":
            return await self._policies(call)
        if stream not in FIELDS:
            raise UnknownChoice("Shopify has no such stream.", field="streams", allowed=[s.id for s in self.streams])
        at = Position.model_validate_json(cursor) if cursor else _start(since)
        asked: dict[str, Any] = {"first": PAGE, "after": at.after}
        if stream in SORTED:
            asked["query"] = f"updated_at:>='{at.floor}'" if at.floor else None
        data, now = await send(call.http, _list(stream), asked, "page")
        at = at if at.started else at.model_copy(update={"started": now.isoformat()})
        rows = nodes(data, stream)
        page = StreamPage(checkpoint=at.started if stream in SORTED else None)
        for row in rows:
            _add(call, stream, row, page)
        if after := following(data, stream, at.after):
            last = str(rows[-1].get("updatedAt") or "")
            ahead = at.model_copy(update={"after": after, "read": at.read + len(rows)})
            if stream in SORTED and ahead.read >= DEEPEST and last and last != at.floor:
                ahead = at.model_copy(update={"after": None, "read": 0, "floor": last})
            page.next = ahead.model_dump_json()
        return page

    @staticmethod
    async def _policies(call: Call) -> StreamPage:
        page = StreamPage()
        shop = (await ask(call.http, POLICIES, {}, "one")).get("shop") or {}
        for row in shop.get("shopPolicies") or []:
            _add(call, "policies", row, page)
        return page

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True when Shopify does not know the id, or the store does not show it any more."""
        if stream == "policies":
            page = await self._policies(call)
            return external_id not in {d.external_id for d in page.documents}
        name, key = KINDS[stream].lower(), gid(KINDS[stream], external_id)
        query = f"query One($id: ID!) {{ {name}(id: $id) {{ {FIELDS[stream]} }} }}"
        row = (await ask(call.http, query, {"id": key}, "one")).get(name) if key else None
        return row is None or not _shown(call, stream, row)


def _start(since: str | None) -> Position:
    floor = (datetime.fromisoformat(since) - OVERLAP).astimezone(UTC) if since else None
    return Position(floor=f"{floor:%Y-%m-%dT%H:%M:%SZ}" if floor else None)


def _shown(call: Call, stream: str, row: Row) -> bool:
    """True for what may be read."""
    if stream == "products":
        seen = row.get("onlineStoreUrl") or getattr(call.settings, "unpublished_products", False)
        return row.get("status") == "ACTIVE" and bool(seen)
    return bool(row.get("isPublished", True))


def _add(call: Call, stream: str, row: Row, page: StreamPage) -> None:
    key, title = number(row.get("id")), row.get("title")
    if not _shown(call, stream, row):
        page.deleted.append(key)
        return
    if not isinstance(title, str) or not title.strip():
        page.failures.append(RecordFailure(external_id=key, reason="It has no title."))
        return
    body = str(row.get("descriptionHtml") or row.get("body") or "")
    page.documents.append(
        Document(
            stream=stream,
            external_id=key,
            title=title.strip(),
            body=body + _more(row) if stream == "products" else body,
            url=_URLS[stream](call.facts["shop"], row),
            updated_at=timestamp(row.get("updatedAt")),
            audience=_audience(stream, row),
            metadata={"format": "html"},
        )
    )


def _audience(stream: str, row: Row) -> Literal["public", "internal"]:
    """Public is what the store is known to show; of collections the list does not tell."""
    shown = bool(row.get("onlineStoreUrl")) if stream == "products" else stream != "collections"
    return "public" if shown else "internal"


def _more(row: Row) -> str:
    """What a product's description leaves out, as HTML."""
    prices = row.get("priceRangeV2") or {}
    low, high = (prices.get(name) or {} for name in ("minVariantPrice", "maxVariantPrice"))
    lines = []
    if low.get("amount"):
        upper = f" to {high['amount']}" if high.get("amount") != low["amount"] else ""
        lines.append(f"Price: {low['amount']}{upper} {low.get('currencyCode') or ''}")
    lines += [
        f"{name}: {row[field]}" for name, field in (("Vendor", "vendor"), ("Type", "productType")) if row.get(field)
    ]
    return "".join(f"<p>{_escaped(line)}</p>" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


_URLS: Final[dict[str, Callable[[str, Row], str | None]]] = {
    "products": lambda _, row: row.get("onlineStoreUrl"),
    "collections": lambda shop, row: f"https://{shop}/collections/{row.get('handle')}",
    "pages": lambda shop, row: f"https://{shop}/pages/{row.get('handle')}",
    "articles": lambda shop, row: f"https://{shop}/blogs/{(row.get('blog') or {}).get('handle')}/{row.get('handle')}",
    "policies": lambda _, row: row.get("url"),
}
