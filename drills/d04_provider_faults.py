"""Ten providers on twelve kinds of bad days: what the caller is told, what is tried again, what it costs the others.

All tries run side by side, each with a fault of its own, while another account looks a contact up again and again, and
the worker's memory is watched. Before them, more callers than the worker has slots sit out a pause; then come the
listings without an end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import psutil

from bench.figures import percentile
from drills import circles
from drills.asked import READS, Asking, Cast
from drills.caller import Account
from drills.drill import Drill
from drills.faced import KINDS, Facing, Kind, face_all, undisturbed
from drills.stage import Stage, staged
from drills.tally import Tally
from drills.weather import WEATHER, Weather
from supportly.dev.cast import CAST
from tests.providers.seeds import SEEDS
from worker import CONCURRENCY

TRIES: Final = len(READS) * len(WEATHER) * len(KINDS)
FIRST_CONTACT: Final = 800_000
MEMORY_MB: Final = 250.0
"""By which the worker may grow over a run: what a few large answers take at once, and what a worker keeps of a
thousand workflows. An answer that was read whole would take 200 MB by itself."""
PATIENT: Final = {"SUPPORTLY_PROVIDER_TIMEOUT_S": "5", "SUPPORTLY_LEASE_S": "12"}
"""A busy machine answers late; what is slow on purpose takes five times as long."""
ELSEWHERE: Final = 5002
"""Number of the provider account that the other account is connected to."""
WAITERS: Final = 110
PAUSE_S: Final = 15
"""`Retry-After` of those who wait together; the longest that a read sits out."""
CANARY_S: Final = 20.0
"""A caller's usual patience."""


async def run(tally: Tally) -> None:
    """Make the tries that are left."""
    async with staged(settings=PATIENT, keep_logs=tally.drill) as stage:
        account, other = await stage.account(), await stage.account()
        cast = Cast(stage, account.id)
        await asyncio.to_thread(cast.set_up)
        for provider in CAST:
            await account.connect(provider)
        # Another account of HubSpot, too: what makes one of them pause is no pause for the other.
        await asyncio.to_thread(stage.control, "POST", "/hubspot/settings", json=SEEDS["hubspot"].account(ELSEWHERE)[0])
        await other.connect("hubspot")
        contact = stage.contact(other, "hubspot")
        whole = tally.wanted >= TRIES
        tries = [_planned(tally, number) for number in range(tally.tries, tally.tries + tally.left)]
        probes = {
            p: Asking(f"probe{n}x{tally.seed}", 20_000 + n, FIRST_CONTACT + 20_000 + n) for n, p in enumerate(READS)
        }
        waiting = [Asking(f"waiters{n}", 30_000 + n, FIRST_CONTACT + 30_000 + n) for n in range(WAITERS)]
        people = {p: [(a, _known(p))] for p, a in probes.items()}
        for provider, _, kind, asking in tries:
            people[provider].append((asking, kind != "write_once" or _known(provider)))
        people["hubspot"] += [(a, True) for a in waiting]
        await asyncio.to_thread(cast.meet, people)
        usual = {p: await undisturbed(stage, account, p, a) for p, a in probes.items()}
        rounds = {p: sum(given[0] == p and given[1].then == "circles" for given in tries) for p in READS}
        await asyncio.gather(*(_circles(stage, account, p, n, tally) for p, n in rounds.items() if n))
        facings = [Facing(stage, account, *t, usual[t[0]], whole) for t in tries if t[1].then != "circles"]
        async with _watched(stage, tally), _canary(other, contact, tally):
            await _all_wait(stage, account, tally, waiting, other, contact)
            await face_all(facings, partial(_noted, tally))


def _noted(tally: Tally, facing: Facing, outcome: str) -> None:
    where = f"{facing.provider}, {facing.weather.name}, {facing.kind}"
    _note(tally, outcome, where, facing.problems)


def _note(tally: Tally, outcome: str, where: str, problems: list[str]) -> None:
    if problems:
        tally.add("wrong", lost=1, cause=f"{where}: {'; '.join(problems)}")
    else:
        tally.add(outcome)


async def _circles(stage: Stage, account: Account, provider: str, tries: int, tally: Tally) -> None:
    await circles.prepare(stage, account, provider)
    for _ in range(tries):
        outcome, problems = await circles.circle(stage, account, provider)
        _note(tally, outcome, f"{provider}, repeating_cursor", problems)
    await circles.close(stage, provider)


