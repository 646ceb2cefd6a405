"""Whatever is sent, the answer is a 4xx in the one shape, and names what is wrong."""

import json

import pytest

from supportly import providers
from supportly.contracts.answers import Capabilities

NOTE = "/hubspot/contacts/1/activity"


def shaped(answer, status, code, field=None):
    body = answer.json()
    assert answer.status_code == status, answer.text
    assert set(body) == {"error", "code", "request_id", "details"}
    assert body["code"] == code
    assert body["request_id"] == answer.headers["X-Request-Id"]
    if field is not None:
        assert body["details"]["field"] == field, body
    return body


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "field"),
    [
        ("POST", "/hubspot/callback", {}, "invalid_input", "code"),
        ("POST", "/hubspot/callback", {"code": ""}, "invalid_input", "code"),
        ("POST", "/hubspot/callback", {"code": 5}, "invalid_input", "code"),
        ("POST", "/hubspot/callback", {"code": "x" * 5000}, "invalid_input", "code"),
        ("POST", "/hubspot/callback", {"code": "x", "state": {"a": 1}}, "invalid_input", "state"),
        ("POST", "/hubspot/callback", {"code": "x", "code_verifier": "short"}, "invalid_input", "code_verifier"),
        ("POST", "/hubspot/callback", {"code": "x", **{f"p{n}": "y" for n in range(50)}}, "invalid_input", "body"),
        ("POST", "/hubspot/callback", {"error": "access_denied", "state": "s"}, "authorization_denied", None),
        ("POST", "/hubspot/callback", {"code": "never-issued"}, "invalid_authorization", None),
        ("POST", "/hubspot/callback", {"code": "never-issued", "state": "nor-this"}, "invalid_authorization", None),
        ("POST", "/hubspot/connect", {"code_challenge": "short"}, "invalid_input", "code_challenge"),
        ("POST", "/hubspot/connect", {"code_challenge_method": "plain"}, "invalid_input", "code_challenge_method"),
        ("POST", "/hubspot/connect", {"replace": "yes"}, "invalid_input", "replace"),
        ("POST", "/zendesk/connect", {}, "invalid_input", "subdomain"),
        ("POST", "/zendesk/connect", {"subdomain": "evil.com/"}, "invalid_input", "subdomain"),
        ("POST", "/zendesk/connect", {"subdomain": "acme\n"}, "invalid_input", "subdomain"),
        ("POST", "/zendesk/connect", {"subdomain": ["acme"]}, "invalid_input", "subdomain"),
        ("POST", NOTE, {}, "invalid_input", "content"),
        ("POST", NOTE, {"content": ""}, "invalid_input", "content"),
        ("POST", NOTE, {"content": " \n\t "}, "invalid_input", "content"),
        ("POST", NOTE, {"content": 7}, "invalid_input", "content"),
        ("POST", NOTE, {"content": None}, "invalid_input", "content"),
        ("POST", NOTE, {"content": "x" * 65_537}, "invalid_input", "content"),
        ("POST", NOTE, {"content": "nul \x00"}, "invalid_input", "content"),
        ("POST", NOTE, {"content": "hi", "activity_type": "fax"}, "unknown_choice", "activity_type"),
        ("POST", NOTE, {"content": "hi", "activity_type": None}, "invalid_input", "activity_type"),
        ("POST", NOTE, {"content": "hi", "target": ""}, "invalid_input", "target"),
        ("POST", "/hubspot/action", {}, "invalid_input", "action"),
        ("POST", "/hubspot/action", {"action": ""}, "invalid_input", "action"),
        ("POST", "/hubspot/action", {"action": "fly"}, "unknown_choice", "action"),
        ("POST", "/hubspot/action", {"action": "get_deals", "params": []}, "invalid_input", "params"),
        ("POST", "/hubspot/action", {"action": "get_deals", "params": "x"}, "invalid_input", "params"),
        ("POST", "/hubspot/action", {"action": "get_deals", "params": {"limit": 1000}}, "invalid_input",
         "params.limit"),
        ("POST", "/hubspot/action", {"action": "get_deals", "params": {"wat": 1}}, "invalid_input", "params.wat"),
        ("POST", "/hubspot/action", {"action": "get_deals", "params": {"limit": 10**30}}, "invalid_input",
         "params.limit"),
        ("PUT", "/hubspot/settings", {}, "invalid_input", "settings"),
        ("PUT", "/hubspot/settings", {"settings": []}, "invalid_input", "settings"),
        ("PUT", "/hubspot/settings", {"settings": None}, "invalid_input", "settings"),
        ("PUT", "/hubspot/settings", {"settings": {"colour": 1}}, "unknown_choice", "settings.colour"),
        ("PUT", "/hubspot/settings", {"settings": {"sync_interval_minutes": "60"}}, "invalid_input",
         "settings.sync_interval_minutes"),
        ("PUT", "/hubspot/settings", {"settings": {"sync_interval_minutes": 1}}, "invalid_input",
         "settings.sync_interval_minutes"),
        ("PUT", "/hubspot/settings", {"settings": {"streams": ["secrets"]}}, "unknown_choice", "settings.streams.0"),
        ("PUT", "/hubspot/settings", {"settings": {"streams": "products"}}, "invalid_input", "settings.streams"),
        ("PUT", "/hubspot/settings", {"settings": {"field_mapping": {"phone": "shoe_size"}}}, "unknown_choice",
         "settings.field_mapping.phone"),
        ("PUT", "/hubspot/settings", {"settings": {"field_mapping": {"phone": 3}}}, "invalid_input",
         "settings.field_mapping.phone"),
        ("PUT", "/schedly/settings", {"settings": {"field_mapping": {"phone": "name"}}}, "unsupported_by_provider",
         "settings.field_mapping"),
        ("PUT", "/schedly/settings", {"settings": {"captain_scheduling_enabled": "yes"}}, "invalid_input",
         "settings.captain_scheduling_enabled"),
        ("PUT", "/schedly/settings", {"settings": {"default_event_type_id": 17}}, "invalid_input",
         "settings.default_event_type_id"),
        ("POST", "/schedly/contacts/1/sync", {}, "unsupported_by_provider", None),
        ("POST", "/jira/connect", {"site": "acme.evil.example"}, "invalid_input", "site"),
        ("POST", "/shopify/connect", {"shop": "evil.example"}, "invalid_input", "shop"),
        ("POST", "/salesforce/connect", {"domain": "evil.example"}, "invalid_input", "domain"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(blank, method, path, body, code, field):
    shaped(blank.call(method, path, json=body), 422, code, field)


def test_what_is_allowed_is_listed(blank):
    kinds = blank.call("POST", NOTE, json={"content": "hi", "activity_type": "fax"}).json()["details"]["allowed"]
    assert kinds == ["note", "call", "task"]
    actions = blank.call("POST", "/hubspot/action", json={"action": "fly"}).json()["details"]["allowed"]
    assert {"get_deals", "get_companies", "search_contacts"} <= set(actions)
    settings = blank.call("PUT", "/schedly/settings", json={"settings": {"x": 1}}).json()["details"]["allowed"]
    assert {"captain_scheduling_enabled", "default_event_type_id", "default_routing_config_id"} <= set(settings)


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (b"{", "invalid_json", "body"),
        (b"nonsense", "invalid_json", "body"),
        (b"\xff\xfe", "invalid_json", "body"),
        (b'{"content": NaN}', "invalid_json", "body"),
        (b"[" * 100_000, "invalid_json", "body"),
        (b'{"content": ' + b"9" * 5000 + b"}", "invalid_json", "body"),
        (b"[]", "invalid_input", "body"),
        (b'"text"', "invalid_input", "body"),
        (b"null", "invalid_input", "body"),
        (b'{"content": "a", "content": "b"}', "invalid_input", "content"),
        (b'{"content": "\\ud800"}', "invalid_input", "content"),
        (b'{"content": "a", "\\u0000": 1}', "invalid_input", "(key)"),
        (b'{"content": 1e999}', "invalid_input", "content"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "invalid_input", None),
    ],
)
def test_a_body_that_is_no_proper_json_is_refused(blank, raw, code, field):
    answer = blank.call("POST", NOTE, content=raw, headers={"Content-Type": "application/json"})
    shaped(answer, 422, code, field)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_wrong_content_type_is_named(blank, kind):
    answer = blank.call("POST", NOTE, content=b'{"content": "hi"}', headers={"Content-Type": kind})
    shaped(answer, 415, "unsupported_media_type", "Content-Type")


