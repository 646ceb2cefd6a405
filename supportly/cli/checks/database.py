"""PostgreSQL as the service finds it: reachable, recent enough, migrated, and unable to look past its tenant."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from supportly.cli.checks.finding import LOOK_S, Finding, clocks, fail, ok, warn
from supportly.errors import SupportlyError
from supportly.settings import Settings
from supportly.storage import migrate
from supportly.storage.database import Database, rows

POSTGRES: Final = 16
PGVECTOR: Final = (0, 8, 0)
"""Iterative scans came with it; 0.8.4 mends the vacuum of HNSW indexes."""
PGVECTOR_GOOD: Final = (0, 8, 4)


async def check(settings: Settings) -> list[Finding]:
    """All findings about the database of `SUPPORTLY_DATABASE_URL`."""
    db = Database(settings.database_url, 2)
    try:
        async with asyncio.timeout(LOOK_S), db.system() as c:
            [(version, user)] = await rows(c, "select current_setting('server_version_num')::int, current_user", {})
            role = await rows(c, "select rolsuper, rolbypassrls from pg_roles where rolname = current_user", {})
            owned = await rows(
                c, "select count(*) from pg_tables where schemaname = 'public' and tableowner = current_user", {}
            )
            vector = await rows(c, "select extversion from pg_extension where extname = 'vector'", {})
            migrated = await rows(c, "select to_regclass('public.alembic_version') is not null", {})
            before = datetime.now(UTC)
            [(theirs,)] = await rows(c, "select clock_timestamp()", {})
            after = datetime.now(UTC)
        revision = await _revision(db) if migrated[0][0] else ""
    except (SupportlyError, DBAPIError, TimeoutError) as error:
        why = f" ({type(error.orig).__name__})" if isinstance(error, DBAPIError) else ""
        return [
            fail(
                "database",
                f"PostgreSQL does not let us in{why}",
                "Start it, and check host, role and password in SUPPORTLY_DATABASE_URL.",
            )
        ]
    finally:
        await db.close()
    return [
        _version(version),
        _role(user, role[0], owned[0][0]),
        _vector(vector),
        _tables(revision, settings),
        clocks("database clock", theirs - (before + (after - before) / 2), "PostgreSQL's"),
    ]


async def _revision(db: Database) -> str | None:
    """The newest migration that ran; None when our role may not look."""
    try:
        async with db.system() as c:
            found = await rows(c, "select version_num from alembic_version", {})
    except DBAPIError:
        return None
    return str(found[0][0]) if found else ""


def _version(number: int) -> Finding:
    major = number // 10_000
    if major < POSTGRES:
        return fail("database", f"PostgreSQL {major} answers", f"Move to PostgreSQL {POSTGRES} or newer.")
    return ok("database", f"PostgreSQL {major} answers")


def _role(user: str, role: Any, owned: int) -> Finding:
    is_super, bypasses = role
    if is_super or bypasses or owned:
        what = "is a superuser" if is_super else "has BYPASSRLS" if bypasses else f"owns {owned} tables"
        return fail(
            "database role",
            f"{user} {what}: row-level security does not bind it",
            "Name supportly_app in SUPPORTLY_DATABASE_URL; the owner belongs into SUPPORTLY_ADMIN_DATABASE_URL.",
        )
    return ok("database role", f"{user} is bound by row-level security")


def _vector(found: list[Any]) -> Finding:
    if not found:
        return fail(
            "pgvector", "The extension vector is not there", "`create extension vector` as the owner, then migrate."
        )
    version = tuple(int(part) for part in str(found[0][0]).split(".")[:3] if part.isdigit())
    if version < PGVECTOR:
        return fail(
            "pgvector", f"pgvector {found[0][0]}", "Move to pgvector 0.8.4 or newer: filters need iterative scans."
        )
    if version < PGVECTOR_GOOD:
        return warn("pgvector", f"pgvector {found[0][0]}", "0.8.4 mends the vacuum of HNSW indexes: move to it.")
    return ok("pgvector", f"pgvector {found[0][0]}")


def _tables(revision: str | None, settings: Settings) -> Finding:
    head = ScriptDirectory.from_config(migrate.config(settings.database_url)).get_current_head()
    if revision == head:
        return ok("migrations", f"The tables are at {revision}")
    if revision is None:
        return warn("migrations", "Our role may not read alembic_version", "Run `python -m supportly migrate`.")
    return fail(
        "migrations",
        f"The tables are at {revision or 'nothing'}, this version wants {head}",
        "Run `python -m supportly migrate` with SUPPORTLY_ADMIN_DATABASE_URL set.",
    )
