"""How well search ranks: `python -m bench.ranking FILE`.

FILE is `{"documents": [{id, title, body}], "queries": [{q, documents: [ids that answer it]}]}`. The documents become
articles of the Zendesk double, Zendesk is connected and synced through the service, and every question is asked with
`GET …/knowledge/search`: once while nothing is refined (`mix_instant`), once when everything is (`mix_refined`).
Beside them stand the halves alone (`fulltext`, `instant`, `refined`), from the same candidates in the same database.
MAP and hit@1 count documents, each at its best chunk's place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from activities.refinement import Encoders
from bench import service
from bench.figures import judged, say
from supportly.http import Outbound
from supportly.knowledge import rank
from supportly.knowledge.embed import WordLlamaEmbedder
from supportly.settings import Settings
from supportly.storage import knowledge_models, knowledge_refining, search
from supportly.storage.database import Database
from supportly.storage.search import Asked, Candidate, Sought

FIRST_ARTICLE: Final = 500_000
HITS: Final = 50
"""The most that one search answers; a document that is not among them counts as found last."""
PATIENCE_S: Final = 1800.0
"""Refining reads some ten to forty chunks a second."""
HALVES: Final[dict[str, Callable[[Candidate], float]]] = {
    "fulltext": lambda c: c.words,
    "instant": lambda c: c.instant or 0.0,
    "refined": lambda c: c.refined or 0.0,
}


class Sums:
    """Average precision and hit@1, added up over questions."""

    def __init__(self) -> None:
        self.count = 0
        self.map = 0.0
        self.hit1 = 0.0

    def add(self, ranked: Sequence[str], wanted: Sequence[Any]) -> None:
        """Count one answer: document ids in order, and those that were wanted."""
        average, first = judged(ranked, {str(d) for d in wanted})
        self.count, self.map, self.hit1 = self.count + 1, self.map + average, self.hit1 + first


async def load(api: httpx.AsyncClient, root: str, sandbox: str, documents: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Seed, connect and sync; answers document ids by the number in an article's address."""
    articles = [
        {"id": FIRST_ARTICLE + n, "title": d["title"], "body": d["body"], "locale": "en-us"}
        for n, d in enumerate(documents)
    ]
    (await api.post(f"{sandbox}/_sandbox/zendesk/seed", json={"articles": articles})).raise_for_status()
    await service.connect(api, root, "zendesk", subdomain="ranking")
    (await api.post(f"{root}/zendesk/knowledge/toggle", json={"enabled": True})).raise_for_status()
    await until(api, root, lambda found: found["last_run"] and found["last_run"]["state"] == "succeeded")
    return {str(FIRST_ARTICLE + n): str(d["id"]) for n, d in enumerate(documents)}


async def until(api: httpx.AsyncClient, root: str, reached: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Wait until Zendesk's part of the status satisfies; answers it."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        status = (await api.get(f"{root}/knowledge/status")).raise_for_status().json()
        found: dict[str, Any] = next(p for p in status["providers"] if p["provider"] == "zendesk")
        if reached(found):
            return found
        await asyncio.sleep(0.5)
    raise SystemExit("the service did not get there within half an hour")


async def ask_all(api: httpx.AsyncClient, root: str, queries: Sequence[dict[str, Any]], ids: dict[str, str]) -> Sums:
    """Ask every question over HTTP."""
    sums = Sums()
    for query in queries:
        answer = await api.get(f"{root}/knowledge/search", params={"q": query["q"], "limit": HITS})
        hits = answer.raise_for_status().json()["hits"]
        sums.add([number(hit["url"], ids) for hit in hits], query["documents"])
    return sums


def number(url: str | None, ids: dict[str, str]) -> str:
    """The document that an article's address belongs to."""
    return next((ids[part] for part in (url or "").replace("-", "/").split("/") if part in ids), "")


async def halves(
    stack: dict[str, Any], queries: Sequence[dict[str, Any]], ids: dict[str, str], names: Sequence[str]
) -> dict[str, Sums]:
    """Each half alone, from all candidates that a search has."""
    db = Database(stack["database_url"].replace("postgresql://", "postgresql+psycopg://"))
    instant = WordLlamaEmbedder()
    first = await knowledge_models.instant(db, instant.model, instant.dimensions)
    model = await knowledge_models.serving(db)
    outbound = Outbound(timeout_s=30, max_bytes=10_000_000)
    encoder = (await Encoders(Settings(), outbound).get(model.spec))[0] if model else None
    sums = {name: Sums() for name in names}
    for query in queries:
        asked = rank.question(query["q"])
        second = None
        if model and encoder:
            second = Asked(model.id, (await encoder.encode([asked]))[0].tolist())
        read = Asked(first, instant.embed([asked])[0].tolist())
        found = await search.candidates(db, Sought(stack["account_id"], asked, read, second))
        for name in names:
            ranked = sorted(found, key=HALVES[name], reverse=True)
            kept = [c for c in ranked if name != "fulltext" or c.words > 0]
            sums[name].add([number(c.url, ids) for c in kept], query["documents"])
    await outbound.aclose()
    await db.close()
    return sums


async def refined(stack: dict[str, Any]) -> None:
    """Wait until every chunk has its refined vector."""
    db = Database(stack["database_url"].replace("postgresql://", "postgresql+psycopg://"))
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        model = await knowledge_models.serving(db)
        if model and not await knowledge_refining.count(db, stack["account_id"], model.id):
            break
        await asyncio.sleep(0.5)
    else:
        raise SystemExit("the refined tier did not finish within half an hour")
    await db.close()


async def measure(stack: dict[str, Any], given: dict[str, Any], tier: str) -> dict[str, Sums]:
    """One stack's figures: `mix_<tier>` over HTTP, and the halves that it has."""
    root, queries = service.root(stack), given["queries"]
    async with httpx.AsyncClient(headers={"api_access_token": stack["admin_token"]}, timeout=60) as api:
        ids = await load(api, root, stack["sandbox_url"], given["documents"])
        if tier == "refined":
            await refined(stack)
            await api.get(f"{root}/knowledge/search", params={"q": "load the model"})
            await asyncio.sleep(6)  # the API hears of the model within five seconds
        found = {f"mix_{tier}": await ask_all(api, root, queries, ids)}
    return found | await halves(stack, queries, ids, ["fulltext", "instant"] if tier == "instant" else ["refined"])


def main() -> None:
    """Two stacks of its own, one without and one with the refined tier."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    given = json.loads(parser.parse_args().file.read_text())
    found: dict[str, Sums] = {}
    for tier, model in (("instant", "off"), ("refined", "minilm")):
        os.environ["SUPPORTLY_REFINED_MODEL"] = model
        with service.running() as stack:
            found |= asyncio.run(measure(stack, given, tier))
    for measured in ("map", "hit1"):
        values = {name: getattr(sums, measured) / sums.count for name, sums in found.items()}
        for name, value in values.items():
            tier = "refined" if "refined" in name else "instant"
            better = max(values["fulltext"], values[tier])
            say(f"{name}_{measured}", value, measured, against="better_half", base=better, n=found[name].count)


if __name__ == "__main__":
    main()
