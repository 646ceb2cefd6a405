"""Backup and restore, as docs/production.md tells it: PostgreSQL alone comes back, or Temporal has lost everything."""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from temporalio.client import Client

from supportly.contracts import ids
from supportly.dev.postgres import Postgres, server_programs
from supportly.dev.stack import ROOT, Stack
from tests.caller import consent, until
from tests.conftest import serving_sandbox

ADMIN = "postgresql://postgres@127.0.0.1"


@pytest.fixture
def directory() -> Iterator[Path]:
    # Short, because a Unix socket's path is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="spl-r-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def sandbox_url() -> Iterator[str]:
    """Providers of its own: the other tests' have been reset and seeded by the time that this one comes."""
    with serving_sandbox() as url:
        yield url


def program(name: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's own programs to its end."""
    done = subprocess.run([server_programs() / name, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def back_up(postgres: Postgres, to: Path) -> None:
    """What docs/production.md says: the roles, and the database."""
    program("pg_dumpall", "-d", f"{ADMIN}:{postgres.port}/postgres", "--globals-only", "-f", to / "globals.sql")
    program("pg_dump", "-d", f"{ADMIN}:{postgres.port}/supportly", "-Fc", "-f", to / "supportly.dump")


def restore(directory: Path, source: Path) -> None:
    """Into a new cluster, which takes the lost one's place."""
    shutil.rmtree(directory)
    server = Postgres.start(directory)
    try:
        at = f"{ADMIN}:{server.port}"
        # The embedded server makes an empty database with its roles when it starts: the restored one replaces it.
        program("dropdb", "--maintenance-db", f"{at}/postgres", "supportly")
        program("createdb", "--maintenance-db", f"{at}/postgres", "supportly")
        subprocess.run(
            [server_programs() / "psql", "-q", "-d", f"{at}/postgres", "-f", source / "globals.sql"],
            capture_output=True,
            check=True,
        )
        program("pg_restore", "-d", f"{at}/supportly", "--exit-on-error", source / "supportly.dump")
    finally:
        server.stop()


def contents(postgres: Postgres) -> dict[str, tuple[int, str]]:
    """Every table's number of rows and a hash of them, and every account's own index."""
    found = {}
    with psycopg.connect(f"{ADMIN}:{postgres.port}/supportly") as connection:
        tables = connection.execute(
            "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables "
            "where schemaname in ('public', 'knowledge_ann')"
        ).fetchall()
        for (table,) in tables:
            query = f"select count(*), coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t"
            found[table] = connection.execute(query).fetchone()
    return found


def under_way(postgres: Postgres) -> None:
    """A revocation and an event whose workflows went with Temporal, as their rows say it."""
    with psycopg.connect(f"{ADMIN}:{postgres.port}/supportly") as connection:
        connection.execute(
            "insert into revocations (account_id, id, provider, connection_id, tenant_key, facts, tokens, status) "
            "select account_id, gen_random_uuid(), provider, gen_random_uuid(), 'gone', '{}', null, 'open' "
            "from connections where provider = 'zendesk'"
        )
        connection.execute(
            "insert into outgoing_events (account_id, id, provider, kind, data, status) "
            "values (1, gen_random_uuid(), 'zendesk', 'knowledge.synced', '{}', 'started')"
        )


async def half_way(stack: Stack) -> None:
    """HubSpot is being disconnected, by nobody any more; Zendesk waits to be connected again, without its Schedule."""
    assert stack.postgres
    assert stack.temporal
    with psycopg.connect(f"{ADMIN}:{stack.postgres.port}/supportly") as connection:
        for provider, state in (("hubspot", "disconnecting"), ("zendesk", "reconnect_required")):
            connection.execute("update connections set state = %s where provider = %s", (state, provider))
    client = await Client.connect(stack.temporal.address)
    await client.get_schedule_handle(ids.schedule(1, "zendesk")).delete()


def reconciled(stack: Stack) -> dict[str, Any]:
    """`python -m supportly reconcile --json`."""
    done = subprocess.run(
        [sys.executable, "-m", "supportly", "reconcile", "--json"],
        cwd=ROOT, env=stack.command_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class House:
    """A stack on one directory, beside providers that go on living when it stops."""

    def __init__(self, directory: Path, sandbox_url: str) -> None:
        self.sandbox_url = sandbox_url
        self.stack = Stack(
            directory,
            settings={
                "SUPPORTLY_SANDBOX_URL": sandbox_url,
                "SUPPORTLY_SUPPORTLY_API_URL": f"{sandbox_url}/_supportly/api/v1",
            },
        ).start()
        root = f"{self.stack.api_url}/api/v1/accounts/1/supportly_integrations"
        self.http = httpx.Client(base_url=root, headers={"api_access_token": self.stack.admin_token}, timeout=60)

    def connect(self, provider: str, **body: Any) -> None:
        """Through the consent page and back."""
        started = self.http.post(f"/{provider}/connect", json=body).raise_for_status().json()
        self.http.post(f"/{provider}/callback", json=consent(started["authorization_url"])).raise_for_status()

    def fault(self, **fault: Any) -> None:
        httpx.post(f"{self.sandbox_url}/_sandbox/faults", json=fault).raise_for_status()

    def works(self) -> None:
        """A lookup, also when the provider refuses the token first; a search; a sync that finds nothing new."""
        assert self.http.get("/hubspot/contacts/1").status_code == 200
        self.fault(provider="hubspot", path="/crm/.*", status=401, times=1, body={})
        assert self.http.get("/hubspot/contacts/1").status_code == 200
        assert self.http.get("/knowledge/search", params={"q": "reset password"}).json()["hits"]
        report = self.http.post("/zendesk/knowledge/sync", headers={"Prefer": "wait=60"}).json()
        assert (report["state"], report["counts"]["added"], report["counts"]["deleted"]) == ("succeeded", 0, 0), report

    def next_sync(self) -> str | None:
        """When the Schedule starts the next sync."""
        [one] = [p for p in self.http.get("/knowledge/status").json()["providers"] if p["provider"] == "zendesk"]
        return one["next_run"]


def test_postgresql_comes_back_from_a_backup_and_temporal_from_the_rows(
    directory: Path, sandbox_url: str, tmp_path: Path
) -> None:
    httpx.post(f"{sandbox_url}/_sandbox/demo", timeout=30).raise_for_status()
    house = House(directory, sandbox_url)
    try:
        house.connect("hubspot")
        house.connect("zendesk", subdomain="supportly-demo")
        house.http.post("/zendesk/knowledge/toggle", json={"enabled": True}).raise_for_status()
        house.works()
        assert reconciled(house.stack) == {
            "connections": 2, "workflows_started": 0, "rows_changed": 0, "schedules_made": 0,
            "revocations_started": 0, "disconnects_resumed": 0, "deliveries_started": 0,
        }  # fmt: skip
        before = contents(house.stack.postgres)
        assert before["public.connections"][0] == 2
        assert before["public.chunks"][0] > 0
        back_up(house.stack.postgres, tmp_path)
        assert contents(house.stack.postgres) == before, "nothing moved meanwhile, so that it can be compared below"
        house.works()  # this refreshes a token: the backup holds an older one than Temporal knows of
    finally:
        house.stack.stop()

    # PostgreSQL is lost and comes back from the backup; Temporal lives on.
    restore(directory / "postgres", tmp_path)
    house = House(directory, sandbox_url)
    try:
        now = contents(house.stack.postgres)
        assert {name: now[name] for name in before if now[name] != before[name]} == {}
        found = reconciled(house.stack)
        assert (found["workflows_started"], found["schedules_made"], found["rows_changed"]) == (0, 0, 1), found
        until(lambda: house.http.get("/hubspot/contacts/1").status_code == 200)
        house.works()
    finally:
        house.stack.stop()

    # Temporal has lost everything, PostgreSQL lives on.
    shutil.rmtree(directory / "temporal")
    house = House(directory, sandbox_url)
    try:
        assert house.next_sync() is None
        under_way(house.stack.postgres)
        found = reconciled(house.stack)
        assert (found["workflows_started"], found["schedules_made"], found["rows_changed"]) == (2, 1, 0), found
        assert (found["revocations_started"], found["deliveries_started"]) == (1, 1), found
        assert house.next_sync()
        assert reconciled(house.stack)["workflows_started"] == 0
        house.works()
        # A disconnect that stopped half way, and a connection that waits for its administrator.
        asyncio.run(half_way(house.stack))
        found = reconciled(house.stack)
        assert (found["disconnects_resumed"], found["schedules_made"], found["workflows_started"]) == (1, 1, 0), found
        until(lambda: house.http.get("/hubspot").json()["status"] == "not_connected")
        assert house.next_sync() is None, "its Schedule is held until it is connected again"
        house.connect("zendesk", subdomain="supportly-demo")
        assert house.next_sync()
    finally:
        house.stack.stop()
