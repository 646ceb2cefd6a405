"""Ids of log lines in workflows and activities; histories replay with and without the interceptors; clean spans."""

import json
import logging
import uuid
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.worker import Replayer, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from supportly import logs
from supportly.logs import JsonFormatter
from supportly.settings import Settings
from supportly.telemetry.export import Clean
from supportly.telemetry.interceptors import interceptors
from supportly.telemetry.tracing import call, endpoint
from supportly.temporal import connect, converter

log = logging.getLogger("tests.interceptors")


class Job(BaseModel):
    account_id: int
    provider: str
    operation_id: str


@activity.defn
async def work(job: Job) -> str:
    log.info("in the activity")
    return job.provider


@workflow.defn
class Work:
    @workflow.run
    async def run(self, job: Job) -> str:
        workflow.logger.info("in the workflow")
        local = await workflow.execute_local_activity(work, job, start_to_close_timeout=timedelta(seconds=10))
        return local + await workflow.execute_activity(work, job, start_to_close_timeout=timedelta(seconds=10))


@pytest.fixture
def lines() -> list[dict[str, object]]:
    """What is logged, as JSON, formatted where it is said."""
    found: list[dict[str, object]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(JsonFormatter().format(record)))

    handler, root = Kept(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield found
    root.removeHandler(handler)
    root.setLevel(before)


@pytest.mark.parametrize("tracing", [False, True])
async def test_ids_flow_into_workflow_and_activity_and_the_history_replays_with_and_without(temporal, lines, tracing):
    settings = Settings(temporal_address=temporal.address, tracing=tracing)
    client = await connect(settings)
    queue = f"interceptors-{uuid.uuid4()}"
    job = Job(account_id=7, provider="hubspot", operation_id="op-1")
    runner = SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules("supportly", "opentelemetry", "tests")
    )
    async with Worker(client, task_queue=queue, workflows=[Work], activities=[work], workflow_runner=runner):
        with logs.bound(request_id="r-1"):
            handle = await client.start_workflow(Work.run, job, id=queue, task_queue=queue)
        assert await handle.result() == "hubspothubspot"
    here = [line for line in lines if line["logger"] == "tests.interceptors"]
    assert [line["message"] for line in here] == ["in the activity"] * 2
    inside = next(line for line in lines if line["logger"] == "temporalio.workflow")
    for line in (*here, inside):
        assert (line["request_id"], line["workflow_id"]) == ("r-1", queue), line
    for line in here:
        assert (line["account_id"], line["provider"], line["operation_id"], line["attempt"]) == (
            7,
            "hubspot",
            "op-1",
            1,
        )
    history = await handle.fetch_history()
    for replayed in ([], interceptors(tracing=False), interceptors(tracing=True)):
        replayer = Replayer(
            workflows=[Work], interceptors=replayed, data_converter=converter(settings), workflow_runner=runner
        )
        assert (await replayer.replay_workflow(history)).replay_failure is None


def test_ids_end_with_their_block():
    with logs.bound(request_id="a"):
        logs.note(account_id=1)
        with logs.bound(workflow_id="w"):
            assert logs.known() == {"request_id": "a", "account_id": 1, "workflow_id": "w"}
        assert logs.known() == {"request_id": "a", "account_id": 1}
    assert logs.known() == {}


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/crm/v3/objects/contacts/123", "/crm/v3/objects/contacts/{id}"),
        ("/crm/objects/2026-09/notes", "/crm/objects/2026-09/notes"),
        ("/contacts/ada%40example.test", "/contacts/{id}"),
        ("/services/data/v62.0/sobjects/Contact/003A0001", "/services/data/v62.0/sobjects/Contact/{id}"),
        ("/api/chat.postMessage", "/api/chat.postMessage"),
        ("/v1/customers/cus_9s6XK/", "/v1/customers/{id}/"),
        ("/" + "a" * 60, "/{id}"),
        ("/", "/"),
    ],
)
def test_an_endpoint_is_a_path_without_its_ids(path, template):
    assert endpoint(path) == template


def test_what_leaves_is_clean():
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Clean(kept)))
    tracer = provider.get_tracer("any")
    attributes = {"http.url": "https://x/?code=s3cret", "client.address": "10.0.0.1", "http.route": "/a/{b}"}
    with (
        pytest.raises(ValueError, match="s3cret"),
        tracer.start_as_current_span("GET /a/{b}", kind=SpanKind.SERVER, attributes=attributes),
    ):
        raise ValueError("s3cret")
    with tracer.start_as_current_span("GET /s3cret", kind=SpanKind.SERVER):
        pass
    routed, unknown = kept.get_finished_spans()
    assert "s3cret" not in routed.to_json() + unknown.to_json()
    assert dict(routed.attributes) == {"http.route": "/a/{b}"}
    assert (routed.name, unknown.name) == ("GET /a/{b}", "GET")
    assert [dict(event.attributes) for event in routed.events] == [{"exception.type": "ValueError"}]
    assert not routed.status.is_ok


@pytest.mark.parametrize(("peer", "shown"), [("hubspot", "/a/{id}"), ("events", ""), ("encoder", "")])
def test_an_address_that_an_operator_chose_is_not_shown(monkeypatch, peer, shown):
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Clean(kept)))
    monkeypatch.setattr("supportly.telemetry.tracing._tracer", provider.get_tracer("any"))
    with call("POST", "/a/h00k", peer):
        pass
    [span] = kept.get_finished_spans()
    assert (span.name, span.attributes["supportly.endpoint"]) == (f"POST {peer}", shown)


def test_without_a_provider_a_call_makes_an_empty_span():
    with call("GET", "/a/1", "hubspot") as span:
        assert not span.is_recording()
