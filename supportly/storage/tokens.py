"""API tokens of the `local` back end: only their HMAC is stored, and a token is shown once, when it is made.

The application's role may only read them; `create` and `revoke` run as the owner of the tables (the command line).
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, cast

from sqlalchemy import func, insert, select, update

from supportly.storage.database import Database
from supportly.storage.tables import api_tokens as rows

Role = Literal["administrator", "agent"]

PREFIX: Final = "spl_"
"""Marks our tokens, so that secret scanners and people recognise one."""
TOKEN_BYTES: Final = 32
SHOWN: Final = len(PREFIX) + 6
"""Characters that stay readable in a list: enough to tell tokens apart, of no use to a guesser."""


@dataclass(frozen=True)
class TokenRow:
    """A token as a list shows it."""

    id: str
    account_id: int
    role: Role
    name: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None


def digest(plain: str, pepper: str) -> str:
    """The stored form of a token: HMAC-SHA256 under the service's pepper, in hex."""
    return hmac.new(pepper.encode(), plain.encode(), sha256).hexdigest()


async def create(db: Database, account_id: int, role: Role, name: str, pepper: str) -> tuple[str, str]:
    """Make a token; answers its id and the token itself, which is stored nowhere."""
    token_id, plain = uuid.uuid4(), PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    async with db.system() as c:
        await c.execute(
            insert(rows).values(
                id=token_id,
                account_id=account_id,
                role=role,
                name=name,
                prefix=plain[:SHOWN],
                token_hmac=digest(plain, pepper),
            )
        )
    return str(token_id), plain


async def revoke(db: Database, token_id: str) -> bool:
    """Revoke a token at once and for good. False when there is no such token that still works."""
    try:
        wanted = uuid.UUID(token_id)
    except ValueError:
        return False
    async with db.system() as c:
        done = await c.execute(
            update(rows).where(rows.c.id == wanted, rows.c.revoked_at.is_(None)).values(revoked_at=func.now())
        )
    return done.rowcount == 1


async def list_all(db: Database) -> list[TokenRow]:
    """All tokens, revoked ones too, oldest first."""
    async with db.system() as c:
        found = (await c.execute(select(rows).order_by(rows.c.created_at, rows.c.id))).all()
    return [
        TokenRow(str(r.id), r.account_id, cast("Role", r.role), r.name, r.prefix, r.created_at, r.revoked_at)
        for r in found
    ]


async def find(db: Database, plain: str, pepper: str) -> tuple[str, int, Role] | None:
    """Id, account and role of a token that works; None for any other text."""
    if not plain.startswith(PREFIX):
        return None
    query = select(rows.c.id, rows.c.account_id, rows.c.role).where(
        rows.c.token_hmac == digest(plain, pepper), rows.c.revoked_at.is_(None)
    )
    async with db.system() as c:
        row = (await c.execute(query)).one_or_none()
    return (str(row.id), row.account_id, cast("Role", row.role)) if row else None
