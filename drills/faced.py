"""One request of a caller in one provider's weather: what is asked, and what must come of it.

`Facing.problems` says in sentences what came otherwise than docs/api.md has it; empty is good.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx

from activities.failures import READ_PATIENCE_S
from drills.asked import READS, WRITINGS, Asking
from drills.caller import Account
from drills.stage import Stage
from drills.weather import HUGE, LONG_S, Weather

Kind = Literal["lookup_once", "action_once", "lookup_never", "action_cleared", "write_once"]
KINDS: Final[tuple[Kind, ...]] = ("lookup_once", "action_once", "lookup_never", "action_cleared", "write_once")
"""A lookup or an action that fails once, one that always fails, one that fails until its caller has got a 202, and a
write that fails once."""
IMPATIENT_S: Final = 2
"""Wait of a caller whose provider does not come back meanwhile."""
LIFE_S: Final = 150.0
"""A read is given up after a minute; a busy machine needs longer to say so."""
SIDE_BY_SIDE: Final = 20
"""Tries at a time, besides those that stay in their weather: more would measure the machine, not the service."""
SENDS: Final = "POST|PUT|PATCH"
SLOW: Final = ("provider_timeout", "provider_error")
CLOCK_S: Final = 0.05
"""By which two clocks may read a pause differently."""
MOST_TRIES: Final = 16
"""Requests that a minute of trying may send: six tries whose pauses double, of two requests or three."""

_PREFERRED: Final = {"salesforce": "task", "stripe": "create", "schedly": "create_booking"}
WRITES: Final = {
    provider: next(w for w in WRITINGS if (w.provider, w.name) == (provider, _PREFERRED.get(provider, "note")))
    for provider in READS
}
"""The write of each provider that is tried here: one request that holds the try's word as it is."""


