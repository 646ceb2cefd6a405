"""Exchange, refresh and revocation, with the answer lost at every point where it can be."""

import asyncio
import time
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from temporalio.exceptions import ApplicationError

from activities import connections as activities
from supportly.contracts.connections import ConnectionKey, Disconnection, RevocationJob
from supportly.errors import Unavailable
from supportly.storage import authorizations, connections
from supportly.storage.tables import outgoing_events


async def insist(world, version):
    """Refresh as Temporal would: again after the pause that each failure asks for."""
    for _ in range(8):
        pause = timedelta(seconds=0.05)
        try:
            return await world.refresh(version)
        except ApplicationError as error:
            if error.non_retryable:
                raise
            pause = error.next_retry_delay or pause
        await asyncio.sleep(pause.total_seconds())
    raise AssertionError("it never ended")


@pytest.mark.parametrize(
    ("ours", "theirs", "cut", "state", "requests"),
    [
        ("none", "none", "after_commit", "connected", 2),
        ("grace", "rotate_with_grace", "after_commit", "connected", 2),
        ("single_use", "rotate", "after_commit", "reconnect_required", 2),
        ("single_use", "rotate", "before", "connected", 2),
        ("single_use_with_reuse_detection", "rotate_with_reuse_detection", "after_commit", "reconnect_required", 1),
        ("single_use_with_reuse_detection", "rotate_with_reuse_detection", "before", "reconnect_required", 1),
    ],
)
async def test_a_lost_refresh(make_world, ours, theirs, cut, state, requests):
    world = make_world(rotation=ours)
    world.double.configure({"rotation": theirs})
    await world.connect()
    asked = world.token_requests
    world.token_fault(cut=cut)
    began = time.monotonic()
    standing = await insist(world, 1)
    assert standing.state == state
    assert standing.reason == ("refresh_outcome_lost" if state == "reconnect_required" else "")
    assert world.token_requests - asked == requests
    # Where a second use would kill the family, two leases pass for a late answer, and the family lives.
    leases = 2 if ours == "single_use_with_reuse_detection" else 1
    assert leases * world.lease_s * 0.9 <= time.monotonic() - began
    assert not any(grant.revoked for grant in world.double.grants)
    assert (await world.row()).lease_until is None


async def test_a_late_answer_clears_the_guess(make_world, monkeypatch):
    """A worker is stopped with the answer in its hands; another attempt gives it up; then the first one wakes."""
    world = make_world(rotation="single_use_with_reuse_detection")
    world.double.configure({"rotation": "rotate_with_reuse_detection"})
    await world.connect()
    sent, woken, real = asyncio.Event(), asyncio.Event(), world.activities.engine.refresh

    async def asleep(*args, **options):
        tokens = await real(*args, **options)
        sent.set()
        await woken.wait()
        return tokens

    monkeypatch.setattr(world.activities.engine, "refresh", asleep)
    late = asyncio.create_task(world.refresh(1))
    await sent.wait()
    assert (await insist(world, 1)).reason == "refresh_outcome_lost"
    woken.set()
    assert ((await late).state, (await late).version) == ("connected", 2)
    assert world.knowledge.asked == ["release", "hold", "release"]
    standing = await world.activities.standing(ConnectionKey(account_id=world.account_id, provider="hubspot"))
    assert (standing.state, standing.version, standing.reason) == ("connected", 2, "")
    async with world.db.tenant(world.account_id) as c:
        told = (await c.execute(select(outgoing_events.c.kind).order_by(outgoing_events.c.created_at))).scalars().all()
    assert told == ["connection.needs_attention", "connection.recovered"]
    world.double.expire()
    monkeypatch.setattr(world.activities.engine, "refresh", real)
    assert (await world.refresh(2)).version == 3  # the family lives


async def test_a_refresh_in_order(world):
    await world.connect()
    standing = await world.refresh(1, after_rejection=True)
    assert (standing.state, standing.version) == ("connected", 2)
    assert (await world.row()).unproven
    again = await world.refresh(1)
    assert again.version == 2  # superseded
    assert world.token_requests == 2


