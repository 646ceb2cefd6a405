"""What Captain would find."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.console.place import Here
from api.console.rendering import page
from api.console.route import ConsoleRoute
from api.console.session import PATH

router = APIRouter(prefix=f"{PATH}/accounts/{{account_id}}", route_class=ConsoleRoute, include_in_schema=False)

HITS = 10
"""Twice what Captain reads by default, so that one sees what nearly came in."""


@router.get("/search")
async def search(request: Request, here: Here) -> Response:
    """Asks as Captain does, and shows what comes back with scores and sources."""
    asked = request.query_params.get("q", "").strip()
    provider = request.query_params.get("provider", "")
    locale = request.query_params.get("locale", "").strip()
    listed = (await here.api.get(""))["integrations"]
    found = None
    if asked:
        found = await here.api.get(
            "/knowledge/search", q=asked, limit=HITS, provider=provider or None, locale=locale or None
        )
    hits = found["hits"] if found else []
    return page(
        request,
        "search.html",
        here=here,
        asked=asked,
        provider=provider,
        locale=locale,
        listed=[one for one in listed if one["capabilities"]["knowledge_streams"]],
        names={one["provider"]: one["name"] for one in listed},
        found=found,
        hits=hits,
        best=max((hit["score"] for hit in hits), default=0.0),
    )
