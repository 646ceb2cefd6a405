"""A document's Markdown to chunks: along headings first, then by size, so that an edit touches only its section."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from langchain_text_splitters import MarkdownHeaderTextSplitter, RecursiveCharacterTextSplitter

CHUNK_CHARS: Final = 1000
"""About 250 tokens: long enough for an answer, short enough that its vector means one thing."""
OVERLAP_CHARS: Final = 100
"""A sentence or two: an answer that a cut goes through stays whole in one of its chunks."""
VERSION: Final = "1"
"""Part of every hash: raising it re-splits everything at the next sync."""
LONGEST_HEADING: Final = 300
_LEVELS: Final = [("#" * level, str(level)) for level in range(1, 7)]
_HEADING: Final = re.compile(r"^ {0,3}#{1,6}[ \t]", re.MULTILINE)

_by_heading = MarkdownHeaderTextSplitter(_LEVELS, strip_headers=True)
_by_size = RecursiveCharacterTextSplitter(
    chunk_size=CHUNK_CHARS,
    chunk_overlap=OVERLAP_CHARS,
    # Paragraphs, lines, sentences, words; the full stop stays with its sentence.
    separators=["\n\n", "\n", "(?<=[.!?]) ", "(?<=[。！？])", " ", ""],
    is_separator_regex=True,
    keep_separator=False,
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


def split(title: str, body: str) -> list[Chunk]:
    """The chunks of a document; at least one, so that a document without a body is found by its title."""
    return [Chunk(title, heading, piece) for heading, piece in _pieces(body)] or [Chunk(title, "", "")]


def _pieces(body: str) -> Iterator[tuple[str, str]]:
    if not body:
        return
    if not _HEADING.search(body):
        yield from (("", piece) for piece in _cut(body))
        return
    for section in _by_heading.split_text(body):
        path = " › ".join(section.metadata[level] for _, level in _LEVELS if level in section.metadata)
        yield from ((path[:LONGEST_HEADING], piece) for piece in _cut(section.page_content))


def _cut(text: str) -> list[str]:
    return [text] if len(text) <= CHUNK_CHARS else _by_size.split_text(text)


def text_hash(chunk: Chunk, *, language: str, locale: str | None) -> bytes:
    """Sixteen bytes that stay the same as long as a chunk's stored row does."""
    parts = (VERSION, chunk.title, chunk.heading, chunk.body, language, locale or "")
    return hashlib.sha256("\x1f".join(parts).encode()).digest()[:16]