async def test_a_provider_that_refuses_our_client_is_left_alone_for_a_while(world):
    await world.connect()
    world.double.configure({"client_secret": "changed"})
    with pytest.raises(ApplicationError) as caught:
        await world.refresh(1)
    assert (caught.value.type, caught.value.non_retryable) == ("client_refused", True)
    assert caught.value.details[0]["retry_after"] == 300
    row = await world.row()
    assert (row.state, row.version, row.lease_until) == ("connected", 1, None)


@pytest.mark.parametrize("wrong", [timedelta(hours=-3), timedelta(hours=3)])
async def test_a_worker_whose_clock_is_wrong_connects_refreshes_and_calls(world, monkeypatch, wrong):
    """Its tokens end when the others' do, so that it neither sends a dead one nor refreshes for ever."""

    class Wrong:
        @staticmethod
        def now(tz):
            return datetime.now(tz) + wrong

    monkeypatch.setattr("activities.connections.datetime", Wrong)
    await world.connect()
    life = (await world.row()).expires_at - (await world.row()).refreshed_at
    for version in (1, 2):
        row = await world.row()
        assert abs(row.refreshed_at - row.read_at) < timedelta(minutes=1)
        assert row.expires_at - row.refreshed_at == pytest.approx(life, abs=timedelta(seconds=1))
        async with world.calls.open(world.account_id, "hubspot", "waiting") as opened:
            await opened.provider.identify(opened.call.http)
        assert (await world.refresh(version)).version == version + 1
    assert world.client.signals == []


async def test_a_disconnect_waits_by_the_databases_clock(make_world, monkeypatch):
    """A worker whose clock is behind must not wait for hours for a lease that ends in seconds."""
    world = make_world(rotation="none", lease_s=5)
    await world.connect()
    world.token_fault(cut="after_commit")
    with pytest.raises(ApplicationError):
        await world.refresh(1)

    class Behind:
        @staticmethod
        def now(tz):
            return datetime.now(tz) - timedelta(hours=2)

    monkeypatch.setattr("activities.connections.datetime", Behind)
    job = Disconnection(account_id=world.account_id, provider="hubspot")
    assert 0 <= await world.activities.begin_disconnect(job) <= 5


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_an_error_status_ends_the_attempt(world, status):
    """An answer, even a bad one, is an answer: the next attempt is not the second after a lost one."""
    await world.connect()
    world.token_fault(status=status)
    with pytest.raises(ApplicationError) as caught:
        await world.refresh(1)
    assert not caught.value.non_retryable
    assert (await world.row()).lease_until is None
    assert (await world.refresh(1)).version == 2
    assert (await world.row()).lost_attempts == 0


async def test_a_revoked_grant_is_final(world):
    await world.connect()
    world.double.revoke()
    standing = await world.refresh(1)
    assert standing.state == "reconnect_required"
    assert standing.reason not in ("", "refresh_outcome_lost")
    assert (await world.row()).lease_until is None
    assert world.knowledge.asked == ["release", "hold"]


async def test_an_exchange_sends_its_code_once(world):
    job = await world.pending()
    standing = await world.activities.exchange(job)
    assert (standing.state, standing.version) == ("connected", 1)
    assert await world.activities.exchange(job) == standing
    assert world.token_requests == 1


async def test_a_lost_answer_of_an_exchange_is_told_and_repeated(world):
    job = await world.pending()
    world.token_fault(cut="after_commit")
    for _ in range(3):
        with pytest.raises(ApplicationError) as caught:
            await world.activities.exchange(job)
        assert caught.value.non_retryable
    assert world.token_requests == 1


