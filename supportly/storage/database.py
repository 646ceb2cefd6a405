"""The way into PostgreSQL: one engine a process, one short transaction a piece of work, one tenant a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from supportly.errors import Unavailable

RETRY_AFTER_S: Final = 5.0
"""Seconds after which a caller may ask again: PostgreSQL restarts in about that time."""

AWAY: Final = (OperationalError, InterfaceError, PoolTimeout)
"""What SQLAlchemy raises while PostgreSQL is away, or has no connection free."""

UNDEFINED_TABLE: Final = "42P01"
"""SQLSTATE of a statement that names a table which is not there."""


class Database:
    """Hands out transactions. `tenant(account_id)` is the usual one; row-level security shows that account alone."""

    def __init__(self, url: str, pool: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool,
            max_overflow=0,
            pool_timeout=10,
            connect_args={"connect_timeout": 5, "prepare_threshold": 3, "application_name": "supportly"},
        )

    @asynccontextmanager
    async def tenant(self, account_id: int) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees and writes one account's rows. Raises Unavailable when the database is away."""
        async with self._transaction(str(int(account_id))) as connection:
            yield connection

    @asynccontextmanager
    async def system(self) -> AsyncIterator[AsyncConnection]:
        """A transaction without a tenant: it sees only the tables that belong to no account."""
        async with self._transaction("") as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, account: str) -> AsyncIterator[AsyncConnection]:
        try:
            connection = await self._begun(account)
            try:
                yield connection
                await connection.commit()
            finally:
                await connection.close()
        except AWAY as error:
            raise away() from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise away() from error
            raise

    async def _begun(self, account: str) -> AsyncConnection:
        """A connection whose transaction has begun. One that died in the pool is replaced here, once.

        That spares a ping before every transaction, which took half of a short one's time.
        """
        try:
            return await self._connected(account)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The pool drops all of its old connections with the first dead one, so the next is a new one.
            return await self._connected(account)

    async def _connected(self, account: str) -> AsyncConnection:
        connection = await self.engine.connect()
        try:
            await connection.exec_driver_sql(f"set local supportly.account_id = '{account}'")
        except BaseException:
            await connection.close()
            raise
        return connection

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def away() -> Unavailable:
    """The database cannot be reached."""
    return Unavailable("The database is away; nothing was lost, try again.", retry_after=RETRY_AFTER_S)


def is_missing_table(error: DBAPIError) -> bool:
    """True when a table that a statement names is not there: an index of an account's own may be replaced any time."""
    return getattr(error.orig, "sqlstate", None) == UNDEFINED_TABLE


async def rows(c: AsyncConnection, sql: str, values: Mapping[str, Any]) -> list[Any]:
    """What a statement with the driver's own parameters (`%(name)s`) answers: arrays go over in binary.

    SQLAlchemy still classifies what goes wrong.
    """
    return list((await c.exec_driver_sql(sql, dict(values))).all())


async def do(c: AsyncConnection, sql: str, values: Mapping[str, Any]) -> int:
    """Run a statement as `rows` does; answers how many rows it touched."""
    return (await c.exec_driver_sql(sql, dict(values))).rowcount
