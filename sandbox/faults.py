"""Faults on demand: wrong answers, delays, and connections that are really cut."""

import random
import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import httpx
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.double import Reply, Request

TRANSPORT = "sandbox.transport"  # key in the ASGI scope's extensions


class CuttableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that hands its transport to the application, so that a fault can close it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {TRANSPORT: self.transport}


class ConnectionCut(httpx.RemoteProtocolError):
    """What a client sees of a cut when the application runs without a socket (`httpx.ASGITransport`)."""


@dataclass(slots=True)
class Fault:
    """One fault; every criterion that is None fits every request. `times` -1 means always."""

    id: int = 0
    provider: str | None = None
    method: str | None = None
    path: str | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    retry_after: float | str | None = None
    delay: float = 0.0
    cut: Literal["before", "body", "after_commit"] | None = None
    times: int = 1
    skip: int = 0
    probability: float = 1.0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.cut not in (None, "before", "body", "after_commit"):
            raise ValueError("cut is before, body or after_commit")
        re.compile(self.path or "")

    def fits(self, provider: str, request: Request) -> bool:
        return (
            self.times != 0
            and self.provider in (None, provider)
            and (self.method is None or self.method.upper() == request.method)
            and (self.path is None or re.fullmatch(self.path, request.path) is not None)
        )

    def reply(self) -> Reply | None:
        """The answer instead of the double's; None when the double shall answer."""
        if self.status is None:
            return None
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        return Reply(self.body, self.status, headers, self.content_type)


class Faults:
    """The armed faults; the first that fits a request is used up by it."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []
        self.last_id = 0
        self.random = random.Random(0)

    def add(self, data: Any) -> list[int]:
        """Arms one fault or a list of them; a field that does not exist is a TypeError."""
        added = [Fault(**item) for item in (data if isinstance(data, list) else [data])]
        for fault in added:
            self.last_id += 1
            fault.id = self.last_id
        self.armed += added
        return [fault.id for fault in added]

    def take(self, provider: str, request: Request) -> Fault | None:
        for fault in self.armed:
            if not fault.fits(provider, request):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.probability < 1.0 and self.random.random() >= fault.probability:
                continue
            fault.hits += 1
            fault.times -= fault.times > 0
            return fault
        return None
