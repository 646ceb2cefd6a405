"""A span around every request, named by its route; a caller's own `traceparent` is its parent."""

from __future__ import annotations

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from supportly import logs

NOTED = ("request_id", "account_id", "provider", "operation_id")


def trace_requests(app: FastAPI, provider: TracerProvider) -> None:
    """Instrument `app`; probes are left out, since nobody looks for them and they come every few seconds."""
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=provider,
        excluded_urls="/healthz$,/readyz$,/metrics$",
        exclude_spans=["receive", "send"],
    )


def note_ids() -> None:
    """Put the ids that this request's log lines carry on its span; without a trace this does nothing."""
    span = trace.get_current_span()
    if span.is_recording():
        known = logs.known()
        span.set_attributes({f"supportly.{name}": known[name] for name in NOTED if name in known})
