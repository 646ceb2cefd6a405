"""What every page does alike: failures become pages, whoever is not signed in is led to the sign-in, headers go on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.auth import ADMINISTRATOR
from api.console import session
from api.console.place import SignInNeeded
from api.console.rendering import HEADERS, page, redirect, wants_part
from api.envelope import report
from api.errors import InternalError, invalid
from supportly.errors import InvalidInput, NotAuthenticated, NotFound, SupportlyError

TITLES: Final = {
    403: "Not done",
    404: "Not found",
    409: "Not possible now",
    422: "Please check",
    429: "Too many requests",
    502: "The provider did not accept this",
    503: "A part of the service is away",
    504: "The provider did not answer in time",
}
"""Headings by status; a role that is too low has one of its own."""


class ConsoleRoute(APIRoute):
    """A route whose failures are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, inside of what all pages share."""
        handler = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                answer = await handler(request)
            except SignInNeeded as missing:
                answer = to_sign_in(request, missing.why)
            except NotAuthenticated as error:
                # Between two questions of one page the token may be revoked; a role that is too low is no such thing.
                answer = failure(request, error) if "role" in error.details else to_sign_in(request, "expired")
            except SupportlyError as error:
                answer = failure(request, error)
            except RequestValidationError as error:
                answer = failure(request, invalid([{**one, "loc": one["loc"][1:]} for one in error.errors()]))
            except HTTPException:
                answer = failure(request, InvalidInput("The request could not be read."))
            except Exception as error:  # noqa: BLE001 (the last resort of pages, as the envelope is of the API)
                report(error, request.state.request_id)
                answer = failure(request, InternalError())
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
            return answer

        return handled


def to_sign_in(request: Request, why: str) -> Response:
    """The sign-in page, which leads back here; as a part of a page htmx goes there as a whole."""
    part = wants_part(request)
    wanted = urlsplit(request.headers.get("hx-current-url", "")) if part else urlsplit(str(request.url))
    back = f"{wanted.path}?{wanted.query}" if wanted.query else wanted.path
    query: dict[str, Any] = {"why": why} if why else {}
    if (request.method == "GET" or part) and back.startswith(f"{session.PATH}/") and "/callback/" not in back:
        query["next"] = back
    url = f"{session.PATH}/sign-in" + (f"?{urlencode(query)}" if query else "")
    return Response(status_code=401, headers={"HX-Redirect": url}) if part else redirect(url)


def failure(request: Request, error: SupportlyError) -> Response:
    """A failure as a page, or as a part of one."""
    too_low = error.details.get("role") == ADMINISTRATOR
    status = 403 if too_low else error.status
    title = "This needs an administrator" if too_low else TITLES.get(status, "Something went wrong")
    text = (
        "Your token has the role agent, which may look but not change this. Nothing was done."
        if too_low
        else error.message
    )
    if isinstance(error, NotFound) and not error.details:
        text = f"{error.message} The address may be mistyped, or belong to another account."
    template = "error_part.html" if wants_part(request) else "error.html"
    return page(
        request,
        template,
        status=status,
        here=getattr(request.state, "here", None),
        title=title,
        text=text,
        error=error,
        request_id=request.state.request_id,
    )
