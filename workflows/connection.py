"""The life of a connection, from the callback to the disconnect; the only refresher of its tokens."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.connections import ConnectionActivities
    from supportly.contracts import connections as messages
    from workflows.maintenance import revoke_later
    from workflows.turns import IDLE, Turns, attempt, pause_after, turn


@workflow.defn
class ConnectionWorkflow:
    """One per account and provider. Connecting, refreshing and disconnecting take turns."""

    @workflow.init
    def __init__(self, entity: messages.Entity) -> None:
        self._key = messages.ConnectionKey(account_id=entity.account_id, provider=entity.provider)
        self._standing = entity.standing or messages.Standing(state="disconnected")
        self._turns, self._rejected = Turns(), entity.rejected

    @workflow.run
    async def run(self, entity: messages.Entity) -> None:
        """Refresh when a token is about to end or was rejected, until there has been no connection for a while."""
        if entity.standing is None:
            async with self._turns.take():
                await self._read()
        while self._turns.renewed or await self._wait():
            async with self._turns.take():
                if self._rejected or self._standing.is_due(workflow.now()):
                    await self._refresh()
            if self._turns.renewed or workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                job = messages.Entity(**dict(self._key), standing=self._standing, rejected=self._rejected)
                workflow.continue_as_new(job)

    async def _wait(self) -> bool:
        """Wait for the timer, a rejection or a change; False when the entity has been idle long enough."""
        seen, due = self._turns.taken, self._standing.refresh_due()
        timeout = max(timedelta(0), due - workflow.now()) if due else None if self._standing.stands else IDLE
        try:
            await workflow.wait_condition(lambda: bool(self._rejected) or self._turns.taken != seen, timeout=timeout)
        except TimeoutError:
            if due is None:
                # An update that came at this very moment may be connecting: it decides whether this ends.
                await workflow.wait_condition(workflow.all_handlers_finished)
                return self._turns.taken != seen
        return True

    async def _read(self) -> None:
        # Without a limit: while the database is away there is nothing else to do, and nobody else would refresh.
        found = await attempt(ConnectionActivities.standing, self._key, life=None)
        self._standing = found.told(workflow.now())

    async def _refresh(self) -> None:
        """Refresh the present version; a rejection of an older one is settled already."""
        rejected, self._rejected = self._rejected, 0
        if rejected > self._standing.version or self._standing.state != "connected":
            await self._read()
        standing = self._standing
        if standing.state != "connected" or 0 < rejected < standing.version or standing.is_paused(workflow.now()):
            return
        began, version = workflow.now(), standing.version
        job = messages.RefreshAttempt(**dict(self._key), from_version=version, after_rejection=bool(rejected))
        try:
            found = await attempt(ConnectionActivities.refresh, job)
        except ActivityError as error:
            found = standing.model_copy(update={"retry_at": workflow.now() + pause_after(error)})
        self._standing = found.told(workflow.now(), asked=began) if found.version > version else found

    @workflow.update
    async def authorize(self, job: messages.Authorization) -> messages.Standing:
        """Exchange a received code and connect. A callback that is repeated late hears what it came to at its time."""
        async with self._turns.take():
            began = workflow.now()
            found = await turn(ConnectionActivities.exchange, job)
            if found.version > self._standing.version:
                self._standing, self._rejected = found.told(workflow.now(), asked=began), 0
            return found

    @workflow.update
    async def disconnect(self, job: messages.Disconnection) -> messages.Standing:
        """Stop what runs, take the tokens away, and leave their revocation to a workflow of its own."""
        async with self._turns.take():
            await asyncio.sleep(await turn(ConnectionActivities.begin_disconnect, job))  # a refresh may be alive
            retired = await turn(ConnectionActivities.retire, job)
            self._standing, self._rejected = retired.standing, 0
            await revoke_later(self._key, retired.revocation_id)
            return self._standing

    @workflow.signal
    def token_rejected(self, version: int) -> None:
        """A provider answered 401 to this version."""
        self._rejected = max(self._rejected, version)

    @workflow.signal
    def renew(self) -> None:
        """Begin a new run once nothing is under way: what it starts with is sealed with the present key."""
        self._turns.renew()

    @workflow.query
    def standing(self) -> messages.Standing:
        """How the connection stands; for people in the Temporal UI."""
        return self._standing
