"""Connections: who is connected, with which sealed tokens, and the fence around every refresh.

The fence: `begin_refresh` commits the intent and a lease where the version still matches and no lease lives;
`lease_alive` is asked just before bytes go out; `store_refreshed` writes where the version is still the one that the
attempt started from. No row lock is held across HTTP, and versions never restart.

The database's clock is the only one that counts: leases and the ends of tokens are written and compared by it, so that
processes whose clocks differ agree.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
from sqlalchemy import Row, and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.contracts.connections import Standing, State
from supportly.crypto import Binding, Vault
from supportly.errors import DifferentAccount
from supportly.oauth import Tokens
from supportly.storage import authorizations, events, revocations
from supportly.storage.database import Database
from supportly.storage.tables import binding, contact_claims, contact_links, markers
from supportly.storage.tables import connections as rows
from supportly.storage.tables import revocations as revoked

RETIRED: State = "disconnected"
SEEN = (rows, func.clock_timestamp().label("read_at"))
"""A row, and the database's time at which it was read."""


@dataclass(frozen=True)
class Connection:
    """One connection row. Its tokens stay sealed until `open_tokens`."""

    account_id: int
    provider: str
    connection_id: str
    generation: int
    state: State
    reason: str
    tenant_key: str
    account_name: str
    facts: Mapping[str, str]
    scopes: tuple[str, ...]
    refreshable: bool
    version: int
    refreshed_at: datetime | None
    expires_at: datetime | None
    refresh_attempt: str | None
    lease_until: datetime | None
    lost_attempts: int
    unproven: bool
    connected_by: str
    connected_at: datetime
    sealed: str | None
    read_at: datetime = field(compare=False)
    """The database's time when this was read: what its other times are compared with."""

    def standing(self) -> Standing:
        """What Temporal and callers may know."""
        return Standing(
            state=self.state,
            reason=self.reason,
            connection_id=self.connection_id,
            generation=self.generation,
            version=self.version,
            refreshed_at=self.refreshed_at,
            expires_at=self.expires_at,
            refreshable=self.refreshable,
            account_name=self.account_name,
        )


def _binding(account_id: int, provider: str, connection_id: str) -> Binding:
    return binding(rows.c.tokens, account_id, provider, connection_id)


def _connection(row: Row[Any]) -> Connection:
    return Connection(
        account_id=row.account_id,
        provider=row.provider,
        connection_id=str(row.connection_id),
        generation=row.generation,
        state=row.state,
        reason=row.reason,
        tenant_key=row.tenant_key,
        account_name=row.account_name,
        facts=row.facts,
        scopes=tuple(row.scopes),
        refreshable=row.refreshable,
        version=row.token_version,
        refreshed_at=row.refreshed_at,
        expires_at=row.expires_at,
        refresh_attempt=str(row.refresh_attempt) if row.refresh_attempt else None,
        lease_until=row.lease_until,
        lost_attempts=row.lost_attempts,
        unproven=row.unproven,
        connected_by=row.connected_by,
        connected_at=row.connected_at,
        sealed=row.tokens,
        read_at=row.read_at,
    )


def open_tokens(vault: Vault, connection: Connection) -> Tokens:
    """The tokens of a connection that has some. Raises CannotOpen when the row was moved or damaged."""
    at = _binding(connection.account_id, connection.provider, connection.connection_id)
    plain = orjson.loads(vault.open(connection.sealed or "", at))
    return Tokens(
        access_token=plain["access_token"],
        refresh_token=plain["refresh_token"],
        expires_at=connection.expires_at,
        scopes=connection.scopes,
        facts=connection.facts,
    )


def _ago(seconds: float) -> Any:
    """The database's time that many seconds ago."""
    return func.clock_timestamp() - timedelta(seconds=seconds)


def _end(tokens: Tokens, now: datetime, age_s: float) -> Any:
    """When tokens end that were asked for at `now`, `age_s` seconds ago, by another clock than the database's."""
    return None if tokens.expires_at is None else _ago(age_s) + (tokens.expires_at - now)


def _at(account_id: int, provider: str) -> Any:
    return and_(rows.c.account_id == account_id, rows.c.provider == provider)


