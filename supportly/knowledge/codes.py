"""Where code stands in Markdown: fences and spans, outside of HTML tags, each found in one pass."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from supportly.knowledge.elements import ELEMENTS, RAW

_MARK: Final = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)$"
    r"|(?P<comment><!--)"
    r"|<(?P<slash>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?=[\s/>])"
    r"|(?P<ticks>`+)",
    re.MULTILINE,
)
_FENCE: Final = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*$", re.MULTILINE)
_REST: Final = re.compile(r"(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>")
"""What follows a tag's name: attributes, of which quoted ones may hold any character."""
_LONGEST_TAG: Final = 4_000
"""Characters in which a tag's end is looked for. Behind a longer one nothing of its block counts as code."""
_BLANK: Final = re.compile(r"\n[ \t]*\n")
_CLOSING: Final = re.compile(r"</([a-zA-Z][a-zA-Z0-9]*)")
_TICKS: Final = re.compile(r"`+")


class Blanks:
    """The blank lines of a text: where its blocks end."""

    def __init__(self, text: str) -> None:
        self._places = [found.start() for found in _BLANK.finditer(text)]
        self._length = len(text)

    def after(self, place: int) -> int:
        """The end of the block that holds `place`."""
        number = bisect_left(self._places, place)
        return self._places[number] if number < len(self._places) else self._length


def codes(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each piece of code, in order. A tag and what stands in one is none, nor a script's text.

    A span ends in its own paragraph, and a tick behind a backslash opens none.
    """
    blanks, closing, last_comment = Blanks(text), _spans(text), text.rfind("-->")
    ends: dict[str, list[int]] = {}
    for found in _CLOSING.finditer(text):
        ends.setdefault(found[1].lower(), []).append(found.start())
    place = 0
    while mark := _MARK.search(text, place):
        place = mark.end()
        if mark["comment"]:
            place = max(place, text.find("-->", place)) if place < last_comment else place
        elif mark["name"]:
            name = mark["name"].lower()
            if name in ELEMENTS:
                raw = ends.get(name, []) if name in RAW and not mark["slash"] else None
                place = _after_tag(text, place, blanks.after(place), raw)
        elif mark["fence"] and "`" not in mark["info"]:
            place = _after_fence(text, mark["fence"], place)
            yield mark.start(), place
        else:
            start, place = mark.span("fence" if mark["fence"] else "ticks")
            end = closing.get(start, 0)
            if 0 < end <= blanks.after(start) and text[start - 1 : start] != "\\":
                yield start, end
                place = end


def _spans(text: str) -> dict[int, int]:
    """Start of each run of ticks -> end of the next run that is as long."""
    found: dict[int, int] = {}
    later: dict[int, int] = {}
    for run in reversed(list(_TICKS.finditer(text))):
        length = run.end() - run.start()
        if length in later:
            found[run.start()] = later[length]
        later[length] = run.end()
    return found


def _after_tag(text: str, place: int, block: int, raw: list[int] | None) -> int:
    """Behind a tag whose name ends at `place`; behind a raw element's text, which one of `raw` closes."""
    rest = _REST.match(text, place, place + _LONGEST_TAG)
    if rest is None:
        return block
    if raw is None:
        return rest.end()
    number = bisect_left(raw, rest.end())
    return raw[number] if number < len(raw) else max(block, rest.end())


def _after_fence(text: str, fence: str, place: int) -> int:
    """Behind the fence that closes one: of its kind and as long; else the end."""
    for closing in _FENCE.finditer(text, place):
        if closing[1].startswith(fence):
            return closing.end()
    return len(text)
