"""`python -m supportly model …` beside a running service."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(service):
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SUPPORTLY_")}
        own = {
            "SUPPORTLY_DATABASE_URL": service.postgres.url,
            "SUPPORTLY_ADMIN_DATABASE_URL": service.postgres.admin_url,
            "SUPPORTLY_TEMPORAL_ADDRESS": service.temporal.address,
        }
        return subprocess.run(
            [sys.executable, "-m", "supportly", "model", *arguments],
            cwd=ROOT,
            env=kept | own,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_switch_that_cannot_be_begun_leaves_everything_as_it_is(model):
    assert "No switch is under way." in model("abort").stderr
    begun = model("switch", "openai:some-model")
    assert (begun.returncode, begun.stderr) == (0, "")
    deadline = time.monotonic() + 20
    while "could not begin" not in (status := model("status")).stdout and time.monotonic() < deadline:
        time.sleep(0.2)
    assert status.returncode == 0, status.stderr
    assert "could not begin: The refined tier is off: SUPPORTLY_REFINED_API_KEY is missing" in status.stdout
    assert "openai" not in status.stdout.split("The last switch")[0]
