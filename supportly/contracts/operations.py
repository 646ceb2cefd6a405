"""What every operation has, and how one fails."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel
from pydantic_core import to_json

from supportly.errors import ErrorPayload

LARGEST_RESULT: Final = 1_500_000
"""Bytes of JSON. Temporal refuses payloads of 2 MiB and messages of 4 MiB, and a first try's result is in its message
twice: as the activity's, and as the workflow's."""


def fits(result: object) -> bool:
    """Whether Temporal takes a result."""
    return len(to_json(result)) <= LARGEST_RESULT


class Operation(BaseModel):
    """What is asked of a provider for an account; `operation_id` names it to the caller and at the provider."""

    account_id: int
    provider: str
    operation_id: str = ""
    writes: bool = True
    """False for what only reads: it is given up when nobody can be waiting any more."""


class Conclusion(BaseModel):
    """An operation that failed for good; `error` is an `errors.ErrorPayload`."""

    account_id: int
    operation_id: str
    error: ErrorPayload
