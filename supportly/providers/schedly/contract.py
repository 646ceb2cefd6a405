"""ASSUMPTIONS about Schedly's API, all of them, in one place that configuration can replace.

Schedly publishes no contract. Every default here is Cal.com API v2 (mid 2026), the nearest public contract, whose
resources match Schedly's eight actions one to one. `SUPPORTLY_SCHEDLY_{FIELD}` replaces a field, so that the real
contract needs no new code for hosts, paths, versions and scopes.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from supportly.oauth import OAuth2, Rotation, Scope

HTTPS: Final = r"^https://[a-z0-9.-]+(/.*)?$"
SCOPES: Final = {
    "PROFILE_READ": "tells who is connected",
    "EVENT_TYPE_READ": "event types, for booking and for the knowledge base",
    "BOOKING_READ": "bookings of a contact, and whether one of ours was made",
    "BOOKING_WRITE": "book, move and cancel",
    "SCHEDULE_READ": "free slots",
    "TEAM_PROFILE_READ": "teams",
    "TEAM_EVENT_TYPE_READ": "event types of teams",
    "ORG_ROUTING_FORM_READ": "routing of leads",
}
"""Scope -> why it is asked for."""


class Contract(BaseSettings):
    """Hosts, paths, versions, scopes and limits. Read from the environment when it is made, never at import."""

    model_config = SettingsConfigDict(
        env_prefix="SUPPORTLY_SCHEDLY_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    authorize_url: str = Field("https://app.cal.com/auth/oauth2/authorize", pattern=HTTPS, description="Consent page.")
    token_url: str = Field("https://api.cal.com/v2/auth/oauth2/token", pattern=HTTPS, description="Token endpoint.")
    base_url: str = Field("https://api.cal.com", pattern=HTTPS, description="Base URL of the API.")
    site_url: str = Field("https://cal.com", pattern=HTTPS, description="Where the public booking pages are.")
    scopes: dict[str, str] = Field(SCOPES, description="Scopes as JSON: name -> reason.")
    pkce: bool = Field(True, description="Send a PKCE challenge (S256).")
    rotation: Rotation = Field(
        # Not single use in the code read, rotation announced: one retry with the old token is safe in both worlds.
        "single_use",
        description="What a refresh does to the old refresh token.",
    )
    token_life_s: int = Field(1800, gt=0, description="Life of an access token whose answer names none.")
    rate_limit: int = Field(500, gt=0, description="Calls that one access token has in `rate_window_s`.")
    rate_window_s: int = Field(60, gt=0, description="Seconds of the rate window, and of the block after it.")

    me_path: str = "/v2/me"
    bookings_path: str = "/v2/bookings"
    booking_path: str = "/v2/bookings/{uid}"
    cancel_path: str = "/v2/bookings/{uid}/cancel"
    reschedule_path: str = "/v2/bookings/{uid}/reschedule"
    slots_path: str = "/v2/slots"
    event_types_path: str = "/v2/event-types"
    teams_path: str = "/v2/teams"
    team_event_types_path: str = "/v2/teams/{team}/event-types"
    dry_route_path: str = "/v2/routing-forms/{form}/calculate-slots"
    route_path: str = "/v2/organizations/{organization}/routing-forms/{form}/responses"

    version_header: str = "cal-api-version"
    versions: dict[str, str] = Field(
        {
            "/v2/bookings": "2024-08-13",
            "/v2/slots": "2024-09-04",
            "/v2/event-types": "2024-06-14",
            "/v2/schedules": "2024-06-11",
        },
        description="Version header by start of path, as JSON. Left out, an older behaviour or 404 or 500 follows.",
    )

    @property
    def oauth(self) -> OAuth2:
        """The OAuth facts. No revocation endpoint is known: the user removes the app in the settings there."""
        return OAuth2(
            authorize=self.authorize_url,
            token=self.token_url,
            scopes=tuple(Scope(name, reason, optional=name.startswith("ORG_")) for name, reason in self.scopes.items()),
            client_auth="body",
            body="form",
            pkce=self.pkce,
            rotation=self.rotation,
            expires_in=self.token_life_s,
        )

    def version(self, path: str) -> dict[str, str]:
        """The version header for a request path (of the whole URL); empty where the resource has no versions."""
        own = path.removeprefix(urlsplit(self.base_url).path.rstrip("/"))
        fits = [start for start in self.versions if own == start or own.startswith(start + "/")]
        return {self.version_header: self.versions[max(fits, key=len)]} if fits else {}
