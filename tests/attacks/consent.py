"""The browser's half of OAuth: people of a provider who agree, and what comes back to the redirect URI."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.caller import consent

PEOPLE = ("ada", "mallory", "grace")
SHOPS = {person: f"{person}-attacks.myshopify.com" for person in PEOPLE}
_NUMBERS = {person: 6_600_001 + place for place, person in enumerate(PEOPLE)}


def _hubspot(person: str) -> dict[str, Any]:
    return {"hub_id": _NUMBERS[person], "hub_domain": f"{person}.example", "user_id": _NUMBERS[person]}


def _pipedrive(person: str) -> dict[str, Any]:
    return {"company_id": _NUMBERS[person], "user_id": _NUMBERS[person], "company_name": f"{person} Ltd"}


IDENTITY: dict[str, Callable[[str], dict[str, Any]]] = {"hubspot": _hubspot, "pipedrive": _pipedrive}
"""Settings of a double that say who sits at its consent page. At Shopify that is the shop, which the page's host is."""


def host_part(provider: str, person: str) -> dict[str, str]:
    """What `connect` wants to know of the provider account."""
    return {"shop": SHOPS[person]} if provider == "shopify" else {}


def agree(control: Callable[..., Any], provider: str, person: str, authorization_url: str) -> dict[str, str]:
    """What the provider returns when `person` agrees."""
    if provider in IDENTITY:
        control("POST", f"/{provider}/settings", json=IDENTITY[provider](person))
    return consent(authorization_url)


def belongs(person: str, account_name: str) -> bool:
    """Whether a connection's `account_name` is this person's account at the provider."""
    marks = (str(_NUMBERS[person]), f"{person} Ltd", SHOPS[person])
    return any(mark in account_name for mark in marks)


def iss(authorization_url: str) -> str:
    """The issuer (RFC 9207) that the server of this page would name: its host, as the sandbox's address carries it."""
    path = httpx.URL(authorization_url).path
    return f"https://{path.removeprefix('/_host/').partition('/')[0]}"
