"""`supportly settings`: an account's settings of a provider."""

from __future__ import annotations

import json as plain
from typing import Annotated

import typer

from supportly.cli import showing
from supportly.cli.completing import ProviderName, values
from supportly.cli.showing import Json
from supportly.cli.surroundings import AccountOption, caller

app = typer.Typer(no_args_is_help=True, help="Settings of a provider.")


@app.command("show")
def show(provider: ProviderName, *, account: AccountOption = None, json: Json = False) -> None:
    """All settings with what they mean; `--json` has their JSON Schema."""
    at = caller(account)
    found = at.client.send(at.me.integration(provider))
    if json:
        showing.as_json({"settings": found.settings, "schema": found.settings_schema})
        return
    known = found.settings_schema.get("properties", {})
    rows = [[name, plain.dumps(v), known.get(name, {}).get("description", "")] for name, v in found.settings.items()]
    showing.table(("setting", "value", "meaning"), rows)


@app.command("set")
def change(
    provider: ProviderName,
    assignments: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help="JSON where it reads as some, else a text; null resets.")
    ],
    *,
    account: AccountOption = None,
    json: Json = False,
) -> None:
    """Set what is named; everything else stays."""
    at = caller(account)
    done = at.client.send(at.me.change_settings(provider, values(assignments, field="NAME=VALUE")))
    if json:
        showing.as_json(done)
    else:
        showing.table(("setting", "value"), [[name, plain.dumps(value)] for name, value in done.settings.items()])
