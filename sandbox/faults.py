"""Faults on demand: wrong answers, delays, and connections that are really cut."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import httpx
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.double import Double, Reply, Request

TRANSPORT = "sandbox.transport"  # key in the ASGI scope's extensions
PIECE = 1_000_000  # bytes of one piece of an answer that is large on purpose
DRIPS = 50  # pieces of an answer that is slow on purpose


class CuttableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that hands its transport to the application, so that a fault can close it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {TRANSPORT: self.transport}


class ConnectionCut(httpx.RemoteProtocolError):
    """What a client sees of a cut when the application runs without a socket (`httpx.ASGITransport`)."""


@dataclass(slots=True)
class Fault:
    """One fault; every criterion that is None fits every request. `times` -1 means always.

    `method` and `path` are regular expressions, matched in full; `about` fits requests whose path, query or body holds
    the text. With `status` the fault answers instead of the double; with `commit` the double does its work first and
    its own answer is dropped. `size` is an answer of so many bytes, `drip` the seconds between the pieces of an answer,
    and `replay` answers an address again and again as it was answered first: paging that stays on its page.
    """

    id: int = 0
    provider: str | None = None
    method: str | None = None
    path: str | None = None
    about: str | None = None
    status: int | None = None
    commit: bool = False
    size: int = 0
    drip: float = 0.0
    replay: bool = False
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
        if self.commit and self.status is None and not self.size:
            raise ValueError("commit is for an answer of the fault's own: give status or size")
        re.compile(self.path or "")
        re.compile(self.method or "")

    def fits(self, provider: str, request: Request) -> bool:
        return (
            self.times != 0
            and self.provider in (None, provider)
            and (self.method is None or re.fullmatch(self.method, request.method, re.IGNORECASE) is not None)
            and (self.path is None or re.fullmatch(self.path, request.path) is not None)
            and (self.about is None or self.about in request.text)
        )

    def reply(self) -> Reply | None:
        """The answer instead of the double's; None when the double shall answer."""
        if self.status is None and not self.size:
            return None
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        return Reply(self.body, self.status or 200, headers, self.content_type)

    def pieces(self, reply: Reply) -> Iterator[bytes]:
        """The body of an answer that is sent in pieces: `size` bytes of text, or the reply's own body."""
        if self.size:
            for start in range(0, self.size, PIECE):
                yield b"x" * min(PIECE, self.size - start)
            return
        body = reply.encoded()
        step = max(1, len(body) // DRIPS)
        for start in range(0, len(body), step):
            yield body[start : start + step]


class Faults:
    """The armed faults; the first that fits a request is used up by it."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []
        self.last_id = 0
        self.first: dict[tuple[int, str, str], Reply] = {}
        self.random = random.Random(0)

    def add(self, data: Any) -> list[int]:
        """Arms one fault or a list of them; a field that does not exist is a TypeError."""
        added = [Fault(**item) for item in (data if isinstance(data, list) else [data])]
        for fault in added:
            self.last_id += 1
            fault.id = self.last_id
        self.armed += added
        return [fault.id for fault in added]

    def clear(self, fault: int | None = None) -> None:
        """Disarms everything, or the one fault with this id."""
        self.armed = [other for other in self.armed if fault not in (None, other.id)]
        self.first = {address: reply for address, reply in self.first.items() if fault not in (None, address[0])}

    def answer(self, fault: Fault, double: Double, request: Request) -> tuple[Reply, Reply | None]:
        """What goes out under a fault, and what the double answered; None when it was not asked."""
        injected = fault.reply()
        if injected and not fault.commit:
            return injected, None
        address = (fault.id, request.method, request.path)
        if fault.replay and address in self.first:
            return self.first[address], None
        own = double.handle(request)
        if fault.replay:
            self.first[address] = own
        return injected or own, own

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
