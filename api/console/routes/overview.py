"""All ten providers at a glance."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.console.cards import Card, card
from api.console.place import Here, Place
from api.console.rendering import page, wants_part
from api.console.route import ConsoleRoute
from api.console.session import PATH
from supportly.errors import Unavailable

router = APIRouter(prefix=f"{PATH}/accounts/{{account_id}}", route_class=ConsoleRoute, include_in_schema=False)


@router.get("")
async def overview(request: Request, here: Here) -> Response:
    """Cards of all providers, those in trouble first; as a part while something runs."""
    listed = (await here.api.get(""))["integrations"]
    known, away = await knowledge(here)
    settings = here.services.settings
    cards = [
        card(one, known.get(one["provider"]), configured=bool(settings.client(one["provider"]).client_id))
        for one in listed
    ]
    return page(
        request,
        "cards.html" if wants_part(request) else "overview.html",
        here=here,
        groups=_grouped(cards),
        running=any(one.knowledge and one.knowledge["state"] == "running" for one in cards),
        documents=sum(one["documents"] for one in known.values()),
        connected=sum(1 for one in listed if one["connected"]),
        total=len(listed),
        away=away,
    )


async def knowledge(here: Place) -> tuple[dict[str, dict[str, Any]], str]:
    """State of knowledge by provider; empty with the reason while the workflow server is away."""
    try:
        status = await here.api.get("/knowledge/status")
    except Unavailable as error:
        return {}, error.message
    return {one["provider"]: one for one in status["providers"]}, ""


def _grouped(cards: list[Card]) -> list[tuple[str, str, list[Card]]]:
    titles = (("trouble", "Needs attention"), ("connected", "Connected"), ("open", "Not connected"))
    groups = [(name, title, [one for one in cards if one.group == name]) for name, title in titles]
    return [group for group in groups if group[2]]
