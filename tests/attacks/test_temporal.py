"""What somebody can do who reaches Temporal's frontend and has no key: see docs/security.md.

Payloads that were not sealed with our key are not read, so no work is done for whoever sends them.
"""

import asyncio
import uuid

import pytest
from sqlalchemy import text
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter

from supportly.contracts import ids
from supportly.contracts.connections import Disconnection
from supportly.contracts.contacts import LookupJob
from supportly.temporal import search_attributes
from tests.caller import consent, until

LONG_ENOUGH_S = 4.0
"""A lookup in a test takes a tenth of a second."""


@pytest.fixture
def victim(admin, register, sandbox):
    """An administrator of an account with a connection and a contact."""
    register.known(admin.account_id)
    contact = {"id": admin.account_id * 10, "account_id": admin.account_id, "name": "Ada", "email": "ada@example.com"}
    sandbox("POST", "/supportly/seed", json={"contacts": [contact]})
    started = admin.start("hubspot")
    assert admin.finish("hubspot", **consent(started["authorization_url"])).status_code == 200
    return admin


@pytest.fixture
async def outsider(temporal) -> Client:
    """Temporal's client as anybody has it."""
    return await Client.connect(temporal.address, data_converter=pydantic_data_converter)


def lookup(victim):
    return victim.call("GET", f"/hubspot/contacts/{victim.account_id * 10}")


@pytest.mark.parametrize("workflow", ["ContactLookup", "KnowledgeSync", "Revocation", "ConnectionWorkflow"])
async def test_work_that_is_not_sealed_is_not_done(victim, outsider, workflow):
    job = LookupJob(
        account_id=victim.account_id, provider="hubspot", operation_id="", contact_id=victim.account_id * 10
    )
    handle = await outsider.start_workflow(
        workflow,
        job,
        id=f"acct/{victim.account_id}/hubspot/attack/{uuid.uuid4()}",
        task_queue=ids.CONNECTIONS if workflow in ("Revocation", "ConnectionWorkflow") else ids.INTERACTIVE,
        search_attributes=search_attributes(victim.account_id, "hubspot"),
    )
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle.result(), LONG_ENOUGH_S)
        history = await handle.fetch_history()
        assert not [e for e in history.events if e.HasField("activity_task_scheduled_event_attributes")]
        assert [e for e in history.events if e.HasField("workflow_task_failed_event_attributes")]
    finally:
        await handle.terminate("the attack is over")
    assert lookup(victim).status_code == 200


async def test_an_update_or_signal_that_is_not_sealed_changes_nothing(victim, outsider, owner):
    connection = outsider.get_workflow_handle(ids.connection(victim.account_id, "hubspot"))
    with pytest.raises(WorkflowUpdateFailedError):
        await connection.execute_update(
            "disconnect", Disconnection(account_id=victim.account_id, provider="hubspot", requested_by="nobody")
        )
    await connection.signal("token_rejected", 99)
    assert lookup(victim).status_code == 200
    assert set(victim.connected()) == {"hubspot"}
    with owner.begin() as c:
        version = text("select token_version from connections where account_id = :a")
        assert c.execute(version, {"a": victim.account_id}).scalar_one() == 1, "it was refreshed"
    # The connection's workflow is not stuck on what it could not read.
    assert victim.call("DELETE", "/hubspot/disconnect").status_code == 200


def test_an_operation_shows_no_workflow_of_another_account(victim, owner, register, http):
    """Whoever can write rows, and has a token of an account of their own."""
    other = register.caller(http, victim.account_id + 1)
    register.known(other.account_id)
    started = other.start("hubspot")
    assert other.finish("hubspot", **consent(started["authorization_url"])).status_code == 200
    path = f"/hubspot/contacts/{victim.account_id * 10}"
    begun = victim.call("GET", path, headers={"Prefer": "respond-async"}).json()["operation_id"]
    spoil = text("update operations set account_id = :a where id = :id")
    with owner.begin() as c:
        assert c.execute(spoil, {"a": other.account_id, "id": begun}).rowcount == 1
    answer = other.call("GET", f"/operations/{begun}", headers={"Prefer": "wait=5"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    with owner.begin() as c:
        c.execute(spoil, {"a": victim.account_id, "id": begun})
    assert until(lambda: victim.call("GET", f"/operations/{begun}").json()["status"] == "succeeded", timeout=20)
