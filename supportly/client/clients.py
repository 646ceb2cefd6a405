"""Two clients over one course: send, and follow a 202 until its operation ends. Nothing is repeated on its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import httpx
from pydantic import BaseModel, ValidationError

from supportly.client.account import Account
from supportly.client.asking import Ask, ended_badly
from supportly.contracts.answers import Accepted, OperationState
from supportly.errors import SupportlyError, Unavailable

T = TypeVar("T", bound=BaseModel)

ANSWER_S: Final = 30.0
"""Seconds for an answer besides the wait that was asked for; the service's own default wait is 20."""
FOLLOW_S: Final = 20
"""How long one look at an operation waits at the service."""
PAUSE_S: Final = 0.5
"""Between two looks, also where the service answers at once."""


class StillRunning(SupportlyError):
    """The patience ended before the operation did; the work goes on. `details.operation_id` names it."""

    code, status = "still_running", 504


Course = Generator[tuple[float, Ask[Any]], httpx.Response, T]
"""Yields what to send, after how many seconds; takes the response, and answers the result."""


def _once(ask: Ask[T]) -> Course[T | Accepted]:
    return ask.read((yield 0.0, ask))


def _to_the_end(ask: Ask[T], until: float) -> Course[T]:
    """The result of `ask`, also when it comes later; asks again and again until monotonic time `until`."""
    found = ask.read((yield 0.0, ask))
    if not (ask.waits and isinstance(found, Accepted)):
        return cast("T", found)
    account, pause = Account(int(ask.parts["account_id"])), 0.0
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise StillRunning(
                "This takes longer than you wanted to wait; the work goes on.",
                details={"operation_id": found.operation_id, "status_url": found.status_url},
            )
        look = account.operation(found.operation_id).waiting(int(min(left, FOLLOW_S)))
        response = yield pause, look
        pause = PAUSE_S
        state = cast("OperationState", look.read(response))
        if state.status == "running":
            continue
        if state.error is not None:
            raise ended_badly(state.error, response)
        try:
            return ask.answers.model_validate(state.result)
        except ValidationError:
            raise SupportlyError("The operation's result has another shape than this client knows.") from None


def _until(patience_s: float | None) -> float:
    return float("inf") if patience_s is None else time.monotonic() + patience_s


def _options(url: str, token: str) -> dict[str, Any]:
    return {
        "base_url": url.rstrip("/"),
        "headers": {"api_access_token": token, "Accept": "application/json", "User-Agent": "supportly-client"},
        # A redirect would take the token to another address.
        "follow_redirects": False,
    }


def _arguments(ask: Ask[Any]) -> dict[str, Any]:
    return {
        "method": ask.method,
        "url": ask.path,
        "params": dict(ask.query),
        "json": ask.body,
        "headers": dict(ask.headers),
        "timeout": ANSWER_S + ask.wait_s,
    }


def _away(error: httpx.HTTPError, url: str) -> Unavailable:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Unavailable(f"The service at {url} cannot be reached.", code="unreachable")
    return Unavailable(
        f"The service at {url} did not answer; whether it did the work is not known. With an Idempotency-Key the "
        "same request can be sent again.",
        code="answer_lost",
    )


class Client:
    """Asks and waits in this thread."""

    def __init__(self, url: str, token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self._http = httpx.Client(**_options(url, token), transport=transport)

    def begin(self, ask: Ask[T]) -> T | Accepted:
        """The answer as it comes: for work that goes on, the operation's id."""
        return cast("T | Accepted", self._drive(_once(ask)))

    def send(self, ask: Ask[T], *, patience_s: float | None = None) -> T:
        """The result, also of work that goes on after a 202. Raises StillRunning after `patience_s` (None: never)."""
        return cast("T", self._drive(_to_the_end(ask, _until(patience_s))))

    def _drive(self, course: Course[Any]) -> Any:
        try:
            pause, ask = next(course)
            while True:
                time.sleep(pause)
                try:
                    response = self._http.request(**_arguments(ask))
                except httpx.HTTPError as error:
                    raise _away(error, self.url) from None
                pause, ask = course.send(response)
        except StopIteration as end:
            return end.value

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The same for asyncio; `transport` may be `httpx.ASGITransport`, to ask an application in this process."""

    def __init__(self, url: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url
        self._http = httpx.AsyncClient(**_options(url, token), transport=transport)

    async def begin(self, ask: Ask[T]) -> T | Accepted:
        """The answer as it comes: for work that goes on, the operation's id."""
        return cast("T | Accepted", await self._drive(_once(ask)))

    async def send(self, ask: Ask[T], *, patience_s: float | None = None) -> T:
        """The result, also of work that goes on after a 202. Raises StillRunning after `patience_s` (None: never)."""
        return cast("T", await self._drive(_to_the_end(ask, _until(patience_s))))

    async def _drive(self, course: Course[Any]) -> Any:
        try:
            pause, ask = next(course)
            while True:
                await asyncio.sleep(pause)
                try:
                    response = await self._http.request(**_arguments(ask))
                except httpx.HTTPError as error:
                    raise _away(error, self.url) from None
                pause, ask = course.send(response)
        except StopIteration as end:
            return end.value

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
