"""An integration as callers see it: never a secret, never a token."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from api import setting_rules
from supportly.provider import Provider, StreamsKnowledge
from supportly.settings import Settings
from supportly.storage.connections import Connection, missing_scopes
from supportly.storage.provider_settings import Stored


def summary(provider: Provider, connection: Connection | None, stored: Stored) -> dict[str, Any]:
    """One entry of the list."""
    alive = connection if connection and connection.state != "disconnected" else None
    wanted = [s.name for s in provider.oauth.scopes if not s.optional] if provider.available else []
    return {
        "provider": provider.id,
        "name": provider.title,
        "available": provider.available,
        "status": alive.state if alive else "not_connected",
        "connected": alive is not None and alive.state == "connected",
        "reason": (alive.reason or None) if alive else None,
        "account_name": alive.account_name if alive else None,
        "connected_at": alive.connected_at if alive else None,
        "scopes": list(alive.scopes) if alive else [],
        "missing_scopes": missing_scopes(alive.scopes, wanted) if alive else [],
        "knowledge_enabled": stored.knowledge_enabled,
        "capabilities": provider.capabilities.model_dump(mode="json"),
        "notice": provider.notice or None,
    }


def detailed(provider: Provider, connection: Connection | None, stored: Stored, settings: Settings) -> dict[str, Any]:
    """One integration with its configuration, settings and what it can do."""
    found = summary(provider, connection, stored)
    if not provider.available:
        return found
    alive, own = found["status"] != "not_connected", filled(provider, stored)
    return {
        **found,
        "configuration": {
            "client_configured": bool(settings.client(provider.id).client_id),
            "redirect_uri": redirect_uri(provider, settings),
            "pkce": provider.oauth.pkce,
            "scopes": [{"name": s.name, "reason": s.reason, "optional": s.optional} for s in provider.oauth.scopes],
            "connected_to": {field.name: connection.facts.get(field.name) for field in provider.connect_fields}
            if connection and alive
            else {},
        },
        "connect_fields": [
            {
                "name": field.name,
                "title": field.title,
                "required": field.required,
                "pattern": field.pattern,
                "example": field.example,
            }
            for field in provider.connect_fields
        ],
        "settings": own,
        "settings_schema": setting_rules.schema(provider),
        "actions": [
            {
                "name": action.name,
                "description": action.description,
                "writes": action.writes,
                "captain": action.captain_may(own),
                "params_schema": setting_rules.described(action.params),
                "example": dict(action.example),
            }
            for action in provider.actions.values()
        ],
        "streams": _streams(provider, stored),
    }


def filled(provider: Provider, stored: Stored) -> dict[str, Any]:
    """The settings with defaults; what an upgrade made invalid is shown as it is stored."""
    known = {k: v for k, v in stored.settings.items() if k in provider.settings.model_fields}
    try:
        return provider.settings.model_validate(known).model_dump(mode="json")
    except ValidationError:
        return {**provider.settings().model_dump(mode="json"), **known}


def _streams(provider: Provider, stored: Stored) -> list[dict[str, Any]]:
    if not isinstance(provider, StreamsKnowledge):
        return []
    chosen = stored.settings.get("streams")
    return [
        {
            "id": stream.id,
            "title": stream.title,
            "description": stream.description,
            "default": stream.default,
            "enabled": stream.default if chosen is None else stream.id in chosen,
        }
        for stream in provider.streams
    ]


def redirect_uri(provider: Provider, settings: Settings, return_to: str = "app") -> str:
    """Where the provider sends the user back; from configuration only. `return_to` is `app` or `console`."""
    url = settings.console_callback_url if return_to == "console" else settings.callback_url
    return url.replace("{provider}", provider.id)
