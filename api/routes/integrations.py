"""Integrations of an account: list, show, connect, callback, disconnect, settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from temporalio.service import RPCError

from activities import schedules
from api import entity, presenting, setting_rules
from api.bodies import json_body, read_object
from api.deps import PREFIX, AdminIntegration, AgentTenant, AnyIntegration, IdempotencyKey, Integration, answer
from api.errors import AuthorizationDenied, from_validation
from api.idempotency import once
from api.openapi import IDEMPOTENT, INTEGRATES, READS, TAKES_BODY, documented
from api.services import temporal_away
from supportly import errors, oauth
from supportly.contracts import answers
from supportly.errors import (
    AuthorizationInvalid,
    InvalidInput,
    NotConnected,
    ProviderFailure,
    Unavailable,
)
from supportly.http import browser_url, cleaned
from supportly.providers import PROVIDERS
from supportly.storage import authorizations, connections, provider_settings, revocations
from supportly.storage.operations import as_json
from supportly.storage.provider_settings import Stored

router = APIRouter(prefix=PREFIX, tags=["Integrations"])

ATTEMPT_LIFE: Final = timedelta(minutes=10)
"""A person has this long on the provider's consent page."""
CODE_CHALLENGE: Final = r"[A-Za-z0-9_-]{43,128}"
LONGEST_PARAMETER: Final = 4096
"""Characters of one parameter of a callback; codes of a few hundred are the longest seen."""
MOST_PARAMETERS: Final = 40
REVOCATION_S: Final = 2.0
"""How long a disconnect waits to hear that the provider has been told; revoking goes on after it for a day."""
EXAMPLE: Final[dict[str, Any]] = {
    "provider": "zendesk",
    "name": "Zendesk",
    "available": True,
    "status": "connected",
    "connected": True,
    "reason": None,
    "account_name": "acme",
    "connected_at": "2026-11-20T09:12:44.120455+00:00",
    "scopes": ["read", "write"],
    "missing_scopes": [],
    "knowledge_enabled": True,
    "capabilities": {
        "contact_lookup": True,
        "contact_create": True,
        "contact_update": True,
        "activities": ["note"],
        "actions": ["search_tickets"],
        "knowledge_streams": ["articles"],
    },
    "notice": None,
}


class ConnectBody(BaseModel):
    """Parts of the provider's host stand beside these fields: Shopify's `shop`, Zendesk's `subdomain`."""

    model_config = ConfigDict(extra="allow")
    code_challenge: str | None = Field(
        None, pattern=rf"^{CODE_CHALLENGE}$", description="S256 challenge of a verifier that the caller keeps."
    )
    code_challenge_method: str | None = Field(None, pattern="^S256$", description="`S256`, the only one.")
    replace: bool = Field(default=False, description="Allow another provider account than the one connected.")
    return_to: Literal["app", "console"] = Field(
        "app", description="Which of the two configured redirect URIs the provider sends the user back to."
    )


class CallbackBody(BaseModel):
    """Everything that the provider sent to the redirect URI belongs in here: `state`, `iss`, Shopify's `hmac`…"""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "additionalProperties": {"type": ["string", "integer", "null"], "maxLength": LONGEST_PARAMETER},
            "maxProperties": MOST_PARAMETERS,
        },
    )
    code: str = Field(min_length=1, max_length=LONGEST_PARAMETER, description="The authorization code.")
    code_verifier: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._~-]{43,128}$", description="PKCE verifier, when the caller made the challenge."
    )
    state: str | None = Field(None, max_length=LONGEST_PARAMETER, description="State; demanded in strict mode.")


class SettingsBody(BaseModel):
    """Settings to change."""

    settings: dict[str, Any] = Field(description="Names and values; null resets one to its default.")


@router.get("/", include_in_schema=False)
@router.get(
    "",
    **documented(
        "All integrations", answers=answers.IntegrationList, example={"integrations": [EXAMPLE]}, failures=READS
    ),
)
async def list_integrations(at: AgentTenant) -> Response:
    """All ten integrations with their connection status and capabilities.

    One that is announced and not built yet has `available: false`.
    """
    found = {c.provider: c for c in await connections.read_all(at.services.db, at.account_id)}
    stored = await provider_settings.read_all(at.services.db, at.account_id)
    listed = [presenting.summary(p, found.get(p.id), stored.get(p.id, Stored())) for p in PROVIDERS]
    return answer({"integrations": listed})


@router.get(
    "/{provider}", **documented("One integration", answers=answers.IntegrationDetail, example=EXAMPLE, failures=READS)
)
async def show_integration(at: AnyIntegration) -> Response:
    """Status, configuration, capabilities, settings with their JSON Schema, actions and knowledge streams.

    Never a secret.
    """
    return answer(await _shown(at))


