"""Makes the virtual environment from the lock file, and clears everything away: `setup.py install|clean`.

Runs with the system's Python before anything is installed: standard library only, nothing imported from here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / ".requirements.sha256"
# The environment takes 1,030 MB, and pip keeps 370 MB of archives on the way there.
MINIMUM_FREE_BYTES = 1_800_000_000
STILL_S = 15.0
LEFTOVERS = (
    ".stack", ".venv", ".cache", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache",
    "htmlcov",
)  # fmt: skip


# What the service and its tests import: tried once after the installation, which also compiles it.
IMPORTED = [
    "alembic.command", "authlib.oauth2", "bs4", "fastapi", "fastembed", "httpx", "hypothesis", "jsonschema",
    "langchain_text_splitters", "lxml.html", "markdownify", "pgvector.sqlalchemy", "phonenumbers", "psycopg",
    "pydantic_settings", "pytest_asyncio", "pytest_cov", "rich.console", "rich.status",
    "sqlalchemy.dialects.postgresql", "sqlalchemy.ext.asyncio", "temporalio.contrib.pydantic", "temporalio.testing",
    "temporalio.worker", "typer", "uvicorn.protocols.http.auto", "uvloop", "wordllama", "xdist.plugin",
]  # fmt: skip


class SetupError(Exception):
    """What keeps the environment from being made, as one sentence for a person."""


def say(text: str) -> None:
    """One line for a person, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def fingerprint() -> str:
    """What the environment was made from: the lock file and this Python."""
    return hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()


def works(python: Path) -> bool:
    """True if the environment's Python starts and has pip."""
    try:
        return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def install() -> None:
    """Brings .venv to what requirements.lock says; returns at once when it is there already."""
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted and (VENV / "bin" / "python").exists():
        return
    free = shutil.disk_usage(ROOT).free
    if free < MINIMUM_FREE_BYTES:
        raise SetupError(
            f"Only {free // 1_000_000} MB are free on the disk of {ROOT}, and the environment needs "
            f"{MINIMUM_FREE_BYTES // 1_000_000} MB while it is made: free some space."
        )
    began = time.monotonic()
    python = VENV / "bin" / "python"
    if not works(python):
        if VENV.exists():
            say("The environment .venv is damaged and is made anew.")
            shutil.rmtree(VENV)
        say(f"Making the environment .venv with Python {sys.version.split()[0]}")
        made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            said = (made.stdout + made.stderr).strip()
            if "ensurepip" in said:
                raise SetupError(
                    f"{sys.executable} cannot make environments with pip: install your system's package for it "
                    "(Debian and Ubuntu: python3-venv), or set PYTHON to another Python from 3.11 on."
                )
            raise SetupError(
                f"The environment could not be made: {said.splitlines()[-1] if said else 'no reason given'}"
            )
    _pip(python)
    _try_imports(python)
    STAMP.write_text(wanted)
    say(f"Environment ready after {time.monotonic() - began:.0f} s")


def _pip(python: Path) -> None:
    """Installs the lock file, showing how far it is."""
    total = len(re.findall(r"^\S+==", LOCK.read_text(), re.MULTILINE))
    say(f"Installing up to {total} locked packages (about 370 MB when they are not in pip's cache)")
    # --no-compile: compiling everything takes half a minute, and most of what is installed is never imported.
    command: list[str | Path] = [
        python, "-m", "pip", "install", "--no-deps", "--require-hashes", "--no-compile", "--no-input",
        "--disable-pip-version-check", "--progress-bar", "off", "-r", LOCK,
    ]  # fmt: skip
    tty = sys.stdout.isatty()
    lines: list[str] = []
    fetched, told = 0, time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None  # noqa: S101 - for the type checker: we asked for a pipe
        for line in pip.stdout:
            lines.append(line.rstrip())
            fetched += line.startswith(("Collecting ", "Requirement already satisfied"))
            doing = f"unpacking {fetched}" if line.startswith("Installing") else f"fetched {fetched}"
            if tty or line.startswith("Installing") or time.monotonic() - told > STILL_S:
                told = time.monotonic()
                sys.stdout.write(f"\r  {doing} packages " if tty else f"  {doing} packages\n")
                sys.stdout.flush()
        code = pip.wait()
    if tty:
        sys.stdout.write("\r\033[K")
    if code != 0:
        raise SetupError(_reason("\n".join(lines)))


def _try_imports(python: Path) -> None:
    """Imports what will be imported, so that it is known to work, and compiled for every later process."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["ORT_DISABLE_TELEMETRY"] = "1"  # as supportly/knowledge/weights.py says
    tried = subprocess.run([python, "-c", code, *IMPORTED], capture_output=True, text=True, env=env, check=False)
    if tried.returncode != 0:
        why = tried.stderr.strip().splitlines()[-1:]
        raise SetupError(f"What was installed does not work ({''.join(why)}): `make clean`, then start again.")


def _reason(said: str) -> str:
    """What pip said, as one sentence."""
    if "No space left on device" in said or "Errno 28" in said:
        return f"The disk of {ROOT} became full while packages were installed: free some space and start again."
    if "DO NOT MATCH THE HASHES" in said:
        return (
            "A package differs from what requirements.lock recorded, so nothing of it is used: a damaged cache is the "
            "usual cause, so run `python3 -m pip cache purge` and start again."
        )
    if re.search(r"ConnectionError|Max retries|Temporary failure|Name or service|timed out|ProxyError|SSLError", said):
        return "pip could not reach its package index: check the connection and pip's own settings (`pip config list`)."
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")] or said.splitlines()[-1:]
    return f"pip failed ({errors[-1] if errors else 'no reason given'}): `make clean`, then start again."


def clean() -> None:
    """Removes the stack's state, the environment and every cache of ours; refuses while a stack runs."""
    lock = ROOT / ".stack" / "lock"
    if lock.exists():
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupError(f"A stack (process {file.read().strip()}) runs in .stack: stop it first.") from None
    for name in LEFTOVERS:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for path in (*ROOT.glob(".coverage*"), *ROOT.glob("*.egg-info")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in ROOT.rglob("__pycache__"):
        shutil.rmtree(path, ignore_errors=True)
    say("Removed .stack, .venv and the caches.")


def main() -> int:
    """0 if it worked; otherwise says why and returns 1."""
    try:
        {"install": install, "clean": clean}[sys.argv[1]]()
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        full = "The disk is full: free some space" if "No space left" in str(error) else str(error)
        sys.stderr.write(f"{full}. Then start again.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; the next start carries on from here.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
