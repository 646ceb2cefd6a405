"""Into the console and out of it: sign-in, the choice of an account, sign-out, and the files that pages load."""

from __future__ import annotations

from typing import Final, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.console import assets, session
from api.console.place import Form, SignedIn, SignInNeeded, base, identify, local_path, require_same_origin, text, user
from api.console.rendering import page, redirect
from api.console.route import ConsoleRoute
from api.console.session import PATH, Session
from api.services import Services
from supportly.errors import NotFound

router = APIRouter(prefix=PATH, route_class=ConsoleRoute, include_in_schema=False)

WHY: Final = {
    "expired": "Your session has ended, or the token was revoked. Sign in again to go on where you were.",
    "out": "You are signed out.",
}
"""What the sign-in page says, by the word in its address."""


@router.get("")
async def enter(request: Request, signed_in: SignedIn) -> Response:
    """To the account's overview; a choice where the token opens several."""
    accounts = sorted(signed_in.caller.roles)
    if len(accounts) == 1:
        return redirect(base(accounts[0]))
    roles = [(account, signed_in.caller.roles[account], base(account)) for account in accounts]
    return page(request, "accounts.html", session=signed_in.session, accounts=roles)


@router.get("/sign-in")
async def ask(request: Request) -> Response:
    """The sign-in page; who is signed in needs none."""
    back = local_path(request.query_params.get("next"))
    why = request.query_params.get("why", "")
    if not why:
        try:
            await user(request)
        except SignInNeeded:
            pass
        else:
            return redirect(back)
    return page(request, "sign_in.html", why=WHY.get(why, ""), back=back, error="")


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Checks a token as the API would, and keeps it sealed in a cookie."""
    require_same_origin(request)
    given = await request.form(max_files=0, max_fields=10)
    token, back = text(given, "token"), local_path(text(given, "next"))
    caller = await identify(request, token) if token else None
    if caller is None or not caller.roles:
        error = "This token is not valid. It may be mistyped or revoked." if token else "Enter your API token."
        return page(request, "sign_in.html", status=422, why="", back=back, error=error)
    services = cast("Services", request.app.state.services)
    answer = redirect(back)
    session.sign_in(answer, Session(token), services.vault, services.settings)
    return answer


@router.post("/sign-out")
async def sign_out(request: Request, _given: Form) -> Response:
    """Forgets the token in this browser; elsewhere it goes on."""
    answer = redirect(f"{PATH}/sign-in?why=out")
    session.sign_out(answer, cast("Services", request.app.state.services).settings)
    return answer


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """One file. With its present version in the address it may be kept for good."""
    found = assets.get(name)
    kept = request.query_params.get("v") == found.version
    headers = {"Cache-Control": assets.KEPT if kept else "no-cache", "ETag": f'"{found.version}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(found.content, 200, headers, found.kind)


missing = APIRouter(prefix=PATH, route_class=ConsoleRoute, include_in_schema=False)
"""Stands behind all other pages."""


@missing.api_route("/{rest:path}", methods=["GET", "POST"])
async def nothing(rest: str) -> Response:
    """A page for addresses that do not exist."""
    if rest == "":
        return redirect(PATH)
    raise NotFound("There is no such page.")
