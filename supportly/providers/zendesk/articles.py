"""The Help Center's articles as documents: one per article and language."""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import ProviderFailure
from supportly.http import Answer, segment
from supportly.oauth import now_utc
from supportly.provider import Call, absent_as_none, integer, timestamp
from supportly.providers.zendesk.api import SIZE, Row, after, looping, pages, query_number, rows, some, unless_gone

ROOT: Final = "/help_center"
EXPORT: Final = re.compile(
    r"https://[\w.-]+/api/v2/help_center/([\w-]+/)?incremental/articles(\.json)?\?[^#\s]*", re.ASCII
)
"""A page of the export, as `next_page` names it."""
EXPORT_PAGE: Final = 1_000
"""Most articles on a page of the incremental list: a full page that leads nowhere is a loop, a shorter one the end."""
OVERLAP: Final = timedelta(minutes=1)
"""An incremental walk starts this much before its checkpoint, because an index may lag."""
SECTIONS_DEEP: Final = 5
"""How far a section's parents are followed: Zendesk's deepest plan has five levels, and a loop must end."""

Outline = Mapping[str, Sequence[str]]
"""Section id -> names of its category, the sections around it, and itself."""


async def whole(call: Call, at: Row) -> StreamPage:
    """A page of the walk over all articles, translations included: one call for a hundred."""
    asked = {"page[size]": SIZE, "page[after]": at.get("after"), "include": "translations"}
    answer = await absent_as_none(call.http.get(f"{ROOT}/articles", asked))
    if answer is None:
        # An account without a Help Center answers 404 to its lists.
        return StreamPage()
    body, started = answer.body(), at.get("started") or _moment(answer)
    following = after(body, at.get("after"))
    page = StreamPage(checkpoint=str(started))
    await _read(call, body, at, page, {"started": started}, {"after": following} if following else None)
    return page


async def changed(call: Call, at: Row, since: str | None) -> StreamPage:
    """A page of what changed since the checkpoint (epoch seconds). A vote counts as a change."""
    since_s = int(since or 0)
    start = int(at.get("from") or max(0, since_s - OVERLAP.seconds))
    url = str(at.get("url") or f"{ROOT}/incremental/articles?start_time={start}")
    if "url" in at and not EXPORT.fullmatch(url):
        raise ProviderFailure("Zendesk named a next page that is not its own; it was not asked for.", sent=False)
    answer = await absent_as_none(call.http.get(url + ("" if "include=" in url else "&include=translations")))
    if answer is None:
        return StreamPage(checkpoint=str(since_s))
    body = answer.body()
    # A list without changes answers `end_time: 1`; going back would mean to read everything again.
    page = StreamPage(checkpoint=str(max(since_s, integer(body.get("end_time") or 0))))
    following, onward = body.get("next_page"), None
    if following:
        moved = query_number(following, "start_time")
        if moved is not None and moved > start:
            onward = {"url": following, "from": moved}
        elif len(rows(body, "articles")) >= EXPORT_PAGE:
            raise looping()
    await _read(call, body, at, page, {"from": start}, onward)
    return page


async def is_gone(call: Call, external_id: str) -> bool | None:
    """True when the translation is not there, or may no longer be shown; None without a Help Center."""
    number, _, locale = external_id.partition(":")
    answer = await absent_as_none(call.http.get(f"{ROOT}/articles/{segment(number)}"))
    if answer is None:
        # Without a Help Center every article is "not found", and that is no word about this one.
        there = await absent_as_none(call.http.get(f"{ROOT}/articles", {"page[size]": 1}))
        return True if there else None
    if not _visible(call, answer.body()["article"]):
        return True
    found = await _translations(call, number)
    return not any(_published(row) and locale in ("", row.get("locale")) for row in found)


