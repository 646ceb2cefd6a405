"""A document's Markdown to chunks: along headings, blocks and sentences, so that an edit moves only what is around it.

A chunk's end never depends on how far it is from the start of the document. A section falls into units (a paragraph,
a table's row, a line of code, a sentence of a long paragraph), and the gaps between them are closed in the order of a
hash of the unit behind each gap, as long as the chunk that results is short enough. An edit changes one such hash; its
influence goes on only along gaps with ever later hashes, which ends after a few units, whatever their sizes are.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from langchain_text_splitters import RecursiveCharacterTextSplitter

from supportly.knowledge.structure import Block, sections
from supportly.knowledge.text import Unreadable

CHUNK_CHARS: Final = 1000
"""About 250 tokens: long enough for an answer, short enough that its vector means one thing."""
OVERLAP_CHARS: Final = 100
"""A sentence or two: an answer that a cut through a paragraph goes through stays whole in one of its chunks."""
VERSION: Final = "2"
"""Part of every hash: raising it re-splits everything at the next sync."""
LONGEST_HEADER: Final = 400
"""A table's header row is repeated up to this length, so that rows keep more than half of a chunk."""
MOST_CHUNKS: Final = 20_000
"""Seven times what prose of the longest body falls into; more is a list of headings, or made to be expensive."""

_INSIDE, _BETWEEN = 0, 1 << 32
"""Gaps inside a block are closed before those between blocks: what fits into a chunk stays whole."""
_SCATTER: Final = 0x9E3779B1
"""Odd, so that no two hashes fall together: CRC-32 of texts that differ in a number alone are otherwise in order."""
_EVERY_WORD: Final = np.uint32(7)
_EVERY_CHARACTER: Final = np.uint32(63)
"""One word in 8, or one character in 64, is an anchor where there are no sentences: some 15 units a chunk."""
_SENTENCES: Final = re.compile(r"(?<=[.!?…])(?=[ \t])|(?<=[。！？])(?![。！？\n])|(?<=\n)")
_ITEM: Final = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_FENCE: Final = re.compile(r"[ \t]*(?:`{3,}|~{3,})")

