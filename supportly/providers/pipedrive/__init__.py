"""Pipedrive, API v2; what has no v2 yet (notes, users, activity types, leads) is v1 under the same host.

Source: the OpenAPI files of August 2026 and pipedrive.readme.io.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from supportly.errors import NotFound, ProviderFailure, SupportlyError, Throttled
from supportly.http import Answer, Cost, Headroom, Http, cleaned
from supportly.oauth import ClientRefused, GrantRefused, OAuth2, Scope, read_refusal
from supportly.provider import About, Identity
from supportly.providers.pipedrive.activities import PipedriveActivities
from supportly.providers.pipedrive.api import V1, V2
from supportly.providers.pipedrive.knowledge import PipedriveKnowledge
from supportly.providers.pipedrive.persons import PipedrivePersons

BURST: Final = (80, 2)
"""Calls in a rolling window of seconds that one access token has on the smallest plan."""
SEARCHES: Final = (10, 2)
"""Searches in the same window, on every plan."""
DAILY: Final = 210_000
"""Tokens a day of one seat on the largest plan; what the company really has is learned from its answers."""
COSTS: Final = {"single": 1, "list": 10, "search": 20, "write": 5, "delete": 3}
"""Tokens of a v2 call, by its kind; v1 costs twice as much (`x-token-cost` in the OpenAPI files)."""
BLOCKED_S: Final = 300.0
"""Pause after the HTML page by which Cloudflare refuses long abuse; no time is documented."""
DAY: Final = timedelta(days=1)


class Pipedrive(PipedrivePersons, PipedriveActivities, PipedriveKnowledge):
    """Persons, activities, deals and products of a Pipedrive company; the API host comes with the tokens."""

    id, title = "pipedrive", "Pipedrive"
    oauth = OAuth2(
        authorize="https://oauth.pipedrive.com/oauth/authorize",
        token="https://oauth.pipedrive.com/oauth/token",  # noqa: S106 (an address)
        revoke="https://oauth.pipedrive.com/oauth/revoke",
        scopes=(
            Scope("base", "to know which company and user are connected"),
            Scope("contacts:full", "to find and write persons and organizations, and to log notes"),
            Scope("activities:full", "to show and log calls and tasks"),
            Scope("deals:read", "to show deals and their stages"),
            Scope("products:read", "to read the product catalogue"),
            Scope("search:read", "to find persons by e-mail address, phone number and custom field"),
            Scope("leads:read", "to show leads"),
        ),
        scope_in_authorize=False,
        client_auth="basic",
        # Documented: the same refresh token comes back. A new one is stored all the same.
        rotation="none",
        # To revoke a refresh token uninstalls the app for that user, wherever else it is connected.
        shared_grant=True,
        expires_in=3600,
        keep=("api_domain",),
    )
    notice = "The app's permissions are fixed when it is registered; a permission added later needs a new consent."
    about = About(
        register=(
            "In Pipedrive's Developer Hub, create an app (private or public).",
            "Enter the redirect URI as callback URL; an app has exactly one.",
            "Tick the scopes below under OAuth & access scopes; the consent page asks for all of them or none.",
            "Copy client id and client secret into the service's environment.",
        ),
        limits=(
            "In two seconds: 80 calls for each access token on the smallest plan (480 on the largest), 10 searches.",
            "A daily budget of tokens for the company, shared by all its apps: 30,000 × 1, 2, 5 or 7 by plan × seats.",
            "A single record costs 1 token, a list 10, a search 20, a write 5; v1 costs twice as much.",
            "When the day's tokens are spent, work pauses until the server's midnight.",
        ),
        cannot={
            "City and country of a person": "they exist only with the Contact Sync feature; map a custom field to them",
            "Knowledge articles": "Pipedrive has none; products, deals and organizations can be read instead",
            "Immediate knowledge of an uninstall": "Pipedrive tells the callback URL; we learn it at the next refresh",
        },
        assumed=(
            "How long the search lags a write is not documented: what was changed last is read from the list as well.",
            "Whether a refresh token rotates is not certain: whatever comes back is stored.",
        ),
    )

    # --- connecting -------------------------------------------------------------------------------------------------

    async def identify(self, http: Http) -> Identity:
        """The user who granted, and the company; both together are the tenant, since rights are the user's."""
        me = (await http.get(f"{V1}/users/me")).body().get("data") or {}
        if not me.get("company_id") or not me.get("id"):
            raise ProviderFailure("Pipedrive does not say which company is connected.")
        facts = {name: str(me[name]) for name in ("company_id", "company_domain") if me.get(name)}
        name = str(me.get("company_name") or me.get("company_domain") or me["company_id"])
        return Identity(f"{me['company_id']}:{me['id']}", name, facts | {"user_id": str(me["id"])})

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """RFC 6749's words, else the texts that are documented without their JSON keys."""
        if refusal := read_refusal(status, body):
            return refusal
        text = next((str(body[n]) for n in ("error_description", "message", "error") if body.get(n)), "")
        more: dict[str, Any] = {"provider_status": status}
        if status >= 400 and text.lower().startswith("invalid grant"):
            return GrantRefused(cleaned(text), reason="revoked_by_user", provider_code="invalid_grant", **more)
        if status >= 400 and text.lower().startswith("invalid client"):
            return ClientRefused(cleaned(text), provider_code="invalid_client", **more)
        return None

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def base_url(self, facts: Mapping[str, str]) -> str:
        """The company's own host, as the token answer names it."""
        return facts.get("api_domain") or "https://api.pipedrive.com"

    def hosts(self, facts: Mapping[str, str]) -> Sequence[str]:
        """Hosts of Pipedrive alone, whatever the token answer said."""
        return ["*.pipedrive.com"]

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """The burst window, the searches' own one, and the company's tokens of the day."""
        own, search = f"{self.id}:{account}:", "search" in path.lower()
        burst = Cost(own + "searches", *SEARCHES) if search else Cost(own + "calls", *BURST)
        return [burst, Cost(own + "tokens", DAILY, DAY.total_seconds(), _tokens(method, path, search=search))]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """The burst window; the daily headers are undocumented and used where they come."""
        own, search = f"{self.id}:{account}:", "search" in answer.path.lower()
        burst = ("searches", SEARCHES[1]) if search else ("calls", BURST[1])
        found = []
        for (bucket, window), prefix, words in (
            (burst, "x-ratelimit-", ("limit", "remaining")),
            (("tokens", DAY.total_seconds()), "x-daily-ratelimit-token-", ("limit", "remaining")),
        ):
            limit, left = (answer.headers.get(prefix + word, "") for word in words)
            if limit.isdecimal() and left.isdecimal():
                found.append(Headroom(own + bucket, float(limit), float(window), float(left)))
        return found

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """A 410 is a deleted record; a 403 that is a page comes from Cloudflare; `field` names a field."""
        if answer.status == 410:
            return NotFound("Pipedrive has deleted this record.", details={"provider_status": 410})
        if answer.status == 403 and not answer.is_json:
            text = "Pipedrive has blocked our calls for a while."
            return Throttled(text, retry_after=BLOCKED_S, details={"provider_status": 403})
        error = super().read_error(answer)
        body = answer.json() if error and answer.is_json else None
        if error and isinstance(body, dict) and body.get("field_code"):
            error.details["field"] = cleaned(body["field_code"])
        return error

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """`error` with `code` (v2, a word) or `errorCode` (v1, a number)."""
        return str(body.get("error") or body.get("message") or ""), str(body.get("code") or body.get("errorCode") or "")

    def pause(self, answer: Answer) -> float | None:
        """A burst is over in two seconds; a spent day at the server's midnight. `Retry-After` is not promised."""
        if answer.status != 429 or "retry-after" in answer.headers:
            return None
        left = answer.headers.get("x-ratelimit-remaining", "0")
        daily = answer.headers.get("x-daily-ratelimit-token-remaining", "")
        if daily == "0" or (left.isdecimal() and int(left) > 0):
            return _until_midnight(answer.date)
        return float(BURST[1])


def _tokens(method: str, path: str, *, search: bool) -> int:
    """Tokens that a call costs."""
    last = path.rstrip("/").rpartition("/")[2]
    if search:
        kind = "search"
    elif method != "GET":
        kind = "delete" if method == "DELETE" else "write"
    else:
        kind = "single" if last.isdecimal() or last == "me" else "list"
    return COSTS[kind] * (1 if path.startswith(V2) else 2)


def _until_midnight(now: datetime) -> float:
    """Seconds to the next midnight; the server's zone is not documented, UTC is taken."""
    now = now.astimezone(UTC)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + DAY
    return (midnight - now).total_seconds()
