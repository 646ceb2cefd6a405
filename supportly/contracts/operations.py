"""What every operation has, and how one fails."""

from __future__ import annotations

from pydantic import BaseModel

from supportly.errors import ErrorPayload


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
