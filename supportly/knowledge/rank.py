"""Puts found chunks in order: vectors of two tiers, close words, exact names, and no document crowding the others out.

`order` ranks. Measured over three sets, as hit@1 and MAP at each share of refined chunks: a FAQ set with 1,387
questions, 75 help-centre chunks with 100 paraphrased questions, and the 956 rules of a linter with their summaries as
questions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

INSTANT: Final = (0.4, 0.7)
"""Weights of the closeness of title and text beside a similarity of 1 while nothing is refined. Flat: titles from 0.3
to 0.5 and texts from 0.6 to 0.8 differ by less than 0.01 in MAP."""
REFINED: Final = (0.2, 0.2)
"""The same once all is refined, which knows more by itself; between the two, in proportion. Flat from 0.2 to 0.4."""
FEWEST_REFINED: Final = 3
"""Fewer similarities tell nothing about the refined scale; with them the pool is ranked by the instant tier alone."""
EXACT: Final = 1.0
"""What a chunk with all of the question's identifiers gains: more than likeness can differ between two candidates that
are worth showing."""
IDENTIFYING_SHARE: Final = 0.2
"""An identifier in more of the pool than this (and in more than three documents) is the theme and not a name: COVID-19
in a FAQ about COVID-19."""
IDENTIFYING_DOCUMENTS: Final = 3
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


# A quoted phrase of several words; a path; letters and digits joined by a sign, or a capital with digits; a capital
# word with its number (HTTP 502); a number of three digits or more that is no year. Names without a digit (`task_id`)
# are no identifiers: they stand in examples everywhere, and letting them win took hit@1 of the linter set's questions
# that have some from 0.81 to 0.66.
_QUOTED: Final = re.compile(r"[\"“”„«»]([^\"“”„«»]{2,80}\s[^\"“”„«»]{1,80})[\"“”„«»]")
_PATH: Final = re.compile(r"(?<![\w/:.])/?\w+(?:/[\w{}.-]*[\w}])*/v\d+(?:/[\w{}-]+)*|(?<![\w/:.])/\w+(?:/[\w{}-]+)+")
_CODE: Final = re.compile(r"(?<![\w.-])(?=[\w-]*\d)(?:[^\W\d_][^\W_]*(?:[_-][^\W_]+)+|[A-Z]+\d[A-Z\d]*)(?![\w-])")
_CAPITAL_NUMBER: Final = re.compile(r"\b([A-Z]{2,} \d+)\b")
_NUMBER: Final = re.compile(r"(?<![\w.,-])#?(?!(?:19|20)\d\d\b)(\d{3,})(?![\w-])(?![.,:]\d)")
_PIECE: Final = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")

Likeness = Callable[[str, Sequence[str], Sequence[str]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Closeness of a question to each title and each text: `closeness.Closeness`."""
Numbers = NDArray[np.float64]


