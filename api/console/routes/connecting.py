"""To a provider's consent page and back, and apart again."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.console import session
from api.console.gateway import segment
from api.console.place import Form, Here, Place, SignedIn, integration, place_of, text
from api.console.rendering import page, redirect
from api.console.route import ConsoleRoute
from api.console.session import PATH
from supportly import providers
from supportly.errors import AuthorizationInvalid, DifferentAccount, InvalidInput, SupportlyError

router = APIRouter(prefix=PATH, route_class=ConsoleRoute, include_in_schema=False)

AT: Final = "/accounts/{account_id}/integrations/{provider}"
EXPLAINED: Final = {
    "shop": "The shop's own address at Shopify, not your customers' domain: it ends in myshopify.com and stands in the "
    "address bar of the shop's admin pages.",
    "subdomain": "What stands before the provider's name in your address bar while you work there.",
    "domain": "Where your people sign in. Leave it empty for the usual login; name your own domain for a sandbox, or "
    "where sign-in goes through single sign-on.",
    "site": "Which site you mean, where your user belongs to several; what stands in your address bar while you work "
    "there.",
}
"""Where a person finds what the provider wants to know; the field's own title says the rest."""


@router.get(AT + "/connect")
async def ask(request: Request, here: Here, provider: str) -> Response:
    """What connecting means, and what has to be known for it."""
    return await _asked(request, here, provider)


async def _asked(
    request: Request,
    here: Place,
    provider: str,
    error: SupportlyError | None = None,
    given: dict[str, str] | None = None,
) -> Response:
    shown = await here.api.get(f"/{segment(provider)}")
    known = shown.get("configuration", {}).get("connected_to", {})
    return page(
        request,
        "connect.html",
        status=error.status if error else 200,
        here=here,
        shown=shown,
        given=given if given is not None else {name: value or "" for name, value in known.items()},
        explained=EXPLAINED,
        error=error,
        wrong=error.details.get("field", "") if error else "",
    )


@router.post(AT + "/connect")
async def connect(request: Request, here: Here, provider: str, given: Form) -> Response:
    """Starts an attempt and leads to the provider.

    A redirect would be refused by the policy for forms, which lets them go to ourselves alone; so a page leads on.
    """
    names = [field.name for field in providers.get(provider).connect_fields]
    parts = {name: text(given, name) for name in names}
    body: dict[str, Any] = {name: value for name, value in parts.items() if value}
    body |= {"return_to": "console", "replace": "replace" in given}
    try:
        begun = (await here.api.ask("POST", f"/{segment(provider)}/connect", body)).body
    except SupportlyError as error:
        if not isinstance(error, InvalidInput) and error.own_code != "provider_not_configured":
            raise
        return await _asked(request, here, provider, error, parts)
    answer = page(
        request, "leaving.html", here=here, title=providers.get(provider).title, url=begun["authorization_url"]
    )
    session.remember_attempt(answer, begun["state"], here.account_id, here.services.settings)
    return answer


@router.get("/callback/{provider}")
async def back(request: Request, signed_in: SignedIn, provider: str) -> Response:
    """Back from the provider: everything that it sent goes to the API's callback."""
    state = request.query_params.get("state", "")
    account_id = session.attempt_account(request, state)
    if account_id is None:
        raise AuthorizationInvalid("This consent was not begun in this browser, or more than ten minutes ago.")
    here = request.state.here = place_of(request, signed_in, account_id)
    answer = await _finished(request, here, provider)
    session.forget_attempt(answer, state)
    return answer


async def _finished(request: Request, here: Place, provider: str) -> Response:
    returned = dict(request.query_params)
    title = providers.get(provider).title
    try:
        await here.api.ask("POST", f"/{segment(provider)}/callback", returned)
    except SupportlyError as error:
        return page(
            request,
            "not_connected.html",
            status=error.status,
            here=here,
            title=title,
            provider=provider,
            error=error,
            other=isinstance(error, DifferentAccount),
        )
    return redirect(f"{integration(here, provider)}?done=connected")


@router.post(AT + "/disconnect")
async def disconnect(here: Here, provider: str, _given: Form) -> Response:
    """Ends the connection; the page has asked before."""
    await here.api.ask("DELETE", f"/{segment(provider)}/disconnect")
    return redirect(f"{integration(here, provider)}?done=disconnected")
