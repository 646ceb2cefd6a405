"""Collects what passes in a test, validates it when the test is over, and tells at the end what was validated."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sandbox.double import Reply, Request
from tests.contracts.deviations import DEVIATIONS, general
from tests.contracts.exchange import Answer, Contract, Exchange, Message, Violation
from tests.contracts.registry import OUTSIDE, PROVIDERS, SPECS, available, contracts

PROPERTY = "contract"
MARK = "beside_the_contract"
DEVIATION = "deviation"
SHOWN = 12
SUITE = Path(__file__).parents[1] / "providers"
COLUMNS = ("requests", "answers", "errors not described", "outside", "deviations met")

_seen: list[Exchange] = []


class ContractBroken(AssertionError):
    """Exchanges of a test that their contracts forbid."""


def seen(provider: str, request: Request, reply: Reply | None) -> None:
    """Keeps an exchange until its test is over; `reply` is None where a fault answered."""
    if provider not in PROVIDERS or not available():
        return
    path = request.raw_path
    message = Message(request.method, request.host, path, request.query_string, dict(request.headers), request.body)
    answer = Answer(reply.status, reply.content_type, reply.encoded()) if reply is not None else None
    _seen.append(Exchange(provider, message, answer))


def begin() -> None:
    """Forgets what was seen before a test."""
    _seen.clear()


def taken() -> list[Exchange]:
    """What was seen, which is forgotten with it."""
    found = list(_seen)
    begin()
    return found


def verify(item: pytest.Item) -> None:
    """Validates what was seen; a test marked `beside_the_contract` sends on purpose what no client would."""
    if item.get_closest_marker(MARK):
        return
    tally, wrong = judged(_seen)
    item.user_properties += [(PROPERTY, (*key, count)) for key, count in tally.items()]
    if wrong:
        told = [f"{violation}{f' ×{count}' if count > 1 else ''}" for violation, count in wrong.most_common(SHOWN)]
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise ContractBroken("\n".join(["what passed breaks the contract:", *told, *more]))


def judged(exchanges: list[Exchange]) -> tuple[Counter[tuple[str, str]], Counter[Violation]]:
    """Counts by contract and column (deviations by their number), and the violations that are not meant."""
    tally: Counter[tuple[str, str]] = Counter()
    wrong: Counter[Violation] = Counter()
    for exchange in exchanges:
        if any(outside.fits(exchange) for outside in OUTSIDE):
            tally[exchange.provider, "outside"] += 1
            continue
        contract = responsible(exchange)
        if contract is None:
            url = f"{exchange.request.method} {exchange.request.host}{exchange.request.path}"
            wrong[Violation(exchange.provider, url, "path", "unknown")] += 1
            continue
        verdict = contract.check(exchange)
        tally[contract.name, "requests"] += 1
        tally[contract.name, "answers"] += exchange.answer is not None and not verdict.undescribed
        tally[contract.name, "errors not described"] += verdict.undescribed
        for violation in verdict.violations:
            number = next((n for n, deviation in enumerate(DEVIATIONS) if deviation.fits(violation)), None)
            if number is None:
                wrong[violation._replace(place=general(violation.place))] += 1
            else:
                tally[DEVIATION, str(number)] += 1
    return tally, wrong


def responsible(exchange: Exchange) -> Contract | None:
    """The contract of an exchange; of several with one host the one that knows the path."""
    holding = [contract for contract in contracts(exchange.provider) if contract.holds(exchange)]
    knowing = (c for c in holding if not any(v.place == "path" for v in c.check(exchange).violations))
    return holding[0] if len(holding) == 1 else next(knowing, holding[0] if holding else None)


# --- the end of a run -------------------------------------------------------------------------------------------------


def configured() -> None:
    """In CI the contracts have to be there: nothing may be skipped for want of them."""
    if os.environ.get("CI") == "true" and not available():
        raise pytest.UsageError(f"the contracts are missing: {SPECS}")


def summary(reports: list[Any]) -> list[str]:
    """A row for each contract with what was validated."""
    if not available():
        return [f"nothing was validated: {SPECS} is not on this machine"]
    total = _total(reports)
    rows: list[tuple[str, ...]] = [("", *COLUMNS)]
    for name in sorted({key[0] for key in total} - {DEVIATION}):
        met = sum(total[DEVIATION, str(n)] > 0 for n, row in enumerate(DEVIATIONS) if row.contract == name)
        rows.append((name, *(str(total[name, column]) for column in COLUMNS[:-1]), str(met)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return lines if len(rows) > 1 else []


def stale(reports: list[Any]) -> list[str]:
    """Deviations that no exchange of a whole run met."""
    total = _total(reports)
    return [str(row) for n, row in enumerate(DEVIATIONS) if not total[DEVIATION, str(n)]]


def whole(config: pytest.Config) -> bool:
    """Whether this run has every provider's tests: nothing chosen, nothing left out."""
    option = config.option
    if (
        option.collectonly
        or option.keyword
        or option.markexpr
        or option.deselect
        or option.ignore
        or option.ignore_glob
    ):
        return False
    if getattr(option, "lf", False) or any("::" in argument for argument in config.args):
        return False
    paths = [(config.invocation_params.dir / argument).resolve() for argument in config.args]
    return any(path in (SUITE, *SUITE.parents) for path in paths)


def _total(reports: list[Any]) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for report in reports:
        for name, value in report.user_properties:
            if name == PROPERTY:
                total[value[0], value[1]] += value[2]
    return total