def test_a_body_of_two_megabytes_is_refused_declared_or_not(blank):
    body = json.dumps({"content": "x" * 2_000_000}).encode()
    kind = {"Content-Type": "application/json"}
    shaped(blank.call("POST", NOTE, content=body, headers=kind), 413, "body_too_large", "body")
    pieces = (body[i : i + 65_536] for i in range(0, len(body), 65_536))
    shaped(blank.call("POST", NOTE, content=pieces, headers=kind), 413, "body_too_large", "body")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/HUBSPOT", 404),
        ("POST", "/nope/connect", 404),
        ("GET", "/hubspot/contacts/abc", 404),
        ("GET", "/hubspot/contacts/0", 404),
        ("GET", "/hubspot/contacts/99999999999999999999999", 404),
        ("GET", "/hubspot/contacts/%00", 404),
        ("GET", "/operations/not-a-uuid", 404),
        ("GET", "/operations/6f0d6c1e-6d1b-4a53-9a43-0f6f6f7a1b11", 404),
        ("GET", "/hubspot/no/such/path", 404),
        ("GET", "/hubspot/", 404),
        ("PATCH", "/hubspot/settings", 405),
        ("GET", "/hubspot/connect", 405),
        ("POST", "/hubspot/contacts/1/sync?dry_run=perhaps", 422),
    ],
)
def test_an_address_that_is_not_there(blank, method, path, status):
    answer = blank.call(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "code", "request_id", "details"}


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_an_idempotency_key_that_cannot_be_one(blank, key):
    answer = blank.call("POST", "/hubspot/connect", json={}, headers={"Idempotency-Key": key})
    shaped(answer, 422, "invalid_input", "Idempotency-Key")


