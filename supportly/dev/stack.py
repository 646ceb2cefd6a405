"""The whole service on one machine: PostgreSQL, Temporal, the sandbox, workers and API, as children of one process.

    with Stack(Path(".stack")).start() as stack:
        httpx.get(stack.api_url + "/readyz")

Everything lies in one directory. Nothing outlives the process that started it, whichever way that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from supportly.dev import faults, processes
from supportly.dev.console import Report
from supportly.dev.faults import StackError
from supportly.dev.postgres import Postgres
from supportly.dev.processes import Child
from supportly.dev.temporal import Temporal

__all__ = ["ROOT", "Ports", "Postgres", "Stack", "StackError", "Temporal", "default_directory"]

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT_ID = 1
ROLES = {"admin_token": "administrator", "agent_token": "agent"}
READY_S = 60.0
STOP_S = 10.0
# A process that dies is started again after a pause, as a process manager does; this often a minute, then we give up.
RESTARTS_A_MINUTE = 5
RESTART_PAUSE_S = 1.0
# How libraries below Python behave in API and workers.
NATIVE = {
    "OPENBLAS_NUM_THREADS": "1",  # searches multiply small matrices: more threads only wait for one another
    "MALLOC_ARENA_MAX": "2",  # threads that embed in turn would each keep what the largest batch took (90 MiB more)
}
# The owner's way into the database is for migrations and the command line; without compiled modules every process
# starts two seconds later.
WITHHELD = {"SUPPORTLY_ADMIN_DATABASE_URL", "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1; None takes any free one."""

    api: int | None = None
    ui: int | None = None
    temporal: int | None = None
    postgres: int | None = None
    sandbox: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """From SUPPORTLY_API_PORT and its siblings."""
        return cls(
            **{name: _number(environment, f"SUPPORTLY_{name.upper()}_PORT", 65_535) for name in cls.__annotations__}
        )


def default_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """SUPPORTLY_STACK_DIR, or `.stack` in the project."""
    return Path(environment.get("SUPPORTLY_STACK_DIR") or ROOT / ".stack").absolute()


def worker_count(environment: Mapping[str, str] = os.environ) -> int:
    """SUPPORTLY_WORKERS, or one."""
    return _number(environment, "SUPPORTLY_WORKERS", 64) or 1


def _number(environment: Mapping[str, str], name: str, highest: int) -> int | None:
    given = environment.get(name, "")
    if given and not (given.isdecimal() and 1 <= int(given) <= highest):
        raise StackError(f"{name}={given} is not a number from 1 to {highest}: correct it or unset it.")
    return int(given) if given else None


@dataclass
class Secrets:
    """What one stack directory keeps for itself, readable by its owner alone."""

    keys: str = field(default_factory=lambda: "s1:" + urlsafe_b64encode(secrets.token_bytes(32)).decode())
    token_pepper: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    metrics_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    admin_token: str = ""
    agent_token: str = ""

    @classmethod
    def load(cls, file: Path) -> Self:
        """The stored ones, or new ones."""
        try:
            return cls(**json.loads(file.read_text()))
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError):
            raise StackError(
                f"{file} is damaged, and with it the key to what the stack stored. {faults.START_AFRESH}"
            ) from None


def outside(api_url: str, sandbox_url: str) -> dict[str, str]:
    """The part of the environment that puts a stack's sandbox in the place of the outside world."""
    from supportly.providers import PROVIDERS

    made = {
        "SUPPORTLY_CALLBACK_URL": f"{api_url}/oauth/callback/{{provider}}",
        "SUPPORTLY_CONSOLE_CALLBACK_URL": f"{api_url}/console/callback/{{provider}}",
        "SUPPORTLY_SANDBOX_URL": sandbox_url,
        "SUPPORTLY_SUPPORTLY_API_URL": f"{sandbox_url}/_supportly/api/v1",
        "SUPPORTLY_SUPPORTLY_API_TOKEN": "sandbox-supportly-token",
    }
    for provider in PROVIDERS:
        prefix = f"SUPPORTLY_{provider.id.upper()}_CLIENT"
        made[f"{prefix}_ID"] = f"sandbox-{provider.id}-client"
        made[f"{prefix}_SECRET"] = f"sandbox-{provider.id}-secret"
    return made


