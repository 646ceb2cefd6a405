"""What a Markdown text consists of: sections under a path of headings, and in each of them blocks and fenced code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST_HEADING: Final = 300
"""Characters of a path; a third of a chunk. What is longer loses its upper headings."""
LONGEST_PART: Final = 150
"""A longer heading is a paragraph by mistake: its beginning stands in the path, all of it in the text."""

_MARK: Final = re.compile(
    r"^[ ]{0,3}(?P<hashes>\#{1,6})(?=[ \t]|$)(?P<heading>[^\n]*)$"
    r"|^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)$"
    r"|^[ ]{0,3}(?P<under>=+|-+)[ \t]*$",
    re.MULTILINE,
)
"""The lines that decide about structure: headings with hashes, fences, and lines under a heading."""
_MAYBE: Final = re.compile(r"^[ \t]*(?:\#{1,6}(?:[ \t]|$)|```|~~~|==|--)", re.MULTILINE)
_BLANK: Final = re.compile(r"\n(?:[ \t]*\n)+")
_NO_TITLE: Final = re.compile(r"[ ]{4}|[ ]*(?:[-*+>|]|\d+[.)])(?:[ \t]|$)|.*\|")
"""A line above a row of dashes that is no heading: code, an item, a quotation, a table's header."""


@dataclass(frozen=True, slots=True)
class Block:
    """What blank lines enclose, or a whole fenced code block."""

    text: str
    code: bool = False


def sections(body: str) -> Iterator[tuple[str, list[Block]]]:
    """Each heading's path and the blocks under it, in order.

    Without blocks comes only a heading whose words no other path holds.
    """
    if not _MAYBE.search(body):
        yield "", _blocks(body)
        return
    above: list[tuple[int, str]] = []
    blocks: list[Block] = []
    for part in _parts(body):
        if isinstance(part, Block):
            blocks.append(part)
            continue
        level, heading = part
        kept = level > above[-1][0] and len(_full([*above, part])) <= LONGEST_HEADING if above else True
        if blocks or not kept:
            yield _path(above), blocks
        above = [*(h for h in above if h[0] < level), part]
        blocks = [Block(heading)] if len(heading) > LONGEST_PART else []
    if blocks or above:
        yield _path(above), blocks


def _full(above: list[tuple[int, str]]) -> str:
    return " › ".join(heading[:LONGEST_PART] for _, heading in above if heading)


def _path(above: list[tuple[int, str]]) -> str:
    while len(_full(above)) > LONGEST_HEADING:
        above = above[1:]
    return _full(above)


def _blocks(text: str) -> list[Block]:
    return [Block(block) for block in _BLANK.split(text) if block and not block.isspace()]


def _parts(body: str) -> Iterator[Block | tuple[int, str]]:
    """Blocks and headings (level, words) in order."""
    done = 0  # everything before is out
    fence = ""  # the fence that is open
    for mark in _MARK.finditer(body):
        kind = mark.lastgroup
        if fence:
            closing = mark["fence"]
            if closing and closing.startswith(fence) and not mark["info"].strip():
                yield Block(body[done : mark.end()], code=True)
                done, fence = mark.end(), ""
        elif mark["fence"]:
            if "`" not in mark["info"]:  # else a span of code that starts a line
                yield from _blocks(body[done : mark.start()])
                done, fence = mark.start(), mark["fence"]
        elif mark["hashes"]:
            yield from _blocks(body[done : mark.start()])
            done = mark.end()
            yield len(mark["hashes"]), _words(mark["heading"])
        elif kind == "under":
            start = body.rfind("\n", done, max(done, mark.start() - 1)) + 1 or done
            line = body[start : mark.start()]
            # A heading is one line here: a paragraph above a rule is text far more often.
            alone = body[done:start].endswith("\n\n") or not body[done:start].strip()
            if alone and line.strip() and not _NO_TITLE.match(line):
                yield from _blocks(body[done:start])
                done = mark.end()
                yield (1 if mark["under"][0] == "=" else 2), line.strip()
    if fence:
        yield Block(body[done:], code=True)
    else:
        yield from _blocks(body[done:])


def _words(heading: str) -> str:
    """A heading without the hashes that may close it."""
    heading = heading.strip()
    bare = heading.rstrip("#")
    return bare.rstrip() if bare != heading and (not bare or bare[-1] in " \t") else heading
