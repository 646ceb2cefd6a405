"""No row says where tokens are sent: addresses come from code and settings, and host parts are checked when read."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Drop what was pinned when an authorization began."""
    op.drop_column("pending_authorizations", "token_url")
    op.drop_column("connections", "token_url")
