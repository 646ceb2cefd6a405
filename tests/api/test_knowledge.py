"""Knowledge over HTTP: switch, sync, status, search, against the Zendesk double."""

import asyncio
import time
from datetime import timedelta

import pytest
from temporalio.service import RPCError, RPCStatusCode

from supportly.contracts import ids
from supportly.storage.database import Database
from supportly.temporal import connect


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
    complete = found["completeness"]
    assert complete["share"] == 1.0
    assert complete["low"] < complete["high"] <= 1.0
    assert complete["sampled"] > 0
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


def test_status_says_what_is_refined_and_why_nothing_is(connected):
    connected.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})
    found = until_synced(connected)
    assert found["refined"] == {"done": 0, "of": found["chunks"]}
    tier = connected.call("GET", "/knowledge/status").json()["refined_tier"]
    assert (tier["building"], tier["reason"]) == (None, "The refined tier is switched off.")
    hits = connected.call("GET", "/knowledge/search", params={"q": "money back"}).json()["hits"]
    assert {hit["tier"] for hit in hits} == {"instant"}


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
    assert blank.call("GET", "/knowledge/status").json()["providers"] == []


def schedule_of(account, provider="zendesk"):
    async def describe():
        client = await connect(account.service.settings)
        return (await client.get_schedule_handle(ids.schedule(account.account_id, provider)).describe()).schedule

    return asyncio.run(describe())


def sql(account, statement):
    """Run one statement as the application, on this account's rows."""

    async def run():
        db = Database(account.service.settings.database_url)
        async with db.tenant(account.account_id) as c:
            await c.exec_driver_sql(statement)
        await db.close()

    asyncio.run(run())


def test_the_interval_is_the_providers_own_setting(connected):
    connected.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})
    until_synced(connected)
    assert schedule_of(connected).spec.intervals[0].every == timedelta(minutes=60)
    for minutes in (15, 10_080):
        changed = connected.call("PUT", "/zendesk/settings", json={"settings": {"sync_interval_minutes": minutes}})
        assert changed.status_code == 200, changed.text
        assert schedule_of(connected).spec.intervals[0].every == timedelta(minutes=minutes)
    for minutes in (14, 10_081):
        refused = connected.call("PUT", "/zendesk/settings", json={"settings": {"sync_interval_minutes": minutes}})
        assert refused.status_code == 422
    connected.call("POST", "/zendesk/knowledge/toggle", json={"enabled": False})
    connected.call("PUT", "/zendesk/settings", json={"settings": {"sync_interval_minutes": 30}})
    assert schedule_of(connected).state.paused
    assert connected.call("DELETE", "/zendesk/disconnect").status_code == 200
    with pytest.raises(RPCError) as gone:
        schedule_of(connected)
    assert gone.value.status == RPCStatusCode.NOT_FOUND


def test_syncing_now_joins_the_run_that_is_on_its_way(connected):
    connected.service.control("POST", "/faults", json={"provider": "zendesk", "path": ".*/articles.*", "delay": 1.0})
    keys = ("one", "two", "three")
    started = [connected.call("POST", "/zendesk/knowledge/sync", headers={"Idempotency-Key": k}).json() for k in keys]
    assert len({one["operation_id"] for one in started}) == 3
    ended = [
        connected.call("GET", f"/operations/{one['operation_id']}", headers={"Prefer": "wait=30"}).json()
        for one in started
    ]
    assert {one["status"] for one in ended} == {"succeeded"}
    assert len({one["result"]["run_id"] for one in ended}) == 1


def test_status_says_how_old_the_data_is(connected):
    [found] = connected.call("GET", "/knowledge/status").json()["providers"]
    assert (found["state"], found["synced_at"], found["age_seconds"], found["stale"]) == (
        "never_run",
        None,
        None,
        False,
    )
    connected.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})
    found = until_synced(connected)
    assert found["synced_at"] == found["last_run"]["started_at"]
    assert 0 <= found["age_seconds"] < 60
    assert not found["stale"]
    for minutes, stale in ((70, False), (80, True)):  # the interval is an hour, and a run may take a quarter of one
        sql(connected, f"update sync_runs set started_at = now() - interval '{minutes} minutes'")
        [found] = connected.call("GET", "/knowledge/status").json()["providers"]
        assert abs(found["age_seconds"] - minutes * 60) < 60
        assert found["stale"] is stale
    connected.call("PUT", "/zendesk/settings", json={"settings": {"sync_interval_minutes": 120}})
    [found] = connected.call("GET", "/knowledge/status").json()["providers"]
    assert found["stale"] is False
    # A run that left a stream out makes nothing newer.
    sql(connected, "update sync_runs set state = 'partial', failed_streams = '{\"articles\": \"forbidden\"}'")
    [found] = connected.call("GET", "/knowledge/status").json()["providers"]
    assert (found["synced_at"], found["stale"]) == (None, True)


def test_a_row_that_runs_without_a_workflow_is_stalled_until_the_next_sync(connected):
    connected.call("POST", "/zendesk/knowledge/sync", headers={"Prefer": "wait=30"})
    sql(connected, "update sync_runs set state = 'running', finished_at = null")
    [found] = connected.call("GET", "/knowledge/status").json()["providers"]
    assert (found["state"], found["last_run"]["state"]) == ("stalled", "stalled")
    again = connected.call("POST", "/zendesk/knowledge/sync", headers={"Prefer": "wait=30"})
    assert again.json()["state"] == "succeeded"
    [found] = connected.call("GET", "/knowledge/status").json()["providers"]
    assert found["state"] == "succeeded"
