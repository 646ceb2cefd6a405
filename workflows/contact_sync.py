"""A contact created or updated at a provider."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contacts import ContactActivities
    from supportly.contracts.contacts import SyncJob, SyncResult
    from workflows.calls import recorded


@workflow.defn
class ContactSync:
    """Writes a contact to a provider, so that what was asked while it ran is written too.

    A caller that joins a running sync signals `again`. Its change may have come after our read, so the contact is read
    anew before the run ends; the result then answers both.
    """

    @workflow.init
    def __init__(self, job: SyncJob) -> None:
        self._asked_again = False
        self._reading = False

    @workflow.run
    async def run(self, job: SyncJob) -> SyncResult:
        """Sync until nobody asked since the last read; the first outcome that wrote something is the answer."""
        result = job.so_far
        while True:
            self._asked_again, self._reading = False, True
            latest = await recorded(ContactActivities.sync, job)
            # "created", then "unchanged" for the one that joined: both callers asked for the creation.
            result = latest if result is None or latest.status != "unchanged" else result
            if not self._asked_again:
                return result
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(job.model_copy(update={"so_far": result}))

    @workflow.signal
    def again(self) -> None:
        """Somebody else asks for this contact; counts once reading has begun."""
        self._asked_again = self._reading
