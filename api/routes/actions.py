"""Provider actions: one endpoint for all of them."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field, ValidationError

from api.bodies import json_body
from api.deps import PREFIX, AgentIntegration, IdempotencyKey
from api.errors import from_validation
from api.openapi import CALLS_PROVIDER, IDEMPOTENT, INTEGRATES, TAKES_BODY, documented
from api.waiting import Waits, Work, fingerprint, opened, perform, replayed
from supportly import errors
from supportly.contracts import ids
from supportly.contracts.actions import ActionJob, ActionResult
from supportly.errors import UnknownChoice
from workflows.provider_action import ProviderAction

router = APIRouter(prefix=PREFIX, tags=["Actions"])


class ActionBody(BaseModel):
    """An action to run."""

    action: str = Field(min_length=1, max_length=100, description="Name of the action; `GET /{provider}` lists them.")
    params: dict[str, Any] = Field(default_factory=dict, description="Its parameters, by its own schema.")


@router.post(
    "/{provider}/action",
    **documented(
        "Run an action",
        answers=ActionResult,
        example={
            "provider": "hubspot",
            "action": "get_deals",
            "items": [{"id": "77", "type": "deal", "name": "Renewal", "status": "open"}],
            "result": None,
            "next_cursor": None,
            "raw": {},
        },
        failures=(
            *INTEGRATES,
            *TAKES_BODY,
            *CALLS_PROVIDER,
            *IDEMPOTENT,
            errors.UnknownChoice,
            errors.SelectionRequired,
            errors.OutcomeUnknown,
        ),
        body=ActionBody,
        body_example={"action": "get_deals", "params": {"limit": 20}},
        waits=True,
    ),
)
async def run_action(
    at: AgentIntegration,
    key: IdempotencyKey,
    patience: Waits,
    body: Annotated[ActionBody, Depends(json_body(ActionBody))],
) -> Response:
    """Runs one of the provider's actions; one that writes happens once per Idempotency-Key.

    Lists come back as `items` with `next_cursor`, single things as `result`, the provider's own words under `raw`.
    """
    action = at.provider.actions.get(body.action)
    if action is None:
        raise UnknownChoice(
            f"{at.provider.title} has no action `{body.action}`.", field="action", allowed=list(at.provider.actions)
        )
    try:
        params = action.params.model_validate(body.params).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        raise from_validation(error, prefix="params") from None
    await at.connection()
    place = (at.account_id, at.provider.id)
    operation_id, kept = str(uuid.uuid4()), action.writes or key is not None
    if kept:
        operation = await opened(
            at,
            "action",
            key=key,
            fingerprint=fingerprint(at, body.model_dump()),
            workflow_id=partial(ids.action, *place),
        )
        if (stored := replayed(operation, patience)) is not None:
            return stored
        operation_id = operation.id
    work = Work(
        kind="action",
        provider=at.provider.id,
        workflow=ProviderAction.run,
        job=ActionJob(
            account_id=at.account_id,
            provider=at.provider.id,
            operation_id=operation_id,
            action=action.name,
            params=params,
            writes=action.writes,
        ),
        result=ActionResult,
        workflow_id=ids.action(*place, operation_id),
        operation_id=operation_id,
        stored=kept,
    )
    return await perform(at, work, patience)
