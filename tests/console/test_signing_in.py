"""Who gets in, how long, and what other sites cannot do."""

import time

import httpx
import orjson
import pytest

from api.console import session
from api.console.place import local_path
from api.console.session import Session
from supportly.crypto import KeyRing, Vault
from supportly.storage import tokens
from supportly.storage.database import Database


def vault(console) -> Vault:
    return Vault(KeyRing(console.settings.keys.get_secret_value()))


def test_a_token_opens_its_account_and_lies_sealed_in_the_cookie(console, account):
    visitor = account.visitor()
    assert visitor.get("/console").url.path == account.base
    answer = httpx.post(f"{console.url}/console/sign-in", data={"token": account.admin})
    cookie = answer.headers["set-cookie"]
    assert account.admin not in cookie
    assert {"HttpOnly", "SameSite=lax", "Path=/console", "Max-Age=43200"} <= {
        part.strip() for part in cookie.split(";")
    }
    assert "Secure" not in cookie


def test_over_https_the_cookie_is_secure(console):
    safe = console.settings.model_copy(
        update={"console_callback_url": "https://help.example/console/callback/{provider}"}
    )
    answer = httpx_response()
    session.sign_in(answer, Session("t"), vault(console), safe)
    assert "Secure" in answer.headers["set-cookie"]


def httpx_response():
    from fastapi.responses import Response

    return Response()


@pytest.mark.parametrize("token", ["", "spl_nobody", "x" * 600])
def test_a_wrong_token_is_refused_at_its_field(account, token):
    visitor = account.visitor(token)
    answer = visitor.sign_in(token)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert not visitor.http.cookies


def test_a_revoked_token_ends_the_session_and_leads_back_after_the_next_sign_in(console, account):
    visitor = account.visitor()

    async def revoke() -> None:
        db = Database(console.service.postgres.admin_url, 1)
        found = await tokens.find(db, account.admin, console.settings.token_pepper.get_secret_value())
        assert found
        assert await tokens.revoke(db, found[0])
        await db.close()

    console.service.worker.thread.run(revoke())
    answer = visitor.get(f"{account.base}/search?q=refund")
    assert answer.url.path == "/console/sign-in"
    assert "the token was revoked" in answer.text
    again = visitor.http.post(
        "/console/sign-in", data={"token": account.agent, "next": httpx.QueryParams(answer.url.query)["next"]}
    )
    assert (again.url.path, again.url.params["q"]) == (f"{account.base}/search", "refund")
    part = part_of_nobody(console, account)
    assert part.status_code == 401
    assert part.headers["hx-redirect"].startswith("/console/sign-in?")


def part_of_nobody(console, account):
    """What htmx hears where nobody is signed in."""
    headers = {"HX-Request": "true", "HX-Current-URL": f"{account.url}/contacts?contact=1"}
    return httpx.get(f"{account.url}/contacts/1/zendesk", headers=headers)


def test_a_session_ends_after_twelve_hours_and_belongs_to_its_keys(console, account):
    def status(cookie: str) -> int:
        return httpx.get(account.url, headers={"cookie": f"{session.COOKIE}={cookie}"}).status_code

    def sealed(began: float, by: Vault) -> str:
        plain = orjson.dumps({"token": account.admin, "csrf": "c", "began": int(began)})
        return by.seal(plain, session.BINDING)

    mine, now = vault(console), time.time()
    assert status(sealed(now, mine)) == 200
    assert status(sealed(now - session.SESSION_S + 60, mine)) == 200
    assert status(sealed(now - session.SESSION_S - 1, mine)) == 303
    other = Vault(KeyRing("other:" + "B" * 43))
    assert status(sealed(now, other)) == 303
    assert status("nonsense") == 303


def test_signing_out_forgets_the_token(account):
    visitor = account.visitor()
    answer = visitor.send("/console/sign-out")
    assert "You are signed out" in answer.text
    assert session.COOKIE not in visitor.http.cookies
    assert visitor.get(account.base).url.path == "/console/sign-in"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_from_another_site_does_nothing_even_with_the_right_token(account, headers):
    visitor = account.visitor()
    csrf = visitor.csrf
    answer = visitor.http.post("/console/sign-out", data={"csrf": csrf}, headers=headers)
    assert answer.status_code == 403
    assert visitor.get(account.base).status_code == 200
    fresh = httpx.post(f"{account.console.url}/console/sign-in", data={"token": account.admin}, headers=headers)
    assert (fresh.status_code, "set-cookie" in fresh.headers) == (403, False)


def test_a_form_without_the_token_of_this_sign_in_does_nothing(account):
    mine, other = account.visitor(), account.visitor()
    for csrf in ("", "x", other.csrf):
        assert mine.http.post("/console/sign-out", data={"csrf": csrf}).status_code == 403
    assert mine.http.post("/console/sign-out", headers={"X-CSRF-Token": mine.csrf}).status_code == 200


@pytest.mark.parametrize(
    "given",
    ["https://evil.example/", "//evil.example/console/", "/console\\evil", "/docs", "", "/console/a\r\nSet-Cookie: x"],
)
def test_sign_in_leads_to_pages_of_the_console_alone(given):
    assert local_path(given) == "/console"


def test_a_token_of_several_accounts_chooses(console, account, monkeypatch):
    from api.auth import Caller
    from api.console.routes import entry

    signed_in = type("U", (), {"session": Session("t"), "caller": Caller("a", {1: "agent", 2: "administrator"})})
    request = type("R", (), {"url": httpx.URL("http://x/console"), "query_params": {}})
    answer = console.service.worker.thread.run(entry.enter(request, signed_in))
    assert b"/console/accounts/1" in answer.body
    assert b"/console/accounts/2" in answer.body
