"""Where a page stands: the user, the account, and the way to the API. Forms are checked here, too."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, cast
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from starlette.datastructures import FormData

from api.auth import ADMINISTRATOR, LONGEST_TOKEN, Caller, Callers, check
from api.console import session
from api.console.gateway import Gateway
from api.console.session import Session
from api.deps import number
from api.services import Services
from supportly.errors import SupportlyError

MOST_FIELDS: Final = 500
"""Fields of one form; the longest field mapping has some fifty rows of two."""
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"


class SignInNeeded(Exception):
    """Nobody is signed in (`why` is empty), or the token has ended (`expired`)."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class ForeignForm(SupportlyError):
    """A form that this console did not make, or made for another sign-in."""

    code, status = "foreign_form", 403


@dataclass(frozen=True)
class User:
    """Somebody who is signed in."""

    session: Session
    caller: Caller

    def administers(self, account_id: int) -> bool:
        """True when the user may change things in this account. The API decides; this chooses what is offered."""
        return self.caller.roles.get(account_id) == ADMINISTRATOR


@dataclass(frozen=True)
class Place:
    """An account, seen by a user."""

    request: Request
    services: Services
    user: User
    account_id: int
    api: Gateway = field(repr=False)

    @property
    def administrator(self) -> bool:
        """True when the user may change things here."""
        return self.user.administers(self.account_id)

    @property
    def base(self) -> str:
        """Path of this account's pages."""
        return base(self.account_id)

    def workflow(self, workflow_id: str) -> str:
        """Address of a workflow in the Temporal UI; empty where none is configured."""
        settings = self.services.settings
        if not settings.temporal_ui_url:
            return ""
        ui, namespace = settings.temporal_ui_url.rstrip("/"), quote(settings.temporal_namespace, safe="")
        return f"{ui}/namespaces/{namespace}/workflows/{quote(workflow_id, safe='')}"


def base(account_id: int) -> str:
    """Path of an account's pages."""
    return f"{session.PATH}/accounts/{account_id}"


async def user(request: Request) -> User:
    """Who is signed in. Raises SignInNeeded."""
    services = cast("Services", request.app.state.services)
    found = session.read(request, services.vault)
    if found is None:
        raise SignInNeeded("expired" if session.COOKIE in request.cookies else "")
    caller = await identify(request, found.token)
    if caller is None:
        raise SignInNeeded("expired")
    return User(found, caller)


async def identify(request: Request, token: str) -> Caller | None:
    """Whose token this is, by the API's own back end."""
    if not token or len(token) > LONGEST_TOKEN:
        return None
    return await cast("Callers", request.app.state.callers).identify(token)


SignedIn = Annotated[User, Depends(user)]


async def place(request: Request, signed_in: SignedIn, account_id: str) -> Place:
    """The account of the page's address. Raises NotFound for one that the user has no role in."""
    made = place_of(request, signed_in, number(account_id))
    request.state.here = made  # a failure's page keeps the way to the account's other pages
    return made


def place_of(request: Request, signed_in: User, account_id: int | None) -> Place:
    """An account, seen by a user. Raises NotFound for one that the user has no role in."""
    check(signed_in.caller, account_id, administrator=False)
    found = cast("int", account_id)
    gateway = Gateway(request.app, signed_in.session.token, found, request.state.request_id)
    return Place(request, cast("Services", request.app.state.services), signed_in, found, gateway)


Here = Annotated[Place, Depends(place)]


def require_same_origin(request: Request) -> None:
    """Refuses what a page of another site sends. Raises ForeignForm."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        # Browsers leave that header out over plain http.
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise ForeignForm("This form was sent from another site; nothing was done.")


async def form(request: Request, signed_in: SignedIn) -> FormData:
    """The form of a page that this console made for this sign-in. Raises ForeignForm, NotFound for files."""
    require_same_origin(request)
    given = await request.form(max_files=0, max_fields=MOST_FIELDS)
    sent = request.headers.get(CSRF_HEADER) or text(given, CSRF_FIELD)
    if not hmac.compare_digest(sent.encode(), signed_in.session.csrf.encode()):
        raise ForeignForm("This form belongs to another sign-in; nothing was done. Load the page again and repeat.")
    return given


Form = Annotated[FormData, Depends(form)]


def text(given: Mapping[str, Any], name: str) -> str:
    """A field's text, without blanks around it; empty when it is missing."""
    found = given.get(name)
    return found.strip() if isinstance(found, str) else ""


def local_path(given: str | None) -> str:
    """`given` when it is a path of this console, else its entrance: nobody is led to other sites."""
    fine = given and given.startswith(f"{session.PATH}/") and "\\" not in given and given.isprintable()
    return given if given and fine else session.PATH


def integration(place_: Place, provider: str) -> str:
    """Path of a provider's page."""
    return f"{place_.base}/integrations/{provider}"
