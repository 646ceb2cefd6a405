"""What verbs print: a table or lines for people, one JSON value for programs (`--json`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from supportly.dev.console import Report

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value instead, also for errors.")]

WORD = 14
"""Characters of the longest word that a state or a provider's name has, but for `reconnect_required`."""
STYLES = {
    "connected": "green", "succeeded": "green", "ok": "green", "created": "green", "updated": "green",
    "reconnect_required": "red", "failed": "red", "fail": "red", "stalled": "red",
    "partial": "yellow", "warn": "yellow", "running": "cyan", "not_connected": "dim", "skipped": "dim",
}  # fmt: skip


def as_json(value: BaseModel | Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON value on stdout."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    sys.stdout.write(json.dumps(plain, default=_plain, ensure_ascii=False) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def line(text: str = "", style: str = "") -> None:
    """One line."""
    Report().line(text, style)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Rows under their heads: drawn on a terminal, plain text that `grep` and `cut` like elsewhere."""
    listed = [[shown(cell) for cell in row] for row in rows]
    console = Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())
    if not console.is_terminal:
        if title:
            line(title)
        lines = [list(head), *listed]
        widths = [max(len(row[i]) for row in lines) for i in range(len(head))]
        for row in lines:
            line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    made = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for number, name in enumerate(head):
        longest = max([len(name), *(len(row[number]) for row in listed)])
        # Words and numbers stay whole; long texts are folded, so that nothing is lost on a narrow terminal.
        made.add_column(name, overflow="fold", min_width=min(longest, WORD))
    for row in listed:
        made.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.print(made)


def shown(value: object) -> str:
    """A value of a table, as text without control characters: providers' texts must not steer a terminal."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(c if c.isprintable() else " " for c in str(value))
