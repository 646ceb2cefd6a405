"""How fast documents become searchable, through the real path: Temporal, worker, PostgreSQL, row-level security.

`python -m bench.ingest [--docs 2000 20000] [--langchain 2000 20000] [--rounds 3]`. The bases are the bare floor of
`../shared/bench/peers_ingest.py` (split, embed, one COPY, an HNSW index afterwards; no bookkeeping, no full text) and
LangChain, in the same run, on the same corpus and the same server. Up to 2,000 documents are measured in turns, and the
best turn of each counts, so that a busy moment of the machine hurts neither. What comes over HTTP from the Zendesk
double stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from types import ModuleType
from typing import Any, Final

import httpx
import psutil
from temporalio.client import Client
from temporalio.worker import Worker

from activities.calls import Calls
from activities.knowledge import KnowledgeActivities
from activities.knowledge_sample import KnowledgeSampling
from activities.refinement import Encoders, RefinementActivities
from bench import peers, service, source
from bench.figures import say
from supportly.contracts import ids
from supportly.contracts.knowledge import KnowledgeJob, KnowledgeReport, RefineJob
from supportly.crypto import KeyRing, Vault
from supportly.dev.stack import NATIVE, Postgres, Temporal
from supportly.http import Outbound, Unlimited
from supportly.settings import Settings
from supportly.storage import knowledge_models, knowledge_refining
from supportly.storage.database import Database
from supportly.storage.knowledge_models import Model
from supportly.temporal import bulk, connect, search_attributes
from workflows.knowledge_refinement import KnowledgeRefinement
from workflows.knowledge_sync import KnowledgeSync

SMALL: Final = 2000
"""Documents up to which several turns are affordable."""
MIB: Final = 1 << 20


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """How far this process's memory rises above where it stands, in MiB, seen twenty times a second."""
    gc.collect()
    process, over, found = psutil.Process(), threading.Event(), {"above": 0.0}
    before = process.memory_info().rss

    def watch() -> None:
        while not over.wait(0.05):
            found["above"] = max(found["above"], (process.memory_info().rss - before) / MIB)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


class Ours:
    """Worker and client, on a provider that lives in memory."""

    def __init__(self, settings: Settings, db: Database, client: Client) -> None:
        self.db, self.client = db, client
        self.vault = Vault(KeyRing(settings.keys.get_secret_value()))
        self.source = source.Source()
        provider = source.MemoryProvider(self.source)
        outbound = Outbound(timeout_s=5, max_bytes=1_000_000)
        calls = Calls(
            db=db, vault=self.vault, outbound=outbound, budget=Unlimited(), client=client, provider=lambda _: provider
        )
        self.activities = KnowledgeActivities(calls, settings)
        self.sampling = KnowledgeSampling(calls)

    async def sync(self, account_id: int) -> tuple[float, KnowledgeReport]:
        """Run one whole sync; seconds from start to result, and its report."""
        began = time.perf_counter()
        report = await self.client.execute_workflow(
            KnowledgeSync.run,
            KnowledgeJob(account_id=account_id, provider="memory"),
            id=ids.knowledge(account_id, "memory"),
            task_queue=ids.KNOWLEDGE,
            search_attributes=search_attributes(account_id, "memory"),
            priority=bulk(account_id),
        )
        return time.perf_counter() - began, report


async def measure(ours: Ours, module: ModuleType, account_id: int, docs: list[dict[str, Any]]) -> dict[str, float]:
    """Documents a second: first sync, nothing changed, one in a hundred changed; and MiB above idle."""
    await source.connect(ours.db, ours.vault, account_id)
    figures: dict[str, float] = {}
    for name, held in (("first", docs), ("unchanged", docs), ("one_percent", module.change(docs))):
        ours.source.documents = source.documents(held)
        with watched() as memory:
            seconds, report = await ours.sync(account_id)
        figures[name] = len(docs) / seconds
        figures[f"{name}_mib"] = memory["above"]
        if report.state != "succeeded" or report.counts.seen != len(docs):
            sys.exit(f"the sync did not end well: {report}")
    return figures


async def while_refining(ours: Ours, client: Client, docs: list[dict[str, Any]], base: float, rounds: int) -> None:
    """First loads while another account is being refined by the same process, against those without: the best counts.

    Each begins when refining has been going on for some seconds.
    """
    outbound = Outbound(timeout_s=5, max_bytes=1_000_000)
    encoders = Encoders(Settings(refined_model="minilm"), outbound)
    refinement = RefinementActivities(ours.db, client, encoders, ours.activities.quiet)
    async with Worker(client, task_queue=ids.REFINEMENT, workflows=[KnowledgeRefinement], activities=refinement.all()):
        refining = await client.start_workflow(
            KnowledgeRefinement.run,
            RefineJob(account_id=1),
            id=ids.refinement(1),
            task_queue=ids.REFINEMENT,
            priority=bulk(1),
        )
        for _ in range(600):
            if await knowledge_models.serving(ours.db):
                break
            await asyncio.sleep(0.1)
        ours.source.documents = source.documents(docs)
        took = []
        for account_id in range(900, 900 + rounds):
            await source.connect(ours.db, ours.vault, account_id)
            await asyncio.sleep(3)  # by now it reads
            took.append((await ours.sync(account_id))[0])
        read = (await knowledge_refining.done_by_provider(ours.db, 1, (await _model(ours.db)).id)).get("memory", 0)
        await refining.cancel()
    value = len(docs) / min(took)
    say(f"ingest_first_while_refining_{len(docs)}", value, "documents/s", against="not_refining", base=base, n=read)


