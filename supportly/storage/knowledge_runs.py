"""Past runs of a provider's sync, newest first, each with the deletions that it held back and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from supportly.contracts.knowledge import Counts
from supportly.storage.database import Database, rows
from supportly.storage.knowledge import COUNTS, UNDO_FOR
from supportly.storage.knowledge_status import Run


@dataclass(frozen=True)
class Held:
    """Deletions that a run held back."""

    stream: str
    documents: int
    of_total: int
    status: str
    """`held`, `confirmed`, `rejected`, `undone`, `void` or `final` (see `held_deletions`)."""
    held_at: datetime
    decided_at: datetime | None
    undo_until: datetime | None
    """Until then a confirmed deletion can be taken back."""


@dataclass(frozen=True)
class PastRun:
    """A run, and what it held back."""

    run: Run
    complete: bool
    """True for a walk over everything, which may also find deletions."""
    streams: list[str]
    held: list[Held]


async def recent(db: Database, account_id: int, provider: str, limit: int) -> list[PastRun]:
    """The newest `limit` runs."""
    at = {"a": account_id, "p": provider, "limit": limit}
    async with db.tenant(account_id) as c:
        found = await rows(
            c,
            "select run_id::text, state, trigger, started_at, finished_at, failed_streams, complete, streams, "  # noqa: S608
            f"{', '.join(COUNTS)} from sync_runs where account_id = %(a)s and provider = %(p)s "
            "order by epoch desc limit %(limit)s",
            at,
        )
        held = await rows(
            c,
            "select run_id::text, stream, cardinality(documents), of_total, status, held_at, decided_at "
            "from held_deletions where account_id = %(a)s and provider = %(p)s and run_id = any(%(r)s::uuid[]) "
            "order by stream",
            at | {"r": [row[0] for row in found]},
        )
    by_run: dict[str, list[Held]] = {}
    for run_id, stream, documents, of_total, status, held_at, decided_at in held:
        undo_until = decided_at + UNDO_FOR if status == "confirmed" and decided_at else None
        by_run.setdefault(run_id, []).append(Held(stream, documents, of_total, status, held_at, decided_at, undo_until))
    return [
        PastRun(
            Run(row[0], row[1], row[2], row[3], row[4], Counts(**dict(zip(COUNTS, row[8:], strict=True))), row[5]),
            complete=row[6],
            streams=list(row[7]),
            held=by_run.get(row[0], []),
        )
        for row in found
    ]