# Cuts only what has neither words nor anchors, such as one character ten thousand times: all cuts are alike there.
_by_size = RecursiveCharacterTextSplitter(
    chunk_size=CHUNK_CHARS // 2, chunk_overlap=0, separators=[" ", ""], keep_separator="end", strip_whitespace=False
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document. `heading` is the path of headings above it."""

    title: str
    heading: str
    body: str

    @property
    def text(self) -> str:
        """What is embedded: title and heading path in front."""
        return "\n".join(part for part in (self.title, self.heading, self.body) if part)


class _Unit(NamedTuple):
    """What is never cut. A chunk: the first unit's `lead`, texts with `glue` between them, the last one's `tail`."""

    text: str
    glue: str = "\n\n"
    lead: str = ""
    tail: str = ""
    rank: int = _BETWEEN


def split(title: str, body: str) -> list[Chunk]:
    """The chunks of a document, none longer than CHUNK_CHARS; a document without a body is found by its title.

    Raises Unreadable where there is nothing to find, or more than anybody reads.
    """
    chunks: list[Chunk] = []
    for heading, blocks in sections(body):
        # A piece of nothing but spaces is nothing to find.
        chunks += [Chunk(title, heading, piece) for piece in _pack(_units(blocks)) if piece]
        if heading and not blocks:
            chunks.append(Chunk(title, heading, ""))
        if len(chunks) > MOST_CHUNKS:
            raise Unreadable(f"The document falls into more than {MOST_CHUNKS} pieces.")
    if not chunks and not title:
        raise Unreadable("The document has neither a title nor text.")
    return chunks or [Chunk(title, "", "")]


def text_hash(chunk: Chunk, *, language: str, locale: str | None) -> bytes:
    """Sixteen bytes that stay the same as long as a chunk's stored row does."""
    parts = (VERSION, chunk.title, chunk.heading, chunk.body, language, locale or "")
    return hashlib.sha256("\x1f".join(parts).encode()).digest()[:16]


def _pack(units: Sequence[_Unit]) -> list[str]:
    """Chunks of units. No two neighbours would fit into one, unless closing an earlier gap took their place."""
    if len(units) == 1:
        return [units[0].text.strip()]
    # upto[i]: characters of the first i units, each with the glue before it.
    upto = [0]
    for unit in units:
        upto.append(upto[-1] + len(unit.glue) + len(unit.text))
    hashes = [_hash(unit.text) for unit in units]
    # Where units are alike (empty rows, "Yes."), their neighbours decide: closed from left to right, cuts would shift
    # all along.
    order = [
        ((unit.rank + own) << 64) + (before << 32) + behind
        for unit, own, before, behind in zip(units, hashes, [0, *hashes], [*hashes[1:], 0], strict=False)
    ]
    # A chunk is known by its ends: first[last unit] and last[first unit].
    first, last = list(range(len(units))), list(range(len(units)))
    for gap in sorted(range(1, len(units)), key=order.__getitem__):
        start, end = first[gap - 1], last[gap]
        head = units[start]
        if upto[end + 1] - upto[start] - len(head.glue) + len(head.lead) + len(units[end].tail) <= CHUNK_CHARS:
            last[start], first[end] = end, start
    chunks = []
    start = 0
    while start < len(units):
        end = last[start]
        chunks.append(_joined(units[start : end + 1]))
        start = end + 1
    return chunks


def _joined(units: Sequence[_Unit]) -> str:
    head = units[0]
    rest = "".join([unit.glue + unit.text for unit in units[1:]])
    return f"{head.lead}{head.text}{rest}{units[-1].tail}".strip()


def _hash(text: str) -> int:
    """32 bits of a text that are the same in every process, unlike `hash`."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) * _SCATTER & 0xFFFFFFFF


def _units(blocks: Sequence[Block]) -> list[_Unit]:
    units: list[_Unit] = []
    listed = False
    for block in blocks:
        text = block.text
        before = listed
        # Items with blank lines between them are one list, with what is indented below them.
        listed = _ITEM.match(text) is not None or (before and text[:2] == "  ")
        rank = _INSIDE if before and listed else _BETWEEN
        if len(text) <= CHUNK_CHARS:
            units.append(_Unit(text, rank=rank))
            continue
        inner = _code(text.split("\n")) if block.code else _lines(text)
        head = len(units)
        units.extend(inner)
        units[head] = units[head]._replace(glue="\n\n", lead="", rank=rank)
    return units


def _lines(text: str) -> Iterator[_Unit]:
    """The units of a block that is too long for a chunk."""
    lines = text.split("\n")
    if "|" in text:
        for place in range(1, len(lines)):
            under = lines[place]
            if "-" in under and "|" in under and not under.strip("|:- \t") and "|" in lines[place - 1]:
                if place > 1:
                    yield from _prose("\n".join(lines[: place - 1]))
                yield from _table("\n".join(lines[place - 1 : place + 1]), lines[place + 1 :])
                return
    if _ITEM.match(text):
        yield from _items(lines)
    else:
        yield from _prose(text)


def _code(lines: list[str]) -> Iterator[_Unit]:
    """Lines of fenced code; each chunk has the fences again."""
    opening = lines[0]
    fence = _FENCE.match(opening)
    closed = fence is not None and lines[-1].strip().startswith(fence[0].strip())
    if fence is None or len(opening) > OVERLAP_CHARS or len(lines) < (3 if closed else 2):
        yield from _prose("\n".join(lines))
        return
    closing = lines[-1] if closed else fence[0]
    lead, tail = opening + "\n", "\n" + closing
    end = len(lines) - 1 if closed else len(lines)
    glue = "\n"
    for place in range(1, end):
        # An unclosed fence is closed where its chunk ends, and the first line brings its fence along.
        text = lead + lines[place] if place == 1 else lines[place]
        for piece in _pieces(text, CHUNK_CHARS - len(lead) - len(tail)):
            yield _Unit(piece, glue, lead, tail, _INSIDE)
            glue = ""
        glue = "\n"


def _table(head: str, rows: list[str]) -> Iterator[_Unit]:
    """Rows of a table; each chunk has the header row again."""
    if len(head) > LONGEST_HEADER:
        yield from _prose(head)
        lead = ""
    else:
        lead = head + "\n"
    glue = "\n"
    for place, row in enumerate(rows):
        text = lead + row if place == 0 else row
        for piece in _pieces(text, CHUNK_CHARS - len(lead)):
            yield _Unit(piece, glue, lead, "", _INSIDE)
            glue = ""
        glue = "\n"


def _items(lines: list[str]) -> Iterator[_Unit]:
    """Items of a list, each with what is indented below it; a long item in its lines."""
    outer = len(lines[0]) - len(lines[0].lstrip())
    item: list[str] = []
    for line in [*lines, ""]:
        if item and (not line or (len(line) - len(line.lstrip()) <= outer and _ITEM.match(line))):
            whole = "\n".join(item)
            for text in [whole] if len(whole) <= CHUNK_CHARS else item:
                glue = "\n"
                for piece in _pieces(text, CHUNK_CHARS):
                    yield _Unit(piece, glue, rank=_INSIDE)
                    glue = ""
            item = []
        item.append(line)


def _prose(text: str) -> Iterator[_Unit]:
    before = ""
    for piece in _pieces(text, CHUNK_CHARS - OVERLAP_CHARS):
        yield _Unit(piece, "", _end(before), rank=_INSIDE)
        before = piece


def _end(text: str) -> str:
    """The words at the end of `text` that the next chunk repeats."""
    if len(text) <= OVERLAP_CHARS:
        return text
    end = text[-OVERLAP_CHARS:]
    return end[end.find(" ") + 1 :]


def _pieces(text: str, longest: int) -> Iterator[str]:
    """`text` in sentences, lines, or what else is short enough; nothing of it is lost."""
    for sentence in _SENTENCES.split(text) if len(text) > longest else [text]:
        if len(sentence) <= longest:
            if sentence:
                yield sentence
            continue
        for words in _anchored(sentence, at_words=True):
            if len(words) <= longest:
                yield words
                continue
            for run in _anchored(words, at_words=False):
                yield from [run] if len(run) <= longest else _by_size.split_text(run)


def _anchored(text: str, *, at_words: bool) -> list[str]:
    """`text` cut where a hash of the four characters there says so: a cut depends on nothing before or after them."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    if len(codes) < 5:
        return [text]
    mixed = np.zeros(len(codes) - 3, np.uint32)
    for place in range(4):
        mixed = (mixed ^ codes[place : place + len(mixed)]) * np.uint32(_SCATTER)
        mixed ^= mixed >> np.uint32(15)
    if at_words:
        chosen = ((mixed & _EVERY_WORD) == 0)[1:] & (codes[:-4] == ord(" "))
        cuts = np.flatnonzero(chosen) + 1
    else:
        cuts = np.flatnonzero((mixed[1:] & _EVERY_CHARACTER) == 0) + 1
    places = [0, *cuts.tolist(), len(text)]
    return [text[start:end] for start, end in pairwise(places)]
