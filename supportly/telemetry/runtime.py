"""The Temporal SDK's own metrics: task latencies, pollers, slots, requests to the server."""

from __future__ import annotations

import logging
from functools import cache

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

log = logging.getLogger(__name__)


@cache
def runtime(address: str) -> Runtime | None:
    """The runtime that serves them at `host:port`, one a process; None without an address: the SDK's default one.

    An address that is taken costs the metrics, and not the work: the log says so, once.
    """
    if not address:
        return None
    # Seconds and unit suffixes, as Prometheus recommends and our own metrics have them.
    served = PrometheusConfig(
        bind_address=address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=served))
    except ValueError as error:
        log.error("no metrics of Temporal's SDK: %s; SUPPORTLY_TEMPORAL_METRICS_ADDRESS needs a free one", error)  # noqa: TRY400 (the text says it all)
        return None
