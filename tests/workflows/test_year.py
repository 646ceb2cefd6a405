"""A year of a connection's life, from December 2027 over the leap day: on a server that skips time."""

import itertools
import os
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from supportly.contracts.connections import Standing
from tests.workflows.entity import Double, authorize, working
from workflows.connection import ConnectionWorkflow

WHOLE = os.environ.get("SUPPORTLY_PROOFS") == "whole"
BEGIN, YEAR = datetime(2027, 12, 1, tzinfo=UTC), timedelta(days=366)
JUMPS = [timedelta(0), timedelta(hours=5), timedelta(hours=-5), timedelta(days=40), timedelta(days=-40), timedelta(0)]
"""By how much the clock that stamps the tokens is wrong, two months each."""
LONGEST_RUN = 4_096 + 100
"""Events after which the server suggests to go on as new, and what one turn adds."""


def every(life: timedelta) -> timedelta:
    """How long after one refresh the timer asks for the next."""
    at = Standing(state="connected", connection_id="c", refreshed_at=BEGIN, expires_at=BEGIN + life, refreshable=True)
    due = at.refresh_due()
    assert due
    return due - BEGIN


async def runs(client, workflow_id):
    """How many events each run of the workflow has, newest first."""
    run_id, found = None, []
    while run_id != "":
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        found.append(len(history.events))
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "life", [timedelta(hours=1), timedelta(minutes=30)] if WHOLE else [timedelta(hours=12)], ids=str
)
async def test_a_year_of_refreshes(skipping, life):
    double = Double(skipping.get_current_time, life)
    await skipping.sleep(BEGIN - await skipping.get_current_time())
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        for day in range(0, YEAR.days, 3):  # one call to the server may take half a minute
            double.ahead = JUMPS[day * len(JUMPS) // YEAR.days]
            await skipping.sleep(timedelta(days=3))
        ended = await skipping.get_current_time()
        standing = await handle.query(ConnectionWorkflow.standing)
        lengths = await runs(skipping.client, handle.id)
        await skipping.client.get_workflow_handle(handle.id).terminate()

    moments = [BEGIN, *(at for at, _, _ in double.refreshes)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    expected, gap = YEAR / every(life), every(life)
    # As many as the life of a token asks for: each turn takes some of the skipped clock's seconds besides.
    assert expected * 0.99 <= len(double.refreshes) <= expected + 1
    # None is late or early, not over the leap day either, whatever the other clock says.
    assert gap - timedelta(seconds=1) <= min(gaps) <= max(gaps) <= gap + timedelta(seconds=60) < life
    days = Counter(at.date() for at in moments)
    assert days[date(2028, 2, 29)] in {int(timedelta(days=1) / gap), int(timedelta(days=1) / gap) + 1}
    assert {(BEGIN + timedelta(days=n)).date() for n in range(366)} <= days.keys()
    assert ended - moments[-1] < life
    # Every version was refreshed once, and from the one before.
    assert [version for _, version, _ in double.refreshes] == list(range(1, len(double.refreshes) + 1))
    assert standing.version == double.at.version == len(double.refreshes) + 1
    # And the history of no run grew beyond what the server suggests.
    assert len(lengths) >= len(double.refreshes) * 8 // LONGEST_RUN
    assert max(lengths) <= LONGEST_RUN


@pytest.mark.parametrize("life", [timedelta(days=60), timedelta(days=365)], ids=str)
async def test_a_token_that_lives_for_months(skipping, life):
    """Timers of months are as exact as short ones."""
    double = Double(skipping.get_current_time, life)
    await skipping.sleep(BEGIN - await skipping.get_current_time())
    async with working(skipping.client, double) as handle:
        await authorize(handle)
        await skipping.sleep(YEAR)
        await handle.terminate()
    moments = [BEGIN, *(at for at, _, _ in double.refreshes)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(gaps) == int(YEAR / every(life))
    assert every(life) <= min(gaps) <= max(gaps) <= every(life) + timedelta(seconds=60)
