"""Whether the messages of today still read what runs of then have written: no field may get lost on the way."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

import activities
from tests.replay.corpus import Recorded, types
from tests.replay.stage import kind

Typed = tuple[Payload, Any]
"""A payload, and the type as which today's code reads it."""


def _activities() -> dict[str, activity._Definition]:
    """Every activity of the product, by its name."""
    found = {}
    for info in pkgutil.iter_modules(activities.__path__):
        for _, owner in inspect.getmembers(importlib.import_module(f"activities.{info.name}"), inspect.isclass):
            for _, method in inspect.getmembers(owner, inspect.isfunction):
                if definition := activity._Definition.from_callable(method):
                    found[definition.name] = definition
    return found


ACTIVITIES = _activities()
WORKFLOWS = {one.__name__: workflow._Definition.must_from_class(one) for one in types()}


def _arguments(payloads: Sequence[Payload], expected: Sequence[type] | None) -> Iterator[Typed]:
    yield from zip(payloads, expected or (), strict=True)


def typed(event: HistoryEvent, of: workflow._Definition, scheduled: dict[int, str]) -> Iterator[Typed]:
    """The payloads of an event. `scheduled` remembers which activity an event number started."""
    name = event.WhichOneof("attributes")
    found: Any = getattr(event, name)
    if name in ("workflow_execution_started_event_attributes", "workflow_execution_continued_as_new_event_attributes"):
        yield from _arguments(found.input.payloads, of.arg_types)
    elif name == "workflow_execution_completed_event_attributes":
        yield from _arguments(found.result.payloads, [of.ret_type])
    elif name == "activity_task_scheduled_event_attributes":
        scheduled[event.event_id] = found.activity_type.name
        yield from _arguments(found.input.payloads, ACTIVITIES[found.activity_type.name].arg_types)
    elif name == "activity_task_completed_event_attributes":
        yield from _arguments(found.result.payloads, [ACTIVITIES[scheduled[found.scheduled_event_id]].ret_type])
    elif name == "marker_recorded_event_attributes" and "data" in found.details:
        about = orjson.loads(found.details["data"].payloads[0].data)
        if "result" in found.details:  # a failure has none
            yield from _arguments(found.details["result"].payloads, [ACTIVITIES[about["activity_type"]].ret_type])
    elif name == "workflow_execution_signaled_event_attributes":
        yield from _arguments(found.input.payloads, of.signals[found.signal_name].arg_types)
    elif name == "workflow_execution_update_accepted_event_attributes":
        asked = found.accepted_request.input
        yield from _arguments(asked.args.payloads, of.updates[asked.name].arg_types)
    elif name == "start_child_workflow_execution_initiated_event_attributes":
        yield from _arguments(found.input.payloads, WORKFLOWS[found.workflow_type.name].arg_types)


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Fields that a message had when it was written, and has no longer when it is read and written again."""
    if isinstance(before, dict) and isinstance(after, dict):
        gone = [f"{path}{name}" for name in before if name not in after]
        return gone + [one for name in before if name in after for one in lost(before[name], after[name], f"{name}.")]
    if isinstance(before, list) and isinstance(after, list):
        return [one for b, a in zip(before, after, strict=False) for one in lost(b, a, path)]
    return []


def unread(recorded: Recorded) -> tuple[int, list[str]]:
    """How many messages a history holds, and what of them today's code does not read."""
    history = recorded.read()
    of, scheduled, troubles, count = WORKFLOWS[kind(history)], {}, [], 0
    for event in history.events:
        for payload, expected in typed(event, of, scheduled):
            count += 1
            before = orjson.loads(payload.data or b"null")
            adapter: TypeAdapter[Any] = TypeAdapter(expected)
            try:
                after = orjson.loads(adapter.dump_json(adapter.validate_json(payload.data or b"null")))
            except ValidationError as error:
                troubles.append(f"{recorded.name}, event {event.event_id}: {expected} is not read: {error}")
                continue
            if gone := lost(before, after):
                troubles.append(f"{recorded.name}, event {event.event_id}: {expected} lost {', '.join(gone)}")
    return count, troubles
