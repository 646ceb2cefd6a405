"""Connect, callback, disconnect, over HTTP against the provider doubles."""

import base64
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.caller import consent

SECRET_WORDS = ("access_token", "refresh_token", "client_secret", "verifier", "sandbox-hubspot-secret")


@pytest.fixture
def hub_of_its_own(account):
    """HubSpot's account of this test alone: a grant that other accounts share would not be revoked."""
    control, usual = account.service.control, account.service.control("GET", "/hubspot/settings")["hub_id"]
    control("POST", "/hubspot/settings", json={"hub_id": 9_000_000 + account.account_id})
    yield
    control("POST", "/hubspot/settings", json={"hub_id": usual})


@pytest.mark.usefixtures("hub_of_its_own")
def test_a_connection_lives_from_callback_to_disconnect(account):
    assert account.call("GET", "/hubspot").json()["status"] == "not_connected"
    made = account.connect("hubspot")
    assert made.status_code == 200, made.text
    assert (made.json()["status"], made.json()["connected"]) == ("connected", True)
    assert made.json()["account_name"]
    assert made.json()["connected_at"]
    shown = account.call("GET", "/hubspot", token=account.agent)
    assert shown.json()["status"] == "connected"
    assert shown.json()["settings_schema"]["properties"]
    assert {"get_deals", "get_companies", "search_contacts"} <= {a["name"] for a in shown.json()["actions"]}
    for text in (made.text, shown.text, account.call("GET").text):
        assert not any(word in text for word in SECRET_WORDS)
    listed = {i["provider"]: i for i in account.call("GET").json()["integrations"]}
    assert len(listed) == 10
    assert [p for p, i in listed.items() if i["connected"]] == ["hubspot"]
    account.call("PUT", "/hubspot/settings", json={"settings": {"sync_interval_minutes": 90}})
    gone = account.call("DELETE", "/hubspot/disconnect")
    assert (gone.status_code, gone.json()["status"]) == (200, "disconnected"), gone.text
    assert gone.json()["revoked"] in (True, "pending")
    again = account.call("DELETE", "/hubspot/disconnect")
    assert (again.status_code, again.json()["code"]) == (409, "not_connected")
    after = account.call("GET", "/hubspot").json()
    assert (after["status"], after["account_name"]) == ("not_connected", None)
    assert after["settings"]["sync_interval_minutes"] == 90


@pytest.mark.parametrize("provider", ["hubspot", "zendesk", "schedly"])
def test_the_documented_body_connects(account, provider):
    """`code` alone, without state: the one live attempt of this caller is meant."""
    host = {"subdomain": "acme"} if provider == "zendesk" else {}
    started = account.call("POST", f"/{provider}/connect", json=host).json()
    code = consent(started["authorization_url"])["code"]
    answer = account.call("POST", f"/{provider}/callback", json={"code": code})
    assert (answer.status_code, answer.json()["status"]) == (200, "connected"), answer.text


def test_a_caller_may_hold_the_verifier(account):
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    body = {"code_challenge": challenge, "code_challenge_method": "S256"}
    started = account.call("POST", "/schedly/connect", json=body).json()
    if not started["pkce"]:
        pytest.skip("this provider is configured without PKCE")
    assert challenge in started["authorization_url"]
    code = consent(started["authorization_url"])["code"]
    assert account.call("POST", "/schedly/callback", json={"code": code}).status_code == 422
    answer = account.call("POST", "/schedly/callback", json={"code": code, "code_verifier": verifier})
    assert answer.status_code == 200, answer.text


def test_a_repeated_callback_answers_the_same_and_another_code_does_not(account):
    started = account.call("POST", "/hubspot/connect").json()
    returned = consent(started["authorization_url"])
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: account.call("POST", "/hubspot/callback", json=returned), range(5)))
    assert {a.status_code for a in answers} == {200}, [a.text for a in answers]
    assert len({a.json()["connected_at"] for a in answers}) == 1
    other = account.call("POST", "/hubspot/callback", json={**returned, "code": "another"})
    assert (other.status_code, other.json()["code"]) == (422, "invalid_authorization")


def test_unknown_foreign_and_wrong_codes_read_alike(account, blank):
    started = account.call("POST", "/hubspot/connect").json()
    foreign = blank.call("POST", "/hubspot/callback", json=consent(started["authorization_url"]))
    unknown = blank.call("POST", "/hubspot/callback", json={"code": "x", "state": "unknown"})
    assert foreign.status_code == unknown.status_code == 422
    assert foreign.json()["error"] == unknown.json()["error"]
    refused = account.call("POST", "/hubspot/callback", json={"code": "made-up", "state": started["state"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_authorization"), refused.text


def test_connect_with_a_key_is_one_attempt(account):
    def ask(body):
        return account.call("POST", "/zendesk/connect", json=body, headers={"Idempotency-Key": "c1"})

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(ask, [{"subdomain": "acme"}] * 5))
    assert {a.status_code for a in answers} == {200}, [a.text for a in answers]
    assert len({a.json()["state"] for a in answers}) == 1
    other = ask({"subdomain": "another"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    # One attempt, so the documented body finds it.
    code = consent(answers[0].json()["authorization_url"])["code"]
    assert account.call("POST", "/zendesk/callback", json={"code": code}).status_code == 200


def test_two_disconnects_at_once_both_succeed(account):
    account.connect("schedly")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: account.call("DELETE", "/schedly/disconnect"), range(2)))
    assert {a.status_code for a in answers} <= {200, 409}
    assert 200 in {a.status_code for a in answers}
    assert account.call("GET", "/schedly").json()["status"] == "not_connected"


def test_settings_merge_and_null_resets(account):
    def put(settings):
        answer = account.call("PUT", "/schedly/settings", json={"settings": settings})
        assert answer.status_code == 200, answer.text
        return answer.json()["settings"]

    defaults = account.call("GET", "/schedly").json()["settings"]
    put({"captain_scheduling_enabled": True, "default_event_type_id": "17"})
    both = put({"default_routing_config_id": "r1"})
    assert (both["captain_scheduling_enabled"], both["default_event_type_id"]) == (True, "17")
    assert put(dict.fromkeys(both)) == defaults
    assert account.call("GET", "/schedly").json()["settings"] == defaults


def test_the_landing_page_shows_no_secret(service):
    page = httpx.get(f"{service.api_url}/oauth/callback/hubspot?code=c0de&state=st4te")
    assert page.status_code == 200
    assert "arrived" in page.text
    assert "c0de" not in page.text
    assert "st4te" not in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    denied = httpx.get(f"{service.api_url}/oauth/callback/hubspot?error=<script>")
    assert "Not connected" in denied.text
    assert "<script>" not in denied.text
