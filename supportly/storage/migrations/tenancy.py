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


def give(signature: str, owner: str) -> None:
    """Let a function run with `owner`'s rights (SECURITY DEFINER), callable by the application's role alone."""
    # To give something away one has to be a member of the receiver, and the receiver may create here.
    op.execute(f"grant {owner} to current_user")
    op.execute(f"grant create on schema public to {owner}")
    op.execute(f"alter function {signature} owner to {owner}")
    op.execute(f"revoke create on schema public from {owner}")
    op.execute(f"revoke all on function {signature} from public")
    op.execute(f"grant execute on function {signature} to {ROLE}")


def make_owner(role: str) -> None:
    """A role for `give`: it can't log in, and may do nothing but what it is granted."""
    op.execute(
        f"do $$ begin create role {role} nologin nobypassrls nosuperuser; "
        "exception when duplicate_object then null; end $$"
    )
    op.execute(f"grant usage on schema public to {role}")
