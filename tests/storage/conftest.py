"""Shortcuts for the repositories' tests."""

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from supportly.crypto import KeyRing, Vault
from supportly.oauth import Tokens, new_state
from supportly.storage import authorizations, connections, links
from supportly.storage.connections import Connection, NewGrant, Placed, Refused
from supportly.storage.database import Database

PROVIDER = "acme"


async def linked(db: Database, account_id: int, provider: str, contact_id: int) -> str | None:
    """The record that a contact is linked to."""
    async with db.tenant(account_id) as c:
        return await links.linked(c, account_id, provider, contact_id)


@pytest.fixture
def vault() -> Vault:
    return Vault(KeyRing("k1:" + base64.urlsafe_b64encode(bytes([7]) * 32).decode()))


Open = Callable[..., Awaitable[str]]
Connect = Callable[..., Awaitable[Any]]


@pytest.fixture
def attempt(db: Database, vault: Vault, account_id: int) -> Open:
    """Opens an authorization attempt and answers its row's id."""

    async def make(**changes: Any) -> str:
        values: dict[str, Any] = {
            "account_id": account_id,
            "provider": PROVIDER,
            "actor": "ann",
            "facts": {"subdomain": "acme"},
            "redirect_uri": "https://us.example/cb",
            "state": new_state(),
            "code_challenge": None,
            "verifier": None,
            "replace": False,
            "expires_at": datetime.now(UTC) + timedelta(minutes=10),
        }
        return await authorizations.open_attempt(db, vault, **{**values, **changes})

    return make


@pytest.fixture
def connect(db: Database, vault: Vault, account_id: int, attempt: Open) -> Connect:
    """Connects as the exchange does, and answers what `place` did."""

    async def make(
        tenant: str = "hub-1",
        *,
        replace: bool = False,
        by_state: bool = True,
        tokens: Tokens | None = None,
        now: datetime | None = None,
    ) -> Placed | Refused:
        state = new_state()
        row = await attempt(state=state, replace=replace)
        returned = {"code": state, "state": state} if by_state else {"code": state}
        found = await authorizations.receive(
            db, vault, account_id=account_id, provider=PROVIDER, actor="ann", returned=returned, strict=by_state
        )
        assert found == row
        opened = await authorizations.begin_exchange(db, vault, account_id, PROVIDER, row)
        assert opened
        moment = now or datetime.now(UTC)
        grant = NewGrant(
            tenant_key=tenant,
            account_name=f"Account {tenant}",
            facts={"hub": tenant},
            tokens=tokens or Tokens("access-0", "refresh-0", moment + timedelta(minutes=30), ("a",)),
            now=moment,
            actor="ann",
            replace=opened.replace,
            by_state=opened.by_state,
        )
        return await connections.place(db, vault, account_id, PROVIDER, grant, pending_id=row)

    return make


@pytest.fixture
async def connected(connect: Connect) -> Connection:
    placed = await connect()
    assert isinstance(placed, Placed)
    return placed.connection
