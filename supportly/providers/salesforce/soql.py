"""Salesforce's query language: literals, statements that fit into an address, pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus

from supportly.errors import InvalidInput, ProviderFailure
from supportly.http import Answer
from supportly.provider import Call, next_mark, timestamp

Row = dict[str, Any]
"""A record: `{attributes: {type, url}, Id, …}`; a parent is an object of its own, or null."""

VERSION: Final = "v66.0"
"""Spring '26. 41 to 68 answer in November 2026; older ones end with 410."""
LONGEST: Final = 10_000
"""Characters of an encoded statement. Address and headers together may have 16,384 bytes; beyond them come 414 or 431
with a page of HTML (reported: airbytehq/airbyte #10111, #20703). The rest is room for the token and other headers."""
ABSENT: Final = ("INVALID_TYPE", "INVALID_FIELD", "NOT_FOUND")
"""Codes for an object or a field that the org does not have, or that the user may not see."""
WIDEST: Final = 2_000
"""Rows on a page at most. `batchSize` is a hint of 200 to 2,000; rows that are wide come in smaller pages."""
NARROWEST: Final = 200
_ESCAPES: Final = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}
_LOCATOR: Final = re.compile(r"/services/data/v\d{2,3}\.0/(query|queryAll)/[A-Za-z0-9_-]{10,120}")


def quoted(value: str, *, like: bool = False) -> str:
    """`value` as a SOQL literal with its quotes. The only way for text from outside into a statement.

    With `like` the pattern that finds it anywhere in a field; its own `%` and `_` count as letters. Control characters
    that SOQL has no escape for become spaces, as no field holds them.
    """
    found = "".join(_ESCAPES.get(letter) or (max(letter, " ")) for letter in value)
    if not like:
        return f"'{found}'"
    return "'%" + found.replace("%", "\\%").replace("_", "\\_") + "%'"


def select(names: Sequence[str], sobject: str, tests: Sequence[str] = (), *, order: str = "", limit: int = 0) -> str:
    """A statement. Names are ours or checked to be names; text within `tests` has gone through `quoted`."""
    parts = ["SELECT", ", ".join(names), "FROM", sobject]
    parts += ["WHERE", " AND ".join(tests)] if tests else []
    parts += ["ORDER BY", order] if order else []
    return " ".join([*parts, *(["LIMIT", str(limit)] if limit else [])])


def moment(value: datetime) -> str:
    """A time as a SOQL literal and as a parameter of `deleted`: UTC with its offset, parts of a second where any."""
    utc = value.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds")


def told(row: Row, name: str) -> datetime:
    """A record's time. Raises ProviderFailure where it has none, since a walk cannot go on from there."""
    found = timestamp(row.get(name))
    if found is None:
        raise ProviderFailure(f"Salesforce gave a record without {name}.")
    return found


def length(statement: str) -> int:
    """Characters of a statement in an address."""
    return len(quote_plus(statement))


def parted(statement: str, values: Sequence[str]) -> Iterator[str]:
    """Statements with `{}` in `statement` filled by lists of `values` that each fit into an address, in order."""
    room = LONGEST - length(statement)
    part: list[str] = []
    used = 0
    for value in map(quoted, values):
        size = length(value + ",")
        if part and used + size > room:
            yield statement.replace("{}", ",".join(part))
            part, used = [], 0
        part.append(value)
        used += size
    if part:
        yield statement.replace("{}", ",".join(part))


@dataclass(frozen=True)
class Page:
    """Rows of one answer, and the address (path) of the next."""

    rows: list[Row]
    following: str | None
    at: datetime
    """When Salesforce answered, by its own clock."""


async def query(call: Call, statement: str, *, size: int = WIDEST, deleted: bool = False) -> Page:
    """The first page of a statement; with `deleted` the recycle bin is read too.

    Raises InvalidInput for a statement that does not fit into an address.
    """
    if length(statement) > LONGEST:
        raise InvalidInput("This asks for more fields or text than a Salesforce query takes.", field="params")
    hint = {"Sforce-Query-Options": f"batchSize={min(max(size, NARROWEST), WIDEST)}"}
    path = "/queryAll" if deleted else "/query"
    return _page(await call.http.get(path, {"q": statement}, headers=hint), None)


async def following(call: Call, path: str) -> Page:
    """The page at `nextRecordsUrl`. Raises ProviderFailure when it is no page of this API, or leads to itself."""
    if not _LOCATOR.fullmatch(path):
        raise ProviderFailure("Salesforce named a next page that is not its own; it was not asked for.", sent=False)
    return _page(await call.http.get(call.facts["instance_url"].rstrip("/") + path), path)


def _page(answer: Answer, here: str | None) -> Page:
    body, at = answer.body(), answer.date
    rows, after = body.get("records"), body.get("nextRecordsUrl")
    if not isinstance(rows, list) or (after is None and body.get("done") is False):
        raise ProviderFailure("Salesforce answered a query without its records or its next page.")
    then = None if body.get("done") else next_mark(after, here)
    if then and not _LOCATOR.fullmatch(then):
        raise ProviderFailure("Salesforce named a next page that is not its own; it was not asked for.")
    return Page(rows, then, at)


async def everything(call: Call, statement: str) -> list[Row]:
    """All rows of a statement that names its LIMIT, or whose result is small by nature."""
    page = await query(call, statement)
    rows, seen = page.rows, set()
    while page.following:
        if page.following in seen:
            raise ProviderFailure("Salesforce's pages go in a circle; the walk was stopped.")
        seen.add(page.following)
        page = await following(call, page.following)
        rows = rows + page.rows
    return rows


async def optional(call: Call, statement: str) -> list[Row]:
    """As `everything`; none where the org lacks the object or a field, or the user may not see it."""
    try:
        return await everything(call, statement)
    except ProviderFailure as error:
        if error.provider_code not in ABSENT:
            raise
        return []
