"""`supportly action`: what else a provider can do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from supportly.cli import showing
from supportly.cli.completing import ProviderName, values
from supportly.cli.failing import CommandError, Exit
from supportly.cli.showing import Json
from supportly.cli.surroundings import AccountOption, caller

app = typer.Typer(no_args_is_help=True, help="Provider actions.")


@app.command("list")
def list_all(provider: ProviderName, *, account: AccountOption = None, json: Json = False) -> None:
    """The provider's actions; `--json` has the schemas of their parameters."""
    at = caller(account)
    found = at.client.send(at.me.integration(provider)).actions
    if json:
        showing.as_json(found)
        return
    rows = [[a.name, "writes" if a.writes else "reads", _parameters(a.params_schema), a.description] for a in found]
    showing.table(("action", "", "parameters", "description"), rows)


def _parameters(schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    return " ".join(name if name in needed else f"[{name}]" for name in schema.get("properties", {}))


@app.command("run")
def run(
    provider: ProviderName,
    action: Annotated[str, typer.Argument(help="Name of the action; `action list` shows all.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="NAME=VALUE; the value is JSON where it reads as some, else a text."),
    ] = None,
    *,
    params: Annotated[str, typer.Option(help="All parameters as one JSON object.")] = "",
    key: Annotated[str, typer.Option(help="Idempotency-Key: a write happens once per key.")] = "",
    account: AccountOption = None,
    json: Json = False,
) -> None:
    """Run an action."""
    at = caller(account)
    ask = at.me.run_action(provider, action, {**_object(params), **values(param or [], field="--param")})
    done = at.client.send(ask.keyed(key) if key else ask)
    if json:
        showing.as_json(done)
    elif done.items is not None:
        names = [
            name for name, value in (done.items[0] if done.items else {}).items() if not isinstance(value, dict | list)
        ]
        showing.table(names or ["(nothing)"], [[item.get(name) for name in names] for item in done.items])
        if done.next_cursor:
            showing.line(f"More: --param cursor='{showing.shown(done.next_cursor)}'", "dim")
    else:
        showing.table(("field", "value"), [[name, value] for name, value in (done.result or {}).items()])


def _object(text: str) -> dict[str, Any]:
    import json as plain

    if not text:
        return {}
    try:
        found = plain.loads(text)
    except ValueError as error:
        raise CommandError(f"--params is no JSON: {error}.", Exit.WRONG_INPUT) from None
    if not isinstance(found, dict):
        raise CommandError("--params has to be a JSON object.", Exit.WRONG_INPUT)
    return found
