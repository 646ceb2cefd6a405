"""A service of its own, because a rotation goes over all accounts: PostgreSQL, Temporal, sandbox, worker, API."""

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from supportly.dev.postgres import Postgres
from supportly.dev.processes import free_port
from supportly.dev.temporal import Temporal
from supportly.settings import Settings
from tests.caller import consent
from tests.conftest import Service, WorkerThread
from tests.serving import listening

ROOT = Path(__file__).parents[2]


def ring(*ids: str) -> str:
    """A key ring; the same id is always the same key."""
    return ",".join(f"{name}:{base64.urlsafe_b64encode(name.encode().ljust(32, b'.')).decode()}" for name in ids)


@dataclass
class House:
    """What runs all the time, and the service that runs on a ring for a while."""

    postgres: Postgres
    temporal: Temporal
    settings: Settings

    def with_ring(self, *ids: str) -> Settings:
        """Settings with a ring of these keys."""
        return self.settings.model_copy(update={"keys": SecretStr(ring(*ids))})

    @contextmanager
    def working(self, *ids: str) -> Iterator[Service]:
        """API and worker on a ring of these keys."""
        settings = self.with_ring(*ids)
        worker = WorkerThread(settings)
        worker.start()
        try:
            with listening(settings, free_port()) as url:
                yield Service(settings, url, settings.sandbox_url, self.postgres, self.temporal, worker)
        finally:
            worker.stop()
            worker.thread.close()

    def keys(self, verb: str, *ids: str, **environment: str) -> tuple[int, dict[str, Any], str]:
        """`python -m supportly keys VERB --json` with a ring: exit code, what it answered, what it said beside."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SUPPORTLY_")}
        own = {
            "SUPPORTLY_DATABASE_URL": self.postgres.url,
            "SUPPORTLY_TEMPORAL_ADDRESS": self.temporal.address,
            "SUPPORTLY_KEYS": ring(*ids),
        }
        done = subprocess.run(
            [sys.executable, "-m", "supportly", "keys", verb, "--json"],
            cwd=ROOT,
            env={**kept, **own, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="spl-k-") as made:
        Path(made).chmod(0o755)
        server = Postgres.start(Path(made) / "pg")
        yield server
        server.stop()


@pytest.fixture(scope="module")
def house(own_postgres: Postgres, sandbox_url: str, settings: Settings) -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="spl-k-") as made:
        server = Temporal.start(Path(made) / "temporal", ui=False)
        own = settings.model_copy(update={"database_url": own_postgres.url, "temporal_address": server.address})
        yield House(own_postgres, server, own)
        server.stop()


class Account:
    """One account, over HTTP."""

    def __init__(self, service: Service, number: int) -> None:
        root = f"{service.api_url}/api/v1/accounts/{number}/supportly_integrations"
        self.http = httpx.Client(base_url=root, headers={"api_access_token": service.token(number)}, timeout=60)

    def call(self, method: str, path: str, **extra: Any) -> httpx.Response:
        answer = self.http.request(method, path, **extra)
        assert answer.status_code < 300, answer.text
        return answer

    def connect(self, provider: str, **body: Any) -> None:
        started = self.call("POST", f"/{provider}/connect", json=body).json()
        self.call("POST", f"/{provider}/callback", json=consent(started["authorization_url"]))

    def last_sync(self) -> dict[str, Any] | None:
        """The newest sync of Zendesk, once it has ended."""
        found = self.call("GET", "/knowledge/status").json()["providers"]
        run = next(p for p in found if p["provider"] == "zendesk")["last_run"]
        return run if run and run["state"] != "running" else None
