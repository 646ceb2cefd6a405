"""One action of a provider."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.actions import ActionActivities
    from supportly.contracts.actions import ActionJob, ActionResult
    from workflows.calls import recorded


@workflow.defn
class ProviderAction:
    """Runs one action; one that writes happens once."""

    @workflow.run
    async def run(self, job: ActionJob) -> ActionResult:
        """Run it."""
        return await recorded(ActionActivities.run, job)
