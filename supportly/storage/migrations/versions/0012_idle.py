"""A process that hangs within a transaction keeps nobody waiting: its session ends, and its locks with it."""

from __future__ import annotations

from alembic import op

from supportly.storage.migrations.tenancy import ROLE

revision = "0012"
down_revision = "0011"

LONGEST = "30s"
"""Our transactions are a few statements without a pause; a machine that is stopped or swaps may need some seconds."""


def upgrade() -> None:
    """Set it on the role: every session of the application begins with it, also behind a pooler."""
    op.execute(f"alter role {ROLE} set idle_in_transaction_session_timeout = '{LONGEST}'")
