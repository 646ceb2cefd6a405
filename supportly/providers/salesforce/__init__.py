"""Salesforce. Quirks: the API's host comes with the token, tokens come without a life, errors come in arrays whose code
decides and not their status, and a quota of a day is shared with all of the customer's other apps.

This file says how to connect and how Salesforce's HTTP speaks; `soql` its query language; `shapes` its records and our
settings; `contacts` (with `fields`), `activities`, `actions` and `knowledge` (with `articles`) what can be done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from supportly.errors import (
    AmbiguousMatch,
    NotFound,
    ProviderFailure,
    SupportlyError,
    Throttled,
    TokenRefused,
)
from supportly.http import Answer, Cost, Headroom, Http, cleaned, failure
from supportly.oauth import ClientRefused, GrantRefused, OAuth2, Scope, read_refusal
from supportly.provider import About, ConnectField, Identity, ProviderSettings
from supportly.providers.salesforce.actions import SalesforceActions
from supportly.providers.salesforce.activities import SalesforceActivities
from supportly.providers.salesforce.contacts import SalesforceContacts
from supportly.providers.salesforce.knowledge import SalesforceKnowledge
from supportly.providers.salesforce.shapes import ID, SalesforceSettings, eighteen
from supportly.providers.salesforce.soql import ABSENT, VERSION, select

MY_DOMAIN: Final = (
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.(?:sandbox|develop|scratch|trailblaze))?\.my\.(?:salesforce|site)\.com"
)
"""An org's own domain; `--` parts a sandbox's name from it. `my.site.com` is for users of Experience Cloud."""
LOGIN_HOSTS: Final = rf"(login|test)\.salesforce\.com|{MY_DOMAIN}"
"""Production, sandbox, or an org's own domain. Never `*.lightning.force.com`, which is the user interface only."""
API_HOSTS: Final = rf"{MY_DOMAIN}|[a-z]{{2,4}}\d{{1,4}}\.salesforce\.com"
"""What `instance_url` may name: an org's own domain, or an instance such as `na139` of an org without one."""
LOGIN: Final = "https://{domain}/services/oauth2"

DAY_S: Final = 86_400.0
DAILY: Final = 15_000
"""Calls of 24 hours that the smallest edition has (Developer), for all apps of the org; the answers tell the rest."""
QUOTA_PAUSE_S: Final = 3_600.0
"""The day's quota is a rolling one and no answer says when it has room again, so it is asked for once an hour."""
BUSY_PAUSE_S: Final = 20.0
"""The limit of concurrent calls counts those that run longer than 20 seconds."""
TOKEN_PAUSE_S: Final = 60.0
"""After `rate_limit_exceeded` of the token endpoint, which names no time."""

CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{2,99}")
USED: Final = re.compile(r"(?:^|[\s;,])api-usage=(\d+)/(\d+)")
"""In `Sforce-Limit-Info`. Other parts may stand beside it, and the name of one (`per-app-api-usage`) ends like it."""
EXISTING: Final = re.compile(r"record with id:\s*([A-Za-z0-9]{15,18})")
"""Where `DUPLICATE_VALUE` names the record in the way: there is no field for it."""
TRANSIENT: Final = frozenset({"UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE"})
"""Codes under 400 that another try may not meet again. A query that timed out must never pass as an empty one
(reported: airbytehq/airbyte #17503, #9883)."""
SESSION: Final = frozenset({"INVALID_SESSION_ID", "INVALID_AUTH_HEADER"})
BAD_TOKEN: Final = frozenset({b"Bad_OAuth_Token", b"Missing_OAuth_Token"})
"""Bodies by which the identity service refuses a token, under 403; unconfirmed, the API's own 401 works as well."""
DEAD_GRANT: Final = {"inactive_user": "user_inactive", "inactive_org": "account_inactive"}
BAD_CLIENT: Final = ("invalid_client_id", "invalid_client", "unauthorized_client", "redirect_uri_mismatch")


