"""The one OAuth engine: what goes out for each kind of provider, and what an answer means."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import orjson
import pytest

from supportly.errors import NotFound, ProviderFailure, ProviderTimeout, Throttled, TokenRefused
from supportly.http import Outbound
from supportly.oauth import (
    Client,
    ClientRefused,
    Engine,
    GrantRefused,
    OAuth2,
    Scope,
    Tokens,
    authorization_url,
    challenge,
    new_state,
    new_verifier,
    read_refusal,
)

TOKEN_URL = "https://auth.acme.com/token"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
CLIENT = Client("client-1", "s3cr:et/%&=")
OLD = Tokens("old-access", "old-refresh", scopes=("read",), facts={"hub": "7"})


def facts(**changes: Any) -> OAuth2:
    return OAuth2(**{"authorize": "https://auth.acme.com/authorize", "token": TOKEN_URL, **changes})


class Wire:
    """Answers one way and keeps what was sent."""

    def __init__(self, status: int = 200, body: Any = None, **headers: str) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = (status, body if body is not None else {"access_token": "new-access"}, headers)
        self.engine = Engine(Outbound(timeout_s=1, max_bytes=10_000, transport=httpx.MockTransport(self._handle)))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status, body, headers = self._answer
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return httpx.Response(status, content=content, headers=headers)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.requests[-1].content.decode(), keep_blank_values=True))

    async def refresh(self, oauth: OAuth2 | None = None, **options: Any) -> Tokens:
        wanted = {"token_url": TOKEN_URL, "old": OLD, "now": NOW, "deadline_s": 1.0, **options}
        return await self.engine.refresh(oauth or facts(), CLIENT, **wanted)

    async def exchange(self, oauth: OAuth2 | None = None, verifier: str | None = None) -> Tokens:
        return await self.engine.exchange(
            oauth or facts(),
            CLIENT,
            token_url=TOKEN_URL,
            code="co de+1",
            redirect_uri="https://us.example/cb",
            verifier=verifier,
            now=NOW,
        )


def test_the_authorization_url_holds_everything_once():
    oauth = facts(
        scopes=(Scope("a:read", "why"), Scope("b", "why"), Scope("c", "why", optional=True)),
        optional_scope_param="optional_scope",
        authorize_params={"access_type": "offline"},
        pkce=True,
    )
    url = authorization_url(
        oauth,
        oauth.authorize,
        client_id="c 1",
        redirect_uri="https://us.example/cb?x=1",
        state="st",
        code_challenge="ch",
    )
    assert url.startswith("https://auth.acme.com/authorize?")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": ["c 1"],
        "redirect_uri": ["https://us.example/cb?x=1"],
        "state": ["st"],
        "scope": ["a:read b"],
        "optional_scope": ["c"],
        "access_type": ["offline"],
        "code_challenge": ["ch"],
        "code_challenge_method": ["S256"],
    }


def test_scopes_as_the_provider_wants_them():
    both = (Scope("a", "why"), Scope("b", "why", optional=True))
    assert facts(scopes=both, scope_separator=",").scope_text(optional=False) == "a,b"
    assert facts(scopes=both, optional_scope_param="o").scope_text(optional=False) == "a"
    assert facts(scopes=both, optional_scope_param="o").scope_text(optional=True) == "b"
    bare = authorization_url(facts(), TOKEN_URL, client_id="c", redirect_uri="r", state="s", code_challenge=None)
    assert "scope" not in bare
    assert "challenge" not in bare


def test_state_and_verifier_are_long_and_new():
    assert len({new_state() for _ in range(100)}) == 100
    assert len(base64.urlsafe_b64decode(new_state() + "=")) == 32
    assert 43 <= len(new_verifier()) <= 128
    # RFC 7636, appendix B
    assert challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


async def test_an_exchange_sends_what_the_rfc_says():
    wire = Wire()
    await wire.exchange(verifier="ver")
    assert wire.form == {
        "grant_type": "authorization_code",
        "code": "co de+1",
        "redirect_uri": "https://us.example/cb",
        "code_verifier": "ver",
        "client_id": "client-1",
        "client_secret": "s3cr:et/%&=",
    }
    assert wire.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert wire.requests[0].headers["accept"] == "application/json"
    await wire.exchange()
    assert "code_verifier" not in wire.form


async def test_client_authentication_in_the_header():
    wire = Wire()
    await wire.refresh(facts(client_auth="basic"))
    scheme, _, encoded = wire.requests[0].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(encoded).decode()) == ("Basic", "client-1:s3cr:et/%&=")
    assert wire.form == {"grant_type": "refresh_token", "refresh_token": "old-refresh"}


async def test_client_authentication_without_a_secret():
    wire = Wire()
    await wire.refresh(facts(client_auth="none"))
    assert wire.form == {"grant_type": "refresh_token", "refresh_token": "old-refresh", "client_id": "client-1"}


async def test_client_authentication_of_a_kind_of_its_own():
    def signed(client: Any, method: str, uri: str, headers: dict[str, str], body: str) -> Any:
        return uri, {**headers, "X-Signature": f"{client.client_id}:{len(body)}"}, body

    wire = Wire()
    await wire.refresh(facts(client_auth=signed))
    assert wire.requests[0].headers["x-signature"].startswith("client-1:")
    assert "client_secret" not in wire.form


async def test_a_json_body_keeps_numbers_numbers():
    wire = Wire()
    await wire.refresh(facts(body="json", token_params={"expires_in": 1800}, scopes=(Scope("a", "why"),)))
    assert wire.requests[0].headers["content-type"] == "application/json"
    assert orjson.loads(wire.requests[0].content) == {
        "grant_type": "refresh_token",
        "refresh_token": "old-refresh",
        "expires_in": 1800,
        "client_id": "client-1",
        "client_secret": "s3cr:et/%&=",
    }


async def test_scopes_go_along_where_the_provider_wants_them():
    wire = Wire()
    await wire.refresh(facts(scopes=(Scope("a", "why"), Scope("b", "why")), scope_in_token_request=True))
    assert wire.form["scope"] == "a b"


async def test_an_answer_becomes_tokens():
    body = {
        "access_token": "new-access",
        "refresh_token": "new-refresh",
        "expires_in": 300,
        "scope": "a,b c",
        "hub_id": 42,
        "other": "x",
    }
    tokens = await Wire(body=body).exchange(facts(keep=("hub_id", "missing")))
    assert (tokens.access_token, tokens.refresh_token) == ("new-access", "new-refresh")
    assert tokens.expires_at == NOW + timedelta(seconds=300)
    assert tokens.scopes == ("a", "b", "c")
    assert tokens.facts == {"hub_id": "42"}
    assert orjson.loads(tokens.dump()) == {"access_token": "new-access", "refresh_token": "new-refresh"}


async def test_what_a_refresh_omits_is_kept():
    tokens = await Wire(body={"access_token": "new-access"}).refresh()
    assert tokens.refresh_token == "old-refresh"
    assert tokens.scopes == ("read",)
    assert tokens.facts == {"hub": "7"}
    assert tokens.expires_at is None
    assert (await Wire().exchange()).refresh_token is None


@pytest.mark.parametrize(
    ("told", "assumed", "seconds"),
    [
        (60, None, 60),
        ("60", None, 60),
        (59.5, None, 59.5),
        (None, None, None),
        (None, 7200, 7200),
        (0, 7200, 7200),
        (-1, 7200, 7200),
        ("never", 7200, 7200),
        ("nan", None, None),
        (True, None, None),
        ([], None, None),
        (1e300, None, 315_360_000),
        ("inf", None, 315_360_000),
    ],
)
async def test_a_strange_life_costs_no_token(told, assumed, seconds):
    """The old refresh token may be dead by now: an answer with a token in it is never thrown away."""
    tokens = await Wire(body={"access_token": "new-access", "expires_in": told}).refresh(facts(expires_in=assumed))
    assert tokens.access_token == "new-access"
    assert tokens.expires_at == (NOW + timedelta(seconds=seconds) if seconds else None)


async def test_scopes_may_come_as_a_list():
    assert (await Wire(body={"access_token": "x", "scopes": ["a", "b"]}).exchange()).scopes == ("a", "b")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_grant"}, GrantRefused),
        (200, {"error": "invalid_grant"}, GrantRefused),  # some say so with a 200
        (401, {"error": "invalid_client"}, ClientRefused),
        (400, {"error": "unauthorized_client"}, ClientRefused),
        (401, {"error": "whatever"}, TokenRefused),
        (400, {"error": "invalid_request", "error_description": "no"}, ProviderFailure),
        (404, b"<html>", NotFound),
        (429, {}, Throttled),
        (500, b"<html>", ProviderFailure),
        (200, {"token": "?"}, ProviderFailure),
        (200, {"access_token": ""}, ProviderFailure),
        (200, {"access_token": 7}, ProviderFailure),
        (200, b"[]", ProviderFailure),
        (200, b"<html>", ProviderFailure),
        (302, b"", ProviderFailure),
    ],
)
async def test_each_refusal_is_classified_once(status, body, kind):
    with pytest.raises(kind) as caught:
        await Wire(status, body).refresh()
    assert type(caught.value) is kind


async def test_a_refusal_has_a_reason_and_tells_no_secret():
    said = "The token old-refresh-0123456789-0123456789 of ann@example.com is revoked"
    with pytest.raises(GrantRefused) as caught:
        await Wire(400, {"error": "invalid_grant", "error_description": said}).refresh()
    assert caught.value.reason == "revoked_by_user"
    assert caught.value.message == "The token […] of [e-mail] is revoked"
    assert read_refusal(400, {"error": "slow_down"}) is None


async def test_a_refresh_ends_at_its_deadline():
    async def hang(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("x")

    engine = Engine(Outbound(timeout_s=1, max_bytes=100, transport=httpx.MockTransport(hang)))
    with pytest.raises(ProviderTimeout):
        await engine.refresh(facts(), CLIENT, token_url=TOKEN_URL, old=OLD, now=NOW, deadline_s=0.1)


@pytest.mark.parametrize("url", ["http://auth.acme.com/t", "https://127.0.0.1/t", "https://u@acme.com/t", "acme", ""])
async def test_secrets_go_to_https_host_names_only(url):
    wire = Wire()
    with pytest.raises(ProviderFailure) as caught:
        await wire.refresh(token_url=url)
    assert not caught.value.sent
    with pytest.raises(ProviderFailure):
        await wire.engine.revoke(facts(), CLIENT, url=url, token="t", hint="refresh_token")
    assert not wire.requests


async def test_a_refresh_can_be_called_off_at_the_last_moment():
    def late() -> None:
        raise ProviderFailure("out of time", sent=False)

    wire = Wire()
    with pytest.raises(ProviderFailure, match="out of time"):
        await wire.refresh(before_send=late)
    assert not wire.requests


async def test_revoking():
    wire = Wire(body=b"")
    await wire.engine.revoke(facts(), CLIENT, url="https://auth.acme.com/revoke", token="t+1", hint="refresh_token")
    assert wire.form["token"] == "t+1"
    assert wire.form["token_type_hint"] == "refresh_token"
    for gone in (400, 404):
        await Wire(gone, {}).engine.revoke(facts(), CLIENT, url=TOKEN_URL, token="t", hint="x")
    for status, kind in ((401, TokenRefused), (429, Throttled), (503, ProviderFailure)):
        with pytest.raises(kind):
            await Wire(status, {}).engine.revoke(facts(), CLIENT, url=TOKEN_URL, token="t", hint="x")


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("body", [
    {"error": "invalid_client"}, {"error": "unauthorized_client"},
    {"status": "BAD_CLIENT_SECRET", "message": "missing or invalid client secret"},
    {"success": False, "message": "Invalid client: client is invalid"},
])  # fmt: skip
async def test_a_revocation_under_a_wrong_secret_is_none(status, body):
    with pytest.raises(ClientRefused, match="nothing was revoked"):
        await Wire(status, body).engine.revoke(facts(), CLIENT, url=TOKEN_URL, token="t", hint="refresh_token")


async def test_a_revocation_without_a_hint_where_none_is_documented():
    wire = Wire(body=b"")
    await wire.engine.revoke(facts(revoke_hint=False), CLIENT, url=TOKEN_URL, token="t", hint="refresh_token")
    assert "token_type_hint" not in wire.form


def test_no_repr_shows_a_secret():
    shown = repr(Tokens("acc-secret", "ref-secret")) + repr(Client("id", "cli-secret"))
    assert "secret" not in shown.replace("client_secret", "")
    assert "acc" not in shown
