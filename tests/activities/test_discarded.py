"""Grants that nobody lives on any more: refused, replaced, or refreshed too late. Revoked where that harms nothing."""

import asyncio

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from supportly.contracts.connections import Disconnection
from supportly.storage import connections
from supportly.storage.connections import open_tokens


def alive(world):
    """Which grants of the double can still be refreshed, in the order in which they were given."""
    tokens = world.double.refresh_tokens.values()
    return [any(t.grant is grant and not t.dead for t in tokens) for grant in world.double.grants]


async def revoke_all(world):
    """What the started workflows would do."""
    jobs, world.client.revocations = world.client.revocations, []
    return [await world.activities.revoke(job) for job in jobs]


class Asleep:
    """Holds the answer to a refresh back, as a stopped process does."""

    def __init__(self, world, monkeypatch):
        self.sent, self.woken, self.real = asyncio.Event(), asyncio.Event(), world.activities.engine.refresh
        self.patch, self.engine = monkeypatch, world.activities.engine
        monkeypatch.setattr(self.engine, "refresh", self.refresh)
        self.late = asyncio.create_task(world.refresh(1))

    async def refresh(self, *args, **options):
        tokens = await self.real(*args, **options)
        self.sent.set()
        await self.woken.wait()
        return tokens

    async def answered(self):
        await self.sent.wait()
        self.patch.setattr(self.engine, "refresh", self.real)

    async def wake(self):
        self.woken.set()
        return await self.late


@pytest.fixture
def own(make_world):
    """A provider whose grants are independent of one another."""
    return make_world(rotation="grace", shared_grant=False)


async def test_a_refused_grant_is_revoked(own):
    await own.connect()
    own.double.configure({"hub_id": 777})
    with pytest.raises(ApplicationError) as caught:
        await own.connect()
    assert caught.value.type == "different_account"
    assert await revoke_all(own) == [True]
    assert alive(own) == [True, False]
    assert (await own.refresh(1)).version == 2


async def test_a_refused_grant_is_left_alone_where_grants_are_shared(world):
    """HubSpot's other account may be connected elsewhere, or be needed in a moment: its user only clicked wrong."""
    await world.connect()
    world.double.configure({"hub_id": 777})
    with pytest.raises(ApplicationError):
        await world.connect()
    assert (await revoke_all(world), alive(world)) == ([], [True, True])


async def test_a_refusal_says_the_same_again_and_revokes_once(own):
    await own.connect()
    own.double.configure({"hub_id": 777})
    job = await own.pending()
    for _ in range(3):
        with pytest.raises(ApplicationError) as caught:
            await own.activities.exchange(job)
        assert caught.value.type == "different_account"
        assert "HubSpot account than the one connected" in caught.value.message
    assert len(own.client.revocations) == 1


async def test_without_a_workflow_server_a_refusal_is_a_refusal(own):
    await own.connect()
    own.double.configure({"hub_id": 777})
    own.client.error = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
    with pytest.raises(ApplicationError) as caught:
        await own.connect()
    assert caught.value.type == "different_account"


@pytest.mark.parametrize(("shared", "expected"), [(False, [False, True]), (True, [True, True])])
async def test_a_reconnect_revokes_the_grant_whose_place_it_takes(make_world, shared, expected):
    world = make_world(shared_grant=shared)
    await world.connect()
    await world.connect()
    await revoke_all(world)
    assert alive(world) == expected
    assert (await world.refresh(2)).version == 3


async def test_a_replaced_account_is_revoked_as_by_a_disconnect(world):
    await world.connect()
    world.double.configure({"hub_id": 777})
    await world.connect(replace=True)
    assert await revoke_all(world) == [True]
    assert alive(world) == [False, True]


async def test_a_late_answer_of_an_earlier_grant_is_revoked(own, monkeypatch):
    await own.connect()
    asleep = Asleep(own, monkeypatch)
    await asleep.answered()
    await own.connect()
    own.client.revocations.clear()  # of the reconnect itself: that token is dead at a provider which rotates
    assert (await asleep.wake()).version == 2
    assert await revoke_all(own) == [True]
    assert alive(own) == [False, True]
    assert (await own.refresh(2)).version == 3


async def test_a_late_answer_of_the_grant_that_is_lived_on_is_not_revoked(own, monkeypatch):
    """To revoke one of its tokens ends all of them."""
    await own.connect()
    asleep = Asleep(own, monkeypatch)
    await asleep.answered()
    await asyncio.sleep(own.lease_s)
    assert (await own.refresh(1)).version == 2
    assert (await asleep.wake()).version == 2
    assert (await revoke_all(own), alive(own)) == ([], [True])
    assert (await own.refresh(2)).version == 3


async def test_a_late_answer_after_the_end_is_revoked(own, monkeypatch):
    await own.connect()
    asleep = Asleep(own, monkeypatch)
    await asleep.answered()
    job = Disconnection(account_id=own.account_id, provider="hubspot")
    await own.activities.begin_disconnect(job)
    await own.activities.retire(job)
    assert (await asleep.wake()).state == "disconnected"
    assert await revoke_all(own) == [True]
    assert alive(own) == [False]


async def test_an_answer_that_comes_while_disconnecting_is_what_is_revoked(own, monkeypatch):
    """Its refresh token is the one that works: at a provider that rotates the old one is dead already."""
    await own.connect()
    asleep = Asleep(own, monkeypatch)
    await asleep.answered()
    job = Disconnection(account_id=own.account_id, provider="hubspot")
    assert await own.activities.begin_disconnect(job) > 0
    assert (await asleep.wake()).state == "disconnecting"
    row = await own.row()
    assert (row.state, row.version) == ("disconnecting", 2)
    newest = open_tokens(own.vault, row)
    retired = await own.activities.retire(job)
    found = await connections.open_revocation(own.db, own.vault, own.account_id, "hubspot", retired.revocation_id)
    assert found is not None
    assert found.tokens.refresh_token == newest.refresh_token
    assert found.tokens.refresh_token in own.double.refresh_tokens
    assert own.double.refresh_tokens[found.tokens.refresh_token].superseded_at is None
