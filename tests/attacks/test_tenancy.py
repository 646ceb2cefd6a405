"""Three tenants, both roles, every endpoint: what is another's reads like what never was, and takes the same work.

Ada has everything: connections, a contact, an operation, a run of a sync, knowledge. Mallory has connections and a
contact, Grace has nothing; both know all of the ids that are Ada's.
"""

import json
import statistics
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Engine, event

from api.app import create_app
from supportly.settings import Settings
from tests.attacks.conftest import WHOLE
from tests.attacks.people import Caller
from tests.caller import consent, until

ADA, MALLORY, GRACE = 3_920_000, 3_920_001, 3_920_002
NOBODY = 3_929_999
"""An account that nobody has; contacts and records of these numbers are nobody's either."""
ROLES = ("administrator", "agent")
DOCUMENT = create_app(Settings()).openapi()["paths"]
PREFIX = "/api/v1/accounts/{account_id}/supportly_integrations"
BODIES = {
    "/{provider}/connect": {"subdomain": "acme"},
    "/{provider}/callback": {"code": "x", "state": "y"},
    "/{provider}/contacts/{contact_id}/activity": {"content": "x"},
    "/{provider}/action": {"action": "search_tickets", "params": {"query": "x"}},
    "/{provider}/settings": {"settings": {}},
    "/{provider}/knowledge/toggle": {"enabled": False},
}
ENDPOINTS = [
    (method.upper(), path.removeprefix(PREFIX))
    for path, operations in DOCUMENT.items()
    for method in operations
    if path.startswith(PREFIX)
]
EVERY_ENDPOINT = pytest.mark.parametrize(("method", "path"), ENDPOINTS, ids=[f"{m} {p or '/'}" for m, p in ENDPOINTS])


@dataclass
class Tenants:
    """Callers by account and role, and ids of Ada's."""

    callers: dict[tuple[int, str], Caller]
    contact: int = ADA * 10
    operation: str = ""
    run: str = ""
    titles: list[str] = field(default_factory=list)

    def caller(self, account: int, role: str = "administrator") -> Caller:
        return self.callers[account, role]


@pytest.fixture(scope="module")
def tenants(register, http, sandbox) -> Tenants:
    """A module's worth of tenants; no test changes what is Ada's."""
    register.known(ADA, MALLORY, GRACE)
    people = {
        (account, role): register.caller(http, account, role) for account in (ADA, MALLORY, GRACE) for role in ROLES
    }
    made = Tenants(people)
    sandbox("POST", "/demo")
    sandbox(
        "POST",
        "/supportly/seed",
        json={
            "contacts": [
                {"id": account * 10, "account_id": account, "name": "Ada Lindgren", "email": f"a{account}@example.com"}
                for account in (ADA, MALLORY)
            ]
        },
    )
    for account in (ADA, MALLORY):
        admin = made.caller(account)
        started = admin.start("zendesk", subdomain="acme")
        assert admin.finish("zendesk", **consent(started["authorization_url"])).status_code == 200
    ada = made.caller(ADA)
    synced = ada.call("POST", f"/zendesk/contacts/{made.contact}/sync")
    assert synced.status_code == 200, synced.text
    noted = ada.call("POST", f"/zendesk/contacts/{made.contact}/activity", json={"content": "A secret of Ada's"})
    assert noted.status_code == 200, noted.text
    made.operation = noted.json()["operation_id"]
    assert ada.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True}).status_code == 200

    def ended():
        [shown] = ada.call("GET", "/knowledge/status").json()["providers"]
        return shown if shown["state"] == "succeeded" else None

    shown = until(ended, timeout=120)
    assert shown["documents"] > 5
    made.run = shown["last_run"]["run_id"]
    hits = ada.call("GET", "/knowledge/search?q=reset+my+password&limit=20").json()["hits"]
    made.titles = [hit["title"] for hit in hits]
    assert len(made.titles) > 3
    return made


def asked(caller: Caller, method: str, path: str, account: int, contact: int = NOBODY, operation: str = ""):
    """The answer to one request, aimed at `account`, without what differs from one request to the next."""
    body = BODIES.get(path)
    path = path.format(provider="zendesk", contact_id=contact, operation_id=operation or uuid.uuid4())
    url = f"{PREFIX.format(account_id=account)}{path}"
    answer = caller.http.request(method, url, json=body, headers={"api_access_token": caller.token})
    return told(answer)