async def read_in(c: AsyncConnection, account_id: int, provider: str, *, lock: bool = False) -> Connection | None:
    """The connection of an account and provider within a transaction, None where there never was one."""
    query = select(*SEEN).where(_at(account_id, provider))
    row = (await c.execute(query.with_for_update() if lock else query)).one_or_none()
    return _connection(row) if row else None


async def read(db: Database, account_id: int, provider: str) -> Connection | None:
    """The connection of an account and provider, None where there never was one."""
    async with db.tenant(account_id) as c:
        return await read_in(c, account_id, provider)


async def read_all(db: Database, account_id: int) -> list[Connection]:
    """All connections of an account, also ended ones."""
    async with db.tenant(account_id) as c:
        found = (await c.execute(select(*SEEN).where(rows.c.account_id == account_id))).all()
    return [_connection(row) for row in found]


@dataclass(frozen=True)
class NewGrant:
    """What a successful exchange brings."""

    tenant_key: str
    account_name: str
    facts: Mapping[str, str]
    tokens: Tokens
    now: datetime
    """When the tokens were asked for, by the clock of the process that did: what their `expires_at` counts from."""
    actor: str
    replace: bool
    by_state: bool
    title: str = ""
    """The provider's name for people."""
    age_s: float = 0.0
    """Seconds that have passed since `now`."""
    shared: bool = True
    """Grants of one provider account are one (`OAuth2.shared_grant`): to revoke an older one would end this one."""


@dataclass(frozen=True)
class Placed:
    """A stored grant; `replaced_generation` is the generation whose links and knowledge have to go."""

    connection: Connection
    replaced_generation: int | None = None
    revocation_id: str = ""
    """The grant in whose place it came, and which waits to be revoked; empty where there is none."""


@dataclass(frozen=True)
class Refused:
    """A grant that was not stored: it belongs to another provider account than the one connected."""

    error: DifferentAccount
    revocation_id: str = ""
    """Set where the grant waits to be revoked; empty where that could end what somebody else lives on."""


async def place(
    db: Database, vault: Vault, account_id: int, provider: str, grant: NewGrant, *, pending_id: str
) -> Placed | Refused:
    """Store a grant as the account's connection, and the authorization's outcome with it, in one transaction.

    The same tenant key keeps id and generation; another one needs `replace` (and a callback that carried `state`) and
    starts a new generation: links, claims and markers of the old one are removed. A grant that is refused, or that
    another one takes the place of, is left to be revoked where that doesn't end the grant that stays.
    """
    async with db.tenant(account_id) as c:
        old = await read_in(c, account_id, provider, lock=True)
        alive = old is not None and old.state != RETIRED
        same = old is not None and old.tenant_key == grant.tenant_key
        if old and alive and not same and not (grant.replace and grant.by_state):
            return await _refuse_in(c, vault, old, grant, pending_id)
        # What it replaces is revoked, unless that would end the new one with it.
        left = await _leave_in(c, old) if old and alive and not (same and grant.shared) else None
        keeps = old is not None and alive and same
        connection_id = old.connection_id if old and keeps else str(uuid.uuid4())
        generation = (old.generation + (0 if keeps else 1)) if old else 1
        values = {
            "connection_id": uuid.UUID(connection_id),
            "generation": generation,
            "state": "connected",
            "reason": "",
            "tenant_key": grant.tenant_key,
            "account_name": grant.account_name,
            "facts": dict(grant.facts),
            "scopes": list(grant.tokens.scopes),
            "tokens": vault.seal(grant.tokens.dump(), _binding(account_id, provider, connection_id)),
            "refreshable": grant.tokens.refresh_token is not None,
            "token_version": (old.version if old else 0) + 1,
            "refreshed_at": _ago(grant.age_s),
            "expires_at": _end(grant.tokens, grant.now, grant.age_s),
            "refresh_attempt": None,
            "lease_until": None,
            "lost_attempts": 0,
            "unproven": False,
            "connected_by": grant.actor,
            "connected_at": func.clock_timestamp(),
            "disconnected_at": None,
        }
        statement = insert(rows).values(account_id=account_id, provider=provider, **values)
        statement = statement.on_conflict_do_update(index_elements=["account_id", "provider"], set_=values)
        row = (await c.execute(statement.returning(*SEEN))).one()
        if old and not keeps:
            await _forget_records(c, account_id, provider, old)
        if grant.shared:
            # The same installation is wanted again: revoking the old grant now would end the new one with it.
            await revocations.void_in(c, account_id, provider, grant.tenant_key)
        placed = _connection(row)
        if old and old.state == "reconnect_required":
            await _recovered(c, placed)
        await authorizations.finish_in(
            c,
            account_id,
            pending_id,
            "done",
            {"standing": placed.standing().model_dump(mode="json")},
            provider=provider,
        )
        return Placed(placed, old.generation if old and alive and not same else None, left or "")


