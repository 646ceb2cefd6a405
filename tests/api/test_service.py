"""Probes, documentation, and what happens when a part is away."""

import dataclasses
import re

import httpx

from api.app import create_app
from supportly import VERSION
from supportly.dev.processes import free_port
from tests.caller import consent


def test_health_and_readiness(service):
    assert httpx.get(f"{service.api_url}/healthz").json() == {"status": "ok", "version": VERSION}
    assert VERSION != "0"
    ready = httpx.get(f"{service.api_url}/readyz")
    assert (ready.status_code, set(ready.json()["checks"].values())) == (200, {"ok"}), ready.text


def test_every_endpoint_is_documented_with_an_example_and_its_errors(service):
    document = httpx.get(f"{service.api_url}/openapi.json").json()
    found = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
            if not path.startswith("/api/"):
                continue
            found += 1
            responses = operation["responses"]
            assert responses["200"]["content"]["application/json"].get("example"), (method, path)
            assert {"401", "404", "503"} <= set(responses), (method, path)
            for status, response in responses.items():
                if int(status) >= 400:
                    assert response["content"]["application/json"]["examples"], (method, path, status)
            if "requestBody" in operation:
                assert {"413", "415", "422"} <= set(responses), (method, path)
    assert found == 16
    assert "HTTPValidationError" not in str(document)


def test_the_documentation_needs_no_internet(service):
    page = httpx.get(f"{service.api_url}/docs")
    assert page.status_code == 200
    assert "/contacts/{contact_id}" in page.text
    assert not re.search(r"(src|href)=['\"]?https?://", page.text)
    assert "<script" not in page.text


def test_without_temporal_it_answers_503_with_retry_after(hub, without):
    url = without(temporal_address=f"127.0.0.1:{free_port()}")
    away = dataclasses.replace(hub, http=httpx.Client(base_url=url, timeout=30))
    assert away.call("GET").status_code == 200
    for method, path in (
        ("GET", "/hubspot/contacts/1"),
        ("POST", "/hubspot/contacts/1/sync"),
        ("DELETE", "/hubspot/disconnect"),
    ):
        answer = away.call(method, path)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
        assert int(answer.headers["Retry-After"]) > 0
    ready = httpx.get(f"{url}/readyz", timeout=30)
    assert (ready.status_code, ready.json()["checks"]["temporal"]) == (503, "away")
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_without_the_database_it_answers_503_with_retry_after(hub, without):
    url = without(database_url=f"postgresql+psycopg://supportly_app@127.0.0.1:{free_port()}/supportly")
    away = dataclasses.replace(hub, http=httpx.Client(base_url=url, timeout=30))
    answer = away.call("GET", "/hubspot")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    ready = httpx.get(f"{url}/readyz", timeout=30)
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "away")


def test_supportlys_own_tokens_open_the_api(service, without):
    url = without(auth_backend="supportly")
    for token, status in (("sandbox-admin-1", 200), ("sandbox-agent-1", 200), ("sandbox-admin-2", 404), ("x", 401)):
        answer = httpx.get(f"{url}/api/v1/accounts/1/supportly_integrations", headers={"api_access_token": token})
        assert answer.status_code == status, answer.text
    low = httpx.delete(
        f"{url}/api/v1/accounts/1/supportly_integrations/hubspot/disconnect",
        headers={"api_access_token": "sandbox-agent-1"},
    )
    assert low.status_code == 401


def test_strict_mode_demands_state(account, without):
    url = without(callback_mode="strict")
    strict = dataclasses.replace(account, http=httpx.Client(base_url=url, timeout=30))
    started = strict.call("POST", "/hubspot/connect").json()
    returned = consent(started["authorization_url"])
    bare = strict.call("POST", "/hubspot/callback", json={"code": returned["code"]})
    assert (bare.status_code, bare.json()["code"]) == (422, "invalid_authorization")
    assert strict.call("POST", "/hubspot/callback", json=returned).status_code == 200


def test_an_unforeseen_fault_is_answered_in_the_one_shape_and_logged_without_values(service, caplog):
    from fastapi.testclient import TestClient

    app = create_app(service.settings)

    @app.get("/boom")
    async def boom() -> None:
        raise KeyError("s3cret-value")

    with TestClient(app) as client:
        answer = client.get("/boom", headers={"X-Request-Id": "r-1"})
    assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (500, "internal_error", "r-1")
    assert "s3cret-value" not in answer.text
    assert "s3cret-value" not in caplog.text
    assert "KeyError" in caplog.text


def test_every_answer_has_a_schema_and_every_202_says_where_to_look(service):
    document = httpx.get(f"{service.api_url}/openapi.json").json()
    later = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for kind, content in response["content"].items():
                    assert kind in ("application/json", "text/html")
                    assert content.get("schema"), (method, path, status)
            if "202" in operation["responses"]:
                later += 1
                [link] = operation["responses"]["202"]["links"].values()
                assert link["operationId"] == "show_operation"
    assert later == 5
    shown = document["paths"]["/api/v1/accounts/{account_id}/supportly_integrations/operations/{operation_id}"]["get"]
    assert shown["operationId"] == "show_operation"