class Stack:
    """Starts everything, knows where it is, and stops it."""

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 1,
        bulk_workers: int = 0,
        ports: Ports | None = None,
        settings: Mapping[str, str] | None = None,
        report: Report | None = None,
        root: Path = ROOT,
        worker_script: str = "worker.py",
    ) -> None:
        """With `bulk_workers`, syncs and what nobody waits for are done by so many processes of their own, which
        follow the others in `workers`; without, every worker does everything.

        `settings` are environment variables for API and workers that win over ours; `report` hears of progress;
        `root` is where `worker_script`, `api` and `sandbox` lie.
        """
        self.directory = directory.absolute()
        self.ports = ports or Ports()
        self.report = report
        self._settings = dict(settings or {})
        self._root = root
        self._roles = [*["prompt" if bulk_workers else "all"] * workers, *["bulk"] * bulk_workers]
        self._worker_script = worker_script
        self._lock: TextIO | None = None
        self._secrets = Secrets()
        self._deaths: deque[float] = deque()
        self._minting: dict[str, subprocess.Popen[str]] = {}
        self.postgres: Postgres | None = None
        self.temporal: Temporal | None = None
        self.sandbox: Child | None = None
        self.api: Child | None = None
        self.workers: list[Child] = []
        self.api_port = self.sandbox_port = 0
        self._metrics: dict[str, dict[str, str]] = {}
        self.admin_token = self.agent_token = ""

    # Where things are

    @property
    def api_url(self) -> str:
        """The API, without a path."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def console_url(self) -> str:
        """The console, whose sign-in asks for an API token."""
        return f"{self.api_url}/console"

    @property
    def sandbox_url(self) -> str:
        """The sandbox, without a path."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def file(self) -> Path:
        """Where tools read how to reach the running stack."""
        return self.directory / "stack.json"

    def metrics_urls(self) -> list[str]:
        """What a Prometheus would ask: the API (with the token), the workers, and Temporal's SDK in each of them."""
        addresses = [address for one in self._metrics.values() for address in one.values()]
        return [f"{self.api_url}/metrics", *(f"http://{address}/metrics" for address in addresses)]

    def facts(self) -> dict[str, Any]:
        """What stack.json says."""
        assert self.postgres  # noqa: S101 - for the type checker: start() made them
        assert self.temporal  # noqa: S101
        assert self.api  # noqa: S101
        return {
            "api_url": self.api_url,
            "admin_token": self.admin_token,
            "agent_token": self.agent_token,
            "account_id": ACCOUNT_ID,
            # The owner's, without the driver's name: psql and every library can use it, and tools may see all rows.
            "database_url": self.postgres.admin_url.replace("+psycopg", ""),
            "temporal_address": self.temporal.address,
            "temporal_namespace": self.temporal.namespace,
            "temporal_ui_url": self.temporal.ui_url,
            "sandbox_url": self.sandbox_url,
            "console_url": self.console_url,
            "metrics": {"token": self.environment()["SUPPORTLY_METRICS_TOKEN"], "urls": self.metrics_urls()},
            "pids": {
                "api": self.api.pid,
                "temporal": self.temporal.pid,
                "postgres": self.postgres.pid,
                "workers": [worker.pid for worker in self.workers],
            },
        }

    def environment(self) -> dict[str, str]:
        """The environment of API and workers: ours for the wiring, the caller's for everything else."""
        assert self.postgres  # noqa: S101 - for the type checker: start() made them
        assert self.temporal  # noqa: S101
        defaults = {
            "SUPPORTLY_KEYS": self._secrets.keys,
            "SUPPORTLY_TOKEN_PEPPER": self._secrets.token_pepper,
            "SUPPORTLY_METRICS_TOKEN": self._secrets.metrics_token,
            **NATIVE,
        }
        wiring = {
            "PYTHONUNBUFFERED": "1",
            "SUPPORTLY_ENVIRONMENT": "development",
            "SUPPORTLY_DATABASE_URL": self.postgres.url,
            "SUPPORTLY_TEMPORAL_ADDRESS": self.temporal.address,
            "SUPPORTLY_TEMPORAL_NAMESPACE": self.temporal.namespace,
            "SUPPORTLY_TEMPORAL_API_KEY": "",
            "SUPPORTLY_TEMPORAL_UI_URL": self.temporal.ui_url,
            **outside(self.api_url, self.sandbox_url),
        }
        inherited = {
            k: v for k, v in os.environ.items() if k != "SUPPORTLY_ADMIN_DATABASE_URL" and k[:9] != "TEMPORAL_"
        }
        return {**defaults, **inherited, **wiring, **self._settings}

    def configure(self, environment: Mapping[str, str]) -> None:
        """Environment variables for API and workers that are started from now on; they win over all others."""
        self._settings |= environment

    # From nothing to answering

    def start(self) -> Self:
        """Starts all parts and waits until each answers; stops what it started when one does not."""
        self.report = self.report or Report()
        began = time.monotonic()
        try:
            faults.check_free_space(self.directory)
            self._take_directory()
            self._start_parts(self.report)
            self.write_file()
        except OSError as error:
            self.stop()
            raise faults.from_os_error(error, self.directory) from error
        except BaseException:
            self.stop()
            raise
        self.report.line(f"  The stack answers after {time.monotonic() - began:.1f} s.")
        return self

    def _start_parts(self, report: Report) -> None:
        self.api_port = processes.chosen_port(self.ports.api, "SUPPORTLY_API_PORT")
        self.sandbox_port = processes.chosen_port(self.ports.sandbox, "SUPPORTLY_SANDBOX_PORT")
        self.sandbox = self._launch_sandbox()  # imports while PostgreSQL starts
        with report.step("PostgreSQL and its tables") as step:
            self.postgres = Postgres.start(self.directory / "postgres", port=self.ports.postgres)
            step.detail = f"127.0.0.1:{self.postgres.port}"
        with report.step("Temporal and its UI") as step:
            self.temporal = Temporal.start(
                self.directory / "temporal", port=self.ports.temporal, ui_port=self.ports.ui, say=report.line
            )
            step.detail = self.temporal.ui_url
        self.api = self._launch_api()
        self.workers = [self._launch_worker(number) for number, _ in enumerate(self._roles, 1)]
        self._mint([name for name in ROLES if not getattr(self._secrets, name)])
        with report.step("Sandbox") as step:
            self._await_http(self.sandbox, f"{self.sandbox_url}/_sandbox/health")
            step.detail = self.sandbox_url
        with report.step("Worker" if len(self.workers) == 1 else f"{len(self.workers)} workers"):
            for worker in self.workers:
                self._await_worker(worker)
        with report.step("API") as step:
            self._await_http(self.api, f"{self.api_url}/readyz")
            step.detail = f"{self.api_url}/docs"
        with report.step("API tokens"):
            self._collect_tokens()

    def _take_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        file = (self.directory / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise StackError(
                f"A stack (process {owner}) already runs in {self.directory}: stop it, or set SUPPORTLY_STACK_DIR to "
                "start another one beside it."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._lock = file
        self.file.unlink(missing_ok=True)
        self._secrets = Secrets.load(self.directory / "secrets.json")
        self._store_secrets()
        logs = self.directory / "logs"
        logs.mkdir(exist_ok=True)
        for log in logs.glob("*.log"):
            log.unlink()

    def _launch(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        log = self.directory / "logs" / f"{name.lower().replace(' ', '-')}.log"
        return Child(name, [sys.executable, *arguments], log=log, env=environment, cwd=self._root)

    def _launch_sandbox(self) -> Child:
        return self._launch("Sandbox", ["-m", "sandbox", "--port", str(self.sandbox_port)])

    def _launch_api(self) -> Child:
        served = self._served("API", "SUPPORTLY_TEMPORAL_METRICS_ADDRESS")
        return self._launch("API", ["-m", "api", "--port", str(self.api_port)], {**self.environment(), **served})

    def _launch_worker(self, number: int, more: Mapping[str, str] | None = None) -> Child:
        name = f"Worker {number}"
        ready = self._ready_file(name)
        ready.unlink(missing_ok=True)
        own = {
            **self._served(name, "SUPPORTLY_METRICS_ADDRESS", "SUPPORTLY_TEMPORAL_METRICS_ADDRESS"),
            "SUPPORTLY_READY_FILE": str(ready),
            "SUPPORTLY_WORKER_QUEUES": self._roles[number - 1],
        }
        environment = {**self.environment(), **own, **(more or {})}
        return self._launch(name, [self._worker_script], environment)

    def _served(self, name: str, *settings: str) -> dict[str, str]:
        """Addresses at which this process answers Prometheus: each needs its own."""
        self._metrics[name] = {setting: f"127.0.0.1:{processes.free_port()}" for setting in settings}
        return self._metrics[name]

    def _ready_file(self, name: str) -> Path:
        return self.directory / f"{name.lower().replace(' ', '-')}.ready"

    def _await_http(self, child: Child, url: str) -> None:
        processes.until(child, lambda: processes.http_status(url) == 200, timeout=READY_S, what=url)

    def _await_worker(self, worker: Child) -> None:
        processes.until(worker, self._ready_file(worker.name).exists, timeout=READY_S)

    # Tokens

    def command_environment(self) -> dict[str, str]:
        """The environment of `python -m supportly`, which works on this stack as the tables' owner."""
        assert self.postgres  # noqa: S101 - for the type checker: start() made it
        return {**self.environment(), "SUPPORTLY_ADMIN_DATABASE_URL": self.postgres.admin_url}

    def _mint(self, names: Sequence[str]) -> None:
        """Begins to create tokens, in processes of their own, while the API is still starting."""
        for name in names:
            command = [sys.executable, "-m", "supportly", "token", "create", "--quiet", "--account", str(ACCOUNT_ID)]
            self._minting[name] = subprocess.Popen(
                [*command, "--role", ROLES[name], "--name", "demo"],
                cwd=self._root,
                env=self.command_environment(),
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
            )

    def _collect_tokens(self) -> None:
        self._finish_minting()
        self._mint([name for name in ROLES if not self._accepted(getattr(self._secrets, name))])
        self._finish_minting()
        self._store_secrets()
        self.admin_token, self.agent_token = self._secrets.admin_token, self._secrets.agent_token

    def _finish_minting(self) -> None:
        while self._minting:
            name, process = self._minting.popitem()
            said, complaint = process.communicate(timeout=READY_S)
            if process.returncode != 0:
                raise StackError(f"A token could not be created: {complaint.strip().splitlines()[-1:]}")
            setattr(self._secrets, name, said.strip())

    def _accepted(self, token: str) -> bool:
        url = f"{self.api_url}/api/v1/accounts/{ACCOUNT_ID}/supportly_integrations"
        request = urllib.request.Request(url, headers={"api_access_token": token})  # noqa: S310 - our own API
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own API
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return False
            raise StackError(
                f"The API answers {error.code} to its list of integrations; see {self.directory}/logs/api.log."
            ) from None

    def _store_secrets(self) -> None:
        write_private(self.directory / "secrets.json", vars(self._secrets))

    def write_file(self) -> None:
        """Writes stack.json."""
        write_private(self.file, self.facts())

    # While it runs

    def watch(self) -> None:
        """Starts again what has died, as a process manager would, and says so; raises when that is hopeless."""
        while True:
            time.sleep(0.3)
            for child in self._children():
                if not child.running:
                    self._revive(child)

    def _revive(self, child: Child) -> None:
        assert self.report  # noqa: S101 - for the type checker: start() made it
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > 60:
            self._deaths.popleft()
        if len(self._deaths) > RESTARTS_A_MINUTE:
            raise child.failure()
        self.report.line(f"  {child.name} (process {child.pid}) {child.ended}.", "yellow")
        time.sleep(RESTART_PAUSE_S)
        with self.report.step(f"{child.name}, started again"):
            self.restart(child)
        self.write_file()

    def restart(self, child: Child) -> None:
        """Starts the part again whose process this was, on its old ports and data. Servers answer on return."""
        assert self.postgres  # noqa: S101 - for the type checker: start() made them
        assert self.temporal  # noqa: S101
        if child is self.postgres.child:
            self.postgres = Postgres.start(self.postgres.directory, port=self.postgres.port)
        elif child is self.temporal.child:
            old = self.temporal
            self.temporal = Temporal.start(self.directory / "temporal", port=old.port, ui_port=old.ui_port)
        elif child is self.sandbox:
            self.sandbox = self._launch_sandbox()
        elif child is self.api:
            self.api = self._launch_api()
        else:
            number = self.workers.index(child) + 1
            self.workers[number - 1] = self._launch_worker(number)

    def restart_worker(self, number: int = 1, environment: Mapping[str, str] | None = None) -> Child:
        """Ends worker `number` (from 1) if need be, starts it again and waits until it polls.

        `environment` is added to what the worker gets otherwise.
        """
        self.workers[number - 1].kill()
        self.workers[number - 1] = self._launch_worker(number, environment)
        self._await_worker(self.workers[number - 1])
        if self.file.exists():
            self.write_file()
        return self.workers[number - 1]

    def _children(self) -> list[Child]:
        stores = [part.child for part in (self.postgres, self.temporal) if part]
        return [*stores, *(child for child in (self.sandbox, self.api) if child), *self.workers]

    # And back to nothing

    def stop(self) -> None:
        """Stops all parts, callers before what they call; a second Ctrl-C ends them at once."""
        try:
            if self._lock:  # else the file is another stack's
                with contextlib.suppress(OSError):
                    self.file.unlink(missing_ok=True)
            self._stop_parts()
        except KeyboardInterrupt:
            for child in self._children():
                child.kill()
            raise
        finally:
            if self._lock:
                self._lock.close()
                self._lock = None

    def _stop_parts(self) -> None:
        for process in self._minting.values():
            process.kill()
        callers = [child for child in (self.api, *self.workers) if child]
        for child in callers:
            child.ask_to_stop()
        for child in callers:
            child.stop(timeout=STOP_S)
        # Temporal takes a second and a half to end, PostgreSQL a moment: both at once.
        if self.temporal:
            self.temporal.child.ask_to_stop()
        if self.sandbox:
            self.sandbox.kill()  # it holds nothing worth a goodbye
        if self.postgres:
            self.postgres.stop()
        if self.temporal:
            self.temporal.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def write_private(file: Path, content: Mapping[str, Any]) -> None:
    """JSON that only its owner may read, whole or not at all; also while another thread writes it."""
    # A name of its own, which `tempfile` makes with mode 0600.
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f"{file.stem}.", suffix=".new", delete=False) as out:
        json.dump(content, out, indent=2)
        out.write("\n")
    Path(out.name).replace(file)
