"""The real stack that drills break: its processes are killed, stopped and started again one by one.

    async with staged(workers=2, keep_logs=tally.drill) as stage:
        account = await stage.account()
        await account.connect("hubspot")
        stage.kill_worker(1)
        await stage.start_worker(1)

Nothing revives what died but the drill itself. The sandbox is the world outside and is never killed.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from temporalio.client import Client

from drills.caller import Account
from supportly import temporal
from supportly.dev.console import Report
from supportly.dev.processes import Child, http_status
from supportly.dev.stack import ROOT, Stack
from supportly.settings import Settings
from tests.caller import HTTP, new_token

SHORT: Final = {
    "SUPPORTLY_PROVIDER_TIMEOUT_S": "3",
    "SUPPORTLY_LEASE_S": "8",  # above two calls, as in production
    "SUPPORTLY_GRACEFUL_SHUTDOWN_S": "10",
    "SUPPORTLY_RATE_FACTOR": "1000",  # drills are about crashes; the one about budgets sets it back
    "SUPPORTLY_REFINED_MODEL": "off",  # it would take the cores that restarts need
    "SUPPORTLY_LOG_LEVEL": "WARNING",
}
"""Settings that make leases and time-outs short, so that a drill waits seconds where production waits half a minute."""
READY_S: Final = 120.0
"""How long a part may take to answer: a busy machine starts them slowly."""
BRISK: Final = "drills/brisk_worker.py"
"""What worker processes run where they are killed often: it is missed sooner."""
LOGS: Final = ROOT / ".cache" / "drills" / "logs"
FIRST_ACCOUNT: Final = 1000
"""Accounts below it are the demo's."""


class Stage:
    """A running stack and its control: processes, the sandbox, what is stored, and accounts that call over HTTP."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.http = httpx.AsyncClient(timeout=90, limits=httpx.Limits(max_connections=1000))
        self._numbers = itertools.count(FIRST_ACCOUNT)
        self._accounts = [1, 2, 3]
        self._contacts = itertools.count(700_000)
        self.deadlocks = 0
        """That PostgreSQL has ended up to its last stop: whoever met one was told to try again, and should not be."""

    @property
    def settings(self) -> Settings:
        """What API and workers run with."""
        given = {name.removeprefix("SUPPORTLY_").lower(): v for name, v in self.stack.environment().items()}
        return Settings.model_validate({name: v for name, v in given.items() if name in Settings.model_fields})

    # The world outside

    def control(self, method: str, path: str, **extra: Any) -> Any:
        """Speak to the sandbox's control plane; `path` comes after `/_sandbox`. Raises httpx.HTTPStatusError."""
        answer = HTTP.request(method, f"{self.stack.sandbox_url}/_sandbox{path}", **extra)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def fault(self, **fault: Any) -> None:
        """Arm one fault of the sandbox (see `sandbox/faults.py` for its fields)."""
        self.control("POST", "/faults", json=fault)

    def calm(self) -> None:
        """Disarm every fault."""
        self.control("DELETE", "/faults")

    def records(self, provider: str, kind: str) -> list[dict[str, Any]]:
        """All records of a kind that the provider's double holds."""
        found: list[dict[str, Any]] = self.control("GET", f"/{provider}/records", params={"kind": kind})
        return found

    def requests(self, **wanted: Any) -> list[dict[str, Any]]:
        """What the doubles were asked, oldest first (`provider`, `since` a number, part of a `path`, `method`)."""
        found: list[dict[str, Any]] = self.control("GET", "/requests", params=wanted)
        return found

    def unlimited(self, *providers: str) -> None:
        """Doubles that never answer 429 by themselves."""
        for provider in providers:
            self.control("POST", f"/{provider}/settings", json={"rate_limits": False})

    # Accounts

    async def account(self) -> Account:
        """A new account with an administrator's token; Supportly's double knows it."""
        number = next(self._numbers)
        self._accounts.append(number)
        self.control("POST", "/supportly/settings", json={"accounts": self._accounts})
        assert self.stack.postgres
        token = await new_token(self.stack.postgres.admin_url, self.settings, number)
        return Account(self.stack.api_url, number, token, self.http)

    def contact(self, account: Account, *providers: str) -> int:
        """A new contact of the account in Supportly, and its records at `providers`; answers its id in Supportly."""
        number = next(self._contacts)
        name, email = f"Person {number}", f"person-{number}@example.com"
        record = {"id": number, "account_id": account.id, "name": name, "email": email}
        self.control("POST", "/supportly/seed", json={"contacts": [record]})
        for provider in providers:
            theirs = {
                "hubspot": {"contacts": [{"properties": {"email": email, "firstname": name}}]},
                "zendesk": {"users": [{"email": email, "name": name, "role": "end-user"}]},
            }[provider]
            self.control("POST", f"/{provider}/seed", json=theirs)
        return number

    # What is stored

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of every tenant, as the tables' owner sees them. Raises psycopg.OperationalError while it is away."""
        with psycopg.connect(self.stack.facts()["database_url"], connect_timeout=10) as connection:
            return connection.execute(sql.encode(), values or None).fetchall()

    def change(self, sql: str, *values: Any) -> None:
        """Change rows of any tenant, as the tables' owner may."""
        with psycopg.connect(self.stack.facts()["database_url"], connect_timeout=10) as connection:
            connection.execute(sql.encode(), values or None)

    async def temporal(self) -> Client:
        """A client of the Temporal server, which reads what is encrypted."""
        return await temporal.connect(self.settings)

    # Processes. Killing returns when the process is gone; starting, when the part works.

    def worker(self, number: int = 1) -> Child:
        """Worker `number`, from 1."""
        return self.stack.workers[number - 1]

    def kill_worker(self, number: int = 1) -> None:
        """SIGKILL: nothing in it gets a chance to clean up."""
        self.worker(number).kill()

    def configure(self, **environment: str) -> None:
        """Environment variables for API and workers that are started from now on."""
        self.stack.configure(environment)

    async def start_worker(self, number: int = 1, environment: Mapping[str, str] | None = None) -> None:
        """Start worker `number` again; `environment` is added to what it gets otherwise."""
        await asyncio.to_thread(self.stack.restart_worker, number, environment)

    def kill_api(self) -> None:
        """SIGKILL, with every request that it serves."""
        assert self.stack.api
        self.stack.api.kill()

    async def start_api(self) -> None:
        """Start the API again on its port."""
        assert self.stack.api
        await asyncio.to_thread(self.stack.restart, self.stack.api)
        await reached(lambda: http_status(f"{self.stack.api_url}/healthz") == 200, self.stack.api)

    def kill_temporal(self) -> None:
        """SIGKILL; what it has committed to its database stays."""
        assert self.stack.temporal
        self.stack.temporal.kill()

    async def start_temporal(self) -> None:
        """Start the Temporal server again on its port and database."""
        assert self.stack.temporal
        await asyncio.to_thread(self.stack.restart, self.stack.temporal.child)

    def stop_postgres(self) -> None:
        """An immediate shutdown, as `pg_ctl stop -m immediate` asks for: no goodbye, and recovery at the next start."""
        assert self.stack.postgres
        self.stack.postgres.child.stop(signal.SIGQUIT)
        self.deadlocks += self.stack.postgres.deadlocks()

    async def start_postgres(self) -> None:
        """Start PostgreSQL again on its port and data."""
        assert self.stack.postgres
        await asyncio.to_thread(self.stack.restart, self.stack.postgres.child)

    async def working(self) -> None:
        """Return when the API reaches the database, Temporal and a worker."""
        await reached(lambda: http_status(f"{self.stack.api_url}/readyz") == 200, self.stack.api)


