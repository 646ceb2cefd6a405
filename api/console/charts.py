"""Charts as SVG, drawn on the server: how many documents there were, and how old the data was, over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api.console.wording import duration, instant, number

WIDTH: Final = 640
HEIGHT: Final = 190
LEFT: Final = 66
RIGHT: Final = 12
TOP: Final = 12
BOTTOM: Final = 26
"""Room for labels around the plot, in units of the view box."""
TICKS: Final = 4
"""Lines across the plot, about; round values decide."""
FEWEST: Final = 2
"""Points below which there is no course to see."""
AGES: Final = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000)
"""Seconds that an axis of ages is divided into."""

SHORT: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))

Point = tuple[datetime, float]


@dataclass(frozen=True)
class Chart:
    """What the template draws."""

    title: str
    told: str
    """The chart in a sentence, for those who do not see it."""
    line: str
    area: str
    last: tuple[float, float]
    across: list[tuple[float, str]]
    """Height and label of each line across."""
    along: list[tuple[float, str, str]]
    """Place, label and anchor of each time."""
    rows: list[tuple[str, str]]
    """The same as a table: time and value."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def documents(runs: Sequence[Mapping[str, Any]], now_stored: int) -> Chart | None:
    """Documents after each run, reckoned back from how many there are now; None for fewer than two runs.

    `runs` come newest first, as the API lists them.
    """
    points: list[Point] = [(datetime.now(UTC), now_stored)]
    stored = now_stored
    for run in runs:
        points.append((instant(run["finished_at"] or run["started_at"]), max(stored, 0)))
        stored -= run["counts"]["added"] - run["counts"]["deleted"]
    points.reverse()
    if len(runs) < FEWEST:
        return None
    most = max(value for _, value in points)
    step = _round_step(most / TICKS)
    top = max(math.ceil(most / step) * step, step)
    told = f"From {number(int(points[0][1]))} to {number(now_stored)} documents over {len(runs)} syncs."
    marks = [(value, number(int(value))) for value in _steps(top, step)]
    rows = [(_exact(at), number(int(value))) for at, value in reversed(points[:-1])]
    return _drawn("Documents after each sync", told, points, top, marks, rows, stepped=True)


def ages(runs: Sequence[Mapping[str, Any]]) -> Chart | None:
    """How old the data was: it grows until a sync that read everything ends, and falls to that sync's length."""
    whole = [
        (instant(run["started_at"]), instant(run["finished_at"]))
        for run in reversed(runs)
        if run["finished_at"] and run["state"] in ("succeeded", "partial") and not run["failed_streams"]
    ]
    if len(whole) < FEWEST:
        return None
    points: list[Point] = []
    for (began, ended), (_, until) in zip(whole, [*whole[1:], (None, datetime.now(UTC))], strict=True):
        points += [(ended, (ended - began).total_seconds()), (until, (until - began).total_seconds())]
    oldest = max(value for _, value in points)
    step = next((one for one in AGES if oldest / one <= TICKS), AGES[-1])
    top = max(math.ceil(oldest / step) * step, step)
    told = f"Now {duration(points[-1][1])} old; at most {duration(oldest)} in this time."
    marks = [(value, _short(value)) for value in _steps(top, step)]
    rows = [(_exact(ended), f"fell to {duration((ended - began).total_seconds())}") for began, ended in reversed(whole)]
    return _drawn("Age of the data", told, points, top, marks, rows)


def _drawn(
    title: str,
    told: str,
    points: Sequence[Point],
    top: float,
    marks: Sequence[tuple[float, str]],
    rows: list[tuple[str, str]],
    *,
    stepped: bool = False,
) -> Chart:
    first, last = points[0][0], points[-1][0]
    seconds = max((last - first).total_seconds(), 1.0)

    def across(at: datetime) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (at - first).total_seconds() / seconds, 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)

    places = [(across(at), up(value)) for at, value in points]
    parts = [f"M{places[0][0]} {places[0][1]}"]
    for x, y in places[1:]:
        parts.append(f"H{x}V{y}" if stepped else f"L{x} {y}")
    line = "".join(parts)
    floor = HEIGHT - BOTTOM
    middle = first + (last - first) / 2
    return Chart(
        title,
        told,
        line,
        f"{line}V{floor}H{places[0][0]}Z",
        places[-1],
        [(up(value), text) for value, text in marks],
        [
            (across(first), _moment(first, last - first), "start"),
            (across(middle), _moment(middle, last - first), "middle"),
            (across(last), "now", "end"),
        ],
        rows,
    )


def _round_step(rough: float) -> int:
    """The next of 1, 2, 5, 10, 20, …"""
    if rough <= 1:
        return 1
    size = 10 ** math.floor(math.log10(rough))
    return int(next(size * one for one in (1, 2, 5, 10) if size * one >= rough))


def _steps(top: float, step: float) -> list[float]:
    return [step * place for place in range(round(top / step) + 1)]


def _short(seconds: float) -> str:
    """An age as an axis has room for it: `20 s`, `2 h`."""
    size, unit = next(((size, unit) for size, unit in SHORT if seconds >= size), (1, ""))
    return f"{seconds / size:g} {unit}".strip()


def _moment(at: datetime, over: timedelta) -> str:
    near, today = over < timedelta(minutes=5), over < timedelta(days=1)
    return at.strftime("%H:%M:%S" if near else "%H:%M" if today else "%d %b")


def _exact(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
