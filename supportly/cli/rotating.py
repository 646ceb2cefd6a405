"""What `supportly keys` does: bring everything that is sealed to the first key of SUPPORTLY_KEYS.

See docs/key-rotation.md for the order in which a ring is changed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from temporalio.client import Client
from temporalio.service import RPCError

from supportly.cli import histories
from supportly.crypto import KeyRing, Vault
from supportly.settings import Settings
from supportly.storage import rotation
from supportly.storage.database import Database
from supportly.temporal import connect

AWAY: Final = "the workflow server cannot be reached: SUPPORTLY_TEMPORAL_ADDRESS names it"
Say = Callable[[str, int], None]
Uses = dict[str, dict[str, int]]
"""Key -> place -> how many."""


@dataclass
class Status:
    """Which keys are needed, and what for."""

    current: str
    ring: list[str]
    values: Uses
    """Stored values, by `table.column`."""
    workflows: Uses | None
    """Running workflows by their type, and `Schedule`; None when nobody answered."""
    ended: int | None
    """Ended workflows that Temporal keeps and that may hold payloads of older keys."""
    retention_days: float | None
    finished_at: datetime | None
    """When everything that lives had been brought to the current key."""
    temporal: str = ""
    """Why `workflows` is None."""

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **vars(self),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "keys": {key: {"needed_for": self.needs(key), "in_ring": key in self.ring} for key in self.known},
        }

    @property
    def known(self) -> list[str]:
        """All keys: those of the ring in its order, then those that something needs and nobody has."""
        return list(dict.fromkeys([*self.ring, *sorted(self.values), *sorted(self.workflows or {})]))

    def needs(self, key: str) -> list[str]:
        """What a key is needed for: `sealing`, `values`, `workflows`, `histories`, or that nobody knows."""
        if key == self.current:
            return ["sealing"]
        found = ["values"] if self.values.get(key) else []
        if self.workflows is None:
            return [*found, "unknown: no workflow server"]
        found += ["workflows"] if self.workflows.get(key) else []
        return [*found, *(["histories"] if self.ended else [])]

    @property
    def stale(self) -> bool:
        """True while something that lives needs another key than the current one."""
        return bool((self.values.keys() | (self.workflows or {}).keys()) - {self.current})

    def sentences(self) -> list[str]:
        """The same for a person."""
        lines = []
        for key in self.known:
            values, runs = self.values.get(key, {}), (self.workflows or {}).get(key, {})
            place = "writes" if key == self.current else "reads" if key in self.ring else "MISSING from the ring"
            held = [f"{n:,} {name}" for name, n in (*values.items(), *runs.items())]
            lines.append(f"{key} ({place}): {', '.join(held) or 'nothing that lives'}")
        if self.temporal:
            lines.append(f"Running workflows and Schedules are not counted: {self.temporal}.")
        older = [key for key in self.ring if key != self.current]
        if older and self.ended is not None:
            lines.append(self._histories(", ".join(older)))
        free = [key for key in older if not self.needs(key)]
        if free:
            lines.append(f"No longer needed: {', '.join(free)}.")
        return lines

    def _histories(self, older: str) -> str:
        if not self.ended:
            return f"No history of an ended workflow needs {older}."
        kept = f"{self.ended:,} ended workflows may be readable with {older} alone"
        if self.retention_days is None:
            return f"{kept}."
        return f"{kept}; the last of them is gone {math.ceil(self.retention_days)} days after it ended."


@dataclass
class Outcome:
    """What a rotation did."""

    key: str
    resealed: int
    left: int
    unopened: list[rotation.Unopened]
    workflows_left: dict[str, int] = field(default_factory=dict)
    """Running workflows, by type, that hold older keys and end by themselves."""
    temporal: str = ""

    @property
    def complete(self) -> bool:
        """True when nothing that lives needs another key."""
        return not (self.left or self.unopened or self.workflows_left or self.temporal)

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "unopened": [vars(one) for one in self.unopened], "complete": self.complete}

    def sentences(self) -> list[str]:
        """The same for a person."""
        lines = [f"{self.resealed:,} values were sealed anew with {self.key}."]
        if self.left:
            lines.append(f"{self.left:,} values came with another key meanwhile: a process runs with an older ring.")
        for one in self.unopened[:10]:
            at = f"account {one.account_id}, {one.place}, row {one.row}"
            lines.append(f"Does not open (key {one.key_id}): {at}.")
        if len(self.unopened) > 10:
            lines.append(f"And {len(self.unopened) - 10:,} more.")
        for kind, number in self.workflows_left.items():
            lines.append(f"{number:,} {kind} still hold another key: rotate again when they have ended.")
        if self.temporal:
            lines.append(f"Running workflows and Schedules were not renewed: {self.temporal}.")
        return lines


async def status(db: Database, settings: Settings) -> Status:
    """Look at everything, change nothing."""
    ring = KeyRing(settings.keys.get_secret_value())
    found = Status(ring.current, ring.ids, await _values(db), None, None, None, None)
    found.finished_at = await rotation.finished_at(db, ring.current)
    try:
        client = await connect(settings)
        found.workflows = _workflows(await histories.held(client, ring.current))
        found.ended = await histories.ended_before(client, found.finished_at)
        found.retention_days = await histories.retention_days(client)
    except (RuntimeError, RPCError):
        found.temporal = AWAY
    return found


async def rotate(db: Database, settings: Settings, *, batch: int, say: Say) -> Outcome:
    """Seal everything that lives with the ring's first key. May be interrupted and repeated at any time."""
    ring = KeyRing(settings.keys.get_secret_value())
    client: Client | None = None
    stale = bool((await _values(db)).keys() - {ring.current})
    try:
        client = await connect(settings)
        stale = stale or bool((await histories.held(client, ring.current)).left)
    except (RuntimeError, RPCError):
        client = None
    if stale:
        await rotation.begin(db, ring.current)
    done = await rotation.rotate(db, Vault(ring), batch=batch, say=say)
    outcome = Outcome(ring.current, done.resealed, done.left, done.unopened, temporal="" if client else AWAY)
    if client is not None:
        try:
            rest = await histories.renew(client, ring.ids)
            outcome.workflows_left = dict(Counter(run.workflow_type for run, _ in rest.stale))
            if rest.schedules:
                outcome.workflows_left["Schedule"] = len(rest.schedules)
        except RPCError as error:
            outcome.temporal = f"the workflow server answered {error.status.name} ({error.message})"
    if outcome.complete:
        await rotation.finish(db, ring.current)
    return outcome


async def _values(db: Database) -> Uses:
    found: Uses = {}
    for use in await rotation.usage(db):
        places = found.setdefault(use.key_id, {})
        places[use.place] = places.get(use.place, 0) + use.values
    return found


def _workflows(held: histories.Held) -> Uses:
    found: Uses = {}
    for (kind, key), number in sorted(held.uses.items()):
        found.setdefault(key, {})[kind] = number
    return found
