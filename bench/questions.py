"""Real questions over HTTP: `python -m bench.questions ../shared/retrieval/covidfaq.json [--callers 4]`.

The file's documents become articles of the Zendesk double, Zendesk is connected and synced through the service, and
every question is asked with `GET …/knowledge/search`. A document counts by its best hit; MAP is over the documents that
answer a question, among the hits that were asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from bench.api import timed
from bench.figures import percentile, say

HITS = 50
FIRST_ARTICLE = 500_000


def precision(found: list[str], wanted: set[str]) -> float:
    """Average precision of a ranking of documents."""
    hits, total = 0, 0.0
    for rank, document in enumerate(found, 1):
        if document in wanted:
            hits += 1
            total += hits / rank
    return total / len(wanted)


async def load(api: httpx.AsyncClient, root: str, sandbox: str, documents: list[dict[str, Any]]) -> dict[str, str]:
    """Seed, connect and sync; answers document ids by the number in an article's address."""
    numbers = {str(FIRST_ARTICLE + i): str(d["id"]) for i, d in enumerate(documents)}
    articles = [
        {"id": FIRST_ARTICLE + i, "title": d["title"], "body": d["body"], "locale": "en-us"}
        for i, d in enumerate(documents)
    ]
    (await api.post(f"{sandbox}/_sandbox/zendesk/seed", json={"articles": articles})).raise_for_status()
    started = (await api.post(f"{root}/zendesk/connect", json={"subdomain": "faq"})).raise_for_status().json()
    consent = await api.get(started["authorization_url"])
    back = dict(httpx.URL(consent.headers["location"]).params)
    (await api.post(f"{root}/zendesk/callback", json=back)).raise_for_status()
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
    root = f"{stack['api_url']}/api/v1/accounts/{stack['account_id']}/supportly_integrations"
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
            found = list(dict.fromkeys(ids))
            first[number] = float(bool(found) and found[0] in wanted)
            average[number] = precision(found, wanted)

        times, rate = await timed(len(queries), ask, callers)
        n = len(queries)
        say("http_mix_instant_hit1", sum(first) / n, "share", n=n)
        say("http_mix_instant_map", sum(average) / n, "share", n=n)
        say("http_answer_p50", percentile(times, 0.5), "ms", n=n)
        say("http_answer_p95", percentile(times, 0.95), "ms", n=n)
        say("http_questions", rate, "1/s", n=n)
        say("http_errors", errors, "answers", n=n)


def main() -> None:
    """Start a stack of its own, ask, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--callers", type=int, default=1)
    given = parser.parse_args()
    from supportly.dev.console import Report
    from supportly.dev.stack import Stack

    os.environ.setdefault("SUPPORTLY_LOG_LEVEL", "WARNING")
    with tempfile.TemporaryDirectory(prefix="spl-bench-") as directory:
        Path(directory).chmod(0o755)
        stack = Stack(Path(directory), report=Report(out=sys.stderr))
        stack.start()
        try:
            asyncio.run(measure(json.loads(stack.file.read_text()), json.loads(given.file.read_text()), given.callers))
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