async def test_an_exchange_that_died_in_the_middle(world):
    """The worker was killed after it had sent the code: nobody knows the answer."""
    job = await world.pending()
    await authorizations.begin_exchange(world.db, world.vault, world.account_id, "hubspot", job.pending_id)
    for _ in range(2):
        with pytest.raises(ApplicationError) as caught:
            await world.activities.exchange(job)
        assert (caught.value.type, caught.value.non_retryable) == ("authorization_outcome_lost", True)
    assert world.token_requests == 0


async def test_tokens_in_hand_survive_what_comes_after(world):
    """The exchange succeeds, asking who is connected fails: the next attempt goes on with the tokens."""
    job = await world.pending()
    world.fault(method="GET", status=503, times=2)
    for _ in range(2):
        with pytest.raises(ApplicationError) as caught:
            await world.activities.exchange(job)
        assert not caught.value.non_retryable
    assert (await world.activities.exchange(job)).state == "connected"
    assert world.token_requests == 1


async def test_another_account_needs_to_be_wanted(world):
    first = await world.connect()
    world.double.configure({"hub_id": 777})
    with pytest.raises(ApplicationError) as caught:
        await world.connect()
    assert caught.value.type == "different_account"
    assert "cleanup" not in world.knowledge.asked
    replaced = await world.connect(replace=True)
    assert replaced.generation == first.generation + 1
    assert world.knowledge.asked == ["release", "cleanup", "release"]


async def end(world):
    job = Disconnection(account_id=world.account_id, provider="hubspot")
    await world.activities.begin_disconnect(job)
    return await world.activities.retire(job)


async def test_an_end_can_be_repeated_after_a_failed_cleanup(world):
    await world.connect()
    world.knowledge.away = True
    with pytest.raises(ApplicationError):
        await end(world)
    world.knowledge.away = False
    retired = await end(world)
    assert retired.standing.state == "disconnected"
    assert retired.revocation_id


async def test_disconnecting_waits_for_a_refresh_that_may_be_alive(make_world):
    world = make_world(rotation="none", lease_s=5)
    await world.connect()
    job = Disconnection(account_id=world.account_id, provider="hubspot")
    world.token_fault(cut="after_commit")
    with pytest.raises(ApplicationError):
        await world.refresh(1)
    assert 3 < await world.activities.begin_disconnect(job) <= 5


async def test_without_a_connection_there_is_nothing_to_end(world):
    with pytest.raises(ApplicationError) as caught:
        await world.activities.begin_disconnect(Disconnection(account_id=world.account_id, provider="hubspot"))
    assert caught.value.type == "not_connected"


async def test_a_grant_is_revoked_then_destroyed(world):
    await world.connect()
    job = RevocationJob(account_id=world.account_id, provider="hubspot", revocation_id=(await end(world)).revocation_id)
    world.fault(status=503)
    with pytest.raises(ApplicationError) as caught:
        await world.activities.revoke(job)
    assert not caught.value.non_retryable
    assert await world.activities.revoke(job)
    asked = world.sandbox.recorder.last
    assert await world.activities.revoke(job)  # done already
    assert world.sandbox.recorder.last == asked


async def test_a_grant_that_another_account_uses_too_is_not_revoked(db, account_id, world):
    """HubSpot revokes for the whole installation: the other account would lose its connection."""
    neighbour = type(world)(db, account_id + 300_000, sandbox=world.sandbox)
    world.double.configure({"hub_id": 20_000_000 + account_id})
    await world.connect()
    await neighbour.connect()
    job = RevocationJob(account_id=world.account_id, provider="hubspot", revocation_id=(await end(world)).revocation_id)
    asked = world.sandbox.recorder.last
    assert not await world.activities.revoke(job)
    assert world.sandbox.recorder.last == asked
    assert await connections.open_revocation(db, world.vault, account_id, "hubspot", job.revocation_id) is None
    last = RevocationJob(
        account_id=neighbour.account_id, provider="hubspot", revocation_id=(await end(neighbour)).revocation_id
    )
    assert await neighbour.activities.revoke(last)