async def discard(db: Database, vault: Vault, connection: Connection, tokens: Tokens) -> str:
    """A revocation of tokens that came for `connection` when its grant was no longer the one that is lived on.

    Answers its id, and an empty text where the present tokens may be of the same grant: to revoke one ends all.
    """
    async with db.tenant(connection.account_id) as c:
        now = await read_in(c, connection.account_id, connection.provider, lock=True)
        if now is not None and now.state != RETIRED and now.connected_at == connection.connected_at:
            return ""
        place = (connection.account_id, connection.provider, connection.tenant_key)
        return await revocations.discard_in(c, vault, *place, tokens)


async def _refuse_in(c: AsyncConnection, vault: Vault, old: Connection, grant: NewGrant, pending_id: str) -> Refused:
    """Store that the grant is refused, and leave it to be revoked where that harms nobody."""
    error = DifferentAccount(
        f"This callback belongs to another {grant.title or old.provider} account than the one connected "
        f"({old.account_name}). Disconnect first, or connect with `replace: true`."
    )
    outcome = {"error": error.payload()}
    await authorizations.finish_in(c, old.account_id, pending_id, "failed", outcome, provider=old.provider)
    if grant.shared:
        return Refused(error)
    tokens = replace(grant.tokens, facts=grant.facts)
    place = (old.account_id, old.provider, grant.tenant_key)
    return Refused(error, await revocations.discard_in(c, vault, *place, tokens))


async def _leave_in(c: AsyncConnection, old: Connection) -> str | None:
    """Move a connection's tokens into a revocation; its id, None without tokens."""
    if not old.sealed:
        return None
    place = (old.account_id, old.provider, old.tenant_key)
    return await revocations.leave_in(c, *place, old.connection_id, facts=old.facts, sealed=old.sealed)


async def _recovered(c: AsyncConnection, now: Connection) -> None:
    """Tell that nobody has to connect again."""
    data = {"state": now.state, "connection_id": now.connection_id}
    await events.note(c, now.account_id, now.provider, "connection.recovered", data)


async def _forget_records(c: AsyncConnection, account_id: int, provider: str, old: Connection) -> None:
    """Links, claims and markers of an ended generation."""
    for table in (contact_links, markers):
        await c.execute(table.delete().where(table.c.account_id == account_id, table.c.provider == provider))
    await c.execute(
        contact_claims.delete().where(
            contact_claims.c.account_id == account_id, contact_claims.c.connection_id == uuid.UUID(old.connection_id)
        )
    )


Intent = Literal["granted", "busy", "superseded"]


async def begin_refresh(
    db: Database,
    account_id: int,
    provider: str,
    *,
    from_version: int,
    attempt: str,
    lease_s: float,
    patience_s: float,
) -> tuple[Intent, Connection | None, float]:
    """Commit the intent to refresh from `from_version`, with a lease of `lease_s`.

    `granted`: this attempt owns the refresh; `lost_attempts` counts those before it that ended without a result.
    `busy`: another attempt may be alive, for as many more seconds as the last figure says; an attempt counts as alive
    until its lease and `patience_s` more are over. `superseded`: the version moved on, or the connection is gone.
    """
    async with db.tenant(account_id) as c:
        old = await read_in(c, account_id, provider, lock=True)
        if old is None or old.version != from_version or old.state != "connected":
            return "superseded", old, 0.0
        now = (await c.execute(select(func.clock_timestamp()))).scalar_one()
        lost = old.refresh_attempt is not None and old.lease_until is not None
        if lost and old.lease_until is not None:
            left = (old.lease_until - now).total_seconds() + patience_s
            if left > 0:
                return "busy", old, left
        row = (
            await c.execute(
                update(rows)
                .where(_at(account_id, provider), rows.c.token_version == from_version)
                .values(
                    refresh_attempt=uuid.UUID(attempt),
                    lease_until=now + timedelta(seconds=lease_s),
                    lost_attempts=old.lost_attempts + (1 if lost else 0),
                )
                .returning(*SEEN)
            )
        ).one()
        return "granted", _connection(row), 0.0


