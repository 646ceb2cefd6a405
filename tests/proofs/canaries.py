"""Words that stand nowhere else: planted in secrets and personal data, and looked for in every form they may take."""

import base64
import random
import string
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

PIECE = 4_000_000
"""Bytes that are looked through at once: a few arrays of that size stay small beside everything else that runs."""


def forms(word: str) -> set[bytes]:
    """A word as bytes may hold it: as it is, in hexadecimal, and in base64 at each of its three alignments.

    Words are letters and digits, so that URLs and JSON hold them as they are. The ends of a base64 text depend on what
    surrounds the word and are left out.
    """
    raw = word.encode()
    found = {raw.lower(), raw.hex().encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        found.add(encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6])
    return found


class Needles:
    """Many byte strings, looked for in one pass: only where their first three bytes stand is compared further."""

    def __init__(self, needles: Iterable[tuple[bytes, str]]) -> None:
        self._begins = np.zeros(1 << 24, bool)
        self._by: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)
        for needle, what in needles:
            self._begins[int.from_bytes(needle[:3], "big")] = True
            self._by[needle[:3]].append((needle, what))

    def found(self, data: bytes) -> Iterator[str]:
        """What of them stands in `data`; one that stands there twice may come twice."""
        for start in range(0, len(data), PIECE):
            piece = np.frombuffer(data, np.uint8, count=min(PIECE + 2, len(data) - start), offset=start)
            piece = piece.astype(np.uint32)
            places = np.flatnonzero(self._begins[(piece[:-2] << 16) | (piece[1:-1] << 8) | piece[2:]])
            for place in places.tolist():
                at = start + place
                yield from (what for needle, what in self._by[data[at : at + 3]] if data.startswith(needle, at))


@dataclass
class Canaries:
    """What was planted, by word."""

    planted: dict[str, str] = field(default_factory=dict)
    _made: tuple[int, Needles, Needles] | None = None

    def plant(self, what: str) -> str:
        """A new secret; `what` says what it stands for."""
        word = f"c{uuid.uuid4().hex}"
        self.planted[word] = what
        return word

    def word(self, what: str) -> str:
        """A new word that looks like none: short, and letters alone, as names are."""
        word = "".join(random.choices(string.ascii_lowercase, k=13))
        self.planted[word] = what
        return word

    def number(self, what: str) -> str:
        """A new telephone number, in E.164."""
        digits = f"4930{uuid.uuid4().int % 10**9:09d}"
        self.planted[digits] = what
        return f"+{digits}"

    def add(self, what: str, words: Iterable[str]) -> None:
        """Words that somebody else made: tokens, codes."""
        self.planted |= dict.fromkeys(words, what)

    def found(self, data: bytes) -> set[str]:
        """What of it stands in `data`, in whatever case."""
        if self._made is None or self._made[0] != len(self.planted):
            every = [(form, what) for word, what in self.planted.items() for form in forms(word)]
            low = Needles(one for one in every if one[0] == one[0].lower())
            self._made = (len(self.planted), low, Needles(one for one in every if one[0] != one[0].lower()))
        _, low, exact = self._made
        return {*low.found(data.lower()), *exact.found(data)}
