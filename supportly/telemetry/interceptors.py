"""What surrounds every workflow and activity: the ids of its log lines, and the measures of its attempts.

The request's id travels as a Temporal header from the API's client into the workflow and on into its activities;
headers are encrypted like everything else that Temporal keeps. Nothing here is I/O or a command, so histories replay
with and without it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Interceptor as ClientInterceptor,
)
from temporalio.client import (
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.worker import Interceptor as WorkerInterceptor
from temporalio.workflow import ActivityHandle, ChildWorkflowHandle

from supportly import logs
from supportly.telemetry import metrics

HEADER: Final = "supportly-request"
log = logging.getLogger("worker.activity")

Headers = Mapping[str, Payload]


def interceptors(*, tracing: bool) -> list[ClientInterceptor]:
    """Those of a client, and of the workers that use it. Tracing is outside, so that its span covers the others."""
    return [*([TracingInterceptor()] if tracing else []), Observed()]


def _with_request(headers: Headers) -> Headers:
    """`headers` with the id of the request that this work belongs to, where there is one."""
    if request_id := logs.known().get("request_id"):
        return {**headers, HEADER: PayloadConverter.default.to_payload(request_id)}
    return headers


def _request(headers: Headers) -> dict[str, Any]:
    """The request's id from a header; nothing where there is none, or none that we wrote."""
    payload = headers.get(HEADER)
    if payload is None or payload.metadata.get("encoding") != b"json/plain":
        return {}
    return {"request_id": PayloadConverter.default.from_payload(payload, str)}


class Observed(ClientInterceptor, WorkerInterceptor):
    """Binds ids and measures attempts, in clients and workers alike."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 (Temporal's own name)
        """Send the request's id along."""
        return _Client(next)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Measure, with ids bound."""
        return _Activity(next)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002
        """Bind ids, and pass the request's on."""
        return _Workflow


class _Client(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        input.headers = _with_request(input.headers)
        return await super().start_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:  # noqa: A002
        input.headers = _with_request(input.headers)
        await super().signal_workflow(input)

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:  # noqa: A002
        input.headers = _with_request(input.headers)
        return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002
    ) -> WorkflowUpdateHandle[Any]:
        update = input.update_workflow_input
        update.headers = _with_request(update.headers)
        return await super().start_update_with_start_workflow(input)


class _Workflow(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Commands(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        with logs.bound(**self._ids(input.headers)):
            return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        with logs.bound(**self._ids(input.headers)):
            await super().handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        with logs.bound(**self._ids(input.headers)):
            return await super().handle_update_handler(input)

    @staticmethod
    def _ids(headers: Headers) -> dict[str, Any]:
        return {"workflow_id": workflow.info().workflow_id, **_request(headers)}


class _Commands(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        input.headers = _with_request(input.headers)
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        input.headers = _with_request(input.headers)
        return super().start_local_activity(input)

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> ChildWorkflowHandle[Any, Any]:  # noqa: A002
        input.headers = _with_request(input.headers)
        return await super().start_child_workflow(input)


class _Activity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        if not info.is_local:
            waited = (info.started_time - info.current_attempt_scheduled_time).total_seconds()
            metrics.QUEUE.labels(info.task_queue).observe(max(0.0, waited))
        job = input.args[0] if input.args else None
        about = {
            name: value for name in ("account_id", "provider", "operation_id") if (value := getattr(job, name, ""))
        }
        ids = {"workflow_id": info.workflow_id, "activity": info.activity_type, "attempt": info.attempt}
        began, outcome = time.perf_counter(), "ok"
        with logs.bound(**_request(input.headers), **about, **ids):
            try:
                return await super().execute_activity(input)
            except BaseException as error:
                outcome = _outcome(error)
                raise
            finally:
                seconds = time.perf_counter() - began
                metrics.ACTIVITY.labels(info.activity_type, outcome).observe(seconds)
                log.info("%s %s", info.activity_type, outcome, extra={"ms": round(seconds * 1000, 1)})


def _outcome(error: BaseException) -> str:
    """One word for why an attempt ended: the codes of our errors are few."""
    if isinstance(error, ApplicationError):
        return error.type or "internal_error"
    # A coroutine is cancelled by asyncio's own error, which is no Exception.
    canceled = isinstance(error, CancelledError) or not isinstance(error, Exception)
    return "canceled" if canceled else "internal_error"
