"""The refined tier in the background: an account's chunks get their better vectors."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.refinement import RefinementActivities
    from supportly.contracts import ids
    from supportly.contracts.knowledge import RefineJob
    from workflows.steps import SILENCE

STRETCH: Final = timedelta(minutes=10)
"""A stretch plans for one minute, and may have to make way for syncs; building a large index comes on top."""
PATIENT: Final = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=5))
"""Nobody waits: an encoder or a database that is away is waited for."""


@workflow.defn
class KnowledgeRefinement:
    """Gives the chunks of one account refined vectors until none lacks one. One run an account; a sync wakes it."""

    @workflow.init
    def __init__(self, job: RefineJob) -> None:
        self.woken = False
        self.done = job.done

    @workflow.run
    async def run(self, job: RefineJob) -> int:
        """How many chunks were read."""
        while True:
            self.woken = False
            stretch = await workflow.execute_activity_method(
                RefinementActivities.refine,
                job,
                start_to_close_timeout=STRETCH,
                heartbeat_timeout=SILENCE,
                retry_policy=PATIENT,
            )
            self.done += stretch.done
            if not stretch.left and not self.woken:
                return self.done
            if stretch.wait_s:
                await workflow.sleep(timedelta(seconds=stretch.wait_s))
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(job.model_copy(update={"done": self.done}))

    @workflow.signal
    def again(self) -> None:
        """There may be new chunks."""
        self.woken = True

    @workflow.query
    def progress(self) -> int:
        """How many chunks were read so far."""
        return self.done


async def wake(account_id: int) -> None:
    """Have an account's new chunks read, by a run that outlives the caller; one that is under way hears of them."""
    try:
        await workflow.start_child_workflow(
            KnowledgeRefinement.run,
            RefineJob(account_id=account_id),
            id=ids.refinement(account_id),
            task_queue=ids.REFINEMENT,
            parent_close_policy=ParentClosePolicy.ABANDON,
            priority=Priority(priority_key=ids.PRIORITY_BULK, fairness_key=str(account_id)),
        )
    except WorkflowAlreadyStartedError:
        # One that ended just now is missed; the next sync wakes it again.
        with contextlib.suppress(ApplicationError):
            await workflow.get_external_workflow_handle_for(KnowledgeRefinement.run, ids.refinement(account_id)).signal(
                KnowledgeRefinement.again
            )
