"""The demo world: one support team's contacts, deals, tickets, articles and meetings, the same people everywhere.

A module named after a double has `records(now)`: what that double is seeded with.
"""

import importlib
import pkgutil
from typing import Any

MATERIAL = ("articles", "people")
"""What the doubles' modules draw from."""


def demo(now: float) -> dict[str, Any]:
    """What each double is seeded with, by name; `now` is the epoch that meetings and deals are planned from."""
    names = [info.name for info in pkgutil.iter_modules(__path__) if info.name not in MATERIAL]
    return {name: importlib.import_module(f"{__name__}.{name}").records(now) for name in names}
