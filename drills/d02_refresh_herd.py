"""Sixty-four callers meet an expired token at once, two hundred times: one token request each time."""

from __future__ import annotations

import asyncio
from typing import Final

from drills.caller import Account
from drills.drill import Drill
from drills.grants import held, last_request, refreshes
from drills.stage import Stage, staged
from drills.tally import Tally

CALLERS: Final = 64
PROVIDER: Final = "hubspot"
UNDER_WAY_S: Final = 5.0
"""A call that has read its token is at the provider within this time: its own deadline is three seconds."""


async def run(tally: Tally) -> None:
    """Expire, ask, count."""
    async with staged(keep_logs=tally.drill) as stage:
        stage.unlimited(PROVIDER)
        account = await stage.account()
        people = [stage.contact(account, PROVIDER) for _ in range(CALLERS)]
        await account.connect(PROVIDER)
        while tally.left:
            await _once(stage, account, people, tally)


async def _once(stage: Stage, account: Account, people: list[int], tally: Tally) -> None:
    before, since = held(stage)[account.id, PROVIDER], last_request(stage)
    stage.control("POST", f"/{PROVIDER}/expire")
    answers = await asyncio.gather(
        *(account.call("GET", f"/{PROVIDER}/contacts/{one}", headers={"Prefer": "wait=60"}) for one in people)
    )
    wrong = [a for a in answers if a.status_code != 200 or len(a.json()["records"]) != 1]
    after = held(stage)[account.id, PROVIDER]
    asked = refreshes(stage, PROVIDER, since).total()
    # What arrived at the provider: the token that had just ended, at most once from each caller, and the new one.
    calls = [c for c in stage.requests(provider=PROVIDER, since=since) if "authorization" in c["headers"]]
    old, new = ([c["at"] for c in calls if c["headers"]["authorization"] == one.call] for one in (before, after))
    older = len(calls) - len(old) - len(new)
    late = max(len(old) - CALLERS, sum(at > min(new) + UNDER_WAY_S for at in old)) if new else 0
    causes = [
        f"{len(wrong)} wrong answers ({wrong[0].status_code} {wrong[0].text[:100]})" if wrong else "",
        f"{older} calls with a token of before" if older else "",
        f"{late} calls with the old token after the new one was stored" if late > 0 else "",
        f"version {before.version} became {after.version}" if after.version != before.version + 1 else "",
    ]
    tally.add(
        "1 token request" if asked == 1 else f"{asked} token requests",
        lost=len(wrong) + older + max(0, late) + (after.version != before.version + 1),
        doubled=max(0, asked - 1),
        cause="; ".join(filter(None, causes)),
    )
    tally.note(callers=CALLERS)


DRILLS: Final = (
    Drill(
        "refresh_herd",
        "The token has ended and 64 callers ask at once: exactly one token request, and every caller is answered.",
        200,
        run,
    ),
)
