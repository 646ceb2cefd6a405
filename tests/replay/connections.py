"""Every course of a connection's life, and of the revocation that it leaves."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from supportly.contracts import ids
from supportly.contracts.connections import (
    Authorization,
    Disconnection,
    Entity,
    Retired,
    RevocationJob,
    Standing,
)
from tests.replay.stage import CONNECTIONS, Stage, away, refused, scenario, until
from tests.scripted import Script
from workflows.connection import ConnectionWorkflow
from workflows.maintenance import Revocation

PLACE = Entity(account_id=1, provider="acme")
GONE = Standing(state="disconnected")
LIFE = timedelta(hours=1)
REVOCATION = "00000000-0000-4000-8000-000000000002"


class Row:
    """The connection's row, as the activities would read and write it."""

    def __init__(self, stage: Stage, script: Script, standing: Standing = GONE) -> None:
        self.stage, self.script, self.at = stage, script, standing
        script.set(
            connection_standing=lambda _: self.at,
            connection_exchange=self.connect,
            connection_refresh=self.connect,
            connection_begin_disconnect=0.0,
            connection_retire=self.retire,
            connection_revoke=True,
            connection_destroy=None,
        )

    async def connect(self, _: Any = None, **changes: Any) -> Standing:
        now = await self.now()
        values = {"state": "connected", "connection_id": "c-1", "generation": 1, "version": self.at.version + 1,
                  "refreshed_at": now, "expires_at": now + LIFE, "refreshable": True}  # fmt: skip
        self.at = Standing(**{**values, **changes})
        return self.at

    async def now(self) -> Any:
        return await self.stage.env.get_current_time() if self.stage.env else datetime.now(UTC)

    def retire(self, _: Any, revocation_id: str = REVOCATION) -> Retired:
        self.at = Standing(state="disconnected", version=self.at.version + 1)
        if revocation_id:
            self.stage.kept.append(ids.revocation(1, "acme", revocation_id))
        return Retired(standing=self.at, revocation_id=revocation_id)

    @property
    def refreshes(self) -> list[Any]:
        return self.script.calls("connection_refresh")


async def begin(stage: Stage, place: Entity = PLACE, **extra: Any) -> Any:
    return await stage.start(ConnectionWorkflow.run, place, queue=CONNECTIONS, **extra)


async def authorize(handle: Any, pending: str = "p-1") -> Standing:
    job = Authorization(account_id=1, provider="acme", pending_id=pending)
    return await handle.execute_update(ConnectionWorkflow.authorize, job, id=pending)


async def disconnect(handle: Any) -> Standing:
    job = Disconnection(account_id=1, provider="acme", requested_by="token:1")
    return await handle.execute_update(ConnectionWorkflow.disconnect, job)


async def fails(work: Any, code: str) -> None:
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await work
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == code


