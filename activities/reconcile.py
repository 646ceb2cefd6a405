"""After a restore: what has to run by the rows, and does not, is started again. Repeating it starts nothing twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowUpdateStage
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities import schedules
from activities.calls import Calls, read_settings
from activities.events import DELIVERY
from activities.failures import attempting
from supportly.contracts import ids
from supportly.contracts.connections import Disconnection, Entity, RevocationJob
from supportly.contracts.connections import Standing as Known
from supportly.contracts.events import EventJob
from supportly.contracts.maintenance import Reconciled, ReconcileJob
from supportly.errors import Unavailable
from supportly.settings import Settings
from supportly.storage import connections, events, provider_settings, service_state
from supportly.storage.service_state import Standing
from supportly.temporal import search_attributes


class ReconcileActivities:
    """The activity of Reconcile."""

    def __init__(self, calls: Calls, settings: Settings) -> None:
        self.calls = calls
        self.db = calls.db
        self.client: Client = calls.client
        self.default_minutes = settings.sync_interval_minutes

    @activity.defn(name="reconcile")
    async def reconcile(self, job: ReconcileJob) -> Reconciled:
        """Compare the rows with Temporal, start what is missing, and answer what that was."""
        done = Reconciled()
        async with attempting():
            try:
                standing = await service_state.standing(self.db)
                for one in standing:
                    await self._connection(one, done, job.requested_by)
                    if one.knowledge_enabled and one.connected:
                        await self._schedule(one, done)
                for account_id, provider, revocation in await service_state.revocations(self.db):
                    await self._revocation(account_id, provider, revocation, done)
                for account_id in sorted({one.account_id for one in standing}):
                    await self._events(account_id, done)
            except RPCError:
                raise Unavailable("The workflow server is away; nothing was lost.", retry_after=5) from None
        return done

    async def _connection(self, one: Standing, done: Reconciled, by: str) -> None:
        """A ConnectionWorkflow for every connection; a disconnect that stopped half way goes on."""
        entity, name = (
            Entity(account_id=one.account_id, provider=one.provider),
            ids.connection(one.account_id, one.provider),
        )
        done.connections += one.connected
        started = await self._started("ConnectionWorkflow", entity, name, ids.CONNECTIONS, one.account_id, one.provider)
        done.workflows_started += started
        if not one.connected:
            await self.client.get_workflow_handle(name).start_update(
                "disconnect",
                Disconnection(account_id=one.account_id, provider=one.provider, requested_by=by),
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            )
            done.disconnects_resumed += 1
        elif not started:
            done.rows_changed += await self._told(one, name)

    async def _told(self, one: Standing, name: str) -> bool:
        """A workflow whose token is newer than the row's outlived a restore of the database: it has to read the row.

        That row's token is most likely no good any more, which a rejection of a version that cannot be says as well.
        """
        handle = self.client.get_workflow_handle(name)
        known: Known = await handle.query("standing", result_type=Known)
        row = await connections.read(self.db, one.account_id, one.provider)
        if row is None or known.version <= row.version:
            return False
        await handle.signal("token_rejected", known.version + 1)
        return True

    async def _schedule(self, one: Standing, done: Reconciled) -> None:
        """A Schedule for every knowledge switch that is on, held while its connection has to be renewed."""
        try:
            await self.client.get_schedule_handle(ids.schedule(one.account_id, one.provider)).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            await schedules.switch_on(self.client, one.account_id, one.provider, await self._interval(one))
            if one.reconnect_required:
                await schedules.hold(self.client, one.account_id, one.provider)
            done.schedules_made += 1

    async def _interval(self, one: Standing) -> timedelta:
        stored = await provider_settings.read(self.db, one.account_id, one.provider)
        chosen = read_settings(self.calls.provider(one.provider), stored.settings).sync_interval_minutes
        return timedelta(minutes=chosen or self.default_minutes)

    async def _revocation(self, account_id: int, provider: str, revocation: str, done: Reconciled) -> None:
        """A Revocation for tokens of ended connections that still wait for it."""
        job = RevocationJob(account_id=account_id, provider=provider, revocation_id=revocation)
        name = ids.revocation(account_id, provider, revocation)
        started = await self._started("Revocation", job, name, ids.CONNECTIONS, account_id, provider)
        done.revocations_started += started

    async def _events(self, account_id: int, done: Reconciled) -> None:
        """A delivery for every event that has one by its row; one that has ended is not begun again."""
        for event in await events.under_way(self.db, account_id):
            job = EventJob(account_id=account_id, provider=event.provider, event_id=event.id)
            name = ids.event(account_id, event.provider, event.id)
            once = WorkflowIDReusePolicy.REJECT_DUPLICATE
            done.deliveries_started += await self._started(
                DELIVERY, job, name, ids.CONNECTIONS, account_id, event.provider, again=once
            )

    async def _started(
        self,
        kind: str,
        job: Any,
        name: str,
        queue: str,
        account_id: int,
        provider: str,
        again: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    ) -> bool:
        """False when it runs already, or `again` refuses it."""
        try:
            await self.client.start_workflow(
                kind,
                job,
                id=name,
                task_queue=queue,
                id_reuse_policy=again,
                search_attributes=search_attributes(account_id, provider),
            )
        except WorkflowAlreadyStartedError:
            return False
        return True
