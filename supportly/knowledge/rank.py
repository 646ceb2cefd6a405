"""Puts found chunks in order: words and vectors in one convex mix, and no document that crowds the others out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

VECTOR_SHARE: Final = 0.45
"""Weight of the vector in the mix; the rest is full text. On the FAQ set shares of 0.3 to 0.5 are equally good (hit@1
0.41 to 0.43, where full text alone has 0.38 and vectors alone 0.32), and more vector is worse."""
CROWDED: Final = 5
"""Among this many first hits…"""
PER_DOCUMENT: Final = 2
"""…a document has at most so many chunks."""
LONGEST_QUESTION: Final = 2000
"""Characters of a question that are read: a long e-mail. What comes after it is repetition or an attack."""
SNIPPET: Final = 240
"""Characters of a snippet: two lines of a result list."""

_WORD: Final = re.compile(r"\w{3,}")
_HASH: Final = re.compile(r"^#{1,6} |[*`_]{2,}|^\s*[-|] ", re.MULTILINE)


class Found(Protocol):
    """What ranking needs of a chunk."""

    @property
    def document_id(self) -> str: ...  # noqa: D102
    @property
    def similarity(self) -> float: ...  # noqa: D102
    @property
    def words(self) -> float: ...  # noqa: D102


Chunk = TypeVar("Chunk", bound=Found)


def mix(found: Sequence[Chunk], vector_share: float = VECTOR_SHARE) -> list[tuple[Chunk, float]]:
    """All chunks with their mixed scores, best first.

    Similarities are stretched to 0…1 over the candidates; full-text scores, whose zero means "no word in common", are
    divided by the best. A share of 0 or 1 gives one half alone.
    """
    if not found:
        return []
    low = min(c.similarity for c in found)
    width = max(c.similarity for c in found) - low or 1.0
    best = max(c.words for c in found) or 1.0
    scored = [(c, vector_share * (c.similarity - low) / width + (1 - vector_share) * c.words / best) for c in found]
    # Equal scores keep one order from call to call.
    return sorted(scored, key=lambda pair: (-pair[1], pair[0].document_id))


def spread(ranked: Iterable[tuple[Chunk, float]], limit: int) -> list[tuple[Chunk, float]]:
    """The first `limit`, with at most two chunks of one document among the first five; the others move behind them."""
    first: list[tuple[Chunk, float]] = []
    later: list[tuple[Chunk, float]] = []
    counted: dict[str, int] = {}
    for pair in ranked:
        document = pair[0].document_id
        if len(first) < CROWDED and counted.get(document, 0) >= PER_DOCUMENT:
            later.append(pair)
            continue
        counted[document] = counted.get(document, 0) + 1
        if len(first) < CROWDED:
            first.append(pair)
        else:
            later.append(pair)
    return [*first, *sorted(later, key=lambda pair: -pair[1])][:limit]


def question(text: str) -> str:
    """A question as the index reads it: one line, without what PostgreSQL cannot hold, and not endless."""
    readable = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Cf") else c for c in text[:LONGEST_QUESTION])
    return " ".join(readable.split())


def snippet(body: str, asked: str) -> str:
    """The part of a chunk around the question's rarest (longest) word that stands in it, without Markdown's signs."""
    text = " ".join(_HASH.sub("", body).split())
    if len(text) <= SNIPPET:
        return text
    low = text.lower()
    words = sorted(set(_WORD.findall(asked.lower())), key=len, reverse=True)
    at = next((place for word in words if (place := low.find(word)) >= 0), 0)
    start = max(0, min(at - SNIPPET // 3, len(text) - SNIPPET))
    if start:
        start = text.find(" ", start) + 1 or start
    cut = text[start : start + SNIPPET]
    if start + SNIPPET < len(text):
        cut = (cut[: cut.rfind(" ")] if " " in cut else cut) + " …"
    return ("… " if start else "") + cut
