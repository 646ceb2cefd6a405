"""An account of the stack as its callers see it: over HTTP, with a token, and with patience."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx

from supportly.dev.cast import CAST

PAUSE_S: Final = 0.2
"""Between two tries of a caller whom nobody tells how long to wait."""
PERSISTS_S: Final = 180.0
"""After so long a caller gives up: what was lost until then is lost."""
MAY_PASS: Final = frozenset({429, 503, 504})
"""Answers after which the same request may be sent again."""


@dataclass
class Account:
    """One account, seen by its administrator."""

    api_url: str
    id: int
    token: str = field(repr=False)
    http: httpx.AsyncClient = field(repr=False)

    async def call(self, method: str, path: str = "", **extra: Any) -> httpx.Response:
        """One request to `path` below the account's integrations. Raises httpx.HTTPError when nobody answers."""
        headers = {"api_access_token": self.token, **extra.pop("headers", {})}
        url = f"{self.api_url}/api/v1/accounts/{self.id}/supportly_integrations{path}"
        return await self.http.request(method, url, headers=headers, **extra)

    async def returned(self, provider: str) -> dict[str, str]:
        """What the provider sends back after `connect` and the user's consent."""
        started = await self.call("POST", f"/{provider}/connect", json=dict(CAST[provider].connect))
        page = await self.http.get(started.raise_for_status().json()["authorization_url"])
        assert page.status_code == 302, page.text
        return dict(parse_qsl(urlsplit(page.headers["location"]).query))

    async def connect(self, provider: str) -> None:
        """Connect through the consent page, and make the choices that the provider wants made."""
        back = await self.returned(provider)
        (await self.call("POST", f"/{provider}/callback", json=back)).raise_for_status()
        if chosen := CAST[provider].settings:
            (await self.call("PUT", f"/{provider}/settings", json={"settings": dict(chosen)})).raise_for_status()

    async def status(self, provider: str) -> tuple[str, str | None]:
        """Status of the connection, and its reason."""
        shown = (await self.call("GET", f"/{provider}")).raise_for_status().json()
        return shown["status"], shown["reason"]

    async def insist(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = PERSISTS_S,
        **extra: Any,
    ) -> tuple[httpx.Response, list[str]]:
        """Send the same request until it is answered for good; answers that, and how each try before it ended.

        A try that nobody answered is named by its exception, one that may pass by its status; `Retry-After` is
        obeyed. Raises TimeoutError when nothing final came within `seconds`.
        """
        ends, before = time.monotonic() + seconds, list[str]()
        while True:
            pause = PAUSE_S
            try:
                answer = await self.call(method, path, headers=dict(headers or {}), **extra)
            except httpx.TransportError as error:
                before.append(type(error).__name__)
            else:
                if answer.status_code not in MAY_PASS:
                    return answer, before
                before.append(str(answer.status_code))
                pause = float(answer.headers.get("retry-after", PAUSE_S))
            if time.monotonic() + pause > ends:
                raise TimeoutError(f"{method} {path} was not answered within {seconds:.0f} s: {before[-10:]}")
            await asyncio.sleep(pause)

    async def ended(
        self, accepted: httpx.Response, *, every: float = PAUSE_S, seconds: float = PERSISTS_S
    ) -> dict[str, Any]:
        """The operation of a 202 once it does not run any more, asked for `every` so often. Raises TimeoutError."""
        path, ends = f"/operations/{accepted.json()['operation_id']}", time.monotonic() + seconds
        while True:
            found, _ = await self.insist("GET", path, seconds=max(0.0, ends - time.monotonic()))
            operation: dict[str, Any] = found.json()
            if operation.get("status") != "running":
                return operation
            if time.monotonic() > ends:
                raise TimeoutError(f"{path} still runs after {seconds:.0f} s")
            await asyncio.sleep(every)
