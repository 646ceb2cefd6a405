"""Questions to the knowledge base: read by the models that serve, looked up, and put in order."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from activities.refinement import Encoders
from supportly.errors import SupportlyError
from supportly.knowledge import rank
from supportly.knowledge.closeness import Closeness
from supportly.knowledge.embed import Embedder, WordLlamaEmbedder
from supportly.knowledge.encoders import Encoder
from supportly.knowledge.text import normal_locale
from supportly.storage import knowledge_models, search
from supportly.storage.database import Database
from supportly.storage.knowledge_models import Model
from supportly.storage.search import Asked, Candidate, Sought

KNOWN_S: Final = 5.0
"""How long a process believes that the same model serves: a switch is heard of after this time."""
READ_S: Final = 1.0
"""Seconds that the refined tier's encoder has for a question; a local one takes six milliseconds. Without it the
instant tier answers alone."""

log = logging.getLogger(__name__)


class Asking:
    """Asks the knowledge base. One per process; models are loaded with the first question."""

    def __init__(self, db: Database, encoders: Encoders) -> None:
        self.db = db
        self.encoders = encoders
        self._instant: Embedder | None = None
        self._close: Closeness | None = None
        self._serving: tuple[float, Model | None] = (0.0, None)
        self.reason = ""
        """Why the refined tier's encoder cannot be had here, as a sentence; empty while it can, or was not tried."""
        self._loading: tuple[str, asyncio.Task[tuple[Encoder | None, str]]] | None = None

    async def ask(
        self, account_id: int, question: str, limit: int, *, provider: str | None = None, locale: str | None = None
    ) -> tuple[str, list[tuple[Candidate, float]]]:
        """The question as it was read, and the best chunks with their scores, best first."""
        asked = rank.question(question)
        if not asked:
            return asked, []
        instant, refined = await asyncio.gather(self._read_instantly(asked), self._read_well(asked))
        wanted_locale = normal_locale(rank.question(locale or ""))
        found = await search.candidates(self.db, Sought(account_id, asked, instant, refined, provider, wanted_locale))
        ranked = await asyncio.to_thread(rank.order, found, asked, self._closeness())
        return asked, rank.spread(ranked, limit)

    def _closeness(self) -> Closeness:
        if self._close is None:
            assert self._instant is not None  # noqa: S101 (the question was read by it)
            self._close = Closeness(self._instant.embed)
        return self._close

    async def _read_instantly(self, asked: str) -> Asked:
        if self._instant is None:
            self._instant = await asyncio.to_thread(WordLlamaEmbedder)
        embedder = self._instant
        model = await knowledge_models.instant(self.db, embedder.model, embedder.dimensions)
        return Asked(model, (await asyncio.to_thread(embedder.embed, [asked]))[0])

    async def _read_well(self, asked: str) -> Asked | None:
        """The question as the serving refined model reads it; None without one, and while it is loaded or away."""
        model = await self._model()
        if model is None:
            return None
        if self._loading is None or self._loading[0] != model.name:
            self._loading = (model.name, asyncio.create_task(self.encoders.get(model.spec)))
        task = self._loading[1]
        if not task.done():
            return None
        encoder, self.reason = task.result()
        if encoder is None or encoder.model != model.name:
            self._loading = None  # asked for again: `Encoders` remembers for a while that it can't be had
            return None
        try:
            vectors = await asyncio.wait_for(encoder.encode([asked]), READ_S)
        except (SupportlyError, TimeoutError) as failure:
            log.warning("the refined tier did not read a question: %s", type(failure).__name__)
            return None
        return Asked(model.id, vectors[0])

    async def _model(self) -> Model | None:
        if self.encoders.settings.refined_model == "off":
            return None
        until, model = self._serving
        if time.monotonic() >= until:
            model = await knowledge_models.serving(self.db)
            self._serving = (time.monotonic() + KNOWN_S, model)
        return model
