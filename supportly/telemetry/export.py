"""Sends traces over OTLP where the standard OTEL_* variables say; only a process with SUPPORTLY_TRACING comes here.

Nothing personal and no secret leaves in a span, whoever made it: `Clean` passes a short list of attributes on, and of
an exception its type alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from supportly import VERSION

SHOWN: Final = frozenset(
    {
        "http.method",
        "http.request.method",
        "http.route",
        "http.status_code",
        "http.response.status_code",
        "temporalActivityID",
        "temporalRunID",
        "temporalUpdateID",
        "temporalWorkflowID",
        "supportly.account_id",
        "supportly.attempt",
        "supportly.endpoint",
        "supportly.operation_id",
        "supportly.outcome",
        "supportly.provider",
        "supportly.request_id",
    }
)
"""Attributes that may leave. URLs, addresses, user agents, headers and queries are not among them."""


class Clean(SpanExporter):
    """Passes spans on with the attributes of `SHOWN`, and of exceptions the type alone."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Clean and send."""
        return self._inner.export([cleaned(span) for span in spans])

    def shutdown(self) -> None:
        """Close what sends."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self._inner.force_flush(timeout_millis)


def cleaned(span: ReadableSpan) -> ReadableSpan:
    """The span as it may leave."""
    attributes = {name: value for name, value in (span.attributes or {}).items() if name in SHOWN}
    name = span.name
    if span.kind is SpanKind.SERVER and "/" in name and "http.route" not in attributes:
        # An address that no route knows stands in the name as it was sent.
        name = name.partition(" ")[0] if " " in name else "unknown route"
    events = [
        Event(event.name, {"exception.type": (event.attributes or {}).get("exception.type", "")}, event.timestamp)
        for event in span.events
    ]
    return ReadableSpan(
        name=name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def provider(service: str, exporter: SpanExporter) -> TracerProvider:
    """A provider that sends cleaned spans of `service` (OTEL_SERVICE_NAME wins)."""
    name = os.environ.get("OTEL_SERVICE_NAME") or service
    made = TracerProvider(resource=Resource.create({"service.name": name, "service.version": VERSION}))
    made.add_span_processor(BatchSpanProcessor(Clean(exporter)))
    return made


@cache
def start(service: str) -> TracerProvider:
    """Send this process's traces over OTLP (HTTP, protobuf) from now on; once a process."""
    made = provider(service, OTLPSpanExporter())
    trace.set_tracer_provider(made)
    # Not the baggage that callers may send: it would travel on into Temporal's history.
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    return made
