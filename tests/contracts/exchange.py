"""What passes between a client and a double, and what a contract has to say about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import orjson


class Violation(NamedTuple):
    """One breach: `place` is `query.limit`, `body.email`, `answer.data[0].id`; `rule` is the keyword that broke."""

    contract: str
    operation: str
    place: str
    rule: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.contract}: {self.operation}: {self.place}: {self.rule}{f' ({self.said})' if self.said else ''}"


@dataclass(frozen=True)
class Message:
    """The request of an exchange; header names are lower case, the path is unquoted only by segments."""

    method: str
    host: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def media(self) -> str:
        return media_of(self.headers.get("content-type", ""))


@dataclass(frozen=True)
class Answer:
    """What a double answered by itself."""

    status: int
    content_type: str
    body: bytes

    @property
    def media(self) -> str:
        return media_of(self.content_type)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, which is None where a fault answered or cut the line."""

    provider: str
    request: Message
    answer: Answer | None


class Verdict(NamedTuple):
    """What came of a check; `undescribed` tells an error status of which the contract says nothing."""

    violations: list[Violation]
    undescribed: bool = False


class Contract(Protocol):
    """One published contract."""

    name: str

    def holds(self, exchange: Exchange) -> bool:
        """Whether the exchange falls under this contract."""
        ...

    def check(self, exchange: Exchange) -> Verdict:
        """Everything that is wrong with the exchange."""
        ...


def media_of(header: str) -> str:
    """A media type without its parameters."""
    return header.partition(";")[0].strip().lower()


def parsed(body: bytes) -> tuple[Any, bool]:
    """JSON, and whether it was JSON."""
    try:
        return orjson.loads(body), True
    except orjson.JSONDecodeError:
        return None, False