async def reached(
    true: Callable[[], Any], child: Child | None = None, seconds: float = READY_S, every: float = 0.05
) -> Any:
    """The first true answer, asked for `every` so often; AssertionError after `seconds`.

    Raises what its log says when `child` has died meanwhile.
    """
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"it did not come to that within {seconds:.0f} s"
        if child is not None and not child.running:
            raise child.failure()
        await asyncio.sleep(every)
    return found


@asynccontextmanager
async def staged(
    *,
    keep_logs: str,
    workers: int = 1,
    bulk_workers: int = 0,
    settings: Mapping[str, str] | None = None,
    worker_script: str = "worker.py",
) -> AsyncIterator[Stage]:
    """A stack of its own in a temporary directory, stopped at the end whatever happens.

    The processes' logs are kept in `.cache/drills/logs/<keep_logs>` until the next stage of that name ends. Raises
    AssertionError in the end when PostgreSQL had to end a deadlock.

    `settings` (environment variables) win over `SHORT`; `worker_script` is what worker processes run, from the
    project's directory, whose modules it can import.
    """
    with tempfile.TemporaryDirectory(prefix="spl-d-") as made:
        Path(made).chmod(0o755)  # noqa: ASYNC240 - nothing else runs yet; PostgreSQL may run as another user
        chosen = {"PYTHONPATH": str(ROOT), **SHORT, **(settings or {})}
        stack = Stack(
            Path(made),
            workers=workers,
            bulk_workers=bulk_workers,
            settings=chosen,
            worker_script=worker_script,
            report=Report(sys.stderr),
        )
        await asyncio.to_thread(stack.start)
        stage = Stage(stack)
        try:
            yield stage
        finally:
            await stage.http.aclose()
            await asyncio.to_thread(stack.stop)
            kept = LOGS / keep_logs
            await asyncio.to_thread(shutil.rmtree, kept, ignore_errors=True)
            await asyncio.to_thread(shutil.copytree, stack.directory / "logs", kept)
            if stack.postgres:
                shutil.copy(stack.postgres.child.log, kept)
                stage.deadlocks += stack.postgres.deadlocks()
        assert not stage.deadlocks, f"{stage.deadlocks} deadlocks in PostgreSQL; its log is in {kept}"
