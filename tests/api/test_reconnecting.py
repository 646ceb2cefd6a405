"""A grant that the user took back, and the way back: settings, links and knowledge stay."""

import asyncio
import time

import httpx
import pytest

from supportly.contracts import ids
from supportly.temporal import connect
from tests.caller import consent
from tests.conftest import Service


@pytest.fixture
def api(service: Service, account_id: int):
    service.control("POST", "/hubspot/settings", json={"rate_limits": False})
    service.control("POST", "/supportly/settings", json={"accounts": [1, 2, 3, account_id]})
    contact = {
        "id": account_id * 10,
        "account_id": account_id,
        "name": "Mira Vogt",
        "email": f"m{account_id}@example.com",
    }
    service.control("POST", "/supportly/seed", json={"contacts": [contact]})
    root = f"{service.api_url}/api/v1/accounts/{account_id}/supportly_integrations"
    with httpx.Client(base_url=root, headers={"api_access_token": service.token(account_id)}, timeout=40) as client:
        yield client


def connect_hubspot(api: httpx.Client) -> httpx.Response:
    started = api.post("/hubspot/connect", json={}).raise_for_status().json()
    return api.post("/hubspot/callback", json=consent(started["authorization_url"]))


def schedule(service: Service, account_id: int):
    async def describe():
        client = await connect(service.settings)
        found = await client.get_schedule_handle(ids.schedule(account_id, "hubspot")).describe()
        return found.schedule.state

    return asyncio.run(describe())


def lose_the_grant(service: Service, api: httpx.Client, contact: int) -> httpx.Response:
    service.control("POST", "/hubspot/revoke")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = api.get(f"/hubspot/contacts/{contact}")
        if answer.status_code == 409:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"still {answer.status_code}: {answer.text}")


def test_a_lost_grant_pauses_and_a_reconnect_resumes(service: Service, api: httpx.Client, account_id: int) -> None:
    contact = account_id * 10
    assert connect_hubspot(api).status_code == 200
    api.put("/hubspot/settings", json={"settings": {"owner_id": "77"}}).raise_for_status()
    made = api.post(f"/hubspot/contacts/{contact}/sync").raise_for_status().json()
    api.post("/hubspot/knowledge/toggle", json={"enabled": True}).raise_for_status()
    assert not schedule(service, account_id).paused

    lost = lose_the_grant(service, api, contact)
    assert lost.json()["code"] == "reconnect_required"
    assert lost.json()["details"]["reason"] == "revoked_by_user"
    assert api.get("/hubspot").json()["status"] == "reconnect_required"
    state = schedule(service, account_id)
    assert state.paused
    assert "connected again" in state.note

    assert connect_hubspot(api).status_code == 200
    assert not schedule(service, account_id).paused
    again = api.post(f"/hubspot/contacts/{contact}/sync").raise_for_status().json()
    assert again["status"] == "unchanged"
    assert again["record"]["id"] == made["record"]["id"]
    assert api.get("/hubspot").json()["settings"]["owner_id"] == "77"


def test_what_a_person_paused_stays_paused(service: Service, api: httpx.Client, account_id: int) -> None:
    assert connect_hubspot(api).status_code == 200
    api.post("/hubspot/knowledge/toggle", json={"enabled": True}).raise_for_status()
    api.post("/hubspot/knowledge/toggle", json={"enabled": False}).raise_for_status()
    lose_the_grant(service, api, account_id * 10)
    assert connect_hubspot(api).status_code == 200
    assert schedule(service, account_id).paused


def test_a_grant_that_others_live_on_is_not_revoked(service: Service, api: httpx.Client, account_id: int) -> None:
    other = account_id + 500_000
    root = f"{service.api_url}/api/v1/accounts/{other}/supportly_integrations"
    usual = service.control("GET", "/hubspot/settings")["hub_id"]
    service.control("POST", "/hubspot/settings", json={"hub_id": 7_000_000 + account_id})
    try:
        with httpx.Client(base_url=root, headers={"api_access_token": service.token(other)}, timeout=40) as second:
            assert connect_hubspot(api).status_code == 200
            assert connect_hubspot(second).status_code == 200
            service.control("DELETE", "/requests")
            assert api.delete("/hubspot/disconnect").json()["revoked"] is False
            revoked = "/requests/count?provider=hubspot&path=token/revoke"
            assert service.control("GET", revoked)["count"] == 0
            assert second.delete("/hubspot/disconnect").json()["revoked"] is True
            # HubSpot's revocation of a refresh token leaves issued access tokens alive: both are revoked.
            assert service.control("GET", revoked)["count"] == 2
    finally:
        service.control("POST", "/hubspot/settings", json={"hub_id": usual})
