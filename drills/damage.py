"""What a drill has done harm to, counted thing by thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

TOLD: Final = 5
"""Causes that are written into the record; more of the same help nobody."""


@dataclass
class Damage:
    """How what is kept differs from what should be."""

    lost: int = 0
    doubled: int = 0
    causes: list[str] = field(default_factory=list)

    def add(self, where: str, lost: int, doubled: int) -> None:
        """Note a difference, if there is one."""
        self.lost, self.doubled = self.lost + lost, self.doubled + doubled
        if lost or doubled:
            self.causes.append(f"{where}: {lost} missing, {doubled} too much")

    def __add__(self, other: Damage) -> Damage:
        return Damage(self.lost + other.lost, self.doubled + other.doubled, self.causes + other.causes)

    def noted(self) -> dict[str, Any]:
        """What `Tally.add` takes."""
        more = len(self.causes) - TOLD
        causes = [*self.causes[:TOLD], *([f"and {more} more"] if more > 0 else [])]
        return {"lost": self.lost, "doubled": self.doubled, "cause": "; ".join(causes)}