def told(answer):
    """Status, headers and body without the request's id and the date."""
    headers = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")}
    return answer.status_code, headers, answer.text.replace(answer.headers["x-request-id"], "-" * 32)


def test_every_endpoint_is_attacked():
    assert len(ENDPOINTS) >= 15
    assert set(BODIES) <= {path for _, path in ENDPOINTS}


@EVERY_ENDPOINT
@pytest.mark.parametrize("role", ROLES)
def test_a_foreign_account_reads_like_one_that_is_not(tenants, method, path, role):
    for attacker in (MALLORY, GRACE):
        caller = tenants.caller(attacker, role)
        known = {"contact": tenants.contact, "operation": tenants.operation}
        foreign = asked(caller, method, path, ADA, **known)
        assert foreign[0] == 404
        assert foreign == asked(caller, method, path, NOBODY, **known)
        assert foreign == asked(caller, method, path, ADA)
        assert foreign == asked(tenants.caller(ADA, role), method, path, GRACE, **known)


OWN_ACCOUNT = [
    ("GET", "/zendesk/contacts/{contact}", None),
    ("POST", "/zendesk/contacts/{contact}/sync", None),
    ("POST", "/zendesk/contacts/{contact}/sync?dry_run=true", None),
    ("POST", "/zendesk/contacts/{contact}/activity", {"content": "x"}),
    ("GET", "/operations/{operation}", None),
    ("POST", "/zendesk/knowledge/sync", {"confirm_deletes": "{run}"}),
    ("POST", "/zendesk/knowledge/sync", {"reject_deletes": "{run}"}),
    ("POST", "/zendesk/knowledge/sync", {"undo_deletes": "{run}"}),
]
EVERY_ID = pytest.mark.parametrize(("method", "path", "body"), OWN_ACCOUNT, ids=[f"{m} {p}" for m, p, _ in OWN_ACCOUNT])


def inside(caller: Caller, method: str, path: str, body, *, contact, operation, run):
    """One request in the caller's own account, about somebody's ids."""
    ids = {"contact": contact, "operation": operation, "run": run}
    filled = {name: value.format(**ids) for name, value in body.items()} if body else None
    return told(caller.call(method, path.format(**ids), json=filled))


@EVERY_ID
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("attacker", [MALLORY, GRACE], ids=["mallory", "grace"])
def test_a_foreign_id_in_ones_own_account_reads_like_one_that_is_not(tenants, method, path, body, role, attacker):
    caller = tenants.caller(attacker, role)
    adas = {"contact": tenants.contact, "operation": tenants.operation, "run": tenants.run}
    nobodys = {"contact": NOBODY, "operation": str(uuid.uuid4()), "run": str(uuid.uuid4())}
    foreign, unknown = (inside(caller, method, path, body, **ids) for ids in (adas, nobodys))
    assert foreign == unknown
    assert foreign[0] in (401, 404, 409), foreign
    if attacker == MALLORY and role == "administrator":
        assert foreign[0] == 404, foreign
    assert not any(str(word) in foreign[2] for word in (*adas.values(), "Ada", "secret"))


@pytest.mark.parametrize("role", ROLES)
def test_search_and_lists_hold_ones_own_alone(tenants, role):
    mallory, grace = (tenants.caller(account, role) for account in (MALLORY, GRACE))
    for title in tenants.titles:
        for more in ({}, {"provider": "zendesk"}, {"locale": "en-us"}, {"limit": 50}):
            found = [told(c.call("GET", "/knowledge/search", params={"q": title, **more})) for c in (mallory, grace)]
            assert found[0] == found[1]
            assert json.loads(found[0][2])["hits"] == []
    assert grace.call("GET", "/knowledge/status").json()["providers"] == []
    [own] = mallory.call("GET", "/knowledge/status").json()["providers"]
    assert (own["documents"], own["state"], own["last_run"]) == (0, "never_run", None)
    listed = grace.call("GET").json()["integrations"]
    assert {i["status"] for i in listed} == {"not_connected"}
    assert all(i["account_name"] is None for i in listed)


def test_a_key_of_ones_own_is_no_way_to_anothers_answer(tenants):
    """The same Idempotency-Key, address and body in two accounts are two requests."""
    key, body = {"Idempotency-Key": "shared-key"}, {"subdomain": "acme"}
    states = [
        tenants.caller(account).call("POST", "/zendesk/connect", json=body, headers=key).json()["state"]
        for account in (ADA, MALLORY, GRACE)
    ]
    assert len(set(states)) == 3