async def reaches(handle: Any, true: Callable[[Standing], bool]) -> None:
    """Wait until the workflow's own view of the connection is so."""
    for _ in range(1500):
        if true(await handle.query(ConnectionWorkflow.standing)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


@scenario("skipping")
async def connected_and_refreshed_by_the_timer(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    await stage.skip(LIFE.total_seconds() * 4)
    assert len(row.refreshes) >= 4


@scenario("skipping")
async def a_refresh_that_fails_and_comes_back(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    script.set(
        connection_refresh=[away(), refused("client_refused", 502, pause_s=300), refused("provider_error"), row.connect]
    )
    await stage.skip(LIFE.total_seconds() * 2)
    assert len(row.refreshes) >= 5


@scenario("skipping")
async def a_refresh_that_goes_on_for_ten_minutes(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    script.set(connection_refresh=away())
    await stage.skip(LIFE.total_seconds())
    script.set(connection_refresh=row.connect)
    await stage.skip(LIFE.total_seconds())
    assert (await handle.query(ConnectionWorkflow.standing)).version > 1


@scenario("skipping")
async def a_clock_that_is_a_day_behind(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)

    async def behind(_: Any) -> Standing:
        then = await row.now() - timedelta(days=1)
        return await row.connect(refreshed_at=then, expires_at=then + LIFE)

    script.set(connection_refresh=behind)
    await stage.skip(LIFE.total_seconds() * 3)
    assert 3 <= len(row.refreshes) <= 4


@scenario()
async def a_token_that_a_provider_rejects(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    await handle.signal(ConnectionWorkflow.token_rejected, 1)
    await reaches(handle, lambda s: s.version == 2)
    await handle.signal(ConnectionWorkflow.token_rejected, 1)  # settled already
    await handle.signal(ConnectionWorkflow.token_rejected, 2)
    await reaches(handle, lambda s: s.version == 3)
    assert len(row.refreshes) == 2


@scenario()
async def a_rejection_while_a_refresh_is_paused(stage: Stage, script: Script) -> None:
    Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    script.set(connection_refresh=refused("client_refused", 502, pause_s=300))
    await handle.signal(ConnectionWorkflow.token_rejected, 1)
    await reaches(handle, lambda s: s.retry_at is not None)
    await handle.signal(ConnectionWorkflow.token_rejected, 1)
    await reaches(handle, lambda s: s.retry_at is not None)
    assert len(script.calls("connection_refresh")) == 1


@scenario()
async def a_rejection_starts_what_was_gone(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    await row.connect(version=5)
    handle = await begin(stage, start_signal="token_rejected", start_signal_args=[5])
    await reaches(handle, lambda s: s.version == 6)


@scenario()
async def a_rejection_of_a_version_that_is_not_known_here(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    await row.connect(version=7)
    await handle.signal(ConnectionWorkflow.token_rejected, 7)
    await reaches(handle, lambda s: s.version == 8)


@scenario()
async def a_rejection_without_a_connection(stage: Stage, script: Script) -> None:
    Row(stage, script)
    handle = await begin(stage)
    await handle.signal(ConnectionWorkflow.token_rejected, 1)
    await until(lambda: len(script.calls("connection_standing")) == 2)
    await reaches(handle, lambda s: s.state == "disconnected")


@scenario()
async def a_grant_that_is_revoked_at_the_provider_and_given_again(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    lost = row.at.model_copy(update={"state": "reconnect_required", "reason": "revoked_by_user"})
    script.set(connection_refresh=lost)
    await handle.signal(ConnectionWorkflow.token_rejected, 1)
    await reaches(handle, lambda s: s.state == "reconnect_required")
    assert (await authorize(handle, "p-2")).state == "connected"


@scenario("skipping")
async def a_connection_that_is_never_refreshed(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    script.set(connection_exchange=lambda _: row.connect(refreshable=False, expires_at=None))
    handle = await begin(stage)
    await authorize(handle)
    await stage.skip(timedelta(days=30).total_seconds())
    assert row.refreshes == []
    assert (await handle.query(ConnectionWorkflow.standing)).state == "connected"


@scenario("skipping")
async def nobody_connects(stage: Stage, script: Script) -> None:
    Row(stage, script)
    await stage.ended(await begin(stage))


@scenario("skipping")
async def somebody_connects_in_the_last_moment(stage: Stage, script: Script) -> None:
    row = Row(stage, script)

    async def slowly(_: Any) -> Standing:
        await asyncio.sleep(4)  # real seconds, and the server's clock runs on with them
        return await row.connect()

    script.set(connection_exchange=slowly)
    handle = await begin(stage)
    await stage.skip(timedelta(minutes=15).total_seconds() - 2)
    await authorize(handle)
    await stage.skip(LIFE.total_seconds())
    assert len(row.refreshes) == 1


@scenario("skipping")
async def an_exchange_that_fails_in_the_last_moment(stage: Stage, script: Script) -> None:
    Row(stage, script)

    async def slowly(_: Any) -> Exception:
        await asyncio.sleep(4)
        return refused("invalid_authorization", 422)

    script.set(connection_exchange=slowly)
    handle = await begin(stage)
    await stage.skip(timedelta(minutes=15).total_seconds() - 2)
    await fails(authorize(handle), "invalid_authorization")
    await stage.ended(handle)


@scenario()
async def an_exchange_that_is_refused(stage: Stage, script: Script) -> None:
    Row(stage, script)
    script.set(connection_exchange=refused("different_account"))
    handle = await begin(stage)
    await fails(authorize(handle), "different_account")


@scenario("skipping")
async def an_exchange_that_is_out_of_time(stage: Stage, script: Script) -> None:
    Row(stage, script)
    script.set(connection_exchange=away())
    handle = await begin(stage)
    asked = asyncio.create_task(fails(authorize(handle), "provider_error"))
    await stage.skip(timedelta(minutes=20).total_seconds())
    await asyncio.wait_for(asked, 60)


@scenario()
async def a_callback_that_is_repeated_late(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    first = await authorize(handle)
    await authorize(handle, "p-2")
    script.set(connection_exchange=first)
    assert await authorize(handle, "p-1-again") == first
    assert (await handle.query(ConnectionWorkflow.standing)).version == row.at.version == 2


@scenario()
async def callbacks_at_once(stage: Stage, script: Script) -> None:
    Row(stage, script)
    handle = await begin(stage)
    stood = await asyncio.gather(*(authorize(handle, f"p-{n}") for n in range(3)))
    assert sorted(s.version for s in stood) == [1, 2, 3]


@scenario()
async def disconnected_and_revoked(stage: Stage, script: Script) -> None:
    Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    script.set(connection_begin_disconnect=0.5)  # a refresh may still be alive
    assert (await disconnect(handle)).state == "disconnected"
    await until(lambda: script.calls("connection_revoke"))
    await stage.ended(stage.client.get_workflow_handle(stage.kept[1]))


@scenario("skipping")
async def disconnected_with_nothing_to_revoke(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    script.set(connection_retire=lambda _: row.retire(None, ""))
    handle = await begin(stage)
    await authorize(handle)
    await disconnect(handle)
    await stage.ended(handle)


@scenario()
async def disconnected_twice_and_connected_again(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    script.set(connection_retire=lambda _: row.retire(None, ""))
    handle = await begin(stage)
    await authorize(handle)
    await disconnect(handle)
    script.set(connection_begin_disconnect=refused("not_connected"))
    await fails(disconnect(handle), "not_connected")
    assert (await authorize(handle, "p-2")).state == "connected"


@scenario("short")
async def a_life_that_goes_on_as_new(stage: Stage, script: Script) -> None:
    row = Row(stage, script)
    handle = await begin(stage)
    for n in range(4):
        await authorize(handle, f"p-{n}")
        await handle.signal(ConnectionWorkflow.token_rejected, row.at.version)
        version = row.at.version
        await reaches(handle, lambda s, version=version: s.version >= version)
    assert len([h async for h in stage.histories()]) >= 3


@scenario()
async def renewed_while_it_waits(stage: Stage, script: Script) -> None:
    """A key was rotated: the next run begins with a message that is sealed with the present one."""
    row = Row(stage, script)
    handle = await begin(stage)
    await authorize(handle)
    await handle.signal(ConnectionWorkflow.renew)
    for _ in range(500):
        if len([h async for h in stage.histories()]) == 2:
            break
        await asyncio.sleep(0.02)
    await stage.client.get_workflow_handle(handle.id).signal(ConnectionWorkflow.token_rejected, 1)
    await reaches(stage.client.get_workflow_handle(handle.id), lambda s: s.version == 2)
    assert len(row.refreshes) == 1
    assert len([h async for h in stage.histories()]) == 2


@scenario()
async def renewed_while_it_refreshes(stage: Stage, script: Script) -> None:
    row, refreshing, go_on = Row(stage, script), asyncio.Event(), asyncio.Event()

    async def slowly(_: Any) -> Standing:
        refreshing.set()
        await go_on.wait()
        return await row.connect()

    script.set(connection_refresh=slowly)
    handle = await begin(stage)
    await authorize(handle)
    await handle.signal(ConnectionWorkflow.token_rejected, 1)
    await refreshing.wait()
    await handle.signal(ConnectionWorkflow.renew)
    go_on.set()
    await reaches(stage.client.get_workflow_handle(handle.id), lambda s: s.version == 2)
    await until(lambda: row.at.version == 2)


async def revoke(stage: Stage) -> Any:
    job = RevocationJob(account_id=1, provider="acme", revocation_id=REVOCATION)
    return await stage.ended(await stage.start(Revocation.run, job, queue=CONNECTIONS))


@scenario()
async def revocation_at_once(stage: Stage, script: Script) -> None:
    script.set(connection_revoke=True)
    assert await revoke(stage)


@scenario()
async def revocation_that_a_provider_does_not_know(stage: Stage, script: Script) -> None:
    script.set(connection_revoke=False)
    assert not await revoke(stage)


@scenario("skipping")
async def revocation_after_an_outage(stage: Stage, script: Script) -> None:
    script.set(connection_revoke=[away()] * 8 + [True])
    assert await revoke(stage)


@scenario("skipping")
async def revocation_given_up_after_a_day(stage: Stage, script: Script) -> None:
    script.set(connection_revoke=away(), connection_destroy=[ApplicationError("away"), None])
    assert not await revoke(stage)
