"""A Supportly contact at a provider: look up, sync, log an activity."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, cast, get_args

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.bodies import NOT_BLANK, json_body
from api.deps import PREFIX, AgentIntegration, ContactId, IdempotencyKey
from api.errors import unsupported
from api.openapi import CALLS_PROVIDER, EXAMPLE_ID, IDEMPOTENT, INTEGRATES, TAKES_BODY, documented
from api.waiting import Waits, Work, fingerprint, opened, perform, replayed
from supportly import errors
from supportly.contracts import ids
from supportly.contracts.contacts import (
    ActivityJob,
    ActivityKind,
    ActivityResult,
    Lookup,
    LookupJob,
    SyncJob,
    SyncResult,
)
from supportly.errors import InvalidInput, UnknownChoice
from supportly.provider import FindsContacts, LogsActivities, WritesContacts
from workflows.contact_activity import ContactActivity
from workflows.contact_lookup import ContactLookup
from workflows.contact_sync import ContactSync

router = APIRouter(prefix=PREFIX, tags=["Contacts"])

LONGEST_CONTENT: Final = 65_536
"""Characters of an activity: the smallest limit of the providers' note fields that they publish."""
KINDS: Final[tuple[str, ...]] = get_args(ActivityKind)

RECORD: Final[dict[str, Any]] = {"id": "151", "url": "https://app.hubspot.com/contacts/1/record/0-1/151"}


class ActivityBody(BaseModel):
    """An activity to log."""

    content: str = Field(
        description=f"What happened; 1 to {LONGEST_CONTENT} characters.",
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_CONTENT, "pattern": NOT_BLANK},
    )
    activity_type: str = Field("note", description="`note`, `call` or `task`.", json_schema_extra={"enum": list(KINDS)})
    target: str | None = Field(
        None, min_length=1, max_length=255, description="Where it goes (Jira project, Slack channel…)."
    )


@router.get(
    "/{provider}/contacts/{contact_id}",
    **documented(
        "Look a contact up",
        answers=Lookup,
        example={
            "provider": "hubspot",
            "contact_id": 42,
            "records": [
                {
                    "type": "contact",
                    **RECORD,
                    "name": "Ada Lovelace",
                    "email": "ada@example.com",
                    "phone": None,
                    "raw": {},
                }
            ],
            "deals": [{"id": "77", "type": "deal", "name": "Renewal", "status": "open"}],
            "activities": [],
            "extra": {},
            "partial": {},
        },
        failures=(*INTEGRATES, *CALLS_PROVIDER, errors.UnsupportedByProvider),
        waits=True,
    ),
)
async def look_up(at: AgentIntegration, contact_id: ContactId, patience: Waits) -> Response:
    """Matching records, deals, activities and what else the provider knows of a Supportly contact.

    A contact that the provider does not know has empty `records`. `partial` names the parts that could not be read.
    """
    if not isinstance(at.provider, FindsContacts):
        raise unsupported(at.provider, "look contacts up")
    # The activity reads the connection anyway, and says what is wrong with it; asking twice would cost every lookup.
    work = Work(
        kind="lookup",
        provider=at.provider.id,
        workflow=ContactLookup.run,
        job=LookupJob(account_id=at.account_id, provider=at.provider.id, contact_id=contact_id),
        result=Lookup,
        workflow_id=ids.lookup(at.account_id, at.provider.id, contact_id),
        shared=True,
    )
    return await perform(at, work, patience)


