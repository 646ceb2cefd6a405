"""A disconnect that races a refresh, syncs, a callback or a reconnect leaves nothing behind and resurrects nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from drills.caller import Account
from drills.drill import Drill
from drills.grants import grants
from drills.stage import Stage, staged
from drills.tally import Tally
from sandbox.salesforce import salesforce_id
from supportly.contracts import ids

ACCOUNTS: Final = 12
"""Races at once; half of them at a provider whose tokens rotate under reuse detection, half at one of single use."""
PROVIDERS: Final = ("zendesk", "salesforce")
"""Both revoke grant by grant, so that what is left can be seen at the double."""
APART_S: Final = 0.15
"""Both sides begin within this time of one another: a disconnect takes about as long."""
EXCHANGE_S: Final = 0.6
"""An exchange, with asking who is connected, takes up to this long."""
CLEAN_S: Final = 60.0
RIVALS: Final = ("refresh", "sync", "callback", "reconnect")
LEFT: Final = {
    "a connection": "select count(*) from connections where account_id = %s and provider = %s "
    "and (state <> 'disconnected' or tokens is not null or lease_until is not null)",
    "a revocation": "select count(*) from revocations where account_id = %s and provider = %s "
    "and (status = 'open' or tokens is not null)",
    "a link": "select count(*) from contact_links where account_id = %s and provider = %s",
    "documents": "select count(*) from documents where account_id = %s and provider = %s",
    "an authorization": "select count(*) from pending_authorizations where account_id = %s and provider = %s "
    "and (returned is not null or status in ('received', 'exchanging', 'exchanged'))",
}


@dataclass
class Racer:
    """One account at one provider, race after race."""

    stage: Stage
    client: Client
    account: Account
    provider: str
    consent: asyncio.Lock = field(repr=False)
    contact: int

    async def call(self, method: str, path: str, **extra: Any) -> httpx.Response:
        """A request to the provider's part of the API."""
        return await self.account.call(method, f"/{self.provider}{path}", **extra)

    async def returned(self) -> dict[str, str]:
        """A consent of a user of this account's own."""
        body = {"subdomain": f"a{self.account.id}"} if self.provider == "zendesk" else {}
        async with self.consent:
            if self.provider == "salesforce":
                self.stage.control("POST", "/salesforce/settings", json={"user_number": self.account.id})
            started = await self.call("POST", "/connect", json=body)
            page = await self.stage.http.get(started.raise_for_status().json()["authorization_url"])
        return dict(parse_qsl(urlsplit(page.headers["location"]).query))

    async def connect(self) -> None:
        """Connect, and switch knowledge on."""
        back = await self.returned()
        answer, _ = await self.account.insist("POST", f"/{self.provider}/callback", json=back)
        answer.raise_for_status()
        streams = {"salesforce": ["products"], "zendesk": ["articles"]}[self.provider]
        (await self.call("PUT", "/settings", json={"settings": {"streams": streams}})).raise_for_status()

    async def disconnect(self) -> httpx.Response:
        """Disconnect, for as long as it takes."""
        answer, _ = await self.account.insist("DELETE", f"/{self.provider}/disconnect")
        return answer

    # Rivals: what is under way while somebody disconnects. Each answers a coroutine function, ready to begin.

    async def refresh(self) -> Callable[[], Awaitable[list[httpx.Response]]]:
        """A refresh, and callers who use the token."""
        await self.connect()
        row = self.stage.rows(
            "select token_version from connections where account_id = %s and provider = %s",
            self.account.id,
            self.provider,
        )

        async def run() -> list[httpx.Response]:
            entity = self.client.get_workflow_handle(ids.connection(self.account.id, self.provider))
            await entity.signal("token_rejected", row[0][0])
            return [await self.call("GET", f"/contacts/{self.contact}")]

        return run

    async def sync(self) -> Callable[[], Awaitable[list[httpx.Response]]]:
        """A sync of knowledge and one of a contact."""
        await self.connect()

        async def run() -> list[httpx.Response]:
            return list(
                await asyncio.gather(
                    self.call("POST", "/knowledge/toggle", json={"enabled": True}),
                    self.call("POST", f"/contacts/{self.contact}/sync"),
                )
            )

        return run

    async def callback(self) -> Callable[[], Awaitable[list[httpx.Response]]]:
        """The callback of a first connection: there is nothing yet that could be ended."""
        back = await self.returned()

        async def run() -> list[httpx.Response]:
            return [await self.call("POST", "/callback", json=back)]

        return run

    async def reconnect(self) -> Callable[[], Awaitable[list[httpx.Response]]]:
        """The callback of a second consent."""
        await self.connect()
        return await self.callback()

    async def race(self, rival: str, rng: random.Random) -> tuple[str, list[str]]:
        """One race; answers how the connection stood after it, and what was wrong when all had been ended."""
        run = await {
            "refresh": self.refresh, "sync": self.sync, "callback": self.callback, "reconnect": self.reconnect
        }[rival]()  # fmt: skip

        async def later(work: Callable[[], Awaitable[Any]], most: float) -> Any:
            await asyncio.sleep(rng.random() * most)
            return await work()

        # A first callback has to get somewhere before there is anything to end.
        head_start = EXCHANGE_S if rival == "callback" else APART_S
        answers, ended = await asyncio.gather(later(run, APART_S), later(self.disconnect, head_start))
        wrong = [
            f"{a.status_code} {a.text[:100]}"
            for a in answers
            if a.status_code >= 500 and a.status_code not in (503, 504)
        ]
        if ended.status_code != 200 and not (rival == "callback" and ended.status_code == 409):
            wrong.append(f"the disconnect answered {ended.status_code} {ended.text[:100]}")
        stood = (await self.account.status(self.provider))[0]
        if stood == "connected":
            if rival not in ("callback", "reconnect"):
                wrong.append("it was connected after the disconnect")
            else:
                found, _ = await self.account.insist("GET", f"/{self.provider}/contacts/{self.contact}")
                if found.status_code != 200:
                    wrong.append(f"it was connected and answered {found.status_code} {found.text[:100]}")
            await self.disconnect()
        return stood, [*wrong, *await self.left()]

    async def left(self) -> list[str]:
        """What there is still, after some patience: rows, syncs, a Schedule, tokens that work at the provider."""
        ends = asyncio.get_running_loop().time() + CLEAN_S
        while True:
            found = [
                what for what, sql in LEFT.items() if self.stage.rows(sql, self.account.id, self.provider) != [(0,)]
            ]
            found += self.usable()
            found += await self.running()
            if not found or asyncio.get_running_loop().time() > ends:
                return [f"left: {', '.join(found)}"] if found else []
            await asyncio.sleep(0.2)

    def usable(self) -> list[str]:
        """Tokens of this account's user that the double would still accept."""
        user = salesforce_id("005", self.account.id)
        mine = [
            g
            for g in grants(self.stage, self.provider)
            if g["host"] == f"a{self.account.id}.zendesk.com" or g["identity"].get("user_id") == user
        ]
        return [f"tokens of grant {g['id']}" for g in mine if g["access"] or g["refresh"]]

    async def running(self) -> list[str]:
        """A sync that runs, or a Schedule."""
        found = []
        try:
            sync = self.client.get_workflow_handle(ids.knowledge(self.account.id, self.provider))
            if (await sync.describe()).status == WorkflowExecutionStatus.RUNNING:
                found.append("a sync")
        except RPCError:
            pass
        try:
            await self.client.get_schedule_handle(ids.schedule(self.account.id, self.provider)).describe()
            found.append("a Schedule")
        except RPCError:
            pass
        return found


