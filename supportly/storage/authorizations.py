"""Pending authorizations: one row an attempt, used once. The code and the verifier lie sealed in it.

Status: `pending` (sent to the consent page) -> `received` (callback came) -> `exchanging` (the code goes out) ->
`exchanged` (tokens in hand, sealed in the row) -> `done` | `failed`; `void` when another attempt succeeded first.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.crypto import Binding, Vault
from supportly.errors import AuthorizationInvalid
from supportly.oauth import Tokens, challenge
from supportly.storage.database import Database
from supportly.storage.tables import binding
from supportly.storage.tables import pending_authorizations as rows

KEPT: Final = timedelta(days=1)
"""How long an ended row stays, so that a repeated callback still gets its outcome."""


@dataclass(frozen=True)
class Received:
    """A callback that is ready to be exchanged, opened."""

    id: str
    facts: Mapping[str, str]
    redirect_uri: str
    replace: bool
    by_state: bool
    actor: str
    verifier: str | None = field(repr=False)
    returned: Mapping[str, str] = field(repr=False)
    """`code` and whatever else the provider returned."""
    tokens: Tokens | None = field(default=None, repr=False)
    """Set when an earlier attempt exchanged the code already and only has to finish."""


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _binding(account_id: int, provider: str, row_id: object, name: str) -> Binding:
    return binding(rows.c[name], account_id, provider, row_id)


async def open_attempt(
    db: Database,
    vault: Vault,
    *,
    account_id: int,
    provider: str,
    actor: str,
    facts: Mapping[str, str],
    redirect_uri: str,
    state: str,
    code_challenge: str | None,
    verifier: str | None,
    replace: bool,
    expires_at: datetime,
) -> str:
    """Insert a pending row and answer its id. Rows of this account that expired a day ago are cleared away."""
    row_id = uuid.uuid4()
    sealed = vault.seal(verifier.encode(), _binding(account_id, provider, row_id, "verifier")) if verifier else None
    async with db.tenant(account_id) as c:
        await c.execute(rows.delete().where(rows.c.expires_at < func.now() - KEPT))
        await c.execute(
            rows.insert().values(
                account_id=account_id,
                id=row_id,
                provider=provider,
                actor=actor,
                state_hash=_hash(state),
                facts=dict(facts),
                redirect_uri=redirect_uri,
                code_challenge=code_challenge,
                verifier=sealed,
                replace=replace,
                status="pending",
                expires_at=expires_at,
            )
        )
    return str(row_id)


async def receive(
    db: Database,
    vault: Vault,
    *,
    account_id: int,
    provider: str,
    actor: str,
    returned: Mapping[str, str],
    strict: bool,
) -> str:
    """Bind a callback to its row and answer the row's id; the same callback again answers the same id.

    The row is found by `state`; else by the challenge of `code_verifier`; else, unless `strict`, it is the one live row
    of this account, actor and provider. Raises AuthorizationInvalid, with one text for every reason.
    """
    fingerprint = _hash(returned.get("code", ""))
    async with db.tenant(account_id) as c:
        found = await _find(c, account_id, provider, actor, returned, strict)
        if found is None:
            raise AuthorizationInvalid
        place = _binding(account_id, provider, found.id, "returned")
        if found.status != "pending":
            if found.code_hash == fingerprint:
                return str(found.id)
            raise AuthorizationInvalid
        verifier = found.verifier
        # Without a challenge a verifier proves nothing, and a provider without PKCE must not see one (Slack, Jira).
        if found.code_challenge and (sent := returned.get("code_verifier")):
            if challenge(sent) != found.code_challenge:
                raise AuthorizationInvalid
            verifier = vault.seal(sent.encode(), _binding(account_id, provider, found.id, "verifier"))
        elif found.code_challenge and not verifier:
            raise AuthorizationInvalid
        kept = {k: v for k, v in returned.items() if k != "code_verifier"}
        await c.execute(
            update(rows)
            .where(rows.c.account_id == account_id, rows.c.id == found.id)
            .values(
                status="received",
                code_hash=fingerprint,
                returned=vault.seal(orjson.dumps(kept), place),
                verifier=verifier,
                by_state=bool(returned.get("state")),
            )
        )
        return str(found.id)


async def _find(
    c: AsyncConnection, account_id: int, provider: str, actor: str, returned: Mapping[str, str], strict: bool
) -> Any:
    mine = and_(rows.c.account_id == account_id, rows.c.provider == provider, rows.c.actor == actor)
    alive = or_(rows.c.expires_at > func.now(), rows.c.status != "pending")
    query = select(rows).where(mine, alive).order_by(rows.c.created_at.desc()).with_for_update()
    if state := returned.get("state"):
        return (await c.execute(query.where(rows.c.state_hash == _hash(state)))).one_or_none()
    if strict:
        return None
    if verifier := returned.get("code_verifier"):
        by_challenge = (await c.execute(query.where(rows.c.code_challenge == challenge(verifier)))).all()
        if len(by_challenge) == 1:
            return by_challenge[0]
    live = (await c.execute(query.where(rows.c.status == "pending"))).all()
    if len(live) == 1:
        return live[0]
    # A repeat of a callback without state: the newest row that has its answer, when no attempt is open.
    return None if live else (await c.execute(query.where(rows.c.status != "void").limit(1))).one_or_none()


async def begin_exchange(db: Database, vault: Vault, account_id: int, provider: str, row_id: str) -> Received | None:
    """The opened row when there is something to do: flipped from `received` to `exchanging`, or `exchanged` already.

    The flip is committed before a code is sent, so that a code is never sent twice; None when it was flipped before.
    """
    mine = and_(rows.c.account_id == account_id, rows.c.id == uuid.UUID(row_id))
    async with db.tenant(account_id) as c:
        flip = update(rows).where(mine, rows.c.status == "received").values(status="exchanging").returning(rows)
        row = (await c.execute(flip)).one_or_none()
        if row is None:
            row = (await c.execute(select(rows).where(mine, rows.c.status == "exchanged"))).one_or_none()
    if row is None:
        return None
    returned = orjson.loads(vault.open(row.returned, _binding(account_id, provider, row.id, "returned")))
    verifier = vault.open(row.verifier, _binding(account_id, provider, row.id, "verifier")) if row.verifier else None
    tokens = None
    if row.status == "exchanged":
        ends = returned.pop("expires_at")
        tokens = Tokens(**returned, expires_at=datetime.fromisoformat(ends) if ends else None)
        returned = {}
    return Received(
        id=str(row.id),
        facts=row.facts,
        redirect_uri=row.redirect_uri,
        replace=row.replace,
        by_state=row.by_state,
        actor=row.actor,
        verifier=verifier.decode() if verifier else None,
        returned=returned,
        tokens=tokens,
    )


async def keep_tokens(db: Database, vault: Vault, account_id: int, provider: str, row_id: str, tokens: Tokens) -> None:
    """Seal the tokens of an exchanged code into its row, in place of the code, until the connection is placed."""
    plain = orjson.dumps(
        {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "expires_at": tokens.expires_at,
            "scopes": tokens.scopes,
            "facts": dict(tokens.facts),
        }
    )
    sealed = vault.seal(plain, _binding(account_id, provider, row_id, "returned"))
    async with db.tenant(account_id) as c:
        await c.execute(
            update(rows)
            .where(rows.c.account_id == account_id, rows.c.id == uuid.UUID(row_id), rows.c.status == "exchanging")
            .values(status="exchanged", returned=sealed, verifier=None)
        )


async def outcome(db: Database, account_id: int, row_id: str) -> tuple[str, dict[str, Any] | None]:
    """Status and stored outcome of a row: `("missing", None)` for one that does not exist."""
    async with db.tenant(account_id) as c:
        query = select(rows.c.status, rows.c.outcome).where(
            rows.c.account_id == account_id, rows.c.id == uuid.UUID(row_id)
        )
        row = (await c.execute(query)).one_or_none()
    return (row.status, row.outcome) if row else ("missing", None)


async def finish(
    db: Database, account_id: int, row_id: str, status: str, outcome_: Mapping[str, Any], *, provider: str
) -> None:
    """Store how an exchange ended and drop what was secret in it; success voids the other open attempts."""
    async with db.tenant(account_id) as c:
        await finish_in(c, account_id, row_id, status, outcome_, provider=provider)


async def finish_in(
    c: AsyncConnection, account_id: int, row_id: str, status: str, outcome_: Mapping[str, Any], *, provider: str
) -> None:
    """`finish` within a transaction."""
    mine = rows.c.account_id == account_id
    ended = (
        update(rows)
        .where(mine, rows.c.id == uuid.UUID(row_id), rows.c.status.in_(("received", "exchanging", "exchanged")))
        .values(status=status, outcome=dict(outcome_), verifier=None, returned=None)
    )
    if (await c.execute(ended)).rowcount == 0 and status == "done":
        # An attempt that woke up after its row was given up must not connect anything.
        raise AuthorizationInvalid
    if status == "done":
        await c.execute(
            update(rows)
            .where(mine, rows.c.provider == provider, rows.c.id != uuid.UUID(row_id), rows.c.status == "pending")
            .values(status="void", verifier=None)
        )
