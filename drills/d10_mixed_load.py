"""Mixed load at seven tenths of what the stack can do, with a fault every twenty seconds.

Callers keep their requests until they are answered, with the same Idempotency-Key. What was accepted must be at the
double, once.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import psutil

from drills.caller import Account
from drills.drill import Drill
from drills.stage import Stage, staged
from drills.tally import Tally
from drills.traffic import FIRST_NEW, KNOWN, PROVIDERS, Traffic

EVERY_S: Final = 20.0
"""From one fault to the next, unless a part takes longer to start again."""
QUICK_EVERY_S: Final = 8.0
"""The same in a quick run, where three faults need no more room: a part is back after some four seconds."""
FAULTS: Final = 30
"""Ten minutes."""
SHARE: Final = 0.7
"""Of the highest rate that was measured before."""
MEASURED_S: Final = 6.0
CALLERS: Final = 16
"""Who measures the highest rate: enough to keep two cores busy."""
ACCOUNTS: Final = 3
ARTICLES: Final = 200
WEATHER_S: Final = 6.0
"""How long a provider's bad spell lasts."""
DOWN_S: Final = 1.0
"""Until a part that died is started again."""
NO_TOKEN: Final = r"(?!.*token).*"


async def run(tally: Tally) -> None:
    """Make the tries that are left: each is a fault and the load around it."""
    async with staged(workers=2, keep_logs=tally.drill) as stage:
        traffic = await _traffic(stage, tally)
        await traffic.learn()
        highest = await _highest(traffic)
        rate = SHARE * highest
        load = Traffic(stage, traffic.accounts, traffic.contacts, traffic.rng, traffic.new, usual=traffic.usual)
        before, every = _memory(stage), QUICK_EVERY_S if tally.quick else EVERY_S
        async with _arriving(load, rate):
            await asyncio.sleep(every / 4)
            for number in range(tally.tries, tally.tries + tally.left):
                ends = time.monotonic() + every
                name = await _broken(stage, tally, number)
                await asyncio.sleep(max(0.0, ends - time.monotonic()))
                tally.add(name)
        lost, doubled = await load.count()
        lost += load.gave_up
        tally.note(
            highest_rate=round(highest, 1), rate=round(rate, 1), **load.facts(), mb_start=before, mb_end=_memory(stage)
        )
        if lost or doubled:
            tally.add(
                "after_all", tries=0, lost=len(lost), doubled=len(doubled), cause="; ".join((lost + doubled)[:10])
            )


async def _traffic(stage: Stage, tally: Tally) -> Traffic:
    """Accounts with contacts and knowledge."""
    stage.unlimited(*PROVIDERS)
    stage.control("POST", "/zendesk/seed", json={"generate": {"articles": ARTICLES, "seed": 7}})
    accounts = [await stage.account() for _ in range(ACCOUNTS)]
    contacts: dict[int, dict[str, list[int]]] = {}
    for account in accounts:
        for provider in PROVIDERS:
            await account.connect(provider)
        made = {p: [await asyncio.to_thread(stage.contact, account, p) for _ in range(KNOWN)] for p in PROVIDERS}
        contacts[account.id] = made
        (await account.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})).raise_for_status()
    for account in accounts:
        await _synced(account)
    return Traffic(stage, accounts, contacts, tally.rng("load"), itertools.count(FIRST_NEW))


async def _synced(account: Account) -> None:
    answer = await account.call("POST", "/zendesk/knowledge/sync", json={}, headers={"Prefer": "wait=60"})
    if answer.status_code == 202:
        await account.ended(answer)


async def _highest(traffic: Traffic) -> float:
    """Requests a second that the stack answers when callers ask as fast as they are answered."""
    ends, count = time.monotonic() + MEASURED_S, 0

    async def caller() -> None:
        nonlocal count
        while time.monotonic() < ends:
            await traffic.one()
            count += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS // 4)))  # warms up, and counts as well
    began, count, ends = time.monotonic(), 0, time.monotonic() + MEASURED_S
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return count / (time.monotonic() - began)


@asynccontextmanager
async def _arriving(load: Traffic, rate: float) -> Any:
    """Requests arrive at random, `rate` a second, whether or not the earlier ones are answered; ends when all are."""
    asked: set[asyncio.Task[None]] = set()

    async def arrive() -> None:
        due = time.monotonic()
        while True:
            due += load.rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(load.one())
            asked.add(task)

    arriving = asyncio.create_task(arrive())
    try:
        yield
    finally:
        arriving.cancel()
        await asyncio.gather(*asked)


async def _broken(stage: Stage, tally: Tally, number: int) -> str:
    """Break one thing, and mend it; answers what it was."""
    rng = tally.rng("fault", number)
    order = list(BREAKS)
    tally.rng("order", number // len(order)).shuffle(order)  # each of them once, in another order every round
    name = order[number % len(order)]
    await BREAKS[name](stage, rng.randrange(2))
    return name


async def _kill_worker(stage: Stage, which: int) -> None:
    stage.kill_worker(which + 1)
    await asyncio.sleep(DOWN_S)
    await stage.start_worker(which + 1)


async def _kill_api(stage: Stage, _which: int) -> None:
    stage.kill_api()
    await asyncio.sleep(DOWN_S)
    await stage.start_api()


async def _stop_postgres(stage: Stage, _which: int) -> None:
    stage.stop_postgres()
    await asyncio.sleep(DOWN_S)
    await stage.start_postgres()


async def _kill_temporal(stage: Stage, _which: int) -> None:
    stage.kill_temporal()
    await asyncio.sleep(DOWN_S)
    await stage.start_temporal()


def _weather(**fault: Any) -> Callable[[Stage, int], Awaitable[None]]:
    async def rage(stage: Stage, which: int) -> None:
        told = {"provider": PROVIDERS[which], "path": NO_TOKEN, "times": -1, **fault}
        [number] = (await asyncio.to_thread(stage.control, "POST", "/faults", json=told))["ids"]
        await asyncio.sleep(WEATHER_S)
        await asyncio.to_thread(stage.control, "DELETE", "/faults", params={"id": number})

    return rage


BREAKS: Final[dict[str, Callable[[Stage, int], Awaitable[None]]]] = {
    "worker_killed": _kill_worker,
    "api_killed": _kill_api,
    "postgres_stopped": _stop_postgres,
    "temporal_killed": _kill_temporal,
    "provider_500": _weather(status=500, body={"message": "Internal error"}, probability=0.5),
    "provider_429": _weather(status=429, body={}, retry_after=1, probability=0.5),
    "answers_lost": _weather(cut="after_commit", probability=0.3),
    "provider_slow": _weather(delay=1.0, probability=0.5),
}


def _memory(stage: Stage) -> dict[str, float]:
    """Megabytes of each part, without what processes share counted twice."""
    pids = stage.stack.facts()["pids"]
    return {
        "api": _mb(pids["api"]),
        "workers": round(sum(map(_mb, pids["workers"])) / len(pids["workers"]), 1),
        "temporal": _mb(pids["temporal"]),
        "postgres": _mb(pids["postgres"]),
    }


def _mb(pid: int) -> float:
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return round(sum(one.memory_full_info().pss for one in family) / 1e6, 1)


DRILLS = (
    Drill(
        "mixed_load",
        "Ten minutes of mixed load at 70 % of the highest rate, a fault every twenty seconds: what was accepted is "
        "there, once.",
        FAULTS,
        run,
        alone=True,
    ),
)
