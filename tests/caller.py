"""What tests do that speak to the service as its callers do: a token, a person's consent, waiting for what comes."""

import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from supportly.settings import Settings
from supportly.storage import tokens
from supportly.storage.database import Database

HTTP: Final = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
"""For single requests: `httpx.get` reads all certificates anew each time, which takes longer than most answers do
here. It keeps no connection, since what it speaks to may be killed in between."""


async def new_token(admin_url: str, settings: Settings, account_id: int, role: tokens.Role = "administrator") -> str:
    """A new API token."""
    database = Database(admin_url, 2)
    try:
        pepper = settings.token_pepper.get_secret_value()
        return (await tokens.create(database, account_id, role, "test", pepper))[1]
    finally:
        await database.close()


def consent(authorization_url: str) -> dict[str, str]:
    """What the provider sends to the redirect URI when the user agrees."""
    answer = HTTP.get(authorization_url)
    assert answer.status_code == 302, answer.text
    return dict(httpx.URL(answer.headers["location"]).params)


def until(condition: Callable[[], Any], timeout: float = 60, every: float = 0.05) -> Any:
    """The first true answer of `condition`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every)
    raise AssertionError("it did not happen in time")
