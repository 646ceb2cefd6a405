"""A contact's records, deals and activities at a provider."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contacts import ContactActivities
    from supportly.contracts.contacts import Lookup, LookupJob
    from workflows.calls import READ_LIFE, promptly


@workflow.defn
class ContactLookup:
    """Looks a Supportly contact up; callers that ask at the same time share one run."""

    @workflow.run
    async def run(self, job: LookupJob) -> Lookup:
        """Answer what the provider knows."""
        return await promptly(ContactActivities.lookup, job, life=READ_LIFE)
