"""Daily maintenance, a minute at a time: the same step may be done twice and by anybody."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.client import Client

from activities import revocations
from activities.failures import attempting
from supportly.contracts.upkeep import Upkeep
from supportly.settings import Settings
from supportly.storage import upkeep
from supportly.storage.database import Database

STRETCH_S: Final = 60.0
"""After this long the workflow notes how far it is."""


class MaintenanceActivities:
    """Activities of `Maintenance`."""

    def __init__(self, db: Database, client: Client, settings: Settings) -> None:
        self.db = db
        self.client = client
        self.kept = timedelta(days=settings.operations_kept_days)

    @activity.defn(name="maintenance_clean")
    async def clean(self, job: Upkeep) -> Upkeep:
        """Go over accounts for a minute; answers how far it came, with what it did added up."""
        async with attempting():
            return await self._clean(job)

    async def _clean(self, job: Upkeep) -> Upkeep:
        ends, removed, started, last = time.monotonic() + STRETCH_S, Counter(job.removed), job.revocations, job.after
        for account_id in await upkeep.accounts(self.db, after=job.after, kept=self.kept):
            if time.monotonic() > ends:
                return Upkeep(after=last, removed=dict(removed), revocations=started)
            more = True
            while more:
                cleaned = await upkeep.clean(self.db, account_id, kept=self.kept)
                removed.update(cleaned.removed)
                more = cleaned.more
            for provider, revocation_id in await upkeep.unattended(self.db, account_id):
                started += await revocations.start(self.client, account_id, provider, revocation_id)
            last = account_id
        return Upkeep(after=last, done=True, removed=dict(removed), revocations=started)
