"""The command line of Supportly Integrations.

Verbs for callers ask the API that SUPPORTLY_API_URL and SUPPORTLY_API_TOKEN name; verbs for operators (token, keys,
model, migrate, doctor, reconcile) speak to database and Temporal. Without those in the environment, both work on the
stack that runs in this directory. Every verb takes --json; docs/cli.md lists the exit codes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import typer

from supportly.cli import (
    actions,
    captain,
    connecting,
    contacts,
    diagnosis,
    keys,
    knowledge,
    models,
    repairs,
    settings,
    stacks,
    tables,
    tokens,
)
from supportly.cli.failing import CommandError, Exit, told
from supportly.dev import faults
from supportly.dev.console import Report
from supportly.dev.stack import StackError, default_directory
from supportly.errors import SupportlyError

app = typer.Typer(name="supportly", no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
Verbs = Sequence[Callable[..., None]]


def _add(panel: str, verbs: Verbs, rooms: Mapping[str, typer.Typer]) -> None:
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)
    for name, room in rooms.items():
        app.add_typer(room, name=name, rich_help_panel=panel)


_add(
    "For callers",
    (connecting.connect, connecting.disconnect, connecting.status, knowledge.sync, knowledge.search, captain.mcp),
    {"contact": contacts.app, "action": actions.app, "settings": settings.app},
)
_add(
    "For operators",
    (diagnosis.doctor, tables.migrate, repairs.reconcile),
    {"token": tokens.app, "keys": keys.app, "model": models.app, "stack": stacks.app},
)


def main() -> NoReturn:
    """Runs the command line; what goes wrong is one sentence, and the exit code says that something did."""
    try:
        app(standalone_mode=True)
    except SupportlyError as error:
        sys.exit(told(error, as_json="--json" in sys.argv))
    except CommandError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except StackError as error:
        _say(str(error))
    except OSError as error:
        _say(str(faults.from_os_error(error, default_directory())))
    sys.exit(Exit.FAILED)


def _say(sentence: str) -> None:
    if "--json" in sys.argv:
        sys.stderr.write(json.dumps({"error": sentence, "code": "command_failed"}) + "\n")
    else:
        Report(sys.stderr).line(sentence, "red")
