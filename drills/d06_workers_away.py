"""All workers away for a day while schedules come due every quarter of an hour, then back.

How a day passes in seconds: with every worker gone, each Schedule is told to catch up on the last 24 hours by its own
policies (Temporal's backfill: 96 occurrences of the 15-minute interval), which leaves in the server what a real day
without workers leaves: one run that waits for a worker, and the other occurrences skipped. The day is then put into
what time alone changes: last complete walks are a day older in the database, and every access token has expired at its
provider. In half of the tries the Temporal server restarts meanwhile.

When the workers are back, every schedule must run exactly once and succeed. The doubles keep the providers' published
limits and answer 429 to what exceeds them; they must refuse nothing. What they count by the minute is forgotten after a
day, so a minute at least lies between the last request before it and the return. Slack's double counts as an app of
its own workspace: the limit of others, one page a minute, is told by nothing but a refusal.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.client import Client, ScheduleBackfill, ScheduleHandle, ScheduleOverlapPolicy

from drills.caller import Account
from drills.damage import Damage
from drills.drill import Drill
from drills.stage import Stage, reached, staged
from drills.tally import Tally
from supportly.contracts import ids
from supportly.provider import StreamsKnowledge
from supportly.providers import PROVIDERS

PROVIDER_IDS: Final = tuple(p.id for p in PROVIDERS if isinstance(p, StreamsKnowledge))
ACCOUNTS: Final = 4
"""Accounts with a schedule at each provider. All are connected to one account there, so they share its limits."""
FEWER: Final = 2
"""Accounts of a quick run."""
BLOG_POSTS: Final = 3000
"""At HubSpot, 30 pages of a complete walk: those of four accounts at once exceed its 110 calls in ten seconds."""
WORKERS: Final = 2
SETTINGS: Final = {"SUPPORTLY_RATE_FACTOR": "1", "SUPPORTLY_SYNC_INTERVAL_MINUTES": "15"}
DAY: Final = timedelta(days=1)
SETTLES_S: Final = 900.0
"""By then every late run has ended, also four at Slack that share one page a minute, on a machine that is busy."""
FORGETS_S: Final = 61.0
"""After so long without a request a provider has forgotten those of its longest window that a sync can fill."""
AFTER_S: Final = 2.0
"""How long is looked for a second run after the last one has ended."""

Place = tuple[int, str]
"""Account and provider."""

AGED: Final = "update knowledge_streams set full_walk_at = full_walk_at - interval '1 day'"
RUNS: Final = """
select account_id, provider, state, trigger, failed_streams::text, started_at from sync_runs
where started_at > to_timestamp(%s) order by started_at
"""
RUNNING: Final = "select count(*) from sync_runs where state = 'running'"

UNDER_WAY: Final = "WorkflowType = 'KnowledgeSync' and ExecutionStatus = 'Running'"


@dataclass
class Absence:
    """One day without workers, and the return."""

    stage: Stage
    client: Client
    tally: Tally
    accounts: list[Account]

    @property
    def places(self) -> list[Place]:
        """Every schedule's account and provider."""
        return [(account.id, provider) for account in self.accounts for provider in PROVIDER_IDS]

    def schedule(self, place: Place) -> ScheduleHandle:
        """The Schedule of an account at a provider."""
        return self.client.get_schedule_handle(ids.schedule(*place))

    async def run(self) -> None:
        """Leave, let the day pass, come back, and count."""
        rng = self.tally.rng(self.tally.tries)
        await self._everybody_leaves()
        await self._day_passes()
        if rng.random() < 0.5:
            self.stage.kill_temporal()
            await self.stage.start_temporal()
        before = self.stage.requests()[-1]["n"]
        due = await self._due()
        back = time.time()
        await self._everybody_comes()
        await self._settled(back)
        damage = self._judged(back, due)
        refused = self._requests(before)
        for provider, count in refused.items():
            damage.add(f"refused by {provider} as too many", 0, count)
        self.tally.add("caught up", **damage.noted())

    async def _everybody_leaves(self) -> None:
        """Kill all workers while no sync is under way: one that is would be gone on with, and no late run begin."""
        while True:
            await reached(lambda: self.stage.rows(RUNNING) == [(0,)], seconds=SETTLES_S, every=0.5)
            for number in range(1, WORKERS + 1):
                self.stage.kill_worker(number)
            # The clock goes on, and an occurrence of just now may have begun one.
            if not (await self.client.count_workflows(UNDER_WAY)).count:
                return
            await self._everybody_comes()

    async def _everybody_comes(self) -> None:
        await asyncio.gather(*(self.stage.start_worker(number) for number in range(1, WORKERS + 1)))

    async def _day_passes(self) -> None:
        now = datetime.now(UTC)
        whole_day = ScheduleBackfill(now - DAY, now, ScheduleOverlapPolicy.SKIP)
        await asyncio.gather(*(self.schedule(place).backfill(whole_day) for place in self.places))
        self.stage.change(AGED)
        for provider in PROVIDER_IDS:
            self.stage.control("POST", f"/{provider}/expire")
        for place in self.places:
            await self._waiting(place)
        await asyncio.sleep(max(0.0, self.stage.requests()[-1]["at"] + FORGETS_S - time.time()))

    async def _waiting(self, place: Place) -> None:
        """Return when the schedule's one run waits for a worker."""
        ends = time.monotonic() + 60
        while not (await self.schedule(place).describe()).info.running_actions:
            if time.monotonic() > ends:
                raise TimeoutError(f"the schedule of {place} has started nothing")
            await asyncio.sleep(0.05)

    async def _due(self) -> dict[Place, float]:
        """When each schedule comes due next by itself: a run from then on is no late one."""
        found = await asyncio.gather(*(self.schedule(place).describe() for place in self.places))
        return {p: d.info.next_action_times[0].timestamp() for p, d in zip(self.places, found, strict=True)}

    async def _settled(self, back: float) -> None:
        """Return when every schedule has run, nothing runs any more, and nothing has come after it for a while."""

        def over() -> bool:
            ran = {(account, provider) for account, provider, *_ in self.stage.rows(RUNS, back)}
            return ran >= set(self.places) and self.stage.rows(RUNNING) == [(0,)]

        try:
            await reached(over, seconds=SETTLES_S, every=0.5)
        except AssertionError:
            return  # who has not run is counted
        slowest = max(self.tally.facts.get("slowest_catch_up_s", 0.0), round(time.time() - back, 1))
        self.tally.note(slowest_catch_up_s=slowest)
        await asyncio.sleep(AFTER_S)

    def _judged(self, back: float, due: dict[Place, float]) -> Damage:
        damage, late = Damage(), Counter[Place]()
        for account, provider, state, trigger, failed, started in self.stage.rows(RUNS, back):
            place = (account, provider)
            on_time = started.timestamp() >= due[place] and late[place] > 0
            if not on_time:
                late[place] += 1
            # What came due by itself meanwhile may still run.
            if (state, trigger) != ("succeeded", "schedule") and not (on_time and state == "running"):
                damage.add(f"run of {place}: {trigger}, {state} {failed[:200]}", 1, 0)
        for place in self.places:
            damage.add(f"late runs of {place}", int(late[place] == 0), max(0, late[place] - 1))
        return damage

    def _requests(self, since: int) -> Counter[str]:
        """How many requests each double refused as too many; the busiest second of each is noted."""
        refused, seconds = Counter[str](), Counter[tuple[str, int]]()
        for request in self.stage.requests(since=since):
            seconds[request["provider"], int(request["at"])] += 1
            refused[request["provider"]] += request["status"] == 429
        busiest = dict(self.tally.facts.get("requests_in_the_busiest_second", {}))
        for (provider, _), count in seconds.items():
            busiest[provider] = max(count, busiest.get(provider, 0))
        self.tally.note(requests_in_the_busiest_second=busiest)
        return +refused


