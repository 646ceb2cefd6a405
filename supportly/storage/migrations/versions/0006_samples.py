"""Samples of how complete the stored knowledge is, the newest of each provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

from supportly.storage.migrations.tenancy import protect

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table and its policy."""
    op.create_table(
        "knowledge_samples",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("run_id", UUID(as_uuid=True), nullable=False),
        sa.Column("equal", sa.Integer, nullable=False),
        sa.Column("sampled", sa.Integer, nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    protect("knowledge_samples")
