"""Zendesk Support and Help Center. Quirks: one host per account, token lifetimes that the client has to ask for, a user
search that lags, comments that are public unless told otherwise, and idempotency keys on new tickets only.

This file says how to connect and how Zendesk's HTTP speaks; `api` the shapes of its answers; `contacts`, `tickets`
(activities and actions; their `params`) and `knowledge` (`articles` among it) what can be done.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from supportly.errors import ProviderFailure, SupportlyError, TokenRefused
from supportly.http import Answer, Cost, Headroom, Http, cleaned, segment
from supportly.oauth import OAuth2, Scope, Tokens
from supportly.provider import About, ConnectField, Identity, ProviderSettings, absent_as_none
from supportly.providers.zendesk.api import ZendeskSettings
from supportly.providers.zendesk.contacts import ZendeskContacts
from supportly.providers.zendesk.knowledge import ZendeskKnowledge
from supportly.providers.zendesk.tickets import ZendeskTickets

HOST: Final = "https://{subdomain}.zendesk.com"
SUBDOMAIN: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""One DNS label. No dots, so that nobody sends our bearer to a host of his own."""

ACCESS_LIFE: Final = 86_400
"""Seconds, of 300 to 172,800. A refresh kills the old pair at once and cannot be repeated, so fewer are safer; a leaked
token should not live long. One refresh a day is the middle."""
REFRESH_LIFE: Final = 7_776_000
"""Seconds: the most that Zendesk gives (90 days), so that a long pause of this service costs no reconnect."""
UNSTATED_LIFE: Final = 1_800
"""Seconds that a token counts as alive when the answer names no life although we asked: what Zendesk gives clients made
since May 2026. Older clients' tokens last longer, which an early refresh does not harm; one that cannot be refreshed at
all is used until it is refused."""

ACCOUNT_PER_MINUTE: Final = 200
"""The smallest plan's (Team). Larger plans allow more; a page holds 100 records, so this is no brake for them."""
EXPORTS_PER_MINUTE: Final = 10
"""All incremental endpoints together; 30 with an add-on."""


