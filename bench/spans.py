"""A receiver of OTLP traces in this process, and a trace as text."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

QUIET_S = 1.0
"""A trace is complete when nothing has come for so long: exporters send five times a second (`environment`)."""

PREFIX = "/api/v1/accounts/{account_id}/supportly_integrations"


@dataclass(frozen=True)
class Span:
    """One span as it left its process. Times in seconds since the epoch."""

    trace: str
    id: str
    parent: str
    service: str
    name: str
    began: float
    ended: float
    failed: bool
    attributes: dict[str, str]
    events: list[dict[str, str]]

    @property
    def ms(self) -> float:
        """How long it took."""
        return (self.ended - self.began) * 1000


class Receiver:
    """What came so far."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.port = 0
        self._came = time.monotonic()

    def take(self, body: bytes) -> None:
        """Note the spans of one request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        trace=one.trace_id.hex(),
                        id=one.span_id.hex(),
                        parent=one.parent_span_id.hex(),
                        service=named.get("service.name", ""),
                        name=one.name,
                        began=one.start_time_unix_nano / 1e9,
                        ended=one.end_time_unix_nano / 1e9,
                        failed=one.status.code == one.status.STATUS_CODE_ERROR,
                        attributes={a.key: _text(a.value) for a in one.attributes},
                        events=[{a.key: _text(a.value) for a in event.attributes} for event in one.events],
                    )
                    for one in scope.spans
                ]
        self._came = time.monotonic()

    def environment(self) -> dict[str, str]:
        """What a process needs to send its traces here, soon after they end."""
        return {
            "SUPPORTLY_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }

    def trace(self, *, root: str, timeout_s: float = 30.0) -> list[Span]:
        """The newest trace whose first span's name contains `root`, once it is complete. Raises AssertionError."""
        ends = time.monotonic() + timeout_s
        while time.monotonic() < ends:
            firsts = [one for one in self.spans if not one.parent and root in one.name]
            if firsts and time.monotonic() - self._came > QUIET_S:
                return [one for one in self.spans if one.trace == firsts[-1].trace]
            time.sleep(0.05)
        raise AssertionError(f"no complete trace of {root} came; there are {sorted({s.name for s in self.spans})}")


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: what matters is what came."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def tree(spans: list[Span]) -> str:
    """A trace as text: when each span began and how long it took, in ms; spans of workflows are moments."""
    known = {span.id for span in spans}
    origin = min(span.began for span in spans)
    lines = ["  begins      takes  service    span"]

    def show(span: Span, depth: int) -> None:
        takes = f"{span.ms:8.1f}" if span.ms >= 0.05 else "       ·"
        about = " ".join(f"{label}={span.attributes[name]}" for name, label in ABOUT.items() if name in span.attributes)
        service = span.service.removeprefix("supportly-")
        failed = "  FAILED" if span.failed else ""
        name = span.name.replace(PREFIX, "…")
        lines.append(
            f"{(span.began - origin) * 1000:8.1f}  {takes}  {service:8}  {'  ' * depth}{name}  {about}{failed}".rstrip()
        )
        for child in sorted((one for one in spans if one.parent == span.id), key=lambda one: one.began):
            show(child, depth + 1)

    for root in sorted((one for one in spans if one.parent not in known), key=lambda one: one.began):
        show(root, 0)
    return "\n".join(lines)


ABOUT = {
    "http.status_code": "status",
    "http.response.status_code": "status",
    "supportly.endpoint": "endpoint",
    "supportly.attempt": "attempt",
    "supportly.account_id": "account",
}


def _text(value: object) -> str:
    kind = value.WhichOneof("value")  # type: ignore[attr-defined]  # protobuf's AnyValue
    return str(getattr(value, kind)) if kind else ""
