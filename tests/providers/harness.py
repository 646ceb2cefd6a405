"""A provider against its double, in one process: no socket, no waiting, the real OAuth and HTTP code between them."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from sandbox.app import Sandbox, create_app
from sandbox.double import Double
from sandbox.recorder import Received
from supportly.http import Http, Outbound
from supportly.oauth import Client, Engine, Tokens, authorization_url, challenge, new_state, new_verifier
from supportly.provider import Call, Provider
from tests.contracts import watch

REDIRECT = "https://supportly.example/callback"


class Dated(httpx.AsyncBaseTransport):
    """The sandbox in this process, with the `Date` header that every server sends, in the sandbox's own time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.inner = sandbox, httpx.ASGITransport(app=sandbox)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        answer.headers["date"] = email.utils.formatdate(self.sandbox.clock.now(), usegmt=True)
        return answer


@dataclass
class World:
    """A sandbox and one provider that talks to it."""

    provider: Provider
    sandbox: Sandbox = field(default_factory=lambda: create_app(rate_limits=False))
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        self.sandbox.watchers.append(watch.seen)
        transport = Dated(self.sandbox)
        self.outbound = Outbound(timeout_s=self.timeout_s, max_bytes=20_000_000, transport=transport)
        self.browser = httpx.AsyncClient(transport=transport)
        self.engine = Engine(self.outbound)
        self.double.configure({"access_token_ttl": 86_400})  # tests move the clock by hours
        self.client = Client("supportly-client", self.double.settings["client_secret"])
        self.parts = self.provider.host_parts({part.name: part.example for part in self.provider.connect_fields})

    @property
    def double(self) -> Double:
        return self.sandbox.doubles[self.provider.id]

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.sandbox.clock.now(), UTC)

    def seed(self, **records: Any) -> list[Any]:
        return list(self.double.seed(records)["ids"])

    def fault(self, **fault: Any) -> None:
        self.sandbox.faults.add({"provider": self.provider.id, **fault})

    def requests(self, path: str | None = None, method: str | None = None) -> list[Received]:
        return self.sandbox.recorder.find(self.provider.id, 0, path, method)

    async def consent(self, *, state: str = "", verifier: str | None = None, deny: bool = False) -> dict[str, str]:
        """What the provider returns to the redirect URI after a person has decided."""
        authorize, _ = self.provider.urls(self.parts)
        url = authorization_url(
            self.provider.oauth,
            authorize,
            client_id=self.client.id,
            redirect_uri=REDIRECT,
            state=state or new_state(),
            code_challenge=challenge(verifier) if verifier else None,
        )
        # Optional permissions are granted too: the doubles know one parameter for both.
        if optional := self.provider.oauth.scope_text(optional=True):
            asked = httpx.URL(url)
            url = str(asked.copy_set_param("scope", f"{asked.params['scope']} {optional}"))
        page = await self.browser.get(url + ("&decision=deny" if deny else ""), headers={"accept": "application/json"})
        assert page.status_code == 302, page.text
        return {name: values[0] for name, values in parse_qs(urlsplit(page.headers["location"]).query).items()}

    async def exchange(self, code: str, verifier: str | None) -> Tokens:
        return await self.engine.exchange(
            self.provider.oauth,
            self.client,
            token_url=self.provider.urls(self.parts)[1],
            code=code,
            redirect_uri=REDIRECT,
            verifier=verifier,
            now=self.now,
            refused=self.provider.read_refusal,
        )

    async def tokens(self) -> Tokens:
        verifier = new_verifier() if self.provider.oauth.pkce else None
        return await self.exchange((await self.consent(verifier=verifier))["code"], verifier)

    async def refresh(self, old: Tokens) -> Tokens:
        return await self.engine.refresh(
            self.provider.oauth,
            self.client,
            token_url=self.provider.urls(self.parts)[1],
            old=old,
            now=self.now,
            deadline_s=self.timeout_s,
            refused=self.provider.read_refusal,
        )

    def http(self, tokens: Tokens, **facts: str) -> Http:
        return Http(self.outbound, self.provider, tokens.access_token, {**self.parts, **tokens.facts, **facts})

    async def connect(self) -> Http:
        """The way to the provider of a new connection, with everything that is kept with one."""
        http = self.http(await self.tokens())
        identity = await self.provider.identify(http)
        http.facts = {**http.facts, **identity.facts}
        self.sandbox.recorder.ring.clear()
        return http

    async def call(self, operation_id: str = "op-1", **settings: Any) -> Call:
        return Call(await self.connect(), self.provider.settings(**settings), operation_id)
