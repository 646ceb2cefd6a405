"""How well search ranks: `python -m bench.ranking FILE`.

FILE is `{"documents": [{id, title, body}], "queries": [{q, documents: [ids that answer it]}]}`. Documents are stored by
the real page commit and found by the real search; MAP and hit@1 count documents, each at its best chunk's place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from activities.knowledge_pages import prepare
from bench import source
from bench.figures import judged, say
from supportly.contracts.knowledge import KnowledgeJob, StreamPage
from supportly.crypto import KeyRing, Vault
from supportly.dev.stack import Postgres
from supportly.knowledge import rank
from supportly.knowledge.embed import Embedder, WordLlamaEmbedder
from supportly.settings import Settings
from supportly.storage import knowledge, search
from supportly.storage.database import Database
from supportly.storage.knowledge import Plan

ACCOUNT: Final = 1
PAGE: Final = 100
HALVES: Final = {"fulltext": 0.0, "instant": 1.0, "mix_instant": rank.VECTOR_SHARE}
"""Share of the vector in each ranking."""


async def store(db: Database, embedder: Embedder, records: Sequence[dict[str, Any]]) -> None:
    """Store the documents as a sync does, page by page."""
    job = KnowledgeJob(account_id=ACCOUNT, provider="memory", run_id=str(uuid.uuid4()), generation=1)
    job = await knowledge.open_run(db, job, [Plan("articles", incremental=False, complete=True)], now=datetime.now(UTC))
    for place in range(0, len(records), PAGE):
        last = place + PAGE >= len(records)
        page = StreamPage(
            documents=source.documents(records[place : place + PAGE]), next=None if last else str(place + PAGE)
        )
        walk = await knowledge.read_walk(db, job, "articles")
        await knowledge.commit_page(db, await prepare(db, embedder, job, "articles", walk, page))


async def run(data: dict[str, Any]) -> None:
    """Store, ask everything, say the figures."""
    embedder = WordLlamaEmbedder()
    sums = {name: [0.0, 0.0] for name in HALVES}
    async with AsyncExitStack() as closing:
        directory = closing.enter_context(source.workplace())
        server = Postgres.start(directory / "pg")
        closing.callback(server.stop)
        db = Database(server.url)
        closing.push_async_callback(db.close)
        await source.connect(db, Vault(KeyRing(Settings().keys.get_secret_value())), ACCOUNT)
        await store(db, embedder, data["documents"])
        names = {
            str(knowledge.document_id(ACCOUNT, "memory", "articles", str(d["id"]))): str(d["id"])
            for d in data["documents"]
        }
        for query in data["queries"]:
            asked = rank.question(query["q"])
            vector = embedder.embed([asked])[0]
            found = await search.candidates(db, ACCOUNT, asked, vector)
            wanted = {str(d) for d in query["documents"]}
            for name, share in HALVES.items():
                ranked = (names[chunk.document_id] for chunk, _ in rank.mix(found, share))
                for place, value in enumerate(judged(ranked, wanted)):
                    sums[name][place] += value
    count = len(data["queries"])
    for place, measure in enumerate(("map", "hit1")):
        better = max(sums["fulltext"][place], sums["instant"][place]) / count
        for name in HALVES:
            say(f"{name}_{measure}", sums[name][place] / count, measure, against="better_half", base=better, n=count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    asyncio.run(run(json.loads(parser.parse_args().file.read_text())))
