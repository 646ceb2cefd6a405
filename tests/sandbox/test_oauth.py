import base64
import hashlib

import httpx
import pytest

PROVIDERS = ["hubspot", "zendesk", "schedly"]
READS = {
    "hubspot": ("/account-info/2026-09/details", {}),
    "zendesk": ("/api/v2/users/me", {}),
    "schedly": ("/v2/me", {}),
}


async def status(world, name, token):
    path, headers = READS[name]
    return (await world.call(name, "GET", path, token, headers=headers)).status_code


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_code_buys_tokens_that_open_the_api_and_expire(world, name):
    tokens = await world.connect(name)
    assert await status(world, name, tokens["access_token"]) == 200
    assert await status(world, name, "made-up") == 401
    await world.control("POST", "clock", {"advance": 1801})
    assert await status(world, name, tokens["access_token"]) == 401
    fresh = (await world.refresh(name, tokens["refresh_token"])).json()
    assert await status(world, name, fresh["access_token"]) == 200


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_code_is_good_once_and_only_for_its_redirect_and_verifier(world, name):
    code = await world.code(name)
    assert (await world.token(name, grant_type="authorization_code", code=code)).status_code == 200
    assert (await world.token(name, grant_type="authorization_code", code=code)).status_code == 400
    code = await world.code(name)
    other = {"grant_type": "authorization_code", "code": code, "redirect_uri": "https://other.example"}
    assert (await world.token(name, **other)).status_code == 400
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"verifier" * 8).digest()).rstrip(b"=").decode()
    code = await world.code(name, code_challenge=challenge, code_challenge_method="S256")
    wanted = {"grant_type": "authorization_code", "code": code}
    assert (await world.token(name, **wanted)).status_code == 400
    assert (await world.token(name, **wanted, code_verifier="wrong")).status_code == 400
    assert (await world.token(name, **wanted, code_verifier="verifier" * 8)).status_code == 200


@pytest.mark.parametrize("name", PROVIDERS)
async def test_an_old_code_is_refused(world, name):
    code = await world.code(name)
    await world.control("POST", "clock", {"advance": 121 if name == "zendesk" else 601})
    assert (await world.token(name, grant_type="authorization_code", code=code)).status_code == 400


@pytest.mark.parametrize(
    ("name", "status_code", "key", "value"),
    [
        ("hubspot", 400, "status", "BAD_CLIENT_SECRET"),
        ("zendesk", 401, "error", "invalid_client"),
        ("schedly", 401, "error", "invalid_client"),
    ],
)
async def test_a_wrong_secret_gets_the_providers_own_error(world, name, status_code, key, value):
    answer = await world.token(name, grant_type="refresh_token", refresh_token="x", client_secret="wrong")
    assert (answer.status_code, answer.json()[key]) == (status_code, value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("hubspot", "status", "BAD_REFRESH_TOKEN"),
        ("zendesk", "error", "invalid_grant"),
        ("schedly", "error", "invalid_grant"),
    ],
)
async def test_a_dead_refresh_token_gets_the_providers_own_error(world, name, key, value):
    answer = await world.refresh(name, "never-issued")
    assert (answer.status_code, answer.json()[key]) == (400, value)


async def test_hubspot_keeps_the_refresh_token_and_names_scopes_as_a_list(world):
    tokens = await world.connect("hubspot")
    fresh = (await world.refresh("hubspot", tokens["refresh_token"])).json()
    assert fresh["refresh_token"] == tokens["refresh_token"]
    assert fresh["access_token"] != tokens["access_token"]
    assert isinstance(fresh["scopes"], list)


