"""Temporal alone: where its command is looked for, and what is said when it is nowhere or does not start."""

import json
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from supportly.dev import temporal
from supportly.dev.faults import StackError
from supportly.dev.processes import http_status
from supportly.dev.temporal import Temporal, find_program

Say = Callable[[str], None]


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUPPORTLY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def no_network(target: Path, environment: object, say: Say) -> str:
    return "the Python SDK could not download it: no network"


def test_it_keeps_workflows_and_knows_our_search_attributes(tmp_path: Path) -> None:
    for _ in range(2):
        server = Temporal.start(tmp_path / "temporal")
        assert http_status(server.ui_url) == 200
        with urllib.request.urlopen(f"{server._http}/namespaces/default/search-attributes") as answer:
            known = json.load(answer)["customAttributes"]
        assert known["SupportlyAccount"] == known["SupportlyProvider"] == "INDEXED_VALUE_TYPE_KEYWORD"
        server.kill()
    (tmp_path / "temporal" / "temporal.db").write_bytes(b"no database" * 1000)
    for leftover in (tmp_path / "temporal").glob("temporal.db-*"):
        leftover.unlink()
    with pytest.raises(StackError, match="Temporal does not start, its database in .* is damaged.*make clean"):
        Temporal.start(tmp_path / "temporal", ui=False)


@pytest.mark.parametrize(("name", "variable"), [("port", "SUPPORTLY_TEMPORAL_PORT"), ("ui_port", "SUPPORTLY_UI_PORT")])
def test_a_port_in_use_is_named_with_its_variable(tmp_path: Path, taken_port: int, name: str, variable: str) -> None:
    with pytest.raises(StackError, match=f"Port {taken_port} is in use.*{variable}"):
        Temporal.start(tmp_path, **{name: taken_port})


def test_places_are_searched_in_order(tmp_path: Path, cache: Path) -> None:
    chosen, beside, on_path = (program(tmp_path / name / "temporal") for name in ("chosen", "beside", "path"))
    cached = program(cache / "temporal" / "temporal")
    environment = {"TEMPORAL_CLI": str(chosen), "PATH": str(on_path.parent)}
    for expected in (chosen, beside, on_path, cached):
        assert find_program(environment, beside=beside.parent) == expected
        expected.unlink()
        environment.pop("TEMPORAL_CLI", None)


def test_a_chosen_program_that_is_none_is_told_at_once() -> None:
    with pytest.raises(StackError, match="TEMPORAL_CLI names /nowhere, which is no program.*correct it, or unset it"):
        find_program({"TEMPORAL_CLI": "/nowhere"})


def test_nowhere_names_the_places_and_three_ways_out(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal, "_download", no_network)
    with pytest.raises(StackError) as caught:
        find_program({"PATH": ""}, beside=tmp_path / "beside")
    said = str(caught.value)
    for part in (
        f"in {tmp_path}/beside", "on PATH", f"in {cache}/temporal", "could not download it: no network",
        "no `go` on PATH",
        "make clean setup", "https://docs.temporal.io/cli", "TEMPORAL_CLI",
    ):  # fmt: skip
        assert part in said


def test_the_sdk_downloads_into_the_cache(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def downloads(name: str, command: list[str], **_: object) -> None:
        program(Path(command[-1]) / "temporal-cli-sdk-python-1.0")

    monkeypatch.setattr(temporal.processes, "run", downloads)
    said: list[str] = []
    assert find_program({"PATH": ""}, beside=tmp_path, say=said.append) == cache / "temporal" / "temporal"
    assert said == ["Temporal: downloading it through the Python SDK"]


def test_go_builds_into_the_cache(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal, "_download", no_network)
    go = program(tmp_path / "go" / "go")
    environment = {"PATH": f"{go.parent}:{os.environ['PATH']}"}
    go.write_text("#!/bin/sh\necho cannot find module >&2; exit 1\n")
    with pytest.raises(StackError, match="`go install` failed: cannot find module"):
        find_program({"PATH": str(go.parent)}, beside=tmp_path / "beside")
    go.write_text('#!/bin/sh\n[ "$2" = ' + temporal.CLI_FOR_GO + ' ] && cp "$0" "$GOBIN/temporal"\n')
    said: list[str] = []
    environment["PATH"] = f"{go.parent}:/usr/bin:/bin"
    assert find_program(environment, beside=tmp_path / "beside", say=said.append) == cache / "temporal" / "temporal"
    assert "about 4 minutes" in said[-1]
