"""Waiting, 202, operations, idempotency, over real workflows."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from api.waiting import preference
from supportly.contracts import ids
from supportly.temporal import connect


@pytest.mark.parametrize(
    ("header", "seconds", "applied"),
    [
        ("", 20.0, ""),
        ("wait=5", 5.0, "wait=5"),
        ("WAIT = 7", 7.0, "wait=7"),
        ('wait="9"', 9.0, "wait=9"),
        ("wait=0", 0.0, "wait=0"),
        ("wait=9999", 60.0, "wait=60"),
        ("wait=-1", 20.0, ""),
        ("wait=soon", 20.0, ""),
        ("wait=1.5", 20.0, ""),
        ("respond-async", 0.0, "respond-async"),
        ("respond-async, wait=3", 3.0, "respond-async, wait=3"),
        ("wait=3, wait=50", 3.0, "wait=3"),
        ("return=minimal; x=1, wait=4; y", 4.0, "wait=4"),
        (",,;=,", 20.0, ""),
    ],
)
def test_prefer_is_read_as_the_rfc_says(header, seconds, applied):
    found = preference(header, 20.0)
    assert (found.seconds, found.applied) == (seconds, applied)


def person() -> dict[str, str]:
    return {"name": "Grace Hopper", "email": f"grace.{uuid4().hex[:8]}@example.com"}


def ended(account, url: str) -> dict:
    answer = account.http.get(url, headers={"api_access_token": account.agent, "Prefer": "wait=20"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_contact_is_looked_up_synced_and_noted(hub):
    contact = hub.contact(**person())
    path = f"/hubspot/contacts/{contact}"
    unknown = hub.call("GET", path, token=hub.agent)
    assert (unknown.status_code, unknown.json()["records"]) == (200, []), unknown.text
    plan = hub.call("POST", f"{path}/sync?dry_run=true").json()
    assert (plan["status"], plan["dry_run"]) == ("created", True)
    made = hub.call("POST", f"{path}/sync", token=hub.agent).json()
    assert made["status"] == "created"
    assert hub.call("POST", f"{path}/sync").json()["status"] == "unchanged"
    assert hub.call("GET", path).json()["records"][0]["id"] == made["record"]["id"]
    noted = hub.call("POST", f"{path}/activity", json={"content": "Called."})
    assert noted.status_code == 200, noted.text
    stored = hub.call("GET", f"/operations/{noted.json()['operation_id']}").json()
    assert (stored["kind"], stored["status"]) == ("activity", "succeeded")
    assert stored["result"]["record"] == noted.json()["record"]
    deals = hub.call("POST", "/hubspot/action", json={"action": "get_deals"})
    assert deals.status_code == 200, deals.text
    assert isinstance(deals.json()["items"], list)


def test_an_unknown_contact_is_404(hub):
    for method, path, body in (("GET", "", None), ("POST", "/sync", {}), ("POST", "/activity", {"content": "x"})):
        answer = hub.call(method, f"/hubspot/contacts/77777777{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.text


@pytest.mark.parametrize("what", ["lookup", "sync", "activity", "action"])
def test_who_does_not_wait_gets_202_and_asks_later(hub, service, what):
    contact = hub.contact(**person())
    request = {
        "lookup": ("GET", f"/hubspot/contacts/{contact}", None),
        "sync": ("POST", f"/hubspot/contacts/{contact}/sync", None),
        "activity": ("POST", f"/hubspot/contacts/{contact}/activity", {"content": "x"}),
        "action": ("POST", "/hubspot/action", {"action": "get_deals"}),
    }[what]
    if what == "activity":
        assert hub.call("POST", f"/hubspot/contacts/{contact}/sync").status_code == 200
    service.control("POST", "/faults", json={"provider": "hubspot", "delay": 0.5, "times": 1})
    answer = hub.call(request[0], request[1], json=request[2], headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert set(answer.json()) == {"operation_id", "status", "status_url"}
    assert answer.headers["Location"] == answer.json()["status_url"]
    found = ended(hub, answer.json()["status_url"])
    assert (found["kind"], found["status"]) == (what, "succeeded"), found
    assert found["result"]["provider"] == "hubspot"
    assert ended(hub, answer.json()["status_url"]) == found


@pytest.mark.parametrize(("prefer", "queue"), [("respond-async", "background"), ("wait=20", "interactive")])
def test_what_nobody_waits_for_takes_no_turn_of_those_who_wait(hub, service, prefer, queue):
    contact = hub.contact(**person())
    service.control("POST", "/faults", json={"provider": "hubspot", "status": 503, "body": {}, "times": 1})
    answer = hub.call("POST", f"/hubspot/contacts/{contact}/sync", headers={"Prefer": prefer})
    assert answer.status_code in (200, 202), answer.text
    if answer.status_code == 202:
        assert ended(hub, answer.json()["status_url"])["status"] == "succeeded"

    async def queues():
        client = await connect(service.settings)
        run = client.get_workflow_handle(ids.sync(hub.account_id, "hubspot", contact))
        history = await run.fetch_history()
        retried = [e.activity_task_scheduled_event_attributes for e in history.events]
        return (await run.describe()).task_queue, {a.task_queue.name for a in retried if a.activity_id}

    # Its second try too, which is an activity of its own.
    assert service.worker.thread.run(queues()) == (queue, {queue})


def test_an_operation_is_its_accounts_own(hub, blank):
    contact = hub.contact(**person())
    made = hub.call("POST", f"/hubspot/contacts/{contact}/sync").json()["operation_id"]
    assert hub.call("GET", f"/operations/{made}").status_code == 200
    assert blank.call("GET", f"/operations/{made}").status_code == 404


def test_one_key_is_one_note_however_often_and_whatever_is_lost(hub, service):
    contact = hub.contact(**person())
    hub.call("POST", f"/hubspot/contacts/{contact}/sync")
    service.control("DELETE", "/requests")
    fault = {"provider": "hubspot", "method": "POST", "path": ".*/notes.*", "cut": "after_commit", "times": 1}
    service.control("POST", "/faults", json=fault)
    key = uuid4().hex

    def post(_):
        return hub.call(
            "POST", f"/hubspot/contacts/{contact}/activity", json={"content": "once"}, headers={"Idempotency-Key": key}
        )

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(post, range(5)))
    answers += [post(None) for _ in range(5)]
    assert {a.status_code for a in answers} == {200}, [a.text for a in answers]
    assert len({a.json()["operation_id"] for a in answers}) == 1
    assert len({a.json()["record"]["id"] for a in answers}) == 1
    sent = service.control("GET", "/requests", params={"provider": "hubspot", "method": "POST"})
    paths = [r["path"] for r in sent if "/notes" in r["path"]]
    assert len([p for p in paths if p.endswith("/notes")]) == 1, paths
    changed = hub.call(
        "POST", f"/hubspot/contacts/{contact}/activity", json={"content": "twice"}, headers={"Idempotency-Key": key}
    )
    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = hub.call("POST", f"/hubspot/contacts/{contact}/sync", headers={"Idempotency-Key": key})
    assert elsewhere.status_code == 422


@pytest.mark.parametrize(("method", "path"), [("POST", r"/crm/.*/contacts"), ("PATCH", r"/crm/.*/contacts/.*")])
def test_a_contact_that_was_written_is_never_said_not_to_be(hub, service, method, path):
    """HubSpot creates or changes the contact and answers with something that no later try could read either."""
    who = person()
    contact = hub.contact(**who)
    if method == "PATCH":
        assert hub.call("POST", f"/hubspot/contacts/{contact}/sync").status_code == 200
        hub.contact(**{**who, "name": "Grace Murray", "id": contact})
    fault = {"provider": "hubspot", "method": method, "path": path, "status": 200, "body": [], "commit": True}
    [number] = service.control("POST", "/faults", json=fault)["ids"]
    answer = hub.call("POST", f"/hubspot/contacts/{contact}/sync")
    met = {f["id"]: f["hits"] for f in service.control("GET", "/faults")}[number]
    service.control("DELETE", "/faults")
    assert met == 1
    assert answer.status_code == 200, answer.text
    records = service.control("GET", "/hubspot/records", params={"kind": "contact"})
    [record] = [r for r in records if r["properties"].get("email") == who["email"]]
    assert record["properties"]["lastname"] == ("Murray" if method == "PATCH" else "Hopper")
    assert answer.json()["record"]["id"] == str(record["id"])


def test_a_key_replays_a_sync_and_an_action(hub):
    contact = hub.contact(**person())
    for path, body in ((f"/hubspot/contacts/{contact}/sync", None), ("/hubspot/action", {"action": "get_companies"})):
        key = {"Idempotency-Key": uuid4().hex}
        first, second = (hub.call("POST", path, json=body, headers=key) for _ in range(2))
        assert first.status_code == 200, first.text
        assert first.json() == second.json()
        assert second.headers["Idempotent-Replayed"] == "true"


def test_a_pause_longer_than_the_wait_is_429_on_a_read_and_202_on_a_write(hub, service):
    contact = hub.contact(**person())
    fault = {"provider": "hubspot", "status": 429, "retry_after": 30, "times": 1}
    service.control("POST", "/faults", json=fault)
    read = hub.call("GET", f"/hubspot/contacts/{contact}", headers={"Prefer": "wait=5"})
    assert (read.status_code, read.json()["code"]) == (429, "throttled"), read.text
    assert int(read.headers["Retry-After"]) >= 29
    service.control("POST", "/faults", json=fault)
    began = time.monotonic()
    write = hub.call("POST", f"/hubspot/contacts/{contact}/sync", headers={"Prefer": "wait=2"})
    assert write.status_code == 202, write.text
    assert time.monotonic() - began < 5


@pytest.fixture
def always(service):
    """Arms a fault that HubSpot's double keeps to until the test has ended."""
    yield lambda **fault: service.control("POST", "/faults", json={"provider": "hubspot", "times": -1, **fault})
    service.control("DELETE", "/faults")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "body": {"message": "ada@example.com is odd"}},
        {"status": 403, "body": {"message": "no scope"}},
        {"status": 302, "headers": {"location": "/elsewhere"}},
    ],
    ids=["400", "403", "302"],
)
def test_a_final_failure_is_answered_as_itself(hub, service, always, fault):
    contact = hub.contact(**person())
    since = service.control("GET", "/requests")[-1]["n"]
    always(**fault)
    answer = hub.call("GET", f"/hubspot/contacts/{contact}")
    assert (answer.status_code, answer.json()["code"]) == (502, "provider_error"), answer.text
    assert answer.json()["details"]["provider_status"] == fault["status"]
    assert "ada@" not in answer.text
    assert service.control("GET", "/requests/count", params={"provider": "hubspot", "since": since})["count"] == 1


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("action", {"status": 503, "body": {"message": "busy"}}),
        ("lookup", {"status": 200, "body": "<html>", "content_type": "text/html"}),
        ("lookup", {"cut": "before"}),
        ("lookup", {"cut": "body"}),
    ],
    ids=["503", "html", "cut before", "cut within"],
)
def test_a_failure_that_may_pass_is_tried_again_and_its_caller_asks_later(hub, service, always, fault, what):
    contact = hub.contact(**person())
    always(**fault)
    answer = (
        hub.call("GET", f"/hubspot/contacts/{contact}", headers={"Prefer": "wait=1"})
        if what == "lookup"
        else hub.call("POST", "/hubspot/action", json={"action": "get_deals"}, headers={"Prefer": "wait=1"})
    )
    assert answer.status_code == 202, answer.text
    running = hub.call("GET", f"/operations/{answer.json()['operation_id']}", headers={"Prefer": "wait=0"}).json()
    assert running["status"] == "running"
    service.control("DELETE", "/faults")
    found = ended(hub, answer.json()["status_url"])
    assert (found["kind"], found["status"]) == (what, "succeeded"), found
