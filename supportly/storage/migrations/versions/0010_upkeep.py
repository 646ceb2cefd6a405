"""What goes over all accounts: which keys the stored secrets need, and whose rows are old enough to go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from supportly.storage.migrations.tenancy import give, grant, make_owner

revision = "0010"
down_revision = "0009"

MOMENT = sa.DateTime(timezone=True)
KEEPER = "supportly_upkeep"
"""Owner of both functions: it can't log in, and reads these columns alone."""

READS = {
    "connections": "account_id, tokens",
    "revocations": "account_id, tokens, status, created_at, finished_at",
    "pending_authorizations": "account_id, verifier, returned, expires_at",
    "operations": "account_id, result, created_at, finished_at",
    "markers": "account_id, result, created_at, finished_at",
}
SEALED = (
    ("connections", "tokens"),
    ("revocations", "tokens"),
    ("pending_authorizations", "verifier"),
    ("pending_authorizations", "returned"),
    ("operations", "result"),
    ("markers", "result"),
)


def counted(table: str, column: str) -> str:
    """One column's share of `sealed_by_key`. The key's id stands in front, so that large values are not read whole."""
    # `.` separates; a key's id holds none.
    key = f"split_part(left({column}, 200), '.', 2)"
    return (  # of names written above
        f"select account_id, '{table}.{column}', {key}, count(*) from {table} "  # noqa: S608
        f"where {column} is not null group by account_id, {key}"
    )


BY_KEY = f"""
create function sealed_by_key() returns table (account_id bigint, place text, key_id text, values_ bigint)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    {" union all ".join(counted(*one) for one in SEALED)}
$$
"""
TO_CLEAN = """
create function accounts_to_clean(ended timestamptz, expired timestamptz, waiting timestamptz)
returns table (account_id bigint)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select account_id from operations where coalesce(finished_at, created_at) < ended
    union select account_id from markers where coalesce(finished_at, created_at) < ended
    union select account_id from revocations
        where finished_at < ended or (status = 'open' and created_at < waiting)
    union select account_id from pending_authorizations where expires_at < expired
    order by 1
$$
"""


def upgrade() -> None:
    """Create both functions, their owner, what lets it look, and the list of rotations."""
    make_owner(KEEPER)
    for table, columns in READS.items():
        op.execute(f"grant select ({columns}) on {table} to {KEEPER}")
        op.execute(f"create policy upkeep on {table} for select to {KEEPER} using (true)")
    op.execute(BY_KEY)
    give("sealed_by_key()", KEEPER)
    op.execute(TO_CLEAN)
    give("accounts_to_clean(timestamptz, timestamptz, timestamptz)", KEEPER)
    op.create_table(
        "key_rotations",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("began_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", MOMENT),
    )
    grant("key_rotations")