class Pooled(Protocol):
    """What `order` needs of a chunk. Similarities are inner products with the stored vector of each tier.

    `refined` is None where the tier has not caught up; `instant` may be None where every chunk has the refined one.
    """

    @property
    def document_id(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def heading(self) -> str: ...  # noqa: D102
    @property
    def body(self) -> str: ...  # noqa: D102
    @property
    def instant(self) -> float | None: ...  # noqa: D102
    @property
    def refined(self) -> float | None: ...  # noqa: D102
    @property
    def words(self) -> float: ...  # noqa: D102


Candidate = TypeVar("Candidate", bound=Pooled)


def order(found: Sequence[Candidate], question: str, likeness: Likeness) -> list[tuple[Candidate, float]]:
    """All candidates with scores of about 0 to 1, best first; equal ones by full text, then by document.

    Full text finds candidates and decides ties only: closeness holds what its score says, and adding it gained nothing.
    """
    if not found:
        return []
    texts = [f"{c.title}\n{c.heading}\n{c.body}" for c in found]
    titles, bodies = likeness(question, [c.title for c in found], texts)
    refined = np.array([np.nan if c.refined is None else c.refined for c in found], float)
    share = _share(refined)
    title, text = ((1 - share) * few + share * many for few, many in zip(INSTANT, REFINED, strict=True))
    vectors = merged(np.array([c.instant for c in found], float), refined)
    scores = np.clip((vectors + title * titles + text * bodies) / (1 + title + text), 0.0, 1.0)
    gained = exact(question, texts, [c.document_id for c in found])
    if gained.any():
        scores = (scores + EXACT * gained) / (1 + EXACT)
    ranked = sorted(zip(found, scores.tolist(), strict=True), key=lambda p: (-p[1], -p[0].words, p[0].document_id))
    return list(ranked)


def merged(instant: Numbers, refined: Numbers) -> Numbers:
    """One similarity a candidate from both tiers; `refined` is NaN where there is none.

    What is missing is estimated from the instant similarity, moved and stretched so that over the chunks with both
    mean and deviation are the refined ones. (A regression would shrink the estimates towards the mean: then a chunk
    that is not refined never comes first.) And where a refined similarity stands it counts by the share of the pool
    that has one, else by the estimate: what both tiers can judge alike stays comparable while few chunks are refined.
    """
    has = ~np.isnan(refined)
    share = _share(refined)
    if share in (0.0, 1.0):
        return refined if share else instant
    here, there = instant[has], refined[has]
    estimate: Numbers = there.mean() + (instant - here.mean()) * (there.std() / (here.std() or 1.0))
    return np.where(has, share * np.nan_to_num(refined) + (1 - share) * estimate, estimate)


def _share(refined: Numbers) -> float:
    """Share of candidates with a refined similarity; 0 where they are too few to tell its scale."""
    has = ~np.isnan(refined)
    return float(has.mean()) if has.all() or has.sum() >= FEWEST_REFINED else 0.0


def identifiers(question: str) -> list[str]:
    """The question's exact names: quoted phrases, paths, codes such as ERR_4012 or WM-200, HTTP 502, long numbers."""
    found: list[str] = []
    for pattern in (_QUOTED, _PATH, _CODE, _CAPITAL_NUMBER, _NUMBER):
        found += pattern.findall(question)
    return list(dict.fromkeys(" ".join(f.split()) for f in found if _PIECE.search(f)))


def exact(question: str, texts: Sequence[str], documents: Sequence[str]) -> Numbers:
    """The share of the question's identifiers that each text holds, in any case and as whole words.

    `ERR_4012` is also found as `ERR-4012`, `err 4012` and `ERR4012`. Identifiers that no text holds, or too many, don't
    count.
    """
    rows = []
    most = max(IDENTIFYING_SHARE * len(set(documents)), IDENTIFYING_DOCUMENTS)
    for name in identifiers(question):
        pattern = _spelled(name)
        holds = np.array([pattern.search(text) is not None for text in texts])
        in_documents = {d for d, h in zip(documents, holds.tolist(), strict=True) if h}
        if in_documents and len(in_documents) <= most:
            rows.append(holds)
    return np.mean(rows, axis=0) if rows else np.zeros(len(texts))


def _spelled(name: str) -> re.Pattern[str]:
    """A pattern for `name` between word boundaries; separators within may be another or none."""
    pieces = _PIECE.findall(name)
    if "/" not in name:
        pieces = [piece for piece in pieces if piece not in "-."] or pieces
    inner = r"[\s._-]{0,3}".join(map(re.escape, pieces)) if "/" not in name else re.escape(name)
    return re.compile(rf"(?<!\w){inner}(?!\w)", re.IGNORECASE)


Chunk = TypeVar("Chunk", bound="Counted")


class Counted(Protocol):
    """What `spread` needs of a chunk."""

    @property
    def document_id(self) -> str: ...  # noqa: D102


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
