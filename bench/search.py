"""How fast and how completely search finds, by the size of the account: `python -m bench.search [--chunks 100000]`.

The texts are random words, whose vectors are all alike, or with `--manuals` the docstrings of what is installed here:
real text, of which there may be less than is asked for.

One database holds accounts of 0.1 %, 1 %, 10 % and the rest of all chunks, all in one partition, in two languages and
from two providers, loaded through the real activities. Recall is that of the ten nearest vectors against an exact scan
of the same account with the same filter; times are PostgreSQL's own (planning and execution of the whole statement), as
the application's role under row-level security.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import uuid
from typing import Any, Final

import psycopg
from temporalio.testing import ActivityEnvironment

from activities.calls import Calls
from activities.knowledge import KnowledgeActivities
from bench import manuals, peers, source
from bench.figures import percentile, say
from supportly.contracts.knowledge import Document, KnowledgeJob
from supportly.crypto import KeyRing, Vault
from supportly.dev.stack import Postgres
from supportly.http import Outbound, Unlimited
from supportly.settings import Settings
from supportly.storage import knowledge_models, search
from supportly.storage.database import Database, rows
from supportly.storage.search import Asked, Index, Sought

SHARES: Final = {"0.1%": 0.001, "1%": 0.01, "10%": 0.1, "rest": 0.889}
FILTERS: Final[dict[str, dict[str, str]]] = {"none": {}, "provider": {"provider": "second"}, "locale": {"locale": "de"}}
ASKED: Final = 100
"""Questions of each account and filter."""
CHUNKS_A_DOCUMENT: Final = 5.27
"""Of the peers' corpus, cut by our splitter."""
CHUNKS_A_MANUAL: Final = 9.0
"""Of a module's docstrings."""
LIMIT_P50, LIMIT_P95 = 3.0, 10.0
"""Milliseconds that a search may take in the database."""


class Bench:
    """The database, and what loads and asks it."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.db = Database(server.url)
        settings = Settings(refined_model="off")
        self.vault = Vault(KeyRing(settings.keys.get_secret_value()))
        self.source = source.Source()
        provider = source.MemoryProvider(self.source)
        calls = Calls(
            db=self.db,
            vault=self.vault,
            outbound=Outbound(timeout_s=5, max_bytes=1_000_000),
            budget=Unlimited(),
            client=None,  # type: ignore[arg-type]  # nothing here signals a workflow
            provider=lambda _: provider,
        )
        self.activities = KnowledgeActivities(calls, settings)

    async def accounts(self) -> list[int]:
        """Account numbers that share one partition, one for each share."""
        async with self.db.system() as c:
            found = await rows(
                c,
                "select n from generate_series(1, 2000) n "
                "where satisfies_hash_partition('vectors'::regclass, 16, 3, n::bigint) limit %(n)s",
                {"n": len(SHARES)},
            )
        return [row[0] for row in found]

    async def load(self, account_id: int, docs: list[Document]) -> int:
        """Sync an account from two providers; answers its chunks."""
        chunks = 0
        for provider, held in (("first", docs[::5] + docs[1::5] + docs[2::5] + docs[3::5]), ("second", docs[4::5])):
            await source.connect(self.db, self.vault, account_id, provider)
            self.source.documents = held
            run = ActivityEnvironment().run
            named = KnowledgeJob(account_id=account_id, provider=provider, run_id=str(uuid.uuid4()))
            job = await run(self.activities.open, named)
            while job.streams:
                stretch = await run(self.activities.ingest, job)
                job = job.after(stretch)
            chunks += job.counts.chunks_embedded
        await run(self.activities.index, job)
        return chunks

    async def ask(
        self, account_id: int, question: str, *, provider: str | None = None, locale: str | None = None
    ) -> tuple[float, float, float, float]:
        """Milliseconds of the whole search and of the vectors alone, recall@10, and how many of ten there are."""
        embedder = self.activities.embedder
        model = await knowledge_models.instant(self.db, embedder.model, embedder.dimensions)
        asked = Asked(model, embedder.embed([question])[0].tolist())
        sought = Sought(account_id, question, asked, provider=provider, locale=locale)
        async with self.db.tenant(account_id) as c:
            indexes = await search.read_indexes(c, account_id)
            sql, values = search.statement(indexes, sought)
            whole = _milliseconds(await rows(c, f"explain (analyze, timing off) {sql}", values))
            near, at = _near(indexes.get(model, Index()), values)
            alone = _milliseconds(await rows(c, f"explain (analyze, timing off) {near}", at))
            found = [tuple(row) for row in await rows(c, near, at)][:10]
            exact, at = _near(Index(), values | {"instant_built": -1})
            wanted = [tuple(row) for row in await rows(c, exact, at)][:10]
        share = len(set(found) & set(wanted)) / len(wanted) if wanted else 1.0
        return whole, alone, share, len(wanted)


def _near(index: Index, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The vectors' part of a search alone, nearest first."""
    inner = search.near("instant", index)
    scored = f"select n.document_id, n.text_hash from ({inner}) n order by n.similarity desc limit 10"
    return scored, values


