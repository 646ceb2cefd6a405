"""Metrics of Temporal's SDK, and an address that cannot be had."""

import logging
import socket

import pytest

from supportly.telemetry.runtime import runtime


def test_a_taken_address_costs_the_metrics_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with caplog.at_level(logging.ERROR):
            assert [runtime(address), runtime(address)] == [None, None]
    [said] = [record.getMessage() for record in caplog.records if record.name == "supportly.telemetry.runtime"]
    assert "SUPPORTLY_TEMPORAL_METRICS_ADDRESS" in said


def test_without_an_address_there_are_none() -> None:
    assert runtime("") is None
