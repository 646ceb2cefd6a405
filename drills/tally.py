"""What a drill counts: one line a try in a file, so that a drill that was interrupted goes on where it was.

`lost` and `doubled` count things, not tries: each of them must be 0. `outcome` says how the tries ended, by words that
the table of `docs/reliability.md` shows.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Tally:
    """The tries of one drill under one seed; `wanted` is how many there shall be."""

    drill: str
    seed: int
    wanted: int
    file: Path
    quick: bool = False
    """A tenth of the tries; what surrounds them may be smaller too."""
    tries: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    outcome: Counter[str] = field(default_factory=Counter)
    facts: dict[str, Any] = field(default_factory=dict)
    causes: list[str] = field(default_factory=list)
    ran: list[dict[str, Any]] = field(default_factory=list)
    """When, where and from which commit tries were made: one entry a start."""

    def __post_init__(self) -> None:
        """Read what earlier starts of the same drill have done."""
        if self.file.exists():
            for line in self.file.read_text().splitlines():
                self._count(json.loads(line))

    @property
    def left(self) -> int:
        """Tries that are still to be made."""
        return max(0, self.wanted - self.tries)

    def rng(self, *of: object) -> random.Random:
        """Randomness of this drill's seed, the same for the same `of` (a try's number, a name)."""
        return random.Random(f"{self.seed}/{self.drill}/{'/'.join(map(str, of))}")

    def add(self, outcome: str, *, tries: int = 1, lost: int = 0, doubled: int = 0, cause: str = "") -> None:
        """Note how `tries` tries ended. `cause` says in a sentence why something was lost or doubled."""
        self._write({"outcome": outcome, "tries": tries, "lost": lost, "doubled": doubled, "cause": cause})

    def note(self, **facts: Any) -> None:
        """Keep figures that are no outcome (latencies, memory); the last value of each name counts."""
        self._write({"facts": facts})

    def begin(self, where: dict[str, Any]) -> None:
        """Note a start; `where` says when, on which machine and from which commit."""
        self._write({"ran": where})

    def spent(self, seconds: float) -> None:
        """Add wall-clock time."""
        self._write({"seconds": seconds})

    def line(self) -> dict[str, Any]:
        """The drill's JSON line."""
        return {
            "drill": self.drill,
            "tries": self.tries,
            "lost": self.lost,
            "doubled": self.doubled,
            "outcome": dict(sorted(self.outcome.items())),
            **({"facts": self.facts} if self.facts else {}),
            **({"causes": self.causes} if self.causes else {}),
            "wanted": self.wanted,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
        }

    def _write(self, entry: dict[str, Any]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as out:
            out.write(json.dumps(entry) + "\n")
        self._count(entry)

    def _count(self, entry: dict[str, Any]) -> None:
        self.seconds += entry.get("seconds", 0.0)
        self.facts |= entry.get("facts", {})
        if "ran" in entry:
            self.ran.append(entry["ran"])
        if "outcome" in entry:
            self.tries += entry["tries"]
            self.outcome[entry["outcome"]] += entry["tries"]
            self.lost += entry["lost"]
            self.doubled += entry["doubled"]
            if entry["cause"]:
                self.causes.append(entry["cause"])
