"""How complete the stored knowledge is: after a sync a few pages of the provider are compared with what is stored."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from temporalio import activity

from activities.calls import Calls
from activities.failures import attempting
from activities.knowledge_pages import content_hash
from supportly.contracts.knowledge import Document, KnowledgeJob, Sample
from supportly.errors import SupportlyError
from supportly.provider import Call, StreamsKnowledge
from supportly.storage import knowledge, knowledge_pages, knowledge_samples

PAGES: Final = 5
"""List calls of one sample, all streams together: little beside a sync, which reads every page."""
DEEPEST: Final = 3
"""Pages of one stream. Cursors lead from page to page only, so that a random page costs all those before it."""
BY_ID: Final = 10
"""Stored documents that the provider is asked for by id."""


class KnowledgeSampling:
    """The activity at the end of KnowledgeSync."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.db = calls.db

    @activity.defn(name="knowledge_sample")
    async def sample(self, job: KnowledgeJob) -> Sample:
        """Compare pages that the provider lists with what is stored, and ask by id for some of what is stored.

        A document counts as equal when its content is the listed one, and one asked for by id when it is not gone.
        Trouble at the provider (its budget is spent, say) ends the sample early; an empty one is not kept.
        """
        taken = Sample()
        async with attempting():
            started_at = await knowledge_samples.began(self.db, job)
            if started_at is None:
                return taken
            with contextlib.suppress(SupportlyError):
                async with self.calls.open(job.account_id, job.provider, "knowledge") as opened:
                    provider = opened.provider
                    if isinstance(provider, StreamsKnowledge):
                        streams = [s for s in provider.chosen(opened.call.settings) if s not in job.failed_streams]
                        await self._listed(job, provider, opened.call, streams, started_at, taken)
                        await self._stored(job, provider, opened.call, streams, taken)
            if taken.sampled:
                await knowledge_samples.store(self.db, job, taken)
        return taken

    async def _listed(
        self,
        job: KnowledgeJob,
        provider: StreamsKnowledge,
        call: Call,
        streams: Sequence[str],
        started_at: datetime,
        taken: Sample,
    ) -> None:
        """Read on to a random page of each stream, in random order, until the calls are spent."""
        chance = random.Random(job.run_id)  # noqa: S311 (a retry draws the same pages)
        left = PAGES
        for stream in chance.sample(streams, len(streams)):
            cursor: str | None = None
            for _ in range(min(left, chance.randint(1, DEEPEST))):
                page = await provider.read_stream(call, stream, cursor, None)
                left -= 1
                await self._compare(job, stream, page.documents, started_at, taken)
                cursor = page.next
                if cursor is None:
                    break

    async def _compare(
        self, job: KnowledgeJob, stream: str, listed: Sequence[Document], started_at: datetime, taken: Sample
    ) -> None:
        # What has changed since the run began is the next run's to find.
        due = {
            knowledge.document_id(job.account_id, job.provider, stream, d.external_id): d
            for d in listed
            if d.updated_at is None or d.updated_at < started_at
        }
        known = await knowledge_pages.known_documents(self.db, job.account_id, list(due))
        for key, document in due.items():
            stored = known.get(key)
            taken.sampled += 1
            taken.equal += stored is not None and not stored.deleted and stored.content_hash == content_hash(document)

    async def _stored(
        self, job: KnowledgeJob, provider: StreamsKnowledge, call: Call, streams: Sequence[str], taken: Sample
    ) -> None:
        for stream, external_id in await knowledge_samples.some_stored(self.db, job, streams, BY_ID):
            gone = await provider.is_gone(call, stream, external_id)
            if gone is not None:
                taken.sampled += 1
                taken.equal += not gone
