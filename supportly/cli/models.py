"""`supportly model`: which model the refined tier reads with, and the switch to another one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from supportly.cli import showing
from supportly.cli.showing import Json
from supportly.cli.surroundings import with_database, with_temporal
from supportly.dev.console import Report

if TYPE_CHECKING:
    from temporalio.client import Client

    from supportly.contracts.knowledge import SwitchProgress

app = typer.Typer(no_args_is_help=True, help="The model of the refined tier, for all accounts.")
NO_SWITCH = "No switch is under way."


@app.command("switch")
def switch(
    spec: Annotated[str, typer.Argument(help="`minilm`, or `openai:<model>` at SUPPORTLY_REFINED_API_URL.")],
    *,
    json: Json = False,
) -> None:
    """Build another model's vectors beside the ones that serve; it takes over when every chunk has its own.

    No provider is asked. Workers need the settings of both models until then.
    """
    from supportly.contracts import ids
    from supportly.contracts.knowledge import SwitchJob

    async def start(client: Client) -> None:
        await client.start_workflow("ModelSwitch", SwitchJob(spec=spec), id=ids.MODEL_SWITCH, task_queue=ids.REFINEMENT)

    with_temporal(start, missing=NO_SWITCH)
    if json:
        showing.as_json({"switching_to": spec})
    else:
        Report().line(f"Switching to {spec}: `python -m supportly model status` says how far it is.")


@app.command("status")
def status(*, json: Json = False) -> None:
    """Which model serves, and how far a switch is."""
    from supportly.storage import knowledge_models

    known = with_database(lambda db, _: knowledge_models.read(db))
    progress, failed = with_temporal(_progress, missing=NO_SWITCH)
    if json:
        models = [{k: v for k, v in asdict(found).items() if k != "spec"} for found in known]
        last = {**progress.model_dump(), "failed": failed} if progress else None
        showing.as_json({"models": models, "switch": last})
        return
    report = Report()
    for found in known:
        report.line(f"{found.tier:8} {found.state:9} {found.name} ({found.dimensions} dimensions)")
    if not known:
        report.line("There is no model yet: the first sync notes one.")
    if progress is None:
        return
    if failed:
        report.line(f"The last switch could not begin: {failed}")
    else:
        done = progress.chunks - progress.lacking
        report.line(f"Switch to {progress.name}: {progress.state}, {done:,} of {progress.chunks:,} chunks")


async def _progress(client: Client) -> tuple[SwitchProgress | None, str]:
    """How far the last switch is, and why it could not begin; None where there was none."""
    from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
    from temporalio.service import RPCError, RPCStatusCode

    from supportly.contracts import ids
    from supportly.contracts.knowledge import SwitchProgress

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


@app.command("abort")
def abort(*, json: Json = False) -> None:
    """Give a switch up; the model that serves goes on serving."""
    from supportly.contracts import ids

    async def stop(client: Client) -> None:
        await client.get_workflow_handle(ids.MODEL_SWITCH).signal("abandon")

    with_temporal(stop, missing=NO_SWITCH)
    if json:
        showing.as_json({"abandoned": True})
    else:
        Report().line("The switch is given up; the vectors that it made are removed.")
