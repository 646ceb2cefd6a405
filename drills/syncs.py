"""Knowledge syncs of 10,000 chunks that are disturbed, and what they leave behind compared with an undisturbed one.

All accounts of a `Library` read the same Zendesk help centre. One of them, the reference, is synced while nothing is
broken; the others must end up with the same documents, chunks, vectors and counts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client
from temporalio.service import RPCError

from drills.caller import Account
from drills.damage import Damage
from drills.stage import Stage
from drills.tally import Tally
from supportly.contracts import ids
from supportly.storage import knowledge_titles

ARTICLES: Final = 2500
"""Generated articles have four chunks each."""
FEWER: Final = 700
"""Articles of a quick run: as few as make an index of the account's own."""
SETTINGS: Final = {"SUPPORTLY_SYNC_INTERVAL_MINUTES": "10080"}
"""No sync starts by itself while a drill runs."""
ENDS_S: Final = 600.0
"""A disturbed sync that has not ended by then is lost."""
STARTED: Final = PendingActivityState.Value("PENDING_ACTIVITY_STATE_STARTED")

DOCUMENTS: Final = """
select external_id, encode(content_hash, 'hex'), chunk_count, title, url, locale, missed_walk is null,
       deleted_at is null
from documents where account_id = %s
"""
CHUNKS: Final = """
select d.external_id, encode(c.text_hash, 'hex'), c.position, md5(c.title || c.heading || c.body), c.hidden
from chunks c left join documents d using (account_id, document_id) where c.account_id = %s
"""
VECTORS: Final = """
select d.external_id, encode(v.text_hash, 'hex'), v.model_id, md5(v.embedding::text), v.hidden
from vectors v left join documents d using (account_id, document_id) where v.account_id = %s
"""
STREAMS: Final = """
select stream, state, complete, cursor is null, generation from knowledge_streams where account_id = %s
"""
RUNS: Final = """
select r.state, r.seen, r.added, r.changed, r.unchanged, r.deleted, r.failed, r.chunks_embedded, r.chunks_reused,
       (select count(*) from sync_failures f where f.account_id = r.account_id),
       (select count(*) from held_deletions h where h.account_id = r.account_id)
from sync_runs r where r.account_id = %s
"""
INDEXES: Final = "select name, model_id, built_part from knowledge_indexes where account_id = %s and name is not null"
INDEXED: Final = """
select (select count(*) from vectors v where v.account_id = %s and v.model_id = %s and v.part <= %s and not v.hidden
        and not exists (select from knowledge_ann.{name} i
                        where i.document_id = v.document_id and i.text_hash = v.text_hash)),
       (select count(*) from knowledge_ann.{name} i where not exists (
            select from vectors v where v.account_id = i.account_id and v.model_id = %s and v.part <= %s
            and v.document_id = i.document_id and v.text_hash = i.text_hash and not v.hidden)),
       (select count(*) - count(distinct (document_id, text_hash)) from knowledge_ann.{name}),
       (select count(*) from knowledge_ann.{name} i where not exists (
            select from knowledge_ann.{titles} t where t.document_id = i.document_id))
"""
"""Vectors that the account's own index lacks, entries that belong to none, are there twice, and have no title."""


Attack = Callable[[Callable[[], bool]], Awaitable[None]]
"""Breaks something again and again while the function that it is given answers True."""


@dataclass
class Kept:
    """What an account holds, row by row, so that what is missing and what is too much can be counted."""

    tables: dict[str, Counter[tuple[Any, ...]]]
    unindexed: int
    overindexed: int


