"""Connections, settings, contacts, operations, rate budget, API tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from supportly.storage.migrations.tenancy import ROLE, grant, protect

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)

SPEND = """
create function spend_budget(names text[], needs float8[], windows float8[], share float8)
returns float8 language plpgsql as $$
declare
    now_s float8 := extract(epoch from clock_timestamp());
    wait float8 := 0;
    i int;
    was float8;
begin
    -- `names` come sorted, so that two callers lock rows in the same order.
    for i in 1 .. cardinality(names) loop
        insert into rate_buckets (bucket, arrival) values (names[i], now_s) on conflict do nothing;
        select arrival into was from rate_buckets where bucket = names[i] for update;
        -- A bucket of one call must let that one through in every lane.
        wait := greatest(wait, greatest(was, now_s) + needs[i] - now_s - greatest(windows[i] * share, needs[i]));
    end loop;
    if wait <= 0 then
        for i in 1 .. cardinality(names) loop
            update rate_buckets set arrival = greatest(arrival, now_s) + needs[i] where bucket = names[i];
        end loop;
        return 0;
    end if;
    return wait;
end $$
"""


def upgrade() -> None:
    """Create the tables, the application's role and the policies."""
    op.execute(
        f"do $$ begin create role {ROLE} login nobypassrls nosuperuser nocreatedb nocreaterole; "
        "exception when duplicate_object then null; end $$"
    )
    op.execute(f"grant usage on schema public to {ROLE}")
    op.create_table(
        "api_tokens",
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("token_hmac", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("revoked_at", MOMENT),
    )
    op.create_table(
        "rate_buckets",
        sa.Column("bucket", sa.Text, primary_key=True),
        sa.Column("arrival", sa.Float(53), nullable=False),
    )
    op.create_table(
        "pending_authorizations",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("state_hash", sa.Text, nullable=False),
        sa.Column("facts", JSONB, nullable=False),
        sa.Column("token_url", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("code_challenge", sa.Text),
        sa.Column("verifier", sa.Text),
        sa.Column("replace", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("returned", sa.Text),
        sa.Column("code_hash", sa.Text),
        sa.Column("by_state", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("outcome", JSONB),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.UniqueConstraint("account_id", "state_hash", name="pending_authorizations_state"),
    )
    op.create_table(
        "connections",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("connection_id", UUID(as_uuid=True), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("tenant_key", sa.Text, nullable=False),
        sa.Column("account_name", sa.Text, nullable=False),
        sa.Column("facts", JSONB, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("tokens", sa.Text),
        sa.Column("token_url", sa.Text, nullable=False),
        sa.Column("refreshable", sa.Boolean, nullable=False),
        sa.Column("token_version", sa.BigInteger, nullable=False),
        sa.Column("refreshed_at", MOMENT),
        sa.Column("expires_at", MOMENT),
        sa.Column("refresh_attempt", UUID(as_uuid=True)),
        sa.Column("lease_until", MOMENT),
        sa.Column("lost_attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("unproven", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("connected_by", sa.Text, nullable=False),
        sa.Column("connected_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("disconnected_at", MOMENT),
    )
    op.create_table(
        "revocations",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("connection_id", UUID(as_uuid=True), nullable=False),
        sa.Column("tenant_key", sa.Text, nullable=False),
        sa.Column("facts", JSONB, nullable=False),
        sa.Column("tokens", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", MOMENT),
    )
    op.create_table(
        "provider_settings",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("settings", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("knowledge_enabled", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "contact_links",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("contact_id", sa.BigInteger, primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("record_id", sa.Text, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("linked_at", MOMENT, nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "contact_claims",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("connection_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("identity_hash", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("claimed_until", MOMENT, nullable=False),
        sa.Column("record_id", sa.Text),
    )
    op.create_table(
        "operations",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("workflow_id", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("key_hash", sa.Text),
        sa.Column("request_hash", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("error", JSONB),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", MOMENT),
        sa.UniqueConstraint("account_id", "key_hash", name="operations_key"),
    )
    op.create_index("operations_workflow", "operations", ["account_id", "workflow_id"])
    op.create_table(
        "markers",
        sa.Column("account_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("operation_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("result", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", MOMENT),
    )
    op.execute(SPEND)
    grant("rate_buckets")
    op.execute(f"grant select on api_tokens to {ROLE}")
    op.execute(f"grant select on alembic_version to {ROLE}")
    protect(
        "pending_authorizations",
        "connections",
        "revocations",
        "provider_settings",
        "contact_links",
        "contact_claims",
        "operations",
        "markers",
    )
