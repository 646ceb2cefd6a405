"""Knowledge over HTTP: switch, sync, status, search, against the Zendesk double."""

import time

import pytest


def until_synced(account):
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        [found] = account.call("GET", "/knowledge/status").json()["providers"]
        if found["state"] not in ("never_run", "running"):
            return found
        time.sleep(0.2)
    raise AssertionError(found)


ARTICLES = [
    {"title": "Refunds", "body": "<h2>How long</h2><p>Money is back within five working days.</p>"},
    {"title": "Delivery", "body": "<p>Parcels arrive on the third day.</p><script>secret()</script>"},
]


@pytest.fixture
def connected(account):
    account.service.control("POST", "/zendesk/seed", json={"articles": ARTICLES})
    assert account.connect("zendesk").status_code == 200
    return account


def test_switch_sync_status_and_search(connected):
    switched = connected.call("POST", "/zendesk/knowledge/toggle")
    assert switched.status_code == 200, switched.text
    body = switched.json()
    assert body["enabled"] is True
    assert body["interval_minutes"] == 60
    operation = connected.call("GET", f"/operations/{body['sync']['operation_id']}", headers={"Prefer": "wait=30"})
    assert operation.json()["status"] == "succeeded", operation.text
    found = until_synced(connected)
    assert found["enabled"]
    assert found["next_run"]
    assert found["last_run"]["trigger"] == "toggle"
    counts = found["last_run"]["counts"]
    assert counts["seen"] == counts["added"] + counts["changed"] + counts["unchanged"] + counts["failed"]
    assert found["documents"] == counts["added"] > 0
    again = connected.call("POST", "/zendesk/knowledge/sync", headers={"Prefer": "wait=30"}, json={})
    assert again.status_code == 200, again.text
    assert again.json()["counts"]["chunks_embedded"] == 0
    hits = connected.call("GET", "/knowledge/search", params={"q": "money back", "limit": 3}).json()["hits"]
    assert 1 <= len(hits) <= 3
    assert {"title", "url", "provider", "stream", "snippet", "tier", "score", "locale", "document_id"} <= hits[0].keys()
    assert (hits[0]["title"], hits[0]["snippet"]) == ("Refunds", "Money is back within five working days.")
    off = connected.call("POST", "/zendesk/knowledge/toggle", json={"enabled": False})
    assert (off.json()["enabled"], off.json()["sync"]) == (False, None)
    [found] = connected.call("GET", "/knowledge/status").json()["providers"]
    assert (found["enabled"], found["next_run"]) == (False, None)
    assert found["documents"] == counts["added"]
    connected.call("POST", "/zendesk/knowledge/toggle", json={"enabled": False, "purge": True})
    [found] = connected.call("GET", "/knowledge/status").json()["providers"]
    assert (found["documents"], found["chunks"]) == (0, 0)


def test_sync_at_once_and_its_key(connected):
    first = connected.call("POST", "/zendesk/knowledge/sync", headers={"Idempotency-Key": "k1"})
    assert first.status_code == 202, first.text
    assert first.headers["location"] == first.json()["status_url"]
    second = connected.call("POST", "/zendesk/knowledge/sync", headers={"Idempotency-Key": "k1", "Prefer": "wait=30"})
    assert second.json()["operation_id"] == first.json()["operation_id"]
    third = connected.call("POST", "/zendesk/knowledge/sync", headers={"Idempotency-Key": "k1"})
    assert third.headers["idempotent-replayed"] == "true"


def test_disconnecting_takes_the_knowledge_along(connected):
    connected.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})
    until_synced(connected)
    assert connected.call("DELETE", "/zendesk/disconnect").status_code == 200
    assert connected.call("GET", "/knowledge/search", params={"q": "help"}).json()["hits"] == []
    assert connected.call("GET", "/zendesk").json()["knowledge_enabled"] is False


@pytest.mark.parametrize(
    ("method", "path", "extra", "status", "code"),
    [
        ("POST", "/zendesk/knowledge/toggle", {"json": {"enabled": True}}, 409, "not_connected"),
        ("POST", "/zendesk/knowledge/toggle", {"json": {"enabled": "yes"}}, 422, "invalid_input"),
        ("POST", "/zendesk/knowledge/toggle", {"json": {"purge": True}}, 422, "invalid_input"),
        ("POST", "/zendesk/knowledge/toggle", {"json": {"on": True}}, 422, "invalid_input"),
        ("POST", "/zendesk/knowledge/sync", {}, 409, "not_connected"),
        ("POST", "/zendesk/knowledge/sync", {"json": {"confirm_deletes": "nope"}}, 404, "not_found"),
        (
            "POST",
            "/zendesk/knowledge/sync",
            {"json": {"confirm_deletes": "a", "undo_deletes": "a"}},
            422,
            "invalid_input",
        ),
        ("POST", "/nobody/knowledge/sync", {}, 404, "not_found"),
        ("GET", "/knowledge/search", {"params": {"q": "x" * 10_001}}, 422, "invalid_input"),
        ("GET", "/knowledge/search", {"params": {"q": "x", "limit": 0}}, 422, "invalid_input"),
        ("GET", "/knowledge/search", {"params": {"q": "x", "provider": "nobody"}}, 422, "invalid_input"),
    ],
)
def test_bad_requests(blank, method, path, extra, status, code):
    found = blank.call(method, path, **extra)
    assert (found.status_code, found.json()["code"]) == (status, code), found.text


def test_an_agent_may_sync_and_not_decide(blank):
    agent = {"token": blank.agent}
    assert blank.call("POST", "/zendesk/knowledge/sync", **agent).status_code == 409
    assert blank.call("POST", "/zendesk/knowledge/toggle", **agent).status_code == 401
    decided = blank.call("POST", "/zendesk/knowledge/sync", json={"reject_deletes": "x"}, **agent)
    assert decided.status_code == 401


@pytest.mark.parametrize("question", ["", " ", "x" * 10_000, "%00", "'; drop", "\\", "😀", "the of and"])
def test_any_question_is_answered(blank, question):
    found = blank.call("GET", "/knowledge/search", params={"q": question})
    assert (found.status_code, found.json()["hits"]) == (200, []), found.text


def test_nothing_yet(blank):
    assert blank.call("GET", "/knowledge/status").json() == {"providers": []}
