"""Arguments that several verbs take, and what a shell completes for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from supportly.cli.failing import CommandError, Exit


def providers(incomplete: str) -> list[str]:
    """Providers that begin so."""
    from supportly.providers import PROVIDERS

    return [p.id for p in PROVIDERS if p.id.startswith(incomplete)]


ProviderName = Annotated[str, typer.Argument(help="Provider, such as `hubspot`.", autocompletion=providers)]
ContactNumber = Annotated[int, typer.Argument(min=1, help="Supportly contact.")]


def pairs(given: Sequence[str], *, field: str) -> dict[str, str]:
    """`name=value` texts as a mapping. Raises CommandError for one without `=`."""
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise CommandError(f"`{text}` is not NAME=VALUE ({field}).", Exit.WRONG_INPUT)
        found[name.strip()] = value
    return found


def values(given: Sequence[str], *, field: str) -> dict[str, Any]:
    """`name=value` texts, each value read as JSON where it is some (`true`, `17`, `null`, `["a"]`), else as a text."""
    return {name: _value(text) for name, text in pairs(given, field=field).items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
