"""One thing that `doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

State = Literal["ok", "warn", "fail", "skipped"]

SKEW: Final = timedelta(seconds=2)
"""Clocks apart by more than this are worth mending: leases of a few seconds compare them."""
LOOK_S: Final = 5.0
"""A part that does not answer within this time counts as away."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it stands, and what to do where something is to be done."""

    check: str
    state: State
    says: str
    do: str = ""


def ok(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", says)


def warn(check: str, says: str, do: str) -> Finding:
    """It works, and something should be done."""
    return Finding(check, "warn", says, do)


def fail(check: str, says: str, do: str) -> Finding:
    """It does not work until something is done."""
    return Finding(check, "fail", says, do)


def skipped(check: str, says: str) -> Finding:
    """It could not be looked at, or is switched off."""
    return Finding(check, "skipped", says)


def clocks(check: str, ahead: timedelta, whose: str) -> Finding:
    """`ahead`: how far the other clock is ahead of ours."""
    seconds = ahead.total_seconds()
    if abs(ahead) <= SKEW:
        return ok(check, f"{whose} clock is {seconds:+.2f} s from this one")
    return fail(
        check,
        f"{whose} clock is {seconds:+.1f} s from this one",
        "Synchronise the clocks (NTP): leases and token lives are compared across them.",
    )
