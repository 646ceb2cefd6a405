"""One provider: its connection and permissions, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import FormData

from api.console import forms
from api.console.cards import Card, card
from api.console.gateway import segment
from api.console.place import Form, Here, Place, integration
from api.console.rendering import page, redirect
from api.console.route import ConsoleRoute
from api.console.routes.overview import knowledge
from api.console.session import PATH
from api.setting_rules import SOURCES
from supportly import providers
from supportly.contracts import ids
from supportly.errors import InvalidInput
from supportly.provider import WritesContacts

router = APIRouter(
    prefix=f"{PATH}/accounts/{{account_id}}/integrations/{{provider}}",
    route_class=ConsoleRoute,
    include_in_schema=False,
)

PREFIX: Final = "settings"
APART: Final = ("streams", "field_mapping")
"""Settings with forms of their own."""


@dataclass(frozen=True)
class Shown:
    """A provider as its pages show it."""

    api: Mapping[str, Any]
    card: Card
    workflow: str
    """Its connection in the Temporal UI."""
    path: str
    """Of its first page."""


async def shown(here: Place, provider: str) -> Shown:
    """What the head of a provider's pages says."""
    found = await here.api.get(f"/{segment(provider)}")
    known, _ = await knowledge(here)
    configured = found.get("configuration", {}).get("client_configured", False)
    link = here.workflow(ids.connection(here.account_id, provider)) if found["status"] != "not_connected" else ""
    return Shown(
        found, card(found, known.get(provider), configured=configured), link, integration(here, found["provider"])
    )


@router.get("")
async def connection(request: Request, here: Here, provider: str) -> Response:
    """State of the connection, its permissions, what it is good for."""
    one = await shown(here, provider)
    granted = set(one.api["scopes"])
    scopes = one.api.get("configuration", {}).get("scopes", [])
    missing = set(one.api["missing_scopes"])
    asked = {scope["name"] for scope in scopes}
    rows = [{**scope, "state": _scope_state(scope["name"], granted, missing)} for scope in scopes]
    return page(
        request,
        "connection.html",
        here=here,
        one=one,
        tab="",
        rows=rows,
        # A provider may grant under broader names, or more than was asked for.
        others=sorted(granted - asked),
        about=providers.get(provider).about,
    )


def _scope_state(name: str, granted: set[str], missing: set[str]) -> str:
    return "missing" if name in missing else "granted" if name in granted else "not granted"


@router.get("/settings")
async def settings(request: Request, here: Here, provider: str) -> Response:
    """The settings' form, and the field mapping."""
    return await _settings(request, here, provider)


async def _settings(
    request: Request,
    here: Place,
    provider: str,
    *,
    fields: list[forms.Field] | None = None,
    mapping: list[tuple[str, str]] | None = None,
    error: InvalidInput | None = None,
) -> Response:
    one = await shown(here, provider)
    known = forms.fields(one.api["settings_schema"], one.api["settings"], without=APART)
    listed, left = forms.with_errors(fields or known, forms.problems(error) if error else {}, PREFIX)
    wrong = {name.removeprefix(f"{PREFIX}.field_mapping."): text for name, text in left.items()}
    stored = one.api["settings"]["field_mapping"]
    writes = providers.get(provider)
    default = dict(writes.mapping) if isinstance(writes, WritesContacts) else {}
    rows = mapping if mapping is not None else list((stored if stored is not None else default).items())
    placed = any(one.error for one in listed) or any(name in wrong for name, _ in rows)
    return page(
        request,
        "settings.html",
        status=error.status if error else 200,
        here=here,
        one=one,
        tab="settings",
        fields=listed,
        mapping=rows,
        own_mapping=mapping is not None or stored is not None,
        default_mapping=default,
        writes_contacts=isinstance(writes, WritesContacts),
        sources=SOURCES,
        wrong=wrong,
        error=None if placed else error,
    )


@router.post("/settings")
async def save(request: Request, here: Here, provider: str, given: Form) -> Response:
    """Sends what was changed; what the API refuses stands at its field, and nothing that was typed is lost."""
    found = await here.api.get(f"/{segment(provider)}")
    before = forms.fields(found["settings_schema"], found["settings"], without=APART)
    after = forms.read(before, given, PREFIX)
    try:
        await here.api.ask("PUT", f"/{segment(provider)}/settings", {"settings": forms.changed(before, after)})
    except InvalidInput as error:
        return await _settings(request, here, provider, fields=after, error=error)
    return redirect(f"{integration(here, provider)}/settings?done=settings")


@router.post("/mapping")
async def save_mapping(request: Request, here: Here, provider: str, given: Form) -> Response:
    """Sends the field mapping; `null` takes the provider's own."""
    own = given.get("mapping") == "own"
    pairs = _pairs(given) if own else []
    body = {"settings": {"field_mapping": dict(pairs) if own else None}}
    try:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            field = f"{PREFIX}.field_mapping.{twice}"
            raise InvalidInput("This field stands twice; keep one of the two lines.", field=field)
        await here.api.ask("PUT", f"/{segment(provider)}/settings", body)
    except InvalidInput as error:
        return await _settings(request, here, provider, mapping=pairs, error=error)
    return redirect(f"{integration(here, provider)}/settings?done=mapping#mapping")


@router.get("/mapping/row")
async def mapping_row(request: Request, here: Here) -> Response:
    """One more line of the mapping."""
    return page(request, "mapping_row.html", here=here, name="", source="", problem="", place="new")


def _pairs(given: FormData) -> list[tuple[str, str]]:
    """The lines of the mapping, without those that name no field."""
    names = [str(name).strip() for name in given.getlist("mapping_field")]
    sources = [str(source).strip() for source in given.getlist("mapping_source")]
    return [(name, source) for name, source in zip(names, sources, strict=False) if name]
