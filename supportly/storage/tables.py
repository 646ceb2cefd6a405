"""All tables. Every one begins with `account_id` and is bound by row-level security, but for `OUTSIDE_TENANCY`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from supportly.crypto import Binding, key_of

OUTSIDE_TENANCY: Final = ("api_tokens", "rate_buckets", "knowledge_models", "key_rotations", "alembic_version")
"""Tables that belong to no account, or are read before the account is known (a token tells it)."""

metadata = MetaData()


class Sealed(TypeDecorator[str]):
    """Text that `supportly.crypto` has sealed, bound to the row's account, provider, `owner` column and `field`.

    Nothing else gets in. Rotation of keys finds what it has to seal anew by this type.
    """

    impl = Text
    cache_ok = True

    def __init__(self, owner: str, field: str) -> None:
        super().__init__()
        self.owner, self.field = owner, field

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        """The value, when it is sealed; raises CannotOpen for anything that would stand here in the clear."""
        if value is not None:
            key_of(value)
        return value


def binding(column: Column[Any], account_id: int, provider: str, owner: object) -> Binding:
    """Where the value of a sealed column belongs; `owner` is the value of the column that its type names."""
    return Binding(account_id, provider, str(owner), cast("Sealed", column.type).field)


def sealed_columns() -> Iterator[Column[Any]]:
    """Every column that holds sealed text, table by table."""
    for table in metadata.sorted_tables:
        yield from (column for column in table.columns if isinstance(column.type, Sealed))


def _account() -> Column[int]:
    return Column("account_id", BigInteger, primary_key=True, autoincrement=False)


def _moment(name: str, *, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=not now, server_default=func.now() if now else None)


api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("account_id", BigInteger, nullable=False),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("token_hmac", Text, nullable=False, unique=True),
    _moment("created_at", now=True),
    _moment("revoked_at"),
)

rate_buckets = Table(
    "rate_buckets",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("arrival", Float(53), nullable=False),
)
"""GCRA: `arrival` is the theoretical arrival time of the next call, in seconds since the epoch."""

pending_authorizations = Table(
    "pending_authorizations",
    metadata,
    _account(),
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("state_hash", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text),
    Column("verifier", Sealed("id", "verifier")),
    Column("replace", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("returned", Sealed("id", "returned")),
    Column("code_hash", Text),
    Column("by_state", Boolean, nullable=False, server_default=text("false")),
    Column("outcome", JSONB),
    _moment("created_at", now=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("account_id", "state_hash", name="pending_authorizations_state"),
)

connections = Table(
    "connections",
    metadata,
    _account(),
    Column("provider", Text, primary_key=True),
    Column("connection_id", UUID(as_uuid=True), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("tenant_key", Text, nullable=False),
    Column("account_name", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("tokens", Sealed("connection_id", "tokens")),
    Column("refreshable", Boolean, nullable=False),
    Column("token_version", BigInteger, nullable=False),
    _moment("refreshed_at"),
    _moment("expires_at"),
    Column("refresh_attempt", UUID(as_uuid=True)),
    _moment("lease_until"),
    Column("lost_attempts", Integer, nullable=False, server_default=text("0")),
    Column("unproven", Boolean, nullable=False, server_default=text("false")),
    Column("connected_by", Text, nullable=False),
    _moment("connected_at", now=True),
    _moment("disconnected_at"),
)
"""`unproven`: the token came after a rejection and no call has succeeded with it yet."""

revocations = Table(
    "revocations",
    metadata,
    _account(),
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("connection_id", UUID(as_uuid=True), nullable=False),
    Column("tenant_key", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("tokens", Sealed("connection_id", "tokens")),
    Column("status", Text, nullable=False),
    _moment("created_at", now=True),
    _moment("finished_at"),
)

provider_settings = Table(
    "provider_settings",
    metadata,
    _account(),
    Column("provider", Text, primary_key=True),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("knowledge_enabled", Boolean, nullable=False, server_default=text("false")),
    _moment("updated_at", now=True),
)

contact_links = Table(
    "contact_links",
    metadata,
    _account(),
    Column("provider", Text, primary_key=True),
    Column("contact_id", BigInteger, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("record_id", Text, nullable=False),
    Column("url", Text),
    _moment("linked_at", now=True),
)

contact_claims = Table(
    "contact_claims",
    metadata,
    _account(),
    Column("connection_id", UUID(as_uuid=True), primary_key=True),
    Column("identity_hash", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("claimed_until", DateTime(timezone=True), nullable=False),
    Column("record_id", Text),
)
"""Who may create the record for an address right now, so that two contacts with one address make one record."""

operations = Table(
    "operations",
    metadata,
    _account(),
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("workflow_id", Text),
    Column("run_id", Text),
    Column("key_hash", Text),
    Column("request_hash", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("result", Sealed("id", "result")),
    Column("error", JSONB),
    _moment("created_at", now=True),
    _moment("finished_at"),
    UniqueConstraint("account_id", "key_hash", name="operations_key"),
    Index("operations_workflow", "account_id", "workflow_id"),
)

outgoing_events = Table(
    "outgoing_events",
    metadata,
    _account(),
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    _moment("created_at", now=True),
    _moment("finished_at"),
    Index("outgoing_events_pending", "account_id", postgresql_where=text("status = 'pending'")),
)
"""What Supportly is to be told; its id is the `webhook-id` of every attempt."""

markers = Table(
    "markers",
    metadata,
    _account(),
    Column("operation_id", UUID(as_uuid=True), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", Text, nullable=False),
    _moment("lease_until"),
    Column("result", Sealed("operation_id", "marker")),
    _moment("created_at", now=True),
    _moment("finished_at"),
)
"""Committed before a write goes to a provider: `intended`, then `done` with its sealed result, or `unknown`."""

key_rotations = Table(
    "key_rotations",
    metadata,
    Column("key_id", Text, primary_key=True),
    _moment("began_at", now=True),
    _moment("finished_at"),
)
"""When stored secrets and running workflows were brought to a key: what was sealed before may need an older one."""