async def lease_alive(db: Database, account_id: int, provider: str, *, attempt: str, needed_s: float) -> bool:
    """True when `attempt` holds the lease and will for `needed_s` more seconds."""
    async with db.tenant(account_id) as c:
        query = select(rows.c.account_id).where(
            _at(account_id, provider),
            rows.c.refresh_attempt == uuid.UUID(attempt),
            rows.c.lease_until > func.clock_timestamp() + timedelta(seconds=needed_s),
        )
        return (await c.execute(query)).one_or_none() is not None


async def store_refreshed(
    db: Database,
    vault: Vault,
    connection: Connection,
    tokens: Tokens,
    *,
    now: datetime,
    after_rejection: bool,
    age_s: float = 0.0,
) -> Connection | None:
    """Write a refreshed token where the version is still `connection.version`; None when a newer one stands.

    `now` is when it was asked for, by the clock that its `expires_at` counts from, `age_s` the seconds since then.
    An answer in hand beats a guess: it also ends `reconnect_required` for the reason `refresh_outcome_lost`. A
    connection that is being ended stays so, but what is revoked then is the token that works.
    """
    at = _at(connection.account_id, connection.provider)
    place = _binding(connection.account_id, connection.provider, connection.connection_id)
    usable = or_(
        rows.c.state.in_(("connected", "disconnecting")),
        and_(rows.c.state == "reconnect_required", rows.c.reason == "refresh_outcome_lost"),
    )
    async with db.tenant(connection.account_id) as c:
        before = (await c.execute(select(rows.c.state).where(at).with_for_update())).scalar_one_or_none()
        row = (
            await c.execute(
                update(rows)
                .where(at, rows.c.token_version == connection.version, usable)
                .where(rows.c.connection_id == uuid.UUID(connection.connection_id))
                .values(
                    state=case((rows.c.state == "disconnecting", rows.c.state), else_="connected"),
                    reason="",
                    tokens=vault.seal(tokens.dump(), place),
                    facts=dict(tokens.facts),
                    scopes=list(tokens.scopes),
                    token_version=connection.version + 1,
                    refreshed_at=_ago(age_s),
                    expires_at=_end(tokens, now, age_s),
                    refreshable=tokens.refresh_token is not None,
                    refresh_attempt=None,
                    lease_until=None,
                    lost_attempts=0,
                    unproven=after_rejection,
                )
                .returning(*SEEN)
            )
        ).one_or_none()
        stored = _connection(row) if row else None
        if stored and before == "reconnect_required":
            await _recovered(c, stored)
    return stored


async def end_attempt(db: Database, account_id: int, provider: str, *, attempt: str) -> None:
    """Give the lease back after an attempt whose request certainly changed nothing at the provider."""
    async with db.tenant(account_id) as c:
        await c.execute(
            update(rows)
            .where(_at(account_id, provider), rows.c.refresh_attempt == uuid.UUID(attempt))
            .values(refresh_attempt=None, lease_until=None)
        )


async def require_reconnect(db: Database, account_id: int, provider: str, *, version: int, reason: str) -> None:
    """Say that a person has to connect again, unless a newer version stands. Cursors and settings stay."""
    async with db.tenant(account_id) as c:
        lost = (
            await c.execute(
                update(rows)
                .where(_at(account_id, provider), rows.c.token_version == version, rows.c.state == "connected")
                .values(state="reconnect_required", reason=reason)
                .returning(rows.c.connection_id)
            )
        ).scalar_one_or_none()
        if lost is not None:
            data = {"state": "reconnect_required", "reason": reason, "connection_id": str(lost)}
            await events.note(c, account_id, provider, "connection.needs_attention", data)


