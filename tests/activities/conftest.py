"""Activities on a real database, against a sandbox in the same process; only Temporal's client is left out."""

import base64
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from activities.calls import Calls
from activities.connections import ConnectionActivities
from sandbox.app import Sandbox, create_app
from supportly.contracts.connections import Authorization, RefreshAttempt, RevocationJob, Standing
from supportly.crypto import KeyRing, Vault
from supportly.http import Outbound, Unlimited
from supportly.oauth import authorization_url, challenge, new_state, new_verifier
from supportly.providers import get
from supportly.settings import Settings
from supportly.storage import authorizations, connections
from supportly.storage.connections import Connection
from supportly.storage.database import Database

REDIRECT = "http://127.0.0.1:1/cb"


class SilentClient:
    """Temporal's client as `Calls` uses it: it keeps what was signalled."""

    def __init__(self) -> None:
        self.signals: list[tuple[str, int]] = []
        self.revocations: list[RevocationJob] = []
        self.error: Exception | None = None

    async def start_workflow(self, name: str, job: Any, **options: Any) -> None:
        if self.error:
            raise self.error
        if name == "Revocation":
            assert options["id"].endswith(f"/revocation/{job.revocation_id}")
            self.revocations.append(job)
            return
        assert (name, options["start_signal"]) == ("ConnectionWorkflow", "token_rejected")
        self.signals.append((options["id"], options["start_signal_args"][0]))


@dataclass
class Knowledge:
    """What hangs on a connection, as its activities see it: it keeps what was asked of it, and may be away."""

    asked: list[str] = field(default_factory=list)
    away: bool = False

    async def _take(self, what: str) -> None:
        if self.away:
            raise RuntimeError("away")
        self.asked.append(what)

    async def cleanup(self, account_id: int, provider: str) -> None:
        await self._take("cleanup")

    async def hold(self, account_id: int, provider: str) -> None:
        await self._take("hold")

    async def release(self, account_id: int, provider: str) -> None:
        await self._take("release")


@dataclass
class World:
    """One account and HubSpot's double; `rotation` is the fact that our provider states."""

    db: Database
    account_id: int
    rotation: str = "none"
    shared_grant: bool = True
    lease_s: float = 1.4
    sandbox: Sandbox = field(default_factory=lambda: create_app(rate_limits=False))
    client: SilentClient = field(default_factory=SilentClient)
    knowledge: Knowledge = field(default_factory=Knowledge)

    def __post_init__(self) -> None:
        # A HubSpot account of its own: grants that several of our accounts share are not revoked.
        self.double.configure({"hub_id": 10_000_000 + self.account_id})
        original = get("hubspot")
        kind = type(original)
        self.provider = type(
            "Here", (kind,), {"oauth": replace(kind.oauth, rotation=self.rotation, shared_grant=self.shared_grant)}
        )()
        transport = httpx.ASGITransport(app=self.sandbox)
        self.outbound = Outbound(timeout_s=0.6, max_bytes=1_000_000, transport=transport)
        self.browser = httpx.AsyncClient(transport=transport)
        self.vault = Vault(KeyRing("k1:" + base64.urlsafe_b64encode(bytes([3]) * 32).decode()))
        self.calls = Calls(
            db=self.db,
            vault=self.vault,
            outbound=self.outbound,
            budget=Unlimited(),
            client=self.client,
            provider=lambda name: self.provider,
        )
        settings = Settings(lease_s=self.lease_s, provider_timeout_s=0.6)
        self.activities = ConnectionActivities(self.calls, settings, self.knowledge)

    @property
    def double(self) -> Any:
        return self.sandbox.doubles["hubspot"]

    def fault(self, **fault: Any) -> None:
        self.sandbox.faults.add({"provider": "hubspot", **fault})

    def token_fault(self, **fault: Any) -> None:
        self.fault(method="POST", path=self.double.oauth.token, **fault)

    @property
    def token_requests(self) -> int:
        return len(self.sandbox.recorder.find("hubspot", 0, self.double.oauth.token, "POST"))

    async def pending(self, *, replace: bool = False) -> Authorization:
        """A callback that waits to be exchanged."""
        state, verifier = new_state(), new_verifier()
        authorize_url, _ = self.provider.urls({})
        row = await authorizations.open_attempt(
            self.db,
            self.vault,
            account_id=self.account_id,
            provider="hubspot",
            actor="ann",
            facts={},
            redirect_uri=REDIRECT,
            state=state,
            code_challenge=challenge(verifier),
            verifier=verifier,
            replace=replace,
            expires_at=datetime.now(UTC) + timedelta(minutes=10),
        )
        page = await self.browser.get(
            authorization_url(
                self.provider.oauth,
                authorize_url,
                client_id="sandbox-hubspot-client",
                redirect_uri=REDIRECT,
                state=state,
                code_challenge=challenge(verifier),
            )
        )
        back = dict(parse_qsl(urlsplit(page.headers["location"]).query))
        found = await authorizations.receive(
            self.db,
            self.vault,
            account_id=self.account_id,
            provider="hubspot",
            actor="ann",
            returned=back,
            strict=True,
        )
        assert found == row
        return Authorization(account_id=self.account_id, provider="hubspot", pending_id=row)

    async def connect(self, **options: Any) -> Standing:
        return await self.activities.exchange(await self.pending(**options))

    async def refresh(self, version: int, *, after_rejection: bool = False) -> Standing:
        return await self.activities.refresh(
            RefreshAttempt(
                account_id=self.account_id, provider="hubspot", from_version=version, after_rejection=after_rejection
            )
        )

    async def row(self) -> Connection:
        found = await connections.read(self.db, self.account_id, "hubspot")
        assert found
        return found


@pytest.fixture(autouse=True)
def _client_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPPORTLY_HUBSPOT_CLIENT_ID", "sandbox-hubspot-client")
    monkeypatch.setenv("SUPPORTLY_HUBSPOT_CLIENT_SECRET", "sandbox-hubspot-secret")


@pytest.fixture
def make_world(db: Database, account_id: int) -> Any:
    return lambda **options: World(db, account_id, **options)


@pytest.fixture
def world(make_world: Any) -> World:
    return make_world()


@pytest.fixture
def operation_id() -> str:
    return str(uuid.uuid4())