@router.post(
    "/{provider}/contacts/{contact_id}/sync",
    **documented(
        "Create or update a contact",
        answers=SyncResult,
        example={
            "provider": "hubspot",
            "contact_id": 42,
            "status": "updated",
            "record": RECORD,
            "changed_fields": ["phone"],
            "changes": [{"field": "phone", "before": None, "after": "+31612345678"}],
            "skipped_fields": {},
            "dry_run": False,
            "operation_id": EXAMPLE_ID,
        },
        failures=(*INTEGRATES, *CALLS_PROVIDER, *IDEMPOTENT, errors.UnsupportedByProvider, errors.AmbiguousMatch),
        waits=True,
    ),
)
async def sync(
    at: AgentIntegration,
    contact_id: ContactId,
    key: IdempotencyKey,
    patience: Waits,
    dry_run: Annotated[bool, Query(description="Answer the plan and write nothing.")] = False,
) -> Response:
    """Creates or updates the contact at the provider; a second identical sync changes nothing (`unchanged`).

    A blank value never overwrites one, only changed fields are sent, and several exact matches answer 409.
    """
    if not isinstance(at.provider, WritesContacts):
        raise unsupported(at.provider, "create or update contacts")
    await at.connection()
    operation = await opened(at, "sync", key=key, fingerprint=fingerprint(at))
    if (stored := replayed(operation, patience)) is not None:
        return stored
    work = Work(
        kind="sync",
        provider=at.provider.id,
        workflow=ContactSync.run,
        job=SyncJob(
            account_id=at.account_id,
            provider=at.provider.id,
            contact_id=contact_id,
            operation_id=operation.id,
            dry_run=dry_run,
        ),
        result=SyncResult,
        workflow_id=ids.sync(at.account_id, at.provider.id, contact_id, dry_run=dry_run),
        operation_id=operation.id,
        stored=True,
        shared=True,
        joins_with=None if dry_run else "again",
    )
    return await perform(at, work, patience)


@router.post(
    "/{provider}/contacts/{contact_id}/activity",
    **documented(
        "Log an activity",
        answers=ActivityResult,
        example={
            "provider": "hubspot",
            "contact_id": 42,
            "activity_type": "note",
            "record": {"id": "9001", "url": None},
            "target": None,
            "operation_id": EXAMPLE_ID,
        },
        failures=(
            *INTEGRATES,
            *TAKES_BODY,
            *CALLS_PROVIDER,
            *IDEMPOTENT,
            errors.UnknownChoice,
            errors.UnsupportedByProvider,
            errors.AmbiguousMatch,
            errors.SelectionRequired,
            errors.OutcomeUnknown,
        ),
        body=ActivityBody,
        body_example={"content": "Called about the renewal.", "activity_type": "note"},
        waits=True,
    ),
)
async def log_activity(
    at: AgentIntegration,
    contact_id: ContactId,
    key: IdempotencyKey,
    patience: Waits,
    body: Annotated[ActivityBody, Depends(json_body(ActivityBody))],
) -> Response:
    """Logs a note, call or task on the contact's record, exactly once per Idempotency-Key."""
    _check_activity(at, body)
    await at.connection()
    operation = await opened(
        at,
        "activity",
        key=key,
        fingerprint=fingerprint(at, body.model_dump()),
        workflow_id=partial(ids.activity, at.account_id, at.provider.id, contact_id),
    )
    if (stored := replayed(operation, patience)) is not None:
        return stored
    work = Work(
        kind="activity",
        provider=at.provider.id,
        workflow=ContactActivity.run,
        job=ActivityJob(
            account_id=at.account_id,
            provider=at.provider.id,
            contact_id=contact_id,
            operation_id=operation.id,
            kind=cast("ActivityKind", body.activity_type),
            content=body.content,
            target=body.target,
        ),
        result=ActivityResult,
        workflow_id=ids.activity(at.account_id, at.provider.id, contact_id, operation.id),
        operation_id=operation.id,
        stored=True,
    )
    return await perform(at, work, patience)


def _check_activity(at: AgentIntegration, body: ActivityBody) -> None:
    if not body.content.strip():
        raise InvalidInput("`content` is empty.", field="content")
    if len(body.content) > LONGEST_CONTENT:
        raise InvalidInput(f"`content` is longer than {LONGEST_CONTENT} characters.", field="content")
    if body.activity_type not in KINDS:
        raise UnknownChoice(
            f"`activity_type` is one of {', '.join(KINDS)}.", field="activity_type", allowed=list(KINDS)
        )
    kinds = list(at.provider.activity_kinds) if isinstance(at.provider, LogsActivities) else []
    if body.activity_type not in kinds:
        raise unsupported(at.provider, f"log a {body.activity_type}", field="activity_type", allowed=[*kinds])
