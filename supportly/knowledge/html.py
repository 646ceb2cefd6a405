"""HTML as the Markdown that people see: no scripts, no hidden parts, no page furniture; tables, lists and code kept.

Every step is linear in the document's length: an answer of a provider must not hold a worker for minutes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PageElement, PreformattedString
from markdownify import MarkdownConverter

from supportly.knowledge.hidden import hiding_selectors, is_hidden_style

MOST_TAGS: Final = 30_000
"""Openings of tags. Parsing, cleaning and converting were measured at 10,000 a second on one busy core, so this is
three seconds; a table of a thousand rows and ten columns has 11,000."""
DEEPEST: Final = 60
"""Elements inside one another; pages made with builders have 30. The converter recurses, two frames of Python each,
and copies a text once for every element around it. What is deeper keeps its words without their structure."""
DEEPEST_LIST: Final = 6
"""Lists and quotations inside one another; each indents all lines inside it."""
WIDEST: Final = 10
"""Columns that one cell is taken for at most; HTML allows 1,000, which makes a megabyte of ten kilobytes."""

_DROPPED: Final = frozenset(
    {"script", "style", "noscript", "template", "iframe", "object", "embed", "applet", "svg", "canvas", "head"}
    | {"title", "meta", "link", "button", "input", "select", "textarea", "datalist", "audio", "video", "noembed"}
    | {"noframes", "nav", "map"}
)
"""Elements whose content nobody reads, or that move around in a site."""
_ROLES: Final = frozenset({"navigation", "banner", "contentinfo", "search", "menu", "menubar", "toolbar"})
_CLASSES: Final = frozenset(
    # for screen readers alone
    {"sr-only", "visually-hidden", "visuallyhidden", "screen-reader-text"}
    # consent
    | {
        "cookie-banner",
        "cookie-consent",
        "cookie-notice",
        "cookie-bar",
        "cookie-popup",
        "cookie-law-info-bar",
        "cc-window",
    }
    # votes below an article
    | {"article-votes", "article-vote", "article-feedback", "article-rating", "was-this-helpful"}
    # what else help centres put around one
    | {
        "article-share",
        "article-subscribe",
        "article-relatives",
        "recent-articles",
        "related-articles",
        "breadcrumbs",
        "breadcrumb",
    }
)
"""Exact class names: a word in a name is no proof (an article about cookies has its own)."""
_IDS: Final = frozenset({"onetrust-consent-sdk", "onetrust-banner-sdk", "CybotCookiebotDialog", "cookie-law-info-bar"})
_DEEP_NAMES: Final = frozenset({"ul", "ol", "li", "blockquote", "dl", "dt", "dd"})
_INDENTED: Final = frozenset({"ul", "ol", "blockquote", "dd"})
_TABLE_NAMES: Final = frozenset({"table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption"})
_LINE_START: Final = re.compile(r"^([ \t]*)(#{1,6}[ \t]|```|~~~)", re.MULTILINE)
_TICKS: Final = re.compile(r"^[ \t]*(`{3,})", re.MULTILINE)
_LANGUAGE: Final = re.compile(r"(?:language|lang|highlight)-([\w+#-]{1,20})")
_OPENING: Final = re.compile(r"<[a-zA-Z]")
_NUMBER: Final = "value"
"""HTML's own attribute for an item's number."""
_GONE: Final = "gone"
"""The name that hidden elements get."""
_OWN: Final = frozenset({"main", "article", "section"})
"""Headers and footers in these are theirs; those outside belong to the site, where the document is a whole page."""


class TooManyTags(ValueError):
    """HTML that would take too long to read."""


class _Converter(MarkdownConverter):
    """Links and images keep their words only: addresses are noise to a search, and the hit has its own URL.

    What the library does in quadratic time for long lists and tables is done here in linear time.
    """

    def process_tag(self, node: Tag, parent_tags: set[str] | None = None) -> str:
        return "" if node.name == _GONE else str(super().process_tag(node, parent_tags))  # type: ignore[misc]

    def process_text(self, el: NavigableString, parent_tags: set[str] | None = None) -> str:
        # Comments, processing instructions and declarations.
        if isinstance(el, PreformattedString):
            return ""
        return str(super().process_text(el, parent_tags))  # type: ignore[misc]

    def convert_a(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return text

    def convert_img(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return str(el.get("alt") or "")

    def convert_li(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        text = text.strip()
        if not text:
            return "\n"
        # The number was counted by `_prepare`.
        bullet = f"{el[_NUMBER]}. " if el.has_attr(_NUMBER) else "- "
        return bullet + text.replace("\n", "\n" + " " * len(bullet)) + "\n"

    def convert_blockquote(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        text = text.strip()
        if "_inline" in parent_tags or not text:
            return f" {text} "
        return "\n> " + text.replace("\n", "\n> ") + "\n\n"

    def convert_pre(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        if not text.strip():
            return ""
        text = text.strip("\n").rstrip()
        # Longer than any fence in the code itself.
        fence = "`" * max([3, *(len(ticks) + 1 for ticks in _TICKS.findall(text))])
        return f"\n\n{fence}{_code_language(el)}\n{text}\n{fence}\n\n"

    def convert_td(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        span = str(el.get("colspan") or "")
        width = min(WIDEST, max(1, int(span))) if span.isascii() and span.isdigit() and len(span) < 5 else 1
        return " " + " ".join(text.split()).replace("|", "\\|") + " |" * width

    convert_th = convert_td

    def convert_tr(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return f"|{text}\n" if text.strip() else ""

    def convert_table(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        lines = text.strip().split("\n")
        # A caption stands above the rows.
        start = next((place for place, line in enumerate(lines) if line.startswith("|")), None)
        if start is None:
            return f"\n\n{text.strip()}\n\n"
        rows = [line for line in lines[start:] if line.strip()]
        width = rows[0].count("|") - rows[0].count("\\|") - 1
        under = "|" + " --- |" * width
        first = el.find("tr")
        headed = isinstance(first, Tag) and (first.find("th") is not None or first.find_parent("thead") is not None)
        head = [rows.pop(0)] if headed else ["|" + "  |" * width]
        return "\n\n" + "\n".join([*lines[:start], *head, under, *rows]) + "\n\n"

    def escape(self, text: str, parent_tags: set[str]) -> str:
        """Text that looks like a heading or a fence is none."""
        return _LINE_START.sub(r"\1\\\2", text) if "#" in text or "```" in text or "~~~" in text else text


def _code_language(el: Tag) -> str:
    for one in (el, el.find("code")):
        if isinstance(one, Tag):
            names = one.get("class")
            found = _LANGUAGE.search(" ".join(names) if isinstance(names, list) else str(names or ""))
            if found:
                return found[1]
    return ""


_CONVERTER: Final = _Converter(heading_style="ATX", bullets="-", escape_asterisks=False, escape_underscores=False)


def to_markdown(html: str) -> str:
    """The Markdown of an HTML document or fragment. Raises TooManyTags."""
    if html.count("<") > MOST_TAGS and sum(1 for _ in _OPENING.finditer(html)) > MOST_TAGS:
        raise TooManyTags
    soup = BeautifulSoup(html, "lxml")
    return _words(soup) if _prepare(soup) > DEEPEST else str(_CONVERTER.convert_soup(soup))


def _prepare(soup: BeautifulSoup) -> int:
    """Mark hidden elements, number list items, flatten what is nested too deep, and answer the depth of elements.

    Elements keep their places in the tree: taking one out costs time for all its siblings.
    """
    classes, ids = hiding(soup)
    page = soup.find(["main", "article"]) is not None
    deepest = 0
    # Depth, lists and tables around, whether inside an article.
    waiting: list[tuple[Tag, int, int, int, bool]] = [(soup, 0, 0, 0, not page)]
    while waiting:
        element, depth, lists, tables, inside = waiting.pop()
        deepest = max(deepest, depth)
        inside = inside or element.name in _OWN
        lists += element.name in _INDENTED
        tables += element.name == "table"
        # A cell holds one line; a table in it is words of that line.
        if (lists > DEEPEST_LIST and element.name in _DEEP_NAMES) or (tables > 1 and element.name in _TABLE_NAMES):
            element.name = "div"
        number = _start(element) if element.name == "ol" else None
        for child in element.contents:
            if not isinstance(child, Tag):
                continue
            if (not inside and child.name in {"header", "footer"}) or is_hidden(child, classes, ids):
                child.name = _GONE
                continue
            child.attrs.pop(_NUMBER, None)
            if number is not None and child.name == "li":
                child[_NUMBER] = str(number)
                number += 1
            waiting.append((child, depth + 1, lists, tables, inside))
    return deepest


def hiding(soup: BeautifulSoup) -> tuple[frozenset[str], frozenset[str]]:
    """Classes and ids that hide: those of help centres and consent banners, and what the text's own styles hide."""
    classes, ids = _CLASSES, _IDS
    for sheet in soup.find_all("style"):
        more, others = hiding_selectors(sheet.get_text())
        classes, ids = classes | more, ids | others
    return classes, ids


