"""Who calls. Two back ends behind one interface: tokens of our own, and Supportly's profile."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from fastapi import Request

from supportly.errors import NotAuthenticated, NotFound
from supportly.platform import Platform
from supportly.settings import Settings
from supportly.storage import tokens
from supportly.storage.database import Database

ADMINISTRATOR: Final = "administrator"
CACHED_S: Final = 60.0
"""How long Supportly's word about a token holds (the design's minute)."""
REFUSED_CACHED_S: Final = 10.0
"""A refusal holds shorter, since a token may just have been made."""
CACHE_SIZE: Final = 10_000
"""Tokens remembered at most; the one unused for longest goes first."""
LONGEST_TOKEN: Final = 512


@dataclass(frozen=True)
class Caller:
    """Somebody with a valid token; `roles` by account."""

    actor: str
    """Names the caller in rows, without its token."""
    roles: Mapping[int, str]


class Callers(Protocol):
    """Knows the callers."""

    async def identify(self, token: str) -> Caller | None:
        """The caller with this token, None when nobody has it."""


class LocalCallers:
    """Tokens from the command line."""

    def __init__(self, db: Database, pepper: str) -> None:
        self._db = db
        self._pepper = pepper

    async def identify(self, token: str) -> Caller | None:
        """Looks the token's HMAC up; a revoked token is nobody's at once."""
        found = await tokens.find(self._db, token, self._pepper)
        if found is None:
            return None
        token_id, account_id, role = found
        return Caller(f"token:{token_id}", {account_id: role})


class SupportlyCallers:
    """Asks Supportly, at most once a minute per token. Raises Unavailable while Supportly is away."""

    def __init__(self, platform: Platform, pepper: str) -> None:
        self._platform = platform
        self._pepper = pepper
        self._seen: OrderedDict[str, tuple[float, Caller | None]] = OrderedDict()

    async def identify(self, token: str) -> Caller | None:
        """The token's accounts and roles."""
        key = tokens.digest(token, self._pepper)
        until, caller = self._seen.get(key, (0.0, None))
        if time.monotonic() < until:
            self._seen.move_to_end(key)
            return caller
        accounts = await self._platform.profile(token)
        caller = Caller(f"supportly:{key[:32]}", dict(accounts)) if accounts is not None else None
        self._seen[key] = (time.monotonic() + (CACHED_S if caller else REFUSED_CACHED_S), caller)
        self._seen.move_to_end(key)
        while len(self._seen) > CACHE_SIZE:
            self._seen.popitem(last=False)
        return caller


def callers(settings: Settings, db: Database, platform: Platform) -> Callers:
    """The configured back end."""
    pepper = settings.token_pepper.get_secret_value()
    return LocalCallers(db, pepper) if settings.auth_backend == "local" else SupportlyCallers(platform, pepper)


def sent_token(request: Request) -> str:
    """The token of `api_access_token`, else of `Authorization: Bearer`. Raises NotAuthenticated without one."""
    token = request.headers.get("api_access_token", "").strip()
    if not token:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else ""
    if not token or len(token) > LONGEST_TOKEN:
        raise NotAuthenticated("Send an API token in the header `api_access_token`, or as `Authorization: Bearer`.")
    return token


def check(caller: Caller | None, account_id: int | None, *, administrator: bool) -> Caller:
    """The caller, when it may do this in this account.

    Raises NotAuthenticated for a bad token and a role that is too low, NotFound alike for foreign and unknown accounts.
    """
    if caller is None:
        raise NotAuthenticated("This API token is not valid.")
    role = caller.roles.get(account_id) if account_id is not None else None
    if role is None:
        raise NotFound("There is no such account.")
    if administrator and role != ADMINISTRATOR:
        raise NotAuthenticated("This needs a token with the role administrator.", details={"role": ADMINISTRATOR})
    return caller
