"""The API in a thread of the tests' process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from supportly.settings import Settings

STARTS_S = 60


@contextmanager
def listening(settings: Settings, port: int, **options: Any) -> Iterator[str]:
    """Its address, until the block ends. The options are uvicorn's."""
    from api.app import create_app
    from api.server import Server

    server = Server(create_app(settings), port=port, **{"log_level": "warning", **options})
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + STARTS_S
    while not server.started:
        assert thread.is_alive(), "the API ended while it started"
        assert time.monotonic() < deadline, "the API did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
