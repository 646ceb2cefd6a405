"""Shopify: a host for every shop, a signed callback, GraphQL under a dated path.

Source: shopify.dev, github.com/Shopify/shopify-app-js, the 2025-01 schema of the Admin API.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from supportly.errors import AuthorizationInvalid, ProviderFailure, SupportlyError, Throttled, TokenRefused
from supportly.http import Answer, Cost, Headroom, Http, cleaned
from supportly.oauth import GrantRefused, Tokens, now_utc, read_refusal
from supportly.provider import About, ConnectField, Identity
from supportly.providers.shopify.actions import ShopifyActions
from supportly.providers.shopify.contract import Contract
from supportly.providers.shopify.graphql import ask
from supportly.providers.shopify.knowledge import ShopifyKnowledge

SHOP: Final = r"[a-z0-9][a-z0-9_-]*\.myshopify\.com"
BUCKET: Final = (2000, 20)
"""Points, and the seconds in which they come back: 100 a second on the smallest plan; answers tell the true ones."""
FRESH_S: Final = 90
"""Age in seconds up to which a callback is believed."""
IDENTITY: Final = (
    "query Shop { shop { id name email myshopifyDomain primaryDomain { url } currencyCode ianaTimezone } "
    "currentAppInstallation { accessScopes { handle } } }"
)
TRANSIENT: Final = frozenset({"INTERNAL_SERVER_ERROR", "TIMEOUT"})
"""GraphQL's error codes that may pass."""