async def test_what_cannot_be_revoked_is_destroyed(world):
    await world.connect()
    job = RevocationJob(account_id=world.account_id, provider="hubspot", revocation_id=(await end(world)).revocation_id)
    await world.activities.destroy(job)
    found = await connections.open_revocation(world.db, world.vault, world.account_id, "hubspot", job.revocation_id)
    assert found is None


@pytest.mark.parametrize("when", ["before the answer is stored", "while the database is away"])
async def test_an_attempt_that_is_given_up_stores_what_it_has_first(make_world, monkeypatch, when):
    """Temporal cancels an attempt that it gave up, also one that wakes with the answer in its hands."""
    world = make_world(rotation="single_use_with_reuse_detection")
    await world.connect()
    real, inside, away = connections.store_refreshed, asyncio.Event(), [when != "before the answer is stored"]

    async def slow(*args, **options):
        inside.set()
        await asyncio.sleep(0.3)
        if away.pop() if away else False:
            raise Unavailable("away")
        return await real(*args, **options)

    monkeypatch.setattr(connections, "store_refreshed", slow)
    attempt = asyncio.create_task(world.refresh(1))
    await inside.wait()
    for _ in range(3):
        attempt.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await attempt
    row = await world.row()
    assert (row.state, row.version, row.lease_until) == ("connected", 2, None)


async def test_storing_is_given_up_when_the_database_stays_away(world, monkeypatch):
    async def away(*args, **options):
        raise Unavailable("away")

    monkeypatch.setattr(activities, "STORE_FOR_S", 1.0)
    monkeypatch.setattr(connections, "store_refreshed", away)
    await world.connect()
    with pytest.raises(ApplicationError) as caught:
        await world.refresh(1)
    assert (caught.value.type, caught.value.non_retryable) == ("unavailable", False)


async def test_a_code_that_was_sent_is_kept_though_the_attempt_is_given_up(world, monkeypatch):
    job = await world.pending()
    real, inside = authorizations.keep_tokens, asyncio.Event()

    async def slow(*args, **options):
        inside.set()
        await asyncio.sleep(0.3)
        await real(*args, **options)

    monkeypatch.setattr(authorizations, "keep_tokens", slow)
    attempt = asyncio.create_task(world.activities.exchange(job))
    await inside.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert (await world.activities.exchange(job)).state == "connected"
    assert world.token_requests == 1


async def test_an_attempt_that_is_given_up_after_its_intent_leaves_no_riddle(make_world, monkeypatch):
    """Nothing was sent yet. An intent that nobody finishes would cost a connection whose tokens must not be reused."""
    world = make_world(rotation="single_use_with_reuse_detection")
    await world.connect()
    real, committed = connections.begin_refresh, asyncio.Event()

    async def slow(*args, **options):
        found = await real(*args, **options)
        committed.set()
        await asyncio.sleep(0.2)
        return found

    monkeypatch.setattr(connections, "begin_refresh", slow)
    attempt = asyncio.create_task(world.refresh(1))
    await committed.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    monkeypatch.setattr(connections, "begin_refresh", real)
    assert (await world.refresh(1)).version == 2
    row = await world.row()
    assert (row.state, row.version, row.lost_attempts) == ("connected", 2, 0)


async def test_an_attempt_that_wakes_after_its_lease_says_that_nothing_was_sent(make_world, monkeypatch):
    world = make_world(rotation="single_use_with_reuse_detection")
    await world.connect()
    real = connections.begin_refresh

    async def stopped(*args, **options):
        found = await real(*args, **options)
        await asyncio.sleep(world.lease_s)
        return found

    monkeypatch.setattr(connections, "begin_refresh", stopped)
    asked = world.token_requests
    with pytest.raises(ApplicationError) as caught:
        await world.refresh(1)
    assert (caught.value.type, world.token_requests) == ("refresh_busy", asked)
    monkeypatch.setattr(connections, "begin_refresh", real)
    assert (await world.refresh(1)).version == 2
