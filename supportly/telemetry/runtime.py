"""The Temporal SDK's own metrics: task latencies, pollers, slots, requests to the server."""

from __future__ import annotations

from functools import cache

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig


@cache
def runtime(address: str) -> Runtime | None:
    """The runtime that serves them at `host:port`, one a process; None without an address: the SDK's default one."""
    if not address:
        return None
    # Seconds and unit suffixes, as Prometheus recommends and our own metrics have them.
    served = PrometheusConfig(
        bind_address=address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    return Runtime(telemetry=TelemetryConfig(metrics=served))
