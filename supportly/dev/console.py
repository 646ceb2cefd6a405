"""What a person sees while the stack works: one line a step with its time, plain when nobody watches a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.text import Text

# Without a terminal, a step that takes long says so this often, so that a log shows that it lives.
STILL_S = 10.0
TITLE_WIDTH = 34


@dataclass
class Step:
    """A step that is running; `detail` stands on its line when it is done."""

    detail: str = ""


class Report:
    """Writes lines and steps to `out`."""

    def __init__(self, out: TextIO | None = None) -> None:
        out = out or sys.stdout
        reconfigure = getattr(out, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")  # a terminal without Unicode gets question marks, not an error
        # soft_wrap: links and sentences stay whole, for copying and for grep
        self._console = Console(file=out, highlight=False, soft_wrap=True, markup=False)
        self.terminal = self._console.is_terminal

    def line(self, text: str = "", style: str = "") -> None:
        """One line; `style` shows on terminals only."""
        self._console.print(Text(text, style=style))

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Rows under their heads, as wide as they need to be."""
        lines = [tuple(head), *(tuple(row) for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        lines.insert(1, tuple("─" * width for width in widths))
        for line in lines:
            self.line("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Times what happens inside and tells how it ended."""
        step = Step()
        began = time.monotonic()
        with self._waiting(title, began):
            try:
                yield step
            except KeyboardInterrupt:
                raise
            except BaseException:
                self._end("✗", "red", title, step.detail, began)
                raise
        self._end("✓", "green", title, step.detail, began)

    def _end(self, mark: str, style: str, title: str, detail: str, began: float) -> None:
        took = f"{time.monotonic() - began:6.2f} s"
        self._console.print(
            Text.assemble("  ", (mark, style), " ", title.ljust(TITLE_WIDTH), (took, "dim"), "  ", (detail, "cyan"))
        )

    @contextmanager
    def _waiting(self, title: str, began: float) -> Iterator[None]:
        if self.terminal:
            with self._console.status(f"{title} …"):
                yield
            return
        done = threading.Event()

        def still() -> None:
            while not done.wait(STILL_S):
                self.line(f"    {title}: {time.monotonic() - began:.0f} s so far")

        threading.Thread(target=still, daemon=True).start()
        try:
            yield
        finally:
            done.set()
