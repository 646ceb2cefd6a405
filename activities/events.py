"""Events to Supportly: handed over to workflows, signed and sent.

Every activity that may have written an event hands over before it ends. One that is killed between its commit and
here is tried again by Temporal and finds the event still pending; a workflow is started once per event, by its id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.failures import translated
from supportly import webhooks
from supportly.contracts import ids
from supportly.contracts.events import EventJob
from supportly.errors import ProviderFailure, SupportlyError, Throttled, Unavailable
from supportly.http import Answer, Outbound, allowed_host, retry_after
from supportly.settings import Settings
from supportly.storage import events
from supportly.storage.database import Database
from supportly.storage.events import Event
from supportly.temporal import bulk, search_attributes

DELIVERY: Final = "EventDelivery"
"""Type of the workflow that delivers one event."""
GONE: Final = 410
"""The receiver wants no more of it: the scheme's way to say so for good."""

log = logging.getLogger(__name__)


def told(settings: Settings) -> Collection[str]:
    """The kinds of events that Supportly is told of; none without an address."""
    return settings.event_kinds if settings.events_url else ()


async def hand_over(db: Database, client: Client, settings: Settings, account_id: int) -> None:
    """Start the delivery of what waits. Raises Unavailable; repeating it is harmless."""
    for event in await events.pending(db, account_id, told(settings)):
        try:
            await client.start_workflow(
                DELIVERY,
                EventJob(account_id=account_id, provider=event.provider, event_id=event.id),
                id=ids.event(account_id, event.provider, event.id),
                task_queue=ids.CONNECTIONS,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=search_attributes(account_id, event.provider),
                priority=bulk(account_id),
            )
        except WorkflowAlreadyStartedError:
            pass  # an attempt before this one did, and was killed before it could say so
        except RPCError:
            raise Unavailable("The workflow server is away; nothing was lost, try again.", retry_after=5) from None
        await events.started(db, account_id, event.id)


class Refused(SupportlyError):
    """The receiver will never take this event."""

    code, status = "event_refused", 502


class EventActivities:
    """Activities of EventDelivery."""

    def __init__(self, db: Database, outbound: Outbound, settings: Settings) -> None:
        self.db = db
        self.outbound = outbound
        self.settings = settings

    def all(self) -> list[Callable[..., Any]]:
        """Every activity, for the worker."""
        return [self.deliver, self.give_up]

    @activity.defn(name="event_deliver")
    async def deliver(self, job: EventJob) -> str:
        """Send the event once, unless it has ended already; answers its status.

        A process that is killed after the receiver's answer sends again, with the same `webhook-id`. Raises Unavailable
        and Throttled where trying again helps, Refused where it does not.
        """
        with translated():
            event = await events.read(self.db, job.account_id, job.event_id)
            if event is None or event.status not in ("pending", "started"):
                return event.status if event else "forgotten"
            # Switched off since it was written: nobody waits for it any more.
            status: events.Ending = "off"
            if event.kind in told(self.settings):
                await self._send(job.account_id, event)
                status = "delivered"
            await events.end(self.db, job.account_id, job.event_id, status)
            return status

    async def _send(self, account_id: int, event: Event) -> None:
        url = self.settings.events_url
        self._check(url)
        body = orjson.dumps(payload(account_id, event))
        signed = webhooks.headers(event.id, int(time.time()), body, self.settings.event_keys)
        try:
            answer = await self.outbound.send(
                "POST", url, headers={**signed, "Content-Type": "application/json"}, content=body, peer="events"
            )
        except ProviderFailure as error:
            lost = "did not answer" if error.sent else "cannot be reached"
            raise Unavailable(f"The receiver of events {lost}.") from None
        _judge(answer)

    def _check(self, url: str) -> None:
        """In production only https on the configured host's own port: the rules that providers' hosts are under."""
        host = urlsplit(url).hostname or ""
        if self.settings.environment == "production" and not allowed_host(url, [host]):
            raise Refused("SUPPORTLY_EVENTS_URL is no https address of a named host.")

    @activity.defn(name="event_give_up")
    async def give_up(self, job: EventJob) -> None:
        """Nobody took it within a day."""
        with translated():
            await events.end(self.db, job.account_id, job.event_id, "failed")
            log.error("event %s could not be delivered", job.event_id, extra={"account_id": job.account_id})


def payload(account_id: int, event: Event) -> dict[str, Any]:
    """What is sent: type, time of the event, and ids, states and counts."""
    return {
        "type": event.kind,
        "timestamp": event.created_at.isoformat(),
        "data": {"account_id": account_id, "provider": event.provider, **event.data},
    }


def _judge(answer: Answer) -> None:
    """Only 2xx is a yes. Raises what the answer means."""
    if 200 <= answer.status < 300:
        return
    if answer.status == GONE:
        raise Refused("The receiver wants this event no more (410).")
    pause = retry_after(answer.headers)
    kind = Throttled if answer.status == 429 else Unavailable
    raise kind(f"The receiver of events answered {answer.status}.", retry_after=pause)