def test_captains_tools_of_a_foreign_account_are_not_there(tenants, http):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for role in ROLES:
        found = [
            told(
                http.post(
                    f"/mcp/{account}",
                    json=message,
                    headers={"api_access_token": tenants.caller(MALLORY, role).token, "Accept": "application/json"},
                )
            )
            for account in (ADA, NOBODY)
        ]
        assert found[0] == found[1]
        assert found[0][0] == 404


# --- the same work ---------------------------------------------------------------------------------------------------


@contextmanager
def statements():
    """SQL that runs in this process meanwhile: (thread, statement)."""
    seen: list[tuple[int, str]] = []

    def note(_connection, _cursor, statement, _parameters, _context, _many):
        seen.append((threading.get_ident(), " ".join(statement.split())))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def api_thread(tenants):
    """The thread of the API: the one that looks tokens up."""
    with statements() as seen:
        tenants.caller(GRACE).call("GET")
    [thread] = {where for where, statement in seen if "api_tokens" in statement}
    return thread


def work(api_thread, sandbox, what):
    """What the API asks the database, and what anybody asks Supportly, while `what` is answered."""
    sandbox("DELETE", "/requests")
    with statements() as seen:
        what()
    asked_for = [
        (entry["method"], "contacts" if "/contacts/" in entry["path"] else entry["path"])
        for entry in sandbox("GET", "/requests?provider=supportly")
    ]
    # The account is written into one statement, and a transaction begins with it.
    said = [statement.partition("supportly.account_id =")[0] for where, statement in seen if where == api_thread]
    return said, asked_for


@EVERY_ENDPOINT
def test_a_foreign_account_takes_the_work_of_one_that_is_not(tenants, api_thread, sandbox, method, path):
    """One look at the token, and nothing that depends on the account."""
    caller = tenants.caller(MALLORY)
    known = {"contact": tenants.contact, "operation": tenants.operation}
    foreign, unknown = (
        work(api_thread, sandbox, lambda account=account: asked(caller, method, path, account, **known))
        for account in (ADA, NOBODY)
    )
    assert foreign == unknown
    assert sum("api_tokens" in statement for statement in foreign[0]) == 1
    assert len(foreign[0]) <= 2
    assert foreign[1] == []


@EVERY_ID
def test_a_foreign_id_takes_the_work_of_one_that_is_not(tenants, api_thread, sandbox, method, path, body):
    caller = tenants.caller(MALLORY)
    adas = {"contact": tenants.contact, "operation": tenants.operation, "run": tenants.run}
    nobodys = {"contact": NOBODY, "operation": str(uuid.uuid4()), "run": str(uuid.uuid4())}
    foreign, unknown = (
        work(api_thread, sandbox, lambda ids=ids: inside(caller, method, path, body, **ids)) for ids in (adas, nobodys)
    )
    assert foreign == unknown
    assert foreign[0]


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE, reason="a measurement: `make proofs` reports it")
def test_how_long_foreign_and_unknown_take(tenants, figure):
    """Reported, not asserted: medians of requests one after another, in turn."""
    caller = tenants.caller(MALLORY)
    pairs = {
        "account": (
            f"/api/v1/accounts/{ADA}/supportly_integrations",
            f"/api/v1/accounts/{NOBODY}/supportly_integrations",
        ),
        "operation": (f"{caller.base}/operations/{tenants.operation}", f"{caller.base}/operations/{uuid.uuid4()}"),
        "contact": (f"{caller.base}/zendesk/contacts/{tenants.contact}", f"{caller.base}/zendesk/contacts/{NOBODY}"),
    }
    for what, urls in pairs.items():
        taken: tuple[list[float], list[float]] = ([], [])
        for turn in range(300):
            for one in (turn % 2, 1 - turn % 2):
                began = time.perf_counter()
                answer = caller.http.get(urls[one], headers={"api_access_token": caller.token})
                taken[one].append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 404
        foreign, unknown = (statistics.quantiles(times, n=20) for times in taken)
        figure(
            f"{what}: foreign {foreign[9]:.2f} ms (5 to 95 %: {foreign[0]:.2f} to {foreign[18]:.2f}), "
            f"unknown {unknown[9]:.2f} ms ({unknown[0]:.2f} to {unknown[18]:.2f})"
        )
