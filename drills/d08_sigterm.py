"""SIGTERM to a worker or the API in the middle of work, as every deployment sends it.

Syncs and callers are going on. The process must end by itself with exit code 0 within its grace. A caller must not see
anything fail: a request that a process has taken is answered, by its result, by 202, or by 503 with `Retry-After`; only
one that found nobody listening is repeated, and that with the same key. Connections are not reused here, because
a request that crosses the closing of an idle connection is cut by HTTP itself, not by us.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import httpx

from drills.caller import Account
from drills.damage import Damage
from drills.drill import Drill
from drills.notes import Notes
from drills.stage import SHORT, Stage, staged
from drills.syncs import SETTINGS, Library
from drills.tally import Tally
from supportly.dev.processes import Child

GRACE_S: Final = float(SHORT["SUPPORTLY_GRACEFUL_SHUTDOWN_S"])
LATE_S: Final = 10.0
"""On top of the grace: the time in which an interpreter closes its connections and ends, on a busy machine."""
WORKERS: Final = 2
CALLERS: Final = 6
"""Callers around each SIGTERM; a third of them meet a slow provider."""
SLOW_NOTE: Final = {"provider": "hubspot", "method": "POST", "path": ".*/notes", "delay": 1.5, "probability": 0.3}
PAGE_DELAY_S: Final = 1.5
NOT_TAKEN: Final = frozenset({"ConnectError", "ConnectTimeout"})
"""Ends of tries that no process has taken."""


@dataclass
class Round:
    """Syncs and callers among whom processes are asked to stop."""

    stage: Stage
    library: Library
    tally: Tally
    accounts: list[Account]
    ended: list[str] = field(default_factory=list)
    damage: Damage = field(default_factory=Damage)

    def __post_init__(self) -> None:
        """Randomness of this round."""
        self.rng = self.tally.rng("round", self.tally.tries)

    async def run(self) -> None:
        """Sync under signals, compare, and note."""
        unkept = httpx.Limits(max_connections=100, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=90, limits=unkept) as http:
            self.notes = Notes(self.stage, replace(await self.stage.account(), http=http), self.rng)
            await self.notes.open()
            self.stage.fault(**SLOW_NOTE, times=-1)
            await self.library.disturbed(self.accounts, self.attack, PAGE_DELAY_S)
            damage = self.damage + await self.library.compared(self.accounts) + await self.notes.judged()
        for end, count in self.notes.ends().items():
            if end not in NOT_TAKEN and end not in {"200", "202", "503"}:
                damage.add(f"requests that a process had taken ended with {end}", count, 0)
        for outcome in self.ended:
            self.tally.add(outcome)
        if damage.causes:
            self.tally.add("rounds with damage", tries=0, **damage.noted())

    async def attack(self, going: Callable[[], bool]) -> None:
        """Ask one process after the other to stop, and start it again."""
        wanted = self.tally.left
        while going() and len(self.ended) < wanted:
            callers = [asyncio.create_task(self._log()) for _ in range(CALLERS)]
            await asyncio.sleep(self.rng.uniform(0.1, 0.6))
            if self.rng.random() < 0.5:
                number = self.rng.randint(1, WORKERS)
                await self._stopped(self.stage.worker(number), "worker")
                await self.stage.start_worker(number)
            else:
                assert self.stage.stack.api
                await self._stopped(self.stage.stack.api, "API")
                await self.stage.start_api()
            await asyncio.gather(*callers)

    async def _log(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.0, 0.6))
        await self.notes.log()

    async def _stopped(self, process: Child, name: str) -> None:
        """Send SIGTERM, and see how long the process takes and how it ends."""
        began = time.monotonic()
        process.ask_to_stop()
        try:
            code = await asyncio.to_thread(process.wait, GRACE_S + LATE_S)
        except subprocess.TimeoutExpired:
            self.damage.add(f"a {name} had not ended {GRACE_S + LATE_S:.0f} s after SIGTERM", 1, 0)
            process.kill()
            return
        took = time.monotonic() - began
        slowest = dict(self.tally.facts.get("slowest_end_s", {}))
        slowest[name] = max(round(took, 1), slowest.get(name, 0.0))
        self.tally.note(slowest_end_s=slowest)
        if code:
            self.damage.add(f"a {name} ended with exit code {code}", 1, 0)
        self.ended.append(f"{name} ended in time")


async def run(tally: Tally) -> None:
    """Round after round of syncs, until all signals are sent."""
    async with staged(workers=WORKERS, settings=SETTINGS, keep_logs=tally.drill) as stage:
        library = Library(stage, tally)
        library.open()
        while tally.left:
            await library.read_undisturbed()
            accounts = [await library.reader() for _ in range(WORKERS)]
            await Round(stage, library, tally, accounts).run()
            for _ in range(3):
                if tally.left:
                    await library.edit()
                    await Round(stage, library, tally, accounts).run()


DRILLS: Final = (
    Drill(
        "sigterm",
        "SIGTERM to a worker or the API during syncs and callers; the process must end with exit code 0 within "
        "its grace, and no caller may see anything fail.",
        50,
        run,
    ),
)