class Shopify(ShopifyActions, ShopifyKnowledge):
    """Customers, orders and the published texts of a shop."""

    id, title = "shopify", "Shopify"
    connect_fields = (ConnectField("shop", "shop domain", SHOP, "acme.myshopify.com"),)
    notice = "Disconnecting uninstalls the app from the shop: Shopify has no other way to end its access."
    about = About(
        register=(
            "Create an app in the Partner or Dev Dashboard, and enter the redirect URI among its allowed URLs.",
            "Choose the scopes below; customers' names and addresses need approval as protected data, level 2.",
            "A public app also needs the three privacy webhooks, which are no part of this service.",
            "Copy client id and client secret into the service's environment.",
        ),
        limits=(
            "Points a second for each app and shop: 100, 200, 1,000 or 2,000 by plan; a query costs what it asks for.",
            "A throttled query is a 200 with `THROTTLED`; we wait until the points that it needs have come back.",
            "Paging reaches 25,000 objects: a longer walk goes on from the time of the last change that it has seen.",
        ),
        cannot={
            "Tasks": "nothing at a customer is one",
            "Entries on the timeline": "only staff write them; notes and calls are dated lines of the customer's note",
            "Orders older than sixty days": "they need the scope `read_all_orders`, which Shopify grants by request",
            "Lookup by the Supportly contact's id": "it needs a metafield definition that the merchant has to accept",
            "A changed address": "a customer who has one keeps it; only the first is written",
        },
        assumed=(
            "A note has at most 5,000 characters (reported); a line that would exceed them is refused.",
            "Two people who edit one customer's note within the same second may overwrite each other's line.",
            "Pages need `read_content`, policies `read_legal_policies`; `SUPPORTLY_SHOPIFY_SCOPES` replaces the list.",
        ),
    )

    def __init__(self, contract: Contract | None = None) -> None:
        self.contract = contract or Contract()
        self.oauth = self.contract.oauth  # type: ignore[misc] # of this installation, not of the class
        self.base = f"https://{{shop}}/admin/api/{self.contract.api_version}"  # type: ignore[misc] # likewise

    # --- connecting -------------------------------------------------------------------------------------------------

    def check_callback(self, facts: Mapping[str, str], returned: Mapping[str, str], client_secret: str) -> None:
        """Shopify signs all that it returns; the shop is the one that was asked, and the callback is fresh.

        While a secret is changed, a signature with the one before counts too.
        """
        given = {name: value for name, value in returned.items() if name not in ("hmac", "signature")}
        text = "&".join(f"{quote(k, safe='')}={quote(str(v), safe='')}" for k, v in sorted(given.items()))
        secrets = [client_secret, self.contract.previous_secret.get_secret_value()]
        digests = [hmac.new(s.encode(), text.encode(), hashlib.sha256).hexdigest() for s in secrets if s]
        told, sent = str(returned.get("hmac") or ""), str(returned.get("timestamp") or "")
        fresh = sent.isascii() and sent.isdigit() and abs(now_utc().timestamp() - int(sent)) <= FRESH_S
        if (
            not any(hmac.compare_digest(digest.encode(), told.encode()) for digest in digests)
            or returned.get("shop") != facts["shop"]
            or not fresh
        ):
            raise AuthorizationInvalid

    async def identify(self, http: Http) -> Identity:
        """The shop, by its permanent domain."""
        data = await ask(http, IDENTITY, {}, "one")
        shop = data.get("shop") or {}
        domain = str(shop.get("myshopifyDomain") or "")
        if domain != http.facts["shop"]:
            raise ProviderFailure("Shopify answered for another shop than the one that was asked.")
        # Merchants can drop permissions, and what needs a dropped one would fail much later.
        installed = (data.get("currentAppInstallation") or {}).get("accessScopes") or []
        granted = {str(scope.get("handle")) for scope in installed}
        lacking = [s.name for s in self.oauth.scopes if not s.optional and not _implied(s.name) & granted]
        if lacking:
            text = f"The shop has not granted {', '.join(lacking)}: connect again, and accept them."
            raise ProviderFailure(text, provider_code="missing_scope", details={"missing_scope": lacking})
        facts = {
            "shop_id": str(shop.get("id") or ""),
            "currency": str(shop.get("currencyCode") or ""),
            "granted": ",".join(sorted(granted)),
        }
        return Identity(domain, f"{shop.get('name') or domain} ({domain})", facts)

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """`invalid_client` is also said of an app that was uninstalled; `invalid_request` of a used code."""
        reasons = {
            "invalid_client": "app_uninstalled",
            "invalid_request": "code_refused",
            "invalid_grant": "revoked_by_user",
        }
        if status >= 400 and (word := str(body.get("error"))) in reasons:
            text = cleaned(body.get("error_description") or "Shopify does not accept this authorization any more.")
            return GrantRefused(text, reason=reasons[word], provider_status=status, provider_code=word)
        return read_refusal(status, body)

    async def revoke(self, http: Http, tokens: Tokens, standard: Callable[[str, str], Awaitable[None]]) -> bool:
        """Uninstalls the app; a token that is refused says that it is done."""
        try:
            await http.delete(f"https://{http.facts['shop']}/admin/api_permissions/current.json")
        except TokenRefused:
            return True
        return True

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def headers(self, access_token: str, method: str, path: str, facts: Mapping[str, str]) -> Mapping[str, str]:
        """A header of Shopify's own."""
        return {"X-Shopify-Access-Token": access_token}

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """Points; callers say how many a query may cost (`weight`)."""
        return [Cost(f"{self.id}:{account}:points", *BUCKET)]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """What the answer says of the bucket."""
        status = _cost(answer).get("throttleStatus") or {}
        told = [status.get(name) for name in ("maximumAvailable", "currentlyAvailable", "restoreRate")]
        known = [float(value) for value in told if isinstance(value, int | float)]
        if len(known) < len(told) or not known[0] or not known[2]:
            return []
        most, left, rate = known
        return [Headroom(f"{self.id}:{account}:points", most, most / rate, left)]

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """Errors of the transport, and GraphQL's under a 200."""
        if error := super().read_error(answer):
            return error
        body = answer.json() if answer.is_json else None
        errors = body.get("errors") if isinstance(body, dict) else None
        if not errors:
            return None
        listed = errors[0] if isinstance(errors, list) else None
        first: dict[str, Any] = listed if isinstance(listed, dict) else {"message": str(errors)}
        code = str((first.get("extensions") or {}).get("code") or "")
        if code == "THROTTLED":
            return Throttled("Shopify asks for a pause.", retry_after=_wait(answer), details={"provider_status": 200})
        text = cleaned(first.get("message")) or "Shopify refused the query."
        passing = code in TRANSIENT
        return ProviderFailure(text, provider_status=200, provider_code=code, transient=passing, refused=not passing)

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """`errors` is a text, a list or an object of fields."""
        errors = body.get("errors")
        if isinstance(errors, list) and errors:
            errors = errors[0].get("message") if isinstance(errors[0], dict) else errors[0]
        if isinstance(errors, dict):
            errors = "; ".join(f"{name}: {why}" for name, why in errors.items())
        return str(errors or body.get("error_description") or body.get("error") or ""), str(body.get("error") or "")


def _implied(scope: str) -> set[str]:
    """The permissions that allow what `scope` does: who may write may read."""
    return {scope, scope.replace("read_", "write_", 1)}


def _cost(answer: Answer) -> Mapping[str, Any]:
    body = answer.json() if answer.is_json else None
    extensions = body.get("extensions") if isinstance(body, dict) else None
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    return cost if isinstance(cost, dict) else {}


def _wait(answer: Answer) -> float:
    """Seconds until the points that the query needs have come back; a second where the answer does not say."""
    cost = _cost(answer)
    status = cost.get("throttleStatus") or {}
    try:
        missing = float(cost["requestedQueryCost"]) - float(status["currentlyAvailable"])
        return max(1.0, missing / float(status["restoreRate"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 1.0
