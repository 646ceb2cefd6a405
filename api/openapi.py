"""What the OpenAPI document says about each endpoint: an example, and every error with its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from api.errors import InvalidJson, UnsupportedMediaType
from supportly import errors
from supportly.contracts.answers import Accepted
from supportly.errors import SupportlyError

ErrorType = type[SupportlyError]

READS: Final[tuple[ErrorType, ...]] = (errors.NotAuthenticated, errors.NotFound, errors.Unavailable)
"""Errors of every endpoint."""
INTEGRATES: Final = (*READS, errors.ProviderNotAvailable)
"""Errors of every endpoint of one provider but the one that shows it."""
TAKES_BODY: Final = (errors.InvalidInput, InvalidJson, UnsupportedMediaType, errors.BodyTooLarge)
IDEMPOTENT: Final = (errors.KeyReused,)
CALLS_PROVIDER: Final = (
    errors.NotConnected,
    errors.ReconnectRequired,
    errors.Throttled,
    errors.ProviderFailure,
    errors.AnswerTooLarge,
    errors.ProviderTimeout,
)

ERROR_SCHEMA: Final = {
    "type": "object",
    "required": ["error", "code", "request_id", "details"],
    "properties": {
        "error": {"type": "string", "description": "A sentence for a person."},
        "code": {"type": "string", "description": "A stable word for programs."},
        "request_id": {"type": "string", "description": "The X-Request-Id of this request."},
        "details": {"type": "object", "description": "`field`, `allowed`, `candidates`, `reason`… by code."},
    },
}
HEADERS: Final = {
    "X-Request-Id": {"schema": {"type": "string"}, "description": "The id sent, or one made here."},
}
RETRY_AFTER: Final = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
EXAMPLE_ID: Final = "0b0d4a5e-58a5-4d4b-8f3e-0d0f6a2f8a11"
SHOWS_OPERATION: Final = "show_operation"
"""Where a 202 links to."""
LATER: Final = {
    "description": "The wait ended first; the work goes on.",
    "links": {
        "operation": {
            "operationId": SHOWS_OPERATION,
            "parameters": {"account_id": "$request.path.account_id", "operation_id": "$response.body#/operation_id"},
        }
    },
    "model": Accepted,
    "headers": {**HEADERS, "Location": {"schema": {"type": "string"}}},
    "content": {
        "application/json": {
            "example": {
                "operation_id": EXAMPLE_ID,
                "status": "running",
                "status_url": f"/api/v1/accounts/1/supportly_integrations/operations/{EXAMPLE_ID}",
            }
        }
    },
}


def documented(
    summary: str,
    *,
    answers: Any,
    example: Any,
    failures: Sequence[ErrorType],
    body: type[BaseModel] | None = None,
    body_example: Mapping[str, Any] | None = None,
    body_required: bool = True,
    waits: bool = False,
) -> dict[str, Any]:
    """Keyword arguments of a route; `answers` is the model of a 200, the description is the function's docstring."""
    responses: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "Success.",
            "model": answers,
            "headers": HEADERS,
            "content": {"application/json": {"example": example}},
        }
    }
    if waits:
        responses[202] = LATER
    for status in sorted({error.status for error in failures}):
        responses[status] = failed(status, [e for e in failures if e.status == status])
    extra: dict[str, Any] = {}
    if body is not None:
        content = {"schema": body.model_json_schema(), "example": dict(body_example or {})}
        extra["requestBody"] = {"required": body_required, "content": {"application/json": content}}
    return {"summary": summary, "responses": responses, "openapi_extra": extra}


def failed(status: int, kinds: Sequence[ErrorType]) -> dict[str, Any]:
    """One error answer, with an example for each of its codes."""
    examples = {}
    for kind in kinds:
        sentence = " ".join((kind.__doc__ or "").split())
        body = {"error": sentence, "code": kind.code, "request_id": "5f0c7c2b9d2e4b5f", "details": {}}
        examples[kind.code] = {"summary": sentence, "value": body}
    headers = {**HEADERS, **(RETRY_AFTER if status in (429, 503, 504) else {})}
    return {
        "description": ", ".join(f"`{kind.code}`" for kind in kinds),
        "headers": headers,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}, "examples": examples}},
    }


def describe(app: FastAPI, *, description: str, tags: Sequence[Mapping[str, str]]) -> None:
    """Give `app` its document: made once, when it is first asked for."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=description,
                routes=app.routes,
                tags=[dict(tag) for tag in tags],
            )
            parts = made.setdefault("components", {})
            schemas = parts.setdefault("schemas", {})
            schemas["Error"] = ERROR_SCHEMA
            parts["securitySchemes"] = {
                "api_access_token": {"type": "apiKey", "in": "header", "name": "api_access_token"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The same token."},
            }
            for path, operations in made["paths"].items():
                for operation in operations.values():
                    # FastAPI adds its own shape of 422, which this service never answers.
                    found = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
                    if "HTTPValidationError" in str(found.get("schema")):
                        del operation["responses"]["422"]
                    if path.startswith("/api/"):
                        operation["security"] = [{"api_access_token": []}, {"bearer": []}]
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI documents this way of extending it
