"""`supportly reconcile`: starts again what has to run by the rows, after database or Temporal was restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supportly.cli import showing
from supportly.cli.failing import CommandError, Exit
from supportly.cli.showing import Json
from supportly.cli.surroundings import with_temporal
from supportly.dev.console import Report

if TYPE_CHECKING:
    from temporalio.client import Client

    from supportly.contracts.maintenance import Reconciled

PATIENCE_S = 600.0
"""The comparison goes on in the worker when we stop waiting for it: some thousand connections take this long."""
WORDS = {
    "workflows_started": "connections had no workflow: their tokens are refreshed again",
    "rows_changed": "connections had a newer token than the restored row: tried again with the row's",
    "schedules_made": "knowledge Schedules were missing",
    "revocations_started": "revocations were under way",
    "disconnects_resumed": "disconnects had stopped half way",
    "deliveries_started": "events were on their way to Supportly",
}


def reconcile(*, json: Json = False) -> None:
    """Start again what has to run and does not, after PostgreSQL or Temporal was restored. Repeating it is safe."""
    done = with_temporal(_ask, missing="")
    if json:
        showing.as_json(done.model_dump())
        return
    report = Report()
    for name, text in WORDS.items():
        if count := getattr(done, name):
            report.line(f"{count:6,}  {text}")
    report.line(f"{done.connections:6,}  connections compared; {'all ran' if not done.mended else 'all run now'}.")


async def _ask(client: Client) -> Reconciled:
    import asyncio

    from temporalio.common import WorkflowIDConflictPolicy

    from supportly.contracts import ids
    from supportly.contracts.maintenance import Reconciled, ReconcileJob

    handle = await client.start_workflow(
        "Reconcile",
        ReconcileJob(requested_by="command line"),
        id=ids.RECONCILE,
        task_queue=ids.CONNECTIONS,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        result_type=Reconciled,
    )
    try:
        found: Reconciled = await asyncio.wait_for(handle.result(), PATIENCE_S)
    except TimeoutError:
        raise CommandError("No answer yet: is a worker running? It goes on; ask again later.", Exit.LATER) from None
    return found
