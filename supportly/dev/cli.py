"""The command line: `python -m supportly token|model|stack|migrate …`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from supportly.dev import faults, tether
from supportly.dev.console import Report
from supportly.dev.stack import Ports, Stack, StackError, default_directory, worker_count

if TYPE_CHECKING:  # they are heavy, and most verbs do without
    from temporalio.client import Client

    from supportly.settings import Settings
    from supportly.storage.database import Database

INTERRUPTED = 130
T = TypeVar("T")

app = typer.Typer(
    name="supportly", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
token = typer.Typer(no_args_is_help=True, help="Tokens with which callers prove who they are.")
stack = typer.Typer(no_args_is_help=True, help="The whole service on this machine, without Docker.")
model = typer.Typer(no_args_is_help=True, help="The model of the refined tier, for all accounts.")
app.add_typer(token, name="token")
app.add_typer(model, name="model")
app.add_typer(stack, name="stack")


class Role(StrEnum):
    """What a token may do."""

    ADMINISTRATOR = "administrator"
    AGENT = "agent"


@token.command("create")
def token_create(
    account: Annotated[int, typer.Option(min=1, help="The Supportly account that it opens.")],
    role: Annotated[Role, typer.Option(help="Administrators may also connect, disconnect and set.")],
    name: Annotated[str, typer.Option(help="What it is for, so that it can be recognised in the list.")],
    *,
    quiet: Annotated[bool, typer.Option(help="Print the token alone.")] = False,
) -> None:
    """Create a token and show it, once: only its HMAC is stored."""
    from supportly.storage import tokens

    number, plain = _with_database(
        lambda db, settings: tokens.create(db, account, role.value, name, settings.token_pepper.get_secret_value())
    )
    report = Report()
    report.line(plain)
    if not quiet:
        Report(sys.stderr).line(f"Token {number} for account {account}, {role.value}. It is not shown again.")


@token.command("revoke")
def token_revoke(number: Annotated[str, typer.Argument(metavar="ID", help="The id that `list` shows.")]) -> None:
    """Make a token useless, at once."""
    from supportly.storage import tokens

    if not _with_database(lambda db, _: tokens.revoke(db, number)):
        raise StackError(f"No working token has the id {number}: `python -m supportly token list` shows all of them.")
    Report().line(f"Token {number} is revoked.")


@token.command("list")
def token_list() -> None:
    """All tokens, without what they are."""
    from supportly.storage import tokens

    report = Report()
    found = _with_database(lambda db, _: tokens.list_all(db))
    rows = [{name: _shown(value) for name, value in asdict(row).items()} for row in found]
    if not rows:
        report.line("There are no tokens: `python -m supportly token create` makes one.")
        return
    names = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in ({name: name for name in names}, *rows):
        report.line("  ".join(row[name].ljust(widths[name]) for name in names).rstrip())


@model.command("switch")
def model_switch(
    spec: Annotated[str, typer.Argument(help="`minilm`, or `openai:<model>` at SUPPORTLY_REFINED_API_URL.")],
) -> None:
    """Build another model's vectors beside the ones that serve; it takes over when every chunk has its own.

    No provider is asked. Workers need the settings of both models until then.
    """
    from supportly.contracts import ids
    from supportly.contracts.knowledge import SwitchJob

    async def start(client: Client) -> None:
        await client.start_workflow("ModelSwitch", SwitchJob(spec=spec), id=ids.MODEL_SWITCH, task_queue=ids.REFINEMENT)

    _with_temporal(start)
    Report().line(f"Switching to {spec}: `python -m supportly model status` says how far it is.")


@model.command("status")
def model_status() -> None:
    """Which model serves, and how far a switch is."""
    from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
    from temporalio.service import RPCError, RPCStatusCode

    from supportly.contracts import ids
    from supportly.contracts.knowledge import SwitchProgress
    from supportly.storage import knowledge_models

    report = Report()
    known = _with_database(lambda db, _: knowledge_models.read(db))
    for found in known:
        report.line(f"{found.tier:8} {found.state:9} {found.name} ({found.dimensions} dimensions)")
    if not known:
        report.line("There is no model yet: the first sync notes one.")

    async def ask(client: Client) -> tuple[SwitchProgress | None, str]:
        handle = client.get_workflow_handle(ids.MODEL_SWITCH)
        try:
            state = (await handle.describe()).status
            progress: SwitchProgress = await handle.query("progress", result_type=SwitchProgress)
            if state == WorkflowExecutionStatus.FAILED:
                await handle.result()
        except WorkflowFailureError as error:
            return progress, getattr(error.cause, "message", "") or str(error.cause)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return None, ""
        return progress, ""

    progress, failed = _with_temporal(ask)
    if progress is None:
        return
    if failed:
        report.line(f"The last switch could not begin: {failed}")
    else:
        done = progress.chunks - progress.lacking
        report.line(f"Switch to {progress.name}: {progress.state}, {done:,} of {progress.chunks:,} chunks")


@model.command("abort")
def model_abort() -> None:
    """Give a switch up; the model that serves goes on serving."""
    from supportly.contracts import ids

    async def stop(client: Client) -> None:
        await client.get_workflow_handle(ids.MODEL_SWITCH).signal("abandon")

    _with_temporal(stop)
    Report().line("The switch is given up; the vectors that it made are removed.")


@app.command()
def migrate() -> None:
    """Bring the tables up to date, and give the application role the password in SUPPORTLY_DATABASE_URL, if any."""
    import psycopg
    from psycopg import sql
    from sqlalchemy.engine import make_url

    from supportly.settings import Settings
    from supportly.storage import migrate as migrations

    _adopt_running_stack()
    settings = Settings()
    owner = settings.admin_database_url
    if not owner:
        raise StackError("SUPPORTLY_ADMIN_DATABASE_URL is not set: name PostgreSQL as the owner of the tables there.")
    migrations.upgrade(owner)
    application = make_url(settings.database_url)
    if application.password:
        plain = make_url(owner).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain) as connection:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            role = sql.Identifier(application.username or "")
            connection.execute(statement.format(role, sql.Literal(application.password)))
    Report().line("The tables are up to date.")


@stack.command("up")
def stack_up() -> None:
    """Start everything, write stack.json, and stay until Ctrl-C."""
    report = Report()
    with _interruptible(report), _configured(report).start() as running:
        report.line(f"  How to reach it, with tokens:  {running.file}")
        report.line(f"  API {running.api_url}/docs   Temporal UI {_ui(running)}")
        report.line("  Ctrl-C stops it.")
        running.watch()


@stack.command("demo")
def stack_demo() -> None:
    """Start everything, tell the whole story over HTTP, and stop (on a terminal: when a key is pressed)."""
    from supportly.dev import demo

    report = Report()
    with _interruptible(report), _configured(report).start() as running:
        worked = demo.tell(running, report)
        if worked and sys.stdin.isatty() and report.terminal:
            demo.wait_for_key(report)
    raise typer.Exit(0 if worked else 1)


def main() -> NoReturn:
    """Runs the command line; what goes wrong is one sentence, and the exit code says that something did."""
    try:
        app(standalone_mode=True)
    except StackError as error:
        Report(sys.stderr).line(str(error), "red")
    except OSError as error:
        Report(sys.stderr).line(str(faults.from_os_error(error, default_directory())), "red")
    sys.exit(1)


def _configured(report: Report) -> Stack:
    return Stack(default_directory(), workers=worker_count(), ports=Ports.from_environment(), report=report)


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
        raise typer.Exit(INTERRUPTED) from None


def _with_database(work: Callable[[Database, Settings], Awaitable[T]]) -> T:
    """Runs `work` on the database: that of the environment, else that of the stack that runs here."""
    from supportly.errors import SupportlyError
    from supportly.settings import Settings
    from supportly.storage.database import Database

    _adopt_running_stack()
    settings = Settings()

    async def run() -> T:
        database = Database(settings.admin_database_url or settings.database_url)
        try:
            return await work(database, settings)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except SupportlyError as error:
        raise StackError(
            f"{error.message} `make up` starts one here, or SUPPORTLY_ADMIN_DATABASE_URL names another."
        ) from error


def _with_temporal(work: Callable[[Client], Awaitable[T]]) -> T:
    """Runs `work` with a client of the workflow server; what keeps it from working is one sentence."""
    from temporalio.service import RPCError, RPCStatusCode

    from supportly.settings import Settings
    from supportly.temporal import connect

    _adopt_running_stack()

    async def run() -> T:
        return await work(await connect(Settings()))

    try:
        return asyncio.run(run())
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise StackError("No switch is under way.") from None
        raise StackError("The workflow server is away, or refuses: try again.") from None
    except RuntimeError:
        raise StackError("The workflow server cannot be reached: SUPPORTLY_TEMPORAL_ADDRESS names it.") from None


def _adopt_running_stack() -> None:
    """Without a database in the environment, works on the stack that runs in this directory, with its secrets."""
    if "SUPPORTLY_DATABASE_URL" in os.environ or "SUPPORTLY_ADMIN_DATABASE_URL" in os.environ:
        return
    directory = default_directory()
    try:
        facts = json.loads((directory / "stack.json").read_text())
        secrets = json.loads((directory / "secrets.json").read_text())
    except (OSError, ValueError):
        return
    url = facts["database_url"].replace("postgresql://", "postgresql+psycopg://")
    os.environ["SUPPORTLY_ADMIN_DATABASE_URL"] = url
    for name in ("temporal_address", "temporal_namespace"):
        if name in facts:
            os.environ.setdefault(f"SUPPORTLY_{name.upper()}", facts[name])
    os.environ.setdefault("SUPPORTLY_KEYS", secrets["keys"])
    os.environ.setdefault("SUPPORTLY_TOKEN_PEPPER", secrets["token_pepper"])


def _shown(value: object) -> str:
    """A value of a list, as text."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "" if value is None else str(value)
