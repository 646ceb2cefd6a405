"""A whole stack of real processes that may be killed."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from drills.stage import Stage
from supportly.dev.stack import Stack
from tests.caller import consent, new_token

WHOLE = os.environ.get("SUPPORTLY_PROOFS") == "whole"


class Account:
    """One account of a stack, over HTTP."""

    def __init__(self, stack: Stack, account_id: int) -> None:
        self.stack, self.account_id = stack, account_id
        token = asyncio.run(new_token(stack.postgres.admin_url, Stage(stack).settings, account_id))
        root = f"{stack.api_url}/api/v1/accounts/{account_id}/supportly_integrations"
        self.http = httpx.Client(base_url=root, headers={"api_access_token": token}, timeout=60)

    def connect(self, provider: str, **body: Any) -> httpx.Response:
        """Through the consent page and back."""
        started = self.http.post(f"/{provider}/connect", json=body).raise_for_status().json()
        return self.http.post(f"/{provider}/callback", json=consent(started["authorization_url"]))


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="spl-w-") as made:
        Path(made).chmod(0o755)
        settings = {
            "SUPPORTLY_RATE_FACTOR": "1000",
            "SUPPORTLY_PROVIDER_TIMEOUT_S": "3",
            "SUPPORTLY_MAX_ANSWER_BYTES": "2000000",  # read within the time-out, also on a busy machine
        }
        running = Stack(Path(made), settings=settings)
        running.start()
        stage = Stage(running)
        stage.unlimited("zendesk", "hubspot", "schedly")
        stage.control("POST", "/demo")
        yield running
        running.stop()
