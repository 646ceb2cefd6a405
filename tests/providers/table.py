"""Which capability of which provider was shown by tests that passed: the table at the end of a run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from supportly.providers import PROVIDERS

MARK = "shows"
ORDER = (
    "connect and refresh", "revoke", "lookup", "lookup by phone", "create", "update", "activities", "actions",
    "streams", "10,000 records", "a record breaks", "errors", "error bodies", "limits", "hosts",
)  # fmt: skip


def shows(*capabilities: str) -> pytest.MarkDecorator:
    """Marks a contract test as proof of `capabilities` for the provider in its parameters."""
    assert set(capabilities) <= set(ORDER)
    return pytest.mark.shows(*capabilities)


def note(item: pytest.Item) -> None:
    """Puts what a test shows into its report, where it survives the way from a test process to the one that counts."""
    mark, params = item.get_closest_marker(MARK), getattr(getattr(item, "callspec", None), "params", {})
    if mark and "provider" in params:
        item.user_properties += [(MARK, (params["provider"].id, capability)) for capability in mark.args]


def table(reports: list[Any]) -> list[str]:
    """Markdown rows: provider by capability, each cell the number of cases that passed; `all` counts each case once."""
    passed = Counter(tuple(value) for r in reports for name, value in r.user_properties if name == MARK)
    if not passed:
        return []
    rows = [("", *ORDER, "all")]
    for provider in PROVIDERS:
        cells = [passed[provider.id, capability] for capability in ORDER]
        cases = sum((MARK, provider.id) in {(n, v[0]) for n, v in r.user_properties} for r in reports)
        rows.append((provider.id, *(str(cell) if cell else "–" for cell in cells), str(cases)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return lines