def _milliseconds(plan: list[Any]) -> float:
    lines = [row[0] for row in plan]
    return sum(float(line.split()[2]) for line in lines if line.startswith(("Planning Time", "Execution Time")))


def texts_of(total: int, *, real: bool) -> list[Document]:
    """Documents of so many chunks."""
    if not real:
        return source.documents(list(peers.module().corpus(int(total / CHUNKS_A_DOCUMENT))))
    found = manuals.documents()
    random.Random(1).shuffle(found)
    return found[: int(total / CHUNKS_A_MANUAL)]


async def measure(server: Postgres, total: int, *, real: bool = False) -> None:
    """Load all accounts, let PostgreSQL count its rows as it does every minute, and ask."""
    bench = Bench(server)
    corpus = texts_of(total, real=real)
    corpus = [d.model_copy(update={"locale": "de" if n % 3 == 0 else "en"}) for n, d in enumerate(corpus)]
    accounts = dict(zip(SHARES, await bench.accounts(), strict=True))
    place, texts = 0, {}
    sizes = {}
    for name, share in SHARES.items():
        count = max(5, round(share * len(corpus)))
        texts[name] = corpus[place : place + count]
        place += count
        sizes[name] = await bench.load(accounts[name], texts[name])
    with psycopg.connect(server.admin_url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("vacuum analyze")
    for name, docs in texts.items():
        for label, chosen in FILTERS.items():
            words = [" ".join(d.body.split()[40:52]) or d.title for d in docs]
            questions = [words[n % len(words)] for n in range(ASKED)]
            got = [await bench.ask(accounts[name], q, **chosen) for q in questions]
            whole, alone, recall = ([g[n] for g in got] for n in range(3))
            figure = f"{name}_{label}{'_manuals' if real else ''}"
            for part, times in (("search", whole), ("vectors", alone)):
                for quantile, limit in ((0.5, LIMIT_P50), (0.95, LIMIT_P95)):
                    value = percentile(times, quantile)
                    say(
                        f"{part}_p{quantile * 100:.0f}_{figure}",
                        value,
                        "ms",
                        against="limit",
                        base=limit,
                        n=sizes[name],
                    )
            say(
                f"recall10_{figure}",
                sum(recall) / len(recall),
                "share",
                against="exact_scan",
                base=1.0,
                n=sizes[name],
            )
    await bench.db.close()


def main() -> None:
    """A database of its own, gone afterwards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--manuals", action="store_true", help="real text")
    given = parser.parse_args()
    with source.workplace() as directory:
        server = Postgres.start(directory / "pg")
        try:
            asyncio.run(measure(server, given.chunks, real=given.manuals))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
