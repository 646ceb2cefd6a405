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

CACHED_WORDS: Final = 40_000
"""Words whose vectors are kept: 40 MB. A help centre's whole vocabulary is smaller."""
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
        self._sums: Matrix = np.zeros((1024, self.dimensions), np.float32)

    def embed(self, texts: Sequence[str]) -> Matrix:
        """See `Embedder.embed`."""
        split = [text.split() for text in texts]
        out = np.zeros((len(texts), self.dimensions), np.float32)
        with self._lock:
            if len(self._places) > CACHED_WORDS:
                self._forget()
            places = self._places
            new = {word for words in split for word in words if word not in places}
            long = sorted(word for word in new if len(word) > LONGEST_CACHED)
            self._learn(sorted(new.difference(long)))
            self._learn(long)
            for row, words in enumerate(split):
                if words:
                    self._sums[[places[word] for word in words]].sum(axis=0, out=out[row])
            for word in long:  # they came last, so that no place below another is left empty
                del places[word]
        lengths = np.linalg.norm(out, axis=1, keepdims=True)
        np.divide(out, lengths, out=out, where=lengths > 0)
        return out

    def _learn(self, words: list[str]) -> None:
        """Add the summed token vectors of `words` to the cache."""
        start = len(self._places)
        while start + len(words) > len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
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
