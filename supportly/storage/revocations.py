"""What became of the grant of an ended connection."""

from __future__ import annotations

from sqlalchemy import select

from supportly.storage.database import Database
from supportly.storage.tables import revocations as rows


async def latest(db: Database, account_id: int, provider: str) -> str | None:
    """Status of the newest revocation: `open`, `revoked`, `not_supported`, `expired` or `void`; None without any."""
    query = select(rows.c.status).where(rows.c.account_id == account_id, rows.c.provider == provider)
    async with db.tenant(account_id) as c:
        return (await c.execute(query.order_by(rows.c.created_at.desc()).limit(1))).scalar_one_or_none()
