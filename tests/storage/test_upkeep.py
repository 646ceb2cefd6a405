"""What is old goes, account by account and batch by batch; what may still be asked for stays."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from supportly.storage import upkeep
from supportly.storage.tables import markers, operations, pending_authorizations, revocations

DAY = timedelta(days=1)
KEPT = 30 * DAY


@pytest.fixture
def put(db, account_id):
    async def insert(table, age, *, ended=True, **values):
        """A row that began `age` ago and ended then too, or never."""
        then = datetime.now(UTC) - age
        made = {
            "operations": {"kind": "lookup", "request_hash": "h", "status": "succeeded" if ended else "running"},
            "markers": {"generation": 1, "state": "done" if ended else "intended"},
            "revocations": {
                "connection_id": uuid.uuid4(), "tenant_key": "t", "facts": {}, "status": "revoked" if ended else "open"
            },
        }[table.name]  # fmt: skip
        key = "operation_id" if table is markers else "id"
        row = {"account_id": account_id, key: uuid.uuid4(), "provider": "acme", "created_at": then, **made, **values}
        async with db.tenant(account_id) as c:
            await c.execute(table.insert().values(**row, finished_at=then if ended else None))
        return row[key]

    return insert


@pytest.fixture
def count(db, account_id):
    async def of(table):
        async with db.tenant(account_id) as c:
            return (await c.execute(select(func.count()).select_from(table))).scalar_one()

    return of


async def clean(db, account_id, **options):
    return dict((await upkeep.clean(db, account_id, kept=KEPT, **options)).removed)


@pytest.mark.parametrize("table", [operations, markers, revocations], ids=lambda table: table.name)
async def test_what_ended_long_ago_goes(db, account_id, put, count, table):
    await put(table, KEPT + DAY)
    stays = await put(table, KEPT - DAY)
    assert account_id in await upkeep.accounts(db, after=0, kept=KEPT)
    assert await clean(db, account_id) == {table.name: 1}
    key = table.c.operation_id if table is markers else table.c.id
    async with db.tenant(account_id) as c:
        assert (await c.execute(select(key))).scalars().all() == [stays]
    assert account_id not in await upkeep.accounts(db, after=0, kept=KEPT)


async def test_a_long_one_counts_from_its_end(db, account_id, put, count):
    await put(operations, KEPT + 2 * DAY)
    async with db.tenant(account_id) as c:
        await c.execute(operations.update().values(finished_at=func.now()))
    assert await clean(db, account_id) == {}
    assert await count(operations) == 1


async def test_what_says_that_it_runs_and_cannot_goes(db, account_id, put):
    await put(operations, KEPT + DAY, ended=False)
    assert await clean(db, account_id) == {"operations": 1}


async def test_tokens_that_wait_to_be_revoked_stay_and_are_told(db, account_id, put):
    waits = await put(revocations, KEPT + DAY, ended=False)
    await put(revocations, timedelta(minutes=5), ended=False)
    assert account_id in await upkeep.accounts(db, after=0, kept=KEPT)
    assert await clean(db, account_id) == {}
    assert await upkeep.unattended(db, account_id) == [("acme", str(waits))]


async def test_authorizations_stay_for_a_day_after_they_expired(db, account_id, attempt, count):
    now = datetime.now(UTC)
    await attempt(expires_at=now)
    for age in (timedelta(hours=23), timedelta(hours=25)):
        async with db.tenant(account_id) as c:
            await c.execute(pending_authorizations.update().values(expires_at=now - age))
        assert await clean(db, account_id) == ({} if age < DAY else {"pending_authorizations": 1})
    assert await count(pending_authorizations) == 0


async def test_much_goes_in_batches_and_nothing_of_others(db, account_id, put):
    for _ in range(5):
        await put(operations, KEPT + DAY)
    other = account_id + 800_000
    row = {"account_id": other, "id": uuid.uuid4(), "provider": "acme", "kind": "lookup", "request_hash": "h",
           "status": "succeeded", "created_at": datetime.now(UTC) - KEPT - DAY}  # fmt: skip
    async with db.tenant(other) as c:
        await c.execute(operations.insert().values(row))
    found = [await upkeep.clean(db, account_id, kept=KEPT, batch=2) for _ in range(3)]
    assert [(one.removed["operations"], one.more) for one in found] == [(2, True), (2, True), (1, False)]
    assert other in await upkeep.accounts(db, after=account_id, kept=KEPT)
    assert account_id not in await upkeep.accounts(db, after=account_id, kept=KEPT)
