"""`supportly mcp`: Captain's tools on standard input and output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from supportly.cli.surroundings import AccountOption, where

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from supportly.captain.place import Place


def mcp(*, account: AccountOption = None) -> None:
    """Serve Captain's tools over MCP on stdin and stdout, for programs that start it; they ask the API."""
    from supportly.captain.place import Place
    from supportly.captain.server import server
    from supportly.client import Account, AsyncClient

    url, token, number = where(account)

    async def serve() -> None:
        async with AsyncClient(url, token) as client:
            place = Place(client, Account(number))

            @asynccontextmanager
            async def here(_: Context[Any, Any]) -> AsyncIterator[Place]:
                yield place

            await server(here).run_stdio_async()

    asyncio.run(serve())
