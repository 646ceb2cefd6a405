"""Who may call what."""

import httpx
import pytest

from api.auth import SupportlyCallers
from supportly.http import Outbound
from supportly.platform import Platform

ENDPOINTS = [
    ("GET", "", "agent"),
    ("GET", "/hubspot", "agent"),
    ("POST", "/hubspot/connect", "administrator"),
    ("POST", "/hubspot/callback", "administrator"),
    ("DELETE", "/hubspot/disconnect", "administrator"),
    ("GET", "/hubspot/contacts/1", "agent"),
    ("POST", "/hubspot/contacts/1/sync", "agent"),
    ("POST", "/hubspot/contacts/1/activity", "agent"),
    ("POST", "/hubspot/action", "agent"),
    ("PUT", "/hubspot/settings", "administrator"),
    ("POST", "/hubspot/knowledge/toggle", "administrator"),
    ("POST", "/hubspot/knowledge/sync", "agent"),
    ("GET", "/knowledge/status", "agent"),
    ("GET", "/knowledge/search", "agent"),
    ("GET", "/operations/6f0d6c1e-6d1b-4a53-9a43-0f6f6f7a1b11", "agent"),
]


@pytest.mark.parametrize(("method", "path", "role"), ENDPOINTS)
def test_every_endpoint_knows_its_callers(blank, method, path, role):
    for headers in ({}, {"api_access_token": "spl_wrong"}, {"Authorization": "Basic abc"}):
        answer = blank.http.request(method, blank.base + path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    as_agent = blank.call(method, path, token=blank.agent)
    assert (as_agent.status_code == 401) == (role == "administrator"), as_agent.text
    for foreign in ("1", "999999999", "0", "-1", "x", "99999999999999999999", "9" * 400, "٣"):
        url = f"/api/v1/accounts/{foreign}/supportly_integrations{path}"
        answer = blank.http.request(method, url, headers={"api_access_token": blank.admin})
        assert answer.status_code == 404
        assert answer.json()["error"] == "There is no such account."


def test_a_bearer_token_is_the_same_token(blank):
    answer = blank.http.get(blank.base, headers={"Authorization": f"bearer {blank.agent}"})
    assert answer.status_code == 200


def test_a_revoked_token_is_refused_at_once(blank, service):
    import asyncio

    from supportly.storage import tokens
    from supportly.storage.database import Database

    plain = service.token(blank.account_id, "agent")
    assert blank.call("GET", token=plain).status_code == 200

    async def revoke() -> tuple[bool, bool]:
        owner = Database(service.postgres.admin_url, 2)
        shown = [t for t in await tokens.list_all(owner) if plain.startswith(t.prefix)]
        assert plain not in repr(shown)
        done = await tokens.revoke(owner, shown[-1].id), await tokens.revoke(owner, shown[-1].id)
        await owner.close()
        return done

    assert asyncio.run(revoke()) == (True, False)
    assert blank.call("GET", token=plain).status_code == 401


async def test_supportly_is_asked_once_a_minute(monkeypatch):
    asked = []

    def profile(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["api_access_token"])
        if request.headers["api_access_token"] == "gone":
            return httpx.Response(401, json={"error": "Invalid Access Token"})
        return httpx.Response(
            200, json={"id": 1, "accounts": [{"id": 7, "role": "agent"}, {"id": 8, "role": "administrator"}]}
        )

    now = [1000.0]
    monkeypatch.setattr("api.auth.time.monotonic", lambda: now[0])
    outbound = Outbound(timeout_s=1, max_bytes=10_000, transport=httpx.MockTransport(profile))
    callers = SupportlyCallers(Platform(outbound, "https://supportly.example/api/v1", ""), "pepper")
    first = await callers.identify("t")
    assert first
    assert first.roles == {7: "agent", 8: "administrator"}
    assert (await callers.identify("t")) is first
    now[0] += 61
    assert (await callers.identify("t")).roles == first.roles
    assert await callers.identify("gone") is None
    assert await callers.identify("gone") is None
    assert asked == ["t", "t", "gone"]
