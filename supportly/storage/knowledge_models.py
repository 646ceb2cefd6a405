"""Who makes vectors: the models that are known, by tier. They belong to no account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from weakref import WeakKeyDictionary

from supportly.errors import Conflict
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


async def serving(db: Database) -> Model | None:
    """The refined tier's model that answers questions, if there is one."""
    return next((m for m in await read(db) if m.tier == "refined" and m.state == "serving"), None)


async def begin(db: Database, name: str, dimensions: int, spec: str) -> int:
    """Note the refined tier's model: it serves when it is the first, else it is built beside the one that serves.

    One that had been retired is built again. Raises Conflict while another one is being built.
    """
    at = {"n": name, "d": dimensions, "spec": spec}
    async with db.system() as c:
        # One at a time: two processes that start at once must not both be the first.
        await do(c, "lock table knowledge_models in share row exclusive mode", {})
        found = {row[0]: row[1] for row in await rows(c, _STATES, {})}
        if "building" in {state for other, state in found.items() if other != name}:
            raise Conflict("Another model is being built; abandon that switch first, or wait for it.")
        state = "building" if "serving" in found.values() else "serving"
        [(number,)] = await rows(
            c,
            "insert into knowledge_models (name, tier, dimensions, state, spec) "
            "values (%(n)s, 'refined', %(d)s, %(s)s, %(spec)s) on conflict (name) do update set spec = excluded.spec, "
            "state = case when knowledge_models.state = 'retired' then excluded.state else knowledge_models.state end "
            "returning model_id",
            at | {"s": state},
        )
    return int(number)


_STATES: Final = "select name, state from knowledge_models where tier = 'refined'"


async def turn(db: Database, model: int) -> bool:
    """Let a model that was built serve, and retire the one before; False when it is not being built."""
    async with db.system() as c:
        await do(c, "lock table knowledge_models in share row exclusive mode", {})
        return bool(
            await do(
                c,
                "update knowledge_models set state = case when model_id = %(m)s then 'serving' else 'retired' end "
                "where tier = 'refined' and state in ('serving', 'building') "
                "and exists (select from knowledge_models where model_id = %(m)s and state = 'building')",
                {"m": model},
            )
        )


async def retire(db: Database, model: int) -> bool:
    """Give up a model that is being built; False when it is not."""
    async with db.system() as c:
        return bool(
            await do(
                c,
                "update knowledge_models set state = 'retired' where model_id = %(m)s and state = 'building'",
                {"m": model},
            )
        )
