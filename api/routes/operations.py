"""What became of a request that answered 202."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path
from fastapi.responses import Response

from api.deps import PREFIX, AgentTenant, answer
from api.errors import INTERNAL_CODES
from api.openapi import EXAMPLE_ID, READS, SHOWS_OPERATION, documented
from api.waiting import preference, settled, status_url
from supportly.contracts.answers import OperationState
from supportly.errors import NotFound
from supportly.storage import operations

router = APIRouter(prefix=PREFIX, tags=["Operations"])


@router.get(
    "/operations/{operation_id}",
    operation_id=SHOWS_OPERATION,
    **documented(
        "State of an operation",
        answers=OperationState,
        example={
            "operation_id": EXAMPLE_ID,
            "provider": "hubspot",
            "kind": "sync",
            "status": "succeeded",
            "status_url": f"/api/v1/accounts/1/supportly_integrations/operations/{EXAMPLE_ID}",
            "result": {"status": "created", "record": {"id": "151", "url": None}},
            "error": None,
            "created_at": "2026-11-20T09:12:44.120455+00:00",
            "finished_at": "2026-11-20T09:12:46.883120+00:00",
        },
        failures=READS,
    ),
)
async def show_operation(
    at: AgentTenant,
    operation_id: Annotated[str, Path(description="Operation.", json_schema_extra={"format": "uuid"})],
    prefer: Annotated[str, Header(alias="Prefer", description="`wait=N` waits for the end (RFC 7240).")] = "",
) -> Response:
    """`running`, `succeeded` with its `result`, or `failed` with its `error`. Answers for the same account only."""
    db, vault = at.services.db, at.services.vault
    found = await operations.read(db, vault, at.account_id, operation_id)
    if found is None:
        raise NotFound("There is no such operation.")
    patience = preference(prefer, 0.0)
    found = await settled(at, found, patience)
    failed: dict[str, Any] | None = None
    if found.error:
        code = found.error["code"]
        failed = {
            "error": found.error["message"],
            "code": INTERNAL_CODES.get(code, code),
            "status": found.error["status"],
            "details": found.error["details"],
            "retry_after": found.error["retry_after"],
        }
    return answer(
        {
            "operation_id": found.id,
            "provider": found.provider,
            "kind": found.kind,
            "status": found.status,
            "status_url": status_url(at, found.id),
            "result": found.result,
            "error": failed,
            "created_at": found.created_at,
            "finished_at": found.finished_at,
        },
        headers=patience.headers,
    )
