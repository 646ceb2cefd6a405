"""How long work goes on whose provider does not come back, and how it ends; time is skipped."""

import itertools
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.failures import translated
from api.errors import from_temporal
from supportly.contracts import ids
from supportly.contracts.contacts import ActivityJob, ActivityResult, Lookup, LookupJob, RecordRef
from supportly.errors import ProviderFailure, ProviderTimeout, Throttled, Unavailable
from workflows.calls import READ_LIFE
from workflows.contact_activity import ContactActivity
from workflows.contact_lookup import ContactLookup

TEST_SERVER = Path(__file__).parents[2] / ".venv" / "bin" / "temporal-test-server"
A_MINUTE_S = READ_LIFE.total_seconds()


class Weather:
    """The activities of a lookup and a note, at a provider that fails `times` times; -1: always."""

    def __init__(self, error, times=-1, before=()):
        self.error, self.times, self.before = error, times, before
        self.asked: list[float] = []

    def ask(self):
        # By the clock of the test server: ours stands still while it skips.
        self.asked.append(activity.info().started_time.timestamp())
        if len(self.asked) <= len(self.before):
            raise self.before[len(self.asked) - 1]
        if self.times < 0 or len(self.asked) - len(self.before) <= self.times:
            raise self.error

    @activity.defn(name="contact_lookup")
    async def lookup(self, job: LookupJob) -> Lookup:
        with translated(patience_s=15, paced=True):
            self.ask()
        return Lookup(provider=job.provider, contact_id=job.contact_id)

    @activity.defn(name="contact_log")
    async def log(self, job: ActivityJob) -> ActivityResult:
        with translated(paced=True):
            self.ask()
        return ActivityResult(
            provider=job.provider,
            contact_id=job.contact_id,
            activity_type="note",
            record=RecordRef(id="1"),
            target=None,
        )


async def run(weather, workflow_class, job):
    """The workflow's result, or its error as a caller meets it."""
    async with (
        await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=str(TEST_SERVER), data_converter=pydantic_data_converter
        ) as env,
        Worker(
            env.client,
            task_queue=ids.INTERACTIVE,
            workflows=[workflow_class],
            activities=[weather.lookup, weather.log],
        ),
    ):
        try:
            return await env.client.execute_workflow(workflow_class.run, job, id="w", task_queue=ids.INTERACTIVE)
        except WorkflowFailureError as error:
            return from_temporal(error)


LOOKUP = LookupJob(account_id=1, provider="acme", contact_id=1)
NOTE = ActivityJob(account_id=1, provider="acme", contact_id=1, kind="note", content="x")


@pytest.mark.parametrize(
    "error",
    [
        ProviderFailure("Internal error", provider_status=500, transient=True),
        ProviderTimeout("The provider did not answer in time.", transient=True),
        Throttled("The provider asks for a pause.", retry_after=9),
    ],
    ids=lambda e: e.own_code,
)
async def test_a_read_whose_provider_does_not_come_back_is_given_up_with_the_providers_error(error):
    weather = Weather(error)
    told = await run(weather, ContactLookup, LOOKUP)
    assert (told.own_code, told.status, told.details) == (error.own_code, error.status, error.details)
    pauses = [later - before for before, later in itertools.pairwise(weather.asked)]
    assert len(pauses) >= 4
    assert min(pauses) >= (error.retry_after or 1) - 0.1
    assert weather.asked[-1] - weather.asked[0] < A_MINUTE_S + 10


async def test_a_write_goes_on_through_an_outage_of_hours():
    weather = Weather(ProviderFailure("Internal error", provider_status=503, transient=True), times=60)
    told = await run(weather, ContactActivity, NOTE)
    assert told.record.id == "1"
    assert weather.asked[-1] - weather.asked[0] > 3600


async def test_what_only_waited_does_not_make_the_next_pause_longer():
    """Sixty tries in half a minute find the record claimed by another; then the provider's connection breaks once."""
    busy = Unavailable("Another sync is creating this record right now.", retry_after=0.5)
    weather = Weather(ProviderFailure("broke", transient=True), times=1, before=[busy] * 60)
    told = await run(weather, ContactActivity, NOTE)
    assert told.record.id == "1"
    assert weather.asked[-1] - weather.asked[-2] < 60
