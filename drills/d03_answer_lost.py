"""The provider commits a write and its answer is lost: it stands there once, and nobody is told that it doesn't.

Each provider's tries come one after the other, so that what its double holds before and after tells what one write
left; the ten providers are asked at once. Searches lag, so that only a consistent read sees what was just written.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import httpx

from drills.asked import WRITINGS, Asking, Cast, Writing
from drills.caller import Account
from drills.drill import Drill
from drills.grants import last_request
from drills.stage import Stage, staged
from drills.tally import Tally
from supportly.dev.cast import CAST

LAG_S: Final = 1.5
"""Until a search of a double sees a record: longer than the pause before the second try."""
WRITES: Final = "POST|PUT|PATCH|DELETE"
NO_TOKEN: Final = r"(?!.*token).*"
"""Paths of calls; the token endpoints have a drill of their own."""
FIRST_CONTACT: Final = 800_000
"""Above the contacts that the stage makes."""


@dataclass(frozen=True)
class Left:
    """What a double holds: how many records, and how often they name the try's key."""

    records: int
    named: int

    def since(self, before: Left) -> Left:
        """What came after `before`."""
        return Left(self.records - before.records, self.named - before.named)


@dataclass(frozen=True)
class Usual:
    """What an undisturbed write of one kind leaves, and how many requests it sends that may write."""

    left: Left
    requests: int


@dataclass(frozen=True)
class Told:
    """How a write was answered: its error, or what was written."""

    error: dict[str, Any] | None
    written: dict[str, Any] | None


async def run(tally: Tally) -> None:
    """Make the tries that are left."""
    async with staged(keep_logs=tally.drill) as stage:
        account = await stage.account()
        cast = Cast(stage, account.id)
        await asyncio.to_thread(cast.set_up, lag_s=LAG_S)
        for provider in CAST:
            await account.connect(provider)
        queues: dict[str, list[tuple[Writing, Asking]]] = defaultdict(list)
        for number in range(tally.tries, tally.tries + tally.left):
            writing = WRITINGS[number % len(WRITINGS)]
            queues[writing.provider].append((writing, _asking(tally, number)))
        probes = {
            w: _asking(tally, -1 - n) for n, w in enumerate(WRITINGS) if w in {w for q in queues.values() for w, _ in q}
        }
        everybody: dict[str, list[tuple[Asking, bool]]] = defaultdict(list)
        for writing, asking in (*probes.items(), *(one for queue in queues.values() for one in queue)):
            everybody[writing.provider].append((asking, writing.known))
        await asyncio.to_thread(cast.meet, everybody)
        await asyncio.sleep(LAG_S)
        await asyncio.gather(*(_at_one_provider(stage, account, tally, queue, probes) for queue in queues.values()))


def _asking(tally: Tally, number: int) -> Asking:
    """The try with this number; the undisturbed ones, which are no tries, have numbers below 0."""
    word = f"k{tally.rng('key', number).getrandbits(48):012x}"
    place = number if number >= 0 else 10_000 - number
    return Asking(word, place, FIRST_CONTACT + place)


async def _at_one_provider(
    stage: Stage, account: Account, tally: Tally, queue: list[tuple[Writing, Asking]], probes: dict[Writing, Asking]
) -> None:
    usual: dict[Writing, Usual] = {}
    for writing, asking in queue:
        if writing not in usual:
            usual[writing] = await _undisturbed(stage, account, writing, probes[writing])
        await _try(stage, account, tally, writing, asking, usual[writing])


async def _undisturbed(stage: Stage, account: Account, writing: Writing, asking: Asking) -> Usual:
    before, since = await _held(stage, writing, asking), await asyncio.to_thread(last_request, stage)
    answer = await _write(account, writing, asking)
    assert answer.error is None, f"{writing}, undisturbed: {answer}"
    sent = await asyncio.to_thread(stage.requests, provider=writing.provider, since=since)
    writes = [r for r in sent if r["method"] in WRITES.split("|") and "token" not in r["path"]]
    return Usual((await _held(stage, writing, asking)).since(before), len(writes))


