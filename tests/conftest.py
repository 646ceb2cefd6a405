"""Real parts for the tests: PostgreSQL, the Temporal server, worker and API; only the outside world is a double.

Each test process starts its own of everything, once, and each test takes an account of its own.
"""

import asyncio
import itertools
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from sandbox.app import create_app as create_sandbox
from sandbox.app import server as sandbox_server
from supportly.dev.postgres import Postgres
from supportly.dev.processes import free_port
from supportly.dev.temporal import Temporal
from supportly.providers import PROVIDERS
from supportly.settings import Settings
from supportly.storage.database import Database
from tests.caller import HTTP, new_token
from tests.contracts import watch
from tests.eleventh.acme_double import AcmeDouble
from tests.providers import table
from tests.serving import listening

T = TypeVar("T")
SHARED = Path(__file__).parents[2] / "shared"
_accounts = itertools.count(1000)
# The refined tier reads some forty chunks a second on these cores; tests that are about it choose it themselves.
os.environ.setdefault("SUPPORTLY_REFINED_MODEL", "off")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every report says what its test shows."""
    table.note(item)
    watch.begin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """A test that passed has also kept the providers' contracts."""
    result = yield
    watch.verify(item)
    return result


def pytest_configure(config: pytest.Config) -> None:
    watch.configured()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A deviation from a contract that a whole run does not meet is not needed any more, and fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or session.exitstatus != pytest.ExitCode.OK or not watch.whole(session.config):
        return
    if hasattr(session.config, "workerinput") or not watch.available():
        return
    if watch.stale(reporter.stats.get("passed", [])):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What ran and passed, provider by capability, and what was validated against the providers' contracts."""
    passed = terminalreporter.stats.get("passed", [])
    sections = {
        "shown by the contract suite: cases that passed": table.table(passed),
        "validated against the providers' contracts": watch.summary(passed),
    }
    if watch.available() and watch.whole(config) and not terminalreporter.stats.get("failed"):
        sections["deviations that nothing has met: take them out of tests/contracts/deviations.py"] = watch.stale(
            passed
        )
    for title, lines in sections.items():
        if lines:
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.line(line)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of the contracts; where it is missing, tests that need it are skipped, but never in CI."""
    if not SHARED.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SHARED} is missing, and CI must not skip what needs it")
        pytest.skip(f"{SHARED} is not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    # Short, because a Unix socket's path is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="spl-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="session")
def postgres(directory: Path) -> Iterator[Postgres]:
    server = Postgres.start(directory / "pg")
    yield server
    server.stop()
    # A caller who met one has tried again; here it is a defect that some order of locks left behind.
    assert server.deadlocks() == 0, server.child.log.read_text(errors="replace")[-20_000:]


@pytest.fixture(scope="session")
def temporal(directory: Path) -> Iterator[Temporal]:
    server = Temporal.start(directory / "temporal", ui=False)
    yield server
    server.stop()


@pytest.fixture
async def db(postgres: Postgres) -> AsyncIterator[Database]:
    """The database as the application sees it."""
    database = Database(postgres.url)
    yield database
    await database.close()


@pytest.fixture
def account_id() -> int:
    """An account that no other test uses."""
    return next(_accounts)


class Thread:
    """An event loop in a thread of its own, for a part of the service that runs beside the tests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 60) -> T:
        """Run `work` there and answer its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self) -> None:
        """Stop the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


@dataclass
class WorkerThread:
    """Our worker in a thread; it can be stopped and started again."""

    settings: Settings
    thread: Thread = field(default_factory=Thread)
    _stop: asyncio.Event | None = None
    _done: Any = None

    def start(self) -> None:
        """Start working; returns when the queues are polled."""
        import worker

        ready = threading.Event()

        async def work() -> None:
            self._stop = asyncio.Event()
            async with AsyncExitStack() as closing:
                client, activities = await worker.build(self.settings, closing)
                for one in worker.workers(client, self.settings, activities):
                    await closing.enter_async_context(one)
                ready.set()
                await self._stop.wait()

        self._done = asyncio.run_coroutine_threadsafe(work(), self.thread.loop)
        deadline = time.monotonic() + 60
        while not ready.wait(0.05):
            if self._done.done():
                self._done.result()
            assert time.monotonic() < deadline, "the worker did not start"

    def stop(self) -> None:
        """Stop working, as on SIGTERM."""
        assert self._stop
        self.thread.loop.call_soon_threadsafe(self._stop.set)
        self._done.result(60)


@dataclass
class Service:
    """The whole service, and what a test needs to speak to it and to look behind it."""

    settings: Settings
    api_url: str
    sandbox_url: str
    postgres: Postgres
    temporal: Temporal
    worker: WorkerThread

    def token(self, account_id: int, role: str = "administrator") -> str:
        """A new API token."""
        return self.worker.thread.run(new_token(self.postgres.admin_url, self.settings, account_id, role))

    def control(self, method: str, path: str, **extra: Any) -> Any:
        """Speak to the sandbox's control plane."""
        answer = HTTP.request(method, f"{self.sandbox_url}/_sandbox{path}", **extra)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


@contextmanager
def serving_sandbox() -> Iterator[str]:
    """A sandbox in a thread of this process; answers its URL."""
    port = free_port()
    server = sandbox_server(create_sandbox(extra=[AcmeDouble]), "127.0.0.1", port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    _until_answers(f"{url}/_sandbox/health")
    yield url
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    with serving_sandbox() as url:
        yield url


@pytest.fixture(scope="session")
def settings(postgres: Postgres, temporal: Temporal, sandbox_url: str) -> Iterator[Settings]:
    """Settings of the service under test; the environment names the OAuth clients."""
    clients = {
        f"SUPPORTLY_{provider.upper()}_CLIENT_{kind.upper()}": f"sandbox-{provider}-{word}"
        for provider in (*(known.id for known in PROVIDERS), "acme")
        for kind, word in (("id", "client"), ("secret", "secret"))
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clients.items():
            patch.setenv(name, value)
        yield Settings(
            database_url=postgres.url,
            temporal_address=temporal.address,
            sandbox_url=sandbox_url,
            supportly_api_url=f"{sandbox_url}/_supportly/api/v1",
            supportly_api_token="sandbox-supportly-token",
            callback_url="http://127.0.0.1:1/oauth/callback/{provider}",
            provider_timeout_s=2.0,
            lease_s=6.0,
            graceful_shutdown_s=5,
        )


@pytest.fixture(scope="session")
def service(settings: Settings, postgres: Postgres, temporal: Temporal, sandbox_url: str) -> Iterator[Service]:
    """API, worker and sandbox, connected."""
    working = WorkerThread(settings)
    working.start()
    with listening(settings, free_port()) as url:
        yield Service(settings, url, sandbox_url, postgres, temporal, working)
    working.stop()


def _until_answers(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"{url} did not answer")
