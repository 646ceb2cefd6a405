"""The HTTP server of the API: what it takes from a connection, and how it leaves."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from api.routes.knowledge import LONGEST_QUESTION

KEEP_ALIVE_S: Final = 75
"""Seconds for which an idle connection is kept: longer than the callers' clients and the proxies between keep theirs
(5 to 60), so that it is never the API that closes one on which a request is on its way."""
ARRIVING_S: Final = 0.5
"""Seconds for a connection to be accepted, and for its first request to be read. Both take milliseconds; where four
processes share a core, a tenth of a second was too short for three requests of some thousand."""
LONGEST_HEAD: Final = 12 * LONGEST_QUESTION + 16 * 1024
"""Bytes of a request before its body. A question travels in the address, where a character outside of ASCII is up to
twelve bytes (`%F0%9F%98%80`); the rest is for everything else that stands there. A head that goes on when so much was
read is refused with 400."""


class Server(uvicorn.Server):
    """A server that tells its application when it has to leave.

    It reads requests with h11: httptools, faster by a fraction of a millisecond, takes no address above 64 KiB.
    """

    def __init__(self, app: FastAPI, *, port: int, host: str = "127.0.0.1", **options: Any) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            access_log=False,  # requests are logged by the application itself, with what belongs to them
            lifespan="on",
            timeout_keep_alive=KEEP_ALIVE_S,
            http="h11",
            h11_max_incomplete_event_size=LONGEST_HEAD,
            **options,
        )
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called after the signal, in the event loop, before requests are waited for.

        Closing a socket resets the connections that wait in it, and uvicorn closes those on which no request has been
        read yet: so those that have come are accepted first, and their requests read.
        """
        self._app.state.services.leaving.set()
        await asyncio.sleep(ARRIVING_S)
        for server in self.servers:
            server.close()
        await asyncio.sleep(ARRIVING_S)
        await super().shutdown(sockets)
