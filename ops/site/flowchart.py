"""A flowchart in Mermaid's words as SVG, at build time: the site asks no other host for a script.

What our pages use is understood: `flowchart LR`, nodes `id[text]`, `id([text])`, `id[(text)]`, edges `a --> b` and
`a -->|text| b`, and `subgraph name … end`. Anything else is an error, so that nothing is left out in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from typing import Final

NODE: Final = r"(\w+)(\(\[.+?\]\)|\[\(.+?\)\]|\[.+?\])?"
EDGE: Final = re.compile(rf"{NODE}\s*-->\s*(?:\|(.+?)\|\s*)?{NODE}")
WIDE, HIGH, GAP_X, GAP_Y, EDGE_TEXT = 210, 44, 90, 36, 11
"""Pixels: a box holds some thirty letters of 12 pixels."""


@dataclass
class Chart:
    """Nodes by id with their text and shape, edges with their text, groups with their members."""

    nodes: dict[str, tuple[str, str]] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)


def parsed(source: str) -> Chart:
    """Read a chart. Raises ValueError with the line that is not understood."""
    lines = [line.strip() for line in source.strip().splitlines() if line.strip()]
    if not lines or lines[0] != "flowchart LR":
        raise ValueError("a flowchart begins with `flowchart LR`")
    chart, group = Chart(), ""
    for line in lines[1:]:
        if match := re.fullmatch(r"subgraph (\w+)", line):
            group = match[1]
            chart.groups[group] = []
        elif line == "end" and group:
            group = ""
        elif match := EDGE.fullmatch(line):
            here, there = _node(chart, match[1], match[2]), _node(chart, match[4], match[5])
            chart.edges.append((here, there, match[3] or ""))
            if group:
                chart.groups[group] += [one for one in (here, there) if one not in chart.groups[group]]
        elif match := re.fullmatch(NODE, line):
            _node(chart, match[1], match[2])
        else:
            raise ValueError(f"a flowchart's line that is not understood: {line}")
    return chart


def _node(chart: Chart, name: str, form: str | None) -> str:
    if form:
        shape = "person" if form.startswith("([") else "store" if form.startswith("[(") else "box"
        chart.nodes[name] = (form.strip("[]()"), shape)
    else:
        chart.nodes.setdefault(name, (name, "box"))
    return name


def _columns(chart: Chart) -> dict[str, int]:
    """Each node right of those that lead to it; an edge that closes a circle counts for nothing."""
    columns: dict[str, int] = {}

    def place(name: str, way: tuple[str, ...]) -> int:
        if name not in columns:
            before = [a for a, b, _ in chart.edges if b == name and a not in (*way, name)]
            columns[name] = 1 + max((place(a, (*way, name)) for a in before), default=-1)
        return columns[name]

    for name in chart.nodes:
        place(name, ())
    return columns


def svg(source: str) -> str:
    """The chart as an SVG that takes the page's colours; its edges are its text for those who can't see it."""
    chart = parsed(source)
    columns = _columns(chart)
    rows: dict[int, int] = {}
    spots: dict[str, tuple[int, int]] = {}
    for name, column in columns.items():
        spots[name] = (8 + column * (WIDE + GAP_X), 8 + rows.get(column, 0) * (HIGH + GAP_Y))
        rows[column] = rows.get(column, 0) + 1
    width, height = max(x for x, _ in spots.values()) + WIDE + 8, max(y for _, y in spots.values()) + HIGH + 8
    told = "; ".join(
        f"{chart.nodes[a][0]} to {chart.nodes[b][0]}{f' ({text})' if text else ''}" for a, b, text in chart.edges
    )
    opening = (
        f'<svg class="flowchart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}" '
        'xmlns="http://www.w3.org/2000/svg" font-size="12" font-family="inherit" fill="none" stroke="currentColor">'
    )
    arrow = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="currentColor" stroke="none"/></marker></defs>'
    )
    parts = [opening, arrow]
    parts += [_edge(spots[a], spots[b], text) for a, b, text in chart.edges]
    parts += [_box(spots[name], text, shape) for name, (text, shape) in chart.nodes.items()]
    return "".join([*parts, "</svg>"])


def _edge(here: tuple[int, int], there: tuple[int, int], text: str) -> str:
    forward = there[0] > here[0]
    x1, y1 = (here[0] + WIDE if forward else here[0] + WIDE // 2), here[1] + HIGH // 2
    x2, y2 = (there[0] if forward else there[0] + WIDE // 2), there[1] + HIGH // 2
    if not forward:  # in its own column, or back: from edge to edge, up or down
        down = there[1] > here[1]
        y1, y2 = (here[1] + HIGH, there[1]) if down else (here[1], there[1] + HIGH)
    bend = (x2 - x1) // 2 if forward else 0
    path = f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" marker-end="url(#tip)"/>'
    if not text:
        return path
    words = f'<text x="{(x1 + x2) // 2}" y="{(y1 + y2) // 2 - 4}" font-size="{EDGE_TEXT}" '
    return path + words + f'text-anchor="middle" fill="currentColor" stroke="none">{escape(text)}</text>'


def _box(spot: tuple[int, int], text: str, shape: str) -> str:
    x, y = spot
    radius = {"person": HIGH // 2, "store": 4, "box": 4}[shape]
    weight = 2 if shape == "store" else 1
    return (
        f'<rect x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="{radius}" stroke-width="{weight}" '
        'style="fill: var(--md-default-bg-color, white)"/>'
        f'<text x="{x + WIDE // 2}" y="{y + HIGH // 2 + 4}" text-anchor="middle" fill="currentColor" stroke="none">'
        f"{escape(text)}</text>"
    )
