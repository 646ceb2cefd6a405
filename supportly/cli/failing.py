"""How a verb fails: one sentence, and an exit code that scripts can tell apart (docs/cli.md lists them)."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import Any

from supportly.dev.console import Report
from supportly.dev.faults import StackError
from supportly.errors import SupportlyError


class Exit(IntEnum):
    """Exit codes; 130 (interrupted) and 2 (a wrong command line) are what shells and Typer use for these."""

    DONE = 0
    FAILED = 1
    WRONG_INPUT = 2
    NOT_ALLOWED = 3
    NOT_SO = 4
    """What was asked for does not exist, or contradicts how things stand (not connected, ambiguous, held)."""
    LATER = 5
    """Away, busy or throttled: the same command can work later."""
    PROVIDER = 6
    FOUND = 7
    """`doctor` found something to do."""
    INTERRUPTED = 130


BY_STATUS = {
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_SO,
    409: Exit.NOT_SO,
    413: Exit.WRONG_INPUT,
    415: Exit.WRONG_INPUT,
    422: Exit.WRONG_INPUT,
    429: Exit.LATER,
    502: Exit.PROVIDER,
    503: Exit.LATER,
    504: Exit.LATER,
}


class CommandError(StackError):
    """A verb cannot do what was asked; the message is a sentence for a person and says what helps."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def told(error: SupportlyError, *, as_json: bool) -> Exit:
    """Write the error to stderr, and answer the exit code that goes with it."""
    if as_json:
        shown = {
            "error": error.message,
            "code": error.own_code,
            "status": error.status,
            "details": error.details,
            "request_id": error.request_id,
        }
        sys.stderr.write(json.dumps(shown, default=str) + "\n")
    else:
        report = Report(sys.stderr)
        report.line(error.message, "red")
        for line in _hints(error.details):
            report.line(f"  {line}")
        if error.request_id:
            report.line(f"  request {error.request_id}", "dim")
    return BY_STATUS.get(error.status, Exit.FAILED)


def _hints(details: dict[str, Any]) -> list[str]:
    """What the details say for a person: every wrong field, and what would be right."""
    lines = [f"{p['field']}: {p['problem']}" for p in details.get("problems", []) if isinstance(p, dict)]
    if not lines and details.get("field"):
        lines.append(f"field: {details['field']}")
    if details.get("allowed") is not None:
        lines.append(f"allowed: {', '.join(map(str, details['allowed']))}")
    lines += [
        f"{name}: {details[name]}" for name in ("reason", "provider_status", "provider_code") if details.get(name)
    ]
    for name in ("candidates", "choices"):
        lines += [f"{name}: {json.dumps(one, default=str)}" for one in details.get(name) or []]
    if details.get("operation_id"):
        lines.append(f"operation: {details['operation_id']}")
    return lines
