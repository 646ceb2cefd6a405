"""`supportly keys`: bring what is sealed to the first key of the ring, and see which keys are still needed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from supportly.cli import showing
from supportly.cli.failing import Exit
from supportly.cli.showing import Json
from supportly.cli.surroundings import with_database
from supportly.dev.console import Report

app = typer.Typer(no_args_is_help=True, help="The keys that seal what is secret.")


@app.command("rotate")
def rotate(
    *,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Values a transaction.")] = 200,
    json: Json = False,
) -> None:
    """Seal everything that lives with the first key of SUPPORTLY_KEYS, beside running work.

    Progress goes to stderr, a line a batch. Interrupted, it goes on where it was. Exits with 5 while something is left.
    """
    from supportly.cli import rotating

    progress = Report(sys.stderr)

    def say(place: str, values: int) -> None:
        progress.line(f"{place}: {values}")

    done = with_database(lambda db, settings: rotating.rotate(db, settings, batch=batch, say=say))
    if json:
        showing.as_json(done.dump())
    else:
        for sentence in done.sentences():
            showing.line(sentence)
    raise typer.Exit(Exit.DONE if done.complete else Exit.LATER)


@app.command("status")
def status(*, json: Json = False) -> None:
    """Which keys stored values, running workflows, Schedules and kept histories need."""
    from supportly.cli import rotating

    found = with_database(rotating.status)
    if json:
        showing.as_json(found.dump())
    else:
        for sentence in found.sentences():
            showing.line(sentence)
