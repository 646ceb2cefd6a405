"""The API killed among keyed POSTs: every caller repeats its request, and each key is one operation and one note."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from drills.drill import Drill
from drills.notes import Notes
from drills.stage import Stage, staged
from drills.tally import Tally

NOTES_A_KILL: Final = 25
"""500 POSTs among 20 kills."""
CALLERS: Final = 8
"""POSTs under way at once."""
BATCH: Final = 5
"""Kills after which all notes are looked through, and the kills noted."""
UNTIL_KILL_S: Final = (0.02, 0.6)
"""When in the life of the callers' requests the API dies."""


async def run(tally: Tally) -> None:
    """Kill, start again, and let all callers come to their end, batch by batch."""
    async with staged(keep_logs=tally.drill) as stage:
        while tally.left:
            rng = tally.rng(tally.tries)
            notes = Notes(stage, await stage.account(), rng)
            await notes.open()
            cut = []
            for _ in range(min(BATCH, tally.left)):
                callers = asyncio.create_task(_log(notes))
                await asyncio.sleep(rng.uniform(*UNTIL_KILL_S))
                cut.append(notes.waiting)
                await _kill(stage)
                await callers
            damage = await notes.judged()
            for waiting in cut:
                tally.add("requests cut" if waiting else "between requests")
            if damage.causes:
                tally.add("notes with damage", tries=0, **damage.noted())
            ended = Counter(tally.facts.get("tries_ended", {})) + notes.ends()
            tally.note(posts=tally.facts.get("posts", 0) + len(notes.sent), tries_ended=ended)


async def _log(notes: Notes) -> None:
    """The callers' notes, so many at once."""
    left = iter(range(NOTES_A_KILL))

    async def caller() -> None:
        for _ in left:
            await notes.log()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _kill(stage: Stage) -> None:
    stage.kill_api()
    await stage.start_api()


DRILLS: Final = (
    Drill(
        "kill_api",
        "The API is killed (SIGKILL) among 500 POSTs with an Idempotency-Key; each caller repeats its request, and "
        "each key must be one operation and one note at the provider.",
        20,
        run,
    ),
)
