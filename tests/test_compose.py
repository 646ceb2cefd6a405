"""docker-compose.yml: valid by the specification, without default secrets, and about the same things as the stack."""

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from supportly.dev.stack import ROOT
from supportly.dev.temporal import DYNAMIC_CONFIG, SEARCH_ATTRIBUTES
from supportly.providers import PROVIDERS
from supportly.settings import Settings
from worker import SERVED

FILE = ROOT / "docker-compose.yml"
SCHEMA = ROOT.parent / "shared" / "specs" / "compose" / "compose-spec.json"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())  # it also resolves the anchors and merges


def test_it_follows_the_specification(compose: dict[str, Any]) -> None:
    if not SCHEMA.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SCHEMA} is missing, and CI checks against it")
        pytest.skip(f"{SCHEMA} is not here")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft7Validator(schema).validate(compose)


def test_no_secret_has_a_default() -> None:
    text = FILE.read_text()
    for name, operator in re.findall(r"\$\{(\w*(?:PASSWORD|KEYS|PEPPER|TOKEN|SECRET)\w*)(:?[-?=+]?)", text):
        # The client of a provider that is not used is empty, and only that.
        assert operator == (":-" if name.endswith("_CLIENT_SECRET") else ":?"), name
    assert not re.search(r":-[^}]", re.sub(r"SUPPORTLY_(ENVIRONMENT|CALLBACK_MODE):-\w+", "", text))
    assert not re.search(r"PASSWORD: (?!\$\{)|://\w+:(?!\$\{)[^@\s]+@", text)


def test_every_lasting_service_has_a_health_check_and_restarts(compose: dict[str, Any]) -> None:
    lasting = {name for name, one in compose["services"].items() if one["restart"] == "unless-stopped"}
    ours = {"api", "worker", "bulk-worker", "sandbox"}
    assert lasting == {"postgres", "temporal-postgres", "temporal", "temporal-ui", *ours}
    # The UI's image has no program to ask with, and nothing waits for it.
    assert {name for name in lasting if "healthcheck" not in compose["services"][name]} == {"temporal-ui"}


def test_every_lasting_service_has_limits_and_ours_no_rights(compose: dict[str, Any]) -> None:
    for name, one in compose["services"].items():
        if one["restart"] == "unless-stopped":
            assert set(one["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        if "build" in one:
            assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"]), name
    stopping = float(compose["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert stopping > Settings.model_fields["graceful_shutdown_s"].default


def test_the_image_runs_as_nobody_and_says_how_it_is() -> None:
    image = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d+$", image, re.MULTILINE)
    assert "HEALTHCHECK" in image
    rooms = set(re.findall(r"^COPY (\S+) ", image, re.MULTILINE))
    assert rooms - {"--from=packages"} <= set(
        re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    )


def test_temporal_is_set_up_as_the_stack_sets_it_up(compose: dict[str, Any]) -> None:
    dynamic = yaml.safe_load(compose["configs"]["temporal-dynamic"]["content"])
    assert {name: str(values[0]["value"]).lower() for name, values in dynamic.items()} == DYNAMIC_CONFIG
    command = compose["services"]["temporal-attributes"]["command"]
    names = [command[i + 1] for i, word in enumerate(command) if word == "--name"]
    types = [command[i + 1] for i, word in enumerate(command) if word == "--type"]
    assert dict(zip(names, types, strict=True)) == SEARCH_ATTRIBUTES


def test_every_setting_exists_and_the_example_names_all_that_is_demanded(compose: dict[str, Any]) -> None:
    known = {f"SUPPORTLY_{name.upper()}" for name in Settings.model_fields} | {"SUPPORTLY_READY_FILE"}
    known |= {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"}  # OpenTelemetry's own
    clients = {f"SUPPORTLY_{provider.id.upper()}_CLIENT_{part}" for provider in PROVIDERS for part in ("ID", "SECRET")}
    assert clients <= compose["services"]["api"]["environment"].keys()
    known |= clients
    for name in ("api", "worker", "bulk-worker", "migrate"):
        assert compose["services"][name]["environment"].keys() <= known
    example = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+):\?", FILE.read_text())) == example


def test_the_image_holds_every_room_that_runs() -> None:
    copied = set(re.findall(r"^COPY (\w+(?:\.py)?) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert {"supportly", "workflows", "activities", "api", "sandbox", "worker.py"} <= copied
    assert Path(ROOT / "requirements.lock").exists()


def test_the_image_serves_the_api_by_its_own_program() -> None:
    """It keeps idle connections for long, and leaves no caller without an answer when it is stopped."""
    command = json.loads((ROOT / "Dockerfile").read_text().rpartition("CMD ")[2])
    assert command[:3] == ["python", "-m", "api"]


def test_every_task_queue_has_a_worker(compose: dict[str, Any]) -> None:
    commands = [one for one in compose["services"].values() if one.get("command") == ["python", "worker.py"]]
    served = [SERVED[one["environment"]["SUPPORTLY_WORKER_QUEUES"]] for one in commands]
    assert sorted(queue for queues in served for queue in queues) == sorted(SERVED["all"])
