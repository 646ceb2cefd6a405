"""Connections as the database holds them beside their grants as the doubles know them, compared by fingerprints.

A drill opens what is sealed with the stage's own keys, since only so it can be seen which token was stored and which
one a provider call carried. Nothing but fingerprints is kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from drills.caller import Account
from drills.stage import Stage
from sandbox.recorder import fingerprint
from supportly.contracts import ids
from supportly.crypto import KeyRing, Vault
from supportly.dev.cast import CAST
from supportly.storage.tables import binding, connections

ROWS: Final = """
select account_id, provider, connection_id::text, state, reason, token_version, refresh_attempt is not null, tokens
from connections order by 1, 2
"""
SETTLED_S: Final = 150.0
"""A refresh that was cut off is settled after two leases and the time that a dead worker takes to be missed."""

Place = tuple[int, str]
"""Account and provider."""


@dataclass(frozen=True)
class Held:
    """One connection. `call` is what the header of a provider call shows, `refresh` what a token request does."""

    state: str
    reason: str
    version: int
    attempt: bool
    call: str
    access: str
    refresh: str


def held(stage: Stage) -> dict[Place, Held]:
    """Every connection. Raises CannotOpen for one whose tokens do not open."""
    vault = Vault(KeyRing(stage.settings.keys.get_secret_value()))
    found = {}
    for account, provider, connection, state, reason, version, attempt, sealed in stage.rows(ROWS):
        plain = {"access_token": "", "refresh_token": ""}
        if sealed:
            plain = orjson.loads(vault.open(sealed, binding(connections.c.tokens, account, provider, connection)))
        access, refresh = plain["access_token"], plain["refresh_token"] or ""
        prints = (fingerprint(f"Bearer {access}"), fingerprint(access), fingerprint(refresh))
        found[account, provider] = Held(state, reason, version, attempt, *prints)
    return found


def grants(stage: Stage, provider: str) -> list[dict[str, Any]]:
    """The provider's grants, with fingerprints of the tokens that work."""
    found: list[dict[str, Any]] = stage.control("GET", f"/{provider}/grants")
    return found


def refreshes(stage: Stage, provider: str, since: int) -> Counter[str]:
    """How often each refresh token was sent after request number `since`."""
    asked = stage.requests(provider=provider, since=since, path="token", method="POST")
    bodies = [one["body"] for one in asked if isinstance(one["body"], dict)]
    return Counter(b["refresh_token"] for b in bodies if b.get("grant_type") == "refresh_token")


def last_request(stage: Stage) -> int:
    """The number of the newest request that any double got."""
    return int(stage.control("GET", "/requests/count")["last"])


async def ask_for_refresh(stage: Stage, places: Iterable[tuple[Place, int]]) -> None:
    """Tell each connection's workflow that its version was rejected, as a caller does that met a 401."""
    client = await stage.temporal()

    async def tell(place: Place, version: int) -> None:
        await client.get_workflow_handle(ids.connection(*place)).signal("token_rejected", version)

    await asyncio.gather(*(tell(place, version) for place, version in places))


async def works(account: Account, provider: str) -> str:
    """Empty when a call through the connection is answered; else what was answered instead."""
    role = CAST[provider]
    answer, _ = await account.insist(
        "POST",
        f"/{provider}/action",
        json={"action": role.action, "params": dict(role.params)},
        headers={"Prefer": "wait=60"},
    )
    return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"
