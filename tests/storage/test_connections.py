"""The fence around refreshes, and who may take whose place."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from supportly.crypto import CannotOpen
from supportly.oauth import Tokens
from supportly.storage import connections, links, markers
from supportly.storage.connections import Placed, Refused
from tests.storage.conftest import linked

NOW = datetime.now(UTC)
P = "acme"


def new() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def begin(db, account_id):
    async def run(version=1, *, attempt=None, lease_s=60.0, patience_s=0.0):
        return await connections.begin_refresh(
            db, account_id, P, from_version=version, attempt=attempt or new(), lease_s=lease_s, patience_s=patience_s
        )

    return run


@pytest.fixture
def store(db, vault):
    async def run(connection, name="new", *, after_rejection=False, refresh="refresh-1"):
        tokens = Tokens(f"access-{name}", refresh, NOW + timedelta(hours=1), ("a",), connection.facts)
        return await connections.store_refreshed(
            db, vault, connection, tokens, now=NOW, after_rejection=after_rejection
        )

    return run


async def read(db, account_id):
    return await connections.read(db, account_id, P)


async def test_a_new_connection(db, vault, connected, account_id):
    assert (connected.state, connected.version, connected.generation, connected.refreshable) == (
        "connected",
        1,
        1,
        True,
    )
    tokens = connections.open_tokens(vault, connected)
    assert (tokens.access_token, tokens.refresh_token) == ("access-0", "refresh-0")
    assert tokens.facts == {"hub": "hub-1"}
    assert "access-0" not in connected.sealed
    assert await connections.read_all(db, account_id) == [connected]
    assert await read(db, account_id + 1) is None
    assert connected.standing().model_dump_json().find("access") == -1


async def test_one_refresh_at_a_time(connected, begin):
    results = await asyncio.gather(*(begin() for _ in range(20)))
    assert sorted(intent for intent, _, _ in results) == ["busy"] * 19 + ["granted"]
    assert all(0 < left <= 60 for intent, _, left in results if intent == "busy")


async def test_a_lease_that_ran_out_is_a_lost_attempt(connected, begin):
    for lost in range(3):
        intent, found, _ = await begin(lease_s=-1)
        assert (intent, found.lost_attempts) == ("granted", lost)
    intent, _, left = await begin(patience_s=100)
    assert intent == "busy"  # the late answer still gets its chance
    assert 90 < left <= 100


async def test_an_attempt_that_ended_is_not_lost(db, account_id, connected, begin):
    attempt = new()
    await begin(attempt=attempt)
    await connections.end_attempt(db, account_id, P, attempt=new())  # somebody else's: changes nothing
    assert (await begin())[0] == "busy"
    await connections.end_attempt(db, account_id, P, attempt=attempt)
    intent, found, _ = await begin()
    assert (intent, found.lost_attempts) == ("granted", 0)


@pytest.mark.parametrize("version", [0, 2])
async def test_another_version_is_superseded(connected, begin, version):
    assert (await begin(version))[0] == "superseded"


async def test_without_a_connection_there_is_nothing_to_refresh(begin):
    assert (await begin())[:2] == ("superseded", None)


async def test_the_lease_is_asked_before_bytes_go_out(db, account_id, connected, begin):
    attempt = new()
    await begin(attempt=attempt, lease_s=10)

    async def alive(which, needed):
        return await connections.lease_alive(db, account_id, P, attempt=which, needed_s=needed)

    assert await alive(attempt, 5)
    assert not await alive(attempt, 11)
    assert not await alive(new(), 1)
    await begin(attempt=attempt, lease_s=-1)
    assert await alive(attempt, 5)  # busy: the lease that lives was not touched


async def test_a_refreshed_token_is_stored_once(db, vault, account_id, connected, begin, store):
    _, granted, _ = await begin()
    stored = await store(granted, "one")
    assert (stored.version, stored.refresh_attempt, stored.lease_until, stored.lost_attempts) == (2, None, None, 0)
    assert connections.open_tokens(vault, stored).access_token == "access-one"
    assert await store(granted, "late") is None  # a newer version stands
    assert connections.open_tokens(vault, await read(db, account_id)).access_token == "access-one"


@pytest.mark.parametrize("wrong", [timedelta(hours=-5), timedelta(hours=5)])
async def test_the_databases_clock_says_when_a_token_ends(db, vault, connected, begin, wrong):
    """A process whose clock is hours off stores and reads the same times as any other."""
    _, granted, _ = await begin()
    then = datetime.now(UTC) + wrong
    tokens = Tokens("access", "refresh", then + timedelta(hours=1), (), connected.facts)
    stored = await connections.store_refreshed(db, vault, granted, tokens, now=then, after_rejection=False, age_s=120)
    assert stored.expires_at - stored.refreshed_at == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=1))
    # It was asked for two minutes ago.
    assert stored.read_at - stored.refreshed_at == pytest.approx(timedelta(minutes=2), abs=timedelta(seconds=1))
    assert abs(stored.read_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_twenty_answers_at_once_store_one(db, account_id, connected, begin, store):
    _, granted, _ = await begin()
    stored = await asyncio.gather(*(store(granted, str(n)) for n in range(20)))
    assert len([one for one in stored if one]) == 1
    assert (await read(db, account_id)).version == 2


async def test_an_answer_in_hand_beats_a_guess(db, account_id, connected, begin, store):
    _, granted, _ = await begin()
    await connections.require_reconnect(db, account_id, P, version=1, reason="refresh_outcome_lost")
    assert (await read(db, account_id)).state == "reconnect_required"
    stored = await store(granted)
    assert (stored.state, stored.reason, stored.version) == ("connected", "", 2)


@pytest.mark.parametrize("reason", ["revoked_by_user", "access_token_refused"])
async def test_a_late_answer_does_not_undo_a_refusal(db, account_id, connected, begin, store, reason):
    _, granted, _ = await begin()
    await connections.require_reconnect(db, account_id, P, version=1, reason=reason)
    assert await store(granted) is None
    assert (await read(db, account_id)).reason == reason


async def test_a_newer_version_is_not_called_broken(db, account_id, connected, begin, store):
    _, granted, _ = await begin()
    await store(granted)
    await connections.require_reconnect(db, account_id, P, version=1, reason="revoked_by_user")
    assert (await read(db, account_id)).state == "connected"


async def test_a_token_proves_itself(db, account_id, connected, begin, store):
    _, granted, _ = await begin()
    assert (await store(granted, after_rejection=True)).unproven
    await connections.prove(db, account_id, P, version=1)
    assert (await read(db, account_id)).unproven
    await connections.prove(db, account_id, P, version=2)
    assert not (await read(db, account_id)).unproven


async def test_a_refresh_without_a_refresh_token_is_the_last(connected, begin, store):
    _, granted, _ = await begin()
    assert not (await store(granted, refresh=None)).refreshable


async def test_disconnecting_leaves_nothing_usable(db, vault, account_id, connected, begin, store):
    _, granted, _ = await begin()
    marked = await connections.begin_disconnect(db, account_id, P)
    assert marked.lease_until
    assert (await begin())[0] == "superseded"
    revocation = await connections.retire(db, account_id, P)
    ended = await read(db, account_id)
    assert (ended.state, ended.sealed, ended.refresh_attempt, ended.lease_until) == ("disconnected", None, None, None)
    assert ended.version == 2
    assert await store(granted) is None
    opened = await connections.open_revocation(db, vault, account_id, P, revocation)
    assert (opened.tokens.access_token, opened.tokens.refresh_token) == ("access-0", "refresh-0")
    assert "access-0" not in repr(opened)
    assert await connections.begin_disconnect(db, account_id, P) is None


async def test_an_answer_while_disconnecting_resurrects_nothing_and_is_what_is_revoked(
    db, vault, account_id, connected, begin, store
):
    _, granted, _ = await begin()
    await connections.begin_disconnect(db, account_id, P)
    stored = await store(granted)
    assert (stored.state, stored.version, stored.lease_until) == ("disconnecting", 2, None)
    revocation = await connections.retire(db, account_id, P)
    assert ((await read(db, account_id)).state, (await read(db, account_id)).version) == ("disconnected", 3)
    opened = await connections.open_revocation(db, vault, account_id, P, revocation)
    assert (opened.tokens.access_token, opened.tokens.refresh_token) == ("access-new", "refresh-1")


async def test_an_end_that_is_repeated_names_the_same_revocation(db, vault, account_id, connected):
    """The answer of the first may have been lost: without the id nobody would ever revoke or destroy the tokens."""
    await connections.begin_disconnect(db, account_id, P)
    first = await connections.retire(db, account_id, P)
    assert await connections.retire(db, account_id, P) == first
    await connections.close_revocation(db, account_id, first, "revoked")
    assert await connections.retire(db, account_id, P) is None
    assert await connections.open_revocation(db, vault, account_id, P, first) is None
    assert await connections.retire(db, account_id + 1, P) is None


async def test_destroyed_tokens_are_gone(postgres, db, account_id, connected):
    await connections.begin_disconnect(db, account_id, P)
    revocation = await connections.retire(db, account_id, P)
    await connections.close_revocation(db, account_id, revocation, "expired")
    engine = create_engine(postgres.admin_url)
    with engine.connect() as c:
        query = text("select tokens, status from revocations where id = :id")
        assert tuple(c.execute(query, {"id": revocation}).one()) == (None, "expired")
    engine.dispose()


async def test_versions_never_restart(db, account_id, connect, begin, store):
    versions = []
    for _ in range(3):
        placed = await connect()
        versions.append(placed.connection.version)
        _, granted, _ = await begin(placed.connection.version)
        versions.append((await store(granted)).version)
        await connections.begin_disconnect(db, account_id, P)
        await connections.retire(db, account_id, P)
        versions.append((await read(db, account_id)).version)
    assert versions == list(range(1, 10))


async def test_a_late_refresh_cannot_enter_a_new_connection(db, account_id, connect, connected, begin, store):
    _, granted, _ = await begin()
    await connections.begin_disconnect(db, account_id, P)
    await connections.retire(db, account_id, P)
    again = (await connect()).connection
    assert await store(granted) is None
    assert (await read(db, account_id)).connection_id == again.connection_id != connected.connection_id


async def fill(db, vault, connection, operation):
    where = (db, connection.account_id, P)
    assert await links.link(
        *where, 5, connection_id=connection.connection_id, generation=connection.generation, record_id="r5", url=None
    )
    await links.claim(db, connection.account_id, connection.connection_id, "h", owner="o", seconds=60)
    await markers.intend(db, vault, connection.account_id, P, operation, generation=connection.generation, lease_s=60)


async def kept(db, vault, connection, operation):
    """Whether link, claim and marker of a connection are still there."""
    link = await linked(db, connection.account_id, P, 5) is not None
    claimed, _ = await links.claim(db, connection.account_id, connection.connection_id, "h", owner="x", seconds=60)
    marker = await markers.intend(
        db, vault, connection.account_id, P, operation, generation=connection.generation, lease_s=60
    )
    return link, not claimed, marker.state == "busy"


async def test_the_same_account_reconnects_and_keeps_everything(db, vault, connect, connected):
    operation = new()
    await fill(db, vault, connected, operation)
    again = await connect(tokens=Tokens("access-9", None, None))
    assert again.replaced_generation is None
    assert again.connection.connection_id == connected.connection_id
    assert (again.connection.generation, again.connection.version) == (1, 2)
    assert not again.connection.refreshable
    assert await kept(db, vault, connected, operation) == (True, True, True)


async def test_reconnecting_ends_a_broken_state(db, account_id, connect, connected, begin):
    await begin(lease_s=-1)
    await begin(lease_s=-1)
    await connections.require_reconnect(db, account_id, P, version=1, reason="refresh_outcome_lost")
    again = (await connect()).connection
    assert (again.state, again.reason, again.lost_attempts, again.refresh_attempt) == ("connected", "", 0, None)


@pytest.mark.parametrize(("replace", "by_state"), [(False, True), (True, False), (False, False)])
async def test_another_account_is_refused(db, vault, account_id, connect, connected, replace, by_state):
    operation = new()
    await fill(db, vault, connected, operation)
    refused = await connect("hub-2", replace=replace, by_state=by_state)
    assert isinstance(refused, Refused)
    assert "(Account hub-1)" in refused.error.message
    assert (await read(db, account_id)).tenant_key == "hub-1"
    assert await kept(db, vault, connected, operation) == (True, True, True)


async def test_another_account_takes_the_place_where_it_was_asked_to(db, vault, connect, connected):
    operation = new()
    await fill(db, vault, connected, operation)
    placed = await connect("hub-2", replace=True)
    assert isinstance(placed, Placed)
    assert placed.replaced_generation == 1
    assert (placed.connection.generation, placed.connection.version) == (2, 2)
    assert placed.connection.connection_id != connected.connection_id
    assert await kept(db, vault, connected, operation) == (False, False, False)


async def test_what_an_old_generation_writes_is_dropped(db, account_id, connect, connected):
    await connect("hub-2", replace=True)
    assert not await links.link(
        db, account_id, P, 5, connection_id=connected.connection_id, generation=1, record_id="r", url=None
    )
    assert await linked(db, account_id, P, 5) is None


async def test_links_of_an_ended_connection_are_not_written(db, account_id, connected):
    values = {"connection_id": connected.connection_id, "generation": 1, "record_id": "r", "url": "u"}
    assert await links.link(db, account_id, P, 5, **values)
    await connections.begin_disconnect(db, account_id, P)
    assert not await links.link(db, account_id, P, 6, **values)
    await connections.retire(db, account_id, P)
    assert await linked(db, account_id, P, 5) is None


async def test_connecting_again_keeps_the_old_grant_from_being_revoked(db, vault, account_id, connect, connected):
    await connections.begin_disconnect(db, account_id, P)
    revocation = await connections.retire(db, account_id, P)
    await connect("hub-2")  # somebody else's grant: revoking goes on
    assert await connections.open_revocation(db, vault, account_id, P, revocation)
    await connections.begin_disconnect(db, account_id, P)
    await connections.retire(db, account_id, P)
    await connect("hub-1")
    assert await connections.open_revocation(db, vault, account_id, P, revocation) is None


async def test_tokens_that_were_moved_do_not_open(postgres, db, vault, account_id, connected):
    engine = create_engine(postgres.admin_url)
    with engine.begin() as c:
        c.execute(
            text("update connections set account_id = account_id + 700000 where account_id = :a"), {"a": account_id}
        )
    engine.dispose()
    moved = await read(db, account_id + 700_000)
    with pytest.raises(CannotOpen):
        connections.open_tokens(vault, moved)


def test_scopes_that_were_not_granted():
    assert connections.missing_scopes(["a"], ["a", "b"]) == ["b"]
    assert connections.missing_scopes([], ["a"]) == []
    assert connections.missing_scopes(["all_of_it"], ["a", "b"]) == [], "Stripe names the grant, not its permissions"
