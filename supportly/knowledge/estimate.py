"""What a sample says about the whole."""

from __future__ import annotations

import math
from typing import Final

Z: Final = 1.959964
"""Of a normal distribution 95 % lie within so many standard deviations."""


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of which `hits` in `of` were seen; sensible also for few, and for all or none.

    Raises ValueError for an empty sample.
    """
    if not 0 <= hits <= of or of == 0:
        raise ValueError(f"{hits} of {of} is no sample")
    share, z2 = hits / of, Z * Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)
