"""Every course of what a person waits for: lookups, syncs, logged activities, actions."""

import asyncio
import itertools
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from supportly.contracts.actions import ActionJob, ActionResult
from supportly.contracts.contacts import (
    ActivityJob,
    ActivityResult,
    Lookup,
    LookupJob,
    Record,
    RecordRef,
    SyncJob,
    SyncResult,
)
from tests.replay.stage import INTERACTIVE, Stage, away, refused, scenario, until
from tests.scripted import Script
from workflows.contact_activity import ContactActivity
from workflows.contact_lookup import ContactLookup
from workflows.contact_sync import ContactSync
from workflows.provider_action import ProviderAction

OPERATION = "00000000-0000-4000-8000-000000000001"
FOUND = Lookup(provider="acme", contact_id=2, records=[Record(id="r-1", name="A contact", raw={"plan": "gold"})])
LOGGED = ActivityResult(provider="acme", contact_id=2, activity_type="note", record=RecordRef(id="n-1"))


def synced(status: Any) -> SyncResult:
    return SyncResult(provider="acme", contact_id=2, status=status, record=RecordRef(id="r-1"))


async def look(stage: Stage) -> Any:
    job = LookupJob(account_id=1, provider="acme", contact_id=2)
    return await stage.start(ContactLookup.run, job, queue=INTERACTIVE)


async def sync(stage: Stage, **options: Any) -> Any:
    job = SyncJob(account_id=1, provider="acme", contact_id=2, **{"operation_id": OPERATION, **options})
    return await stage.start(ContactSync.run, job, queue=INTERACTIVE)


async def log(stage: Stage, **options: Any) -> Any:
    options = {"operation_id": OPERATION, "content": "A note", **options}
    job = ActivityJob(account_id=1, provider="acme", contact_id=2, **options)
    return await stage.start(ContactActivity.run, job, queue=INTERACTIVE)


async def act(stage: Stage, **options: Any) -> Any:
    job = ActionJob(account_id=1, provider="acme", action="get_deals", operation_id=OPERATION, **options)
    return await stage.start(ProviderAction.run, job, queue=INTERACTIVE)


async def fails(stage: Stage, handle: Any, code: str) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await stage.ended(handle)
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == code


@scenario()
async def lookup_at_once(stage: Stage, script: Script) -> None:
    script.set(contact_lookup=FOUND)
    assert (await stage.ended(await look(stage))).records[0].id == "r-1"


@scenario()
async def lookup_after_the_pause_that_was_asked_for(stage: Stage, script: Script) -> None:
    script.set(contact_lookup=[away(0.2), away(0.1), FOUND])
    await stage.ended(await look(stage))
    assert len(script.asked) == 3


@scenario()
async def lookup_after_a_pause_of_our_own(stage: Stage, script: Script) -> None:
    script.set(contact_lookup=[away(), FOUND])
    await stage.ended(await look(stage))


@scenario()
async def lookup_refused_at_once(stage: Stage, script: Script) -> None:
    script.set(contact_lookup=refused("not_connected"))
    await fails(stage, await look(stage), "not_connected")


@scenario()
async def lookup_refused_later(stage: Stage, script: Script) -> None:
    script.set(contact_lookup=[away(), refused("reconnect_required")])
    await fails(stage, await look(stage), "reconnect_required")


@scenario("skipping")
async def lookup_given_up_after_a_minute(stage: Stage, script: Script) -> None:
    script.set(contact_lookup=away())
    await fails(stage, await look(stage), "provider_error")


@scenario("skipping", remote=False)
async def lookup_that_no_worker_takes(stage: Stage, script: Script) -> None:
    script.set(contact_lookup=away())
    await fails(stage, await look(stage), "unavailable")


@scenario()
async def lookup_whose_first_try_hangs(stage: Stage, script: Script) -> None:
    async def hang(_: Any) -> Lookup:
        if activity.info().is_local:
            await asyncio.sleep(60)
        return FOUND

    script.set(contact_lookup=hang)
    await stage.ended(await look(stage))


@scenario()
async def lookup_canceled(stage: Stage, script: Script) -> None:
    script.set(contact_lookup=away(0.5))
    handle = await look(stage)
    await until(lambda: len(script.asked) > 1)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await stage.ended(handle)


@scenario()
async def sync_creates(stage: Stage, script: Script) -> None:
    script.set(contact_sync=synced("created"))
    assert (await stage.ended(await sync(stage))).status == "created"


@scenario()
async def sync_plans_only(stage: Stage, script: Script) -> None:
    script.set(contact_sync=synced("updated"))
    await stage.ended(await sync(stage, dry_run=True, writes=False))


