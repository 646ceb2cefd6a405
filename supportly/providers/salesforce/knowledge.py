"""Salesforce's knowledge: Knowledge articles (`articles`), products and closed cases.

A walk goes by (SystemModstamp, Id), since thousands of rows may share one time (reported: airbytehq/airbyte #17148). It
follows `nextRecordsUrl`; where that has expired it goes on from the last row read. A cursor is a `Position` as JSON, a
checkpoint a `Checkpoint` as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import ProviderFailure, UnknownChoice
from supportly.http import segment
from supportly.provider import Call, Place, Stream, StreamsKnowledge, absent_as_none, timestamp
from supportly.providers.salesforce import soql
from supportly.providers.salesforce.articles import Articles, Layout
from supportly.providers.salesforce.shapes import is_id, page_url
from supportly.providers.salesforce.soql import Page, Row, moment, quoted, told

STAMP: Final = "SystemModstamp"
OVERLAP: Final = timedelta(minutes=10)
"""How far an incremental walk looks back: a row bears the time of its change and is seen when the call that changed it
ends, which may run for ten minutes."""
BIN: Final = timedelta(days=15)
"""How far back `deleted` answers; the recycle bin is queried for what is older."""
SIZE: Final = 500
"""Products or cases on a page."""
PRODUCT: Final = (
    "Id", "Name", "ProductCode", "Description", "Family", "IsActive", "DisplayUrl", "LastModifiedDate", STAMP,
)  # fmt: skip
CASE: Final = ("Id", "CaseNumber", "Subject", "Description", "Status", "IsClosed", "LastModifiedDate", STAMP)
OBJECTS: Final = {"products": ("Product2", PRODUCT, "IsActive"), "cases": ("Case", CASE, "IsClosed")}
"""Stream -> object, its fields, and the one without which a record is not, or no longer, a document."""
UNCOVERED: Final = ("EXCEEDED_ID_LIMIT", "INVALID_REPLICATION_DATE")
"""More than 600,000 ids, or a window that does not reach so far back: the recycle bin is queried instead."""
EXPIRED: Final = "INVALID_QUERY_LOCATOR"


class Checkpoint(BaseModel):
    """Where the next incremental walk starts: changes from `at`, deletions from `deleted`; both ISO 8601."""

    model_config = ConfigDict(frozen=True)
    at: str
    deleted: str


class Position(Place):
    """Where a walk stands."""

    phase: Literal["rows", "archived", "deleted", "bin"] = "rows"
    started: str = ""
    """When the walk began by Salesforce's clock, ISO 8601; empty before the first answer."""
    floor: str | None = None
    """Only changes from this time on; None: everything."""
    gone_from: str | None = None
    """Deletions from this time on."""
    following: str | None = None
    """Salesforce's own address of the next page."""
    last: tuple[str, str] | None = None
    """Time and id of the last row read."""
    language: int = 0
    """Articles: place in the list of languages."""
    layout: Layout | None = None
    """Articles: what `describe` told at the start of the walk."""


