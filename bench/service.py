"""The whole service for a bench that speaks HTTP: a stack of its own, and the way through a consent page."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx


@contextmanager
def running() -> Iterator[dict[str, Any]]:
    """Start a stack of its own and stop it at the end; gives what `stack.json` says."""
    from supportly.dev.console import Report
    from supportly.dev.stack import Stack

    os.environ.setdefault("SUPPORTLY_LOG_LEVEL", "WARNING")
    with tempfile.TemporaryDirectory(prefix="spl-bench-") as directory:
        Path(directory).chmod(0o755)
        stack = Stack(Path(directory), report=Report(out=sys.stderr))
        stack.start()
        try:
            yield json.loads(stack.file.read_text())
        finally:
            stack.stop()


def root(stack: dict[str, Any]) -> str:
    """Where the endpoints of the stack's account are."""
    return f"{stack['api_url']}/api/v1/accounts/{stack['account_id']}/supportly_integrations"


async def connect(api: httpx.AsyncClient, url: str, provider: str, **parts: str) -> None:
    """Connect a provider through the sandbox's consent page; `url` is `root`."""
    started = (await api.post(f"{url}/{provider}/connect", json=parts)).raise_for_status().json()
    consent = await api.get(started["authorization_url"])
    returned = dict(httpx.URL(consent.headers["location"]).params)
    (await api.post(f"{url}/{provider}/callback", json=returned)).raise_for_status()
