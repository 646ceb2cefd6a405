"""The API over HTTP: PostgreSQL, Temporal, worker and sandbox are real processes or threads (see tests/conftest.py)."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest

from supportly.dev.processes import free_port
from tests.caller import consent
from tests.serving import listening

HOST = {"zendesk": {"subdomain": "acme"}}
_contacts = itertools.count(5_000)
_hubs = itertools.count(910)


@dataclass
class Account:
    """One account of the running service, seen by its administrator (`call`) or its agent."""

    service: object
    account_id: int
    admin: str
    agent: str
    http: httpx.Client = field(repr=False)

    @property
    def base(self) -> str:
        return f"/api/v1/accounts/{self.account_id}/supportly_integrations"

    def call(self, method: str, path: str = "", *, token: str | None = None, **extra) -> httpx.Response:
        headers = {"api_access_token": token or self.admin, **extra.pop("headers", {})}
        return self.http.request(method, self.base + path, headers=headers, **extra)

    def connect(self, provider: str, **body) -> httpx.Response:
        started = self.call("POST", f"/{provider}/connect", json={**HOST.get(provider, {}), **body})
        assert started.status_code == 200, started.text
        return self.call("POST", f"/{provider}/callback", json=consent(started.json()["authorization_url"]))

    def contact(self, **fields) -> int:
        """A contact of this account in Supportly."""
        number = next(_contacts)
        record = {"id": number, "account_id": self.account_id, "name": "Ada Lovelace", **fields}
        self.service.control("POST", "/supportly/seed", json={"contacts": [record]})
        return number


def make_account(service, account_id: int, http: httpx.Client) -> Account:
    admin, agent = (service.token(account_id, role) for role in ("administrator", "agent"))
    known = service.control("GET", "/supportly/settings")["accounts"]
    service.control("POST", "/supportly/settings", json={"accounts": [*known, account_id]})
    return Account(service, account_id, admin, agent, http)


@pytest.fixture(scope="session")
def http(service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.api_url, timeout=70) as client:
        yield client


@pytest.fixture
def account(service, account_id, http) -> Account:
    """An account that no other test uses."""
    return make_account(service, account_id, http)


@pytest.fixture(scope="session")
def blank(service, http) -> Account:
    """An account without connections, for tests that make none."""
    return make_account(service, 901, http)


@pytest.fixture(scope="module")
def hub(service, http) -> Account:
    """An account that is connected to HubSpot and Schedly, for tests that change no connection.

    For a module and no longer: tests of other modules revoke grants and reset the doubles.
    """
    found = make_account(service, next(_hubs), http)
    for provider in ("hubspot", "schedly"):
        answer = found.connect(provider)
        assert answer.status_code == 200, answer.text
    return found


@pytest.fixture
def without(service) -> Iterator:
    """Starts a second API whose settings are changed."""
    with ExitStack() as running:

        def start(**changes) -> str:
            settings = service.settings.model_copy(update=changes)
            return running.enter_context(listening(settings, free_port(), log_level="error"))

        yield start
