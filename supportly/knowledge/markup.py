"""Raw HTML and addresses inside Markdown: what a browser would hide or run goes, the words stay.

Markdown may hold HTML, and plain text may look like it. Elements that show nothing (`script`, `style`, …) and hidden
ones go with what is in them; of all others the tags go. What is no HTML element (`<T>`, `<your-name>`) is text. Fenced
code and code spans are code, whatever stands in them; where that is in doubt, they are not.
"""

from __future__ import annotations

import html as entities
import re
from collections.abc import Callable
from typing import Final

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PageElement, PreformattedString

from supportly.knowledge.codes import codes
from supportly.knowledge.elements import BLOCKS, ELEMENTS, SILENT
from supportly.knowledge.html import MOST_TAGS, TooManyTags, hiding, is_hidden

_CODE: Final = "\ue000{}\ue001"
"""Stands for a piece of code, by its number, while the rest is read: characters of no script."""
_CODES: Final = re.compile(_CODE.format("([0-9]+)"))
_RESERVED: Final = str.maketrans("", "", "\ue000\ue001")
_PASSES: Final = 5
"""Two do for all but what is written to need more."""
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}

_SIGN: Final = re.compile(
    r"(?<=[^\s>] )<(?P<mentioned>[a-zA-Z]+)>(?=[\s.,;:!?)]|$)"
    r"|</?(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?=[\s/>])|<(?P<bogus>[!?])(?=[a-zA-Z\[]|--)|<|&"
)
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_LOOKS_LIKE_TAG: Final = re.compile(r"<(?=[!?][a-zA-Z\[]|!--[^>]|/?([a-zA-Z][a-zA-Z0-9]*))")
_CLOSING: Final = re.compile(r"</([a-zA-Z][a-zA-Z0-9]*)")
_COMMENT_BLOCK: Final = re.compile(r"^[ ]{0,3}<!--", re.MULTILINE)
"""Without an end, what begins a line like this goes on to the end of the text."""
_ROW: Final = re.compile(r"^[ ]{0,3}\|.*$", re.MULTILINE)
_BREAK: Final = re.compile(r"<br[ ]?/?>", re.IGNORECASE)

_LINK: Final = re.compile(
    r"(?P<image>!?)\[(?P<words>[^\[\]\n]{0,1000}+)\]"
    r"(?:\(\s{0,8}+(?P<to><[^<>\n]{0,2000}+>|[^\s()<>]{0,2000}+(?:\([^\s()]{0,500}+\)[^\s()]{0,500}+)?+)"
    r"(?:\s[^()\n]{0,500}+)?+\)|\[[^\[\]\n]{0,200}+\])"
)
_DEFINITION: Final = re.compile(r"^[ ]{0,3}\[[^\[\]\n]{1,200}\]:[ \t]*(?P<to>\S{0,2000})[^\n]*$", re.MULTILINE)
_AUTOLINK: Final = re.compile(r"<(?P<to>[a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\s<>]{0,2000})>")
_UNSEEN: Final = re.compile("[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff\\\\]")
_SCHEME: Final = re.compile(r"[^/?#]*?:")
_SAFE: Final = ("http:", "https:", "mailto:", "tel:")


def plain(text: str) -> str:
    """Markdown with the words of its HTML alone, and without images and dangerous addresses. Raises TooManyTags."""
    if sum(1 for found in _LOOKS_LIKE_TAG.finditer(text) if found[1]) > MOST_TAGS:
        raise TooManyTags
    return _settled(text, _without_html)


def inert(text: str) -> str:
    """Markdown that was made of HTML: what reads like a tag was shown to people, and stays text."""
    return _settled(text, _escaped)


def _settled(text: str, reading: Callable[[str], str]) -> str:
    if "<" not in text and "](" not in text and "]:" not in text and "][" not in text:
        return text
    text = text.translate(_RESERVED)
    for _ in range(_PASSES):
        # What goes may leave ticks side by side, or a fence at a line's beginning: then other parts are code.
        before, text = text, _read(text, reading)
        if text == before:
            return text
    return _escaped(text)


