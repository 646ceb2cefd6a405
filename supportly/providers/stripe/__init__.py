"""Stripe: form bodies, a pinned version, two OAuth systems (see `contract.py`).

Source: docs.stripe.com, github.com/stripe/stripe-python, github.com/stripe/openapi.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from supportly.errors import ProviderFailure, SupportlyError, Throttled
from supportly.http import Answer, Cost, Http, cleaned, failure
from supportly.oauth import ClientRefused, Tokens, read_refusal
from supportly.provider import About, Identity
from supportly.providers.stripe.actions import StripeActions
from supportly.providers.stripe.contract import Contract

CALLS: Final = 100
"""Calls a second of a live account, all apps together (a sandbox has 25)."""
PER_ENDPOINT: Final = 25
"""Calls a second of one endpoint, and of a whole sandbox."""
SEARCHES: Final = 20
"""Searches a second."""
BUSY_S: Final = 1.0
"""Pause after a 429, which names no time: the windows last a second."""
FOREIGN_CODE: Final = "does not belong to you"
"""Said when our secret key is of another account or mode, or the code of the other OAuth system."""


class Stripe(StripeActions):
    """Customers, what they pay, and the catalogue of a Stripe account."""

    id, title = "stripe", "Stripe"
    base = "https://api.stripe.com"
    notice = (
        "Stripe keeps no notes, calls or tasks. With Stripe Apps there is no way to revoke access from here: after "
        "disconnecting, uninstall the app in the Stripe Dashboard as well."
    )
    about = About(
        register=(
            "Stripe Apps (default): create an app in the Dashboard with the permissions below in its manifest.",
            "Allow the redirect URI there, and pass Stripe's review before others install the app.",
            "Connect instead: turn on its OAuth, add the redirect URI, set `SUPPORTLY_STRIPE_MODE=connect`.",
            "The client secret is the developer account's secret key of the same mode, live or test.",
            "A sandbox or external test link has a channel: give it whole as `SUPPORTLY_STRIPE_AUTHORIZE_URL`.",
        ),
        limits=(
            "100 calls a second for a live account, 25 for a sandbox, 25 for each endpoint, 20 searches.",
            "A 429 names no time to wait; we wait a second, and longer each time it comes again.",
        ),
        cannot={
            "Notes, calls and tasks": "a customer has no such records, and metadata is no place for them",
            "Changed products only": "no list can be filtered by the time of a change, so each walk reads all",
            "Search in India": "Stripe offers none to accounts there; contacts are found by e-mail address alone",
        },
        assumed=(
            "An access token of Stripe Apps lives an hour (the answer names no life), a refresh token a year.",
            "Whether a refresh replaces the refresh token is unconfirmed; after a lost answer the old one is tried.",
            "With Connect an access token lives until it is revoked: nothing is refreshed there.",
        ),
    )

    def __init__(self, contract: Contract | None = None) -> None:
        self.contract = contract or Contract()
        self.oauth = self.contract.oauth  # type: ignore[misc] # of this installation, not of the class

    # --- connecting -------------------------------------------------------------------------------------------------

    async def identify(self, http: Http) -> Identity:
        """The account and its mode: test and live data never mix."""
        me = (await http.get("/v1/account")).body()
        key = str(me.get("id") or http.facts.get("stripe_user_id") or "")
        if not key:
            raise ProviderFailure("Stripe does not say which account is connected.")
        live = http.facts.get("livemode") == "True"
        shown = ((me.get("settings") or {}).get("dashboard") or {}).get("display_name")
        name = str(shown or (me.get("business_profile") or {}).get("name") or key)
        facts = {"stripe_user_id": key, "country": str(me.get("country") or "")}
        return Identity(f"{key}:{'live' if live else 'test'}", name if live else f"{name} (test mode)", facts)

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """OAuth's `error` is a text; a bad secret key answers the API's own object, with 401."""
        error = body.get("error")
        if isinstance(error, dict):
            if status != 401:
                return None
            text = "Stripe does not accept this app's secret key."
            return ClientRefused(text, provider_status=status, provider_code=cleaned(error.get("type")))
        said = str(body.get("error_description") or "")
        if error == "invalid_grant" and FOREIGN_CODE in said:
            text = "Stripe says that the code belongs to another account or mode: check the secret key and the mode."
            return ClientRefused(text, provider_status=status, provider_code="invalid_grant")
        return read_refusal(status, body)

    @property
    def revocable(self) -> bool:
        """With Connect only."""
        return self.contract.connect

    async def revoke(self, http: Http, tokens: Tokens, standard: Callable[[str, str], Awaitable[None]]) -> bool:
        """Connect deauthorizes the account; Stripe Apps has no call for it."""
        if not self.contract.connect:
            return False
        key = self.contract.client_secret.get_secret_value()
        form = {"client_id": self.contract.client_id, "stripe_user_id": http.facts.get("stripe_user_id", "")}
        answer = await http.outbound.send(
            "POST",
            "https://connect.stripe.com/oauth/deauthorize",
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/x-www-form-urlencoded"},
            content=urlencode(form).encode(),
        )
        body = answer.json() if answer.is_json else {}
        # An account that is not connected any more is what was wanted.
        if answer.status >= 400 and "not connected" not in str(body.get("error_description")):
            raise failure(answer)
        return True

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def headers(self, access_token: str, method: str, path: str, facts: Mapping[str, str]) -> Mapping[str, str]:
        """The version always; with Connect our own key, and the account that it speaks for."""
        version = {"Stripe-Version": self.contract.api_version}
        if self.contract.connect and (account := facts.get("stripe_user_id")):
            key = self.contract.client_secret.get_secret_value()
            return {"Authorization": f"Bearer {key}", "Stripe-Account": account, **version}
        return {**super().headers(access_token, method, path, facts), **version}

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """The account's second, the endpoint's, and the searches'."""
        own, resource = f"{self.id}:{account}:", path.split("/")[2:3]
        found = [Cost(own + "calls", CALLS, 1), Cost(f"{own}{method}:{''.join(resource)}", PER_ENDPOINT, 1)]
        return [*found, Cost(own + "search", SEARCHES, 1)] if path.endswith("/search") else found

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """`Stripe-Should-Retry` decides first; a 409 is a parallel use of an idempotency key and worth a retry."""
        error = super().read_error(answer)
        if error is None or isinstance(error, Throttled):
            return error
        told = answer.headers.get("stripe-should-retry", "")
        body = answer.json() if answer.is_json else None
        said = body.get("error") if isinstance(body, dict) else None
        said = said if isinstance(said, dict) else {}
        if isinstance(error, ProviderFailure):
            parallel = answer.status == 409 and said.get("type") == "idempotency_error"
            error.retryable = {"true": True, "false": False}.get(told, error.retryable or parallel)
            if said.get("param"):
                error.details["field"] = cleaned(said["param"])
            if answer.status >= 500 and answer.headers.get("idempotent-replayed") == "true":
                error.details["replayed"] = True
        return error

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """The API's error is an object, OAuth's a text."""
        error = body.get("error")
        if isinstance(error, dict):
            return str(error.get("message") or ""), str(error.get("code") or error.get("type") or "")
        return str(body.get("error_description") or error or ""), str(error or "")

    def pause(self, answer: Answer) -> float | None:
        """A 429 names no time (stripe-python dropped the unused header)."""
        return BUSY_S if answer.status == 429 and "retry-after" not in answer.headers else None
