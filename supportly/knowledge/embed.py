"""Texts to vectors. The instant tier is `wordllama`: averaged token vectors, thousands of chunks a second a core."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

CACHED_WORDS: Final = 20_000
"""Words whose vectors are kept: 20 MB. A help centre's whole vocabulary is smaller."""
AT_ONCE: Final = 256
"""Texts that are taken apart at once: as lists of words they are thirty times as large."""
LONGEST_CACHED: Final = 40
"""Characters; longer runs without a space (addresses, keys, Chinese sentences) hardly come twice."""


class Embedder(Protocol):
    """Makes vectors. `model` names it with its version and stands with every vector that it made."""

    model: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Matrix:
        """One unit vector a text, as rows; a text without words is all zeros. Safe to call from any thread."""


class WordLlamaEmbedder:
    """wordllama's 256 dimensions, with the same result as its own `embed(norm=True)` on single-spaced text.

    No token of its vocabulary spans a space (unless a text spells out the tokenizer's own marks, such as `<s>`), so a
    text's vector is the sum over its words; words are cached. That makes it several times as fast as tokenising every
    text anew.
    """

    model = "wordllama-l2-supercat-256/1"
    dimensions = 256

    def __init__(self) -> None:
        # Imported here: it sets up logging and pulls an HTTP client in, which programs that never embed can do without.
        from wordllama import WordLlama  # noqa: PLC0415

        spec = find_spec("wordllama")
        if spec is None or spec.origin is None:
            raise RuntimeError("wordllama is not installed")
        loaded = WordLlama.load(cache_dir=Path(spec.origin).parent, disable_download=True)
        self._tokens: Matrix = loaded.embedding
        self._tokenizer: Any = loaded.tokenizer
        self._tokenizer.no_padding()
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._places: dict[str, int] = {}
        # Never written, never there: the system gives memory to the rows that are used.
        self._sums: Matrix = np.zeros((CACHED_WORDS, self.dimensions), np.float32)

    def embed(self, texts: Sequence[str]) -> Matrix:
        """See `Embedder.embed`."""
        out = np.zeros((len(texts), self.dimensions), np.float32)
        for start in range(0, len(texts), AT_ONCE):
            split = [text.split() for text in texts[start : start + AT_ONCE]]
            with self._lock:
                self._sum(split, out[start : start + AT_ONCE])
        lengths = np.linalg.norm(out, axis=1, keepdims=True)
        np.divide(out, lengths, out=out, where=lengths > 0)
        return out

    def _sum(self, split: Sequence[list[str]], out: Matrix) -> None:
        """Sum the vectors of each text's words into its row of `out`."""
        new = {word for words in split for word in words if word not in self._places}
        if len(self._places) + len(new) > CACHED_WORDS:
            self._forget()
            new = {word for words in split for word in words}
        places = self._places
        long = sorted(word for word in new if len(word) > LONGEST_CACHED)
        self._learn(sorted(new.difference(long)))
        self._learn(long)
        for row, words in enumerate(split):
            if words:
                self._sums[[places[word] for word in words]].sum(axis=0, out=out[row])
        for word in long:  # they came last, so that no place below another is left empty
            del places[word]

    def _learn(self, words: list[str]) -> None:
        """Add the summed token vectors of `words` to the cache."""
        start = len(self._places)
        if start + len(words) > len(self._sums):  # more new words at once than are ever kept
            self._sums = np.concatenate([self._sums[:start], np.zeros((len(words), self.dimensions), np.float32)])
        for place, encoded in enumerate(self._tokenizer.encode_batch(words, add_special_tokens=False), start):
            self._places[words[place - start]] = place
            self._tokens[encoded.ids].sum(axis=0, out=self._sums[place])


def titled(embedder: Embedder, titles: Sequence[str], texts: Sequence[str]) -> Matrix:
    """The stored vector of each chunk: the mean of its title's and its own unit vector, *not* normalised again.

    Under inner product that is exactly half title and half chunk. Equal titles are embedded once.
    """
    return halved(titles, embedder.embed([*dict.fromkeys(titles), *texts]))


def halved(titles: Sequence[str], vectors: Matrix) -> Matrix:
    """Half title and half chunk: `vectors` are those of the titles, each once in the order of its first occurrence,
    and after them those of the chunks.
    """
    places = {title: place for place, title in enumerate(dict.fromkeys(titles))}
    mixed: Matrix = (vectors[[places[title] for title in titles]] + vectors[len(places) :]) * np.float32(0.5)
    return mixed
