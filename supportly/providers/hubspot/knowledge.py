"""HubSpot's knowledge: blog posts, knowledge base articles (beta) and the product library.

A cursor is a `Position` as JSON, a checkpoint the moment (HubSpot's clock) at which a walk started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import NotFound, ProviderFailure, UnknownChoice
from supportly.http import Answer, segment
from supportly.provider import Call, Place, Stream, StreamsKnowledge, absent_as_none, integer, timestamp
from supportly.providers.hubspot.crm import OBJECTS, SEARCH_DEPTH, VERSION, Row, next_after, page_url, results, search

BLOG: Final = f"/cms/blogs/{VERSION}/posts"
ARTICLES: Final = "/cms/knowledge-base/2027-03-beta/articles"
"""Exists as beta only; the stable site search needs a query and so lists nothing completely."""
PRODUCTS: Final = f"{OBJECTS}/products"
CMS_PAGE: Final = 50
"""Of the 100 allowed: a post carries its whole layout, and an answer has a size cap."""
ARTICLES_PAGE: Final = 25
"""The default, since whether more may be asked for is unconfirmed."""
LIST_PAGE: Final = 100
SEARCH_PAGE: Final = 200
OVERLAP: Final = timedelta(minutes=4)
"""How far an incremental walk looks back: the search index lags by moments up to minutes; full walks mend the rest."""
MODIFIED: Final = "hs_lastmodifieddate"
PRODUCT: Final = ("name", "description", "price", "hs_sku", "hs_url", "recurringbillingfrequency", MODIFIED)
LIVE: Final = ("PUBLISHED", "PUBLISHED_OR_SCHEDULED", "PUBLISHED_AB", "PUBLISHED_AB_VARIANT")


class Position(Place):
    """Where a walk stands."""

    phase: Literal["list", "search", "archived"] = "list"
    started: str = ""
    """When the walk began, ISO 8601; empty before the first answer."""
    after: str | None = None
    floor: int = 0
    """Lowest modification time asked for, epoch milliseconds; 0: all."""
    tie: int | None = None
    """Search: more than 10,000 records share the time `floor`, and this is the last id read of them."""


class HubSpotKnowledge(StreamsKnowledge):
    """The streams. Only the blog is public, so it alone is on by default; products and articles are chosen."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("blog_posts", "Blog posts", "Published posts of all blogs.", default=True, incremental=True),
        Stream(
            "knowledge_articles",
            "Knowledge base articles",
            "Published articles. HubSpot's interface is a beta and needs Service Hub.",
            incremental=True,
        ),
        Stream("products", "Products", "The product library: names, descriptions, prices.", incremental=True),
    )

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page; unpublished content comes as `deleted`. No knowledge base at all is NotFound."""
        at = Position.model_validate_json(cursor) if cursor else _start(stream, since)
        if stream == "products":
            answer = await self._product_page(call, at)
        elif stream == "blog_posts":
            answer = await call.http.get(BLOG, _listing(at))
        elif stream == "knowledge_articles":
            answer = await self._article_page(call, at)
        else:
            raise UnknownChoice("HubSpot has no such stream.", field="streams", allowed=[s.id for s in self.streams])
        body = answer.body()
        at = at if at.started else at.model_copy(update={"started": answer.date.isoformat()})
        page = StreamPage(checkpoint=at.started)
        for row in results(body):
            try:
                _READERS[stream](call, row, page, archived=at.phase == "archived")
            except (AttributeError, KeyError, TypeError, ValueError):
                page.failures.append(RecordFailure(external_id=str(row["id"]), reason="It has an unexpected shape."))
        following = _following(at, body, stream)
        page.next = following.model_dump_json() if following else None
        return page

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True when HubSpot answers 404 to the id, or the content is no longer published."""
        path = {"blog_posts": BLOG, "knowledge_articles": ARTICLES, "products": PRODUCTS}[stream]
        answer = await absent_as_none(call.http.get(f"{path}/{segment(external_id)}"))
        if answer is None:
            return True
        row = answer.body()
        return bool(row.get("archived")) if stream == "products" else not _published(row)

    @staticmethod
    async def _article_page(call: Call, at: Position) -> Answer:
        try:
            return await call.http.get(ARTICLES, {**_listing(at), "limit": ARTICLES_PAGE, "includeTranslations": False})
        except ProviderFailure as error:
            if error.provider_status != 403:
                raise
            text = "This HubSpot account has no knowledge base, or the app was not allowed to read its articles."
            raise NotFound(text, details=error.details) from None

    @staticmethod
    async def _product_page(call: Call, at: Position) -> Answer:
        if at.phase != "search":
            archived = True if at.phase == "archived" else None
            asked = {"limit": LIST_PAGE, "after": at.after, "archived": archived, "properties": ",".join(PRODUCT)}
            return await call.http.get(PRODUCTS, asked)
        by, filters = MODIFIED, [{"propertyName": MODIFIED, "operator": "GTE", "value": str(at.floor)}]
        if at.tie is not None:
            by, filters[0]["operator"] = "hs_object_id", "EQ"
            filters.append({"propertyName": by, "operator": "GT", "value": str(at.tie)})
        wanted = {
            "filterGroups": [{"filters": filters}],
            "sorts": [by],
            "properties": list(PRODUCT),
            "limit": SEARCH_PAGE,
        }
        return await search(call, "products", wanted | ({"after": at.after} if at.after else {}))


