"""A provider whose listing never gets to its end: a sync of it ends, says so, and keeps what was there."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx

from drills.caller import Account
from drills.grants import last_request
from drills.stage import Stage
from tests.providers.seeds import SEEDS

STREAMS: Final = {
    "hubspot": "blog_posts",
    "salesforce": "products",
    "pipedrive": "products",
    "schedly": "event_types",
    "calendly": "event_types",
    "shopify": "products",
    "jira": "issues",
    "slack": "channels",
    "stripe": "products",
    "zendesk": "articles",
}
"""The stream of each provider that goes in a circle here."""
RECORDS: Final = range(9001, 9010)
PAGE: Final = 2
"""Records on a page, so that nine of them take five."""
MOST_REQUESTS: Final = 60
"""What a sync of nine records may ask for at most before it sees that it goes in a circle."""
NO_TOKEN: Final = r"(?!.*token).*"


async def circle(stage: Stage, account: Account, provider: str) -> tuple[str, list[str]]:
    """Sync from a listing that stays on its page, and then in peace; answers how it ended, and what was wrong."""
    problems: list[str] = []
    documents = await _documents(account, provider)
    since = await asyncio.to_thread(last_request, stage)
    fault = {"provider": provider, "replay": True, "path": NO_TOKEN, "times": -1}
    [number] = (await asyncio.to_thread(stage.control, "POST", "/faults", json=fault))["ids"]
    try:
        run = await _synced(account, provider)
    except (TimeoutError, httpx.HTTPError) as error:
        return "no_end", [f"the sync did not end: {type(error).__name__}"]
    finally:
        await asyncio.to_thread(stage.control, "DELETE", "/faults", params={"id": number})
    sent = len(await asyncio.to_thread(stage.requests, provider=provider, since=since))
    if run["state"] == "partial" and not any(run["failed_streams"].values()):
        problems.append(f"partial without a reason: {run}")
    if run["state"] not in ("partial", "failed", "succeeded"):
        problems.append(f"ended as {run['state']}")
    if sent > MOST_REQUESTS:
        problems.append(f"{sent} requests were sent")
    if (left := await _documents(account, provider)) != documents:
        problems.append(f"{left} documents are left of {documents}")
    calm = await _synced(account, provider)
    if calm["state"] != "succeeded" or await _documents(account, provider) != documents:
        problems.append(f"the sync after it ended as {calm}")
    return "stopped_and_said_so" if run["state"] != "succeeded" else "came_to_an_end", problems


async def prepare(stage: Stage, account: Account, provider: str) -> None:
    """Nine records on five pages, synced once in peace."""
    stream = STREAMS[provider]
    seed = SEEDS[provider].streams[stream]
    records = [seed.make(number, f"Title {number}", f"Text of {number}.") for number in RECORDS]
    for path, body in (("settings", {"page_size_max": PAGE}), ("seed", {seed.kind: records})):
        await asyncio.to_thread(stage.control, "POST", f"/{provider}/{path}", json=body)
    chosen: dict[str, Any] = {"streams": [stream]}
    if provider == "slack":
        chosen |= {"channels": ["C0GENERAL"]}  # where the seeds write
    (await account.call("PUT", f"/{provider}/settings", json={"settings": chosen})).raise_for_status()
    whole = await _synced(account, provider)
    assert whole["state"] == "succeeded", f"{provider}, undisturbed: {whole}"


async def close(stage: Stage, provider: str) -> None:
    """Pages of the usual size again."""
    await asyncio.to_thread(stage.control, "POST", f"/{provider}/settings", json={"page_size_max": None})


async def _synced(account: Account, provider: str) -> dict[str, Any]:
    """The report of a whole sync. Raises TimeoutError."""
    answer = await account.call("POST", f"/{provider}/knowledge/sync", json={}, headers={"Prefer": "wait=60"})
    answer.raise_for_status()
    if answer.status_code == 200:
        return dict(answer.json())
    return dict((await account.ended(answer))["result"] or {"state": "none"})


async def _documents(account: Account, provider: str) -> int:
    status = (await account.call("GET", "/knowledge/status")).raise_for_status().json()
    return int(next(p for p in status["providers"] if p["provider"] == provider)["documents"])
