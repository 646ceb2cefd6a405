"""Pending authorizations: used once, found by state, sealed, and refused in one way."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from supportly.crypto import CannotOpen
from supportly.errors import AuthorizationInvalid, Conflict
from supportly.oauth import Tokens, challenge, new_state, new_verifier
from supportly.storage import authorizations

PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def receive(db, vault, account_id):
    async def run(*, actor="ann", account=None, provider="acme", strict=False, **returned):
        return await authorizations.receive(
            db,
            vault,
            account_id=account or account_id,
            provider=provider,
            actor=actor,
            returned=returned,
            strict=strict,
        )

    return run


async def test_the_row_is_found_by_its_state(attempt, receive):
    first, second = new_state(), new_state()
    rows = [await attempt(state=first), await attempt(state=second)]
    assert await receive(code="c1", state=second, strict=True) == rows[1]
    assert await receive(code="c2", state=first, strict=True) == rows[0]


async def test_a_repeated_callback_gets_the_same_row(attempt, receive):
    state = new_state()
    row = await attempt(state=state)
    assert [await receive(code="c", state=state) for _ in range(3)] == [row] * 3


async def test_the_same_callback_ten_times_at_once_is_one(attempt, receive):
    state = new_state()
    row = await attempt(state=state)
    assert await asyncio.gather(*(receive(code="c", state=state) for _ in range(10))) == [row] * 10


async def test_every_bad_callback_hears_the_same(db, attempt, receive, account_id):
    used, expired, foreign = (new_state() for _ in range(3))
    await attempt(state=used)
    await receive(code="c", state=used)
    await attempt(state=expired, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    await attempt(state=foreign, actor="bob")
    elsewhere = new_state()
    await attempt(state=elsewhere, account_id=account_id + 500_000)
    other = new_state()
    await attempt(state=other, provider="other")
    said = set()
    for state, code in ((used, "c2"), (expired, "c"), (foreign, "c"), (elsewhere, "c"), (other, "c"), ("nope", "c")):
        with pytest.raises(AuthorizationInvalid) as caught:
            await receive(code=code, state=state)
        said.add((str(caught.value.payload()), caught.value.status))
    assert len(said) == 1


async def test_strict_mode_wants_the_state(attempt, receive):
    state, verifier = new_state(), new_verifier()
    row = await attempt(state=state, code_challenge=challenge(verifier), verifier=None)
    for returned in ({}, {"code_verifier": verifier}, {"state": ""}):
        with pytest.raises(AuthorizationInvalid):
            await receive(code="c", strict=True, **returned)
    assert await receive(code="c", strict=True, state=state, code_verifier=verifier) == row


async def test_compatible_mode_finds_the_one_live_attempt(attempt, receive):
    row = await attempt()
    assert await receive(code="c") == row
    assert await receive(code="c") == row  # a repeat
    with pytest.raises(AuthorizationInvalid):
        await receive(code="another")


async def test_compatible_mode_does_not_guess_between_two(attempt, receive):
    await attempt()
    await attempt()
    with pytest.raises(AuthorizationInvalid):
        await receive(code="c")


async def test_compatible_mode_knows_the_actor(attempt, receive):
    await attempt(actor="bob")
    with pytest.raises(AuthorizationInvalid):
        await receive(code="c", actor="ann")


async def test_the_verifier_finds_its_attempt_among_others(attempt, receive, db, vault, account_id):
    verifiers = [new_verifier(), new_verifier()]
    rows = [await attempt(code_challenge=challenge(v)) for v in verifiers]
    assert await receive(code="c", code_verifier=verifiers[0]) == rows[0]
    opened = await authorizations.begin_exchange(db, vault, account_id, "acme", rows[0])
    assert opened.verifier == verifiers[0]
    assert not opened.by_state


async def test_a_wrong_or_missing_verifier_is_refused(attempt, receive):
    state = new_state()
    await attempt(state=state, code_challenge=challenge(new_verifier()))
    with pytest.raises(AuthorizationInvalid):
        await receive(code="c", state=state, code_verifier=new_verifier())
    with pytest.raises(AuthorizationInvalid):
        await receive(code="c", state=state)  # the caller said it would hold the verifier


async def test_nothing_secret_lies_open_in_the_row(postgres, db, vault, attempt, receive, account_id):
    state, verifier = new_state(), new_verifier()
    row = await attempt(state=state, verifier=verifier, code_challenge=challenge(verifier))
    await receive(code="the-code-of-ann", state=state, hmac="sig")

    def everything() -> str:
        engine = create_engine(postgres.admin_url)
        with engine.connect() as c:
            found = c.execute(
                text("select t::text from pending_authorizations t where id = :id"), {"id": row}
            ).scalar_one()
        engine.dispose()
        return found

    for secret in (state, verifier, "the-code-of-ann", "sig"):
        assert secret not in everything()
    opened = await authorizations.begin_exchange(db, vault, account_id, "acme", row)
    assert opened.returned == {"code": "the-code-of-ann", "state": state, "hmac": "sig"}
    assert opened.verifier == verifier
    for secret in (state, verifier, "the-code-of-ann"):
        assert secret not in repr(opened)
    await authorizations.keep_tokens(
        db, vault, account_id, "acme", row, Tokens("acc-1", "ref-1", PAST, ("a",), {"h": "1"})
    )
    for secret in ("acc-1", "ref-1", verifier):
        assert secret not in everything()
    again = await authorizations.begin_exchange(db, vault, account_id, "acme", row)
    assert (again.tokens.access_token, again.tokens.refresh_token, again.tokens.expires_at) == ("acc-1", "ref-1", PAST)
    assert again.returned == {}
    await authorizations.finish(db, account_id, row, "failed", {"error": {}}, provider="acme")
    engine = create_engine(postgres.admin_url)
    with engine.connect() as c:
        left = c.execute(
            text("select verifier, returned from pending_authorizations where id = :id"), {"id": row}
        ).one()
    engine.dispose()
    assert tuple(left) == (None, None)


async def test_a_code_goes_out_once(db, vault, attempt, receive, account_id):
    row = await attempt()
    await receive(code="c")
    opened = await asyncio.gather(
        *(authorizations.begin_exchange(db, vault, account_id, "acme", row) for _ in range(10))
    )
    assert len([one for one in opened if one]) == 1
    assert await authorizations.outcome(db, account_id, row) == ("exchanging", None)


async def test_a_row_that_was_moved_does_not_open(postgres, vault, db, attempt, receive, account_id):
    row = await attempt()
    await receive(code="c")
    engine = create_engine(postgres.admin_url)
    with engine.begin() as c:
        c.execute(text("update pending_authorizations set account_id = account_id + 1 where id = :id"), {"id": row})
    engine.dispose()
    with pytest.raises(CannotOpen):
        await authorizations.begin_exchange(db, vault, account_id + 1, "acme", row)


async def test_success_voids_the_other_attempts(db, vault, connect, attempt, receive, account_id):
    other = new_state()
    await attempt(state=other, verifier="v")
    await connect()
    with pytest.raises(AuthorizationInvalid):
        await receive(code="c", state=other)


async def test_an_attempt_that_was_given_up_connects_nothing(db, vault, attempt, receive, account_id):
    row = await attempt()
    await receive(code="c")
    await authorizations.finish(db, account_id, row, "failed", {"error": {"code": "x"}}, provider="acme")
    with pytest.raises(AuthorizationInvalid):
        await authorizations.finish(db, account_id, row, "done", {"standing": {}}, provider="acme")
    assert await authorizations.outcome(db, account_id, row) == ("failed", {"error": {"code": "x"}})


async def test_an_unknown_row_is_missing(db, account_id):
    assert await authorizations.outcome(db, account_id, str(uuid.uuid4())) == ("missing", None)


async def test_old_rows_are_cleared_away(db, attempt, account_id):
    old = await attempt(expires_at=PAST)
    await attempt()
    assert (await authorizations.outcome(db, account_id, old))[0] == "missing"


def test_one_error_class_for_all():
    assert not issubclass(AuthorizationInvalid, Conflict)
