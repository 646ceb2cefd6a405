"""How a bench says what it measured: one JSON object a figure."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


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
