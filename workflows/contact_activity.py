"""A note, call or task logged at a provider."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contacts import ContactActivities
    from supportly.contracts.contacts import ActivityJob, ActivityResult
    from workflows.calls import recorded


@workflow.defn
class ContactActivity:
    """Logs one activity on a contact's record, exactly once (see activities/writes.py)."""

    @workflow.run
    async def run(self, job: ActivityJob) -> ActivityResult:
        """Log it."""
        return await recorded(ContactActivities.log, job)
