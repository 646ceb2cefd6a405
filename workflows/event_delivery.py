"""One event brought to Supportly."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.events import EventActivities
    from supportly.contracts.events import EventJob

ATTEMPT: Final = timedelta(seconds=60)
"""One attempt: a request of some seconds, and two short transactions."""
LIFE: Final = timedelta(days=1)
"""A receiver that was down for longer asks for the state itself; the API tells all that an event does."""
# 2 s, 4 s, 8 s … to an hour: some thirty attempts in a day, close together while a receiver is only restarted.
PATIENT: Final = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(hours=1))
# Saying that it failed has to succeed some time: until then its row says that it is on its way.
STUBBORN: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))


@workflow.defn
class EventDelivery:
    """Sends one event again and again for a day, then says that it failed. Its id is the event's, so it runs once."""

    @workflow.run
    async def run(self, job: EventJob) -> str:
        """How it ended: `delivered`, `failed`, or `off` when its kind was switched off meanwhile."""
        try:
            return await workflow.execute_activity_method(
                EventActivities.deliver,
                job,
                start_to_close_timeout=ATTEMPT,
                schedule_to_close_timeout=LIFE,
                retry_policy=PATIENT,
            )
        except ActivityError:
            await workflow.execute_activity_method(
                EventActivities.give_up, job, start_to_close_timeout=ATTEMPT, retry_policy=STUBBORN
            )
            return "failed"
