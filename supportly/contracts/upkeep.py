"""The message of daily maintenance: how far it is, and what it did."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Upkeep(BaseModel):
    """Input and result of `Maintenance`; it goes over the accounts in the order of their numbers."""

    after: int = 0
    """The last account that is done."""
    done: bool = False
    removed: dict[str, int] = Field(default_factory=dict)
    """Rows by table."""
    revocations: int = 0
    """Grants that waited to be revoked and that nobody worked on."""
