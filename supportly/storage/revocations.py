"""Grants that wait to be revoked at their provider, and what became of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from supportly.crypto import Vault
from supportly.oauth import Tokens
from supportly.storage.database import Database
from supportly.storage.tables import binding
from supportly.storage.tables import revocations as rows


async def latest(db: Database, account_id: int, provider: str) -> str | None:
    """Status of the newest revocation: `open`, `revoked`, `not_supported`, `expired` or `void`; None without any."""
    query = select(rows.c.status).where(rows.c.account_id == account_id, rows.c.provider == provider)
    async with db.tenant(account_id) as c:
        return (await c.execute(query.order_by(rows.c.created_at.desc()).limit(1))).scalar_one_or_none()


async def leave_in(
    c: AsyncConnection,
    account_id: int,
    provider: str,
    tenant_key: str,
    connection_id: str,
    *,
    facts: Mapping[str, str],
    sealed: str,
) -> str:
    """Open a revocation of tokens as they lie sealed with a connection, within a transaction; answers its id."""
    made = uuid.uuid4()
    await c.execute(
        rows.insert().values(
            account_id=account_id,
            id=made,
            provider=provider,
            connection_id=uuid.UUID(connection_id),
            tenant_key=tenant_key,
            facts=dict(facts),
            tokens=sealed,
            status="open",
        )
    )
    return str(made)


async def discard_in(
    c: AsyncConnection, vault: Vault, account_id: int, provider: str, tenant_key: str, tokens: Tokens
) -> str:
    """Open a revocation of tokens that belong to no connection, within a transaction; answers its id."""
    owner = str(uuid.uuid4())
    sealed = vault.seal(tokens.dump(), binding(rows.c.tokens, account_id, provider, owner))
    return await leave_in(c, account_id, provider, tenant_key, owner, facts=tokens.facts, sealed=sealed)


async def void_in(c: AsyncConnection, account_id: int, provider: str, tenant_key: str) -> None:
    """Give up the open revocations of one provider account, and destroy their tokens, within a transaction."""
    await c.execute(
        update(rows)
        .where(
            rows.c.account_id == account_id,
            rows.c.provider == provider,
            rows.c.tenant_key == tenant_key,
            rows.c.status == "open",
        )
        .values(status="void", tokens=None, finished_at=func.now())
    )
