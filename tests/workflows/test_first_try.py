"""The first try in the workflow's own task, and what becomes of it when it hangs or is called off."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import CancelledError

from supportly.contracts import ids
from supportly.contracts.contacts import ActivityJob, ActivityResult, RecordRef
from tests.scripted import Script, working
from workflows.contact_activity import ContactActivity

LOGGED = ActivityResult(provider="acme", contact_id=2, activity_type="note", record=RecordRef(id="n"))


@pytest.fixture
async def client(short_histories):
    return await Client.connect(short_histories.address, data_converter=pydantic_data_converter)


async def log(client):
    job = ActivityJob(account_id=1, provider="acme", contact_id=2, content="called", operation_id=str(uuid.uuid4()))
    return await client.start_workflow(
        ContactActivity.run, job, id=f"log-{job.operation_id}", task_queue=ids.INTERACTIVE
    )


async def test_a_first_try_that_hangs_is_followed_by_another(client, monkeypatch):
    """A worker that is cut off from its provider or its database loses the try, and not the write."""
    monkeypatch.setattr("workflows.calls.ATTEMPT", timedelta(seconds=2))

    async def hang(_):
        if activity.info().is_local:
            await asyncio.sleep(600)
        return LOGGED

    script = Script(contact_log=hang)
    async with working(client, script):
        handle = await log(client)
        assert await asyncio.wait_for(handle.result(), 90) == LOGGED
    assert len(script.calls("contact_log")) == 2


async def test_what_is_called_off_is_not_tried_again(client):
    began = asyncio.Event()

    async def hang(_):
        began.set()
        await asyncio.sleep(600)

    script = Script(contact_log=hang, operation_failed=None)
    async with working(client, script):
        handle = await log(client)
        await began.wait()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(handle.result(), 90)
    assert isinstance(caught.value.cause, CancelledError)
    assert len(script.calls("contact_log")) == 1
