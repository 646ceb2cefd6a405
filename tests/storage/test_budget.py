"""The rate budget that all processes share."""

import asyncio
import time
import uuid

import pytest

from supportly.errors import Unavailable
from supportly.http import Cost, Headroom
from supportly.storage.budget import PostgresBudget


@pytest.fixture
async def budget(postgres):
    made = PostgresBudget(postgres.url)
    yield made
    await made.close()


@pytest.fixture
def bucket() -> str:
    return uuid.uuid4().hex


async def take(budget, cost, lane, tries):
    """How many of `tries` were granted."""
    return sum([await budget.spend([cost], lane) == 0 for _ in range(tries)])


@pytest.mark.parametrize(("lane", "granted"), [("waiting", 100), ("sync", 90), ("knowledge", 80)])
async def test_each_lane_has_its_share(budget, bucket, lane, granted):
    # A window of a day: nothing to speak of refills meanwhile.
    assert await take(budget, Cost(bucket, 100, 86_400), lane, 120) == granted


async def test_bulk_never_takes_the_last_fifth(budget, bucket):
    cost = Cost(bucket, 50, 86_400)
    assert await take(budget, cost, "knowledge", 60) == 40
    assert await take(budget, cost, "sync", 20) == 5
    assert await take(budget, cost, "waiting", 20) == 5
    assert await budget.spend([cost], "knowledge") > await budget.spend([cost], "waiting") > 0


async def test_the_wait_is_long_enough(budget, bucket):
    cost = Cost(bucket, 2, 0.6)
    assert await take(budget, cost, "waiting", 2) == 2
    wait = await budget.spend([cost], "waiting")
    assert 0 < wait <= 0.3
    await asyncio.sleep(wait + 0.01)
    assert await budget.spend([cost], "waiting") == 0


async def test_all_or_none(budget):
    small, large = Cost(uuid.uuid4().hex, 1, 86_400), Cost(uuid.uuid4().hex, 10, 86_400)
    assert await budget.spend([small, large], "waiting") == 0
    for _ in range(5):
        assert await budget.spend([large, small], "waiting") > 0
    assert await take(budget, large, "waiting", 20) == 9


async def test_limits_may_be_integers_and_floats(budget):
    mixed = [Cost(uuid.uuid4().hex, 80, 2), Cost(uuid.uuid4().hex, 1e6, 86_400.0, 20)]
    assert await budget.spend(mixed, "waiting") == 0


async def test_an_amount_counts_as_that_many(budget, bucket):
    assert await take(budget, Cost(bucket, 100, 86_400, amount=25), "waiting", 10) == 4
    assert await budget.spend([], "waiting") == 0


async def test_fifty_at_once_in_any_order_neither_deadlock_nor_overspend(postgres, bucket):
    """Two processes' worth of pools, each caller with its buckets in another order."""
    pools = [PostgresBudget(postgres.url, pool=10) for _ in range(2)]
    costs = [Cost(f"{bucket}-{n}", 40, 86_400) for n in range(4)]

    async def caller(number: int) -> float:
        turned = costs[number % 4 :] + costs[: number % 4]
        return await pools[number % 2].spend(turned[:: -1 if number % 3 else 1], "waiting")

    began = time.monotonic()
    waits = await asyncio.gather(*(caller(n) for n in range(50)))
    assert sum(wait == 0 for wait in waits) == 40
    assert time.monotonic() - began < 10
    for pool in pools:
        await pool.close()


async def test_the_provider_knows_better(budget, bucket):
    await budget.learn([Headroom(bucket, 100, 86_400, remaining=5)])
    assert await take(budget, Cost(bucket, 100, 86_400), "waiting", 20) == 5


async def test_a_provider_gives_nothing_back(budget, bucket):
    cost = Cost(bucket, 100, 86_400)
    assert await take(budget, cost, "waiting", 99) == 99
    await budget.learn([Headroom(bucket, 100, 86_400, remaining=9), Headroom(bucket, 0, 86_400, remaining=0)])
    assert await take(budget, cost, "waiting", 9) == 1


async def test_without_a_database_nothing_is_spent_and_nothing_learnt_is_missed():
    away = PostgresBudget("postgresql+psycopg://supportly_app@127.0.0.1:1/supportly")
    with pytest.raises(Unavailable):
        await away.spend([Cost("b", 1, 1)], "waiting")
    await away.learn([Headroom("b", 100, 10, remaining=0)])
    await away.close()


async def test_a_factor_scales_every_limit(postgres, bucket):
    half = PostgresBudget(postgres.url, factor=0.5)
    assert await take(half, Cost(bucket, 100, 86_400), "waiting", 60) == 50
    await half.close()
