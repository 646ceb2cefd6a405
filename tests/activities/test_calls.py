"""Opening a provider: tokens that end, tokens that are refused, and failures on their way into Temporal."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.calls import TokenPending, read_settings
from activities.failures import LONGEST_PAUSE_S, to_temporal, translated
from activities.writes import maybe_done
from supportly.crypto import CannotOpen
from supportly.errors import (
    NotConnected,
    NotFound,
    ProviderFailure,
    ProviderTimeout,
    ReconnectRequired,
    Throttled,
    Unavailable,
)
from supportly.storage import connections


async def ask(world, **options):
    async with world.calls.open(world.account_id, "hubspot", "waiting", **options) as opened:
        return await opened.call.http.get("/account-info/v3/details")


async def identify(world):
    async with world.calls.open(world.account_id, "hubspot", "waiting") as opened:
        return await opened.provider.identify(opened.call.http)


async def test_a_call_goes_through(world):
    await world.connect()
    assert (await identify(world)).tenant_key
    assert world.client.signals == []


async def test_without_a_connection_there_is_no_call(world):
    with pytest.raises(NotConnected):
        await identify(world)
    await world.connect()
    await connections.require_reconnect(world.db, world.account_id, "hubspot", version=1, reason="expired_idle")
    with pytest.raises(ReconnectRequired) as caught:
        await identify(world)
    assert caught.value.details == {"reason": "expired_idle"}
    await connections.begin_disconnect(world.db, world.account_id, "hubspot")
    with pytest.raises(NotConnected):
        await identify(world)


async def test_a_refused_token_is_reported_once_and_not_used_again(world):
    await world.connect()
    world.double.expire()
    before = world.sandbox.recorder.last
    for _ in range(10):
        with pytest.raises(TokenPending):
            await identify(world)
    assert world.sandbox.recorder.last == before + 1
    assert [version for _, version in world.client.signals] == [1]
    await world.refresh(1, after_rejection=True)
    assert (await identify(world)).tenant_key
    assert not (await world.row()).unproven


async def test_a_newer_token_is_tried_at_once(world):
    """The token was refreshed while the call was under way: nothing to report."""
    await world.connect()
    async with world.calls.open(world.account_id, "hubspot", "waiting") as opened:
        pass
    world.double.expire()
    await world.refresh(1)
    with pytest.raises(TokenPending):
        await world.calls._refused(opened.connection)
    assert world.client.signals == []


async def test_a_fresh_token_that_is_refused_is_the_providers_fault(world):
    await world.connect()
    world.double.expire()
    with pytest.raises(TokenPending):
        await identify(world)
    await world.refresh(1, after_rejection=True)
    world.double.expire()
    with pytest.raises(ProviderFailure) as caught:
        await identify(world)
    assert not caught.value.retryable
    assert len(world.client.signals) == 1


async def test_a_token_that_has_ended_is_not_sent(world):
    await world.connect()
    engine = create_engine(str(world.db.engine.url).replace("supportly_app", "postgres"))
    with engine.begin() as c:
        c.execute(
            text("update connections set expires_at = :t where account_id = :a"),
            {"t": datetime.now(UTC) + timedelta(seconds=1), "a": world.account_id},
        )
    engine.dispose()
    before = world.sandbox.recorder.last
    with pytest.raises(TokenPending):
        await identify(world)
    assert world.sandbox.recorder.last == before
    assert len(world.client.signals) == 1


async def test_without_temporal_the_call_says_so(world):
    await world.connect()
    world.double.expire()
    world.client.error = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
    with pytest.raises(Unavailable):
        await identify(world)


async def test_what_a_lease_allows_ends_before_it(world):
    """The last request has to be answered before another attempt may look for it."""
    await world.connect()
    clock = asyncio.get_running_loop().time
    before = clock()
    async with world.calls.open(world.account_id, "hubspot", "waiting", lease_s=30) as opened:
        assert before + 29 <= opened.call.http.not_after <= clock() + 29.5
    world.outbound.timeout_s = 100
    before = clock()
    async with world.calls.open(world.account_id, "hubspot", "waiting", lease_s=30) as opened:
        assert before + 14.9 <= opened.call.http.not_after <= clock() + 15.5
    async with world.calls.open(world.account_id, "hubspot", "waiting") as opened:
        assert opened.call.http.not_after is None


def test_settings_from_another_version_do_not_stop_calls(world):
    found = read_settings(world.provider, {"sync_interval_minutes": 30, "gone_with_an_upgrade": 1})
    assert found.sync_interval_minutes == 30
    assert read_settings(world.provider, None) == world.provider.settings()


@pytest.mark.parametrize(
    ("error", "maybe"),
    [
        (ProviderTimeout("m", transient=True), True),
        (ProviderFailure("cut", transient=True), True),
        (ProviderFailure("not reached", transient=True, sent=False), False),
        (ProviderFailure("m", provider_status=500), True),
        (ProviderFailure("m", provider_status=503), True),
        (ProviderFailure("html in a success", provider_status=200, transient=True), True),
        (ProviderFailure("html in a success", provider_status=201), True),
        (ProviderFailure("m", provider_status=302), False),
        (ProviderFailure("m", provider_status=400), False),
        (ProviderFailure("m", provider_status=409), False),
        (Throttled("m", retry_after=1), False),
        (NotFound("m"), False),
        (Unavailable("m"), False),
    ],
)
def test_when_a_failed_write_may_have_happened(error, maybe):
    assert maybe_done(error) is maybe


def test_an_error_becomes_temporals():
    made = to_temporal(Throttled("wait", retry_after=3))
    assert (made.type, made.non_retryable, made.next_retry_delay) == ("throttled", False, timedelta(seconds=3))
    assert made.details == (Throttled("wait", retry_after=3).payload(),)
    assert to_temporal(NotFound("no")).non_retryable
    assert to_temporal(Throttled("m", retry_after=10**7)).next_retry_delay == timedelta(seconds=LONGEST_PAUSE_S)


@pytest.mark.parametrize(
    ("said", "tried_s", "pause"),
    [
        (0.0, 0, 1),
        (2.0, 0, 2),
        (2.0, 1, 2),
        (2.0, 16, 16),
        (90.0, 16, 90),
        (None, 0, 1),
        (None, 40, 40),
        (None, 9e4, 300),
    ],
)
def test_a_provider_is_not_asked_sooner_than_it_says_nor_as_often_as_it_says_so(said, tried_s, pause):
    for failed in (
        Throttled("m", retry_after=said, details={"provider_status": 429}),
        ProviderFailure("m", provider_status=503, transient=True, retry_after=said),
    ):
        assert to_temporal(failed, tried_s=tried_s).next_retry_delay == timedelta(seconds=pause)
        # Where the retry policy decides, only what the provider said is passed on.
        passed_on = timedelta(seconds=said) if said is not None else None
        assert to_temporal(failed).next_retry_delay == passed_on
    # Our own budget and a refresh under way know exactly when it is worth asking again.
    own = Throttled("m", retry_after=0.2)
    assert to_temporal(own, tried_s=tried_s).next_retry_delay == timedelta(seconds=0.2)
    assert to_temporal(NotFound("m"), tried_s=tried_s).next_retry_delay is None


@pytest.mark.parametrize("kind", [Throttled, ProviderFailure, Unavailable])
def test_a_read_does_not_sleep_longer_than_anybody_waits(kind):
    long, short = kind("m", retry_after=600), kind("m", retry_after=2)
    long.retryable = short.retryable = True
    assert to_temporal(long, patience_s=15).non_retryable
    assert not to_temporal(short, patience_s=15).non_retryable
    assert not to_temporal(long).non_retryable


def test_an_unforeseen_error_loses_its_text(caplog):
    with pytest.raises(ApplicationError) as caught, translated():
        raise KeyError("token of ann@example.com")
    assert str(caught.value) == "internal_error: unforeseen KeyError"
    assert not caught.value.non_retryable
    assert caught.value.__suppress_context__
    assert "ann" not in caplog.text
    assert "test_an_unforeseen_error_loses_its_text" in caplog.text


def test_a_sealed_value_that_does_not_open_is_final():
    with pytest.raises(ApplicationError) as caught, translated():
        raise CannotOpen("the key `k1` is not in the ring")
    assert (caught.value.type, caught.value.non_retryable) == ("cannot_open", True)


def test_temporals_own_errors_pass():
    own = ApplicationError("m", type="x")
    with pytest.raises(ApplicationError) as caught, translated():
        raise own
    assert caught.value is own
