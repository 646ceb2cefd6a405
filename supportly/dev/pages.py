"""`docs/providers.md`, made from what the providers state: `make docs` writes it, a test compares it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings

from supportly.provider import FindsContacts, LogsActivities, Provider, ProviderSettings, StreamsKnowledge
from supportly.provider import WritesContacts as Writes
from supportly.providers import PROVIDERS

PAGE: Final = Path("docs/providers.md")
ROTATION: Final = {
    "none": "A refresh keeps the refresh token",
    "grace": "A refresh replaces the refresh token; the old one works a while longer",
    "single_use": "A refresh replaces the refresh token; the old one is dead",
    "single_use_with_reuse_detection": "A refresh replaces the refresh token; using the old one again ends the grant",
}
FOUND_BY: Final = {"by_email": "e-mail", "by_phone": "phone", "by_external_id": "the Supportly contact's id"}
INTRO: Final = """# Providers

Made from the providers' own files by `make docs`; a test keeps it equal to them. How an account is connected and asked: [api.md](api.md). How a provider is written: [adding-a-provider.md](adding-a-provider.md).

Every app needs its redirect URI registered at the provider: `SUPPORTLY_CALLBACK_URL` with `{provider}` filled in, and for the [console](console.md) `SUPPORTLY_CONSOLE_CALLBACK_URL` as well ([settings.md](settings.md)). Its client id and secret go into `SUPPORTLY_{PROVIDER}_CLIENT_ID` and `SUPPORTLY_{PROVIDER}_CLIENT_SECRET`. Credentials are read when a connection is made or refreshed, never stored."""  # noqa: E501 (a paragraph is one line in Markdown)


def page(providers: Iterable[Provider] = PROVIDERS) -> str:
    """The whole page."""
    found = list(providers)
    parts = [INTRO, *overview(found)]
    for provider in found:
        parts += section(provider)
    return "\n\n".join(parts) + "\n"


def overview(providers: list[Provider]) -> Iterator[str]:
    """All providers, a row each."""
    rows = []
    for p in providers:
        can = p.capabilities
        contacts = ["look up"] * can.contact_lookup + ["create"] * can.contact_create + ["update"] * can.contact_update
        streams = [f"**{s.id}**" if s.default else s.id for s in p.streams] if isinstance(p, StreamsKnowledge) else []
        rows.append((
            f"[{p.title}](#{p.id})", ", ".join(contacts) or "–", ", ".join(can.activities) or "–",
            str(len(can.actions)), ", ".join(streams) or "–",
        ))  # fmt: skip
    yield "## What works where"
    yield table(("Provider", "Contacts", "Activities", "Actions", "Knowledge (default in bold)"), rows)


def section(p: Provider) -> Iterator[str]:
    """One provider."""
    yield f"## {p.title}"
    yield inspect.cleandoc(type(p).__doc__ or "")
    if p.notice:
        yield f"**Before connecting.** {p.notice}"
    yield "### Connection"
    yield "\n".join(connection(p))
    if p.about.register:
        yield "### Register the app"
        yield "\n".join(f"{number}. {step}" for number, step in enumerate(p.about.register, 1))
    if p.oauth.scopes:
        yield "### Scopes"
        rows = [(f"`{s.name}`", s.reason, "optional" if s.optional else "required") for s in p.oauth.scopes]
        yield table(("Scope", "What for", ""), rows)
    yield "### What it does"
    yield "\n".join(does(p))
    if p.actions:
        rows = [(f"`{a.name}`", a.description, "writes" if a.writes else "") for a in p.actions.values()]
        yield table(("Action", "What it answers or does", ""), rows)
    if isinstance(p, StreamsKnowledge):
        yield table(
            ("Knowledge stream", "What it holds", "Default", "Walks"),
            [
                (f"`{s.id}`", s.description, "on" if s.default else "off", "changes only" if s.incremental else "whole")
                for s in p.streams
            ],
        )
    own = [name for name in p.settings.model_fields if name not in ProviderSettings.model_fields]
    if own:
        fields = p.settings.model_fields
        yield table(("Setting", "What it decides"), [(f"`{name}`", fields[name].description or "") for name in own])
    if isinstance(contract := getattr(p, "contract", None), BaseSettings):
        yield "### What an operator can set"
        yield table(("Variable", "Default", "Meaning"), list(variables(contract)))
    yield from asides(p)


def variables(contract: BaseSettings) -> Iterator[tuple[str, str, str]]:
    """Environment variables of a provider's contract, with their defaults."""
    for name, field in type(contract).model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = json.dumps(default, default=str) if isinstance(default, dict | list) else str(default)
        told = f"`{shown}`" if shown not in ("", "**********") else "empty"
        meaning = field.description or f"{name.replace('_', ' ').capitalize()}."
        yield f"`{contract.model_config.get('env_prefix', '')}{name.upper()}`", told, meaning


def connection(p: Provider) -> Iterator[str]:
    """How a connection is made and kept."""
    for part in p.connect_fields:
        told = f"defaults to `{part.default}`" if part.default else "required" if part.required else "optional"
        yield f"- Connecting asks for `{part.name}` ({part.title}), such as `{part.example}`; {told}."
    yield f"- Consent page `{p.oauth.authorize}`, token endpoint `{p.oauth.token}`."
    yield f"- PKCE (S256): {'yes' if p.oauth.pkce else 'no'}."
    life = p.oauth.expires_in
    told = f"for {life:,} s" if life else "for an hour"
    yield (
        f"- Access tokens live as the answer says; where it says nothing, {told} if they can be refreshed, else until "
        "they are refused."
    )
    yield f"- {ROTATION[p.oauth.rotation]}."
    yield "- Disconnecting revokes the access." if p.revocable else "- Disconnecting cannot revoke the access."


def does(p: Provider) -> Iterator[str]:
    """Contacts and activities."""
    if isinstance(p, FindsContacts):
        ways = [told for name, told in FOUND_BY.items() if getattr(type(p), name) is not getattr(FindsContacts, name)]
        yield f"- Contacts are found by {', '.join(ways)}."
    if isinstance(p, Writes):
        pairs = ", ".join(f"`{theirs}` from `{ours}`" for theirs, ours in p.mapping.items())
        yield f"- Contacts are created{' and updated' * p.updates}. Default mapping: {pairs}."
    if isinstance(p, LogsActivities):
        place = "" if p.activity_needs_record else " The contact need not be known there."
        yield f"- Activities: {', '.join(p.activity_kinds)}.{place}"


def asides(p: Provider) -> Iterator[str]:
    """Limits, what is not possible, what is assumed."""
    for title, lines in (
        ("Limits", p.about.limits),
        ("Not possible, and why", [f"{what}: {why}" for what, why in p.about.cannot.items()]),
        ("Assumed", p.about.assumed),
    ):
        if lines:
            yield f"### {title}"
            yield "\n".join(f"- {line}" for line in lines)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; a bar within a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
