"""How close the words of a question are to the words of a chunk: a soft full-text match over a pool of candidates.

For each word of the question the likest word of the text counts, by the cosine of their static vectors, weighted by
the word's rarity among the candidates. The same word gives 1, an inflection or a synonym less, and what a chunk says
besides costs nothing. Averaged vectors lose just that.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from supportly.knowledge.embed import Matrix

Places = NDArray[np.intp]
Scores = NDArray[np.float32]

KNOWN_WORDS: Final = 40_000
"""Words whose vectors are kept: 40 MB. With the next one everything is forgotten and learnt anew."""
KNOWN_TEXTS: Final = 20_000
"""Texts whose words are kept, about 1 KB each: reading a pool of a hundred anew costs ten times as much as the rest."""
WORDS_ASKED: Final = 64
"""Words of a question that are compared, the first ones; as many as full text reads."""

_WORD: Final = re.compile(r"\w+(?:['’]\w+)?")


def words(text: str) -> list[str]:
    """The words of a text in lower case, each once, in the order of their first occurrence.

    Function words stay: "where did it start" and "when does it end" differ in little else, and without them the FAQ
    set's title match fell from hit@1 0.52 to 0.36.
    """
    return list(dict.fromkeys(_WORD.findall(text.lower())))


class Closeness:
    """Compares questions with texts. Keeps words and texts that it met; safe to call from any thread."""

    def __init__(self, vectors: Callable[[Sequence[str]], Matrix]) -> None:
        """`vectors` gives a unit vector a word, as `WordLlamaEmbedder.embed` does; zeros for a word that it can't."""
        self._vectors = vectors
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._places: dict[str, int] = {}
        self._texts: dict[str, Places] = {}
        self._matrix: Matrix = np.zeros((0, 0), np.float32)

    def __call__(self, question: str, titles: Sequence[str], texts: Sequence[str]) -> tuple[Scores, Scores]:
        """Closeness of the question to each title and to each text, 0 to 1. `texts` hold the titles' words, too."""
        count = len(texts)
        asked = words(question)[:WORDS_ASKED]
        if not asked or not count:
            return np.zeros(count, np.float32), np.zeros(count, np.float32)
        with self._lock:
            if len(self._places) > KNOWN_WORDS or len(self._texts) > KNOWN_TEXTS:
                self._forget()
            read = self._read([*titles, *texts])
            rows = self._learn(asked)
            # Each word of the pool is compared once, however many texts hold it.
            among = np.zeros(len(self._places), np.intp)
            everything = np.concatenate(read)
            among[everything] = 1
            present = np.flatnonzero(among)
            among[present] = np.arange(len(present))
            alike = self._matrix[present] @ self._matrix[rows].T
        rarity = _rarity(rows, np.bincount(np.concatenate(read[count:]), minlength=len(among)), count)
        best = _best(alike[among[everything]], [len(r) for r in read])
        scores = (np.clip(best, 0.0, 1.0) @ rarity).astype(np.float32)
        return scores[:count], scores[count:]

    def _read(self, texts: Sequence[str]) -> list[Places]:
        """The places of each text's words."""
        new = {text: words(text) for text in texts if text not in self._texts}
        if new:
            self._learn(list(dict.fromkeys(word for found in new.values() for word in found)))
            for text, found in new.items():
                self._texts[text] = np.fromiter((self._places[w] for w in found), np.intp, len(found))
        return [self._texts[text] for text in texts]

    def _learn(self, asked: list[str]) -> Places:
        """The places of these words, which are learnt if need be."""
        new = [word for word in asked if word not in self._places]
        if new:
            added = self._vectors(new)
            start = len(self._places)
            self._places.update((word, start + n) for n, word in enumerate(new))
            if len(self._places) > len(self._matrix):
                room = np.zeros((max(1024, 2 * len(self._places)), added.shape[1]), np.float32)
                room[:start] = self._matrix[:start].reshape(start, -1) if start else room[:0]
                self._matrix = room
            self._matrix[start : start + len(new)] = added
        return np.fromiter((self._places[word] for word in asked), np.intp, len(asked))


def _rarity(rows: Places, holding: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Weights of the question's words, adding up to 1: BM25's idf over the pool, as good as over the account."""
    times = holding[rows]
    rarity = np.log(1 + (count - times + 0.5) / (times + 0.5))
    weights: NDArray[np.float64] = rarity / rarity.sum()
    return weights


def _best(alike: Matrix, lengths: list[int]) -> Matrix:
    """The maximum of each run of rows; zeros for an empty run."""
    sizes = np.asarray(lengths)
    out = np.zeros((len(sizes), alike.shape[1]), np.float32)
    filled = sizes > 0
    if filled.any():
        starts = (np.cumsum(sizes) - sizes)[filled]
        out[filled] = np.maximum.reduceat(alike, starts, axis=0)
    return out
