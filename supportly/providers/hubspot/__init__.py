"""HubSpot. Quirks: searches lag and have a small budget of their own, nothing is idempotent, and an existing contact
is named in the text of a 409 only.

This file says how to connect and how HubSpot's HTTP speaks; `crm` the shapes of its objects; `contacts`, `activities`
(with the actions) and `knowledge` what can be done.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from supportly.errors import ProviderFailure, SupportlyError, TokenRefused
from supportly.http import Answer, Cost, Headroom, Http
from supportly.oauth import ClientRefused, GrantRefused, OAuth2, Scope, Tokens, read_refusal
from supportly.provider import About, Identity
from supportly.providers.hubspot.activities import HubSpotActivities
from supportly.providers.hubspot.contacts import HubSpotContacts
from supportly.providers.hubspot.crm import VERSION
from supportly.providers.hubspot.knowledge import HubSpotKnowledge

OAUTH: Final = f"https://api.hubapi.com/oauth/{VERSION}"
EXISTING: Final = re.compile(r"Existing ID: (\d+)")
"""Where a 409 names the record in the way: HubSpot has no field for it."""
DEAD_GRANT: Final = {"BAD_REFRESH_TOKEN": "revoked_by_user", "BAD_AUTH_CODE": "code_refused"}
BAD_CLIENT: Final = ("BAD_CLIENT_ID", "BAD_CLIENT_SECRET", "BAD_REDIRECT_URI")
"""Words of the token endpoint; the dated one may put them into `status`, `category` or `error`."""
SAID: Final = {"refresh token": "BAD_REFRESH_TOKEN", "auth code": "BAD_AUTH_CODE", "client secret": "BAD_CLIENT_SECRET",
               "client id": "BAD_CLIENT_ID"}  # fmt: skip
"""What a message is about, where a standard error names none of these words."""
PAUSES: Final = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0, "DAILY": 3600.0}
"""Seconds to wait by `policyName`, as HubSpot's SDK does; a day ends in the account's time zone, so ask hourly."""
LOCKED, MIGRATING, BAD_TOKEN_AT_THE_EDGE = 423, 477, 530
"""Statuses of HubSpot's own; 530 is Cloudflare's word for a token that HubSpot's edge cannot read."""


