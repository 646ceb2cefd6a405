"""The recorded histories: where they lie, how they are read, and whether the workflows of today can go on from them."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.worker import Interceptor, Replayer

import worker as product
from supportly.telemetry.interceptors import interceptors
from tests.replay.stage import CONVERTER, kind

HISTORIES = Path(__file__).parent / "histories"
"""One directory a recording, named after its month; old ones stay for as long as a run of that time may be alive."""
ADVICE = (
    "A run that is alive now could not go on after this change. Guard it with `workflow.patched`, and record histories "
    "of the new course: docs/changing-workflows.md says how."
)


@dataclass(frozen=True)
class Recorded:
    """One history."""

    path: Path

    @property
    def name(self) -> str:
        """Recording, type and scenario."""
        return "/".join(self.path.with_suffix("").parts[-3:])

    @property
    def type(self) -> str:
        """The workflow's type."""
        return self.path.parent.name

    def read(self) -> WorkflowHistory:
        """The history itself, under the id that it had."""
        found = json.loads(self.path.read_text())
        return WorkflowHistory.from_json(found.pop("workflowId"), found)


def recorded(directory: Path = HISTORIES) -> list[Recorded]:
    """Every history, in order."""
    return [Recorded(path) for path in sorted(directory.rglob("*.json"))]


def write(histories: Sequence[WorkflowHistory], scenario: str, directory: Path) -> list[Path]:
    """Write a scenario's histories, an event a line; several of one type are numbered."""
    written: list[Path] = []
    for history in histories:
        number = sum(path.parent.name == kind(history) for path in written) + 1
        path = directory / kind(history) / f"{scenario}{f'-{number}' if number > 1 else ''}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        events = ",\n".join(json.dumps(e, separators=(",", ":")) for e in history.to_json_dict()["events"])
        path.write_text(f'{{"workflowId":{json.dumps(history.workflow_id)},"events":[\n{events}\n]}}\n')
        written.append(path)
    return written


def types() -> list[type[Any]]:
    """The workflows that the worker works off."""
    return list(dict.fromkeys(one for listed in product.WORKFLOWS.values() for one in listed))


async def broken(histories: Sequence[Recorded], workflows: Sequence[type[Any]] | None = None) -> list[str]:
    """What keeps today's workflows from going on: a line for each history that does not replay."""
    replayer = Replayer(
        workflows=list(workflows or types()),
        workflow_runner=product.RUNNER,
        data_converter=CONVERTER,
        # Recorded without tracing and replayed with it: switching it on breaks nothing either.
        interceptors=[one for one in interceptors(tracing=True) if isinstance(one, Interceptor)],
    )
    names: dict[str, str] = {}

    async def each() -> AsyncIterator[WorkflowHistory]:
        for one in histories:
            history = one.read()
            names[history.run_id] = one.name
            yield history

    found = []
    async with replayer.workflow_replay_iterator(each()) as results:
        async for result in results:
            if result.replay_failure:
                why = re.search(r'message: "(.*?)", source', str(result.replay_failure))
                told = why.group(1) if why else " ".join(str(result.replay_failure).split())[:300]
                found.append(f"{names[result.history.run_id]} does not replay ({told}). {ADVICE}")
    return found