class Zendesk(ZendeskContacts, ZendeskTickets, ZendeskKnowledge):
    """Zendesk."""

    id, title = "zendesk", "Zendesk"
    oauth: ClassVar[OAuth2] = OAuth2(
        authorize=HOST + "/oauth/authorizations/new",
        token=HOST + "/oauth/tokens",
        scopes=(
            Scope("read", "read contacts, tickets, macros and Help Center articles"),
            Scope("users:write", "create and update end users"),
            Scope("tickets:write", "log notes, calls and tasks, and run ticket actions"),
            Scope("organizations:write", "create the organization of a contact's company"),
        ),
        body="json",
        pkce=True,
        token_params={"expires_in": ACCESS_LIFE, "refresh_token_expires_in": REFRESH_LIFE},
        scope_in_token_request=True,
        rotation="single_use",
        expires_in=UNSTATED_LIFE,
        keep=("scope",),
    )
    connect_fields = (ConnectField("subdomain", "Zendesk subdomain", SUBDOMAIN, "acme"),)
    base = HOST + "/api/v2"
    settings: ClassVar[type[ProviderSettings]] = ZendeskSettings
    notice = "Connect as an administrator: agents see less of the Help Center, and may not sync solved tickets."
    about = About(
        register=(
            "In Zendesk's Admin Center (Apps and integrations, OAuth clients), create a confidential client.",
            "Enter the redirect URI.",
            "Copy its identifier and secret into the service's environment.",
            "Such a client works for its own subdomain only: for others, ask Zendesk for a global one (`zdg-…`).",
        ),
        limits=(
            "200 calls a minute on the smallest plan (up to 2,500), Help Center and Support counted apart.",
            "10 calls a minute of all incremental exports together (30 with an add-on), in a bucket of their own.",
            "Updates of a ticket: 30 in ten minutes for each, 100 a minute in all.",
            "Updates of a user: 5 a minute for each, 1 a second in all; we send at most 2 in two seconds.",
            "Searches end at 1,000 tickets or articles, and at 10,000 users; lists are read by cursor, without an end.",
        ),
        cannot={
            "Replacing an e-mail address or phone number": "Zendesk adds a second one, and people sign in with them",
            "Writing to agents and administrators": "only end users are written from here",
            "A due date of a logged task": "a request names none",
            "Calls as Zendesk Talk calls": "that takes the Talk Partner Edition; a call is an internal note with a tag",
            "Finding a public comment whose answer was lost": "it carries no marker, since the customer reads it",
            "Several brands' Help Centers in one connection": "whether a token works on another host is unconfirmed",
            "Bulk imports of users": "off until the account's owner has Zendesk enable them",
        },
        assumed=(
            "A token whose answer names no life counts as alive for 30 minutes (`UNSTATED_LIFE` in `__init__.py`).",
            "A token without a life and without a refresh token is used until Zendesk refuses it.",
            "Whether deleting a token ends its refresh token is not documented; ours is destroyed with the connection.",
            "Which narrow scopes cover searches and exports is not documented: `read` is asked for as a whole.",
            "The list of a user's tickets is not in every description: where it is missing, the search answers.",
            "Which code names a duplicate address is not documented: any 422 about `email` is followed by a search.",
            "The user search lags by minutes: a user who was just created is found by our id in `external_id`.",
            "Translations that do not come with the incremental list are read article by article.",
        ),
    )

    # --- connecting -------------------------------------------------------------------------------------------------

    async def identify(self, http: Http) -> Identity:
        """The account is its subdomain; who granted is kept with the role, since some exports need an administrator.

        Raises ProviderFailure for a token that stands for nobody (Zendesk answers 200 "Anonymous user") and for one
        that has lost rights which we asked for (it would answer 403 to everything later).
        """
        me = (await http.get("/users/me")).body().get("user") or {}
        if me.get("id") is None:
            raise ProviderFailure("Zendesk does not know whose token this is. Connect again.", code="anonymous_token")
        if missing := self._missing_scopes(http.facts.get("scope", "")):
            raise ProviderFailure(f"Zendesk did not grant {', '.join(missing)}. Connect again.", code="scope_missing")
        name = http.facts["subdomain"]
        facts = {"user_id": str(me["id"]), "role": str(me.get("role") or "")}
        return Identity(tenant_key=name, account_name=f"{name}.zendesk.com", facts=facts)

    def _missing_scopes(self, granted: str) -> list[str]:
        have = set(re.split(r"[\s,]+", granted))
        asked = [scope.name for scope in self.oauth.scopes]
        return [name for name in asked if granted and not {name, name.rpartition(":")[2]} & have]

    async def revoke(self, http: Http, tokens: Tokens, standard: Callable[[str, str], Awaitable[None]]) -> bool:
        """Delete the token by its id (deleting `current` was reported to fail); one that is dead already is done.

        Whether the refresh token dies with it is not documented. It exists here alone and is destroyed after this call.
        """
        try:
            token = (await http.get("/oauth/tokens/current")).body().get("token") or {}
        except TokenRefused:
            return True
        await absent_as_none(http.delete(f"/oauth/tokens/{segment(token.get('id', ''))}"))
        return True

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """Support and Help Center count apart; exports and updates have small buckets on top."""
        found = [Cost("help_center" if "/help_center/" in path else "support", ACCOUNT_PER_MINUTE, 60)]
        if "/incremental/" in path:
            found.append(Cost("exports", EXPORTS_PER_MINUTE, 60))
        if method == "PUT" and (updated := re.fullmatch(r"/api/v2/(users|tickets)/(\d+)", path)):
            kind, number = updated.groups()
            if kind == "users":
                # One a second; two in two seconds, because a lane may fill only a part of its bucket.
                found += [Cost(f"user:{number}", 5, 60), Cost("user_updates", 2, 2)]
            else:
                found += [Cost(f"ticket:{number}", 30, 600), Cost("ticket_updates", 100, 60)]
        return [Cost(f"{self.id}:{account}:{c.bucket}", c.limit, c.window_s, c.amount) for c in found]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """`ratelimit-*` tells of the account's minute, `zendesk-ratelimit-incremental-exports` of the exports."""
        own = f"{self.id}:{account}:"
        if "/incremental/" in answer.path:
            told = dict(re.findall(r"(\w+)=(\d+)", answer.headers.get("zendesk-ratelimit-incremental-exports", "")))
            if {"total", "remaining"} <= told.keys():
                return [Headroom(own + "exports", int(told["total"]), 60, int(told["remaining"]))]
            return []
        limit, left = (
            re.match(r"\d+", answer.headers.get(f"ratelimit-{name}") or answer.headers.get(old, ""))
            for name, old in (("limit", "x-rate-limit"), ("remaining", "x-rate-limit-remaining"))
        )
        if not limit or not left:
            return []
        bucket = "help_center" if "/help_center/" in answer.path else "support"
        return [Headroom(own + bucket, int(limit[0]), 60, int(left[0]))]

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """A write's 409 is an update conflict and worth a retry; a 422 names its fields in `details.fields`."""
        error = super().read_error(answer)
        if isinstance(error, ProviderFailure):
            error.retryable = error.retryable or (answer.status == 409 and answer.method != "GET")
            if answer.status == 422 and answer.is_json and (fields := _field_errors(answer.json())):
                error.details["fields"] = fields
        return error

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """Zendesk's four shapes: a word with a description, a title with a message, a list, and OAuth's own."""
        error = body.get("error")
        if isinstance(error, dict):
            return str(error.get("message") or error.get("title") or ""), str(error.get("title") or "")
        listed = body.get("errors")
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            return str(listed[0].get("detail") or listed[0].get("title") or ""), str(listed[0].get("code") or "")
        said = body.get("description") or body.get("error_description") or body.get("message") or error or ""
        return "; ".join([str(said), *_field_errors(body).values()]), str(error or "")


def _field_errors(body: Any) -> dict[str, str]:
    """What a `RecordInvalid` says of each field: its word and its sentence, without personal data."""
    details = body.get("details") if isinstance(body, dict) else None
    if not isinstance(details, dict):
        return {}
    return {
        str(name): cleaned("; ".join(f"{e.get('error') or 'Invalid'}: {e.get('description') or ''}" for e in found))
        for name, found in details.items()
        if isinstance(found, list) and all(isinstance(e, dict) for e in found)
    }
