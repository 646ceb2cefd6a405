"""A whole stack of real processes that may be killed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from supportly.dev.stack import ROOT, Stack
from tests.caller import consent

WHOLE = os.environ.get("SUPPORTLY_PROOFS") == "whole"


class Account:
    """One account of a stack, over HTTP."""

    def __init__(self, stack: Stack, account_id: int) -> None:
        self.stack, self.account_id = stack, account_id
        command = [sys.executable, "-m", "supportly", "token", "create", "--quiet"]
        made = subprocess.run(
            [*command, "--account", str(account_id), "--role", "administrator", "--name", "weather"],
            cwd=ROOT,
            env=stack.command_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        root = f"{stack.api_url}/api/v1/accounts/{account_id}/supportly_integrations"
        self.http = httpx.Client(base_url=root, headers={"api_access_token": made.stdout.strip()}, timeout=60)

    def connect(self, provider: str, **body: Any) -> httpx.Response:
        """Through the consent page and back."""
        started = self.http.post(f"/{provider}/connect", json=body).raise_for_status().json()
        return self.http.post(f"/{provider}/callback", json=consent(started["authorization_url"]))


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="spl-w-") as made:
        Path(made).chmod(0o755)
        running = Stack(Path(made), settings={"SUPPORTLY_RATE_FACTOR": "1000", "SUPPORTLY_PROVIDER_TIMEOUT_S": "3"})
        running.start()
        for provider in ("zendesk", "hubspot", "schedly"):
            control(running, "POST", f"/{provider}/settings", json={"rate_limits": False})
        control(running, "POST", "/demo")
        yield running
        running.stop()


def control(stack: Stack, method: str, path: str, **extra: Any) -> Any:
    """Speak to the sandbox's control plane."""
    answer = httpx.request(method, f"{stack.sandbox_url}/_sandbox{path}", timeout=60, **extra)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None