async def _read(call: Call, body: Mapping[str, Any], at: Row, page: StreamPage, kept: Row, onward: Row | None) -> None:
    """Turn a list into documents and set `page.next`: `onward`, or the list again without what is done.

    Translations come with the list. Where they don't, each article costs a call, and a page takes only so many.
    """
    done = set(at.get("done") or ())
    listed = [row for row in rows(body, "articles") if row.get("id") not in done]
    outline: Outline | None = at.get("outline")
    if outline is None and listed:
        outline = await _outline(call)
    aside: dict[Any, list[Row]] = {}
    for row in body.get("translations") or []:
        aside.setdefault(row.get("source_id"), []).append(row)
    own = {row.get("id"): row.get("translations", aside.get(row.get("id"))) for row in listed}
    bare = [row for row in listed if own[row.get("id")] is None and _visible(call, row)]
    got = await some(bare, lambda row: _translations(call, str(row["id"])))
    own |= {row["id"]: found for row, found in zip(bare, got, strict=False)}
    left = {row["id"] for row in bare[len(got) :]}
    for article in listed:
        if article.get("id") in left:
            continue
        found = own[article.get("id")] or []
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            found = [{"locale": article.get("locale"), "body": found}]
        for translation in found:
            # The id of the document that is there perhaps: a failure under another would let it be swept away.
            key = f"{article.get('id')}:{translation.get('locale')}"
            try:
                _add(call, key, article, translation, outline or {}, page)
            except (AttributeError, KeyError, TypeError, ValueError):
                page.failures.append(RecordFailure(external_id=key, reason="It has an unexpected shape."))
    if left:
        done |= {row.get("id") for row in listed} - left
        onward = {**{name: at[name] for name in ("after", "url") if name in at}, "done": sorted(done)}
    page.next = json.dumps({**kept, "outline": outline, **onward}) if onward else None


def _add(call: Call, key: str, article: Row, row: Row, outline: Outline, page: StreamPage) -> None:
    """A document of a published translation; another one comes as `deleted`, since it may have been published."""
    if not _visible(call, article) or not _published(row):
        page.deleted.append(key)
        return
    path = list(outline.get(str(article.get("section_id")), ()))
    document = Document(
        stream="articles",
        external_id=key,
        title=row.get("title") or article.get("title") or "Untitled",
        body=row["body"],
        url=row.get("html_url") or article.get("html_url"),
        locale=row["locale"],
        updated_at=timestamp(row.get("updated_at") or article.get("updated_at")),
        audience="public" if _public(article) else "internal",
        metadata={
            "format": "html",
            "article_id": str(article["id"]),
            "heading_path": path,
            "category": path[0] if path else None,
            "section": path[-1] if path else None,
            "labels": list(article.get("label_names") or []),
        },
    )
    page.documents.append(document)


def _public(article: Mapping[str, Any]) -> bool:
    return article.get("user_segment_id") is None and not article.get("user_segment_ids")


def _visible(call: Call, article: Mapping[str, Any]) -> bool:
    return _public(article) or bool(call.settings.include_restricted_articles)


def _published(translation: Mapping[str, Any]) -> bool:
    return not translation.get("draft") and not translation.get("hidden") and bool(translation.get("body"))


async def _translations(call: Call, article_id: str) -> list[Row]:
    """All translations of an article; none when it went meanwhile."""
    return await unless_gone(pages(call, f"{ROOT}/articles/{segment(article_id)}/translations", "translations"))


async def _outline(call: Call) -> Outline:
    """Where each section stands. Two short lists, read once in a walk and kept in its cursor."""
    categories: dict[str, str] = {}
    sections: dict[str, Row] = {}
    async for page in pages(call, f"{ROOT}/categories", "categories"):
        categories |= {str(row["id"]): str(row.get("name") or "") for row in page}
    async for page in pages(call, f"{ROOT}/sections", "sections"):
        sections |= {str(row["id"]): row for row in page}

    def names(key: str, deeper: int) -> list[str]:
        row = sections.get(key)
        if row is None or deeper < 0:
            return []
        parent = row.get("parent_section_id")
        above = names(str(parent), deeper - 1) if parent else [categories.get(str(row.get("category_id")), "")]
        return [*above, str(row.get("name") or "")]

    return {key: [name for name in names(key, SECTIONS_DEEP) if name] for key in sections}


def _moment(answer: Answer) -> int:
    """When the provider answered, by its own clock; by ours where it sends no `Date`."""
    try:
        now = email.utils.parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        now = now_utc()
    return int(now.timestamp())
