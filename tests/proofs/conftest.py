"""The whole service in processes of its own, so that one can be killed and all that they wrote can be read.

PostgreSQL is the test process's; Temporal, sandbox, API and worker are the proofs' alone. `SUPPORTLY_PROOFS=whole`
(`make proofs`) runs the long proofs whole, `make test` a tenth of them.
"""

import asyncio
import itertools
import os
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from sandbox.app import Sandbox, create_app
from sandbox.app import server as sandbox_server
from supportly.dev.postgres import Postgres
from supportly.dev.processes import Child, free_port
from supportly.dev.temporal import Temporal
from supportly.providers import BY_ID
from supportly.settings import Settings
from tests.caller import new_token

ROOT = Path(__file__).parents[2]
WHOLE = os.environ.get("SUPPORTLY_PROOFS") == "whole"
HOST_PARTS = {"zendesk": {"subdomain": "acme"}}
_contacts = itertools.count(700_000)
_accounts = itertools.count(50_000)


@pytest.fixture(scope="session")
def part() -> Any:
    """`part(whole, tenth)`: how much of a proof to run."""
    return lambda whole, tenth: whole if WHOLE else tenth


@pytest.fixture
def figure(capsys: pytest.CaptureFixture[str]) -> Any:
    """Says what a proof has measured, past pytest's capture."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}")  # noqa: T201 (for who runs `make proofs`)

    return say


@dataclass
class House:
    """Everything that runs, and where it writes."""

    directory: Path
    settings: Settings
    env: dict[str, str] = field(repr=False)
    postgres: Postgres
    temporal: Temporal
    sandbox: Sandbox
    api_url: str
    worker: Child | None = None

    @property
    def logs(self) -> list[Path]:
        return sorted(self.directory.glob("*.log"))

    def start_worker(self) -> None:
        """Start a worker process; returns when it works."""
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        self.worker = Child(
            "worker",
            [sys.executable, ROOT / "worker.py"],
            log=self.directory / "worker.log",
            env={**self.env, "SUPPORTLY_READY_FILE": str(ready)},
            cwd=ROOT,
        )
        until(ready.exists, self.worker)

    def kill_worker(self) -> None:
        """SIGKILL: nothing in it gets a chance to clean up."""
        assert self.worker
        self.worker.kill()
        assert not self.worker.running


def until(true: Any, child: Child | None = None, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        assert child is None or child.running, child.log.read_text()[-3000:]
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def house(postgres: Postgres) -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="spl-proofs-") as made, open_house(Path(made), postgres) as opened:
        yield opened


@contextmanager
def open_house(
    directory: Path, postgres: Postgres, *, secrets: Mapping[str, str] | None = None, **settings: str
) -> Iterator[House]:
    """A house in `directory`. `secrets` are the providers' client secrets by provider, `settings` win over the usual.

    A name in capitals is an environment variable of its own.
    """
    temporal = Temporal.start(directory / "temporal", ui=False)
    app, port, api_port = create_app(rate_limits=False), free_port(), free_port()
    server = sandbox_server(app, "127.0.0.1", port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    sandbox_url = f"http://127.0.0.1:{port}"
    chosen = {
        "database_url": postgres.url,
        "temporal_address": temporal.address,
        "sandbox_url": sandbox_url,
        "supportly_api_url": f"{sandbox_url}/_supportly/api/v1",
        "supportly_api_token": "sandbox-supportly-token",
        "provider_timeout_s": "2",
        "lease_s": "4",
        "rate_factor": "1000",  # the proofs are about tokens and crashes; limits have tests of their own
        "graceful_shutdown_s": "5",
        "events_url": f"{sandbox_url}/_receiver/events",
        "events_secrets": app.doubles["receiver"].settings["secret"],
        "refined_model": "off",
        **{name: value for name, value in settings.items() if name.islower()},
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SUPPORTLY_", "TEMPORAL_"))}
    env |= {f"SUPPORTLY_{name.upper()}": value for name, value in chosen.items()}
    env |= {name: value for name, value in settings.items() if name.isupper()}
    for provider in BY_ID:
        secret = (secrets or {}).get(provider, f"sandbox-{provider}-secret")
        app.doubles[provider].configure({"client_secret": secret})
        env[f"SUPPORTLY_{provider.upper()}_CLIENT_ID"] = f"sandbox-{provider}-client"
        env[f"SUPPORTLY_{provider.upper()}_CLIENT_SECRET"] = secret
    app.doubles["supportly"].configure({"api_token": chosen["supportly_api_token"]})
    app.doubles["receiver"].configure({"secret": chosen["events_secrets"]})
    command = [sys.executable, "-m", "api", "--port", str(api_port)]
    api = Child("api", command, log=directory / "api.log", env=env, cwd=ROOT)
    house = House(directory, Settings(**chosen), env, postgres, temporal, app, f"http://127.0.0.1:{api_port}")
    try:
        house.start_worker()
        until(lambda: answers(f"{house.api_url}/healthz"), api)
        yield house
    finally:
        for child in filter(None, (house.worker, api)):
            child.kill()
        server.should_exit = True
        thread.join(10)
        temporal.stop()


@dataclass
class Account:
    """One account, seen by its administrator."""

    house: House
    id: int
    token: str = field(repr=False)
    http: httpx.AsyncClient = field(repr=False)

    async def call(self, method: str, path: str = "", **extra: Any) -> httpx.Response:
        headers = {"api_access_token": self.token, **extra.pop("headers", {})}
        url = f"/api/v1/accounts/{self.id}/supportly_integrations{path}"
        return await self.http.request(method, url, headers=headers, **extra)

    async def returned(self, provider: str, **body: Any) -> dict[str, str]:
        """What the provider sends back after `connect` and the user's consent."""
        started = await self.call("POST", f"/{provider}/connect", json={**HOST_PARTS.get(provider, {}), **body})
        assert started.status_code == 200, started.text
        page = await self.http.get(started.json()["authorization_url"])
        assert page.status_code == 302, page.text
        return dict(parse_qsl(urlsplit(page.headers["location"]).query))

    async def connect(self, provider: str) -> None:
        back = await self.returned(provider)
        answer = await self.call("POST", f"/{provider}/callback", json=back)
        assert answer.status_code == 200, answer.text

    async def status(self, provider: str) -> tuple[str, str | None]:
        shown = (await self.call("GET", f"/{provider}")).json()
        return shown["status"], shown["reason"]

    def contact(self, provider: str | None = "hubspot", **fields: Any) -> tuple[int, str]:
        """A contact in Supportly, and its record at the provider: their ids."""
        number = next(_contacts)
        email = fields.pop("email", f"person-{number}@example.com")
        record = {"id": number, "account_id": self.id, "name": f"Person {number}", "email": email, **fields}
        self.house.sandbox.doubles["supportly"].seed({"contacts": [record]})
        if provider is None:
            return number, ""
        theirs = {
            "hubspot": {"contacts": [{"properties": {"email": email, "firstname": "Person"}}]},
            "zendesk": {"users": [{"email": email, "name": record["name"], "role": "end-user"}]},
        }[provider]
        return number, str(self.house.sandbox.doubles[provider].seed(theirs)["ids"][0])


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=house.api_url, timeout=90, limits=limits) as made:
        yield made


@pytest.fixture
async def account(house: House, client: httpx.AsyncClient) -> Account:
    """An account that no other test uses."""
    number = next(_accounts)
    house.sandbox.doubles["supportly"].settings["accounts"].append(number)
    return Account(house, number, await new_token(house.postgres.admin_url, house.settings, number), client)


@pytest.fixture
def token_requests(house: House) -> Any:
    """`token_requests(provider, since)`: how many requests the token endpoint got after request number `since`."""

    def count(provider: str, since: int) -> int:
        path = house.sandbox.doubles[provider].oauth.token
        return len(house.sandbox.recorder.find(provider, since, path, "POST"))

    return count


@pytest.fixture(autouse=True)
def _no_fault_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "house" in request.fixturenames:
        request.getfixturevalue("house").sandbox.faults.armed.clear()


@pytest.fixture
async def eventually() -> Any:
    """Waits until an async question is answered with something true, and answers it."""

    async def wait(question: Any, seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := await question()):
            assert time.monotonic() < deadline, "it did not come to that"
            await asyncio.sleep(0.1)
        return found

    return wait