@scenario()
async def sync_joined_before_it_reads(stage: Stage, script: Script) -> None:
    script.set(contact_sync=synced("created"))
    job = SyncJob(account_id=1, provider="acme", contact_id=2, operation_id=OPERATION)
    handle = await stage.start(ContactSync.run, job, queue=INTERACTIVE, start_signal="again")
    assert (await stage.ended(handle)).status == "created"
    assert len(script.asked) == 1


def joined(stage: Stage, times: int) -> Any:
    """A sync that is asked for again while it reads, so many times."""

    readings = itertools.count()

    async def read(_: Any) -> Any:
        if activity.info().is_local:
            return away(0.05)
        before = next(readings)
        if before < times:
            await stage.client.get_workflow_handle(stage.kept[0]).signal(ContactSync.again)
        return synced("unchanged" if before else "created")

    return read


@scenario()
async def sync_joined_while_it_reads(stage: Stage, script: Script) -> None:
    script.set(contact_sync=joined(stage, 1))
    assert (await stage.ended(await sync(stage))).status == "created"
    assert len(script.asked) == 4


@scenario("short")
async def sync_joined_so_often_that_it_goes_on_as_new(stage: Stage, script: Script) -> None:
    script.set(contact_sync=joined(stage, 5))
    assert (await stage.ended(await sync(stage))).status == "created"


@scenario()
async def sync_refused(stage: Stage, script: Script) -> None:
    script.set(contact_sync=refused("ambiguous_match"), operation_failed=None)
    await fails(stage, await sync(stage), "ambiguous_match")
    assert script.calls("operation_failed")[0]["error"]["code"] == "ambiguous_match"


@scenario()
async def sync_refused_without_an_operation(stage: Stage, script: Script) -> None:
    script.set(contact_sync=refused("unsupported_by_provider", 422))
    await fails(stage, await sync(stage, operation_id=""), "unsupported_by_provider")


@scenario()
async def sync_that_could_not_open_what_is_sealed(stage: Stage, script: Script) -> None:
    """A failure without a payload of ours."""
    script.set(
        contact_sync=ApplicationError("the value is damaged", type="cannot_open", non_retryable=True),
        operation_failed=None,
    )
    await fails(stage, await sync(stage), "cannot_open")


@scenario()
async def activity_logged(stage: Stage, script: Script) -> None:
    script.set(contact_log=LOGGED)
    assert (await stage.ended(await log(stage))).record.id == "n-1"


@scenario("skipping")
async def activity_logged_after_an_outage_of_hours(stage: Stage, script: Script) -> None:
    script.set(contact_log=[away()] * 40 + [LOGGED])
    await stage.ended(await log(stage, kind="call"))


@scenario("skipping")
async def activity_given_up_after_a_day(stage: Stage, script: Script) -> None:
    script.set(contact_log=away(), operation_failed=None)
    await fails(stage, await log(stage, kind="task"), "provider_error")


@scenario()
async def activity_whose_failure_is_recorded_late(stage: Stage, script: Script) -> None:
    script.set(contact_log=refused("not_found", 404), operation_failed=[ApplicationError("away"), None])
    await fails(stage, await log(stage), "not_found")


@scenario()
async def activity_whose_outcome_is_unknown(stage: Stage, script: Script) -> None:
    script.set(contact_log=[away(), refused("outcome_unknown", 502)], operation_failed=None)
    await fails(stage, await log(stage), "outcome_unknown")


def answered() -> ActionResult:
    return ActionResult(provider="acme", action="get_deals", items=[{"id": "d-1"}], raw=[{"id": "d-1"}])


@scenario()
async def action_that_reads(stage: Stage, script: Script) -> None:
    script.set(provider_action=answered())
    await stage.ended(await act(stage, writes=False))


@scenario()
async def action_that_writes_at_the_second_try(stage: Stage, script: Script) -> None:
    script.set(provider_action=[away(0.1), answered()])
    await stage.ended(await act(stage, params={"limit": 20}))


@scenario("skipping")
async def action_that_reads_given_up_after_a_minute(stage: Stage, script: Script) -> None:
    script.set(provider_action=away(), operation_failed=None)
    await fails(stage, await act(stage, writes=False), "provider_error")
    assert len(script.calls("provider_action")) < 20  # not for a day, as a write


@scenario()
async def action_with_an_answer_that_is_too_large(stage: Stage, script: Script) -> None:
    script.set(provider_action=refused("answer_too_large", 502), operation_failed=None)
    await fails(stage, await act(stage, writes=False), "answer_too_large")
