"""`python -m api [--host H] [--port P]`: serves the application until SIGTERM or SIGINT.

Then callers who wait for a result are answered 202 at once, because the work goes on elsewhere; other requests get the
time that `SUPPORTLY_GRACEFUL_SHUTDOWN_S` gives, and the process ends with exit code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from supportly.settings import Settings

KEEP_ALIVE_S: Final = 75
"""Seconds for which an idle connection is kept: longer than the callers' clients and the proxies between keep theirs
(5 to 60), so that it is never the API that closes one on which a request is on its way."""
ARRIVING_S: Final = 0.5
"""Seconds for a connection to be accepted, and for its first request to be read. Both take milliseconds; where four
processes share a core, a tenth of a second was too short for three requests of some thousand."""


class Server(uvicorn.Server):
    """A server that tells its application when it has to leave."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
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


def _ended(_signal: int, _frame: FrameType | None) -> None:
    """An orderly end is no death by a signal: uvicorn raises it once more after it has stopped."""


def main() -> None:
    """Entry: the address from the command line, everything else from the environment."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    app = create_app()
    grace = int(Settings().graceful_shutdown_s)
    # Requests are logged by the application itself, with what belongs to them.
    config = uvicorn.Config(
        app,
        host=given.host,
        port=given.port,
        access_log=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ended)
    Server(app, config).run()


if __name__ == "__main__":
    main()