@dataclass
class Facing:
    """One try. `problems` collects what was not as it should be."""

    stage: Stage
    account: Account
    provider: str
    weather: Weather
    kind: Kind
    asking: Asking
    usual: int = 1
    """Records of the double that name the word of an undisturbed write."""
    to_the_end: bool = True
    """A read that never passes is followed until it is given up, which takes a minute."""
    problems: list[str] = field(default_factory=list)

    @property
    def writes(self) -> bool:
        """True where the request writes."""
        return self.kind == "write_once"

    @property
    def stays(self) -> bool:
        """True where the failure stays for as long as the work is tried."""
        return self.kind == "lookup_never" and self.to_the_end

    @property
    def about(self) -> str:
        """The word for which the fault is armed: a write's own, so that what is read before it goes through."""
        return written(self.provider, self.asking) if self.writes else self.asking.key

    def expect(self, true: object, sentence: str) -> None:
        """Note `sentence` as a problem unless `true`."""
        if not true:
            self.problems.append(sentence)

    async def go(self) -> str:
        """Arm the fault, ask, and look at what came; answers how it ended, in a word."""
        times = 1 if self.kind.endswith("_once") else -1
        fault = self.weather.fault(self.about, writes=self.writes, times=times)
        fault |= {"provider": self.provider, **({"method": SENDS} if self.writes else {})}
        if self.weather.huge and self.asking.number % 2:
            fault["headers"] = {"content-length": str(HUGE)}  # every other one says how long it is
        [number] = (await self._control("POST", "/faults", json=fault))["ids"]
        try:
            return await self._asked(number)
        finally:
            await self._control("DELETE", "/faults", params={"id": number})

    async def _asked(self, fault: int) -> str:
        short = self.weather.then == "passes" and self.kind in ("lookup_never", "action_cleared")
        short = short or (self.weather.then == "pauses" and self.writes)
        answer = await self._ask(IMPATIENT_S if short else 60)
        if self.weather.then == "fails" and not (self.writes and self.weather.huge):
            if self.weather.huge and answer.status_code in (200, 202):
                return await self._read_too_slowly(fault, answer)
            return await self._failed(answer)
        if self._paused(answer):
            return await self._told_to_pause(answer)
        if self.weather.then == "pauses":
            return await self._put_off(answer)
        if not short:
            return await self._passed(answer)
        self.expect(answer.status_code == 202, f"answered {answer.status_code} where it still tries: {answer.text}")
        if answer.status_code != 202:
            return "not_accepted"
        if not self.stays:
            await self._control("DELETE", "/faults", params={"id": fault})
        ended = await self.account.ended(answer, seconds=LIFE_S)
        if not self.stays:
            self.expect(ended["status"] == "succeeded", f"did not succeed once the weather had cleared: {ended}")
            return "accepted_then_succeeded"
        told = ended.get("error") or {}
        self.expect(
            (ended["status"], told.get("code")) == ("failed", self.weather.code),
            f"ended as {ended['status']} with {told}, not with {self.weather.code}",
        )
        await self._retried(at_most=MOST_TRIES)
        return "accepted_then_failed"

    async def _ask(self, wait: int) -> httpx.Response:
        headers = {"Prefer": f"wait={wait}"}
        if self.writes:
            path, body = WRITES[self.provider].request(self.asking)
            return await self.account.call("POST", path, json=body, headers=headers)
        if self.kind.startswith("lookup"):
            path = f"/{self.provider}/contacts/{self.asking.contact}"
            return await self.account.call("GET", path, headers=headers)
        name, params = READS[self.provider]
        body = {"action": name, "params": params(self.asking)}
        return await self.account.call("POST", f"/{self.provider}/action", json=body, headers=headers)

    def _paused(self, answer: httpx.Response) -> bool:
        """A read whose provider asks for a longer pause than its caller's patience, by its header or by its rules."""
        return answer.status_code == 429 and not self.writes and self.weather.code == "throttled"

    async def _told_to_pause(self, answer: httpx.Response) -> str:
        pause = float(answer.headers.get("retry-after", 0))
        self.expect(pause > READ_PATIENCE_S, f"429 that names {pause:.0f} s, which a caller can sit out")
        if self.weather.then == "pauses":
            self.expect(LONG_S - LIFE_S < pause <= LONG_S, f"429 that names {pause:.0f} s instead of ten hours")
        self._is(answer, 429, "throttled")
        # None, where an earlier answer has said already that the provider wants a pause.
        self.expect(len(await self._requests()) <= 1, "sent again in the pause")
        return "told_to_pause"

    async def _read_too_slowly(self, fault: int, answer: httpx.Response) -> str:
        """A machine that is too busy to read a large answer in time sees a time-out, which is tried again."""
        self.expect(len(await self._requests()) > 1, f"{answer.status_code} after one huge answer")
        if answer.status_code == 202:
            await self._control("DELETE", "/faults", params={"id": fault})
            ended = await self.account.ended(answer, seconds=LIFE_S)
            self.expect(ended["status"] == "succeeded" or ended["error"]["code"] in SLOW, f"ended as {ended}")
        return "read_too_slowly_then_passed"

    async def _put_off(self, answer: httpx.Response) -> str:
        """A write that the provider puts off for hours is accepted, and goes on then."""
        self.expect(
            answer.status_code == 202, f"answered {answer.status_code} to a write that is put off: {answer.text}"
        )
        await self._sent_once()
        return "put_off"

    async def _failed(self, answer: httpx.Response) -> str:
        self._is(answer, self.weather.status, self.weather.code)
        if not self.weather.huge:  # reading one may time out first, and is tried again then
            await self._sent_once()
        if self.writes:
            left = await held(self.stage, self.provider, self.about)
            self.expect(left == 0, f"there {left} times after a refusal")
        return "refused"

    async def _passed(self, answer: httpx.Response) -> str:
        passed = answer.status_code == 200
        if answer.status_code == 202 and self.writes and self.weather.throttles:
            # By some providers' rules a pause of unknown length is a minute, and a write waits for it.
            ended = await self.account.ended(answer, seconds=LIFE_S)
            passed = ended["status"] == "succeeded"
        self.expect(passed, f"answered {answer.status_code}: {answer.text}")
        await self._retried(at_most=6)
        if self.writes and passed:
            left = await held(self.stage, self.provider, self.about)
            self.expect(left == self.usual, f"there {left} times instead of {self.usual}")
        if self.kind == "lookup_once" and answer.status_code == 200:
            found = [str(r.get("email")).lower() for r in answer.json()["records"]]
            self.expect(found == [self.asking.email], f"found {found}")
        return "passed"

    def _is(self, answer: httpx.Response, status: int, code: str) -> None:
        body = answer.json()
        told = (answer.status_code, body.get("code"))
        self.expect(told == (status, code), f"answered {told} instead of {(status, code)}: {answer.text}")
        self.expect(
            body.get("error") and body.get("request_id") == answer.headers.get("x-request-id"),
            f"an error without a sentence or a request id: {answer.text}",
        )
        self.expect("<" not in answer.text, f"markup in an error: {answer.text}")

    async def _requests(self) -> list[dict[str, Any]]:
        wanted = {"provider": self.provider, "about": self.about}
        sent: list[dict[str, Any]] = await self._control("GET", "/requests", params=wanted)
        return [r for r in sent if not self.writes or r["method"] in SENDS.split("|")]

    async def _sent_once(self) -> None:
        sent = await self._requests()
        self.expect(len(sent) == 1, f"{len(sent)} requests were sent where one is enough")

    async def _retried(self, *, at_most: int) -> None:
        """After the failure it was tried again, not sooner than it may, and not without end."""
        sent = await self._requests()
        self.expect(sent, "the fault met no request")
        self.expect(len(sent) <= at_most, f"{len(sent)} requests were sent")
        pauses = [later["at"] - before["at"] for before, later in itertools.pairwise(sent)]
        if pauses:
            self.expect(pauses[0] >= self.weather.pause_s - CLOCK_S, f"tried again {pauses[0]:.2f} s after the failure")

    async def _control(self, method: str, path: str, **extra: Any) -> Any:
        return await asyncio.to_thread(self.stage.control, method, path, **extra)


