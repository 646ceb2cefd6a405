"""What tests do that speak to the service as its callers do: a token, a person's consent, waiting for what comes."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from supportly.settings import Settings
from supportly.storage import tokens
from supportly.storage.database import Database


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
    answer = httpx.get(authorization_url, follow_redirects=False)
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
