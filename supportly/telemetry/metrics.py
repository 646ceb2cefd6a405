"""Every metric that API and workers count themselves, in Prometheus' form.

Labels have few values each: no account, contact or id is ever one. Temporal's SDK counts its own (`runtime.py`), and
what only the database knows comes from `supportly/storage/service_state.py` when the API is asked.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, start_http_server

from supportly import VERSION

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, that nobody reads

REQUEST_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
"""Seconds: from a database read to the longest wait that a caller may ask for."""
WORK_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Seconds: from a local step to a stretch of ingestion, which ends after a minute."""

HTTP: Final = Histogram(
    "supportly_http_request_duration_seconds",
    "Requests by the route's template.",
    ["method", "route", "status"],
    buckets=REQUEST_BUCKETS,
)
ACTIVITY: Final = Histogram(
    "supportly_activity_duration_seconds",
    "Attempts of activities; the outcome is `ok`, `canceled`, or the code of our error.",
    ["activity", "outcome"],
    buckets=WORK_BUCKETS,
)
QUEUE: Final = Histogram(
    "supportly_activity_queue_seconds",
    "How long a task waited in its queue until a worker took it.",
    ["task_queue"],
    buckets=WORK_BUCKETS,
)
CALL: Final = Histogram(
    "supportly_provider_call_duration_seconds",
    "Calls that left the process; the outcome is the status (`2xx`, `429`, …), `timeout`, `unreachable` or `broken`.",
    ["provider", "outcome"],
    buckets=REQUEST_BUCKETS,
)
BUDGET: Final = Counter(
    "supportly_rate_budget_calls",
    "Provider calls that asked the rate budget: `used` went out, `denied` has to wait.",
    ["provider", "lane", "decision"],
)
REFRESHES: Final = Counter(
    "supportly_token_refreshes",
    "Refresh attempts: `refreshed`, `superseded`, the reason for a reconnect, or the code of our error.",
    ["provider", "outcome"],
)
OPERATIONS: Final = Counter(
    "supportly_operations",
    "Operations that ended: `succeeded`, or the code of our error.",
    ["provider", "kind", "outcome"],
)
DOCUMENTS: Final = Counter(
    "supportly_knowledge_documents",
    "Documents that syncs met: added, changed, unchanged, deleted, failed.",
    ["provider", "change"],
)
CHUNKS: Final = Counter(
    "supportly_knowledge_chunks",
    "Chunks of added and changed documents: embedded anew, or reused with their vectors.",
    ["provider", "work"],
)
BUILD: Final = Gauge("supportly_build_info", "Always 1; the label says which version runs.", ["version"])


BUILD.labels(VERSION).set(1)


def serve(address: str) -> None:
    """Answer Prometheus at `host:port` from a thread of this process; an empty address serves nothing."""
    if address:
        host, _, port = address.rpartition(":")
        start_http_server(int(port), host or "0.0.0.0")