async def opened(stage: Stage, count: int) -> list[Account]:
    """`count` accounts whose first syncs are done, each with a schedule at every provider."""
    stage.control("POST", "/demo")
    stage.control("POST", "/hubspot/seed", json={"generate": {"blog_posts": BLOG_POSTS, "seed": 6}})
    stage.control("POST", "/slack/settings", json={"commercial": False})
    accounts = [await stage.account() for _ in range(count)]
    for account in accounts:
        for provider in PROVIDER_IDS:
            await account.connect(provider)
            body: dict[str, Any] = {"enabled": True}
            (await account.call("POST", f"/{provider}/knowledge/toggle", json=body)).raise_for_status()

    def first_syncs_done() -> bool:
        [(ended, begun)] = stage.rows("select count(*) filter (where state <> 'running'), count(*) from sync_runs")
        return bool(ended == begun >= count * len(PROVIDER_IDS))

    await reached(first_syncs_done, seconds=SETTLES_S, every=0.5)
    return accounts


async def run(tally: Tally) -> None:
    """One absence after the other, of the same accounts."""
    async with staged(workers=WORKERS, settings=SETTINGS, keep_logs=tally.drill) as stage:
        accounts = await opened(stage, FEWER if tally.quick else ACCOUNTS)
        client = await stage.temporal()
        while tally.left:
            await Absence(stage, client, tally, accounts).run()


DRILLS: Final = (
    Drill(
        "workers_away",
        "All workers are away for a day on which schedules came due 96 times, then back; every schedule must run once, "
        "and the providers must refuse nothing as too much.",
        5,
        run,
        waits=True,
    ),
)
