"""Temporal servers for tests of workflows: one that skips time, and one whose histories are short."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from supportly.dev import temporal as dev

TEST_SERVER = Path(__file__).parents[2] / ".venv" / "bin" / "temporal-test-server"


@pytest.fixture(scope="session")
def short_histories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dev.Temporal]:
    """A real server that suggests continue-as-new after some twenty events, and whose limits are low."""
    with pytest.MonkeyPatch.context() as patch:
        limits = {
            "limit.historyCount.suggestContinueAsNew": "20",
            # Between two runs of a chain, and with every timer, the server takes a second; here there are many.
            "history.workflowIdReuseMinimalInterval": '"10ms"',
            "history.timerProcessorMaxTimeShift": '"10ms"',
            # A workflow that did two things at once, or left children behind, would not get on here.
            "limit.numPendingActivities.error": "2",
            "limit.numPendingChildExecutions.error": "4",
            "limit.numPendingSignals.error": "2",
        }
        patch.setattr(dev, "DYNAMIC_CONFIG", {**dev.DYNAMIC_CONFIG, **limits})
        server = dev.Temporal.start(tmp_path_factory.mktemp("short"), ui=False)
    yield server
    server.stop()


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    # A server for each test: what one leaves unfinished would keep the other's time from being skipped.
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(TEST_SERVER), data_converter=pydantic_data_converter
    ) as env:
        yield env
