"""`doctor` on the running service, and on each thing that it is there to find."""

import re
from datetime import timedelta

import psycopg
import pytest

from supportly.cli.checks import finding
from supportly.cli.failing import Exit
from supportly.settings import DEVELOPMENT_KEYS
from supportly.storage.tables import sealed_columns


@pytest.fixture(scope="module", autouse=True)
def nobody_else(service, number) -> None:
    """Other tests of this process seal with rings of their own: what they left would be found here."""
    with psycopg.connect(service.postgres.admin_url.replace("+psycopg", "")) as connection:
        for table in sorted({column.table.name for column in sealed_columns()}):
            connection.execute(f"delete from {table} where account_id <> %s", [number])


@pytest.fixture
def look(supportly):
    def look() -> dict[str, dict]:
        ended = supportly("doctor", "--json")
        found = {one["check"]: one for one in ended.json}
        failed = [one for one in found.values() if one["state"] == "fail"]
        assert ended.code == (Exit.FOUND if failed else 0)
        for one in found.values():
            assert bool(one["do"]) == (one["state"] in ("warn", "fail")), "each finding says what to do"
        return found

    return look


def test_a_service_that_works_has_nothing_to_mend(look) -> None:
    found = look()
    assert not [one for one in found.values() if one["state"] == "fail"]
    for check in (
        *("database", "database role", "pgvector", "migrations", "database clock", "temporal", "search attributes"),
        *("queue interactive", "queue connections", "queue knowledge", "queue refinement", "temporal clock"),
        *("redirect URI", "provider hubspot", "provider zendesk", "supportly"),
    ):
        assert found[check]["state"] == "ok", found[check]
    assert found["keys"]["state"] == "warn"  # the development key, which anyone can guess
    assert found["refined tier"]["state"] == "skipped"
    assert found["events"]["state"] == "skipped"


def test_people_see_marks_and_a_summary(supportly) -> None:
    told = supportly("doctor")
    assert re.search(r"✓ database +PostgreSQL \d+ answers", told.out)
    assert re.search(r"\d+ in order, 1 to look at, 0 to mend\.", told.out)


def test_a_role_that_looks_past_its_tenant_is_found(look, monkeypatch, service) -> None:
    monkeypatch.setenv("SUPPORTLY_DATABASE_URL", service.postgres.admin_url)
    assert look()["database role"]["state"] == "fail"


def test_what_is_away_is_found(look, monkeypatch) -> None:
    monkeypatch.setenv("SUPPORTLY_DATABASE_URL", "postgresql+psycopg://supportly_app@127.0.0.1:1/supportly")
    monkeypatch.setenv("SUPPORTLY_TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("SUPPORTLY_SUPPORTLY_API_URL", "http://127.0.0.1:1/api/v1")
    monkeypatch.delenv("SUPPORTLY_SANDBOX_URL")
    monkeypatch.setenv("SUPPORTLY_EVENTS_URL", "http://127.0.0.1:1/events")
    monkeypatch.setenv("SUPPORTLY_EVENTS_SECRETS", "whsec_" + "A" * 32)
    monkeypatch.setenv("SUPPORTLY_HUBSPOT_CLIENT_SECRET", "")
    monkeypatch.setenv("SUPPORTLY_PIPEDRIVE_CLIENT_ID", "")
    monkeypatch.setenv("SUPPORTLY_PIPEDRIVE_CLIENT_SECRET", "")
    found = look()
    for check in ("database", "temporal", "supportly", "events", "provider hubspot", "provider stripe"):
        assert found[check]["state"] == "fail", found[check]
    assert "SUPPORTLY_HUBSPOT_CLIENT_SECRET is empty" in found["provider hubspot"]["says"]
    assert "cannot be reached" in found["provider stripe"]["says"]
    assert found["provider pipedrive"]["state"] == "skipped"


def test_a_namespace_that_is_not_there_is_found(look, monkeypatch) -> None:
    monkeypatch.setenv("SUPPORTLY_TEMPORAL_NAMESPACE", "elsewhere")
    assert "no namespace elsewhere" in look()["temporal"]["says"]


def test_secrets_addresses_and_weights_are_looked_at(look, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SUPPORTLY_SUPPORTLY_API_TOKEN", "wrong")
    monkeypatch.setenv("SUPPORTLY_KEYS", "k1:short")
    monkeypatch.setenv("SUPPORTLY_CALLBACK_URL", "http://example.com/{provider}")
    monkeypatch.setenv("SUPPORTLY_REFINED_MODEL", "minilm")
    monkeypatch.setenv("SUPPORTLY_REFINED_MODEL_PATH", str(tmp_path))
    found = look()
    assert "refuses our token" in found["supportly"]["says"]
    assert "k1" in found["keys"]["says"]
    assert "short" not in str(found["keys"]).replace("short key", "")
    assert "is not https" in found["redirect URI"]["says"]
    assert "model.onnx is missing" in found["refined tier"]["says"]


def test_stored_secrets_that_the_ring_does_not_open_are_found(look, monkeypatch, connected) -> None:
    assert look()["stored secrets"]["state"] == "ok"
    other = "k9:" + "Q" * 43
    monkeypatch.setenv("SUPPORTLY_KEYS", other)
    found = look()["stored secrets"]
    assert (found["state"], "`dev`" in found["says"]) == ("fail", True)
    monkeypatch.setenv("SUPPORTLY_KEYS", f"{other},{DEVELOPMENT_KEYS}")
    found = look()["stored secrets"]
    assert (found["state"], "keys rotate" in found["do"]) == ("warn", True)


def test_settings_that_no_process_starts_with_are_the_only_finding(look, monkeypatch) -> None:
    monkeypatch.setenv("SUPPORTLY_ENVIRONMENT", "production")
    found = look()
    assert list(found) == ["settings"]
    assert "SUPPORTLY_KEYS" in found["settings"]["says"]


def test_clocks_apart_are_found() -> None:
    assert finding.clocks("clock", timedelta(seconds=1.5), "The").state == "ok"
    assert finding.clocks("clock", timedelta(seconds=-2.5), "The").state == "fail"
    assert "-2.5 s" in finding.clocks("clock", timedelta(seconds=-2.5), "The").says
