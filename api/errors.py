"""How an error looks over HTTP: one shape, one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.exceptions import TimeoutError as WorkTimeout

from supportly.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    ProviderTimeout,
    SupportlyError,
    Unavailable,
    UnsupportedByProvider,
    from_payload,
)
from supportly.provider import Provider

DEFAULT_RETRY_AFTER_S: Final = {429: 10, 503: 5, 504: 5}
"""Every 429, 503 and 504 says when to come back, also where nobody told us."""
INTERNAL_CODES: Final = {
    "token_refused": "provider_error",
    "grant_refused": "provider_error",
    "client_refused": "provider_error",
    "token_pending": "unavailable",
    "refresh_busy": "unavailable",
}
"""Words that the rooms below tell apart, and callers need not."""


class UnsupportedMediaType(InvalidInput):
    """The request's body is not declared as JSON."""

    code: ClassVar[str] = "unsupported_media_type"
    status = 415


class InvalidJson(InvalidInput):
    """The request's body is not JSON; 422 like every other body that is wrong, so that callers handle one status."""

    code: ClassVar[str] = "invalid_json"


class AuthorizationDenied(InvalidInput):
    """The user, or the provider, did not agree to the connection."""

    code: ClassVar[str] = "authorization_denied"


class InternalError(SupportlyError):
    """A fault of ours. The log says more, under the same request id."""

    def __init__(self) -> None:
        super().__init__("Something went wrong in this service. The request id leads to it in the log.")


def rendered(error: SupportlyError, request_id: str) -> Response:
    """The error as an answer."""
    code = INTERNAL_CODES.get(error.own_code, error.own_code)
    headers = {}
    if error.status in DEFAULT_RETRY_AFTER_S:
        pause = error.retry_after if error.retry_after is not None else DEFAULT_RETRY_AFTER_S[error.status]
        headers["Retry-After"] = str(max(1, math.ceil(pause)))
    body = {"error": error.message, "code": code, "request_id": request_id, "details": error.details}
    return Response(orjson.dumps(body, default=str), error.status, headers, "application/json")


def invalid(errors: Sequence[Mapping[str, Any]], *, prefix: str = "") -> InvalidInput:
    """What pydantic found wrong, as one error that names the first field and lists all of them."""
    problems = []
    for found in errors:
        parts = [str(part) for part in found["loc"]]
        name = ".".join([prefix, *parts] if prefix else parts) or "body"
        text = "is missing" if found["type"] == "missing" else f"is not valid: {found['msg']}"
        problems.append({"field": name, "problem": text})
    first = problems[0]
    details = {"problems": problems} if len(problems) > 1 else {}
    return InvalidInput(f"`{first['field']}` {first['problem']}.", field=first["field"], details=details)


def from_validation(error: ValidationError, *, prefix: str = "") -> InvalidInput:
    """`invalid` for a model's own exception; what was sent is not repeated."""
    return invalid(error.errors(include_url=False, include_input=False, include_context=False), prefix=prefix)


def unsupported(provider: Provider, what: str, *, field: str = "", allowed: list[str] | None = None) -> SupportlyError:
    """The error that says what a provider cannot do, and what it can."""
    can = provider.capabilities
    able = [
        *(["look contacts up"] if can.contact_lookup else []),
        *(["create and update contacts"] if can.contact_create else []),
        *(f"log a {kind}" for kind in can.activities),
        *([f"run the actions {', '.join(can.actions)}"] if can.actions else []),
    ]
    return UnsupportedByProvider(
        f"{provider.title} cannot {what}. It can {'; '.join(able) or 'only be connected'}.",
        field=field,
        allowed=allowed,
    )


def from_temporal(error: WorkflowFailureError | WorkflowUpdateFailedError) -> SupportlyError:
    """Our own error inside a workflow's failure."""
    cause: BaseException | None = error.cause
    while cause is not None:
        if isinstance(cause, ApplicationError):
            payload = next((d for d in cause.details if isinstance(d, dict) and "code" in d), None)
            if payload is not None:
                return from_payload(payload)  # type: ignore[arg-type]  # made by `payload()`
            if cause.type == "unavailable":
                return Unavailable(cause.message)
            return InternalError()
        if isinstance(cause, CancelledError | TerminatedError):
            return Conflict("This work was cancelled, most likely by a disconnect.", code="canceled")
        if isinstance(cause, WorkTimeout):
            return ProviderTimeout("The work did not end in time.")
        cause = getattr(cause, "cause", None)
    return InternalError()


def install(app: FastAPI) -> None:
    """Let every known exception leave `app` in the one shape."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, SupportlyError)  # noqa: S101 (registered for it alone)
        return rendered(error, request.state.request_id)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        # FastAPI puts where a field was looked for (`query`, `header`, …) before its name.
        found = [{**one, "loc": one["loc"][1:]} for one in error.errors()]
        return rendered(invalid(found), request.state.request_id)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        if error.status_code == 404:
            found: SupportlyError = NotFound("There is nothing at this address.")
        elif error.status_code == 405:
            found = InvalidInput("This address does not answer to this method.", code="method_not_allowed")
        else:
            found = InvalidInput("The request could not be read.")
        answer = rendered(found, request.state.request_id)
        answer.status_code = error.status_code
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(SupportlyError, ours)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
