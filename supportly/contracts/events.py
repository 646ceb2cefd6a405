"""What this service tells Supportly on its own: kinds of events, and the job of delivering one."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel

EventKind = Literal[
    "connection.needs_attention", "connection.recovered", "knowledge.synced", "knowledge.deletions_held"
]
KINDS: tuple[EventKind, ...] = get_args(EventKind)


class EventJob(BaseModel):
    """One event to deliver; what it says lies in its row."""

    account_id: int
    provider: str
    event_id: str
