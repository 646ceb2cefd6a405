"""Who is signed in: an API token, sealed into a cookie that scripts cannot read and other sites cannot send."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import Final

import orjson
from fastapi import Request
from fastapi.responses import Response

from supportly.crypto import Binding, CannotOpen, Vault
from supportly.settings import Settings

COOKIE: Final = "supportly_console"
ATTEMPT_COOKIE: Final = "supportly_connect_"
PATH: Final = "/console"
SESSION_S: Final = 12 * 3600
"""A working day; afterwards the token is asked for again."""
ATTEMPT_S: Final = 600
"""As long as an authorization attempt lives."""
BINDING: Final = Binding(0, "console", "session", "cookie")
"""A cookie belongs to no account: the token in it decides."""


@dataclass(frozen=True)
class Session:
    """One sign-in."""

    token: str = field(repr=False)
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    """Stands in every form; a page of another site cannot know it."""
    began: int = field(default_factory=lambda: int(time.time()))


def read(request: Request, vault: Vault) -> Session | None:
    """The request's session; None without one, and for one that is damaged, too old, or of other keys."""
    sealed = request.cookies.get(COOKIE, "")
    try:
        found = Session(**orjson.loads(vault.open(sealed, BINDING)))
    except (CannotOpen, ValueError, TypeError):
        return None
    return found if 0 <= time.time() - found.began < SESSION_S else None


def sign_in(answer: Response, session: Session, vault: Vault, settings: Settings) -> None:
    """Keep the session in the browser."""
    answer.set_cookie(
        COOKIE,
        vault.seal(orjson.dumps(asdict(session)), BINDING),
        max_age=SESSION_S,
        path=PATH,
        httponly=True,
        samesite="lax",  # it has to come along when a provider sends the user back
        secure=secure(settings),
    )


def sign_out(answer: Response, settings: Settings) -> None:
    """Forget the session in the browser."""
    answer.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="lax", secure=secure(settings))


def secure(settings: Settings) -> bool:
    """True where the console is reached over https: its own address says so."""
    return settings.console_callback_url.startswith("https://")


# --- attempts to connect ---------------------------------------------------------------------------------------------


def remember_attempt(answer: Response, state: str, account_id: int, settings: Settings) -> None:
    """Note which account a consent is for; one cookie an attempt, so that two tabs do not disturb each other.

    It also ties the attempt to this browser: a callback that somebody else began is refused.
    """
    answer.set_cookie(
        _attempt(state),
        str(account_id),
        max_age=ATTEMPT_S,
        path=f"{PATH}/callback",
        httponly=True,
        samesite="lax",
        secure=secure(settings),
    )


def attempt_account(request: Request, state: str) -> int | None:
    """The account for which this browser began the attempt with this state."""
    found = request.cookies.get(_attempt(state), "") if state else ""
    return int(found) if found.isascii() and found.isdecimal() and len(found) < 20 else None


def forget_attempt(answer: Response, state: str) -> None:
    """The attempt is over."""
    answer.delete_cookie(_attempt(state), path=f"{PATH}/callback")


def _attempt(state: str) -> str:
    return ATTEMPT_COOKIE + hashlib.sha256(state.encode()).hexdigest()[:16]
