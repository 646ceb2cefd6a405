"""A worker killed, or stopped past its leases and woken, while many connections refresh, each at a point of its own.

One signal meets as many connections as are held, spread evenly over the six points and three rotation policies; each
one counts as a try, and only if it was at its point when the signal came.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

import orjson

from drills.drill import Drill
from drills.grants import Place, ask_for_refresh, held, last_request
from drills.holding_worker import POINTS
from drills.patients import POLICIES, Patients, Verdict
from drills.stage import Stage, reached, staged
from drills.tally import Tally
from supportly.contracts import ids

ACCOUNTS: Final = 50
"""With three policies 150 connections, so that six kills put each of them at each point once."""
SETTINGS: Final = {
    "SUPPORTLY_LEASE_S": "6",  # above one call of three seconds, so that whoever is held keeps it until all are there
    "SUPPORTLY_DATABASE_POOL": "90",  # a third of those held are within a transaction
    "PGOPTIONS": "-c idle_in_transaction_session_timeout=5s",  # a stopped process keeps its rows no longer than that
}
WAKES_S: Final = 6.0
"""What a woken attempt does, it does within its own deadline of three seconds; the machine may be busy."""


async def killed(tally: Tally) -> None:
    """SIGKILL."""
    await _run(tally, "SIGKILL")


async def stopped(tally: Tally) -> None:
    """SIGSTOP, another worker in its place, and SIGCONT when everything has settled."""
    await _run(tally, "SIGSTOP")


async def _run(tally: Tally, number: str) -> None:
    with tempfile.TemporaryDirectory(prefix="spl-h-") as made:
        place = Path(made) / "hold.json"
        script = "drills/holding_worker.py"
        settings = {**SETTINGS, "DRILL_HOLD": str(place)}
        async with staged(workers=2, settings=settings, worker_script=script, keep_logs=tally.drill) as stage:
            stage.kill_worker(2)
            patients = Patients(stage)
            await patients.admit(min(ACCOUNTS, math.ceil(tally.left / len(POLICIES))))
            turn = tally.tries // len(POINTS)
            while tally.left:
                verdicts = await _round(stage, patients, place, number, turn, tally.left)
                _note(tally, verdicts)
                turn += 1
                if tally.left:
                    await patients.connect(p for p, row in held(stage).items() if row.state != "connected")


async def _round(
    stage: Stage, patients: Patients, place: Path, number: str, turn: int, most: int
) -> dict[Place, Verdict]:
    """Hold, send the signal, let others take over, and judge."""
    before, families, since = held(stage), patients.families(), last_request(stage)
    chosen = [p for p, row in before.items() if row.state == "connected"][:most]
    points = {p: POINTS[(index // len(POLICIES) + turn) % len(POINTS)] for index, p in enumerate(chosen)}
    report = place.with_name(f"report-{turn}.json")
    wanted = {ids.connection(*p): point for p, point in points.items()}
    half = place.with_suffix(".half")
    half.write_bytes(orjson.dumps({"signal": number, "points": wanted, "report": str(report)}))
    half.replace(place)
    await ask_for_refresh(stage, ((p, before[p].version) for p in chosen))
    await reached(report.exists)
    names = orjson.loads(report.read_bytes())
    cut = {p: points[p] for p in chosen if ids.connection(*p) in names}
    if number == "SIGKILL":
        await reached(lambda: not stage.worker(1).running)
        await stage.start_worker(1)
    else:
        await stage.start_worker(2)
    await patients.settled(before, set(cut))
    if number == "SIGSTOP":
        os.kill(stage.worker(1).pid, signal.SIGCONT)
        await asyncio.sleep(WAKES_S)
        stage.kill_worker(2)
    return await patients.judged(cut, before, families, since)


def _note(tally: Tally, verdicts: dict[Place, Verdict]) -> None:
    good = Counter(v.outcome for v in verdicts.values() if not v.lost and not v.doubled)
    for outcome, tries in good.items():
        tally.add(outcome, tries=tries)
    lives: dict[str, str] = dict(tally.facts.get("lives", {}))
    for at in sorted({v.at for v in verdicts.values()}):
        here = [v.lives for v in verdicts.values() if v.at == at]
        lived, of = map(int, lives.get(at, "0 of 0").split(" of "))
        lives[at] = f"{lived + sum(here)} of {of + len(here)}"
    tally.note(lives=lives)
    for verdict in verdicts.values():
        if verdict.lost or verdict.doubled:
            cause = verdict.lost or f"{verdict.outcome}: its refresh token was sent twice"
            tally.add(verdict.outcome, lost=bool(verdict.lost), doubled=verdict.doubled, cause=cause)


DRILLS: Final = (
    Drill(
        "refresh_stopped",
        "The worker is stopped (SIGSTOP) in the middle of refreshes, past their leases, and woken when others have "
        "taken over: each connection lives, or says truly that the refresh's outcome is lost.",
        50,
        stopped,
    ),
    Drill(
        "refresh_killed",
        "The worker is killed (SIGKILL) at six points of a refresh, under three rotation policies: each connection "
        "lives, or says truly that the refresh's outcome is lost; no grant is revoked by us.",
        900,
        killed,
    ),
)
