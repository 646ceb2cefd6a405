"""A neighbour loads twenty thousand documents and has five hundred contacts synced; another account looks a contact up.

Each try measures the same lookups in quiet first and in the noise afterwards, so that both meet the same machine. The
workers are those of `make up`: one for what people wait for, one for bulk work.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from bench.figures import percentile
from drills.caller import Account
from drills.drill import Drill
from drills.stage import Stage, staged
from drills.tally import Tally

DOCUMENTS: Final = 20_000
SYNCS: Final = 500
LOOKUPS: Final = 120
"""Lookups of a measurement, one after the other; the 95th percentile is the sixth slowest."""
WARM_UP: Final = 30
PAUSE_S: Final = 0.05
"""Between two lookups, as callers pause: what is measured is one caller's wait, not a throughput."""
AT_ONCE: Final = 50
"""Requests that the neighbour sends side by side when it asks for its syncs."""
MOST: Final = 2.0
"""Times the quiet p95 that the noisy one may take."""
FIRST_CONTACT: Final = 900_000
NOISE: Final = {"SUPPORTLY_REFINED_MODEL": "minilm"}
"""The refined tier reads the neighbour's documents at the same time, as it does where nobody has switched it off."""


@dataclass
class Neighbour:
    """The account that makes the noise."""

    stage: Stage
    account: Account
    documents: int
    syncs: int

    def seed(self) -> None:
        """Articles at Zendesk, and contacts whom HubSpot does not know yet."""
        everything = {"generate": {"articles": self.documents, "seed": 7}}
        self.stage.control("POST", "/zendesk/seed", json=everything)

    async def begin(self, turn: int) -> None:
        """Start loading all documents, and queue the syncs; returns when they are accepted."""
        first = FIRST_CONTACT + turn * self.syncs
        contacts = [
            {"id": n, "account_id": self.account.id, "name": f"Robin {n}", "email": f"robin-{n}@example.com"}
            for n in range(first, first + self.syncs)
        ]
        await asyncio.to_thread(self.stage.control, "POST", "/supportly/seed", json={"contacts": contacts})
        started = await self.account.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})
        started.raise_for_status()
        gate = asyncio.Semaphore(AT_ONCE)

        async def queue(contact: int) -> None:
            async with gate:
                path = f"/hubspot/contacts/{contact}/sync"
                answer = await self.account.call("POST", path, headers={"Prefer": "respond-async"})
                assert answer.status_code == 202, answer.text

        await asyncio.gather(*(queue(n) for n in range(first, first + self.syncs)))

    async def end(self) -> None:
        """Wait until the syncs are through, and throw the documents away, so that the next turn loads them again."""
        while True:
            if await self.synced() % self.syncs == 0:
                break
            await asyncio.sleep(0.5)
        gone = {"enabled": False, "purge": True}
        (await self.account.call("POST", "/zendesk/knowledge/toggle", json=gone)).raise_for_status()

    async def synced(self) -> int:
        """Contacts of this neighbour that HubSpot knows by now."""
        records = await asyncio.to_thread(self.stage.records, "hubspot", "contact")
        return sum(str(r["properties"].get("email", "")).startswith("robin-") for r in records)

    async def loaded(self) -> int:
        """Documents that are stored by now."""
        status = (await self.account.call("GET", "/knowledge/status")).raise_for_status().json()
        return int(next(p for p in status["providers"] if p["provider"] == "zendesk")["documents"])


async def run(tally: Tally) -> None:
    """Make the tries that are left."""
    async with staged(bulk_workers=1, settings=NOISE, keep_logs=tally.drill) as stage:
        stage.unlimited("hubspot", "zendesk")
        quiet, loud = await stage.account(), await stage.account()
        for account, provider in ((quiet, "hubspot"), (loud, "hubspot"), (loud, "zendesk")):
            await account.connect(provider)
        whole = tally.wanted > 1
        neighbour = Neighbour(stage, loud, DOCUMENTS if whole else DOCUMENTS // 4, SYNCS if whole else SYNCS // 4)
        await asyncio.to_thread(neighbour.seed)
        contact = stage.contact(quiet, "hubspot")
        await _lookups(quiet, contact, WARM_UP)
        for turn in range(tally.tries, tally.tries + tally.left):
            await _turn(tally, turn, neighbour, quiet, contact)


async def _turn(tally: Tally, turn: int, neighbour: Neighbour, quiet: Account, contact: int) -> None:
    calm, failed = await _lookups(quiet, contact, LOOKUPS)
    await neighbour.begin(turn)
    began = await neighbour.loaded(), await neighbour.synced()
    noisy, more = await _lookups(quiet, contact, LOOKUPS)
    ended = await neighbour.loaded(), await neighbour.synced()
    await neighbour.end()
    facts = {
        f"{when}_p{percent}_ms": round(percentile(times, percent / 100), 1)
        for when, times in (("quiet", calm), ("noisy", noisy))
        for percent in (50, 95)
    }
    ratio = facts["noisy_p95_ms"] / facts["quiet_p95_ms"]
    tally.note(**{
        f"try_{turn + 1}": {
            **facts,
            "ratio_p95": round(ratio, 2),
            "documents_loaded_meanwhile": ended[0] - began[0],
            "contacts_synced_meanwhile": ended[1] - began[1],
        }
    })  # fmt: skip
    lost = failed + more
    cause = f"{len(lost)} lookups failed: {lost[0]}" if lost else ""
    tally.add("within_2x" if ratio <= MOST else "beyond_2x", lost=len(lost), cause=cause)


async def _lookups(account: Account, contact: int, count: int) -> tuple[list[float], list[str]]:
    """Milliseconds of lookups one after the other, and what failed."""
    times: list[float] = []
    failed: list[str] = []
    for _ in range(count):
        began = time.perf_counter()
        answer: Any = await account.call("GET", f"/hubspot/contacts/{contact}")
        times.append((time.perf_counter() - began) * 1e3)
        if answer.status_code != 200:
            failed.append(f"{answer.status_code} {answer.text}")
        await asyncio.sleep(PAUSE_S)
    return times, failed


DRILLS = (
    Drill(
        "noisy_neighbour",
        "A neighbour loads 20,000 documents and has 500 contacts synced; another account's lookups take at most twice "
        "as long as in quiet (p95).",
        3,
        run,
        alone=True,
    ),
)
