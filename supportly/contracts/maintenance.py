"""Work over all accounts, as Temporal may know it: numbers alone."""

from __future__ import annotations

from pydantic import BaseModel


class ReconcileJob(BaseModel):
    """A wish to compare the rows with what runs."""

    requested_by: str = ""


class Reconciled(BaseModel):
    """What `reconcile` found in the rows, and what it had to start."""

    connections: int = 0
    """Connections that have to have a workflow; those below are counted among them or beside them."""
    workflows_started: int = 0
    rows_changed: int = 0
    """Workflows that knew a newer token than their row (after a restore), and were told to read it again."""
    schedules_made: int = 0
    revocations_started: int = 0
    disconnects_resumed: int = 0
    deliveries_started: int = 0
    """Events that nobody delivered any more, of accounts that have a connection."""

    @property
    def mended(self) -> int:
        """How much was missing."""
        return sum(self.model_dump(exclude={"connections"}).values())
