"""A provider's knowledge brought up to date."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.knowledge import KnowledgeActivities
    from activities.knowledge_sample import KnowledgeSampling
    from supportly.contracts.knowledge import KnowledgeJob, KnowledgeReport, RunState, Stretch
    from workflows.knowledge_refinement import wake
    from workflows.steps import AT_ONCE, ONCE, PATIENT, SILENCE, STUBBORN, UNAVAILABLE, step

STRETCH: Final = timedelta(minutes=5)
"""An ingest activity plans for one minute; a page of a slow provider, and its embedding, may run over it."""
SHORT: Final = timedelta(minutes=2)
IDLE: Final = timedelta(hours=1)
"""Without a page for this long a stream is given up; the next scheduled run goes on where this one stood."""
WHOLE_RUN: Final = {"not_connected", "reconnect_required", "sync_superseded", "unsupported_by_provider"}
"""Failures that end the run; any other ends its stream alone."""


@workflow.defn
class KnowledgeSync:
    """Walks a provider's streams: one activity ingests pages for a minute, and the database keeps the cursor.

    A stream that fails leaves the run `partial` and the others go on. Cancelling stops between two pages.
    """

    @workflow.init
    def __init__(self, job: KnowledgeJob) -> None:
        self.job = job
        self.pages, self.ends = 0, workflow.now() + IDLE

    @workflow.run
    async def run(self, job: KnowledgeJob) -> KnowledgeReport:
        """Open a run, walk and sweep every stream, close the run."""
        if not job.run_id:
            named = job.model_copy(update={"run_id": workflow.info().run_id})
            self.job = await self._do(KnowledgeActivities.open, named)
        try:
            while self.job.streams:
                await self._stretch()
                if workflow.info().is_continue_as_new_suggested():
                    workflow.continue_as_new(self.job)
            await self._do(KnowledgeActivities.index, self.job, lasts=timedelta(hours=1))
            state: RunState = "partial" if self.job.failed_streams or self.job.counts.failed else "succeeded"
        except ApplicationError as error:
            state = "failed"
            self.job.failed_streams.update(dict.fromkeys(self.job.streams, error.message))
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            state = "canceled"
        report: KnowledgeReport = await self._do(KnowledgeActivities.finish, self.job, state, retry_policy=STUBBORN)
        if state in ("succeeded", "partial"):
            with contextlib.suppress(ActivityError, ApplicationError):  # a figure is missing then, no more
                await self._do(KnowledgeSampling.sample, self.job, retry_policy=ONCE)
        if report.unrefined:
            await wake(self.job.account_id)
        return report

    async def _stretch(self) -> None:
        """One activity's worth of the first stream, its sweep when the walk is over, a pause when one is wished."""
        try:
            stretch = await self._do(
                KnowledgeActivities.ingest,
                self.job,
                lasts=STRETCH,
                schedule_to_close_timeout=IDLE,
                retry_policy=AT_ONCE,
            )
            if stretch.stream_done:
                stretch.counts = await self._do(KnowledgeActivities.sweep, self.job, lasts=STRETCH)
        except ApplicationError as error:
            if error.type in WHOLE_RUN:
                raise
            stretch = Stretch(counts=self.job.counts, stream_error=error.message)
        if stretch.pages != self.pages:
            self.pages, self.ends = stretch.pages, workflow.now() + IDLE
        if workflow.now() + timedelta(seconds=stretch.wait_s) > self.ends:
            stretch.stream_error = stretch.stream_error or "The provider gave no page for an hour."
        self.job = self.job.after(stretch)
        if stretch.wait_s and not stretch.stream_error:
            await workflow.sleep(timedelta(seconds=stretch.wait_s))

    async def _do(self, activity: Callable[..., Any], *args: Any, lasts: timedelta = SHORT, **options: Any) -> Any:
        options = {"retry_policy": PATIENT, "heartbeat_timeout": SILENCE, **options}
        while True:
            try:
                return await step(activity, *args, start_to_close_timeout=lasts, **options)
            except ApplicationError as error:
                # While our own database is away or workers die, the provider's eight tries are not spent.
                if error.type != UNAVAILABLE or options["retry_policy"] is ONCE or workflow.now() > self.ends:
                    raise

    @workflow.query
    def progress(self) -> KnowledgeReport:
        """Where the run stands."""
        return KnowledgeReport(run_id=self.job.run_id, counts=self.job.counts, failed_streams=self.job.failed_streams)