class Library:
    """The help centre of a stage, and the accounts that read it."""

    def __init__(self, stage: Stage, tally: Tally) -> None:
        """A drill of a tenth of its tries (`Tally.quick`) reads fewer articles."""
        self.stage = stage
        self.articles = FEWER if tally.quick else ARTICLES
        rng = tally.rng("library")
        self.rng = rng
        self.reference: Account
        self.failed: list[str] = []
        """How syncs ended that did not succeed, or that a caller could not follow to their end."""
        self._edition = 0

    def open(self) -> None:
        """Fill the help centre."""
        self.stage.unlimited("zendesk")
        generate = {"articles": self.articles, "seed": self.rng.randrange(1_000_000)}
        self.stage.control("POST", "/zendesk/seed", json={"generate": generate})

    async def read_undisturbed(self) -> None:
        """Make a new reference, which reads what stands there now."""
        self.reference = await self.reader()
        await self.sync(self.reference)
        self._be_sure()

    async def reader(self) -> Account:
        """A new account that is connected and has synced nothing yet."""
        account = await self.stage.account()
        await account.connect("zendesk")
        return account

    async def edit(self) -> None:
        """A new edition: a tenth of the articles is rewritten, fifteen are gone, ten are new. The reference reads it.

        Fewer are gone than a sweep asks the provider about one by one, so that one walk settles all of them.
        """
        self._edition += 1
        articles = self.stage.records("zendesk", "articles")
        chosen = self.rng.sample(articles, len(articles) // 10 + 15)
        news = [{"id": a["id"], "_deleted": True} for a in chosen[:15]]
        news += [{"id": a["id"], "title": a["title"], "body": self._rewritten(a["body"])} for a in chosen[15:]]
        news += [{"title": f"News {n}", "body": self._rewritten(f"<p>News {n}.</p>")} for n in range(10)]
        self.stage.control("POST", "/zendesk/seed", json=news)
        await self.sync(self.reference)
        self._be_sure()

    def _rewritten(self, body: str) -> str:
        return f"{body}<h2>Edition {self._edition}</h2><p>Case {self.rng.randrange(10**9)} is settled.</p>"

    def _be_sure(self) -> None:
        if self.failed:
            raise AssertionError(f"the undisturbed sync did not succeed: {self.failed}")

    async def sync(self, account: Account) -> None:
        """Ask for a sync as a caller does, and follow it to its end; how it failed is noted."""
        key = {"Idempotency-Key": f"sync-{account.id}-{self._edition}"}
        try:
            started, _ = await account.insist("POST", "/zendesk/knowledge/sync", headers=key, json={}, seconds=ENDS_S)
            if started.status_code not in (200, 202):
                self.failed.append(f"account {account.id}: {started.status_code} {started.text[:200]}")
                return
            if started.status_code == 200:
                return
            ended = await account.ended(started, every=0.5, seconds=ENDS_S)
        except TimeoutError as error:
            self.failed.append(f"account {account.id}: {error}")
            return
        if ended.get("status") != "succeeded" or ended["result"]["state"] != "succeeded":
            self.failed.append(f"account {account.id}: {str(ended)[:400]}")

    async def disturbed(self, accounts: Sequence[Account], attack: Attack, page_delay_s: float) -> None:
        """Sync the accounts side by side under `attack`, which ends by itself or when every sync has ended.

        Meanwhile the provider takes `page_delay_s` a page, so that a walk of 25 pages can be met in its middle.
        """
        self.stage.fault(provider="zendesk", path=".*/help_center/articles", delay=page_delay_s, times=-1)
        syncs = [asyncio.create_task(self.sync(account)) for account in accounts]
        try:
            await attack(lambda: not all(sync.done() for sync in syncs))
        except BaseException:
            for sync in syncs:
                sync.cancel()
            raise
        self.stage.calm()
        await asyncio.gather(*syncs)

    async def busy(self, client: Client, accounts: Sequence[Account]) -> list[tuple[int, str]]:
        """Who works on what just now: process ids of workers, and the activity that each has of one of the accounts."""
        return [one for found in await asyncio.gather(*(_busy(client, a) for a in accounts)) for one in found]

    # What was kept

    async def compared(self, accounts: Sequence[Account]) -> Damage:
        """How the accounts differ from the reference, and which of their syncs did not succeed."""
        damage = Damage(lost=len(self.failed), causes=[*self.failed])
        self.failed.clear()
        expected = await asyncio.to_thread(self.kept, self.reference)
        for account in accounts:
            found = await asyncio.to_thread(self.kept, account)
            for table, rows in expected.tables.items():
                there = found.tables[table]
                damage.add(f"account {account.id}, {table}", (rows - there).total(), (there - rows).total())
            damage.add(f"account {account.id}, index", found.unindexed, found.overindexed)
        return damage

    def kept(self, account: Account) -> Kept:
        """All that an account holds of the provider."""
        asked = {"documents": DOCUMENTS, "chunks": CHUNKS, "vectors": VECTORS, "streams": STREAMS, "runs": RUNS}
        tables = {name: Counter(self.stage.rows(sql, account.id)) for name, sql in asked.items()}
        lacking = over = 0
        for name, model, part in self.stage.rows(INDEXES, account.id):
            values = (account.id, model, part, model, part)
            indexed = INDEXED.format(name=name, titles=knowledge_titles.of(name))
            [(without, stray, twice, untitled)] = self.stage.rows(indexed, *values)
            lacking, over = lacking + without + untitled, over + stray + twice
        return Kept(tables, lacking, over)


async def _busy(client: Client, account: Account) -> list[tuple[int, str]]:
    try:
        found = await client.get_workflow_handle(ids.knowledge(account.id, "zendesk")).describe(
            rpc_timeout=timedelta(seconds=2)
        )
    except RPCError:  # not started yet, or the server is away
        return []
    return [
        (int(pending.last_worker_identity.partition("@")[0]), pending.activity_type.name)
        for pending in found.raw_description.pending_activities
        if pending.state == STARTED
    ]
