"""One request as a value: what goes out, and how its answer reads. Nothing here sends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from supportly.contracts.answers import Accepted, OperationError
from supportly.errors import InvalidInput, SupportlyError, from_payload

T = TypeVar("T", bound=BaseModel)

FOREIGN: Final = "foreign_answer"
"""Code of an answer that is not this service's: a proxy's page, another program at the address."""


@dataclass(frozen=True)
class Ask(Generic[T]):
    """A request that answers a `T`."""

    method: str
    template: str
    """Path as the OpenAPI document names it."""
    answers: type[T]
    parts: Mapping[str, str | int] = field(default_factory=dict)
    """What stands in for the template's names."""
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    waits: bool = False
    """The answer may be 202, with the work going on."""
    also: tuple[int, ...] = ()
    """Statuses of failure that carry a `T` all the same."""

    @property
    def path(self) -> str:
        """The path with its parts, each percent-encoded. Raises InvalidInput for one that would leave its place."""
        for name, value in self.parts.items():
            if str(value) in ("", ".", ".."):
                raise InvalidInput(f"`{name}` is empty or not usable in a path.", field=name)
        return self.template.format_map({name: quote(str(value), safe="") for name, value in self.parts.items()})

    def keyed(self, key: str) -> Ask[T]:
        """The same with an Idempotency-Key: repeating it is safe, and answers the first one's result."""
        return replace(self, headers={**self.headers, "Idempotency-Key": key})

    def waiting(self, seconds: int) -> Ask[T]:
        """The same with `Prefer: wait=N` (0 to 60); 0 answers 202 at once."""
        return replace(self, headers={**self.headers, "Prefer": f"wait={seconds}"})

    @property
    def wait_s(self) -> float:
        """Seconds that the service holds the answer back at most, as far as the request itself says so."""
        found = re.fullmatch(r"wait=([0-9]+)", self.headers.get("Prefer", ""))
        return float(found[1]) if found else 0.0

    def read(self, response: httpx.Response) -> T | Accepted:
        """The answer. Raises the service's own exception for an error answer."""
        if response.status_code >= 400 and response.status_code not in self.also:
            raise failure(response)
        expected: type[BaseModel] = Accepted if self.waits and response.status_code == 202 else self.answers
        try:
            return expected.model_validate_json(response.content)  # type: ignore[return-value]  # T or Accepted
        except ValidationError:
            raise _foreign(response) from None


def failure(response: httpx.Response) -> SupportlyError:
    """The exception that an error answer stands for."""
    try:
        found = response.json()
        error = from_payload(
            {
                "code": str(found["code"]),
                "status": response.status_code,
                "message": str(found["error"]),
                "details": dict(found["details"]),
                "retry_after": _seconds(response.headers.get("retry-after", "")),
            }
        )
        error.request_id = str(found["request_id"])
    except (ValueError, TypeError, KeyError):
        return _foreign(response)
    return error


def ended_badly(error: OperationError, response: httpx.Response) -> SupportlyError:
    """The exception of an operation that failed."""
    made = from_payload(
        {
            "code": error.code,
            "status": error.status,
            "message": error.error,
            "details": error.details,
            "retry_after": error.retry_after,
        }
    )
    made.request_id = response.headers.get("x-request-id", "")
    return made


def _foreign(response: httpx.Response) -> SupportlyError:
    error = SupportlyError(
        f"The answer (status {response.status_code}) is not this service's: is this its address, and its version?",
        code=FOREIGN,
    )
    error.status = response.status_code
    error.request_id = response.headers.get("x-request-id", "")
    return error


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,9}", text) else None
