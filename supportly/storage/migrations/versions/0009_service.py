"""What operators may know across accounts: figures by provider, and what has to be running."""

from __future__ import annotations

from alembic import op

from supportly.storage.migrations.tenancy import give, make_owner

revision = "0009"
down_revision = "0008"

KEEPER = "supportly_operations"
"""Owner of the functions: it can't log in, and sees ids, states, times and settings, never a token or a document."""

SEEN = {
    "connections": "account_id, provider, state",
    "provider_settings": "account_id, provider, knowledge_enabled, settings",
    "sync_runs": "account_id, provider, epoch, state, failed_streams, started_at",
    "held_deletions": "account_id, provider, status",
    "revocations": "account_id, provider, id, status",
}

# The newest complete run of each account is found by its index: runs of years cost nothing.
FIGURES = """
create function service_figures(default_minutes int) returns table (
    provider text, connected bigint, reconnect_required bigint, syncing_accounts bigint, overdue bigint,
    oldest_s float8, median_s float8, held_deletions bigint
) language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    with placed as (
        select c.account_id, c.provider, c.state,
            c.state = 'connected' and coalesce(s.knowledge_enabled, false) as syncs,
            60 * coalesce((s.settings ->> 'sync_interval_minutes')::float8, default_minutes) as every
        from connections c
        left join provider_settings s on s.account_id = c.account_id and s.provider = c.provider
    ), aged as (
        select p.provider, extract(epoch from now() - r.started_at)::float8 as age, p.every
        from placed p
        left join lateral (
            select n.started_at from sync_runs n
            where n.account_id = p.account_id and n.provider = p.provider
              and n.state in ('succeeded', 'partial') and n.failed_streams = '{}'::jsonb
            order by n.epoch desc limit 1
        ) r on true
        where p.syncs
    ), connected as (
        select p.provider, count(*) filter (where p.state = 'connected') as working,
            count(*) filter (where p.state = 'reconnect_required') as waiting
        from placed p group by p.provider
    ), synced as (
        select a.provider, count(*) as accounts, max(a.age) as oldest,
            -- Two intervals and half an hour: one run may be missed, and one takes its time.
            count(*) filter (where a.age is null or a.age > 2 * a.every + 1800) as overdue,
             percentile_cont(0.5) within group (order by a.age) as median
        from aged a group by a.provider
    ), held as (
        select h.provider, count(*) as deletions from held_deletions h where h.status = 'held' group by h.provider
    )
    select provider, coalesce(c.working, 0), coalesce(c.waiting, 0), coalesce(s.accounts, 0), coalesce(s.overdue, 0),
        coalesce(s.oldest, 0), coalesce(s.median, 0), coalesce(h.deletions, 0)
    from connected c full join synced s using (provider) full join held h using (provider)
    order by provider
$$
"""
STANDING = """
create function service_standing() returns table (
    account_id bigint, provider text, connected boolean, reconnect_required boolean, knowledge_enabled boolean
) language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select c.account_id, c.provider, c.state in ('connected', 'reconnect_required'), c.state = 'reconnect_required',
        coalesce(s.knowledge_enabled, false)
    from connections c
    left join provider_settings s on s.account_id = c.account_id and s.provider = c.provider
    where c.state in ('connected', 'reconnect_required', 'disconnecting')
    order by c.account_id, c.provider
$$
"""
REVOCATIONS = """
create function service_revocations() returns table (account_id bigint, provider text, id uuid)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select r.account_id, r.provider, r.id from revocations r where r.status = 'open' order by r.account_id, r.id
$$
"""


def upgrade() -> None:
    """Create the functions, their owner, and the policies that let the owner look."""
    make_owner(KEEPER)
    for table, columns in SEEN.items():
        op.execute(f"grant select ({columns}) on {table} to {KEEPER}")
        op.execute(f"create policy operations on {table} for select to {KEEPER} using (true)")
    for statement in (FIGURES, STANDING, REVOCATIONS):
        op.execute(statement)
    for name in ("service_figures(int)", "service_standing()", "service_revocations()"):
        give(name, KEEPER)
