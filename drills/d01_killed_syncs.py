"""Syncs of 10,000 chunks during which workers, Temporal, PostgreSQL, or all parts at once are killed.

A kill counts only when an activity of a sync was running at that moment; where workers are killed, the victim is one
that was running it. Many accounts sync side by side then, because a dead worker is missed after seconds without a
heartbeat: meanwhile the next kills meet the syncs of others. What is left behind is compared when all syncs of a
round have ended; the kills of the round are noted then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from temporalio.client import Client

from drills.caller import Account
from drills.drill import Drill
from drills.notes import Notes
from drills.stage import BRISK, Stage, staged
from drills.syncs import SETTINGS, Library
from drills.tally import Tally


@dataclass(frozen=True)
class Plan:
    """How one part is killed."""

    part: str
    workers: int
    accounts: int
    """Syncs side by side at most."""
    kills_an_account: int
    """A drill of few kills takes fewer accounts: so many kills each."""
    page_delay_s: float
    pauses_s: tuple[float, float]
    """Shortest and longest time between a part's return and its next kill."""
    away_s: tuple[float, float] = (0.0, 1.0)
    """How long a server that was killed stays away before it is started again."""
    notes: int = 0
    """Callers who log a note around each kill."""
    kills_a_round: int = 1000
    """After so many kills the syncs are left alone to end."""


# Whoever kills every busy worker for ten minutes sees no index built: that takes some seconds in one piece. So syncs
# are met at moments of their whole course, some seven times each, and then have to come to their end.
WORKER: Final = Plan("worker", 4, 6, 6, 1.0, (1.0, 3.0), kills_a_round=40)
TEMPORAL: Final = Plan("temporal", 2, 2, 1, 1.5, (0.5, 2.0))
POSTGRES: Final = Plan("postgres", 2, 2, 1, 1.5, (0.5, 2.0))
EVERYTHING: Final = Plan("everything", 2, 2, 1, 1.5, (1.0, 3.0), notes=10)


@dataclass
class Round:
    """One round of syncs under kills."""

    plan: Plan
    stage: Stage
    library: Library
    client: Client
    tally: Tally
    accounts: list[Account]
    met: Counter[str] = field(default_factory=Counter)
    """Kills by the activity that was running."""

    def __post_init__(self) -> None:
        """Randomness of this round; nobody calls yet."""
        self.rng = self.tally.rng("round", self.tally.tries)
        self.notes: Notes | None = None
        self.callers: list[asyncio.Task[None]] = []
        self.restarts: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Sync under kills, compare, and note."""
        if self.plan.notes:
            self.notes = Notes(self.stage, await self.stage.account(), self.rng)
            await self.notes.open()
        await self.library.disturbed(self.accounts, self.attack, self.plan.page_delay_s)
        await asyncio.gather(*self.callers)
        damage = await self.library.compared(self.accounts)
        if self.notes:
            damage += await self.notes.judged()
        for activity, times in sorted(self.met.items()):
            self.tally.add(f"during {activity}", tries=times)
        if damage.causes:
            self.tally.add("rounds with damage", tries=0, **damage.noted())

    async def attack(self, going: Callable[[], bool]) -> None:
        """Kill until all tries are made, or nothing is left to interrupt."""
        wanted = min(self.tally.left, self.plan.kills_a_round)
        try:
            while going() and self.met.total() < wanted:
                await asyncio.sleep(self.rng.uniform(*self.plan.pauses_s))
                if doing := await self.strike():
                    self.met[doing.removeprefix("knowledge_")] += 1
        finally:
            await asyncio.gather(*self.restarts)

    async def strike(self) -> str:
        """Kill once; answers the activity that was running then, or nothing when none was."""
        numbers = {w.pid: n for n, w in enumerate(self.stage.stack.workers, 1) if w.running}
        busy = [(pid, doing) for pid, doing in await self.library.busy(self.client, self.accounts) if pid in numbers]
        if not busy:
            return ""
        pid, activity = self.rng.choice(sorted(busy))
        stage = self.stage
        match self.plan.part:
            case "worker":
                await self._worker(numbers[pid])
            case "temporal":
                await self._away(stage.kill_temporal, stage.start_temporal)
            case "postgres":
                await self._away(stage.stop_postgres, stage.start_postgres)
            case _:
                await self._everything()
        return activity

    async def _worker(self, number: int) -> None:
        """One may start while the next is killed; two cores start no more at a time."""
        self.stage.kill_worker(number)
        await asyncio.gather(*self.restarts[:-1])
        self.restarts = [*self.restarts[-1:], asyncio.create_task(self.stage.start_worker(number))]

    async def _away(self, kill: Callable[[], None], start: Callable[[], Awaitable[None]]) -> None:
        kill()
        await asyncio.sleep(self.rng.uniform(*self.plan.away_s))
        await start()

    async def _everything(self) -> None:
        """All parts die within a moment, in any order, among callers; they come back as a machine starts them."""
        stage = self.stage
        if self.notes:
            self.callers += [asyncio.create_task(self.notes.log()) for _ in range(self.plan.notes)]
            await asyncio.sleep(self.rng.uniform(0.0, 0.3))
        parts: list[Callable[[], None]] = [stage.kill_api, stage.kill_temporal, stage.stop_postgres]
        parts += [lambda n=n: stage.kill_worker(n) for n in range(1, self.plan.workers + 1)]  # type: ignore[misc]
        self.rng.shuffle(parts)
        for kill in parts:
            kill()
        await asyncio.sleep(self.rng.uniform(*self.plan.away_s))
        await asyncio.gather(stage.start_postgres(), stage.start_temporal())
        await asyncio.gather(stage.start_api(), *(stage.start_worker(n) for n in range(1, self.plan.workers + 1)))


def killing(plan: Plan) -> Callable[[Tally], Coroutine[Any, Any, None]]:
    """The drill of a plan."""

    async def run(tally: Tally) -> None:
        async with staged(workers=plan.workers, settings=SETTINGS, worker_script=BRISK, keep_logs=tally.drill) as stage:
            library = Library(stage, tally)
            library.open()
            client = await stage.temporal()
            while tally.left:
                # A first load, then two editions of what is loaded: each walks everything again.
                await library.read_undisturbed()
                count = min(plan.accounts, max(2, tally.left // plan.kills_an_account))
                accounts = [await library.reader() for _ in range(count)]
                await Round(plan, stage, library, client, tally, accounts).run()
                for _ in range(2):
                    if tally.left:
                        await library.edit()
                        await Round(plan, stage, library, client, tally, accounts).run()

    return run


DRILLS: Final = (
    Drill(
        "kill_worker",
        "A worker is killed (SIGKILL) while it syncs 10,000 chunks of knowledge; the store must equal an undisturbed "
        "sync's, and the caller's operation must succeed.",
        200,
        killing(WORKER),
    ),
    Drill("kill_temporal", "The same with the Temporal server killed (SIGKILL).", 30, killing(TEMPORAL)),
    Drill("kill_postgres", "The same with PostgreSQL shut down in mode `immediate`.", 30, killing(POSTGRES)),
    Drill(
        "kill_all",
        "Workers, API, Temporal and PostgreSQL killed within a moment, among syncs and callers with keyed POSTs; the "
        "store must equal an undisturbed sync's, and each key must be one note.",
        10,
        killing(EVERYTHING),
    ),
)