async def _model(db: Database) -> Model:
    found = await knowledge_models.serving(db)
    if found is None:
        sys.exit("the refined tier has no model")
    return found


async def run(count: int, rounds: int, *, langchain: bool) -> None:
    """Everything at one size, in a directory that is gone afterwards."""
    module = peers.module()
    docs = list(module.corpus(count))
    async with AsyncExitStack() as closing:
        directory = closing.enter_context(source.workplace())
        server = Postgres.start(directory / "pg")
        closing.callback(server.stop)
        temporal = Temporal.start(directory / "temporal", ui=False)
        closing.callback(temporal.stop)
        settings = Settings(database_url=server.url, temporal_address=temporal.address, refined_model="off")
        db = Database(server.url)
        closing.push_async_callback(db.close)
        client = await connect(settings)
        ours = Ours(settings, db, client)
        await closing.enter_async_context(
            Worker(
                client,
                task_queue=ids.KNOWLEDGE,
                workflows=[KnowledgeSync],
                activities=[*ours.activities.all(), ours.sampling.sample],
            )
        )
        bases, turns = [], []
        for turn in range(rounds if count <= SMALL else 1):
            bases.append(await asyncio.to_thread(peers.floor, module, server.admin_url, docs))
            turns.append(await measure(ours, module, turn + 1, docs))
        if count <= SMALL:
            await while_refining(ours, client, docs, max(t["first"] for t in turns), rounds)
        other = await asyncio.to_thread(peers.langchain, server.admin_url, count) if langchain else {}
    tell(count, bases, turns, other)


def tell(count: int, bases: list[dict[str, float]], turns: list[dict[str, float]], other: dict[str, float]) -> None:
    """Print the figures of one size: documents a second against floor and LangChain, and memory."""
    floor = {name: max(b[name] for b in bases) for name in ("first", "first_with_hnsw")}
    for name in ("first", "unchanged", "one_percent"):
        value = max(t[name] for t in turns)
        base = floor["first_with_hnsw"]
        say(f"ingest_{name}_{count}", value, "documents/s", against="floor_with_hnsw", base=base, n=count)
        if other:
            against = other[{"one_percent": "one_pct"}.get(name, name)]
            say(f"ingest_{name}_{count}_peer", value, "documents/s", against="langchain", base=against, n=count)
    value = max(t["first"] for t in turns)
    say(f"ingest_first_{count}_bare", value, "documents/s", against="floor", base=floor["first"], n=count)
    for name in ("first", "unchanged"):
        above = max(t[f"{name}_mib"] for t in turns)
        say(f"memory_{name}_{count}", above, "MiB above idle", against="limit", base=300.0, n=count)


async def over_http(count: int, base: float) -> None:
    """The same through API, worker and outbound client, from the Zendesk double."""
    with service.running() as stack:
        root = service.root(stack)
        async with httpx.AsyncClient(headers={"api_access_token": stack["admin_token"]}, timeout=60) as api:
            seed = {"generate": {"articles": count, "seed": 7}}
            (await api.post(f"{stack['sandbox_url']}/_sandbox/zendesk/seed", json=seed)).raise_for_status()
            await service.connect(api, root, "zendesk", subdomain="bench")
            (await api.post(f"{root}/zendesk/knowledge/toggle", json={"enabled": True})).raise_for_status()
            run: dict[str, Any] = {}
            while not run or run["state"] == "running":
                await asyncio.sleep(0.2)
                status = (await api.get(f"{root}/knowledge/status")).raise_for_status().json()
                run = next(p for p in status["providers"] if p["provider"] == "zendesk")["last_run"] or {}
    took = datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["started_at"])
    value = run["counts"]["seen"] / took.total_seconds()
    say(f"ingest_first_http_{count}", value, "documents/s", against="floor_with_hnsw", base=base, n=count)


def main() -> None:
    """Every size after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, nargs="+", default=[SMALL])
    parser.add_argument("--langchain", type=int, nargs="*", default=[], help="sizes at which LangChain runs, too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--http", type=int, default=0, help="documents that also come over HTTP from the double")
    given = parser.parse_args()
    for count in given.docs:
        asyncio.run(run(count, given.rounds, langchain=count in given.langchain))
    if given.http:
        module = peers.module()
        with source.workplace() as directory:
            server = Postgres.start(directory / "pg")
            base = peers.floor(module, server.admin_url, list(module.corpus(given.http)))["first_with_hnsw"]
            server.stop()
        asyncio.run(over_http(given.http, base))


if __name__ == "__main__":
    # Memory and threads as the service runs with; malloc reads them when a process starts.
    if not NATIVE.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "bench.ingest", *sys.argv[1:]], os.environ | NATIVE)
    main()
