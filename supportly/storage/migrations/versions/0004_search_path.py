"""`grant_is_shared` looks for its table in the catalogue and `public` first, in a caller's temporary schema last."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """A path that does not name `pg_temp` puts it in front, where a caller could place a table of that name."""
    op.execute("alter function grant_is_shared(text, text, uuid) set search_path = pg_catalog, public, pg_temp")
