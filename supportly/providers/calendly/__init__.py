"""Calendly, API v2: contacts with notes (new in 2026), event types, meetings, routing forms.

Source: developer.calendly.com, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from supportly.errors import ProviderFailure, SupportlyError
from supportly.http import Answer, Cost, Headroom, Http, cleaned
from supportly.oauth import OAuth2, Scope
from supportly.provider import About, Identity
from supportly.providers.calendly.api import row_of
from supportly.providers.calendly.contacts import CalendlyContacts
from supportly.providers.calendly.events import CalendlyActions
from supportly.providers.calendly.knowledge import CalendlyKnowledge
from supportly.providers.calendly.notes import CalendlyNotes

CALLS: Final = Cost("calls", 500, 60)
"""Calls of one user on paid plans; the free plan's fifty are learned from the headers."""
BOOKINGS: Final = (Cost("bookings-minute", 10, 60), Cost("bookings-hour", 50, 3600), Cost("bookings-day", 100, 86_400))
"""What `POST /invitees` is allowed on paid plans below Enterprise."""


class Calendly(CalendlyNotes, CalendlyContacts, CalendlyActions, CalendlyKnowledge):
    """Contacts, meetings and event types of a Calendly user, and of the organization where the user is an admin."""

    id, title = "calendly", "Calendly"
    oauth = OAuth2(
        authorize="https://auth.calendly.com/oauth/authorize",
        token="https://auth.calendly.com/oauth/token",  # noqa: S106 (an address)
        revoke="https://auth.calendly.com/oauth/revoke",
        scopes=(
            Scope("users:read", "to know which user and organization are connected"),
            Scope("organizations:read", "to read lists of the whole organization"),
            Scope("event_types:read", "to list event types and read them for Captain"),
            Scope("availability:read", "to show free times"),
            Scope("scheduled_events:read", "to show meetings and their invitees"),
            Scope("scheduled_events:write", "to book and cancel meetings"),
            Scope("contacts:write", "to find and write contacts, and to log notes on them"),
            Scope("routing_forms:read", "to read routing forms"),
            Scope("scheduling_links:write", "to make links for a single booking"),
        ),
        client_auth="basic",
        revoke_client_auth="body",
        revoke_hint=False,
        pkce=True,
        # Documented: a refresh token is revoked as soon as the call that used it succeeds.
        rotation="single_use",
        expires_in=7200,
        keep=("owner", "organization"),
    )
    base = "https://api.calendly.com"
    notice = "Notes on contacts are private to the Calendly user who connects: team mates do not see them."
    about = About(
        register=(
            "On developer.calendly.com, create an OAuth app of kind Web (sandbox and production are separate apps).",
            "Enter the redirect URI; production wants HTTPS, a sandbox app also takes http://localhost.",
            "Tick the scopes below: an app made since March 2026 gets nothing without them.",
            "Copy client id and client secret into the service's environment.",
        ),
        limits=(
            "Calls a minute for each user: 500 on paid plans, 50 on the free one; learned from the headers.",
            "Bookings: 10 a minute, 50 an hour, 100 a day on paid plans below Enterprise; none on the free plan.",
            "Eight OAuth tokens a minute for each user.",
        ),
        cannot={
            "Moving a meeting": "there is no endpoint; hand out the invitee's reschedule link, or cancel and book",
            "A contact without an e-mail address": "Calendly demands one",
            "Contacts without their permission": "invitees are shown instead, and nothing can be written",
            "Notes that team mates see": "notes belong to the user who connects",
            "Incremental syncs": "lists have no filter for changes; they are small and walked whole",
        },
        assumed=(
            "Scope names `organizations:read` and `scheduled_events:write`, and the space between scopes.",
            "A note names its contact as `contact`; when Calendly's refusal names another field, that one is used.",
            "Whether a second contact with one address is refused: both answers work, and a refusal updates the first.",
            "The fields of a booking follow a third party's description.",
            "Custom fields are read by `uri` and `field_type`, or by `uuid` and `type`: the descriptions differ.",
        ),
    )

    # --- connecting -------------------------------------------------------------------------------------------------

    async def identify(self, http: Http) -> Identity:
        """The user who granted and the organization: several users of one organization can connect."""
        me = row_of((await http.get("/users/me")).body())
        owner, organization = str(me.get("uri") or ""), str(me.get("current_organization") or "")
        for uri, kind in ((owner, "users"), (organization, "organizations")):
            if not re.fullmatch(rf"{re.escape(self.base)}/{kind}/[A-Za-z0-9_-]+", uri):
                raise ProviderFailure("Calendly does not say which user and organization are connected.")
        key = ":".join(uri.rpartition("/")[2] for uri in (organization, owner))
        name = str(me.get("name") or me.get("slug") or key)
        return Identity(key, name, {"owner": owner, "organization": organization})

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """Calls are counted for each user; bookings also in three windows of their own."""
        spent = (CALLS, *BOOKINGS) if (method, path) == ("POST", "/invitees") else (CALLS,)
        return [Cost(f"{self.id}:{account}:{c.bucket}", c.limit, c.window_s) for c in spent]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """On every answer; the window is a minute, except for bookings, whose headers may tell of another one."""
        limit, left = (answer.headers.get(f"x-ratelimit-{word}", "") for word in ("limit", "remaining"))
        if not limit.isdecimal() or not left.isdecimal() or (answer.method, answer.path) == ("POST", "/invitees"):
            return []
        return [Headroom(f"{self.id}:{account}:calls", float(limit), CALLS.window_s, float(left))]

    def pause(self, answer: Answer) -> float | None:
        """`X-RateLimit-Reset` is in seconds; no `Retry-After` is documented."""
        told = answer.headers.get("x-ratelimit-reset", "")
        return float(told) if answer.status == 429 and re.fullmatch(r"\d{1,9}(\.\d+)?", told) else None

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """The status decides; the first detail names the field."""
        error = super().read_error(answer)
        body = answer.json() if error and answer.is_json else None
        details = body.get("details") if isinstance(body, dict) else None
        first = details[0] if isinstance(details, list) and details else None
        if error and isinstance(first, dict) and first.get("parameter"):
            error.details["field"] = cleaned(str(first["parameter"]))
        return error

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """`title` with `message`, and `details` with what is wrong about which parameter."""
        details = body.get("details")
        more = [
            f"{d.get('parameter')} {d.get('message')}"
            for d in (details if isinstance(details, list) else [])
            if isinstance(d, dict)
        ]
        return " ".join([str(body.get("message") or ""), *more]).strip(), str(body.get("title") or "")
