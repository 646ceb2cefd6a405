"""Row-level security for the tables of a migration."""

from __future__ import annotations

from alembic import op

ROLE = "supportly_app"
"""The application's role: it owns nothing and cannot bypass row-level security."""


def protect(*tables: str) -> None:
    """Force row-level security on `tables` and let the application's role work on its tenant's rows."""
    for table in tables:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(
            f"create policy tenant on {table} "
            "using (account_id = nullif(current_setting('supportly.account_id', true), '')::bigint)"
        )
        grant(table)


def grant(table: str) -> None:
    """Let the application's role read and write `table`."""
    op.execute(f"grant select, insert, update, delete on {table} to {ROLE}")
