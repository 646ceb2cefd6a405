"""`python -m api [--host H] [--port P]`: serves the application until SIGTERM or SIGINT.

Then callers who wait for a result are answered 202 at once, because the work goes on elsewhere; other requests get the
time that `SUPPORTLY_GRACEFUL_SHUTDOWN_S` gives, and the process ends with exit code 0.
"""

from __future__ import annotations

import argparse
import signal
from types import FrameType

from api.app import create_app
from api.server import Server
from supportly.settings import Settings


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
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ended)
    Server(app, host=given.host, port=given.port, timeout_graceful_shutdown=grace).run()


if __name__ == "__main__":
    main()
