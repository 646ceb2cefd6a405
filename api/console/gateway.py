"""The console's way to the API: its own endpoints, called in this process with the user's token.

Roles, validation and errors are decided there and nowhere else; a failure comes back as the same exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson
from starlette.types import ASGIApp

from api.deps import PREFIX
from api.errors import InternalError
from supportly.errors import from_payload

BASE_URL: Final = "http://console.invalid"
"""Never resolved: requests do not leave the process."""
TIMEOUT_S: Final = 90.0
"""Above the longest wait that an endpoint takes."""


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered; `pending` is an operation's id when its work goes on."""

    body: Any
    pending: str = ""


@dataclass(frozen=True)
class Gateway:
    """Calls endpoints of one account."""

    app: ASGIApp
    token: str = field(repr=False)
    account_id: int
    request_id: str
    """That of the page, so that one id leads through the log."""

    async def get(self, path: str, *, wait: float | None = None, **query: Any) -> Any:
        """The body of `GET path`. Raises the endpoint's own SupportlyError."""
        return (await self.ask("GET", path, wait=wait, query=query)).body

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        wait: float | None = None,
        key: str = "",
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """What `method path` answers. `key` is the Idempotency-Key. Raises the endpoint's own SupportlyError."""
        headers = {"api_access_token": self.token, "X-Request-Id": self.request_id}
        if wait is not None:
            headers["Prefer"] = f"wait={wait:.0f}"
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = orjson.dumps(body) if body is not None else None
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, timeout=TIMEOUT_S) as client:
            answer = await client.request(
                method,
                PREFIX.format(account_id=self.account_id) + path,
                headers=headers,
                content=content,
                params={k: v for k, v in (query or {}).items() if v is not None},
            )
        return _read(answer)


def _read(answer: httpx.Response) -> Answer:
    found = answer.json()
    if answer.status_code >= 400:
        if found["code"] == InternalError.code:
            raise InternalError
        pause = answer.headers.get("Retry-After")
        raise from_payload(
            {
                "code": found["code"],
                "status": answer.status_code,
                "message": found["error"],
                "details": found["details"],
                "retry_after": float(pause) if pause else None,
            }
        )
    return Answer(found, found["operation_id"] if answer.status_code == 202 else "")


def segment(text: object) -> str:
    """One segment of a path, quoted."""
    return quote(str(text), safe="")
