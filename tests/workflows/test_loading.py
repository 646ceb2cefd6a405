"""Every workflow loads in the strictest sandbox, and stays a page long."""

import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

import worker
import workflows

ROOT = Path(__file__).parents[2]
LONGEST_WORKFLOW, LONGEST_PROVIDER = 110, 300
MODULES = [f"workflows.{info.name}" for info in pkgutil.iter_modules(workflows.__path__)]


def defined() -> dict[str, type]:
    """All workflow classes, by name."""
    return {
        name: kind
        for module in map(importlib.import_module, MODULES)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and hasattr(kind, "__temporal_workflow_definition")
    }


@pytest.mark.parametrize("name", sorted(defined()))
def test_it_loads_in_a_strict_sandbox(name):
    restrictions = dataclasses.replace(
        SandboxRestrictions.default,
        import_notification_policy=SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
        | SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT,
    )
    # A replayer validates its workflows in the sandbox when it is made; there is no history to replay yet.
    Replayer(workflows=[defined()[name]], workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions))


def test_every_workflow_is_worked_off_somewhere():
    listed = [kind for kinds in worker.WORKFLOWS.values() for kind in kinds]
    assert {kind.__name__ for kind in listed} == set(defined())
    # What is requested has two queues, one for those who wait and one for those who don't; all else has one.
    twice = {kind for kind in listed if listed.count(kind) > 1}
    assert twice == set(worker.REQUESTED)
    assert all(len(kinds) == len(set(kinds)) for kinds in worker.WORKFLOWS.values())


def test_a_workflow_takes_one_message_and_answers_one():
    for kind in defined().values():
        definition = workflow._Definition.must_from_class(kind)
        assert len(definition.arg_types or []) == 1, kind
        assert definition.ret_type is not None, kind


@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.py")), ids=lambda path: path.name)
def test_a_workflow_file_is_a_page(path):
    assert len(path.read_text().splitlines()) <= LONGEST_WORKFLOW


@pytest.mark.parametrize(
    "path", sorted((ROOT / "supportly" / "providers").rglob("*.py")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_provider_file_can_be_read_at_once(path):
    assert len(path.read_text().splitlines()) <= LONGEST_PROVIDER


def test_the_package_does_nothing():
    assert (ROOT / "workflows" / "__init__.py").read_text() == ""
