import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from sandbox.app import Sandbox, create_app, server

CALLBACK = "https://app.example/callback"


@dataclass(frozen=True)
class Facts:
    """What a client has to know of a provider, from its sheet."""

    api: str
    authorize: str
    token: str
    body: str
    scope: str


FACTS = {
    "hubspot": Facts(
        "api.hubapi.com",
        "https://app.hubspot.com/oauth/authorize",
        "/oauth/2026-09/token",
        "data",
        "oauth crm.objects.contacts.read crm.objects.contacts.write crm.objects.deals.read crm.objects.companies.read "
        "crm.objects.products.read crm.objects.owners.read crm.schemas.contacts.read content "
        "cms.knowledge_base.articles.read",
    ),
    "zendesk": Facts(
        "acme.zendesk.com",
        "https://acme.zendesk.com/oauth/authorizations/new",
        "/oauth/tokens",
        "json",
        "read users:write tickets:write organizations:write",
    ),
    "schedly": Facts(
        "api.cal.com",
        "https://app.cal.com/auth/oauth2/authorize",
        "/v2/auth/oauth2/token",
        "json",
        "EVENT_TYPE_READ BOOKING_READ BOOKING_WRITE SCHEDULE_READ PROFILE_READ TEAM_PROFILE_READ "
        "TEAM_EVENT_TYPE_READ ORG_ROUTING_FORM_READ",
    ),
}


class World:
    """A client of the sandbox that goes through OAuth as a product would."""

    def __init__(self, app: Sandbox, http: httpx.AsyncClient) -> None:
        self.app, self.http = app, http

    async def control(self, method: str, path: str, body=None):
        answer = await self.http.request(method, f"http://sandbox/_sandbox/{path}", json=body)
        return answer.json() if answer.content else None

    async def code(self, name: str, **more: str) -> str:
        facts = FACTS[name]
        query = {"client_id": "app", "redirect_uri": CALLBACK, "scope": facts.scope, "state": "s", **more}
        answer = await self.http.get(facts.authorize, params={"response_type": "code", **query})
        assert answer.status_code == 302, answer.text
        return httpx.URL(answer.headers["location"]).params["code"]

    async def token(self, name: str, **wanted: str) -> httpx.Response:
        facts = FACTS[name]
        body = {"client_id": "app", "client_secret": f"sandbox-{name}-secret", "redirect_uri": CALLBACK, **wanted}
        return await self.http.post(f"https://{facts.api}{facts.token}", **{facts.body: body})

    async def connect(self, name: str, **more: str) -> dict:
        code = await self.code(name, **more)
        answer = await self.token(name, grant_type="authorization_code", code=code)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refresh(self, name: str, refresh_token: str) -> httpx.Response:
        return await self.token(name, grant_type="refresh_token", refresh_token=refresh_token)

    async def call(self, name: str, method: str, path: str, token: str = "", **more) -> httpx.Response:
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        return await self.http.request(method, f"https://{FACTS[name].api}{path}", headers=headers, **more)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    app = create_app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        yield World(app, http)


@pytest.fixture
def served() -> Iterator[str]:
    """The base URL of a sandbox behind a real socket."""
    running = server(create_app(), "127.0.0.1", 0)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.005)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(10)
