"""How a bench says what it measured: one JSON object a figure."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def judged(ranked: Iterable[str], wanted: set[str]) -> tuple[float, float]:
    """Average precision and hit@1 of documents in this order; one that is not found counts as found last of all."""
    hits, precision, first = 0, 0.0, 0.0
    for place, document in enumerate(dict.fromkeys(ranked), 1):
        if document in wanted:
            hits += 1
            precision += hits / place
            first = first or float(place == 1)
    return precision / len(wanted), first


def say(figure: str, value: float, unit: str, *, against: str = "", base: float = 0.0, n: int = 0) -> None:
    """Print one figure with what it is compared to."""
    line = {
        "figure": figure,
        "value": round(value, 4),
        "unit": unit,
        "against": {"name": against, "value": round(base, 4)},
        "ratio": round(value / base, 4) if base else None,
        "n": n,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
