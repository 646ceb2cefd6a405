"""Another model for the refined tier, for all accounts."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.refinement import RefinementActivities
    from supportly.contracts.knowledge import SwitchJob, SwitchProgress
    from workflows.knowledge_refinement import PATIENT
    from workflows.steps import reason

STEP: Final = timedelta(minutes=30)
"""Counting over all accounts, or removing the old vectors; both are repeated safely."""
ASKED_EVERY: Final = timedelta(seconds=5)
"""How often a switch looks how far the accounts are, at first; later every minute."""
LONGEST_PAUSE: Final = timedelta(minutes=1)


@workflow.defn
class ModelSwitch:
    """Builds another model's vectors for all accounts beside those that serve, then lets it serve.

    No provider is asked. `abandon` gives it up at any time before. A crash only makes it later.
    """

    @workflow.init
    def __init__(self, job: SwitchJob) -> None:
        self.state = SwitchProgress(model=job.model)
        self.given_up = False

    @workflow.run
    async def run(self, job: SwitchJob) -> SwitchProgress:
        """How the switch ended."""
        if not job.model:
            try:
                self.state = await workflow.execute_activity_method(
                    RefinementActivities.begin, job, start_to_close_timeout=STEP, retry_policy=PATIENT
                )
            except ActivityError as error:
                raise reason(error) from None
        pause = ASKED_EVERY
        while self._goes_on():
            self.state = await self._do(RefinementActivities.spread)
            if not self.state.lacking:
                self.state = await self._do(RefinementActivities.turn)
                continue
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: self.given_up, timeout=pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            if self._goes_on() and workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(SwitchJob(spec=job.spec, model=self.state.model))
        if self.state.state == "building":
            self.state = await self._do(RefinementActivities.abandon)
        return self.state

    def _goes_on(self) -> bool:
        return self.state.state == "building" and not self.given_up

    async def _do(self, step: Callable[[Any, SwitchProgress], Awaitable[SwitchProgress]]) -> SwitchProgress:
        return await workflow.execute_activity_method(
            step, self.state, start_to_close_timeout=STEP, retry_policy=PATIENT
        )

    @workflow.signal
    def abandon(self) -> None:
        """Give the switch up."""
        self.given_up = True

    @workflow.query
    def progress(self) -> SwitchProgress:
        """How far it is."""
        return self.state