def _read(text: str, reading: Callable[[str], str]) -> str:
    """One pass: code is set aside, the rest is read, and its addresses are looked at."""
    code: list[str] = []
    kept: list[str] = []
    done = 0
    for start, end in codes(text):
        kept += [text[done:start], _CODE.format(len(code))]
        code.append(text[start:end])
        done = end
    text = reading("".join([*kept, text[done:]]))
    text = _LINK.sub(_link, text)
    text = _DEFINITION.sub(lambda found: found[0] if _is_safe(found["to"]) else "", text)
    text = _AUTOLINK.sub(lambda found: found[0] if _is_safe(found["to"]) else found["to"], text)
    return _CODES.sub(lambda found: code[int(found[1])], text)


def _without_html(text: str) -> str:
    """Text without code, and HTML as its words."""
    last_comment = text.rfind("-->")
    if endless := next((c for c in _COMMENT_BLOCK.finditer(text) if c.start() > last_comment), None):
        text = text[: endless.start()]
    if any(found[1] is None or found[1].lower() in ELEMENTS for found in _LOOKS_LIKE_TAG.finditer(text)):
        text = _ROW.sub(lambda row: _BREAK.sub(" ", row[0]), text)
        text = _words(BeautifulSoup(f"<div>{_marked_up(text)}</div>", "lxml"))
        text = _escaped(text)  # an entity may have spelled a tag: it is text, and stays so
    return text


def _escaped(text: str) -> str:
    """Text in which nothing is a tag."""
    return _LOOKS_LIKE_TAG.sub(lambda found: "&lt;" if not found[1] or found[1].lower() in ELEMENTS else found[0], text)


def _link(found: re.Match[str]) -> str:
    # An image is fetched by whoever shows it, from wherever it says.
    if found["image"] or (found["to"] is not None and not _is_safe(found["to"])):
        return found["words"]
    return found[0]


def _is_safe(destination: str) -> bool:
    """Whether an address, as a reader of Markdown would decode it, is a page, a mail or a place in this one."""
    scheme = _SCHEME.match(_UNSEEN.sub("", entities.unescape(destination.strip("<>"))))
    return scheme is None or scheme[0].lower() in _SAFE


def _marked_up(text: str) -> str:
    """Text as HTML: what is no element is escaped.

    As in a browser, a silent or hidden element that nothing closes goes on to the end. But a bare `<script>` or
    `<object>` between words, which nothing closes, is somebody who writes about it.
    """
    closed = {found[1].lower(): found.start() for found in _CLOSING.finditer(text)}
    last, last_comment = text.rfind(">"), text.rfind("-->")

    def sign(found: re.Match[str]) -> str:
        if found[0] == "&":
            return "&" if _ENTITY.match(text, found.start()) else "&amp;"
        name = (found["mentioned"] or found["name"] or "").lower()
        # A comment is one when it ends.
        ends = last_comment if text.startswith("<!--", found.start()) else last
        element = name in ELEMENTS or found["bogus"]
        mention = found["mentioned"] and name in SILENT and closed.get(name, -1) < found.start()
        # Behind the last `>` nothing is a tag.
        if not element or mention or found.start() > ends:
            return "&lt;" + found[0][1:]
        # The parser would take all that follows for its text.
        return found[0].lower().replace(name, "span") if name in ("title", "textarea") else found[0]

    return _SIGN.sub(sign, text)


def _words(soup: BeautifulSoup) -> str:
    """The visible words with the text's own line breaks; blocks begin and end lines."""
    classes, ids = hiding(soup)
    made: list[str] = [""]
    waiting: list[PageElement | None] = list(reversed(soup.contents))
    while waiting:
        piece, added = waiting.pop(), ""
        if piece is None:  # a block ends here
            added = "" if made[-1].endswith("\n") else "\n"
        elif isinstance(piece, Tag):
            if piece.name in SILENT or is_hidden(piece, classes, ids, named=False):
                continue
            added = _begins(piece, made[-1])
            waiting += [*([None] if piece.name in BLOCKS else []), *reversed(piece.contents)]
        elif isinstance(piece, NavigableString) and not isinstance(piece, PreformattedString):
            added = str(piece)
        if added:
            made.append(added)
    return "".join(made)


def _begins(element: Tag, before: str) -> str:
    """What an element puts in front of its words."""
    if element.name == "img":
        return str(element.get("alt") or "")
    if element.name in ("td", "th"):
        return " "
    line = "\n" if element.name == "br" or (element.name in BLOCKS and before and not before.endswith("\n")) else ""
    return line + _HEADINGS.get(element.name, "")
