"""Connections of every rotation policy, whose refreshes are cut off at named points, and what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import httpx

from drills.caller import Account
from drills.grants import SETTLED_S, Held, Place, grants, held, last_request, refreshes, works
from drills.stage import Stage
from supportly.providers import get

POLICIES: Final = {
    "salesforce": ("rotating with reuse detection", {"rotation": "rotate_with_reuse_detection"}),
    "jira": ("rotating with grace", {"rotation": "rotate_with_grace"}),
    "hubspot": ("not rotating", {"rotation": "none"}),
}
"""Providers as they are, by their own statement, and what their doubles are told to do."""
SIDE_BY_SIDE: Final = 12
"""Connects or calls at once: as many as two cores answer without queues."""
CONSENTS: Final = 3
"""Times that somebody tries to connect again before it counts as broken."""
POLL_S: Final = 0.5


@dataclass
class Verdict:
    """How one connection came out of it."""

    outcome: str
    at: str
    """Policy and point."""
    lives: bool
    lost: str = ""
    """Why it counts as lost; empty when it does not."""
    doubled: int = 0


@dataclass
class Patients:
    """Accounts, each connected to one provider of every policy."""

    stage: Stage
    accounts: dict[int, Account] = field(default_factory=dict)
    consent: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def admit(self, number: int) -> None:
        """Make and connect `number` accounts."""
        for provider, (_, settings) in POLICIES.items():
            self.stage.control("POST", f"/{provider}/settings", json={**settings, "rate_limits": False})
        made = [await self.stage.account() for _ in range(number)]
        self.accounts = {one.id: one for one in made}
        await self.connect((one.id, provider) for one in made for provider in POLICIES)

    async def connect(self, places: Iterable[Place]) -> None:
        """Connect, or connect again."""
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(place: Place) -> None:
            async with gate:
                await self._connect(self.accounts[place[0]], place[1])

        await asyncio.gather(*map(one, places))

    async def _connect(self, account: Account, provider: str) -> None:
        """Connect as often as a person would, and when told to: a busy machine may keep a code waiting for too long."""
        for _ in range(CONSENTS - 1):
            try:
                await self._consented(account, provider)
            except httpx.HTTPStatusError as error:
                await asyncio.sleep(float(error.response.headers.get("retry-after", 0)))
            else:
                return
        await self._consented(account, provider)

    async def _consented(self, account: Account, provider: str) -> None:
        if provider != "salesforce":
            await account.connect(provider)
            return
        # A Salesforce user has five grants, and a sixth ends the oldest: everybody is a user of their own.
        async with self.consent:
            self.stage.control("POST", "/salesforce/settings", json={"user_number": account.id})
            back = await account.returned(provider)
        (await account.call("POST", f"/{provider}/callback", json=back)).raise_for_status()

    async def settled(self, before: dict[Place, Held], cut: set[Place]) -> dict[Place, Held]:
        """The rows, once every connection that was cut off has a newer version or has given up; or as they are then."""
        ends = asyncio.get_running_loop().time() + SETTLED_S
        while True:
            now = held(self.stage)
            waiting = [p for p in cut if now[p].state == "connected" and now[p].version == before[p].version]
            if not waiting or asyncio.get_running_loop().time() > ends:
                return now
            await asyncio.sleep(POLL_S)

    def families(self) -> dict[Place, int]:
        """The grant that each connection lives on."""
        rows = held(self.stage)
        found: dict[Place, int] = {}
        for provider in POLICIES:
            by_token = {token: g["id"] for g in grants(self.stage, provider) for token in g["access"]}
            found |= {p: by_token[row.access] for p, row in rows.items() if p[1] == provider and row.access in by_token}
        return found

    async def judged(
        self, cut: dict[Place, str], before: dict[Place, Held], families: dict[Place, int], since: int
    ) -> dict[Place, Verdict]:
        """What became of each connection that was cut off at its point, `since` request number so much."""
        sent = sum((refreshes(self.stage, provider, since) for provider in POLICIES), Counter[str]())
        revoked = {(p, g["id"]) for p in POLICIES for g in grants(self.stage, p) if g["revoked"]}
        asked = last_request(self.stage)
        now, gate = held(self.stage), asyncio.Semaphore(SIDE_BY_SIDE)

        async def call(place: Place) -> str:
            async with gate:
                return await works(self.accounts[place[0]], place[1]) if now[place].state == "connected" else ""

        failures = dict(zip(cut, await asyncio.gather(*map(call, cut)), strict=True))
        served = {p: self.stage.requests(provider=p, since=asked) for p in POLICIES}
        carried = {call["headers"].get("authorization") for calls in served.values() for call in calls}
        newest = {one.call for one in held(self.stage).values()}
        stale = carried & {one.call for one in before.values()} - newest

        def verdict(place: Place, point: str) -> Verdict:
            row, policy = now[place], POLICIES[place[1]][0]
            safe = get(place[1]).oauth.rotation in ("none", "grace")
            again = sent[before[place].refresh] - 1
            found = Verdict(f"{policy}: lives", f"{policy}, {point}", row.state == "connected")
            found.doubled = 0 if safe else max(0, again)
            if (place[1], families.get(place, 0)) in revoked:
                found.lost = "its grant is revoked"
            if before[place].call in stale:
                found.lost = "a call carried the token of before"
            if row.state == "connected":
                found.lost = failures[place] or found.lost
            else:
                found.outcome = f"{policy}: {row.reason}"
                # Nobody knows: a request went out, or the intent to send one was committed. Of a refresh that was cut
                # off before, that can only be true of the next one, if its request reached the provider.
                unknown = point not in ("before_intent", "written") or (point == "before_intent" and again >= 0)
                true = not safe and row.reason == "refresh_outcome_lost" and unknown
                found.lost = found.lost or ("" if true else f"{row.state}, {row.reason}")
            found.lost = found.lost and f"{place[0]} {place[1]} at {point}: {found.lost}"
            return found

        return {place: verdict(place, point) for place, point in cut.items()}
