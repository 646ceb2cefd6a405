"""A connection in memory, as ConnectionWorkflow's activities see it, and how tests speak to the workflow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from supportly.contracts.connections import (
    Authorization,
    ConnectionKey,
    Disconnection,
    Entity,
    RefreshAttempt,
    Retired,
    RevocationJob,
    Standing,
)
from workflows.connection import ConnectionWorkflow
from workflows.maintenance import Revocation

ENTITY = Entity(account_id=1, provider="acme")
QUEUE = "here"


class Double:
    """The activities, over a connection in memory; `life` is how long its tokens live.

    What stamps the times may be `ahead` of the clock that the workflow waits by.
    """

    def __init__(self, now: Any, life: timedelta = timedelta(minutes=30), ahead: timedelta = timedelta(0)) -> None:
        self.now, self.life, self.ahead = now, life, ahead
        self.at = Standing(state="disconnected")
        self.refreshes: list[tuple[datetime, int, bool]] = []
        self.revoked: list[str] = []
        self.destroyed: list[tuple[str, datetime]] = []
        self.failures: list[ApplicationError] = []
        self.revocation_fails = False
        self.lease_s = 0.0
        self.delay_s = 0.0
        self.inside = 0
        self.earlier: Standing | None = None
        """What a callback came to that is repeated."""

    async def connected(self, version: int) -> Standing:
        now = await self.now() + self.ahead
        return Standing(
            state="connected", connection_id="c", generation=1, version=version, refreshed_at=now,
            expires_at=now + self.life, refreshable=True,
        )  # fmt: skip

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        self.inside += 1
        assert self.inside == 1, "connecting, refreshing and disconnecting take turns"
        await asyncio.sleep(self.delay_s)
        try:
            if self.failures:
                raise self.failures.pop(0)
            yield
        finally:
            self.inside -= 1

    @activity.defn(name="connection_standing")
    async def standing(self, key: ConnectionKey) -> Standing:
        return self.at

    @activity.defn(name="connection_exchange")
    async def exchange(self, job: Authorization) -> Standing:
        async with self.alone():
            if self.earlier:
                return self.earlier
            self.at = await self.connected(self.at.version + 1)
            return self.at

    @activity.defn(name="connection_refresh")
    async def refresh(self, job: RefreshAttempt) -> Standing:
        async with self.alone():
            assert job.from_version == self.at.version
            self.refreshes.append((await self.now(), job.from_version, job.after_rejection))
            self.at = await self.connected(self.at.version + 1)
            return self.at

    @activity.defn(name="connection_begin_disconnect")
    async def begin_disconnect(self, job: Disconnection) -> float:
        if self.at.state == "disconnected":
            raise ApplicationError("Not connected.", type="not_connected", non_retryable=True)
        return self.lease_s

    @activity.defn(name="connection_retire")
    async def retire(self, job: Disconnection) -> Retired:
        async with self.alone():
            self.at = Standing(state="disconnected", version=self.at.version + 1)
            return Retired(standing=self.at, revocation_id=f"r{self.at.version}")

    @activity.defn(name="connection_revoke")
    async def revoke(self, job: RevocationJob) -> bool:
        if self.revocation_fails:
            raise ApplicationError("away", type="provider_error")
        self.revoked.append(job.revocation_id)
        return True

    @activity.defn(name="connection_destroy")
    async def destroy(self, job: RevocationJob) -> None:
        self.destroyed.append((job.revocation_id, await self.now()))

    def all(self) -> list[Any]:
        return [
            self.standing, self.exchange, self.refresh, self.begin_disconnect, self.retire, self.revoke, self.destroy
        ]  # fmt: skip


@asynccontextmanager
async def working(client: Client, double: Double) -> AsyncIterator[Any]:
    async with Worker(client, task_queue=QUEUE, workflows=[ConnectionWorkflow, Revocation], activities=double.all()):
        yield await client.start_workflow(
            ConnectionWorkflow.run, ENTITY, id=f"connection-{id(double)}", task_queue=QUEUE
        )


async def authorize(handle: Any, pending: str = "p1") -> Standing:
    return await handle.execute_update(
        ConnectionWorkflow.authorize, Authorization(account_id=1, provider="acme", pending_id=pending), id=pending
    )


async def disconnect(handle: Any) -> Standing:
    return await handle.execute_update(ConnectionWorkflow.disconnect, Disconnection(account_id=1, provider="acme"))


async def until(true: Any, seconds: float = 10) -> None:
    for _ in range(int(seconds / 0.02)):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")
