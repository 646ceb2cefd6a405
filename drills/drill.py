"""What a drill is: a name, how many tries a full run takes, and a coroutine that makes them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from drills.tally import Tally


@dataclass(frozen=True)
class Drill:
    """One line of the table; `run` makes `tally.left` tries and notes each."""

    name: str
    means: str
    """What is broken and what must hold, in one sentence for the table."""
    tries: int
    """Tries of a full run; `DRILLS=quick` makes a tenth of them, at least one."""
    run: Callable[[Tally], Coroutine[Any, Any, None]]
    alone: bool = False
    """It measures times: no other drill runs beside it."""
    waits: bool = False
    """Mostly it waits: it begins first, so that others have the processor meanwhile."""
