"""The worker process: builds the clients, injects them into the activities, and works off the task queues."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import uvloop
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities import schedules
from activities.actions import ActionActivities
from activities.calls import Calls
from activities.connections import ConnectionActivities
from activities.contacts import ContactActivities
from activities.events import EventActivities
from activities.failures import ResultLimit
from activities.knowledge import KnowledgeActivities
from activities.knowledge_sample import KnowledgeSampling
from activities.maintenance import MaintenanceActivities
from activities.reconcile import ReconcileActivities
from activities.refinement import Encoders, RefinementActivities
from supportly import providers
from supportly.contracts import ids
from supportly.crypto import KeyRing, Vault
from supportly.http import Outbound
from supportly.logs import configure
from supportly.platform import Platform
from supportly.settings import Settings
from supportly.storage.budget import PostgresBudget
from supportly.storage.database import Database
from supportly.telemetry import export, metrics
from supportly.temporal import connect
from workflows.connection import ConnectionWorkflow
from workflows.contact_activity import ContactActivity
from workflows.contact_lookup import ContactLookup
from workflows.contact_sync import ContactSync
from workflows.event_delivery import EventDelivery
from workflows.knowledge_refinement import KnowledgeRefinement
from workflows.knowledge_schedule import KnowledgeSchedule
from workflows.knowledge_sync import KnowledgeSync
from workflows.maintenance import Maintenance, Reconcile, Revocation
from workflows.model_switch import ModelSwitch
from workflows.provider_action import ProviderAction

REQUESTED: Final[list[type[Any]]] = [ContactLookup, ContactSync, ContactActivity, ProviderAction]
WORKFLOWS: Final[dict[str, list[type[Any]]]] = {
    ids.INTERACTIVE: REQUESTED,
    ids.BACKGROUND: REQUESTED,
    ids.CONNECTIONS: [ConnectionWorkflow, Revocation, Reconcile, EventDelivery],
    ids.KNOWLEDGE: [KnowledgeSync, KnowledgeSchedule],
    ids.REFINEMENT: [KnowledgeRefinement, ModelSwitch, Maintenance],
}
RUNNER: Final = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "workflows", "activities", "supportly", "opentelemetry"
    )
)
"""Our modules are imported once, not for every run (16 ms of each). That they are deterministic is checked before: the
import contract forbids them clocks and randomness, and a test loads each workflow through the strict sandbox."""
ON_A_NEW_BUILD: Final = {
    ids.INTERACTIVE: VersioningBehavior.PINNED,
    ids.BACKGROUND: VersioningBehavior.PINNED,
    ids.CONNECTIONS: VersioningBehavior.AUTO_UPGRADE,
    ids.KNOWLEDGE: VersioningBehavior.AUTO_UPGRADE,
    ids.REFINEMENT: VersioningBehavior.AUTO_UPGRADE,
}
"""What becomes of runs when workers are versioned: what ends within a day ends on the build where it began; what lives
as long as a connection, or as there is something to read, moves, and has to replay there."""
CONCURRENCY: Final = {
    ids.INTERACTIVE: 100,
    ids.BACKGROUND: 8,
    ids.CONNECTIONS: 50,
    ids.KNOWLEDGE: 4,
    ids.REFINEMENT: 2,
}
"""Activities at a time: provider calls mostly wait; ingestion embeds, which two cores do for a few at once. What nobody
waits for comes in hundreds, and takes the place of those who wait: eight at a time are as many as a provider's rate
limit lets one account do."""
GIVES_WAY: Final = 5
"""Niceness of a worker for bulk work alone: on a machine that it shares, it gets a third of what the others get when
all want the processor. Beside an ingest on two busy cores, lookups took 2.5 times as long without it, 1.4 with it."""
SERVED: Final = {"all": (*ids.PROMPT, *ids.BULK), "prompt": ids.PROMPT, "bulk": ids.BULK}
"""Task queues by `SUPPORTLY_WORKER_QUEUES`."""

log = logging.getLogger("worker")


class Activities:
    """All activities of one process, over shared clients."""

    def __init__(self, settings: Settings, outbound: Outbound, calls: Calls) -> None:
        token = settings.supportly_api_token.get_secret_value()
        self.knowledge = KnowledgeActivities(calls, settings)
        self.sampling = KnowledgeSampling(calls)
        self.contacts = ContactActivities(calls, Platform(outbound, settings.supportly_api_url, token))
        self.actions = ActionActivities(calls)
        self.events = EventActivities(calls.db, outbound, settings)
        self.refinement = RefinementActivities(
            calls.db, calls.client, Encoders(settings, outbound), self.knowledge.quiet
        )
        self.connections = ConnectionActivities(calls, settings, self.knowledge)
        self.maintenance = MaintenanceActivities(calls.db, calls.client, settings)
        self.reconciling = ReconcileActivities(calls, settings)

    def by_queue(self) -> dict[str, list[Any]]:
        """The activity methods of each task queue; local ones stand where their workflows do."""
        contacts, actions = self.contacts, self.actions
        requested = [contacts.lookup, contacts.sync, contacts.log, actions.run, actions.fail]
        return {
            ids.INTERACTIVE: requested,
            ids.BACKGROUND: requested,
            ids.CONNECTIONS: [
                self.connections.standing,
                self.connections.exchange,
                self.connections.refresh,
                self.connections.begin_disconnect,
                self.connections.retire,
                self.connections.revoke,
                self.connections.destroy,
                *self.events.all(),
                self.reconciling.reconcile,
            ],
            ids.KNOWLEDGE: [*self.knowledge.all(), self.sampling.sample],
            ids.REFINEMENT: [*self.refinement.all(), self.maintenance.clean],
        }


def workers(client: Client, settings: Settings, activities: Activities) -> list[Worker]:
    """One Temporal worker for each task queue that this process serves."""
    grace = timedelta(seconds=settings.graceful_shutdown_s)
    served = SERVED[settings.worker_queues]
    return [
        Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS[queue],
            workflow_runner=RUNNER,
            interceptors=[ResultLimit()],
            activities=methods,
            max_concurrent_activities=CONCURRENCY[queue],
            max_concurrent_local_activities=CONCURRENCY[queue],
            # A local activity runs in its workflow's task: where few may run at a time, no more tasks are taken.
            max_concurrent_workflow_tasks=CONCURRENCY[queue] if queue == ids.BACKGROUND else None,
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(initial=4),
            activity_task_poller_behavior=PollerBehaviorAutoscaling(initial=4),
            graceful_shutdown_timeout=grace,
            deployment_config=_deployment(settings, queue),
        )
        for queue, methods in activities.by_queue().items()
        if queue in served
    ]


def _deployment(settings: Settings, queue: str) -> WorkerDeploymentConfig | None:
    """Worker versioning, when the environment names a deployment."""
    if not settings.worker_deployment:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker_deployment, settings.worker_build_id),
        use_worker_versioning=True,
        default_versioning_behavior=ON_A_NEW_BUILD[queue],
    )


async def build(settings: Settings, closing: AsyncExitStack) -> tuple[Client, Activities]:
    """The process's clients and activities; `closing` ends them."""
    client = await connect(settings)
    db = Database(settings.database_url, settings.database_pool)
    closing.push_async_callback(db.close)
    budget = PostgresBudget(settings.database_url, factor=settings.rate_factor)
    closing.push_async_callback(budget.close)
    outbound = Outbound(
        timeout_s=settings.provider_timeout_s, max_bytes=settings.max_answer_bytes, sandbox_url=settings.sandbox_url
    )
    closing.push_async_callback(outbound.aclose)
    calls = Calls(
        db=db,
        vault=Vault(KeyRing(settings.keys.get_secret_value())),
        outbound=outbound,
        budget=budget,
        client=client,
        provider=providers.get,
    )
    activities = Activities(settings, outbound, calls)
    if ids.KNOWLEDGE in SERVED[settings.worker_queues]:
        log.info("the instant tier is %s", activities.knowledge.embedder.model)  # loaded before the first page comes
    return client, activities


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then let running calls end within the grace."""
    async with AsyncExitStack() as closing:
        client, activities = await build(settings, closing)
        queues = workers(client, settings, activities)
        for worker in queues:
            await closing.enter_async_context(worker)
        try:
            await schedules.keep_maintenance(client)
        except RPCError:
            log.warning("the daily maintenance is not scheduled: the next start of a worker tries again")
        _say_ready()
        log.info("working on %s", ", ".join(SERVED[settings.worker_queues]))
        await stop.wait()
        log.info("stopping; running calls have %.0f s", settings.graceful_shutdown_s)
        # All at once: one queue after the other would take the grace once each.
        await asyncio.gather(*(worker.shutdown() for worker in queues))


def _say_ready() -> None:
    """Touch the file named by SUPPORTLY_READY_FILE, for those who start this process and wait for it."""
    if path := os.environ.get("SUPPORTLY_READY_FILE"):
        Path(path).touch()


async def main() -> None:
    """Entry: settings from the environment, stop on SIGTERM and SIGINT."""
    settings = Settings()
    if settings.worker_queues == "bulk":
        os.nice(GIVES_WAY)
    configure(settings.log_level)
    metrics.serve(settings.metrics_address)
    if settings.tracing:
        export.start("supportly-worker")
    stop = asyncio.Event()
    for number in _STOPPERS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)


_STOPPERS: Final[Sequence[signal.Signals]] = (signal.SIGTERM, signal.SIGINT)

if __name__ == "__main__":
    # The API's server runs on uvloop too.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
