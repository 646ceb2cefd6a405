"""Does another connection live on the same grant? The one question that goes across accounts."""

from __future__ import annotations

from alembic import op

from supportly.storage.migrations.tenancy import give, make_owner

revision = "0003"
down_revision = "0002"

KEEPER = "supportly_grants"
"""Owner of the function: it can't log in, and sees four columns of `connections`."""

SHARED = """
create function grant_is_shared(of_provider text, of_tenant_key text, but_connection uuid)
returns boolean language sql stable security definer set search_path = public as $$
    select exists (
        select 1 from connections
        where provider = of_provider and tenant_key = of_tenant_key and connection_id <> but_connection
          and state in ('connected', 'reconnect_required')
    )
$$
"""


def upgrade() -> None:
    """Create the function, its owner, and the policy that lets the owner look."""
    make_owner(KEEPER)
    op.execute(f"grant select (provider, tenant_key, connection_id, state) on connections to {KEEPER}")
    op.execute(f"create policy shared_grants on connections for select to {KEEPER} using (true)")
    op.execute(SHARED)
    give("grant_is_shared(text, text, uuid)", KEEPER)
