"""Where a verb works: on API, database and Temporal of the environment, else on those of the stack that runs here."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from supportly.cli.failing import CommandError, Exit
from supportly.dev.postgres import APPLICATION_ROLE
from supportly.dev.stack import default_directory, outside

if TYPE_CHECKING:  # they are heavy, and most verbs do without
    from temporalio.client import Client as Temporal

    from supportly.client import Account, Client
    from supportly.settings import Settings
    from supportly.storage.database import Database

T = TypeVar("T")

AccountOption = Annotated[
    int | None,
    typer.Option(
        "--account", min=1, envvar="SUPPORTLY_ACCOUNT", help="Supportly account; default: the stack's, else 1."
    ),
]


def _stack(name: str) -> dict[str, Any]:
    """A file of the stack that runs in this directory; empty without one."""
    try:
        found: dict[str, Any] = json.loads((default_directory() / name).read_text())
    except (OSError, ValueError):
        return {}
    return found


@dataclass(frozen=True)
class Place:
    """An account, and a client that may speak for it."""

    client: Client
    me: Account


def where(account: int | None) -> tuple[str, str, int]:
    """Address, token and account: what `SUPPORTLY_API_URL` and `SUPPORTLY_API_TOKEN` name, else the stack's."""
    url, token = os.environ.get("SUPPORTLY_API_URL", ""), os.environ.get("SUPPORTLY_API_TOKEN", "")
    facts = {} if url else _stack("stack.json")
    url, token = url or str(facts.get("api_url", "")), token or str(facts.get("admin_token", ""))
    if not url:
        raise CommandError(
            "No API is named: set SUPPORTLY_API_URL and SUPPORTLY_API_TOKEN, or start a stack here with `make up`."
        )
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"SUPPORTLY_API_URL={url} is no address: it begins with https://.", Exit.WRONG_INPUT)
    if not token:
        raise CommandError(
            "SUPPORTLY_API_TOKEN is not set: `python -m supportly token create` makes one.", Exit.NOT_ALLOWED
        )
    return url, token, account or int(facts.get("account_id", 1))


def caller(account: int | None) -> Place:
    """An account of the API, and a client that may speak for it."""
    from supportly.client import Account, Client

    url, token, number = where(account)
    return Place(Client(url, token), Account(number))


def account_id(account: int | None) -> int:
    """The account that was named, else the stack's, else 1."""
    return account or int(_stack("stack.json").get("account_id", 1))


def settings(*, whole_stack: bool = False) -> Settings:
    """The service's settings, of the environment or the running stack. Raises CommandError for what is not valid.

    `whole_stack` also takes over what API and worker of a running stack have: the application's role, the sandbox.
    """
    from pydantic import ValidationError

    from supportly.settings import Settings

    adopt_running_stack(whole=whole_stack)
    try:
        return Settings()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(("SUPPORTLY", *(str(part).upper() for part in found["loc"]))) if found["loc"] else "Settings"
        raise CommandError(f"{name}: {found['msg'].removeprefix('Value error, ')}.", Exit.WRONG_INPUT) from None


def with_database(work: Callable[[Database, Settings], Awaitable[T]]) -> T:
    """Runs `work` on the database as the tables' owner, where one is named."""
    from supportly.errors import SupportlyError
    from supportly.storage.database import Database

    chosen = settings()

    async def run() -> T:
        database = Database(chosen.admin_database_url or chosen.database_url)
        try:
            return await work(database, chosen)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except SupportlyError as error:
        raise CommandError(
            f"{error.message} `make up` starts one here, or SUPPORTLY_ADMIN_DATABASE_URL names another."
        ) from error


def with_temporal(work: Callable[[Temporal], Awaitable[T]], *, missing: str) -> T:
    """Runs `work` with a client of the workflow server; `missing` is the sentence for a workflow that is not there."""
    from temporalio.service import RPCError, RPCStatusCode

    from supportly.temporal import connect

    chosen = settings()

    async def run() -> T:
        return await work(await connect(chosen))

    try:
        return asyncio.run(run())
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise CommandError(missing) from None
        raise CommandError("The workflow server is away, or refuses: try again.") from None
    except ValueError as error:  # a key ring that is none
        raise CommandError(f"{error}.", Exit.WRONG_INPUT) from None
    except RuntimeError:
        raise CommandError("The workflow server cannot be reached: SUPPORTLY_TEMPORAL_ADDRESS names it.") from None


def adopt_running_stack(*, whole: bool = False) -> None:
    """Without a database in the environment, works on the stack that runs in this directory, with its secrets."""
    if "SUPPORTLY_DATABASE_URL" in os.environ or "SUPPORTLY_ADMIN_DATABASE_URL" in os.environ:
        return
    facts, secrets = _stack("stack.json"), _stack("secrets.json")
    if not facts or not secrets:
        return
    url = facts["database_url"].replace("postgresql://", "postgresql+psycopg://")
    os.environ["SUPPORTLY_ADMIN_DATABASE_URL"] = url
    for name in ("temporal_address", "temporal_namespace"):
        if name in facts:
            os.environ.setdefault(f"SUPPORTLY_{name.upper()}", facts[name])
    os.environ.setdefault("SUPPORTLY_KEYS", secrets["keys"])
    os.environ.setdefault("SUPPORTLY_TOKEN_PEPPER", secrets["token_pepper"])
    if whole:
        os.environ["SUPPORTLY_DATABASE_URL"] = re.sub(r"//[^@/]+@", f"//{APPLICATION_ROLE}@", url)
        for name, value in outside(facts["api_url"], facts["sandbox_url"]).items():
            os.environ.setdefault(name, value)