async def _try(stage: Stage, account: Account, tally: Tally, writing: Writing, asking: Asking, usual: Usual) -> None:
    rng = tally.rng("try", asking.number)
    nth, times = rng.randrange(usual.requests), rng.choice((1, 1, 1, 2))
    before = await _held(stage, writing, asking)
    fault = {"provider": writing.provider, "method": WRITES, "path": NO_TOKEN, "cut": "after_commit"}
    [number] = (await asyncio.to_thread(stage.control, "POST", "/faults", json={**fault, "skip": nth, "times": times}))[
        "ids"
    ]
    headers = {"Idempotency-Key": str(uuid.UUID(int=rng.getrandbits(128)))}
    where = f"{writing.provider} {writing.name}, write {nth + 1} of {usual.requests} lost {times} times"
    try:
        answer = await _write(account, writing, asking, headers)
        again = await _write(account, writing, asking, headers)
    except (TimeoutError, httpx.TransportError) as error:
        await asyncio.to_thread(stage.control, "DELETE", "/faults", params={"id": number})
        tally.add("no_end", lost=1, cause=f"{where}: {type(error).__name__}: {error}")
        return
    armed = {f["id"]: f for f in await asyncio.to_thread(stage.control, "GET", "/faults")}
    await asyncio.to_thread(stage.control, "DELETE", "/faults", params={"id": number})
    left = (await _held(stage, writing, asking)).since(before)
    tally.add(**_verdict(writing, usual.left, left, answer, again, where, armed[number]["hits"]))


def _verdict(
    writing: Writing, usual: Left, left: Left, answer: Told, again: Told, where: str, lost: int
) -> dict[str, Any]:
    """How the try ended, in the words of `Tally.add`."""
    told = "written" if answer.error is None else str(answer.error["code"])
    seen = f"{where}: told {told}, and {left} came where {usual} comes undisturbed"
    if not lost:
        return {"outcome": "nothing_was_lost", "lost": 1, "cause": f"{where}: the fault met no request"}
    if left.records > usual.records or left.named > usual.named:
        return {"outcome": "twice", "doubled": 1, "cause": seen}
    if told == "written" and left != usual:
        return {"outcome": "not_whole", "lost": 1, "cause": seen}
    if told == "written" and again != answer:
        return {"outcome": "another_answer", "lost": 1, "cause": f"{where}: {answer} and then {again}"}
    if told == "written":
        return {"outcome": "written_once"}
    if told == "outcome_unknown" and not writing.askable:
        return {"outcome": "outcome_unknown"}
    return {"outcome": f"told_{told}", "lost": 1, "cause": f"{seen}: {answer}"}


async def _write(account: Account, writing: Writing, asking: Asking, headers: dict[str, str] | None = None) -> Told:
    path, body = writing.request(asking)
    answer = await account.call("POST", path, json=body, headers={"Prefer": "wait=60", **(headers or {})})
    if answer.status_code == 202:
        ended = await account.ended(answer)
        return Told(ended.get("error"), _told(ended.get("result") or {}))
    return Told(answer.json(), None) if answer.is_error else Told(None, _told(answer.json()))


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer says of what was written."""
    return {name: answer.get(name) for name in ("record", "result")}


async def _held(stage: Stage, writing: Writing, asking: Asking) -> Left:
    url = f"{stage.stack.sandbox_url}/_sandbox/{writing.provider}/records"
    answer = (await stage.http.get(url)).raise_for_status()
    return Left(len(answer.json()), answer.text.count(asking.key))


DRILLS = (
    Drill(
        "answer_lost",
        "A provider commits a write and the connection is cut before its answer: never two there, never said not to be "
        "written when it was.",
        500,
        run,
    ),
)
