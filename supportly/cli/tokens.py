"""`supportly token`: create, revoke and list what callers prove themselves with."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from supportly.cli import showing
from supportly.cli.failing import CommandError
from supportly.cli.showing import Json
from supportly.cli.surroundings import with_database
from supportly.dev.console import Report

app = typer.Typer(no_args_is_help=True, help="Tokens with which callers prove who they are.")


class Role(StrEnum):
    """What a token may do."""

    ADMINISTRATOR = "administrator"
    AGENT = "agent"


@app.command("create")
def create(
    account: Annotated[int, typer.Option(min=1, help="The Supportly account that it opens.")],
    role: Annotated[Role, typer.Option(help="Administrators may also connect, disconnect and set.")],
    name: Annotated[str, typer.Option(help="What it is for, so that it can be recognised in the list.")],
    *,
    quiet: Annotated[bool, typer.Option(help="Print the token alone.")] = False,
    json: Json = False,
) -> None:
    """Create a token and show it, once: only its HMAC is stored."""
    from supportly.storage import tokens

    number, plain = with_database(
        lambda db, settings: tokens.create(db, account, role.value, name, settings.token_pepper.get_secret_value())
    )
    if json:
        showing.as_json({"id": number, "token": plain, "account_id": account, "role": role.value, "name": name})
        return
    Report().line(plain)
    if not quiet:
        Report(sys.stderr).line(f"Token {number} for account {account}, {role.value}. It is not shown again.")


@app.command("revoke")
def revoke(
    number: Annotated[str, typer.Argument(metavar="ID", help="The id that `list` shows.")], *, json: Json = False
) -> None:
    """Make a token useless, at once."""
    from supportly.storage import tokens

    if not with_database(lambda db, _: tokens.revoke(db, number)):
        raise CommandError(f"No working token has the id {number}: `python -m supportly token list` shows all of them.")
    if json:
        showing.as_json({"id": number, "revoked": True})
    else:
        Report().line(f"Token {number} is revoked.")


@app.command("list")
def list_all(*, json: Json = False) -> None:
    """All tokens, without what they are."""
    from supportly.storage import tokens

    found = [asdict(row) for row in with_database(lambda db, _: tokens.list_all(db))]
    if json:
        showing.as_json(found)
    elif not found:
        Report().line("There are no tokens: `python -m supportly token create` makes one.")
    else:
        showing.table(list(found[0]), [list(row.values()) for row in found])
