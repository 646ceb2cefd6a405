"""What a setting may be: the schema that is shown, and the refusals that go with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from api.bodies import NOT_BLANK
from api.errors import unsupported
from supportly.errors import InvalidInput, UnknownChoice
from supportly.provider import Provider, StreamsKnowledge, WritesContacts

LONGEST_FIELD_NAME: Final = 200
SOURCES: Final = (
    "name", "first_name", "last_name", "email", "phone_number", "identifier",
    "company", "city", "country", "contact_id",
)  # fmt: skip
"""What a field mapping may take a value from, besides attributes (see `Contact.value`)."""
ATTRIBUTE: Final = re.compile(r"(custom|additional)_attributes\.[^\s.][^.]{0,99}")


@cache
def described(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model, made once: there are as many as settings classes and actions."""
    return model.model_json_schema()


def schema(provider: Provider) -> dict[str, Any]:
    """The JSON Schema of a provider's settings, with what only the provider knows: its streams, actions and fields."""
    found = deepcopy(described(provider.settings))
    streams = [stream.id for stream in provider.streams] if isinstance(provider, StreamsKnowledge) else []
    fields = found["properties"]
    _among(fields["streams"], streams)
    _among(fields["captain_actions"], allowable(provider))
    mapping = next(one for one in fields["field_mapping"]["anyOf"] if one["type"] == "object")
    if isinstance(provider, WritesContacts):
        mapping["propertyNames"] = {"minLength": 1, "maxLength": LONGEST_FIELD_NAME, "pattern": NOT_BLANK}
        mapping["additionalProperties"] = {
            "anyOf": [{"enum": list(SOURCES)}, {"type": "string", "pattern": f"^{ATTRIBUTE.pattern}$"}]
        }
    else:
        mapping["maxProperties"] = 0
    return found


def _among(field: dict[str, Any], allowed: Sequence[str]) -> None:
    """A list of some of `allowed`."""
    listed = next(one for one in field["anyOf"] if one["type"] == "array")
    if allowed:
        listed["items"] = {"enum": list(allowed)}
    else:
        listed["maxItems"] = 0


def allowable(provider: Provider) -> list[str]:
    """Actions that Captain may be allowed by name: those that write, where no setting of its own allows them."""
    return [action.name for action in provider.actions.values() if action.writes and not action.allowed_by]


def check(provider: Provider, given: Mapping[str, Any]) -> None:
    """Raises for names, streams, actions and fields that `schema` does not have; types are for the settings' class."""
    for name in given:
        if name not in provider.settings.model_fields:
            raise UnknownChoice(
                f"{provider.title} has no setting `{name[:100]}`.",
                field=f"settings.{name[:100]}",
                allowed=list(provider.settings.model_fields),
            )
    _check_streams(provider, given.get("streams"))
    _check_mapping(provider, given.get("field_mapping"))
    _check_captain_actions(provider, given.get("captain_actions"))


def _check_streams(provider: Provider, given: Any) -> None:
    if not isinstance(given, list) or not given:
        return
    if not isinstance(provider, StreamsKnowledge):
        raise unsupported(provider, "sync knowledge", field="settings.streams")
    allowed = [stream.id for stream in provider.streams]
    for number, stream in enumerate(given):
        if isinstance(stream, str) and stream not in allowed:
            raise UnknownChoice(
                f"{provider.title} has no stream `{stream[:100]}`.",
                field=f"settings.streams.{number}",
                allowed=allowed,
            )


def _check_captain_actions(provider: Provider, given: Any) -> None:
    """Only what writes needs leave, and only where no setting of its own gives it."""
    allowed = allowable(provider)
    for number, action in enumerate(given if isinstance(given, list) else ()):
        if isinstance(action, str) and action not in allowed:
            raise UnknownChoice(
                f"{provider.title} has no writing action `{action[:100]}` that is allowed here.",
                field=f"settings.captain_actions.{number}",
                allowed=allowed,
            )


def _check_mapping(provider: Provider, given: Any) -> None:
    if not isinstance(given, dict) or not given:
        return
    if not isinstance(provider, WritesContacts):
        raise unsupported(provider, "write contacts", field="settings.field_mapping")
    for name, source in given.items():
        field = f"settings.field_mapping.{name[:LONGEST_FIELD_NAME]}"
        if not name.strip() or len(name) > LONGEST_FIELD_NAME:
            raise InvalidInput("A field mapping needs the names of the provider's fields.", field=field)
        if isinstance(source, str) and source not in SOURCES and not ATTRIBUTE.fullmatch(source):
            raise UnknownChoice(
                f"`{field}` takes its value from a field of the contact.",
                field=field,
                allowed=[*SOURCES, "custom_attributes.…", "additional_attributes.…"],
            )
