"""Which record of a provider is which contact, and who may create one right now."""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.storage.database import Database
from supportly.storage.tables import connections, contact_claims, contact_links


async def linked(c: AsyncConnection, account_id: int, provider: str, contact_id: int) -> str | None:
    """The record that a contact is linked to."""
    query = select(contact_links.c.record_id).where(
        contact_links.c.account_id == account_id,
        contact_links.c.provider == provider,
        contact_links.c.contact_id == contact_id,
    )
    return (await c.execute(query)).scalar_one_or_none()


async def link(
    db: Database,
    account_id: int,
    provider: str,
    contact_id: int,
    *,
    connection_id: str,
    generation: int,
    record_id: str,
    url: str | None,
) -> bool:
    """Link a contact to a record. False, and nothing written, when the connection is no longer of this generation."""
    async with db.tenant(account_id) as c:
        current = select(connections.c.account_id).where(
            connections.c.account_id == account_id,
            connections.c.provider == provider,
            connections.c.connection_id == uuid.UUID(connection_id),
            connections.c.generation == generation,
            connections.c.state.in_(("connected", "reconnect_required")),
        )
        if (await c.execute(current.with_for_update(read=True))).one_or_none() is None:
            return False
        values = {"generation": generation, "record_id": record_id, "url": url}
        statement = insert(contact_links).values(
            account_id=account_id, provider=provider, contact_id=contact_id, **values
        )
        await c.execute(
            statement.on_conflict_do_update(index_elements=["account_id", "provider", "contact_id"], set_=values)
        )
        return True


async def unlink(db: Database, account_id: int, provider: str, contact_id: int) -> None:
    """Forget a link whose record is gone."""
    async with db.tenant(account_id) as c:
        await c.execute(
            contact_links.delete().where(
                contact_links.c.account_id == account_id,
                contact_links.c.provider == provider,
                contact_links.c.contact_id == contact_id,
            )
        )


async def claim(
    db: Database, account_id: int, connection_id: str, identity_hash: str, *, owner: str, seconds: float
) -> tuple[bool, str | None]:
    """Claim the right to create the record of an address for `seconds`.

    Answers whether the claim is ours, and the record that was created under an earlier claim, if any.
    """
    async with db.tenant(account_id) as c:
        until = func.clock_timestamp() + timedelta(seconds=seconds)
        statement = insert(contact_claims).values(
            account_id=account_id,
            connection_id=uuid.UUID(connection_id),
            identity_hash=identity_hash,
            owner=owner,
            claimed_until=until,
        )
        statement = statement.on_conflict_do_update(
            index_elements=["account_id", "connection_id", "identity_hash"],
            set_={"owner": owner, "claimed_until": until, "record_id": None},
            where=contact_claims.c.claimed_until < func.clock_timestamp(),
        )
        if (await c.execute(statement.returning(contact_claims.c.owner))).one_or_none():
            return True, None
        row = (await c.execute(select(contact_claims).where(_claim(account_id, connection_id, identity_hash)))).one()
        return False, row.record_id


def _claim(account_id: int, connection_id: str, identity_hash: str) -> ColumnElement[bool]:
    return and_(
        contact_claims.c.account_id == account_id,
        contact_claims.c.connection_id == uuid.UUID(connection_id),
        contact_claims.c.identity_hash == identity_hash,
    )


async def fulfil(
    db: Database, account_id: int, connection_id: str, identity_hash: str, *, record_id: str, seconds: float
) -> None:
    """Leave the created record with the claim for `seconds`, for those whom the provider's search shows it too late."""
    async with db.tenant(account_id) as c:
        await c.execute(
            update(contact_claims)
            .where(_claim(account_id, connection_id, identity_hash))
            .values(record_id=record_id, claimed_until=func.clock_timestamp() + timedelta(seconds=seconds))
        )


async def release(db: Database, account_id: int, connection_id: str, identity_hash: str, *, owner: str) -> None:
    """Give a claim back under which certainly nothing was created."""
    async with db.tenant(account_id) as c:
        await c.execute(
            contact_claims.delete().where(
                _claim(account_id, connection_id, identity_hash), contact_claims.c.owner == owner
            )
        )
