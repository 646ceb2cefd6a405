"""Three providers of different kinds on twelve bad days each: what a caller is told over HTTP, and what is tried again.

All cases run side by side, once; `make drills` makes them at ten providers, in more ways.
"""

import asyncio

import pytest

from drills import circles
from drills.asked import Asking, Cast
from drills.faced import Facing, Kind, face_all, undisturbed
from drills.stage import Stage
from drills.weather import WEATHER, Weather

PROVIDERS = ("hubspot", "shopify", "slack")
"""REST; GraphQL, where every request is a POST; and one whose errors come with status 200."""
FIRST_CONTACT = 810_000


def kinds(weather: Weather) -> tuple[Kind, ...]:
    """The ways to meet a weather; those who sit out a pause do so one by one, so there are fewer."""
    if weather.then == "circles":
        return ()
    if weather.name == "429":
        return ("lookup_once",)
    return ("lookup_once", "write_once", "action_cleared")


CASES = [(p, w, k) for p in PROVIDERS for w in WEATHER for k in kinds(w)]


@pytest.fixture(scope="module")
def faced(stack) -> dict[tuple[str, str, str], tuple[str, list[str]]]:
    """How every case ended, and what was wrong with it."""
    found: dict[tuple[str, str, str], tuple[str, list[str]]] = {}

    async def go() -> None:
        stage = Stage(stack)
        account = await stage.account()
        cast = Cast(stage, account.id)
        await asyncio.to_thread(cast.set_up)
        for provider in PROVIDERS:
            await account.connect(provider)
        askings = {k: Asking(f"w{n:05}x", n, FIRST_CONTACT + n) for n, k in enumerate([*PROVIDERS, *CASES])}
        people = {p: [(a, True) for key, a in askings.items() if p in (key, key[0])] for p in PROVIDERS}
        await asyncio.to_thread(cast.meet, people)
        for provider in PROVIDERS:
            await circles.prepare(stage, account, provider)
            found[provider, "repeating_cursor", "sync"] = await circles.circle(stage, account, provider)
            await circles.close(stage, provider)
        usual = {p: await undisturbed(stage, account, p, askings[p]) for p in PROVIDERS}
        tries = [Facing(stage, account, *case, askings[case], usual[case[0]]) for case in CASES]

        def note(facing: Facing, outcome: str) -> None:
            found[facing.provider, facing.weather.name, facing.kind] = (outcome, facing.problems)

        await face_all(tries, note)
        await stage.http.aclose()

    asyncio.run(go())
    return found


EXPECTED = {"passes": "passed", "pauses": "told_to_pause", "fails": "refused"}


@pytest.mark.parametrize(("provider", "weather", "kind"), CASES, ids=[f"{p}-{w.name}-{k}" for p, w, k in CASES])
def test_a_caller_meets_what_the_api_promises(faced, provider, weather, kind):
    outcome, problems = faced[provider, weather.name, kind]
    assert problems == []
    if weather.name == "429":
        # The provider's own rule says how long; a caller sits out what is short enough.
        assert outcome in ("passed", "told_to_pause")
        return
    expected = EXPECTED[weather.then]
    if kind == "write_once":
        # A write is put off for as long as it takes, and one whose answer cannot be read is looked up.
        expected = "put_off" if weather.then == "pauses" else "passed" if weather.huge else expected
    elif kind == "action_cleared" and weather.then == "passes":
        expected = "accepted_then_succeeded"
    assert outcome == expected


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_sync_from_a_listing_without_an_end_ends_and_says_so(faced, provider):
    outcome, problems = faced[provider, "repeating_cursor", "sync"]
    assert problems == []
    assert outcome == "stopped_and_said_so"