class Salesforce(SalesforceContacts, SalesforceActivities, SalesforceActions, SalesforceKnowledge):
    """Contacts, activities, deals and Knowledge articles of a Salesforce org."""

    id, title = "salesforce", "Salesforce"
    oauth: ClassVar[OAuth2] = OAuth2(
        authorize=LOGIN + "/authorize",
        token=LOGIN + "/token",
        revoke=LOGIN + "/revoke",
        revoke_hint=False,
        scopes=(
            Scope("api", "read and write contacts, tasks and notes, and read deals, companies, products and articles"),
            Scope("refresh_token", "stay connected while nobody is signed in"),
            Scope("openid", "know which org and which user are connected"),
        ),
        # Secret and verifier: packaged apps must use PKCE. `scope` stays out of refreshes, which some orgs then refuse
        # (reported: appsmithorg/appsmith #30239).
        client_auth="body",
        pkce=True,
        # Off in many orgs today, being enforced: an old refresh token that comes back ends the whole grant.
        rotation="single_use_with_reuse_detection",
        # The answer names no life; the org's session timeout is 15 minutes to 24 hours. A 401 tells when it is over.
        expires_in=None,
        keep=("instance_url", "scope"),
    )
    connect_fields = (
        ConnectField(
            "domain",
            "login host",
            LOGIN_HOSTS,
            "acme.my.salesforce.com",
            required=False,
            default="login.salesforce.com",
        ),
    )
    base = "{instance_url}/services/data/" + VERSION
    settings: ClassVar[type[ProviderSettings]] = SalesforceSettings
    limits = (Cost("day", DAILY, DAY_S),)
    notice = (
        "Every call counts against the daily API quota of the whole org. Connect as a user who may read Knowledge "
        "where articles are wanted; sandboxes sign in at `test.salesforce.com` or at their own domain. "
        "A user has room for five connections of one app; a sixth silently ends the oldest."
    )
    about = About(
        register=(
            "Make an External Client App (new Connected Apps ended in Spring '26), packaged for many orgs.",
            "Enter the redirect URI, require PKCE, and select the scopes below.",
            "Mind its refresh token policy: rotation works, and so does a token that stays.",
            "For lookups by the Supportly contact's id, ship a field of Contact with it: External ID and Unique.",
            "Copy consumer key and secret into the service's environment.",
        ),
        limits=(
            "A daily quota of the org, shared by all its apps: 15,000 (Developer), else from 100,000 by licences.",
            "What is left is read from every answer; when it is spent, work asks again every hour.",
            "25 calls longer than 20 seconds at once (5 in trials); an address may have some 16,000 characters.",
        ),
        cannot={
            "Editions without an API": "Salesforce answers `API_DISABLED_FOR_ORG`; the connection is refused",
            "A company's name on a contact": "contacts point to accounts; one of that name is linked or made",
            "Writing against the org's rules": "its duplicate and validation rules answer in their own words",
            "Articles that customers do not see": "they are for agents only, and read when a setting says so",
            "Deletions older than fifteen days, in a walk over changes": "they are forgotten; a full walk sees it",
        },
        assumed=(
            "The life of an access token is not told: an hour is assumed, and a 401 refreshes earlier.",
            "Rotation is assumed to detect reuse: an old refresh token is never sent again.",
            "How long the search by phone lags is not documented: what is found is read again by id.",
            "Fields that show an article to customers are asked for, and left out where an org lacks them.",
        ),
    )

    # --- connecting -------------------------------------------------------------------------------------------------

    def issues(self, issuer: str, facts: Mapping[str, str]) -> bool:
        """Also the org's own host, to which the common page hands a user on."""
        host = issuer.lower().removeprefix("https://").removesuffix("/")
        return super().issues(issuer, facts) or (host != issuer and re.fullmatch(API_HOSTS, host) is not None)

    async def identify(self, http: Http) -> Identity:
        """Org and user; and whether the org has several currencies and person accounts, which queries have to know.

        Raises ProviderFailure where a right that we asked for is missing, or the org's edition has no API.
        """
        granted = set(http.facts.get("scope", "").split())
        if granted and not {"api", "full"} & granted:
            raise ProviderFailure("Salesforce did not grant `api`. Connect again.", code="scope_missing")
        me = (await http.get(self._host(http.facts) + "/services/oauth2/userinfo")).body()
        org, user = str(me.get("organization_id") or ""), str(me.get("user_id") or "")
        if not re.fullmatch(ID, org) or not re.fullmatch(ID, user):
            raise ProviderFailure("Salesforce does not say who is connected.")
        org, user = eighteen(org), eighteen(user)
        facts = {
            "organization_id": org,
            "user_id": user,
            "multi_currency": await self._has(http, "CurrencyIsoCode", "Opportunity"),
            "person_accounts": await self._has(http, "IsPersonAccount", "Contact"),
        }
        host = self._host(http.facts).removeprefix("https://")
        name = str(me.get("preferred_username") or me.get("username") or "")
        return Identity(f"{org}:{user}", f"{host} ({name})" if name else host, facts)

    @staticmethod
    async def _has(http: Http, name: str, sobject: str) -> str:
        """Whether an object has a field that exists in some orgs only: `true` or `false`."""
        try:
            await http.get("/query", {"q": select([name], sobject, limit=1)})
        except ProviderFailure as error:
            if error.provider_code not in ABSENT:
                raise
            return "false"
        return "true"

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """Salesforce's own words, else RFC 6749's."""
        word = str(body.get("error") or "") if status >= 400 else ""
        more: dict[str, Any] = {"provider_status": status, "provider_code": word}
        if word in DEAD_GRANT:
            return GrantRefused(cleaned(body.get("error_description") or word), reason=DEAD_GRANT[word], **more)
        if word in BAD_CLIENT:
            return ClientRefused("Salesforce does not accept this app's id, secret or redirect URI.", **more)
        if word == "rate_limit_exceeded":
            return Throttled("Salesforce asks for a pause before the next sign-in.", retry_after=TOKEN_PAUSE_S)
        return read_refusal(status, body)

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def _host(facts: Mapping[str, str]) -> str:
        """`https://` and the host of the API. Raises ProviderFailure for one that is not Salesforce's."""
        given = facts.get("instance_url", "").lower().removesuffix("/")
        host = given.removeprefix("https://")
        if given == host or not re.fullmatch(API_HOSTS, host):
            raise ProviderFailure("Salesforce named an API host that is not its own; nothing was sent.", sent=False)
        return given

    def base_url(self, facts: Mapping[str, str]) -> str:
        """The org's own host, as the newest token answer named it."""
        return f"{self._host(facts)}/services/data/{VERSION}"

    def hosts(self, facts: Mapping[str, str]) -> Sequence[str]:
        """The org's own host alone."""
        return [str(urlsplit(self._host(facts)).hostname)]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """The day's quota of the org, from `Sforce-Limit-Info: api-usage=18/5000`."""
        found = USED.search(answer.headers.get("sforce-limit-info", ""))
        if not found or int(found[2]) == 0:
            return []
        used, most = int(found[1]), int(found[2])
        return [Headroom(f"{self.id}:{account}:day", most, DAY_S, max(0, most - used))]

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """By the code of the array's first error; by the status where there is none.

        `details` of the error hold `fields` at fault, and `duplicates`: ids of records that a rule found in the way.
        """
        if answer.status < 300:
            return None
        body = answer.json() if answer.is_json else None
        if answer.status == 300 and isinstance(body, list):
            return AmbiguousMatch(
                "Several Salesforce records have this external id.",
                details={"candidates": [{"id": str(url).rpartition("/")[2]} for url in body]},
            )
        first = _first(body)
        code = str(first.get("errorCode") or first.get("error") or "")
        said = str(first.get("message") or first.get("error_description") or "")
        if code in SESSION or answer.content.strip() in BAD_TOKEN:
            return TokenRefused("Salesforce refused the access token.", provider_status=answer.status)
        if code == "REQUEST_LIMIT_EXCEEDED" or answer.status == 420:
            short = answer.status == 420 or "concurrent" in said.casefold()
            return Throttled(
                "Salesforce has too many long calls of this org." if short else "The org's daily API quota is spent.",
                retry_after=BUSY_PAUSE_S if short else QUOTA_PAUSE_S,
                details={"provider_status": answer.status},
            )
        error = failure(answer, message=said, code=code)
        if isinstance(error, ProviderFailure):
            if CODE.fullmatch(code):  # long codes look like secrets to the cleaner
                error.provider_code = error.details["provider_code"] = code
            error.retryable = error.retryable or code in TRANSIENT
        if not isinstance(error, NotFound | Throttled):
            error.details |= _details(first, said)
        return error


def _first(body: Any) -> Mapping[str, Any]:
    """The first error of an array, or the object that the token endpoint answers."""
    found = body[0] if isinstance(body, list) and body else body
    return found if isinstance(found, dict) else {}


def _details(error: Mapping[str, Any], said: str) -> dict[str, Any]:
    fields = [str(name) for name in error.get("fields") or [] if re.fullmatch(r"\w{1,80}", str(name))]
    result = error.get("duplicateResult")
    matches = result.get("matchResults") or [] if isinstance(result, dict) else []
    rows = [m.get("record") or {} for r in matches for m in r.get("matchRecords") or []]
    ids = [str(row["Id"]) for row in rows if re.fullmatch(ID, str(row.get("Id")))]
    # Read before the message is cleaned, which takes an id for a secret.
    if error.get("errorCode") == "DUPLICATE_VALUE" and (found := EXISTING.search(said)):
        ids.append(eighteen(found[1]))
    return ({"fields": fields} if fields else {}) | ({"duplicates": list(dict.fromkeys(ids))} if ids else {})
