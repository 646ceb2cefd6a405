"""What more worker processes bring: `python -m bench.scale [--n 400] [--workers 1 2 4]`.

For each number of workers a stack of its own; every answer of the doubles takes 50 ms, as a provider's may. Measured:
lookups a second of 40 callers at once, documents a second of four accounts that sync 1,000 Zendesk articles each at the
same time, and which share of the machine's cores each kind of process took meanwhile: what is near a whole core bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from bench import service
from bench.api import timed
from bench.figures import say
from supportly.dev.console import Report
from supportly.dev.stack import ROOT, Stack

DELAY_S: Final = 0.05
CALLERS: Final = 40
ACCOUNTS: Final = (11, 12, 13, 14)
ARTICLES: Final = 1000
SETTINGS: Final = {"SUPPORTLY_RATE_FACTOR": "1000", "SUPPORTLY_REFINED_MODEL": "off", "SUPPORTLY_LOG_LEVEL": "WARNING"}


class Shares:
    """Which share of one core each kind of process took between begin and end."""

    def __init__(self, stack: Stack) -> None:
        pids = stack.facts()["pids"]
        sandbox = stack.sandbox.pid if stack.sandbox else 0
        self._kinds = {"api": [pids["api"]], "temporal": [pids["temporal"]], "postgres": [pids["postgres"]]}
        self._kinds |= {"workers": pids["workers"], "doubles": [sandbox], "bench": [os.getpid()]}
        self._before = self._seconds()
        self._began = time.monotonic()
        self._busy = self._machine()

    @staticmethod
    def _machine() -> float:
        """Processor time that anybody on this machine has had."""
        times = psutil.cpu_times()
        return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)

    def _seconds(self) -> dict[str, float]:
        return {
            # This process has started the whole stack: its children are not its own work.
            kind: sum(self._of(pid, alone=kind == "bench") for pid in pids)
            for kind, pids in self._kinds.items()
        }

    @staticmethod
    def _of(pid: int, *, alone: bool) -> float:
        """Processor time of a process, and unless `alone` of its children (PostgreSQL's sessions)."""
        total = 0.0
        root = psutil.Process(pid)
        for one in (root, *(() if alone else root.children(recursive=True))):
            try:
                times = one.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def say(self, figure: str, units: int) -> None:
        """A kind's share of all cores, and its processor time for each unit, which a busy machine hardly changes."""
        took = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        shares = {kind: (after - self._before[kind]) / took for kind, after in self._seconds().items()}
        # Not ours: what else this machine was doing. Where that is much, the figures say little.
        shares["others"] = max(0.0, (self._machine() - self._busy) / took - sum(shares.values()))
        for kind, share in shares.items():
            say(f"{figure}_cpu_{kind}", share, "of all cores", against="machine", base=1)
            if kind != "others":
                say(f"{figure}_costs_{kind}", share * took / units * 1e3, "ms of a core each", n=units)


@contextmanager
def stacked(workers: int) -> Iterator[Stack]:
    """A stack with so many workers, whose doubles take their time."""
    with tempfile.TemporaryDirectory(prefix="spl-scale-") as made:
        Path(made).chmod(0o755)
        with Stack(Path(made), workers=workers, settings=SETTINGS, report=Report(out=sys.stderr)).start() as stack:
            yield stack


def token(stack: Stack, account: int) -> str:
    """An administrator's token of another account."""
    command = [sys.executable, "-m", "supportly", "token", "create", "--quiet", "--account", str(account)]
    made = subprocess.run(
        [*command, "--role", "administrator", "--name", "scale"],
        cwd=ROOT, env=stack.command_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return made.stdout.strip()


async def measure(stack: Stack, workers: int, n: int, base: dict[str, float]) -> None:
    """Lookups, then syncs; `base` holds what one worker did."""
    facts: dict[str, Any] = stack.facts()
    control = f"{facts['sandbox_url']}/_sandbox"
    limits = httpx.Limits(max_connections=2 * CALLERS)
    async with httpx.AsyncClient(timeout=300, limits=limits) as api:
        (await api.post(f"{control}/demo")).raise_for_status()
        seed = {"generate": {"articles": ARTICLES, "seed": 7}}
        (await api.post(f"{control}/zendesk/seed", json=seed)).raise_for_status()
        for provider in ("hubspot", "zendesk"):
            await api.post(f"{control}/{provider}/settings", json={"rate_limits": False})
        api.headers["api_access_token"] = facts["admin_token"]
        await service.connect(api, service.root(facts), "hubspot")
        roots = []
        for account in ACCOUNTS:
            headers = {"api_access_token": await asyncio.to_thread(token, stack, account)}
            root = service.root({**facts, "account_id": account})
            api.headers.update(headers)
            await service.connect(api, root, "zendesk", subdomain="bench")
            roots.append((root, headers))
        slow = {"delay": DELAY_S, "times": -1}
        (await api.post(f"{control}/faults", json=slow)).raise_for_status()

        async def lookup(number: int) -> None:
            url = f"{service.root(facts)}/hubspot/contacts/{number % 5 + 1}"
            (await api.get(url, headers={"api_access_token": facts["admin_token"]})).raise_for_status()

        async def sync(number: int) -> None:
            root, headers = roots[number]
            sent = {**headers, "Prefer": "wait=60"}
            answer = (await api.post(f"{root}/zendesk/knowledge/sync", headers=sent)).raise_for_status()
            assert answer.json()["state"] == "succeeded", answer.text
            assert answer.json()["counts"]["added"] >= ARTICLES, answer.text

        await timed(CALLERS, lookup, CALLERS)
        shares = Shares(stack)
        _, rate = await timed(n, lookup, CALLERS)
        base.setdefault("lookups", rate)
        say(f"lookups_{workers}_workers", rate, "1/s", against="lookups_1_workers", base=base["lookups"], n=n)
        shares.say(f"lookups_{workers}_workers", n)
        shares = Shares(stack)
        _, syncs = await timed(len(ACCOUNTS), sync, len(ACCOUNTS))
        rate = syncs * ARTICLES
        base.setdefault("documents", rate)
        total = len(ACCOUNTS) * ARTICLES
        say(
            f"synced_{workers}_workers",
            rate,
            "documents/s",
            against="synced_1_workers",
            base=base["documents"],
            n=total,
        )
        shares.say(f"synced_{workers}_workers", total)


def main() -> None:
    """One stack after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=400, help="lookups for each number of workers")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    base: dict[str, float] = {}
    for workers in given.workers:
        with stacked(workers) as stack:
            asyncio.run(measure(stack, workers, given.n, base))


if __name__ == "__main__":
    main()