async def prove(db: Database, account_id: int, provider: str, *, version: int) -> None:
    """A call succeeded with this version: the next 401 may refresh again."""
    async with db.tenant(account_id) as c:
        await c.execute(
            update(rows)
            .where(_at(account_id, provider), rows.c.token_version == version, rows.c.unproven)
            .values(unproven=False)
        )


async def begin_disconnect(db: Database, account_id: int, provider: str) -> Connection | None:
    """Mark a connection as going; None when there is nothing to disconnect. Marking twice is harmless."""
    async with db.tenant(account_id) as c:
        old = await read_in(c, account_id, provider, lock=True)
        if old is None or old.state == RETIRED:
            return None
        await c.execute(update(rows).where(_at(account_id, provider)).values(state="disconnecting", reason=""))
        return old


async def retire(db: Database, account_id: int, provider: str) -> str | None:
    """End a marked connection: its tokens move into a revocation, its links, claims and markers go.

    Answers the revocation's id, None without tokens. Ending it again, after an answer that was lost, answers the same.
    """
    async with db.tenant(account_id) as c:
        old = await read_in(c, account_id, provider, lock=True)
        if old is None or old.state == RETIRED:
            return await _unfinished_revocation(c, old)
        revocation = await _leave_in(c, old)
        await c.execute(
            update(rows)
            .where(_at(account_id, provider))
            .values(
                state=RETIRED,
                tokens=None,
                refresh_attempt=None,
                lease_until=None,
                # Whatever is still under way was read under the old version and can no longer write.
                token_version=old.version + 1,
                disconnected_at=func.now(),
            )
        )
        await _forget_records(c, account_id, provider, old)
        return revocation


async def _unfinished_revocation(c: AsyncConnection, ended: Connection | None) -> str | None:
    if ended is None:
        return None
    query = select(revoked.c.id).where(
        revoked.c.account_id == ended.account_id,
        revoked.c.connection_id == uuid.UUID(ended.connection_id),
        revoked.c.status == "open",
    )
    # Those of earlier grants of this connection are older.
    found = (await c.execute(query.order_by(revoked.c.created_at.desc()).limit(1))).scalar_one_or_none()
    return str(found) if found else None


@dataclass(frozen=True)
class Revocation:
    """Tokens of an ended connection that wait to be revoked."""

    id: str
    facts: Mapping[str, str]
    tokens: Tokens
    shared: bool
    """Another connection, of this account or another, lives on a grant of the same provider account."""


async def open_revocation(
    db: Database, vault: Vault, account_id: int, provider: str, revocation_id: str
) -> Revocation | None:
    """The revocation with its tokens; None when it is done or void."""
    async with db.tenant(account_id) as c:
        query = select(revoked).where(revoked.c.account_id == account_id, revoked.c.id == uuid.UUID(revocation_id))
        row = (await c.execute(query)).one_or_none()
        if row is None or row.status != "open" or not row.tokens:
            return None
        shared = (
            await c.execute(select(func.grant_is_shared(provider, row.tenant_key, row.connection_id)))
        ).scalar_one()
    plain = orjson.loads(vault.open(row.tokens, _binding(account_id, provider, str(row.connection_id))))
    tokens = Tokens(access_token=plain["access_token"], refresh_token=plain["refresh_token"], facts=row.facts)
    return Revocation(str(row.id), row.facts, tokens, shared)


async def close_revocation(db: Database, account_id: int, revocation_id: str, status: str) -> None:
    """Destroy the tokens of a revocation; `status` says whether the provider was told (`revoked`) or not."""
    async with db.tenant(account_id) as c:
        await c.execute(
            update(revoked)
            .where(revoked.c.account_id == account_id, revoked.c.id == uuid.UUID(revocation_id))
            .values(status=status, tokens=None, finished_at=func.now())
        )


def missing_scopes(granted: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Scopes that were asked for and not granted.

    Nothing where the provider names no scopes, or none of those asked for: then it calls them by other names, as Stripe
    does, which answers `stripe_apps` for all permissions of an app's manifest.
    """
    lacking = [scope for scope in wanted if scope not in granted]
    return lacking if len(lacking) < len(wanted) else []
