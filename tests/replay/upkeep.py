"""Every course of what runs beside the accounts' own work: deliveries of events, maintenance, a reconciliation."""

from typing import Any

from temporalio.exceptions import ApplicationError

from supportly.contracts.events import EventJob
from supportly.contracts.maintenance import Reconciled, ReconcileJob
from supportly.contracts.upkeep import Upkeep
from tests.replay.stage import CONNECTIONS, REFINEMENT, Stage, away, scenario
from tests.scripted import Script
from workflows.event_delivery import EventDelivery
from workflows.maintenance import Maintenance, Reconcile

EVENT = EventJob(account_id=1, provider="acme", event_id="00000000-0000-4000-8000-000000000003")


async def deliver(stage: Stage) -> Any:
    return await stage.ended(await stage.start(EventDelivery.run, EVENT, queue=CONNECTIONS))


@scenario()
async def event_delivered(stage: Stage, script: Script) -> None:
    script.set(event_deliver=[away(0.1), "delivered"])
    assert await deliver(stage) == "delivered"


@scenario()
async def event_of_a_kind_that_was_switched_off(stage: Stage, script: Script) -> None:
    script.set(event_deliver="off")
    assert await deliver(stage) == "off"


@scenario("skipping")
async def event_that_nobody_takes_for_a_day(stage: Stage, script: Script) -> None:
    script.set(event_deliver=away(), event_give_up=[ApplicationError("away"), None])
    assert await deliver(stage) == "failed"


def step(number: int, *, last: int) -> Upkeep:
    return Upkeep(after=number, done=number == last, removed={"operations": number})


async def maintain(stage: Stage) -> Upkeep:
    return await stage.ended(await stage.start(Maintenance.run, Upkeep(), queue=REFINEMENT))


@scenario()
async def maintenance_in_steps(stage: Stage, script: Script) -> None:
    script.set(maintenance_clean=[away(0.1), *(step(n, last=3) for n in (1, 2, 3))])
    assert (await maintain(stage)).removed == {"operations": 3}


@scenario("short")
async def maintenance_that_goes_on_as_new(stage: Stage, script: Script) -> None:
    script.set(maintenance_clean=[step(n, last=9) for n in range(1, 10)])
    assert (await maintain(stage)).after == 9
    assert len([h async for h in stage.histories()]) >= 3


@scenario()
async def reconciled_after_a_restore(stage: Stage, script: Script) -> None:
    script.set(reconcile=[away(0.1), Reconciled(connections=2, workflows_started=1)])
    found = await stage.ended(await stage.start(Reconcile.run, ReconcileJob(requested_by="cli"), queue=CONNECTIONS))
    assert found.mended == 1