def _start(stream: str, since: str | None) -> Position:
    if since is None:
        return Position()
    found = timestamp(since)
    if found is None:
        raise ProviderFailure("The stored checkpoint is unreadable; a full sync mends it.")
    floor = round((found - OVERLAP).timestamp() * 1000)
    return Position(phase="search" if stream == "products" else "list", floor=floor)


def _listing(at: Position) -> dict[str, Any]:
    after = datetime.fromtimestamp(at.floor / 1000, UTC).isoformat().replace("+00:00", "Z") if at.floor else None
    # Sorted by creation, because an edit during the walk would move a post to another page.
    return {"limit": CMS_PAGE, "sort": "createdAt", "after": at.after, "updatedAfter": after}


def _following(at: Position, body: Mapping[str, Any], stream: str) -> Position | None:
    after = next_after(body, at.after)
    if at.phase == "search":
        return _after_search(at, results(body), after)
    if after is not None:
        return at.to(after=after)
    # Neither a search nor a plain list shows deletions of products; the recycle bin (90 days) does.
    return at.to(phase="archived", after=None) if stream == "products" and at.phase == "list" else None


def _after_search(at: Position, rows: list[Row], after: str | None) -> Position:
    """The next stretch of a search walk, which moves its window before it is 10,000 results deep."""
    if at.tie is not None:
        if after is None or not rows:
            return at.to(floor=at.floor + 1, tie=None, after=None)
        return at.to(tie=integer(rows[-1]["id"]))
    if after is None or not rows:
        return at.to(phase="archived", after=None)
    if not after.isdecimal() or int(after) + SEARCH_PAGE <= SEARCH_DEPTH:
        return at.to(after=after)
    last = _modified(rows[-1])
    return at.to(floor=last, after=None) if last > at.floor else at.to(tie=0, after=None)


def _modified(row: Row) -> int:
    text = str(row["properties"].get(MODIFIED) or row.get("updatedAt") or "")
    found = timestamp(int(text) if text.isdecimal() else text)
    if found is None:
        raise ProviderFailure("HubSpot gave a product without a modification time.")
    return round(found.timestamp() * 1000)


def _published(row: Mapping[str, Any]) -> bool:
    live = row.get("currentlyPublished")
    return bool(live) if live is not None else (row.get("currentState") or row.get("state")) in LIVE


def _read_post(_: Call, row: Row, page: StreamPage, *, archived: bool) -> None:
    if archived or not _published(row):
        page.deleted.append(str(row["id"]))
        return
    # A post made with drag and drop keeps its text in the layout; what a reader sees first is its summary.
    body = row.get("postBody") or row.get("postSummary") or row.get("metaDescription")
    guarded = bool(row.get("password") or row.get("publicAccessRulesEnabled"))
    title = row.get("htmlTitle") or row.get("name")
    _add(page, "blog_posts", row, title, body, url=row.get("url"), locale=row.get("language"), guarded=guarded)


def _read_article(_: Call, row: Row, page: StreamPage, *, archived: bool) -> None:
    if archived or not _published(row):
        page.deleted.append(str(row["id"]))
        return
    subtitle, body = row.get("subtitle"), row.get("body")
    body = f"<p>{subtitle}</p>\n{body}" if subtitle and body else body
    guarded = row.get("accessType", "PUBLIC") != "PUBLIC"
    title, url = row.get("title"), row.get("url")
    _add(page, "knowledge_articles", row, title, body, url=url, locale=row.get("language"), guarded=guarded)


def _read_product(call: Call, row: Row, page: StreamPage, *, archived: bool) -> None:
    if archived or row.get("archived"):
        page.deleted.append(str(row["id"]))
        return
    own = row["properties"]
    price = " ".join(filter(None, (own.get("price"), call.facts.get("currency"), own.get("recurringbillingfrequency"))))
    lines = (("Price", price if own.get("price") else None), ("SKU", own.get("hs_sku")), ("Page", own.get("hs_url")))
    facts = "\n".join(f"- {name}: {value}" for name, value in lines if value)
    body = "\n\n".join(filter(None, (own.get("description"), facts)))
    name, url = own.get("name"), own.get("hs_url") or page_url(call.facts, "products", str(row["id"]))
    _add(page, "products", row, name, body or name, url=url, locale=None, guarded=False)


def _add(
    page: StreamPage, stream: str, row: Row, title: Any, body: Any, *, url: Any, locale: Any, guarded: bool
) -> None:
    """Adds a document, or the reason why it is none; text for members only is `internal`."""
    key = str(row["id"])
    if not title or not body:
        reason = "It has no text." if title else "It has no title."
        page.failures.append(RecordFailure(external_id=key, reason=reason))
        return
    document = Document(
        stream=stream,
        external_id=key,
        title=str(title),
        body=str(body),
        url=url or None,
        locale=locale or None,
        updated_at=timestamp(row.get("updatedAt") or row.get("updated")),
        audience="internal" if guarded else "public",
        metadata={} if stream == "products" else {"format": "html"},
    )
    page.documents.append(document)


_READERS: Final[Mapping[str, Callable[..., None]]] = {
    "blog_posts": _read_post,
    "knowledge_articles": _read_article,
    "products": _read_product,
}