class HubSpot(HubSpotContacts, HubSpotActivities, HubSpotKnowledge):
    """HubSpot, API version 2026-09; one host for all accounts, told apart by `hub_id`."""

    id, title, base = "hubspot", "HubSpot", "https://api.hubapi.com"
    oauth = OAuth2(
        authorize="https://app.hubspot.com/oauth/authorize",
        token=f"{OAUTH}/token",
        revoke=f"{OAUTH}/token/revoke",
        # The required ones must equal the app's own list, or the install page fails.
        scopes=(
            Scope("oauth", "to connect at all"),
            Scope("crm.objects.contacts.read", "to find contacts, their notes, calls and tasks"),
            Scope("crm.objects.contacts.write", "to create and update contacts, and to log notes, calls and tasks"),
            Scope("crm.objects.companies.read", "to show a contact's companies"),
            Scope("crm.objects.deals.read", "to show a contact's deals"),
            Scope("crm.objects.owners.read", "to know who owns a record"),
            Scope("crm.schemas.contacts.read", "to know which contact properties exist"),
            Scope("crm.schemas.deals.read", "to name deal stages"),
            Scope("content", "to read blog posts", optional=True),
            Scope("cms.knowledge_base.articles.read", "to read knowledge base articles", optional=True),
            Scope("crm.objects.products.read", "to read the product library", optional=True),
        ),
        optional_scope_param="optional_scope",
        pkce=True,
        shared_grant=True,
        # No word of HubSpot on rotation. A new token is kept; should the old one be dead, HubSpot says so itself.
        rotation="none",
        expires_in=1800,
        keep=("hub_id", "user_id"),
    )
    limits = (Cost("calls", 110, 10),)
    notice = "Reading blog posts, articles and products needs permissions that HubSpot asks for as optional ones."
    about = About(
        register=(
            "In a HubSpot developer account, create a public OAuth app on the developer platform 2025.2 or later.",
            "Enter the redirect URI.",
            "Mark exactly the scopes below as required or optional; if the required ones differ, the install fails.",
            "Leave out `crm.objects.calls.write`: it cannot be assigned, and the install fails.",
            "Copy client id and client secret into the service's environment.",
            "Mind the installs: 25 without a marketplace listing, 10 (solution partners: 100) in private distribution.",
        ),
        limits=(
            "110 calls in ten seconds for the app in each account; with private distribution 100 or 190, by plan.",
            "5 searches a second for all apps of an account together: a lane of its own, of which we take 4.",
            "250,000 to 1,000,000 calls a day, with private distribution only; once spent, work asks again every hour.",
            "A search shows 10,000 results: a walk goes on by modification time, and by id where one time has more.",
        ),
        cannot={
            "Knowledge base articles without the beta interface": "the stable site search needs a query",
            "Tickets, deals and companies as knowledge": "personal data; deals and companies are actions",
            "A link to a company record": "a contact's `company` is plain text; HubSpot merges no companies by domain",
            "Direction and length of a logged call": "a request names neither; the call is logged as completed",
            "Products deleted over 90 days ago, in a walk over changes": "the recycle bin forgets; a full walk sees it",
        },
        assumed=(
            "Whether a refresh changes the refresh token is not documented: a new one is stored, else the old kept.",
            "Whether a revoked refresh token ends its access tokens is not documented: both are revoked.",
            "The search index lags by moments up to minutes: walks look back 4 minutes (`OVERLAP` in `knowledge.py`).",
            "Whether reads by e-mail see secondary addresses is not documented: a search and a 409's text help out.",
            "The largest page of the knowledge base is not documented: its default of 25 is asked for.",
            "EU accounts use the same API host.",
        ),
    )

    # --- connecting -------------------------------------------------------------------------------------------------

    async def identify(self, http: Http) -> Identity:
        """The account's details; introspection would need our client's secret and may answer `active` alone."""
        body = (await http.get(f"/account-info/{VERSION}/details")).body()
        hub = str(http.facts.get("hub_id") or body.get("portalId") or "")
        if not hub:
            raise ProviderFailure("HubSpot does not say which account is connected.")
        kind = str(body.get("accountType") or "STANDARD")
        facts = {"hub_id": hub, "account_type": kind}
        facts |= {"ui_domain": str(body["uiDomain"])} if body.get("uiDomain") else {}
        facts |= {"currency": str(body["companyCurrency"])} if body.get("companyCurrency") else {}
        suffix = "" if kind == "STANDARD" else f" ({kind.replace('_', ' ').lower()})"
        return Identity(hub, f"HubSpot account {hub}{suffix}", facts)

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """HubSpot's own words, else RFC 6749's."""
        words = [str(body.get(name)) for name in ("status", "category", "error")]
        if status in (400, 401):
            words += [word for said, word in SAID.items() if said in str(body.get("message")).casefold()]
        for word in words if status >= 400 else ():
            more: dict[str, Any] = {"provider_status": status, "provider_code": word}
            if word in DEAD_GRANT:
                text = "HubSpot no longer accepts this authorization."
                return GrantRefused(text, reason=DEAD_GRANT[word], **more)
            if word in BAD_CLIENT:
                return ClientRefused("HubSpot does not accept this app's client id, secret or redirect URI.", **more)
        return read_refusal(status, body)

    async def revoke(self, http: Http, tokens: Tokens, standard: Callable[[str, str], Awaitable[None]]) -> bool:
        """Both tokens: whether the end of a refresh token ends the access tokens made with it is not documented."""
        await super().revoke(http, tokens, standard)
        if tokens.refresh_token:
            await standard(tokens.access_token, "access_token")
        return True

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """A search spends its own bucket: 5 a second for all apps of an account, of which we leave them one."""
        if method == "POST" and path.endswith("/search"):
            return [Cost(f"{self.id}:{account}:search", 4, 1)]
        return super().costs(method, path, account)

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """The ten-second window; searches carry no headers, and the daily ones are absent for OAuth apps."""
        names = ("max", "remaining", "interval-milliseconds")
        told = [answer.headers.get(f"x-hubspot-ratelimit-{name}", "") for name in names]
        if not all(text.isdecimal() for text in told):
            return []
        most, left, window = (float(text) for text in told)
        return [Headroom(f"{self.id}:{account}:calls", most, window / 1000, left)]

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """The standard reading, with `existing_id` of a duplicate and the `properties` at fault in the details."""
        error = super().read_error(answer)
        if error is None:
            return None
        if answer.status == BAD_TOKEN_AT_THE_EDGE:
            return TokenRefused("HubSpot refused the access token.", provider_status=answer.status)
        body = answer.json() if answer.is_json else None
        body = body if isinstance(body, dict) else {}
        # Read before the message is cleaned: an id is as long as a phone number.
        if answer.status == 409 and (found := EXISTING.search(str(body.get("message")))):
            error.details["existing_id"] = found[1]
        if names := _properties_at_fault(body):
            error.details["properties"] = names
        error.retryable = error.retryable or answer.status == MIGRATING
        return error

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """`message`, the properties at fault in front of it, and `category`."""
        names, message = _properties_at_fault(body), str(body.get("message") or "")
        told = (str(body.get(name) or "") for name in ("category", "errorType", "status"))
        code = next((word for word in told if word not in ("", "error")), "")
        return f"{', '.join(names)}: {message}" if names else message, code

    def pause(self, answer: Answer) -> float | None:
        """By the policy that a 429 names, since `Retry-After` is not documented there; a lock lasts two seconds."""
        if "retry-after" in answer.headers:
            return None
        if answer.status == LOCKED:
            return 2.0
        body = answer.json() if answer.status == 429 and answer.is_json else None
        return PAUSES.get(str(body.get("policyName"))) if isinstance(body, dict) else None


def _properties_at_fault(body: Mapping[str, Any]) -> list[str]:
    """Names of the properties that a `VALIDATION_ERROR` is about, wherever it puts them."""
    errors = [e for e in body.get("errors") or [] if isinstance(e, dict)]
    contexts = [c for e in (body, *errors) if isinstance(c := e.get("context"), dict)]
    named = [name for c in contexts for key in ("propertyName", "invalidPropertyName") for name in c.get(key) or []]
    # The older shape hides a JSON list in the message.
    listed = re.findall(r'"name":\s*"([a-z0-9_]+)"', str(body.get("message") or ""))
    return list(dict.fromkeys(str(name) for name in (*named, *listed)))
