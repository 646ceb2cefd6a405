"""Set-up as `make` runs it: with whatever Python is there, and one sentence for each way in which it can fail."""

import errno
import fcntl
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from supportly.dev import setup
from supportly.dev.stack import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    for name, path in {"VENV": ".venv", "LOCK": "requirements.lock", "STAMP": ".venv/.requirements.sha256"}.items():
        monkeypatch.setattr(setup, name, tmp_path / path)
    monkeypatch.setattr(setup, "IMPORTED", ["json"])
    (tmp_path / "requirements.lock").write_text("# nothing to install\n")
    return tmp_path


def test_an_environment_is_made_once_mended_when_damaged_and_cleared_away(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/nowhere/python")
    with monkeypatch.context() as damaged:
        damaged.setattr(setup, "IMPORTED", ["no_such_module"])
        with pytest.raises(setup.SetupError, match="does not work .*No module named 'no_such_module'.*make clean"):
            setup.install()
    assert "damaged and is made anew" in capsys.readouterr().out
    setup.STAMP.write_text("damaged")
    setup.install()
    assert "Environment ready after" in capsys.readouterr().out
    setup.install()
    assert capsys.readouterr().out == ""

    (project / ".stack").mkdir()
    with (project / ".stack" / "lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(setup.SetupError, match=r"A stack \(process 4711\) runs in \.stack: stop it first"):
            setup.clean()
    setup.clean()
    assert {path.name for path in project.iterdir()} == {"requirements.lock"}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "became full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "pip cache purge"),
        ("WARNING: Retrying after connection broken by 'ConnectionError(…)'", "could not reach its package index"),
        ("ERROR: something else", r"pip failed \(ERROR: something else\): `make clean`"),
    ],
)
def test_what_pip_says_becomes_a_sentence(said: str, sentence: str) -> None:
    with pytest.raises(setup.SetupError, match=sentence):
        raise setup.SetupError(setup._reason(said))


def test_a_package_that_is_not_to_be_had_is_told(project: Path) -> None:
    (project / "requirements.lock").write_text("no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n")
    (project / ".venv").mkdir()
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexport PIP_NO_INDEX=1\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    with pytest.raises(setup.SetupError, match="No matching distribution"):
        setup.install()
    assert not setup.STAMP.exists()


def test_too_little_space_is_told_before_anything_is_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(setup.SetupError, match="Only 1000 MB are free .* needs 1800 MB"):
        setup.install()
    assert not setup.VENV.exists()


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "The disk is full: free some space. Then start again."),
        (KeyboardInterrupt(), 130, "Interrupted; the next start carries on from here."),
    ],
)
def test_main_ends_with_a_sentence(
    error: BaseException, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(setup, "install", fails)
    monkeypatch.setattr(sys, "argv", ["setup.py", "install"])
    assert setup.main() == code
    assert capsys.readouterr().err.strip() == sentence


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_make_alone_lists_every_verb() -> None:
    verbs = {line.split()[1] for line in make().stdout.splitlines()}
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    assert verbs == set(phony.split()[1:])


def test_a_python_that_is_too_old_or_missing_is_one_sentence() -> None:
    tried = make("setup", "PYTHON=/nowhere/python")
    assert tried.returncode != 0
    assert "Python 3.11 or newer is needed and /nowhere/python is not: install one, or name it with" in tried.stderr


def test_the_lock_names_no_index_and_hashes_everything() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "index-url" not in text
    assert "://" not in text
    entries = text.replace("\\\n", "").splitlines()
    assert len(entries) > 100
    assert all(re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_the_lock_holds_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = [*project["project"]["dependencies"], *groups["stack"], *(d for d in groups["dev"] if isinstance(d, str))]
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {re.split(r"[\[<>=]", name)[0].lower() for name in wanted} <= locked