class SalesforceKnowledge(StreamsKnowledge):
    """The streams. Articles of the public knowledge base are on by default; products and cases are chosen."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "articles", "Knowledge articles", "Published articles, one per language.", default=True, incremental=True
        ),
        Stream("products", "Products", "Active products: names, descriptions, codes.", incremental=True),
        Stream("cases", "Closed cases", "Subject and description, which may hold personal data.", incremental=True),
    )

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page; what left comes as `deleted`. An org without Knowledge is NotFound with the reason."""
        if stream != "articles" and stream not in OBJECTS:
            raise UnknownChoice("Salesforce has no such stream.", field="streams", allowed=[s.id for s in self.streams])
        at = Position.model_validate_json(cursor) if cursor else _start(since)
        if stream == "articles":
            return await self._article_page(call, at)
        if at.phase in ("deleted", "bin"):
            return await self._deleted_page(call, stream, at)
        sobject, names, live = OBJECTS[stream]
        statement = _statement(sobject, names, [], at)
        page, at = await _read(call, at, statement, SIZE)
        found = StreamPage()
        for row in page.rows:
            if row.get(live):
                (_read_product if stream == "products" else _read_case)(call, row, found)
            else:
                found.deleted.append(str(row["Id"]))
        if page.following:
            return _closed(found, at, _moved(at, page))
        return _closed(found, at, _cleared(at, phase="deleted") if at.gone_from else None)

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True for what is deleted, inactive or open again, and for an article that is not published to its readers."""
        if stream == "articles":
            return await Articles(call).is_gone(external_id)
        if not is_id(external_id):
            return True
        sobject, _, live = OBJECTS[stream]
        path = f"/sobjects/{sobject}/{segment(external_id)}"
        answer = await absent_as_none(call.http.get(path, {"fields": f"Id,{live}"}))
        return answer is None or not answer.body().get(live)

    # --- articles ---------------------------------------------------------------------------------------------------

    async def _article_page(self, call: Call, at: Position) -> StreamPage:
        articles = Articles(call)
        layout = at.layout or await articles.layout()
        at = at.model_copy(update={"layout": layout})
        language, archived = layout.languages[at.language], at.phase == "archived"
        conditions = [f"PublishStatus = '{'Archived' if archived else 'Online'}'", f"Language = {quoted(language)}"]
        names = ("Id", "KnowledgeArticleId", STAMP) if archived else layout.fields
        statement = _statement(call.settings.knowledge_object, names, conditions, at)
        try:
            page, at = await _read(call, at, statement, soql.NARROWEST)
        except ProviderFailure as error:
            raise articles.explained(error) from None
        found = StreamPage()
        if archived:
            found.deleted = await articles.left(language, page.rows)
        else:
            for row in page.rows:
                articles.read(layout, row, found)
        if page.following:
            return _closed(found, at, _moved(at, page))
        if at.floor and not archived:  # a full walk needs no look at what was archived: it is not listed
            return _closed(found, at, _cleared(at, phase="archived"))
        if at.language + 1 < len(layout.languages):
            return _closed(found, at, _cleared(at, phase="rows", language=at.language + 1))
        return _closed(found, at, None)

    # --- what was deleted ---------------------------------------------------------------------------------------------

    async def _deleted_page(self, call: Call, stream: str, at: Position) -> StreamPage:
        sobject = OBJECTS[stream][0]
        start, end = _time(at.gone_from), _time(at.started)
        if at.phase == "deleted" and end - start < BIN:
            # Both ends lose their seconds, and must then be more than a minute apart.
            asked = {"start": moment(start), "end": moment(max(end, start + OVERLAP))}
            try:
                body = (await call.http.get(f"/sobjects/{sobject}/deleted/", asked)).body()
            except ProviderFailure as error:
                if error.provider_code not in UNCOVERED:
                    raise
            else:
                rows, covered = body.get("deletedRecords"), timestamp(body.get("latestDateCovered"))
                if not isinstance(rows, list):
                    raise ProviderFailure("Salesforce answered deletions without `deletedRecords`.")
                ended = _closed(StreamPage(deleted=[str(row["id"]) for row in rows]), at, None)
                ended.checkpoint = _checkpoint(at, moment(min(covered, end) if covered else start))
                return ended
        if at.phase == "deleted":
            at = at.model_copy(update={"phase": "bin", "floor": at.gone_from})
        statement = _statement(sobject, ("Id", STAMP), ["IsDeleted = true"], at)
        page, at = await _read(call, at, statement, soql.WIDEST, deleted=True)
        found = StreamPage(deleted=[str(row["Id"]) for row in page.rows])
        return _closed(found, at, _moved(at, page) if page.following else None)


def _start(since: str | None) -> Position:
    if since is None:
        return Position()
    try:
        known = Checkpoint.model_validate_json(since)
        return Position(floor=moment(_time(known.at) - OVERLAP), gone_from=moment(_time(known.deleted)))
    except ValidationError:
        raise ProviderFailure("The stored checkpoint is unreadable; a full sync mends it.") from None


def _time(text: str | None) -> datetime:
    found = timestamp(text)
    if found is None:
        raise ProviderFailure("The stored checkpoint is unreadable; a full sync mends it.")
    return found.astimezone(UTC)


def _statement(sobject: str, names: Sequence[str], conditions: Sequence[str], at: Position) -> str:
    """The query of a walk: what changed since its floor, behind the last row read."""
    tests = list(conditions)
    if at.floor:
        tests.append(f"{STAMP} >= {at.floor}")
    if at.last:
        time, last = at.last
        tests.append(f"({STAMP} > {time} OR ({STAMP} = {time} AND Id > {quoted(last)}))")
    return soql.select(names, sobject, tests, order=f"{STAMP}, Id")


async def _read(call: Call, at: Position, statement: str, size: int, *, deleted: bool = False) -> tuple[Page, Position]:
    """The page at a position, and the position with the walk's beginning in it."""
    page = None
    if at.following:
        try:
            page = await soql.following(call, at.following)
        except ProviderFailure as error:
            # Salesforce keeps a result for some minutes only; the statement goes on behind the last row.
            if error.provider_code != EXPIRED:
                raise
    page = page or await soql.query(call, statement, size=size, deleted=deleted)
    return page, at if at.started else at.model_copy(update={"started": moment(page.at)})


def _moved(at: Position, page: Page) -> Position:
    last = page.rows[-1] if page.rows else None
    key = (moment(told(last, STAMP)), str(last["Id"])) if last else at.last
    return at.to(following=page.following, last=key)


def _cleared(at: Position, **changes: Any) -> Position:
    return at.to(following=None, last=None, **changes)


def _checkpoint(at: Position, deleted: str) -> str:
    return Checkpoint(at=at.started, deleted=deleted).model_dump_json()


def _closed(page: StreamPage, at: Position, following: Position | None) -> StreamPage:
    page.next = following.model_dump_json() if following else None
    page.checkpoint = _checkpoint(at, at.started)
    return page


def _read_product(call: Call, row: Row, page: StreamPage) -> None:
    key, name = str(row["Id"]), row.get("Name")
    if not name:
        page.failures.append(RecordFailure(external_id=key, reason="It has no name."))
        return
    named = (("Code", "ProductCode"), ("Family", "Family"), ("Page", "DisplayUrl"))
    facts = "\n".join(f"- {label}: {row[field]}" for label, field in named if row.get(field))
    page.documents.append(
        Document(
            stream="products",
            external_id=key,
            title=str(name),
            body="\n\n".join(filter(None, (row.get("Description"), facts))) or str(name),
            url=row.get("DisplayUrl") or page_url(call.facts, key),
            updated_at=timestamp(row.get("LastModifiedDate")),
        )
    )


def _read_case(call: Call, row: Row, page: StreamPage) -> None:
    key, number = str(row["Id"]), str(row.get("CaseNumber") or "")
    if not row.get("Description"):
        page.failures.append(RecordFailure(external_id=key, reason="It has no description."))
        return
    page.documents.append(
        Document(
            stream="cases",
            external_id=key,
            title=str(row.get("Subject") or f"Case {number}"),
            body=str(row["Description"]),
            url=page_url(call.facts, key),
            updated_at=timestamp(row.get("LastModifiedDate")),
            audience="internal",
            metadata={"case_number": number} if number else {},
        )
    )