async def test_zendesk_kills_the_old_pair_at_once(world):
    tokens = await world.connect("zendesk")
    fresh = (await world.refresh("zendesk", tokens["refresh_token"])).json()
    assert await status(world, "zendesk", tokens["access_token"]) == 401
    assert (await world.refresh("zendesk", tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert await status(world, "zendesk", fresh["access_token"]) == 200


async def test_schedly_rotates_and_the_old_refresh_token_stays_usable(world):
    tokens = await world.connect("schedly")
    first = (await world.refresh("schedly", tokens["refresh_token"])).json()
    assert first["refresh_token"] != tokens["refresh_token"]
    assert (await world.refresh("schedly", tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize("name", PROVIDERS)
async def test_reuse_detection_ends_the_whole_family(world, name):
    await world.control("POST", f"{name}/settings", {"rotation": "rotate_with_reuse_detection"})
    tokens = await world.connect(name)
    fresh = (await world.refresh(name, tokens["refresh_token"])).json()
    assert (await world.refresh(name, tokens["refresh_token"])).status_code == 400
    assert await status(world, name, fresh["access_token"]) == 401
    assert (await world.refresh(name, fresh["refresh_token"])).status_code == 400


async def test_a_grace_window_closes(world):
    await world.control("POST", "zendesk/settings", {"rotation": "rotate_with_grace", "grace_seconds": 30})
    tokens = await world.connect("zendesk")
    assert (await world.refresh("zendesk", tokens["refresh_token"])).status_code == 200
    await world.control("POST", "clock", {"advance": 20})
    assert (await world.refresh("zendesk", tokens["refresh_token"])).status_code == 200
    await world.control("POST", "clock", {"advance": 20})
    assert (await world.refresh("zendesk", tokens["refresh_token"])).status_code == 400


async def test_zendesk_tells_a_lifetime_only_when_asked(world):
    code = await world.code("zendesk")
    silent = await world.token("zendesk", grant_type="authorization_code", code=code)
    assert "expires_in" not in silent.json()
    refresh = silent.json()["refresh_token"]
    wanted = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert (await world.token("zendesk", **wanted, expires_in="200")).status_code == 400
    told = (await world.token("zendesk", **wanted, expires_in="300")).json()
    assert told["expires_in"] == 300
    await world.control("POST", "clock", {"advance": 301})
    assert await status(world, "zendesk", told["access_token"]) == 401


async def test_zendesk_takes_json_hubspot_takes_forms(world):
    body = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "app"}
    form = await world.http.post("https://acme.zendesk.com/oauth/tokens", data=body)
    assert (form.status_code, form.json()["error"]) == (400, "invalid_request")
    json = await world.http.post("https://api.hubapi.com/oauth/2026-09/token", json=body)
    assert (json.status_code, json.json()["status"]) == (400, "BAD_REQUEST")


async def test_a_zendesk_token_belongs_to_its_subdomain(world):
    tokens = await world.connect("zendesk")
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    other = await world.http.get("https://other.zendesk.com/api/v2/users/me", headers=headers)
    assert other.status_code == 401


async def test_zendesk_answers_anonymous_without_credentials_and_revokes_by_id(world):
    anonymous = await world.call("zendesk", "GET", "/api/v2/users/me")
    assert (anonymous.status_code, anonymous.json()["user"]["id"]) == (200, None)
    token = (await world.connect("zendesk"))["access_token"]
    number = (await world.call("zendesk", "GET", "/api/v2/oauth/tokens/current", token)).json()["token"]["id"]
    assert (await world.call("zendesk", "DELETE", f"/api/v2/oauth/tokens/{number}", token)).status_code == 204
    assert await status(world, "zendesk", token) == 401


async def test_hubspot_introspects_and_revokes(world):
    tokens = await world.connect("hubspot")
    client = {"client_id": "app", "client_secret": "sandbox-hubspot-secret", "token": tokens["refresh_token"]}
    url = "https://api.hubapi.com/oauth/2026-09/token"
    assert (await world.http.post(f"{url}/introspect", data=client)).json() == {"active": True}
    assert (await world.http.post(f"{url}/revoke", data=client)).status_code == 204
    assert (await world.http.post(f"{url}/introspect", data=client)).json() == {"active": False}
    assert (await world.refresh("hubspot", tokens["refresh_token"])).status_code == 400


async def test_expire_and_revoke_from_the_control_plane(world):
    tokens = await world.connect("schedly")
    await world.control("POST", "schedly/expire")
    assert await status(world, "schedly", tokens["access_token"]) == 401
    fresh = (await world.refresh("schedly", tokens["refresh_token"])).json()
    assert await status(world, "schedly", fresh["access_token"]) == 200
    await world.control("POST", "schedly/revoke")
    assert (await world.refresh("schedly", fresh["refresh_token"])).status_code == 400


async def test_a_browser_sees_a_consent_page_and_decides(world):
    url = "http://sandbox/_host/app.hubspot.com/oauth/authorize"
    query = {"client_id": "<app>", "redirect_uri": "https://app.example/cb?a=1", "scope": "oauth", "state": "s t"}
    page = await world.http.get(url, params=query, headers={"accept": "text/html,*/*"})
    assert "Approve" in page.text
    assert "&lt;app&gt;" in page.text
    denied = await world.http.post(url, params=query, data={"decision": "deny"})
    back = httpx.URL(denied.headers["location"]).params
    assert (back["error"], back["state"], back["a"]) == ("access_denied", "s t", "1")
    approved = await world.http.post(url, params=query, data={"decision": "approve"})
    assert "code" in httpx.URL(approved.headers["location"]).params


async def test_what_is_wrong_with_the_request_stays_on_the_providers_page(world):
    query = {"client_id": "app", "redirect_uri": "https://a.example", "scope": "crm.objects.calls.write"}
    answer = await world.http.get("https://app.hubspot.com/oauth/authorize", params=query)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_missing_scope_is_forbidden(world):
    token = (await world.connect("hubspot", scope="oauth"))["access_token"]
    answer = await world.call("hubspot", "GET", "/crm/objects/2026-09/contacts", token)
    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
    token = (await world.connect("zendesk", scope="read tickets"))["access_token"]
    assert (await world.call("zendesk", "GET", "/api/v2/macros", token)).status_code == 403