def _planned(tally: Tally, number: int) -> tuple[str, Weather, Kind, Asking]:
    """Provider, weather and kind of a try; sixty tries in a row meet every weather in every kind."""
    weather, kind = WEATHER[number % 12], KINDS[number // 12 % 5]
    provider = list(READS)[(number // 60 + number) % 10]
    word = f"f{tally.rng('key', number).getrandbits(48):012x}"
    return provider, weather, kind, Asking(word, number, FIRST_CONTACT + number)


def _known(provider: str) -> bool:
    """Whether the contact of a write has a record before: where the write makes one, it has none."""
    return provider not in ("stripe", "schedly")


async def _all_wait(
    stage: Stage, account: Account, tally: Tally, waiting: list[Asking], other: Account, contact: int
) -> None:
    """More callers wait for a provider than the worker has slots, and another account is answered meanwhile."""
    fault = {"provider": "hubspot", "about": "waiters", "status": 429, "retry_after": PAUSE_S, "times": len(waiting)}
    [number] = (await asyncio.to_thread(stage.control, "POST", "/faults", json={**fault, "body": {}}))["ids"]
    asked = [
        asyncio.create_task(account.call("GET", f"/hubspot/contacts/{a.contact}", headers={"Prefer": "wait=60"}))
        for a in waiting
    ]
    slots, met = max(CONCURRENCY.values()), 0
    while met <= slots and not any(task.done() for task in asked):
        await asyncio.sleep(0.1)
        armed = await asyncio.to_thread(stage.control, "GET", "/faults")
        met = next(f["hits"] for f in armed if f["id"] == number)
    answered = await other.call("GET", f"/hubspot/contacts/{contact}", headers={"Prefer": f"wait={CANARY_S:.0f}"})
    waits = sum(not task.done() for task in asked)
    ends = [answer.status_code for answer in await asyncio.gather(*asked)]
    tally.note(waiting_at_once=met, still_waiting_when_another_was_answered=waits)
    if answered.status_code != 200 or waits <= slots:
        cause = f"another account was answered {answered.status_code} while {waits} of {met} waited for a pause"
        tally.add("others_waited", tries=0, lost=1, cause=cause)
    if set(ends) != {200}:
        tally.add("others_waited", tries=0, lost=1, cause=f"those who waited ended as {ends}")


@asynccontextmanager
async def _watched(stage: Stage, tally: Tally) -> AsyncIterator[None]:
    """Notes the worker's memory before, at its highest and after; growing without bound is a loss."""
    process = psutil.Process(stage.worker().pid)
    readings = [_mb(process)]

    async def read() -> None:
        while True:
            await asyncio.sleep(0.05)
            readings.append(_mb(process))

    reading = asyncio.create_task(read())
    try:
        yield
    finally:
        reading.cancel()
    start, peak, end = readings[0], max(readings), _mb(process)
    tally.note(worker_mb_start=start, worker_mb_peak=peak, worker_mb_end=end)
    if peak - start > MEMORY_MB:
        tally.add("memory_grew", tries=0, lost=1, cause=f"the worker grew from {start:.0f} to {peak:.0f} MB")


def _mb(process: psutil.Process) -> float:
    return round(float(process.memory_info().rss) / 1e6, 1)


@asynccontextmanager
async def _canary(other: Account, contact: int, tally: Tally) -> AsyncIterator[None]:
    """Another account's lookups, one after the other: each is answered within its caller's patience."""
    took: list[float] = []
    refused: list[str] = []

    async def ask() -> None:
        while True:
            began = time.perf_counter()
            answer = await other.call("GET", f"/hubspot/contacts/{contact}")
            took.append((time.perf_counter() - began) * 1e3)
            if answer.status_code != 200:
                refused.append(f"{answer.status_code} {answer.text}")
            await asyncio.sleep(0.5)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
    facts: dict[str, Any] = {"n": len(took), "p50_ms": round(percentile(took, 0.5)), "max_ms": round(max(took))}
    tally.note(lookups_of_another_account=facts)
    if refused:
        cause = f"{len(refused)} of {len(took)} lookups of another account failed: {refused[0]}"
        tally.add("others_waited", tries=0, lost=len(refused), cause=cause)


DRILLS = (
    Drill(
        "provider_faults",
        "Ten providers with twelve faults each: the right answer to the caller, the right tries, bounded memory, and "
        "nobody else waits.",
        TRIES,
        run,
    ),
)
