"""Where histories are recorded: real Temporal servers, the product's workflows, and activities that follow a script.

Nothing of a real account gets into a history: what the activities answer is made up here, and so are all ids.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from supportly.contracts import ids
from supportly.dev import temporal as dev
from supportly.telemetry.interceptors import interceptors
from tests.scripted import Script, working

Server = Literal["real", "short", "skipping"]
"""A server as the product's, one that suggests continue-as-new after twenty events, and one that skips time."""
RECORDER = "recorder"
"""Name of client and workers: their own names would tell the machine's."""
TEST_SERVER = Path(__file__).parents[2] / ".venv" / "bin" / "temporal-test-server"
LIMITS: dict[Server, dict[str, str]] = {
    "real": {},
    "short": {"limit.historyCount.suggestContinueAsNew": "20"},
}
QUICK = {"history.workflowIdReuseMinimalInterval": '"10ms"', "history.timerProcessorMaxTimeShift": '"10ms"'}


class Pathless(DefaultFailureConverter):
    """Failures without stack traces, which name directories of the machine; no workflow reads them."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        super().to_failure(exception, payload_converter, failure)
        while True:
            failure.stack_trace = ""
            if not failure.HasField("cause"):
                return
            failure = failure.cause


CONVERTER = DataConverter(
    payload_converter_class=pydantic_data_converter.payload_converter_class, failure_converter_class=Pathless
)
"""As the product's, without its codec: a history can be read by whoever reviews it. How payloads are sealed has tests
of its own (tests/supportly/test_temporal.py) and is no concern of a replay."""


@dataclass
class Stage:
    """One scenario's place: a client, and the workflows whose histories it keeps."""

    client: Client
    name: str
    env: WorkflowEnvironment | None = None
    kept: list[str] = field(default_factory=list)

    def id(self, word: str) -> str:
        """An id of this scenario's own; what is started under it is recorded."""
        self.kept.append(f"{self.name}/{word}")
        return self.kept[-1]

    async def start(self, run: Any, job: Any, *, workflow_id: str | None = None, queue: str, **extra: Any) -> Any:
        """Start a workflow that is recorded."""
        if workflow_id:
            self.kept.append(workflow_id)
        return await self.client.start_workflow(run, job, id=workflow_id or self.id("run"), task_queue=queue, **extra)

    @staticmethod
    async def ended(handle: WorkflowHandle[Any, Any]) -> Any:
        """The result, soon."""
        return await asyncio.wait_for(handle.result(), 120)

    async def skip(self, seconds: float) -> None:
        """Let time pass on the server that skips it."""
        assert self.env
        await self.env.sleep(seconds)

    async def histories(self) -> AsyncIterator[WorkflowHistory]:
        """Every run of what was started here, oldest first."""
        for workflow_id in self.kept:
            run_id: str | None = await self._first_run(workflow_id)
            while run_id:
                found = await self.client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
                yield found
                last = found.events[-1]
                run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None

    async def _first_run(self, workflow_id: str) -> str:
        latest = await self.client.get_workflow_handle(workflow_id).fetch_history()
        return latest.events[0].workflow_execution_started_event_attributes.first_execution_run_id


Play = Callable[[Stage, Script], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """One branch of a workflow: what is to be played, on which server."""

    name: str
    server: Server
    play: Play
    remote: bool = True
    """False leaves activities to nobody: only what a workflow runs itself is answered."""


SCENARIOS: list[Scenario] = []


def scenario(server: Server = "real", *, remote: bool = True) -> Callable[[Play], Play]:
    """Adds a function to the scenarios; its name is what it shows."""

    def add(play: Play) -> Play:
        SCENARIOS.append(Scenario(play.__name__.replace("_", "-"), server, play, remote))  # type: ignore[attr-defined]
        return play

    return add


@asynccontextmanager
async def servers(directory: Path) -> AsyncIterator[Callable[[Scenario], Any]]:
    """`on(scenario)` is a context that plays on its server; servers are started when they are first needed."""
    started: dict[Server, dev.Temporal] = {}

    def server(kind: Server) -> dev.Temporal:
        if kind not in started:
            usual = dev.DYNAMIC_CONFIG
            dev.DYNAMIC_CONFIG = {**usual, **QUICK, **LIMITS[kind]}
            try:
                started[kind] = dev.Temporal.start(directory / kind, ui=False)
            finally:
                dev.DYNAMIC_CONFIG = usual
        return started[kind]

    @asynccontextmanager
    async def on(played: Scenario) -> AsyncIterator[Stage]:
        if played.server == "skipping":
            # A server for each: what one leaves unfinished would keep the other's time from being skipped.
            async with await WorkflowEnvironment.start_time_skipping(
                test_server_existing_path=str(TEST_SERVER),
                data_converter=CONVERTER,
                identity=RECORDER,
                interceptors=interceptors(tracing=False),
            ) as env:
                yield Stage(env.client, played.name, env)
            return
        client = await Client.connect(
            server(played.server).address,
            data_converter=CONVERTER,
            identity=RECORDER,
            interceptors=interceptors(tracing=False),
        )
        yield Stage(client, played.name)

    try:
        yield on
    finally:
        for one in started.values():
            one.stop()


async def play(scenario: Scenario, stage: Stage) -> list[WorkflowHistory]:
    """Play a scenario and answer the histories that it leaves."""
    script = Script()
    async with working(stage.client, script, identity=RECORDER, remote=scenario.remote):
        await scenario.play(stage, script)
    return [history async for history in stage.histories()]


def kind(history: WorkflowHistory) -> str:
    """The workflow's type."""
    return history.events[0].workflow_execution_started_event_attributes.workflow_type.name


def away(pause_s: float | None = None) -> ApplicationError:
    """A failure that is worth another try, as activities/failures.py translates it."""
    return _failure("provider_error", 502, "The provider cannot be reached.", pause_s, final=False)


def refused(code: str, status: int = 409, message: str = "No.", pause_s: float | None = None) -> ApplicationError:
    """A failure that is final."""
    return _failure(code, status, message, pause_s, final=True)


def _failure(code: str, status: int, message: str, pause_s: float | None, *, final: bool) -> ApplicationError:
    assert re.fullmatch(r"[a-z_]+", code)
    payload = {"code": code, "status": status, "message": message, "details": {}, "retry_after": pause_s}
    delay = timedelta(seconds=pause_s) if pause_s is not None else None
    return ApplicationError(message, payload, type=code, non_retryable=final, next_retry_delay=delay)


async def until(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until it is so."""
    for _ in range(int(seconds / 0.02)):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


INTERACTIVE, CONNECTIONS, KNOWLEDGE, REFINEMENT = ids.INTERACTIVE, ids.CONNECTIONS, ids.KNOWLEDGE, ids.REFINEMENT