def test_strangers_learn_nothing_about_their_body(blank):
    answer = blank.http.post(blank.base + NOTE, content=b"{", headers={"api_access_token": "spl_no"})
    shaped(answer, 401, "not_authenticated")


@pytest.mark.parametrize(("sent", "kept"), [("abc.DEF_1-2", True), ("x" * 64, True), ("x" * 65, False), ("a b", False)])
def test_the_request_id_is_taken_or_made(blank, sent, kept):
    answer = blank.call("GET", headers={"X-Request-Id": sent})
    assert (answer.headers["X-Request-Id"] == sent) == kept
    assert answer.headers["X-Request-Id"]


def test_a_provider_that_is_announced_answers_its_page_only(blank, monkeypatch):
    monkeypatch.setattr(providers.get("slack"), "available", False, raising=False)
    monkeypatch.setattr(providers.get("slack"), "planned", Capabilities(contact_lookup=True), raising=False)
    shown = blank.call("GET", "/slack")
    assert shown.status_code == 200
    assert shown.json()["available"] is False
    assert shown.json()["capabilities"]["contact_lookup"] is True
    for method, path in (("POST", "connect"), ("POST", "callback"), ("DELETE", "disconnect"), ("PUT", "settings"),
                         ("GET", "contacts/1"), ("POST", "contacts/1/sync"), ("POST", "action")):  # fmt: skip
        shaped(blank.call(method, f"/slack/{path}"), 422, "provider_not_available")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/hubspot/disconnect", None),
        ("GET", "/hubspot/contacts/1", None),
        ("POST", "/hubspot/contacts/1/sync", {}),
        ("POST", NOTE, {"content": "hi"}),
        ("POST", "/hubspot/action", {"action": "get_deals"}),
    ],
)
def test_nothing_works_before_connecting(blank, method, path, body):
    shaped(blank.call(method, path, json=body), 409, "not_connected")


def test_a_number_with_a_point_is_an_integer_where_it_is_one(blank):
    """JSON has one kind of number, and `60.0` is an integer in JSON Schema."""
    kind = {"Content-Type": "application/json"}
    for text, status in (("60.0", 200), ("6e1", 200), ("60.5", 422), ("1e300", 422), ("1e999", 422)):
        raw = b'{"settings": {"sync_interval_minutes": %s}}' % text.encode()
        assert blank.call("PUT", "/hubspot/settings", content=raw, headers=kind).status_code == status, text
    assert blank.call("GET", "/hubspot").json()["settings"]["sync_interval_minutes"] == 60


def test_the_schema_of_the_settings_names_what_this_provider_has(blank):
    def field(provider, name):
        shown = blank.call("GET", f"/{provider}").json()["settings_schema"]["properties"][name]["anyOf"]
        return next(one for one in shown if one["type"] != "null")

    assert field("zendesk", "streams")["items"] == {"enum": ["articles", "macros", "tickets"]}
    assert "add_comment" in field("zendesk", "captain_actions")["items"]["enum"]
    assert field("schedly", "captain_actions")["maxItems"] == 0
    assert field("schedly", "field_mapping")["maxProperties"] == 0
    assert field("hubspot", "field_mapping")["additionalProperties"]["anyOf"][0]["enum"][0] == "name"


def test_a_key_without_a_name_is_called_so(blank):
    kind = {"Content-Type": "application/json"}
    shaped(blank.call("POST", NOTE, content=b'{"": {"x": 1e400}}', headers=kind), 422, "invalid_input", "(empty key).x")
    shaped(blank.call("POST", NOTE, content=b'{"": 1, "": 2}', headers=kind), 422, "invalid_input", "(empty key)")


@pytest.mark.parametrize(
    "start", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "9999-12-31", "0001-01-01"]
)
def test_the_ends_of_the_calendar_are_no_times(blank, start):
    """Nothing can be added to them or taken from them: they ended as a failure of our own."""
    params = {"start": start, "end": "2026-12-01T00:00:00Z"}
    answer = blank.call("POST", "/schedly/action", json={"action": "get_available_slots", "params": params})
    shaped(answer, 422, "invalid_input", "params.start")
