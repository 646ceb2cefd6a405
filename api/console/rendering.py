"""Templates into answers: pages, parts of pages for htmx, and the headers that all of them carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.console import assets, session, wording
from api.console.place import Place
from api.console.session import Session
from supportly.providers import PROVIDERS

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Nothing from elsewhere, nothing inline, in nobody's frame. `nosniff` and `no-store` come with every answer."""
HTMX: Final = orjson.dumps(
    {
        "allowEval": False,
        "disableInheritance": True,  # an element says all that it does
        "includeIndicatorStyles": False,  # an inline style, which the policy forbids; ours are in the stylesheet
        "historyCacheSize": 0,  # pages hold data of customers: none of it stays in the browser's storage
        "refreshOnHistoryMiss": True,
        "scrollBehavior": "auto",
        # A failure is a part of the page like any other: it says what is wrong where it was asked.
        "responseHandling": [
            {"code": "204", "swap": False},
            {"code": "[23]..", "swap": True},
            {"code": "[45]..", "swap": True, "error": True},
        ],
    }
).decode()
NOTES: Final = {
    "connected": "Connected. Supportly can use this account now.",
    "disconnected": "Disconnected. Tokens are destroyed, and what was synced is removed.",
    "settings": "Settings saved.",
    "streams": "Streams saved; the next sync uses them.",
    "mapping": "Field mapping saved.",
    "knowledge_on": "Knowledge sync is on. The first sync has begun.",
    "knowledge_off": "Knowledge sync is off. What is stored stays.",
    "knowledge_purged": "Knowledge sync is off, and everything that was synced is removed.",
    "confirm_deletes": "The held deletions are carried out. For a day they can be undone.",
    "reject_deletes": "The documents stay.",
    "undo_deletes": "The documents are back.",
}
"""What a page says after a redirect, by the word in its address: never a text that somebody else could put there."""
HUES: Final = {provider.id: place for place, provider in enumerate(PROVIDERS)}


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "ago": wording.ago,
        "backticked": wording.backticked,
        "duration": wording.duration,
        "first_of": wording.first_of,
        "instant": wording.instant,
        "label": wording.label,
        "marked": wording.marked,
        "number": wording.number,
        "percent": wording.percent,
        "plainly": wording.plainly,
        "plural": wording.plural,
        "state": wording.state,
        "web_address": wording.web_address,
    }
    made.globals |= {
        "asset": assets.url,
        "console": session.PATH,
        "htmx_config": HTMX,
        "hues": HUES,
        "span": wording.span,
        "triggers": wording.TRIGGERS,
    }
    return made


TEMPLATES: Final = _environment()


def page(request: Request, template: str, *, status: int = 200, here: Place | None = None, **values: Any) -> Response:
    """A page, or a part of one."""
    signed_in: Session | None = here.user.session if here else values.pop("session", None)
    text = TEMPLATES.get_template(template).render(
        here=here,
        session=signed_in,
        path=request.url.path,
        note=NOTES.get(request.query_params.get("done", ""), ""),
        **values,
    )
    return HTMLResponse(text, status)


def redirect(url: str) -> Response:
    """To another page, with GET."""
    return RedirectResponse(url, 303)


def wants_part(request: Request) -> bool:
    """True when htmx asks for a part of a page."""
    headers = request.headers
    return headers.get("hx-request") == "true" and headers.get("hx-history-restore-request") != "true"