async def face_all(tries: Sequence[Facing], note: Callable[[Facing, str], None]) -> None:
    """Make the tries and note how each ended.

    Those that concern one request alone go side by side. Those that make a provider pause go one by one at each:
    whoever knows of a pause asks nothing meanwhile. Last come the pauses of ten hours.
    """
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def face(facing: Facing) -> None:
        try:
            outcome = await facing.go()
        except (TimeoutError, httpx.HTTPError) as error:
            outcome = "no_end"
            facing.problems.append(f"{type(error).__name__}: {error}")
        note(facing, outcome)

    async def gated(facing: Facing) -> None:
        if facing.stays and not facing.weather.huge:
            await face(facing)  # it waits for most of its minute
            return
        async with gate:
            await face(facing)

    async def one_by_one(provider: str, chosen: Sequence[Facing]) -> None:
        for facing in chosen:
            if facing.provider == provider:
                await face(facing)

    async def everywhere(chosen: Sequence[Facing]) -> None:
        await asyncio.gather(*(one_by_one(provider, chosen) for provider in READS))

    # Those that take long first, so that the others run meanwhile.
    await asyncio.gather(*(gated(f) for f in sorted(tries, key=lambda f: not f.stays) if not f.weather.throttles))
    paused = [f for f in tries if f.weather.throttles and f.weather.then == "passes"]
    await everywhere([f for f in paused if not f.stays])
    await asyncio.gather(*(gated(f) for f in paused if f.stays))
    await everywhere([f for f in tries if f.weather.then == "pauses"])


def written(provider: str, asking: Asking) -> str:
    """The word that stands in what the provider's write sends, and in nothing that is asked before it."""
    return asking.key if WRITES[provider].name in ("create", "create_booking") else asking.said


async def held(stage: Stage, provider: str, word: str) -> int:
    """How many records of a double name a word."""
    url = f"{stage.stack.sandbox_url}/_sandbox/{provider}/records"
    records = (await stage.http.get(url)).raise_for_status().json()
    return sum(word in str(record) for record in records)


async def undisturbed(stage: Stage, account: Account, provider: str, asking: Asking) -> int:
    """How many records an undisturbed write of the provider leaves."""
    path, body = WRITES[provider].request(asking)
    answer = await account.call("POST", path, json=body, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, f"{provider}, undisturbed: {answer.text}"
    return await held(stage, provider, written(provider, asking))
