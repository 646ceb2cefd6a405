"""What a Schedule starts: it starts the sync under its own id, and is done."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from supportly.contracts import ids
    from supportly.contracts.knowledge import KnowledgeJob
    from workflows.knowledge_sync import KnowledgeSync


@workflow.defn
class KnowledgeSchedule:
    """Temporal adds a time stamp to the id of what a Schedule starts; the sync itself needs its one id.

    A sync that runs already, by hand or late, is joined by leaving it alone. The child outlives this workflow.
    """

    @workflow.run
    async def run(self, job: KnowledgeJob) -> bool:
        """True when a sync was started, False when one was running."""
        try:
            await workflow.start_child_workflow(
                KnowledgeSync.run,
                job,
                id=ids.knowledge(job.account_id, job.provider),
                parent_close_policy=ParentClosePolicy.ABANDON,
                search_attributes=workflow.info().typed_search_attributes,
                priority=Priority(priority_key=ids.PRIORITY_BULK, fairness_key=str(job.account_id)),
            )
        except WorkflowAlreadyStartedError:
            return False
        return True
