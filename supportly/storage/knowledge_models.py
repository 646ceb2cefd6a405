"""Who makes vectors: the models that are known, by tier. They belong to no account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from weakref import WeakKeyDictionary

from supportly.storage.database import Database, do, rows

Tier = Literal["instant", "refined"]
ModelState = Literal["serving", "building", "retired"]

_INSTANT: Final[WeakKeyDictionary[Database, dict[str, int]]] = WeakKeyDictionary()
"""Numbers that were asked for once: a model keeps its number for ever."""


@dataclass(frozen=True)
class Model:
    """A model. `spec` says how a process makes its encoder."""

    id: int
    name: str
    tier: Tier
    dimensions: int
    state: ModelState
    spec: str = ""


async def instant(db: Database, name: str, dimensions: int) -> int:
    """The number of the instant tier's model; a new one is noted."""
    known = _INSTANT.setdefault(db, {})
    if name not in known:
        known[name] = await note(db, name, "instant", dimensions, "serving")
    return known[name]


async def note(db: Database, name: str, tier: Tier, dimensions: int, state: ModelState, spec: str = "") -> int:
    """Note a model unless it is known already; answers its number."""
    at = {"n": name, "t": tier, "d": dimensions, "s": state, "spec": spec}
    async with db.system() as c:
        await do(
            c,
            "insert into knowledge_models (name, tier, dimensions, state, spec) "
            "values (%(n)s, %(t)s, %(d)s, %(s)s, %(spec)s) on conflict (name) do nothing",
            at,
        )
        [(number,)] = await rows(c, "select model_id from knowledge_models where name = %(n)s", at)
    return int(number)


async def read(db: Database) -> list[Model]:
    """All models, the oldest first."""
    async with db.system() as c:
        found = await rows(
            c, "select model_id, name, tier, dimensions, state, spec from knowledge_models order by model_id", {}
        )
    return [Model(*row) for row in found]
