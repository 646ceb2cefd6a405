"""Links, claims and markers: what keeps one request from becoming two records."""

import asyncio
import uuid

import pytest
from sqlalchemy import create_engine, text

from supportly.crypto import CannotOpen
from supportly.storage import links, markers
from tests.storage.conftest import linked

P = "acme"


@pytest.fixture
def claim(db, account_id):
    place = str(uuid.uuid4())

    async def run(owner="me", seconds=60.0, who="h"):
        return await links.claim(db, account_id, place, who, owner=owner, seconds=seconds)

    run.place = place
    return run


async def test_one_of_fifty_may_create(claim):
    found = await asyncio.gather(*(claim(str(n)) for n in range(50)))
    assert sorted(ours for ours, _ in found) == [False] * 49 + [True]


async def test_a_claim_ends_with_its_time(claim):
    assert await claim("a", seconds=-1) == (True, None)
    assert await claim("b") == (True, None)
    assert await claim("c") == (False, None)


async def test_a_created_record_is_known_to_those_who_come_too_late(db, account_id, claim):
    await claim("a")
    await links.fulfil(db, account_id, claim.place, "h", record_id="r1", seconds=60)
    assert await claim("b") == (False, "r1")
    await links.fulfil(db, account_id, claim.place, "h", record_id="r1", seconds=-1)
    assert await claim("b") == (True, None)


async def test_a_claim_is_given_back_by_its_owner_only(db, account_id, claim):
    await claim("a")
    await links.release(db, account_id, claim.place, "h", owner="b")
    assert await claim("b") == (False, None)
    await links.release(db, account_id, claim.place, "h", owner="a")
    assert await claim("b") == (True, None)


async def test_links_are_replaced_and_forgotten(db, account_id, connected):
    where = {"connection_id": connected.connection_id, "generation": 1}
    assert await linked(db, account_id, P, 1) is None
    for record in ("r1", "r2"):
        assert await links.link(db, account_id, P, 1, **where, record_id=record, url=None)
        assert await linked(db, account_id, P, 1) == record
    await links.unlink(db, account_id, P, 1)
    assert await linked(db, account_id, P, 1) is None


@pytest.fixture
def marker(db, vault, account_id):
    operation = str(uuid.uuid4())

    class Marker:
        id = operation

        async def intend(self, lease_s=60.0):
            return await markers.intend(db, vault, account_id, P, operation, generation=1, lease_s=lease_s)

        async def close(self, state, result=None):
            await markers.close(db, vault, account_id, P, operation, state, result)

        async def let_go(self, held):
            await markers.let_go(db, account_id, operation, held=held.lease_until)

        async def withdraw(self, held):
            await markers.withdraw(db, account_id, operation, held=held.lease_until)

    return Marker()


async def test_one_of_fifty_writes(marker):
    found = await asyncio.gather(*(marker.intend() for _ in range(50)))
    assert sorted(one.state for one in found) == ["busy"] * 49 + ["new"]


async def test_one_of_fifty_looks_after_a_lost_attempt(marker):
    await marker.intend(lease_s=-1)
    found = await asyncio.gather(*(marker.intend() for _ in range(50)))
    assert sorted(one.state for one in found) == ["busy"] * 49 + ["intended"]


async def test_a_result_is_kept_sealed_and_answered_again(postgres, marker, db, vault, account_id):
    await marker.intend()
    await marker.close("done", b'{"id": "note-1"}')
    again = await marker.intend()
    assert (again.state, again.result, again.lease_until) == ("done", b'{"id": "note-1"}', None)
    await marker.close("unknown")
    assert (await marker.intend()).state == "done"
    engine = create_engine(postgres.admin_url)
    with engine.begin() as c:
        row = c.execute(text("select m::text from markers m where operation_id = :id"), {"id": marker.id}).scalar_one()
        assert "note-1" not in row
        c.execute(text("update markers set account_id = account_id + 1 where operation_id = :id"), {"id": marker.id})
    engine.dispose()
    with pytest.raises(CannotOpen):
        await markers.intend(db, vault, account_id + 1, P, marker.id, generation=1, lease_s=1)


async def test_an_unknown_outcome_stays_unknown(marker):
    await marker.intend()
    await marker.close("unknown")
    assert (await marker.intend()).state == "unknown"


async def test_an_attempt_that_let_go_leaves_its_intent(marker):
    held = await marker.intend()
    await marker.let_go(held)
    assert (await marker.intend()).state == "intended"


async def test_an_intent_that_did_nothing_is_withdrawn(marker):
    await marker.withdraw(await marker.intend())
    assert (await marker.intend()).state == "new"


async def test_who_overran_his_lease_does_not_touch_his_successor(marker):
    """Else a third attempt would see no marker, or a free one, while the second is sending."""
    late = await marker.intend(lease_s=-1)
    assert (await marker.intend()).state == "intended"
    await marker.withdraw(late)
    assert (await marker.intend()).state == "busy"
    await marker.let_go(late)
    assert (await marker.intend()).state == "busy"


async def test_a_written_operation_is_not_withdrawn(marker):
    held = await marker.intend()
    await marker.close("done", b"{}")
    await marker.withdraw(held)
    assert (await marker.intend()).state == "done"
