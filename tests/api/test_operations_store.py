"""The rows behind Idempotency-Keys, on real PostgreSQL."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from supportly.crypto import KeyRing, Vault
from supportly.errors import KeyReused, NotConnected
from supportly.settings import DEVELOPMENT_KEYS
from supportly.storage import operations

VAULT = Vault(KeyRing(DEVELOPMENT_KEYS))


def opening(db, account_id, **more):
    asked = {"provider": "hubspot", "kind": "sync", "request_hash": "r1", "key": "k", **more}
    return operations.open_operation(db, VAULT, account_id=account_id, **asked)


async def test_one_key_makes_one_row_also_at_once(db, account_id):
    found = await asyncio.gather(*(opening(db, account_id) for _ in range(8)))
    assert len({o.id for o in found}) == 1
    assert [o.new for o in found].count(True) == 1
    with pytest.raises(KeyReused):
        await opening(db, account_id, request_hash="r2")
    assert (await opening(db, account_id + 500_000)).new


async def test_results_and_errors_are_sealed_and_stored_once(db, account_id):
    first, second = await opening(db, account_id), await opening(db, account_id, key="other")
    await operations.finish(db, VAULT, account_id, first.id, result={"name": "Ada Marker"})
    await operations.finish(db, VAULT, account_id, first.id, result={"name": "too late"})
    await operations.finish(db, VAULT, account_id, second.id, error=NotConnected("Ada Marker is away.").payload())
    done, failed = [await operations.read(db, VAULT, account_id, o.id) for o in (first, second)]
    assert (done.status, done.result) == ("succeeded", {"name": "Ada Marker"})
    assert (failed.status, failed.error["code"]) == ("failed", "not_connected")
    async with db.tenant(account_id) as c:
        stored = (await c.execute(text("select operations::text from operations"))).scalars().all()
    assert len(stored) == 2
    assert not any("Ada Marker" in row for row in stored)
    assert await operations.read(db, VAULT, account_id + 500_000, first.id) is None


async def test_those_who_joined_a_run_end_with_it(db, account_id):
    own, joined = await opening(db, account_id), await opening(db, account_id, key=None)
    other = await opening(db, account_id, key=None)
    for operation, run in ((own, "run-1"), (joined, "run-1"), (other, "run-2")):
        await operations.attach(db, account_id, operation.id, "workflow", run)
    await operations.finish(db, VAULT, account_id, own.id, result={"n": 1})
    states = [(await operations.read(db, VAULT, account_id, o.id)).status for o in (own, joined, other)]
    assert states == ["succeeded", "succeeded", "running"]


async def test_a_row_whose_maker_died_is_taken_over_once(db, account_id):
    made = await opening(db, account_id)
    assert not await operations.take_over(db, account_id, made.id, after=timedelta(seconds=60))
    takes = [await operations.take_over(db, account_id, made.id, after=timedelta(0)) for _ in range(1)]
    assert takes == [True]
    await operations.forget(db, account_id, made.id)
    assert await operations.read(db, VAULT, account_id, made.id) is None


async def test_ids_that_are_none_change_nothing(db, account_id):
    assert await operations.read(db, VAULT, account_id, "nonsense") is None
    await operations.finish(db, VAULT, account_id, str(uuid4()), result={})
    await operations.finish(db, VAULT, account_id, "", result={})
