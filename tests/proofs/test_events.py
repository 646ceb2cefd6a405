"""A worker that is killed while it tells Supportly: the event comes all the same, and is one event."""

import pytest

from tests.proofs.conftest import until


def told(house, account) -> list[dict]:
    found = house.sandbox.doubles["receiver"].records["event"].values()
    return [e for e in found if e["data"]["account_id"] == account.id and e["type"].startswith("connection.")]


async def lose(house, account, eventually) -> None:
    """The user takes the grant back; the next lookup finds that out."""
    number, _ = account.contact()
    house.sandbox.doubles["hubspot"].revoke()
    await account.call("GET", f"/hubspot/contacts/{number}", headers={"Prefer": "respond-async"})

    async def noticed() -> bool:
        return (await account.status("hubspot"))[0] == "reconnect_required"

    await eventually(noticed)


@pytest.mark.parametrize("moment", ["while it sends", "as soon as the change stands"])
async def test_a_killed_worker_loses_no_event_and_doubles_none(house, account, eventually, moment) -> None:
    await account.connect("hubspot")
    receiver = house.sandbox.recorder
    before = len(receiver.find("receiver", 0, "/events", "POST"))
    if moment == "while it sends":
        # The receiver takes the event, and its answer reaches nobody any more.
        house.sandbox.faults.add({"provider": "receiver", "delay": 3, "times": 1})
    await lose(house, account, eventually)
    if moment == "while it sends":
        until(lambda: len(receiver.find("receiver", 0, "/events", "POST")) > before)
    house.kill_worker()
    house.start_worker()

    async def heard() -> list[dict]:
        return told(house, account)

    [event] = await eventually(heard, 120)
    assert event["type"] == "connection.needs_attention"
    assert event["data"]["provider"] == "hubspot"
    # However often it came, it was one event: its id is that of its row.
    sent = [entry.request for entry in receiver.find("receiver", 0, "/events", "POST")]
    ids = {one.headers["webhook-id"] for one in sent if one.object["data"]["account_id"] == account.id}
    assert ids == {event["id"]}