async def _shown(at: Integration) -> dict[str, Any]:
    db, provider = at.services.db, at.provider
    connection = await connections.read(db, at.account_id, provider.id)
    stored = await provider_settings.read(db, at.account_id, provider.id)
    return presenting.detailed(provider, connection, stored, at.services.settings)


@router.post(
    "/{provider}/connect",
    **documented(
        "Start OAuth",
        answers=answers.AuthorizationStarted,
        example={
            "provider": "zendesk",
            "authorization_url": "https://acme.zendesk.com/oauth/authorizations/new?response_type=code&client_id=…",
            "state": "pXK0…",
            "expires_at": "2026-11-20T09:22:44.120455+00:00",
            "redirect_uri": "https://app.example.com/integrations/zendesk/callback",
            "pkce": True,
        },
        failures=(*INTEGRATES, *TAKES_BODY, *IDEMPOTENT),
        body=ConnectBody,
        body_example={"subdomain": "acme"},
        body_required=False,
    ),
)
async def connect(
    at: AdminIntegration, key: IdempotencyKey, body: Annotated[ConnectBody, Depends(json_body(ConnectBody))]
) -> Response:
    """Answers the address to send the user to. It is good for ten minutes and for one use.

    Shopify needs `shop`, Zendesk `subdomain`, Salesforce may take `domain`. The service keeps the PKCE verifier, unless
    the caller sends a `code_challenge` of its own. Only administrators may do this.
    """
    return await once(at, "connect", key, body.model_dump(), lambda: _connect(at, body))


async def _connect(at: Integration, body: ConnectBody) -> dict[str, Any]:
    provider, settings = at.provider, at.services.settings
    facts = provider.host_parts(body.model_extra or {})
    client_id = settings.client(provider.id).client_id
    if not client_id:
        name = f"SUPPORTLY_{provider.id.upper()}_CLIENT_ID"
        raise Unavailable(
            f"{provider.title} is not configured here: an operator has to set {name} and its secret.",
            code="provider_not_configured",
        )
    pkce = provider.oauth.pkce
    verifier = oauth.new_verifier() if pkce and not body.code_challenge else None
    challenge = body.code_challenge if pkce and body.code_challenge else oauth.challenge(verifier) if verifier else None
    authorize_url, _ = provider.urls(facts)
    state, redirect_uri = oauth.new_state(), presenting.redirect_uri(provider, settings, body.return_to)
    expires_at = oauth.now_utc() + ATTEMPT_LIFE
    await authorizations.open_attempt(
        at.services.db,
        at.services.vault,
        account_id=at.account_id,
        provider=provider.id,
        actor=at.actor,
        facts=facts,
        redirect_uri=redirect_uri,
        state=state,
        code_challenge=challenge,
        verifier=verifier,
        replace=body.replace,
        expires_at=expires_at,
    )
    url = oauth.authorization_url(
        provider.oauth,
        authorize_url,
        client_id=client_id,
        redirect_uri=redirect_uri,
        state=state,
        code_challenge=challenge,
    )
    return {
        "provider": provider.id,
        "authorization_url": browser_url(url, settings.sandbox_url),
        "state": state,
        "expires_at": expires_at.isoformat(),
        "redirect_uri": redirect_uri,
        "pkce": pkce,
    }


@router.post(
    "/{provider}/callback",
    **documented(
        "Finish OAuth",
        answers=answers.IntegrationDetail,
        example=EXAMPLE,
        failures=(
            *INTEGRATES,
            *TAKES_BODY,
            *IDEMPOTENT,
            errors.AuthorizationInvalid,
            AuthorizationDenied,
            errors.DifferentAccount,
            errors.ProviderFailure,
            errors.ProviderTimeout,
        ),
        body=CallbackBody,
        body_example={"code": "na1-1a2b…", "state": "pXK0…"},
    ),
)
async def callback(at: AdminIntegration, key: IdempotencyKey) -> Response:
    """Takes what the provider sent to the redirect URI, exchanges the code, and answers who is connected.

    `code` is required; everything else that came belongs in the body too. Without `state` the one open attempt of this
    caller is meant (strict mode refuses that). The same callback again answers the same.

    Only administrators may do this.
    """
    returned = await _returned(at)
    return await once(at, "callback", key, returned, lambda: _finish(at, returned))


