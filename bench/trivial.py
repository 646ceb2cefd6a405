"""The least that Temporal can do for a request: one workflow with one activity."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def nothing(number: int) -> int:
    """The activity of the trivial workflow."""
    return number


@workflow.defn
class Trivial:
    """One workflow, one activity: the least that Temporal can do for a request."""

    @workflow.run
    async def run(self, number: int) -> int:
        """Answer the number."""
        return await workflow.execute_activity(nothing, number, start_to_close_timeout=timedelta(seconds=10))
