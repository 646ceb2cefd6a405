"""Jira Cloud, REST version 3, and Jira Service Management, through Atlassian's one gateway.

Source: developer.atlassian.com, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from supportly.errors import ProviderFailure, SelectionRequired, SupportlyError, Throttled
from supportly.http import Answer, Cost, Headroom, Http, cleaned, code_word, retry_after
from supportly.oauth import ClientRefused, OAuth2, Scope, chosen_scopes, read_refusal
from supportly.provider import About, ConnectField, Identity
from supportly.providers.jira.actions import JiraActions
from supportly.providers.jira.api import array
from supportly.providers.jira.issues import JiraIssues
from supportly.providers.jira.knowledge import PAGE, JiraKnowledge
from supportly.providers.jira.people import JiraPeople

GATEWAY: Final = "https://api.atlassian.com"
CLOUD: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
HOUR_S: Final = 3600.0
WRITTEN: Final = re.compile(r"/(?:issue|request)/([^/]*-\d+|\d+)(?:/|$)")
"""The issue in the path of a write, by key or number; `issue/bulkfetch` is none."""
BURST: Final = {"GET": 100, "POST": 100}
"""Calls a second of one endpoint and method in one tenant (quoted by Atlassian, not promised); 50 for the others."""
OTHER_BURST: Final = 50
BURST_PAUSE_S: Final = 2.0
"""First pause where a refusal names none, as Atlassian advises."""
PER_ISSUE: Final = ((20, 2), (100, 30))
"""Writes to one issue, and seconds."""
POINTS: Final = {
    "search/jql": PAGE,
    "bulkfetch": PAGE // 2,
    "user/search": 100,
    "/customer": 100,
    "comment": 50,
    "search": 50,
}
"""Points that a read of many may cost beside the one of its call, by the end of its path: one an object, two a user."""

SCOPES: Final = (
    Scope("read:jira-user", "to find users and to know who is connected"),
    Scope("read:jira-work", "to show issues, projects and comments"),
    Scope("write:jira-work", "to make issues and comments"),
    Scope("offline_access", "to go on while nobody is there"),
    Scope("read:servicedesk-request", "to list service desks", optional=True),
    Scope("write:servicedesk-request", "to raise requests and add internal comments", optional=True),
    Scope("manage:servicedesk-customer", "to find and create a desk's customers", optional=True),
)


class Contract(BaseSettings):
    """What an operator may set. Read from the environment when the provider is made."""

    model_config = SettingsConfigDict(
        env_prefix="SUPPORTLY_JIRA_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    scopes: str = Field(
        "",
        pattern=r"^([a-z_:-]+(,[a-z_:-]+)*)?$",
        description="Scopes to ask for, separated by commas; empty: all. Those of Service Management can be left out.",
    )
    hourly_points: int = Field(
        65_000, ge=1_000, le=500_000, description="Points an hour of the app across all tenants; Atlassian grants more."
    )


class Jira(JiraPeople, JiraIssues, JiraActions, JiraKnowledge):
    """Issues, users and desk customers of a Jira Cloud site."""

    id, title = "jira", "Jira"
    connect_fields = (
        ConnectField("site", "host of the site", r"[a-z0-9-]+\.atlassian\.net", "acme.atlassian.net", required=False),
    )
    notice = (
        "Customers can be created only in a Jira Service Management desk, by a Jira administrator. Jira offers no way "
        "to revoke access: after disconnecting, remove the app in the Atlassian account as well."
    )
    about: ClassVar[About] = About(
        register=(
            "On developer.atlassian.com, create an OAuth 2.0 (3LO) app; choose resource-level access.",
            "Add the Jira API with the scopes below, and the redirect URI; add Service Management's for desks.",
            "Enable sharing: an app is private to its maker until then.",
            "Copy client id and secret into the service's environment.",
        ),
        limits=(
            "65,000 points an hour for the app across all of its tenants: 1 a call, 1 an object, 2 a user.",
            "When they are spent, all tenants pause until the full hour; SUPPORTLY_JIRA_HOURLY_POINTS sets the pool.",
            "About 100 calls a second of one endpoint; 20 writes in 2 s and 100 in 30 s to one issue.",
        ),
        cannot={
            "Creating a contact without Service Management": "Jira has no contact record; choose a desk",
            "Updating a contact": "the profile belongs to the holder of the Atlassian account",
            "Finding people who hide their address, or by phone": "Jira matches what they show; names are not guessed",
            "Revoking": "Atlassian has no endpoint; the user removes the app under connected apps",
            "Deletions at once": "the search does not list them; the full walk finds what is missing",
            "Certainty that an issue is deleted": "a lost permission looks the same, and its text goes as well",
            "Articles of a desk's knowledge base": "they can be searched and not listed",
        },
        assumed=(
            "A comment may or may not move its issue's time of change: changed issues are read with their comments.",
            "A bulk read costs one point an issue.",
            "A second consent of one user for the same app may end the tokens of the first.",
        ),
    )

    def __init__(self, contract: Contract | None = None) -> None:
        self.contract = contract or Contract()
        self.oauth = OAuth2(  # type: ignore[misc] # of this installation, not of the class
            authorize="https://auth.atlassian.com/authorize",
            token="https://auth.atlassian.com/oauth/token",  # noqa: S106 (an address)
            scopes=chosen_scopes(SCOPES, self.contract.scopes),
            client_auth="body",
            body="json",
            authorize_params={"audience": "api.atlassian.com", "prompt": "consent"},
            # A token that was replaced is tolerated for about ten minutes.
            rotation="grace",
            expires_in=3600,
        )

    # --- connecting -------------------------------------------------------------------------------------------------

    async def identify(self, http: Http) -> Identity:
        """The site: the only one, or the one that was named; a part of a name matches none."""
        rows = array(await http.get(f"{GATEWAY}/oauth/token/accessible-resources"))
        sites = {_host(row): row for row in rows if re.fullmatch(CLOUD, str(row.get("id")))}
        wanted = http.facts.get("site", "")
        if not sites:
            raise ProviderFailure("The Atlassian account has no Jira site with the permissions that were asked for.")
        if wanted and wanted not in sites:
            text = "The Atlassian account has no such site that the app may open: connect again and name another."
            raise SelectionRequired(text, details={"field": "site", "choices": sorted(sites)})
        if not wanted and len(sites) > 1:
            text = "The Atlassian account has several sites: connect again and name one as `site`."
            raise SelectionRequired(text, details={"field": "site", "choices": sorted(sites)})
        host = wanted or next(iter(sites))
        cloud = str(sites[host]["id"])
        facts = {"cloud_id": cloud, "site_url": f"https://{host}"}
        try:
            me = (await http.get(f"{GATEWAY}/ex/jira/{cloud}/rest/api/3/myself")).body()
            facts["account_id"] = str(me.get("accountId") or "")
        except ProviderFailure as error:  # reported: it fails for some users whose tokens work
            if error.retryable:
                raise
        return Identity(cloud, host, facts)

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """`invalid_grant` comes with 403 too; a wrong secret is `access_denied` with 401."""
        if status == 401 and body.get("error") == "access_denied":
            return ClientRefused("Atlassian does not know the app, or its secret is wrong.", provider_status=status)
        return read_refusal(status, body)

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def base_url(self, facts: Mapping[str, str]) -> str:
        """The gateway's place of the site; the host is Atlassian's whatever the facts say."""
        cloud = facts.get("cloud_id", "")
        return f"{GATEWAY}/ex/jira/{cloud}" if re.fullmatch(CLOUD, cloud) else GATEWAY

    def hosts(self, facts: Mapping[str, str]) -> Sequence[str]:
        """One host for all sites."""
        return ["api.atlassian.com"]

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """The app's points, which all tenants share, and the endpoint's burst."""
        tail = path.partition("/rest/")[2]
        many = method == "GET" or tail.endswith(("search/jql", "bulkfetch"))
        points = 1 + (next((p for end, p in POINTS.items() if tail.endswith(end)), 1) if many else 0)
        found = [
            Cost(f"{self.id}:points", self.contract.hourly_points, HOUR_S, points),
            Cost(self._burst(method, tail, account), BURST.get(method, OTHER_BURST), 1),
        ]
        if method != "GET" and (issue := WRITTEN.search(tail)):
            bucket = f"{self.id}:{account}:writes:{issue[1]}"
            found += [Cost(f"{bucket}:{window}", most, window) for most, window in PER_ISSUE]
        return found

    def _burst(self, method: str, tail: str, account: str) -> str:
        """One bucket for each endpoint: what differs from record to record is no part of its name."""
        return f"{self.id}:{account}:{method}:{re.sub(r'/(?=[^/]*[0-9A-Z])[^/]+', '/-', tail)}"[:120]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """A refusal tells which bucket is empty: the app's for all tenants, or the endpoint's."""
        if answer.status != 429:
            return []
        pause = self.pause(answer) or BURST_PAUSE_S
        if "quota" in answer.headers.get("ratelimit-reason", ""):
            return [Headroom(f"{self.id}:points", self.contract.hourly_points, pause, 0)]
        return [Headroom(self._burst(answer.method, answer.path.partition("/rest/")[2], account), 1, pause, 0)]

    def pause(self, answer: Answer) -> float | None:
        """`Retry-After`, else the time of the reset, else the full hour for a quota and two seconds for a burst."""
        if answer.status != 429:
            return retry_after(answer.headers)
        if (told := retry_after(answer.headers)) is not None:
            return told
        try:
            reset = datetime.fromisoformat(answer.headers.get("x-ratelimit-reset", ""))
        except ValueError:
            reset = None
        now = answer.date.astimezone(UTC)
        if reset and reset.tzinfo:
            return max(1.0, (reset - now).total_seconds())
        if "quota" in answer.headers.get("ratelimit-reason", ""):
            hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            return (hour - now).total_seconds()
        return BURST_PAUSE_S

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """A scope that does not match comes as a 401 that refreshing cannot mend; `errors` names the fields."""
        body = answer.json() if answer.status >= 300 and answer.is_json else None
        body = body if isinstance(body, dict) else {}
        if answer.status == 401 and "scope" in str(body.get("message") or "").lower():
            text = "Jira has not granted a permission that this needs: add its scope to the app, and connect again."
            return ProviderFailure(text, provider_status=401, provider_code="missing_scope", refused=True)
        error = super().read_error(answer)
        errors = body.get("errors")
        if error and isinstance(errors, dict) and errors and not isinstance(error, Throttled):
            error.details["field"] = code_word(next(iter(errors)))
        return error

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """`errorMessages` and `errors` of Jira, `errorMessage` of Service Management, `message` of the gateway."""
        told = body.get("errorMessages")
        said = [str(text) for text in told] if isinstance(told, list) else []
        errors = body.get("errors")
        said += [f"{name}: {why}" for name, why in errors.items()] if isinstance(errors, dict) else []
        more = body.get("errorMessage") or body.get("message") or body.get("error_description") or body.get("error")
        return cleaned(" ".join(said)) or str(more or ""), str(body.get("code") or "")


def _host(site: Mapping[str, Any]) -> str:
    """The host of a site's address, which only links are made of; empty for what is no plain https address."""
    found = re.fullmatch(r"https://([a-z0-9-]+(?:\.[a-z0-9-]+)+)/?", str(site.get("url") or "").lower())
    return found[1] if found else ""