async def _returned(at: Integration) -> dict[str, str]:
    """Every parameter as text: `null` is left out, numbers (Shopify's timestamp) are written out."""
    given = {k: v for k, v in (await read_object(at.request)).items() if v is not None}
    if len(given) > MOST_PARAMETERS:
        raise InvalidInput(f"A callback has at most {MOST_PARAMETERS} parameters.", field="body")
    for name, value in given.items():
        if isinstance(value, int) and not isinstance(value, bool) and name != "code":
            given[name] = str(value)
        elif not isinstance(value, str):
            raise InvalidInput(f"`{name[:100]}` has to be a text.", field=name[:100])
        if len(given[name]) > LONGEST_PARAMETER:
            raise InvalidInput(f"`{name[:100]}` is longer than {LONGEST_PARAMETER} characters.", field=name[:100])
    if given.get("error") and not given.get("code"):
        raise AuthorizationDenied(
            "The connection was not granted at the provider.", details={"provider_code": cleaned(given["error"])}
        )
    try:
        CallbackBody.model_validate(given, strict=True)
    except ValidationError as error:
        raise from_validation(error) from None
    return given


async def _finish(at: Integration, returned: Mapping[str, str]) -> dict[str, Any]:
    services = at.services
    pending_id = await authorizations.receive(
        services.db,
        services.vault,
        account_id=at.account_id,
        provider=at.provider.id,
        actor=at.actor,
        returned=returned,
        strict=services.settings.callback_mode == "strict",
    )
    try:
        await entity.authorize(at, pending_id)
    except ProviderFailure as error:
        if error.own_code != oauth.GrantRefused.code:
            raise
        raise AuthorizationInvalid(
            f"{at.provider.title} does not accept this code. Start again with connect.", details=error.details
        ) from None
    return as_json(await _shown(at))


@router.delete(
    "/{provider}/disconnect",
    **documented(
        "Disconnect",
        answers=answers.Disconnected,
        example={"provider": "zendesk", "status": "disconnected", "revoked": True},
        failures=(*INTEGRATES, errors.NotConnected),
    ),
)
async def disconnect(at: AdminIntegration) -> Response:
    """Revokes the grant at the provider, destroys the stored tokens, stops syncs, and removes what they brought.

    `revoked` is true when the provider has been told, false where it offers no way, and `pending` while we keep trying
    (for a day). Settings stay. Only administrators may do this.
    """
    db, provider = at.services.db, at.provider
    found = await connections.read(db, at.account_id, provider.id)
    if found is None or found.state == "disconnected":
        raise NotConnected(f"{provider.title} is not connected.")
    # When somebody else was faster, what was asked for holds.
    with contextlib.suppress(NotConnected):
        await entity.disconnect(at)
    return answer({"provider": provider.id, "status": "disconnected", "revoked": await _revoked(at)})


async def _revoked(at: Integration) -> bool | str:
    try:
        async with asyncio.timeout(REVOCATION_S):
            while True:
                status = await revocations.latest(at.services.db, at.account_id, at.provider.id)
                if status != "open":
                    return status == "revoked"
                await asyncio.sleep(0.05)
    except TimeoutError:
        return "pending"


@router.put(
    "/{provider}/settings",
    **documented(
        "Change settings",
        answers=answers.SettingsAnswer,
        example={
            "provider": "schedly",
            "settings": {"captain_scheduling_enabled": True, "default_event_type_id": "17"},
        },
        failures=(*INTEGRATES, *TAKES_BODY, errors.UnknownChoice, errors.UnsupportedByProvider),
        body=SettingsBody,
        body_example={"settings": {"captain_scheduling_enabled": True, "default_event_type_id": "17"}},
    ),
)
async def change_settings(
    at: AdminIntegration, body: Annotated[SettingsBody, Depends(json_body(SettingsBody))]
) -> Response:
    """Sets the settings that are named; the others stay, and null resets one to its default.

    They may be set before connecting, and stay when disconnecting. Only administrators may do this.
    """
    provider = at.provider
    given = body.settings

    def merged(old: Mapping[str, Any]) -> Mapping[str, Any]:
        both = {k: v for k, v in {**old, **given}.items() if v is not None and k in provider.settings.model_fields}
        try:
            # Strict, as JSON: `"yes"` is no boolean and `17` no text.
            provider.settings.model_validate_json(orjson.dumps(both), strict=True)
        except ValidationError as error:
            raise from_validation(error, prefix="settings") from None
        return both

    setting_rules.check(provider, given)
    stored = await provider_settings.merge(at.services.db, at.account_id, provider.id, merged)
    if "sync_interval_minutes" in given and stored.knowledge_enabled:
        await _reschedule(at, stored)
    return answer({"provider": provider.id, "settings": presenting.filled(provider, stored)})


async def _reschedule(at: Integration, stored: Stored) -> None:
    """Let the running Schedule keep the new interval."""
    minutes = stored.settings.get("sync_interval_minutes") or at.services.settings.sync_interval_minutes
    client = await at.services.temporal.client()
    try:
        await schedules.set_interval(client, at.account_id, at.provider.id, timedelta(minutes=minutes))
    except RPCError:
        raise temporal_away() from None
