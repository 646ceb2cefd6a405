"""Real questions over HTTP: `python -m bench.questions ../shared/retrieval/covidfaq.json [--callers 4]`.

The file's documents become articles of the Zendesk double, Zendesk is connected and synced through the service, and
every question is asked with `GET …/knowledge/search`. A document counts by its best hit; MAP is over the documents that
answer a question, among the hits that were asked for.

Beside each figure stands a base of the same run: for the ranking, titles ordered by the words that they share with the
question; for the times, an endpoint of the same API that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx

from bench import service
from bench.api import timed
from bench.figures import judged, percentile, say

HITS = 50
FIRST_ARTICLE = 500_000


async def load(api: httpx.AsyncClient, root: str, sandbox: str, documents: list[dict[str, Any]]) -> dict[str, str]:
    """Seed, connect and sync; answers document ids by the number in an article's address."""
    numbers = {str(FIRST_ARTICLE + i): str(d["id"]) for i, d in enumerate(documents)}
    articles = [
        {"id": FIRST_ARTICLE + i, "title": d["title"], "body": d["body"], "locale": "en-us"}
        for i, d in enumerate(documents)
    ]
    (await api.post(f"{sandbox}/_sandbox/zendesk/seed", json={"articles": articles})).raise_for_status()
    await service.connect(api, root, "zendesk", subdomain="faq")
    (await api.post(f"{root}/zendesk/knowledge/toggle", json={"enabled": True})).raise_for_status()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status = (await api.get(f"{root}/knowledge/status")).raise_for_status().json()
        run = next(p for p in status["providers"] if p["provider"] == "zendesk")["last_run"]
        if run and run["state"] != "running":
            if run["state"] != "succeeded" or run["counts"]["added"] != len(documents):
                raise SystemExit(f"the sync did not take every document: {run}")
            return numbers
        await asyncio.sleep(0.1)
    raise SystemExit("the sync did not end within two minutes")


async def measure(stack: dict[str, Any], given: dict[str, Any], callers: int) -> None:
    """Ask everything and print the figures."""
    root = service.root(stack)
    async with httpx.AsyncClient(headers={"api_access_token": stack["admin_token"]}, timeout=60) as api:
        numbers = await load(api, root, stack["sandbox_url"], given["documents"])
        queries = given["queries"]
        first, average, errors = [0.0] * len(queries), [0.0] * len(queries), 0

        async def ask(number: int) -> None:
            nonlocal errors
            wanted = {str(d) for d in queries[number]["documents"]}
            answer = await api.get(f"{root}/knowledge/search", params={"q": queries[number]["q"], "limit": HITS})
            if answer.status_code != httpx.codes.OK:
                errors += 1
                return
            urls = [hit["url"] for hit in answer.json()["hits"]]
            ids = [numbers[part] for url in urls for part in url.split("/") if part in numbers]
            average[number], first[number] = judged(ids, wanted)

        async def nothing(_: int) -> None:
            (await api.get(f"{stack['api_url']}/healthz")).raise_for_status()

        idle, idle_rate = await timed(len(queries), nothing, callers)
        times, rate = await timed(len(queries), ask, callers)
        n = len(queries)
        plain = [judged(by_title(q["q"], given["documents"]), {str(d) for d in q["documents"]}) for q in queries]
        say(
            "http_mix_instant_hit1",
            sum(first) / n,
            "share",
            against="shared_words",
            base=sum(p[1] for p in plain) / n,
            n=n,
        )
        say(
            "http_mix_instant_map",
            sum(average) / n,
            "share",
            against="shared_words",
            base=sum(p[0] for p in plain) / n,
            n=n,
        )
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            base = percentile(idle, share)
            say(f"http_answer_{name}", percentile(times, share), "ms", against="healthz", base=base, n=n)
        say("http_questions", rate, "1/s", against="healthz", base=idle_rate, n=n)
        say("http_errors", errors, "answers", against="questions", base=n, n=n)


def by_title(question: str, documents: list[dict[str, Any]]) -> list[str]:
    """Document ids by the share of the question's words that their title has, the best first."""
    asked = set(re.findall(r"\w+", question.lower()))
    shared = {str(d["id"]): len(asked & set(re.findall(r"\w+", d["title"].lower()))) for d in documents}
    return sorted(shared, key=lambda one: -shared[one])


def main() -> None:
    """Start a stack of its own, ask, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--callers", type=int, default=1)
    given = parser.parse_args()
    with service.running() as stack:
        asyncio.run(measure(stack, json.loads(given.file.read_text()), given.callers))


if __name__ == "__main__":
    main()
