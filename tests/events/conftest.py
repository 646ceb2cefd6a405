"""The running service with events switched on, and their receiver in the sandbox."""

import base64
import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from supportly.client import Account, Client
from tests.caller import consent, until

_numbers = itertools.count(8400)
SECRET = "whsec_" + base64.b64encode(b"sandbox-event-signing-key").decode()


@pytest.fixture(scope="module")
def events_on(service) -> Iterator[Any]:
    """Worker and API read these settings when they need them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.settings, "events_url", f"{service.sandbox_url}/_receiver/events")
        patch.setattr(service.settings, "events_secrets", SecretStr(SECRET))
        yield service


@dataclass
class House:
    """One account, and what Supportly was told of it."""

    service: Any
    me: Account
    client: Client

    def connect(self, provider: str, **parts: str) -> None:
        back = consent(self.client.send(self.me.connect(provider, host_parts=parts)).authorization_url)
        self.client.send(self.me.callback(provider, back.pop("code"), returned=back))

    def lose(self) -> None:
        """The user takes HubSpot's grant back; the next call finds that out."""
        self.service.control("POST", "/hubspot/revoke")
        number = 840_000 + self.me.account_id
        record = {"id": number, "account_id": self.me.account_id, "name": "Ada", "email": "ada@example.com"}
        self.service.control("POST", "/supportly/seed", json={"contacts": [record]})
        self.client.begin(self.me.look_up("hubspot", number).waiting(0))
        until(lambda: self.client.send(self.me.integration("hubspot")).status == "reconnect_required")

    def told(self, kind: str = "") -> list[dict[str, Any]]:
        found = self.service.control("GET", "/receiver/records", params={"kind": "event"})
        mine = [event for event in found if event["data"]["account_id"] == self.me.account_id]
        return [event for event in mine if not kind or event["type"] == kind]

    def hears(self, kind: str, times: int = 1) -> dict[str, Any]:
        """The only event of this kind, once it has come `times` times."""
        until(lambda: [e for e in self.told(kind) if e["deliveries"] >= times])
        [event] = self.told(kind)
        return event

    def rows(self) -> dict[str, str]:
        """How the events of the account stand in the database, by kind."""
        import psycopg

        with psycopg.connect(self.service.postgres.admin_url.replace("+psycopg", "")) as connection:
            found = connection.execute(
                "select kind, status from outgoing_events where account_id = %s", [self.me.account_id]
            )
            return dict(found.fetchall())

    def fault(self, **fault: Any) -> None:
        self.service.control("POST", "/faults", json={"provider": "receiver", **fault})


@pytest.fixture
def house(events_on) -> Iterator[House]:
    number = next(_numbers)
    known = events_on.control("GET", "/supportly/settings")["accounts"]
    events_on.control("POST", "/supportly/settings", json={"accounts": [*known, number]})
    with Client(events_on.api_url, events_on.token(number)) as client:
        yield House(events_on, Account(number), client)
    events_on.control("DELETE", "/faults")


@pytest.fixture
def event_id() -> str:
    return str(uuid.uuid4())
