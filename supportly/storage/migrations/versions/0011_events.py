"""Events on their way to Supportly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from supportly.storage.migrations.tenancy import protect

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table, the index of what waits, and the policy."""
    op.create_table(
        "outgoing_events",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "outgoing_events_pending", "outgoing_events", ["account_id"], postgresql_where=sa.text("status = 'pending'")
    )
    protect("outgoing_events")
