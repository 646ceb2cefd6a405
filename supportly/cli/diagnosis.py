"""`supportly doctor`: looks at everything that the service needs, and says what to do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from supportly.cli import showing
from supportly.cli.failing import CommandError, Exit
from supportly.cli.showing import Json
from supportly.cli.surroundings import AccountOption, account_id, settings

if TYPE_CHECKING:
    from supportly.cli.checks.finding import Finding
    from supportly.settings import Settings

WIDTH = 19
MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red"), "skipped": ("–", "dim")}


def doctor(*, account: AccountOption = None, json: Json = False) -> None:
    """Look at database, Temporal, clocks, keys, redirect URIs, providers, Supportly and the refined tier's weights.

    Exit code 7 where something does not work; a warning alone is 0. Temporal's clock is read from an empty workflow
    (`doctor/clock/…`) that is ended at once.
    """
    found = _found(account)
    if json:
        showing.as_json([asdict(one) for one in found])
    else:
        for one in found:
            mark, style = MARKS[one.state]
            showing.line(f"{mark} {one.check:{WIDTH}} {showing.shown(one.says)}", style)
            if one.do:
                showing.line(f"  {'':{WIDTH}} → {one.do}")
        counts = Counter(one.state for one in found)
        showing.line(f"{counts['ok']} in order, {counts['warn']} to look at, {counts['fail']} to mend.")
    if any(one.state == "fail" for one in found):
        raise typer.Exit(Exit.FOUND)


def _found(account: int | None) -> list[Finding]:
    """Everything, or the one reason why the service itself would not start."""
    from supportly.cli.checks import finding

    try:
        chosen = settings(whole_stack=True)
    except CommandError as error:
        return [finding.fail("settings", str(error), "No process starts before this is mended: docs/settings.md.")]
    return asyncio.run(_look(chosen, account_id(account)))


async def _look(chosen: Settings, account: int) -> list[Finding]:
    from supportly.cli.checks import database, outside, secrets, temporal
    from supportly.http import Outbound

    outbound = Outbound(
        timeout_s=chosen.provider_timeout_s, max_bytes=chosen.max_answer_bytes, sandbox_url=chosen.sandbox_url
    )

    async def one(finding: Awaitable[Finding]) -> list[Finding]:
        return [await finding]

    try:
        groups = await asyncio.gather(
            database.check(chosen),
            one(secrets.check_stored(chosen)),
            temporal.check(chosen),
            outside.check(chosen, outbound, account),
            one(secrets.check_weights(chosen, outbound)),
        )
    finally:
        await outbound.aclose()
    return [*secrets.check_keys(chosen), *(finding for group in groups for finding in group)]
