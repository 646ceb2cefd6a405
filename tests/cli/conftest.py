"""The command line in this process, on the running service."""

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest

from supportly.cli import app
from supportly.client import Account, Client
from tests.caller import consent

_contacts = itertools.count(820_000)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str, stdin: str = "") -> Ended:
    """Runs a command as `python -m supportly` does."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["supportly", *arguments])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "stdin", StringIO(stdin))
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            app.main()
    assert "Traceback" not in err.getvalue()
    code = caught.value.code
    return Ended(int(code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def number(service) -> int:
    number = 8200
    known = service.control("GET", "/supportly/settings")["accounts"]
    service.control("POST", "/supportly/settings", json={"accounts": [*known, number]})
    return number


@pytest.fixture(scope="module")
def supportly(service, number) -> Iterator[Callable[..., Ended]]:
    """The command, as an administrator of one account."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPPORTLY_API_URL", service.api_url)
        patch.setenv("SUPPORTLY_API_TOKEN", service.token(number))
        patch.setenv("SUPPORTLY_ACCOUNT", str(number))
        patch.setenv("SUPPORTLY_DATABASE_URL", service.postgres.url)
        patch.setenv("SUPPORTLY_ADMIN_DATABASE_URL", service.postgres.admin_url)
        patch.setenv("SUPPORTLY_TEMPORAL_ADDRESS", service.temporal.address)
        patch.setenv("SUPPORTLY_SANDBOX_URL", service.sandbox_url)
        patch.setenv("SUPPORTLY_SUPPORTLY_API_URL", service.settings.supportly_api_url)
        patch.setenv("SUPPORTLY_SUPPORTLY_API_TOKEN", "sandbox-supportly-token")
        yield run


@pytest.fixture(scope="module")
def connected(service, supportly, number) -> str:
    """HubSpot, connected."""
    me = Account(number)
    with Client(service.api_url, service.token(number)) as client:
        back = consent(client.send(me.connect("hubspot")).authorization_url)
        client.send(me.callback("hubspot", back.pop("code"), returned=back))
    return "hubspot"


@pytest.fixture
def contact(service, number) -> str:
    made = next(_contacts)
    record = {"id": made, "account_id": number, "name": "Ada Lovelace", "email": f"ada{made}@example.com"}
    service.control("POST", "/supportly/seed", json={"contacts": [record]})
    return str(made)
