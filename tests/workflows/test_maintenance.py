"""Daily maintenance on the whole service: its Schedule, and what a run does."""

import uuid
from datetime import UTC, datetime, timedelta

from temporalio.client import Client

from activities import schedules
from supportly import temporal
from supportly.contracts import ids
from supportly.contracts.upkeep import Upkeep
from supportly.storage.database import Database
from supportly.storage.tables import operations, revocations

LONG_AGO = datetime.now(UTC) - timedelta(days=40)


async def kept(service) -> Client:
    client = await temporal.connect(service.settings)
    await schedules.keep_maintenance(client)
    return client


async def test_every_worker_asks_for_the_schedule_and_there_is_one(service):
    client = await kept(service)
    handle = client.get_schedule_handle(ids.MAINTENANCE)
    await handle.pause(note="a person's own reason")
    await kept(service)
    found = (await handle.describe()).schedule
    assert (found.state.paused, found.state.note) == (True, "a person's own reason")
    assert found.spec.intervals[0].every == timedelta(days=1)
    assert [s.id async for s in await client.list_schedules() if s.id == ids.MAINTENANCE] == [ids.MAINTENANCE]
    await handle.delete()


async def test_a_run_removes_what_is_old_and_has_forgotten_grants_revoked(service, account_id):
    """The grant's workflow was never started: its tokens would lie here, and work at the provider, for good."""
    client, old, waiting = await kept(service), uuid.uuid4(), uuid.uuid4()
    db = Database(service.postgres.url)
    row = {"account_id": account_id, "provider": "schedly", "created_at": LONG_AGO}
    async with db.tenant(account_id) as c:
        await c.execute(operations.insert().values(**row, id=old, kind="lookup", request_hash="h", status="succeeded"))
        await c.execute(
            revocations.insert().values(
                **row, id=waiting, connection_id=uuid.uuid4(), tenant_key="t", facts={}, status="open"
            )
        )
    schedule = client.get_schedule_handle(ids.MAINTENANCE)
    done: Upkeep = await client.execute_workflow(
        "Maintenance", Upkeep(), id=f"maintenance/{account_id}", task_queue=ids.REFINEMENT, result_type=Upkeep
    )
    assert done.done
    assert done.removed["operations"] >= 1
    assert done.revocations >= 1
    # Without tokens there is nothing to tell the provider: the workflow looks, and is done.
    assert await client.get_workflow_handle(ids.revocation(account_id, "schedly", str(waiting))).result() is True
    async with db.tenant(account_id) as c:
        assert (await c.execute(operations.select())).all() == []
    again: Upkeep = await client.execute_workflow(
        "Maintenance", Upkeep(), id=f"maintenance/{account_id}", task_queue=ids.REFINEMENT, result_type=Upkeep
    )
    assert again.removed.get("operations", 0) == 0
    await schedule.delete()
    await db.close()
