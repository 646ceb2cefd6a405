"""Where and from what a drill ran."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from supportly.dev.postgres import server_programs
from supportly.dev.temporal import find_program


def here() -> dict[str, Any]:
    """Now: date, commit, cores, memory in GB, and the versions of what runs."""
    return {"at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), "commit": commit(), **parts()}


def commit() -> str:
    """The commit that is checked out, with a `+` when files differ from it; `unknown` outside of a repository."""
    try:
        known = _said("git", "rev-parse", "--short=9", "HEAD")
        return known + ("+" if _said("git", "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def parts() -> dict[str, Any]:
    """What does not change while we run."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "python": platform.python_version(),
        "postgresql": _number(_said(server_programs() / "postgres", "--version")),
        "temporal": _server(_said(find_program(), "--version")),
    }


def _said(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _number(text: str) -> str:
    found = re.search(r"\d+(?:\.\d+)+", text)
    return found[0] if found else text


def _server(text: str) -> str:
    """The server's version, which the command names beside its own."""
    found = re.search(r"Server (\d[\d.]*\d)", text)
    return found[1] if found else _number(text)
