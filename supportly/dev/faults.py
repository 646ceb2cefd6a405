"""What can go wrong while a stack starts, each as one sentence that says what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

# A fresh stack takes about 130 MB (the clusters' write-ahead log alone 64 MB, Temporal's file 10 MB) and PostgreSQL
# stops dead when its log cannot grow; below this much, a demo and its sync may end in the middle.
MINIMUM_FREE_BYTES = 500_000_000

OWN_PACKAGES = {"supportly", "workflows", "activities", "api", "sandbox", "worker"}
START_AFRESH = "`make clean` throws the stack's data away, then start again."


class StackError(Exception):
    """The stack cannot do what was asked; the message is one sentence for a person and says what helps."""


def check_free_space(directory: Path, minimum: int = MINIMUM_FREE_BYTES) -> None:
    """Raises when the disk under `directory` (which need not exist yet) is nearly full."""
    existing = next(p for p in (directory, *directory.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < minimum:
        raise StackError(
            f"Only {free // 1_000_000} MB are free on the disk of {existing}, and the stack wants "
            f"{minimum // 1_000_000} MB so that PostgreSQL's log can grow: free some space, or set SUPPORTLY_STACK_DIR "
            "to another disk."
        )


def disk_full(where: Path) -> StackError:
    """The sentence for ENOSPC."""
    return StackError(
        f"The disk of {where} is full: free some space, or set SUPPORTLY_STACK_DIR to another disk, and start again."
    )


def from_os_error(error: OSError, where: Path) -> StackError:
    """An operating-system error as a sentence; `where` is the directory that was worked on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(where)
    name = error.filename or where
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StackError(
            f"{name} cannot be written ({os.strerror(error.errno)}): mend its permissions, or set SUPPORTLY_STACK_DIR "
            "to a directory of yours."
        )
    return StackError(f"{name}: {error.strerror or error}. {START_AFRESH}")


def explain(name: str, log: Path, ended: str) -> StackError:
    """Why the process `name` ended, read from the end of its log; `ended` says how it ended."""
    tail = last_lines(log, 200)
    if re.search(r"No space left on device|Check free disk space|database or disk is full|Disk quota exceeded", tail):
        return disk_full(log.parent)
    if name == "PostgreSQL" and (fatal := re.findall(r"(?:FATAL|PANIC):\s+(?!the database system is)(.+)", tail)):
        return StackError(f"PostgreSQL does not start on {log.parent}: {fatal[-1].rstrip('.')}. {START_AFRESH}")
    if name == "Temporal" and re.search(r"malformed|not a database|corrupt|disk I/O error", tail):
        return StackError(f"Temporal does not start, its database in {log.parent} is damaged. {START_AFRESH}")
    missing = re.search(r"ModuleNotFoundError: No module named '([^']+)'", tail)
    if missing and missing[1].split(".")[0] not in OWN_PACKAGES:
        return StackError(
            f"{name} {ended}: the module {missing[1]} is missing, so the environment is damaged: `make clean`, then "
            "start again."
        )
    said = f"\n{indent(last_lines(log, 8))}" if tail.strip() else " It said nothing."
    return StackError(f"{name} {ended}; its log is {log}.{said}")


def last_lines(log: Path, count: int) -> str:
    """The last `count` lines of a log, or nothing when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 20_000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""


def indent(text: str) -> str:
    """Text set off from the sentence before it."""
    return "\n".join(f"    {line}" for line in text.splitlines())
