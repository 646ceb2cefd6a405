"""What has to be done later, or after a loss: revoke tokens, clean up once a day, start again what has to run."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.connections import ConnectionActivities
    from activities.maintenance import MaintenanceActivities
    from activities.reconcile import ReconcileActivities
    from supportly.contracts import ids
    from supportly.contracts.connections import ConnectionKey, RevocationJob
    from supportly.contracts.maintenance import Reconciled, ReconcileJob
    from supportly.contracts.upkeep import Upkeep
    from workflows.steps import SILENCE

ATTEMPT: Final = timedelta(seconds=60)
OVER_ALL: Final = timedelta(hours=1)
"""A few milliseconds for each connection; an attempt that was cut off begins again, and starts nothing twice."""
LIFE: Final = timedelta(days=1)
"""After a day the tokens are destroyed here; what is left at the provider ends by its own expiry."""
STRETCH: Final = timedelta(minutes=5)
"""One step of maintenance plans for a minute; the account that it is at may have much to remove."""
PATIENT: Final = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=30))


@workflow.defn
class Revocation:
    """Revokes the tokens of an ended connection at the provider, then destroys them."""

    @workflow.run
    async def run(self, job: RevocationJob) -> bool:
        """True when the provider was told."""
        try:
            return await workflow.execute_activity_method(
                ConnectionActivities.revoke,
                job,
                start_to_close_timeout=ATTEMPT,
                schedule_to_close_timeout=LIFE,
                retry_policy=PATIENT,
            )
        except ActivityError:
            await workflow.execute_activity_method(
                ConnectionActivities.destroy, job, start_to_close_timeout=ATTEMPT, retry_policy=PATIENT
            )
            return False


async def revoke_later(key: ConnectionKey, revocation_id: str) -> None:
    """Start `Revocation` so that it outlives the caller; an empty id means that there is nothing to revoke."""
    if revocation_id:
        await workflow.start_child_workflow(
            Revocation.run,
            RevocationJob(**key.model_dump(), revocation_id=revocation_id),
            id=ids.revocation(key.account_id, key.provider, revocation_id),
            parent_close_policy=ParentClosePolicy.ABANDON,
        )


@workflow.defn
class Maintenance:
    """Removes what nobody asks for any more, account by account, and has grants revoked that were forgotten.

    A Schedule starts it once a day. What it does twice it does once; what a crash leaves undone the next step does.
    """

    @workflow.run
    async def run(self, job: Upkeep) -> Upkeep:
        """What was done."""
        while not job.done:
            job = await workflow.execute_activity_method(
                MaintenanceActivities.clean,
                job,
                start_to_close_timeout=STRETCH,
                heartbeat_timeout=SILENCE,
                retry_policy=PATIENT,
            )
            if workflow.info().is_continue_as_new_suggested() and not job.done:
                workflow.continue_as_new(job)
        return job


@workflow.defn
class Reconcile:
    """Compares the rows with what runs here, after either was restored, and starts what is missing."""

    @workflow.run
    async def run(self, job: ReconcileJob) -> Reconciled:
        """What was missing."""
        return await workflow.execute_activity_method(
            ReconcileActivities.reconcile,
            job,
            start_to_close_timeout=OVER_ALL,
            heartbeat_timeout=ATTEMPT,
            retry_policy=PATIENT,
        )
