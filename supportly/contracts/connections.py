"""The life of a connection, as far as Temporal may know it: ids, versions and times, never a token."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["connected", "reconnect_required", "disconnecting", "disconnected"]

ASSUMED_LIFE: Final = timedelta(hours=1)
"""Life of a token that can be refreshed and came without `expires_in` (Stripe and Salesforce never send one)."""
SHORTEST_PAUSE: Final = timedelta(minutes=1)
"""A connection is never refreshed by its timer twice within this time."""


class ConnectionKey(BaseModel):
    """One account's place for one provider; there is at most one connection in it."""

    model_config = ConfigDict(frozen=True)
    account_id: int
    provider: str


class Authorization(ConnectionKey):
    """A callback that waits to be exchanged; the code itself lies encrypted in the row `pending_id`."""

    pending_id: str


class Disconnection(ConnectionKey):
    """A wish to disconnect, with the operation that asked for it."""

    requested_by: str = ""


class RefreshAttempt(ConnectionKey):
    """A refresh: from which version, and whether a provider's 401 asked for it."""

    from_version: int
    after_rejection: bool = False


class RevocationJob(ConnectionKey):
    """Tokens of an ended connection that wait to be revoked; they lie sealed in the row `revocation_id`."""

    revocation_id: str


class Standing(BaseModel):
    """How a connection stands; what ConnectionWorkflow lives on, and what the callback answers."""

    state: State
    reason: str = ""
    connection_id: str = ""
    generation: int = 0
    version: int = 0
    refreshed_at: datetime | None = None
    expires_at: datetime | None = None
    refreshable: bool = False
    account_name: str = ""
    retry_at: datetime | None = None
    """Set while a refresh could not be finished: when to try again."""

    @property
    def stands(self) -> bool:
        """True while there is a connection, also one that a person has to renew."""
        return self.state in ("connected", "reconnect_required")

    def refresh_due(self) -> datetime | None:
        """When the timer should refresh, or None where nothing can or need be refreshed.

        A fifth of the token's life ahead of its end, at least five minutes and at most half its life, plus up to a
        tenth of that margin, hashed from the connection's id so that many connections don't refresh at once.
        """
        if self.state != "connected" or not self.refreshable or self.refreshed_at is None:
            return None
        if self.retry_at is not None:
            return self.retry_at
        life = (self.expires_at - self.refreshed_at) if self.expires_at else ASSUMED_LIFE
        margin = min(max(life / 5, timedelta(minutes=5)), life / 2)
        jitter = margin / 10 * (hashlib.sha256(self.connection_id.encode()).digest()[0] / 255)
        due = self.refreshed_at + life - margin - jitter
        return max(due, self.refreshed_at + SHORTEST_PAUSE)

    def told(self, now: datetime, *, asked: datetime | None = None) -> Standing:
        """The same in the time of whoever hears of it `now`, and may have asked for it at `asked`.

        Times are stamped by another clock than the one that waits for them. A refresh that is told as done later or
        earlier than it can have been moves into that span, and the end of the token with it: a clock that is ahead must
        not make the timer sleep past the end, nor one that is behind make it refresh without a pause.
        """
        if self.refreshed_at is None:
            return self
        shift = min(max(self.refreshed_at, asked or self.refreshed_at), now) - self.refreshed_at
        ends = self.expires_at + shift if self.expires_at else None
        return self.model_copy(update={"refreshed_at": self.refreshed_at + shift, "expires_at": ends})

    def is_due(self, now: datetime) -> bool:
        """True when the timer should refresh now."""
        due = self.refresh_due()
        return due is not None and due <= now

    def is_paused(self, now: datetime) -> bool:
        """True while a refresh that could not be finished is not to be tried again, whoever asks for it."""
        return self.retry_at is not None and now < self.retry_at


class Retired(BaseModel):
    """What a disconnect leaves: the standing, and the revocation that still runs (empty: none)."""

    standing: Standing
    revocation_id: str = ""


class Entity(ConnectionKey):
    """Input of ConnectionWorkflow; `standing` and `rejected` are carried over continue-as-new."""

    standing: Standing | None = None
    rejected: int = 0
    """Newest version that a provider is known to refuse."""
