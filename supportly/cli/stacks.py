"""`supportly stack`: the whole service on this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from supportly.cli.failing import Exit
from supportly.dev import tether
from supportly.dev.console import Report
from supportly.dev.stack import Ports, Stack, default_directory, worker_count

app = typer.Typer(no_args_is_help=True, help="The whole service on this machine, without Docker.")


@app.command("up")
def up() -> None:
    """Start everything, write stack.json, and stay until Ctrl-C."""
    report = Report()
    with _interruptible(report), _configured(report).start() as running:
        report.line(f"  How to reach it, with tokens:  {running.file}")
        report.line(f"  Console {running.console_url} (sign in with the file's admin_token)")
        report.line(f"  API {running.api_url}/docs   Temporal UI {_ui(running)}")
        report.line("  Ctrl-C stops it.")
        running.watch()


@app.command("demo")
def demo() -> None:
    """Start everything, tell the whole story over HTTP, and stop (on a terminal: when a key is pressed)."""
    from supportly.dev import demo as story

    report = Report()
    with _interruptible(report), _configured(report).start() as running:
        worked = story.tell(running, report)
        if worked and sys.stdin.isatty() and report.terminal:
            story.wait_for_key(report)
    raise typer.Exit(Exit.DONE if worked else Exit.FAILED)


def _configured(report: Report) -> Stack:
    return Stack(
        default_directory(), workers=worker_count(), bulk_workers=1, ports=Ports.from_environment(), report=report
    )


def _ui(running: Stack) -> str:
    return running.temporal.ui_url if running.temporal else ""


@contextmanager
def _interruptible(report: Report) -> Iterator[None]:
    """A request to end, from whomever, stops the stack as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    # Started by make, we are nothing without it: a killed make must not leave a stack behind.
    if "MAKELEVEL" in os.environ:
        tether.die_with_parent(signal.SIGTERM)
    try:
        yield
    except KeyboardInterrupt:
        report.line("Stopped.")
        raise typer.Exit(Exit.INTERRUPTED) from None
