"""How fast documents become searchable, through the real path: Temporal, worker, PostgreSQL, row-level security.

`python -m bench.ingest --docs 2000`. The base is the bare floor of `../shared/bench/peers_ingest.py` (split, embed, one
COPY; no bookkeeping, no full text), measured in the same run, on the same corpus and the same server. Both are measured
in turns, and the best turn of each counts, so that a busy moment of the machine hurts neither.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psycopg
from temporalio.client import Client
from temporalio.worker import Worker

from activities.calls import Calls
from activities.knowledge import KnowledgeActivities
from bench import source
from bench.figures import percentile, say
from supportly.contracts import ids
from supportly.contracts.knowledge import KnowledgeJob, KnowledgeReport
from supportly.crypto import KeyRing, Vault
from supportly.dev.stack import Postgres, Temporal
from supportly.http import Outbound, Unlimited
from supportly.knowledge import rank
from supportly.knowledge.closeness import Closeness
from supportly.settings import Settings
from supportly.storage import knowledge_models, search
from supportly.storage.database import Database
from supportly.storage.search import Asked
from supportly.temporal import bulk, connect, search_attributes
from workflows.knowledge_sync import KnowledgeSync

PEERS: Final = Path(__file__).parents[2] / "shared" / "bench" / "peers_ingest.py"
ASKED: Final = 200


def peers() -> ModuleType:
    """The peers' bench: its corpus, and its floor with the figures kept instead of printed."""
    spec = importlib.util.spec_from_file_location("peers_ingest", PEERS)
    if spec is None or spec.loader is None or not PEERS.exists():
        sys.exit(f"{PEERS} is missing: this bench compares itself to the floor that is measured there.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def floor(module: ModuleType, server: Postgres, docs: list[dict[str, Any]]) -> dict[str, float]:
    """The floor's figures, in a database of its own on the same server."""
    name, kept = f"floor_{uuid.uuid4().hex[:8]}", {}
    module.report = lambda _, **figures: kept.update(figures)
    admin = server.admin_url.replace("+psycopg", "")
    with psycopg.connect(admin, autocommit=True) as c:
        c.execute(f"create database {name}")
    module.floor(admin.rsplit("/", 1)[0] + f"/{name}", docs)
    return kept


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
        self.closeness = Closeness(self.activities.embedder.embed)

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

    async def ask(self, account_id: int, question: str) -> float:
        """Seconds for one search, without HTTP."""
        began = time.perf_counter()
        embedder = self.activities.embedder
        model = await knowledge_models.instant(self.db, embedder.model, embedder.dimensions)
        found = await search.candidates(self.db, account_id, question, Asked(model, embedder.embed([question])[0]))
        rank.spread(rank.order(found, question, self.closeness), 5)
        return time.perf_counter() - began


async def measure(ours: Ours, module: ModuleType, account_id: int, docs: list[dict[str, Any]]) -> dict[str, float]:
    """Documents a second: first sync, nothing changed, one in a hundred changed; and milliseconds a search."""
    await source.connect(ours.db, ours.vault, account_id)
    figures: dict[str, float] = {}
    for name, held in (("first", docs), ("unchanged", docs), ("one_percent", module.change(docs))):
        ours.source.documents = source.documents(held)
        seconds, report = await ours.sync(account_id)
        figures[name] = len(docs) / seconds
        if report.state != "succeeded" or report.counts.seen != len(docs):
            sys.exit(f"the sync did not end well: {report}")
    times = [await ours.ask(account_id, " ".join(d["text"].split()[40:52])) * 1000 for d in docs[:ASKED]]
    figures["q_p50_ms"], figures["q_p95_ms"] = percentile(times, 0.5), percentile(times, 0.95)
    return figures


async def run(count: int, rounds: int) -> None:
    """Everything, in a directory that is gone afterwards."""
    module = peers()
    docs = list(module.corpus(count))
    async with AsyncExitStack() as closing:
        directory = closing.enter_context(source.workplace())
        server = Postgres.start(directory / "pg")
        closing.callback(server.stop)
        temporal = Temporal.start(directory / "temporal", ui=False)
        closing.callback(temporal.stop)
        settings = Settings(database_url=server.url, temporal_address=temporal.address)
        db = Database(server.url)
        closing.push_async_callback(db.close)
        client = await connect(settings)
        ours = Ours(settings, db, client)
        await closing.enter_async_context(
            Worker(client, task_queue=ids.KNOWLEDGE, workflows=[KnowledgeSync], activities=ours.activities.all())
        )
        bases, turns = [], []
        for turn in range(rounds):
            bases.append(await asyncio.to_thread(floor, module, server, docs))
            turns.append(await measure(ours, module, turn + 1, docs))
    base = {name: max(b[name] for b in bases) for name in ("first", "first_with_hnsw")}
    base |= {name: min(b[name] for b in bases) for name in ("q_p50_ms", "q_p95_ms")}
    for name in ("first", "unchanged", "one_percent"):
        value = max(t[name] for t in turns)
        say(f"ingest_{name}", value, "documents/s", against="floor", base=base["first"], n=count)
    say(
        "ingest_first_against_hnsw",
        max(t["first"] for t in turns),
        "documents/s",
        against="floor_with_hnsw",
        base=base["first_with_hnsw"],
        n=count,
    )
    for name in ("q_p50_ms", "q_p95_ms"):
        say(f"search_{name}", min(t[name] for t in turns), "ms", against="floor", base=base[name], n=ASKED)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.docs, arguments.rounds))
