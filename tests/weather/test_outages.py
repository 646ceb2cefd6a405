"""PostgreSQL, Temporal or the worker away: clear answers meanwhile, and the service comes back by itself."""

import httpx
import pytest

from supportly.dev.postgres import Postgres
from supportly.dev.stack import Stack
from supportly.dev.temporal import Temporal
from tests.caller import consent, until
from tests.weather.conftest import Account


@pytest.fixture(scope="module")
def account(stack: Stack) -> Account:
    made = Account(stack, 1)
    for provider, body in (("hubspot", {}), ("zendesk", {"subdomain": "supportly-demo"})):
        assert made.connect(provider, **body).status_code == 200
    assert made.http.get("/hubspot/contacts/1").status_code == 200
    return made


def refused_for_now(answer: httpx.Response) -> bool:
    body = answer.json()
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert body["code"] == "unavailable"
    assert body["request_id"] == answer.headers["x-request-id"]
    return True


def test_without_postgresql_every_call_is_503_and_then_works_again(stack: Stack, account: Account) -> None:
    assert stack.postgres
    port, directory = stack.postgres.port, stack.postgres.directory
    stack.postgres.kill()
    calls = [("GET", ""), ("GET", "/hubspot"), ("GET", "/hubspot/contacts/1"), ("GET", "/knowledge/status")]
    for method, path in calls:
        assert refused_for_now(account.http.request(method, path))
    assert refused_for_now(account.http.post("/hubspot/connect", json={}))
    assert httpx.get(f"{stack.api_url}/readyz").status_code == 503
    assert httpx.get(f"{stack.api_url}/healthz").status_code == 200

    stack.postgres = Postgres.start(directory, port=port)
    # Nothing was restarted but PostgreSQL: connections that died in the pools are replaced where they are met.
    for method, path in calls:
        until(lambda m=method, p=path: account.http.request(m, p).status_code == 200, 15)
    until(lambda: httpx.get(f"{stack.api_url}/readyz").status_code == 200, 15)


def test_without_temporal_what_needs_it_is_503_and_then_works_again(stack: Stack, account: Account) -> None:
    assert stack.temporal
    port, ui, directory = stack.temporal.port, stack.temporal.ui_port, stack.directory / "temporal"
    stack.temporal.kill()
    assert account.http.get("").status_code == 200
    assert account.http.get("/hubspot").status_code == 200
    assert refused_for_now(account.http.get("/hubspot/contacts/1"))
    assert refused_for_now(account.http.post("/hubspot/contacts/1/activity", json={"content": "Called."}))

    stack.temporal = Temporal.start(directory, port=port, ui_port=ui)
    until(lambda: account.http.get("/hubspot/contacts/1").status_code == 200, 60)
    logged = account.http.post("/hubspot/contacts/1/activity", json={"content": "Called again."})
    assert logged.status_code == 200, logged.text


def test_without_a_worker_work_is_accepted_and_a_code_is_not_lost(stack: Stack, account: Account) -> None:
    stack.workers[0].stop()
    later = account.http.get("/zendesk/contacts/1", headers={"Prefer": "wait=1"})
    assert later.status_code == 202, later.text
    assert later.json()["status"] == "running"
    assert account.http.get(later.headers["location"].rsplit("supportly_integrations", 1)[1]).status_code in (200, 202)

    started = account.http.post("/schedly/connect", json={}).raise_for_status().json()
    returned = consent(started["authorization_url"])
    waiting = account.http.post("/schedly/callback", json=returned)
    assert waiting.status_code in (202, 503), waiting.text

    stack.restart_worker(1)
    connected = until(
        lambda: next((a for a in [account.http.post("/schedly/callback", json=returned)] if a.status_code == 200), None)
    )
    assert connected.json()["status"] == "connected"
    operation = f"/operations/{later.json()['operation_id']}"
    ended = until(lambda: next((o for o in [account.http.get(operation).json()] if o["status"] != "running"), None))
    assert ended["status"] == "succeeded"
    assert ended["result"]["contact_id"] == 1