async def run(tally: Tally) -> None:
    """Race until all tries are made, and look at the end once more that nothing came back."""
    async with staged(keep_logs=tally.drill) as stage:
        stage.unlimited(*PROVIDERS)
        stage.control("POST", "/demo")
        client, consent = await stage.temporal(), asyncio.Lock()
        racers = []
        for number in range(ACCOUNTS):
            account, provider = await stage.account(), PROVIDERS[number % len(PROVIDERS)]
            contact = stage.contact(account, *(["zendesk"] if provider == "zendesk" else []))
            racers.append(Racer(stage, client, account, provider, consent, contact))
        turns = iter(range(tally.tries, tally.wanted))

        async def race(racer: Racer) -> None:
            for turn in turns:
                rival = RIVALS[turn % len(RIVALS)]
                stood, wrong = await racer.race(rival, tally.rng(turn))
                cause = f"{racer.account.id} {racer.provider}, {rival}: {'; '.join(wrong)}" if wrong else ""
                tally.add(f"{rival}: {stood}", lost=len(wrong), cause=cause)

        await asyncio.gather(*map(race, racers))
        for racer in racers:
            if again := await racer.left():
                tally.add("resurrected", tries=0, lost=1, cause=f"{racer.account.id} {racer.provider}: {again}")


DRILLS: Final = (
    Drill(
        "disconnect_races",
        "A disconnect races a refresh, syncs, a callback or a reconnect: afterwards no row, Schedule or sync is left, "
        "no token works at the provider, and nothing comes back.",
        300,
        run,
    ),
)
