"""`python -m supportly keys …` on a service that has worked: afterwards nothing that lives needs the old key."""

import re

from sqlalchemy import create_engine, text

from supportly import temporal
from supportly.contracts import ids
from supportly.storage.tables import sealed_columns
from tests.caller import until
from tests.keys.conftest import Account, House

SEALED = re.compile(r"1\.k\d\.[A-Za-z0-9_-]{80,}=*")


def lives(account: Account, provider: str, contact: int) -> str:
    """A lookup, a note, and an authorization that is never finished; answers the note's operation."""
    account.call("GET", f"/{provider}/contacts/{contact}")
    note = account.call("POST", f"/{provider}/contacts/{contact}/activity", json={"content": "Called back"})
    account.call("POST", f"/{provider}/connect", json={})
    return note.json()["operation_id"]


def where_sealed_text_stands(url: str) -> set[str]:
    """Every column of the database that holds something which looks sealed, whatever it is called."""
    engine, found = create_engine(url), set()
    with engine.connect() as c:
        of_text = "table_schema = 'public' and data_type in ('text', 'character varying', 'jsonb', 'json', 'ARRAY')"
        columns = c.execute(
            text(f"select table_name, column_name from information_schema.columns where {of_text}")
        ).all()
        for table, column in columns:
            values = c.execute(text(f'select "{column}"::text from "{table}" where "{column}" is not null')).scalars()
            if any(SEALED.search(value) for value in values):
                found.add(f"{table}.{column}")
    engine.dispose()
    return found


async def schedule(house: House, account_id: int, *ids_of_keys: str):
    client = await temporal.connect(house.with_ring(*ids_of_keys))
    return client.get_schedule_handle(ids.schedule(account_id, "zendesk"))


async def test_a_rotation_reaches_everything_that_lives(house, account_id):
    with house.working("k1") as service:
        service.control("POST", "/demo")
        service.control("POST", "/supportly/settings", json={"accounts": [account_id]})
        person = {"id": 1, "account_id": account_id, "name": "Ada Lindgren", "email": "ada@lindgren.example"}
        service.control("POST", "/supportly/seed", json={"contacts": [person]})
        account = Account(service, account_id)
        account.connect("hubspot")
        account.connect("zendesk", subdomain="supportly-demo")
        account.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})
        # An ended connection whose tokens wait: its revocation is not answered while the old key is needed.
        fault = {"provider": "calendly", "method": "POST", "path": ".*revoke.*", "status": 503, "times": -1}
        service.control("POST", "/faults", json=fault)
        account.connect("calendly")
        account.call("DELETE", "/calendly/disconnect")
        operation = lives(account, "hubspot", 1)
        until(account.last_sync)
    declared = {f"{column.table.name}.{column.name}" for column in sealed_columns()}
    stands = where_sealed_text_stands(house.postgres.admin_url)
    assert {"connections.tokens", "operations.result", "markers.result", "pending_authorizations.verifier"} <= stands
    assert stands <= declared, "a column holds sealed text and is not of the type `Sealed`: rotation would leave it"

    with house.working("k2", "k1"):
        await (await schedule(house, account_id, "k2", "k1")).pause(note="a person's own reason")
        code, before, _ = house.keys("status", "k2", "k1")
        assert code == 0
        assert before["keys"]["k1"] == {"needed_for": ["values", "workflows", "histories"], "in_ring": True}
        assert set(before["values"]["k1"]) == stands
        assert {"ConnectionWorkflow", "Schedule"} <= set(before["workflows"]["k1"])

        code, done, progress = house.keys("rotate", "k2", "k1")
        assert (code, done["workflows_left"], done["unopened"]) == (5, {"Revocation": 1}, []), (done, progress)
        assert done["resealed"] == sum(before["values"]["k1"].values())
        assert f"connections.tokens: {before['values']['k1']['connections.tokens']}" in progress
        await no_longer_revoked(house, "k2", "k1")
        code, done, _ = house.keys("rotate", "k2", "k1")
        assert (code, done["resealed"], done["workflows_left"], done["complete"]) == (0, 0, {}, True)
        _, after, _ = house.keys("status", "k2", "k1")
        assert (after["values"].keys(), after["workflows"].keys()) == ({"k2"}, {"k2"})
        assert after["keys"]["k1"]["needed_for"] == ["histories"]
        assert after["ended"] > 0
        assert after["retention_days"] >= 1
        state = (await (await schedule(house, account_id, "k2", "k1")).describe()).schedule.state
        assert (state.paused, state.note) == (True, "a person's own reason")
        # Nothing is left to do, and the time from which histories are free of the old key stays.
        code, again, _ = house.keys("rotate", "k2", "k1")
        assert (code, again["resealed"]) == (0, 0)
        assert house.keys("status", "k2", "k1")[1]["finished_at"] == after["finished_at"]

    with house.working("k2") as service:
        account = Account(service, account_id)
        service.control("DELETE", "/faults")
        service.control("POST", "/hubspot/expire")
        found = account.call("GET", "/hubspot/contacts/1", headers={"Prefer": "wait=60"}).json()
        assert found["records"]
        assert account.call("GET", f"/operations/{operation}").json()["status"] == "succeeded"
        earlier = account.last_sync()
        handle = await schedule(house, account_id, "k2")
        await handle.unpause()
        await handle.trigger()
        until(lambda: (now := account.last_sync()) and now["run_id"] != earlier["run_id"] and now)
        for provider in ("hubspot", "zendesk"):
            client = await temporal.connect(house.with_ring("k2"))
            entity = client.get_workflow_handle(ids.connection(account_id, provider))
            assert (await entity.query("standing"))["state"] == "connected"


async def no_longer_revoked(house: House, *ids_of_keys: str) -> None:
    """An operator ends the runs that wait for a provider to revoke; their tokens stay until maintenance finds them."""
    client = await temporal.connect(house.with_ring(*ids_of_keys))
    async for run in client.list_workflows("WorkflowType = 'Revocation' and ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(run.id, run_id=run.run_id).terminate("it holds the old key")
    # What is listed follows what is true a moment later.
    until(lambda: "k1" not in house.keys("status", *ids_of_keys)[1]["workflows"])


def test_without_a_workflow_server_values_are_brought_over_and_the_rest_is_said(house):
    code, done, _ = house.keys("rotate", "k3", "k2", "k1", SUPPORTLY_TEMPORAL_ADDRESS="127.0.0.1:1")
    assert (code, done["complete"]) == (5, False)
    assert "SUPPORTLY_TEMPORAL_ADDRESS" in done["temporal"]
    code, found, _ = house.keys("status", "k3", "k2", "k1", SUPPORTLY_TEMPORAL_ADDRESS="127.0.0.1:1")
    assert (code, set(found["values"])) == (0, {"k3"})
    assert found["keys"]["k2"]["needed_for"] == ["unknown: no workflow server"]


def test_a_key_that_nobody_has_is_named(house):
    _, found, _ = house.keys("status", "k9")
    assert not found["keys"]["k3"]["in_ring"]
    assert "values" in found["keys"]["k3"]["needed_for"]
    code, done, _ = house.keys("rotate", "k9")
    assert (code, done["resealed"], done["complete"]) == (5, 0, False)
    assert {one["key_id"] for one in done["unopened"]} == {"k3"}
