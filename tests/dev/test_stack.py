"""The stack as a whole: it answers, revives what dies, and leaves nothing behind, however it ends."""

import json
import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import psutil
import psycopg
import pytest

from supportly.dev import faults
from supportly.dev.processes import http_status
from supportly.dev.stack import Ports, Secrets, Stack, StackError, default_directory, worker_count
from tests.dev.conftest import eventually, family, gone

Start = Callable[..., Popen[str]]


def test_start_answers_writes_its_file_revives_what_dies_and_stops(
    start_cli: Start, directory: Path, house: Path, tmp_path: Path
) -> None:
    process = start_cli(directory, "stack", "up")
    file = directory / "stack.json"
    eventually(lambda: file.exists() or process.poll() is not None, 60)
    facts = json.loads(file.read_text())

    assert list(facts) == [
        "api_url", "admin_token", "agent_token", "account_id", "database_url", "temporal_address",
        "temporal_namespace", "temporal_ui_url", "sandbox_url", "console_url", "metrics", "pids",
    ]  # fmt: skip
    assert list(facts["pids"]) == ["api", "temporal", "postgres", "workers"]
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE((directory / "secrets.json").stat().st_mode) == 0o600
    assert (facts["admin_token"], facts["agent_token"], facts["account_id"]) == ("admin", "agent", 1)
    assert http_status(facts["api_url"] + "/readyz") == http_status(facts["temporal_ui_url"]) == 200
    with psycopg.connect(facts["database_url"]) as connection:
        assert connection.execute("SELECT current_setting('fsync'), current_setting('jit')").fetchone() == ("on", "off")

    with pytest.raises(StackError, match=rf"\(process {process.pid}\) already runs in .*SUPPORTLY_STACK_DIR"):
        Stack(directory, root=house).start()

    # Side by side with another one, which leaves the first alone.
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "secrets.json").write_text((directory / "secrets.json").read_text())
    with Stack(beside, root=house, workers=1, bulk_workers=1).start() as other:
        assert {other.api_url, other.temporal.address} & {facts["api_url"], facts["temporal_address"]} == set()
        assert len(other.facts()["pids"]["workers"]) == 2
        before = other.workers[1].pid
        assert other.restart_worker(2).pid != before
        assert [(beside / f"worker-{n}.ready").read_text() for n in (1, 2)] == ["prompt", "bulk"]
    assert (directory / "worker-1.ready").read_text() == "all"
    assert http_status(facts["api_url"] + "/readyz") == 200

    for name, pid in (("worker", facts["pids"]["workers"][0]), ("postgres", facts["pids"]["postgres"])):
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: str(pid) not in file.read_text(), 20)
        now = json.loads(file.read_text())
        assert now["database_url"] == facts["database_url"], name
        assert psutil.pid_exists(now["pids"]["workers"][0])
    with psycopg.connect(facts["database_url"]):
        pass

    children = family(process.pid)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert gone(children)
    assert not file.exists()
    assert "Worker 1 (process" in said
    assert "was ended by SIGKILL" in said


def test_sigkill_of_the_parent_leaves_no_process_and_the_next_start_works(
    start_cli: Start, directory: Path, house: Path
) -> None:
    process = start_cli(directory, "stack", "up")
    eventually(lambda: (directory / "stack.json").exists() or process.poll() is not None, 60)
    children = family(process.pid)
    assert len(children) > 5, "PostgreSQL's own children are among them"
    process.kill()
    process.wait()
    with Stack(directory, root=house).start() as stack:  # at once, while the former PostgreSQL may still be ending
        assert stack.admin_token == "admin"
    eventually(lambda: gone(children), 5)


@pytest.mark.parametrize("after", ["postgres/initdb.log", "postgres/postgres.log", "logs/api.log"])
def test_ctrl_c_in_the_middle_of_a_start_leaves_no_process(start_cli: Start, directory: Path, after: str) -> None:
    process = start_cli(directory, "stack", "up")
    seen: set[psutil.Process] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.005):
            seen.update(family(process.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    # Both: the start is as far as that, and the watcher has met a child, so that there is something to leave behind.
    eventually(lambda: ((directory / after).exists() and seen) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    stop.set()
    watcher.join()
    assert process.returncode == 130, said
    assert said.endswith("Stopped.\n")
    assert seen
    # A killed process takes the scheduler a moment to be gone; one that lives is still there after seconds.
    eventually(lambda: gone(list(seen)), 5)
    assert not (directory / "stack.json").exists()


def test_a_part_that_fails_is_named_with_what_it_said_and_the_rest_is_stopped(directory: Path, house: Path) -> None:
    (house / "worker.py").write_text("raise SystemExit('no embedding model')")
    before = family(os.getpid())  # the servers of this test process itself
    with pytest.raises(StackError, match=r"Worker 1 ended with exit code 1; its log is (?s:.)*no embedding model"):
        Stack(directory, root=house).start()
    eventually(lambda: gone([process for process in family(os.getpid()) if process not in before]), 5)


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("Traceback (most recent call last):\nModuleNotFoundError: No module named 'orjson'\n")
    said = str(faults.explain("API", log, "ended with exit code 1"))
    assert said.startswith("API ended with exit code 1: the module orjson is missing, so the environment is damaged")
    assert "make clean" in said
    log.write_text("ModuleNotFoundError: No module named 'activities.gone'\n")
    assert "environment" not in str(faults.explain("API", log, "ended with exit code 1"))


@pytest.mark.parametrize(("name", "variable"), [("api", "SUPPORTLY_API_PORT"), ("sandbox", "SUPPORTLY_SANDBOX_PORT")])
def test_a_port_in_use_is_named_with_its_variable(
    directory: Path, house: Path, taken_port: int, name: str, variable: str
) -> None:
    with pytest.raises(StackError, match=f"Port {taken_port} is in use: .* set {variable} to another port"):
        Stack(directory, root=house, ports=Ports(**{name: taken_port})).start()


def test_damaged_secrets_are_named(directory: Path, house: Path) -> None:
    (directory / "secrets.json").write_text("{")
    with pytest.raises(StackError, match=r"secrets\.json is damaged.*make clean"):
        Stack(directory, root=house).start()


def test_a_nearly_full_disk_is_told_before_anything_starts(
    directory: Path, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = faults.shutil._ntuple_diskusage(10**9, 9 * 10**8, 10**8)
    monkeypatch.setattr(faults.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StackError, match="Only 100 MB are free on the disk of .* wants 500 MB"):
        Stack(directory, root=house).start()
    assert not (directory / "postgres").exists()


def test_settings_come_from_the_environment() -> None:
    given = {"SUPPORTLY_API_PORT": "8123", "SUPPORTLY_WORKERS": "3", "SUPPORTLY_STACK_DIR": "/somewhere"}
    assert Ports.from_environment(given) == Ports(api=8123)
    assert worker_count(given) == 3
    assert default_directory(given) == Path("/somewhere")
    with pytest.raises(StackError, match="SUPPORTLY_UI_PORT=no is not a number from 1 to 65535"):
        Ports.from_environment({"SUPPORTLY_UI_PORT": "no"})


def test_secrets_are_random_and_kept(tmp_path: Path) -> None:
    assert Secrets.load(tmp_path / "none").keys != Secrets.load(tmp_path / "none").keys