def _words(soup: BeautifulSoup) -> str:
    """The visible words, a line for each piece of text."""
    words: list[str] = []
    waiting: list[PageElement] = [soup]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, Tag):
            if piece.name != _GONE:
                waiting.extend(reversed(piece.contents))
        elif isinstance(piece, NavigableString) and not isinstance(piece, PreformattedString):
            words.append(" ".join(piece.split()))
    return _CONVERTER.escape("\n".join(filter(None, words)), set())


def is_hidden(element: Tag, classes: frozenset[str], ids: frozenset[str], *, named: bool = True) -> bool:
    """Whether people don't see an element: by its attributes, and where `named` by what it is."""
    name = element.name
    if named and name in _DROPPED:
        return True
    attributes: Mapping[str, object] = element.attrs
    if name == "dialog" and "open" not in attributes:
        return True
    if not attributes:
        return False
    # What a search in the page opens is a folded part, not a hidden one.
    if "hidden" in attributes and attributes["hidden"] != "until-found":
        return True
    if str(attributes.get("aria-hidden", "")).strip().lower() == "true":
        return True
    if str(attributes.get("role", "")).strip().lower() in _ROLES or attributes.get("id") in ids:
        return True
    names = attributes.get("class")
    if isinstance(names, list) and not classes.isdisjoint(names):
        return True
    style = attributes.get("style")
    return isinstance(style, str) and is_hidden_style(style)


def _start(element: Tag) -> int:
    start = str(element.get("start") or "")
    return int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 1
