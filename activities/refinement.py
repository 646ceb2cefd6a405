"""The refined tier: gives chunks their vectors in the background, and changes the model for all accounts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from activities.failures import attempting, leaving, translated
from supportly.contracts import ids
from supportly.contracts.knowledge import Refined, RefineJob, SwitchJob, SwitchProgress
from supportly.errors import InvalidInput, SupportlyError
from supportly.http import Outbound
from supportly.knowledge import encoders
from supportly.knowledge.embed import WordLlamaEmbedder
from supportly.knowledge.encoders import Encoder
from supportly.knowledge.split import Chunk
from supportly.settings import Settings
from supportly.storage import knowledge_index, knowledge_models, knowledge_recall, knowledge_refining
from supportly.storage.database import Database
from supportly.storage.knowledge_models import Model
from supportly.temporal import bulk, search_attributes

STRETCH_S: Final = 55.0
"""One activity refines for about a minute, as ingestion does."""
LOOKED_UP: Final = 512
"""Chunks that one query finds: looking for them costs as long as reading a few."""
READ_AT_ONCE: Final = 8
"""Chunks between two commits: half a second of work, so that little is done twice and a sync is soon let past. With 16
a first load of 2,000 documents, of six seconds, took 13 % longer when it met them."""
RETRY_S: Final = 5.0
"""Seconds until an endpoint that failed without a wish is asked again."""
NO_ENCODER_S: Final = 600.0
"""Seconds after which to ask again for an encoder that cannot be had: somebody has to mend something first."""

log = logging.getLogger(__name__)


class Encoders:
    """The encoders of a process, by their spec (`minilm`, `openai:<model>`): loaded when they are first asked for."""

    def __init__(self, settings: Settings, outbound: Outbound) -> None:
        self.settings = settings
        self.outbound = outbound
        self._loaded: dict[str, Encoder] = {}
        self._missing: dict[str, tuple[float, str]] = {}
        self._loading = asyncio.Lock()

    async def get(self, spec: str) -> tuple[Encoder | None, str]:
        """The encoder, or None with the reason as a sentence. Loading takes about two seconds, once."""
        async with self._loading:
            if spec in self._loaded:
                return self._loaded[spec], ""
            until, why = self._missing.get(spec, (0.0, ""))
            if time.monotonic() < until:
                return None, why
            settings = self.settings.model_copy(update={"refined_model": spec})
            found, why = await asyncio.to_thread(encoders.encoder, settings, self.outbound)
            if found is None:
                self._missing[spec] = (time.monotonic() + NO_ENCODER_S, why)
                log.warning("%s", why)
            else:
                self._loaded[spec] = found
            return found, why


class RefinementActivities:
    """Activities of KnowledgeRefinement and ModelSwitch. `quiet` is set while this process ingests nothing."""

    def __init__(self, db: Database, client: Client, found: Encoders, quiet: asyncio.Event) -> None:
        self.db = db
        self.client = client
        self.encoders = found
        self.quiet = quiet

    def all(self) -> list[Callable[..., Any]]:
        """Every activity, for the worker."""
        return [self.refine, self.begin, self.spread, self.turn, self.abandon]

    @activity.defn(name="knowledge_refine")
    async def refine(self, job: RefineJob) -> Refined:
        """Read an account's chunks that lack a refined vector, newest first, until the minute is over."""
        async with attempting():
            return await self._refine(job.account_id)

    async def _refine(self, account_id: int) -> Refined:
        await self._first_model()
        result = Refined()
        ends = time.monotonic() + STRETCH_S
        # The one that answers questions before one that is only built.
        wanted = sorted(await self._wanted(), key=lambda model: model.state != "serving")
        for model in wanted:
            encoder, _ = await self.encoders.get(model.spec)
            if encoder is None or encoder.model != model.name:
                result.wait_s = NO_ENCODER_S
                continue
            try:
                result.done += await self._read(account_id, model, encoder, ends)
                left = await knowledge_refining.count(self.db, account_id, model.id)
                if not left:
                    await self._settle(account_id, model, encoder)
            except SupportlyError as failure:
                if not failure.retryable:
                    raise
                result.wait_s = failure.retry_after or RETRY_S
                left = max(1, await knowledge_refining.count(self.db, account_id, model.id))  # the index may be left
            result.left += left
        return result

    async def _wanted(self) -> list[Model]:
        if self.encoders.settings.refined_model == "off":
            return []
        found = await knowledge_models.read(self.db)
        return [model for model in found if model.tier == "refined" and model.state != "retired"]

    async def _first_model(self) -> None:
        """The model that the settings choose is noted when there is none; later ones come by a switch."""
        spec = self.encoders.settings.refined_model
        if spec == "off" or await knowledge_models.serving(self.db) is not None:
            return
        encoder, _ = await self.encoders.get(spec)
        if encoder is not None:
            await knowledge_models.begin(self.db, encoder.model, encoder.dimensions, spec)

    async def _read(self, account_id: int, model: Model, encoder: Encoder, ends: float) -> int:
        """Read until nothing is left or the time is over; answers how many chunks have their vectors now."""
        done = 0
        while time.monotonic() < ends and not leaving():
            found = await knowledge_refining.lacking(self.db, account_id, model.id, LOOKED_UP)
            for start in range(0, len(found), READ_AT_ONCE):
                try:
                    await asyncio.wait_for(self.quiet.wait(), max(0.0, ends - time.monotonic()))
                except TimeoutError:
                    return done
                some = found[start : start + READ_AT_ONCE]
                texts = [Chunk(one.title, one.heading, one.body).text for one in some]
                matrix = await encoders.encode_titled(encoder, [one.title for one in some], texts)
                done += await knowledge_refining.store(self.db, account_id, model.id, some, matrix)
                if time.monotonic() >= ends or leaving():
                    break
            if len(found) < LOOKED_UP:
                break
        return done

    async def _settle(self, account_id: int, model: Model, encoder: Encoder) -> None:
        instant = await knowledge_models.instant(self.db, WordLlamaEmbedder.model, WordLlamaEmbedder.dimensions)
        await knowledge_refining.settle(self.db, account_id, model.id, instant)
        await knowledge_index.bring_up_to_date(self.db, account_id, model.id, encoder.encode)
        await knowledge_recall.calibrate(self.db, account_id, model.id, encoder.encode)

    # --- another model ----------------------------------------------------------------------------------------------

    @activity.defn(name="model_begin")
    async def begin(self, job: SwitchJob) -> SwitchProgress:
        """Note the new model. Raises InvalidInput when its encoder cannot be had, Conflict while another is built."""
        with translated():
            encoder, why = await self.encoders.get(job.spec)
            if encoder is None:
                raise InvalidInput(why, field="model")
            number = await knowledge_models.begin(self.db, encoder.model, encoder.dimensions, job.spec)
            return SwitchProgress(model=number, name=encoder.model)

    @activity.defn(name="model_spread")
    async def spread(self, progress: SwitchProgress) -> SwitchProgress:
        """See which accounts lack vectors of the model, and have them refined; answers how far the switch is."""
        with translated():
            accounts = await knowledge_refining.lacking_everywhere(self.db, progress.model)
            for account_id, _, lacking in accounts:
                if lacking:
                    await self.client.start_workflow(
                        "KnowledgeRefinement",
                        RefineJob(account_id=account_id),
                        id=ids.refinement(account_id),
                        task_queue=ids.REFINEMENT,
                        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                        start_signal="again",
                        search_attributes=search_attributes(account_id),
                        priority=bulk(account_id),
                    )
            chunks, lacking = sum(a[1] for a in accounts), sum(a[2] for a in accounts)
            return progress.model_copy(update={"chunks": chunks, "lacking": lacking})

    @activity.defn(name="model_turn")
    async def turn(self, progress: SwitchProgress) -> SwitchProgress:
        """Let the new model serve when nothing lacks its vectors, then remove the vectors of the one before."""
        async with attempting():
            accounts = await knowledge_refining.lacking_everywhere(self.db, progress.model)
            if any(lacking for _, _, lacking in accounts):
                return progress
            await knowledge_models.turn(self.db, progress.model)
            await self._forget_retired()
            return progress.model_copy(update={"state": "serving", "lacking": 0})

    @activity.defn(name="model_abandon")
    async def abandon(self, progress: SwitchProgress) -> SwitchProgress:
        """Give the new model up and remove its vectors; what serves goes on serving."""
        async with attempting():
            await knowledge_models.retire(self.db, progress.model)
            await self._forget_retired()
            return progress.model_copy(update={"state": "abandoned"})

    async def _forget_retired(self) -> None:
        for model in await knowledge_models.read(self.db):
            if model.tier == "refined" and model.state == "retired":
                await knowledge_refining.forget(self.db, model)
