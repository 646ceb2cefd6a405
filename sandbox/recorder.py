"""What was received: a ring of requests, shown without secrets."""

import hashlib
from collections import deque
from typing import Any

from sandbox.double import Record, Request

KEPT = 20_000
SECRET_HEADERS = frozenset({"authorization", "api_access_token", "cookie", "x-api-key"})
SECRET_FIELDS = frozenset({
    "access_token", "refresh_token", "client_secret", "code", "code_verifier", "token", "id_token", "password",
})  # fmt: skip


class Received:
    """One request with its number, time and (once answered) status; 0 means that no answer was sent."""

    __slots__ = ("at", "n", "provider", "request", "status")

    def __init__(self, n: int, at: float, provider: str, request: Request) -> None:
        self.n, self.at, self.provider, self.request, self.status = n, at, provider, request, 0

    def shown(self) -> Record:
        request = self.request
        return {
            "n": self.n, "at": self.at, "provider": self.provider, "host": request.host, "method": request.method,
            "path": request.path, "query": [[name, hidden(name, value)] for name, value in request.pairs],
            "headers": {k: fingerprint(v) if k in SECRET_HEADERS else v for k, v in request.headers.items()},
            "body": redacted(request.data) if request.body else None, "status": self.status,
        }  # fmt: skip


def fingerprint(secret: str) -> str:
    """Tells equal secrets from different ones and shows neither."""
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()[:16]


def hidden(name: str, value: Any) -> Any:
    return fingerprint(value) if name in SECRET_FIELDS and isinstance(value, str) else redacted(value)


def redacted(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: hidden(name, value) for name, value in data.items()}
    return [redacted(item) for item in data] if isinstance(data, list) else data


class Recorder:
    """The ring of the last requests."""

    def __init__(self) -> None:
        self.ring: deque[Received] = deque(maxlen=KEPT)
        self.last = 0

    def add(self, at: float, provider: str, request: Request) -> Received:
        self.last += 1
        entry = Received(self.last, at, provider, request)
        self.ring.append(entry)
        return entry

    def find(
        self, provider: str | None, since: int, path: str | None, method: str | None, about: str | None = None
    ) -> list[Received]:
        """Requests after number `since`; `path` is a part of the path, `about` of anything that was asked."""
        return [
            entry for entry in self.ring
            if entry.n > since
            and provider in (None, entry.provider)
            and (path is None or path in entry.request.path)
            and (method is None or method.upper() == entry.request.method)
            and (about is None or about in entry.request.text)
        ]  # fmt: skip
