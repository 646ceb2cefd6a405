"""ops/kubernetes: valid by Kubernetes' own schemas, without secrets or rights, and about settings that exist."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from supportly.dev.stack import ROOT
from supportly.providers import PROVIDERS
from supportly.settings import Settings
from worker import SERVED

FOLDER = ROOT / "ops/kubernetes"
OBJECTS = [
    (path.name, one)
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for one in yaml.safe_load_all(path.read_text())
]
RUNNING = [one for _, one in OBJECTS if one["kind"] in ("Deployment", "Job")]
KINDS = [f"{file}-{one['kind']}-{one['metadata']['name']}" for file, one in OBJECTS]


@pytest.mark.parametrize(("file", "one"), OBJECTS, ids=KINDS)
@pytest.mark.parametrize("version", ["1.32", kubernetes_validate.latest_version()])
def test_an_object_follows_the_schema(file: str, one: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**RUNNING[0], "spec": {"replica": 1}}, "1.32", strict=True)


def test_kustomize_names_every_file_but_the_example() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert set(listed) == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert all(Path(FOLDER / name).exists() for name in listed)


@pytest.mark.parametrize("one", RUNNING, ids=lambda one: one["metadata"]["name"])
def test_what_runs_has_no_rights_limits_and_probes(one: dict[str, Any]) -> None:
    pod = one["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]["cpu"]
    if one["kind"] == "Deployment":
        assert {"startupProbe", "livenessProbe"} <= set(container)
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        budgets = [b for _, b in OBJECTS if b["kind"] == "PodDisruptionBudget"]
        assert any(b["spec"]["selector"]["matchLabels"] == one["spec"]["selector"]["matchLabels"] for b in budgets)
    if one["metadata"]["name"].endswith("worker"):
        assert pod["terminationGracePeriodSeconds"] > Settings.model_fields["graceful_shutdown_s"].default
    if one["metadata"]["name"] == "api":
        longest = next(m.le for m in Settings.model_fields["wait_s"].metadata if hasattr(m, "le"))
        assert pod["terminationGracePeriodSeconds"] > longest


def test_every_task_queue_has_a_worker() -> None:
    containers = [one["spec"]["template"]["spec"]["containers"][0] for one in RUNNING]
    env = [{v["name"]: v["value"] for v in c.get("env", [])} for c in containers if "worker.py" in c.get("command", [])]
    served = [SERVED[one["SUPPORTLY_WORKER_QUEUES"]] for one in env]
    assert sorted(queue for queues in served for queue in queues) == sorted(SERVED["all"])


def test_every_setting_exists_and_no_secret_has_a_value() -> None:
    known = {f"SUPPORTLY_{name.upper()}" for name in Settings.model_fields}
    known |= {f"SUPPORTLY_{p.id.upper()}_CLIENT_{part}" for p in PROVIDERS for part in ("ID", "SECRET")}
    [config] = [one for _, one in OBJECTS if one["kind"] == "ConfigMap"]
    secrets = [one for _, one in OBJECTS if one["kind"] == "Secret"]
    named = {*config["data"], *(name for one in secrets for name in one["stringData"])}
    assert named <= known
    assert not any(value for one in secrets for value in one["stringData"].values())
    # A secret never stands in the ConfigMap: by its type in the settings, or because a URL holds a password.
    hidden = {f"SUPPORTLY_{n.upper()}" for n, f in Settings.model_fields.items() if "Secret" in str(f.annotation)}
    assert not (hidden | {"SUPPORTLY_DATABASE_URL", "SUPPORTLY_ADMIN_DATABASE_URL"}) & set(config["data"])
    settings = {name.removeprefix("SUPPORTLY_").lower(): value for name, value in config["data"].items()}
    Settings(**settings, keys="k1:" + "B" * 43 + "=", token_pepper="long enough")  # production accepts it
