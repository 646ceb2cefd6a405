"""Slack, Web API: members, channels and messages of a workspace.

Source: docs.slack.dev, November 2026; github.com/slackapi (archived Swagger file, java-slack-sdk's tiers and samples).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from supportly.errors import NotFound, ProviderFailure, SupportlyError, Throttled, TokenRefused
from supportly.http import DEFAULT_RETRY_AFTER, Answer, Cost, Headroom, Http, code_word, retry_after
from supportly.oauth import ClientRefused, GrantRefused, OAuth2, Scope, Tokens, chosen_scopes
from supportly.provider import About, Identity
from supportly.providers.slack.actions import SlackActions
from supportly.providers.slack.knowledge import SlackKnowledge
from supportly.providers.slack.members import SlackMembers

MINUTE: Final = 60.0
TIERS: Final = {"2": 20, "3": 50, "4": 100}
"""Calls a minute of one method in one workspace, by Slack's tier."""
METHODS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("conversations.list", "users.list"), "2"),
    **dict.fromkeys(("users.info", "conversations.members", "auth.test", "chat.getPermalink"), "4"),
}
"""Tiers that are not the third."""
POSTS: Final = (1, 1.0)
"""Messages, and seconds: about one a second in a channel."""
RESTRICTED: Final = ("conversations.history", "conversations.replies")
SLOW_S: Final = 50.0
"""A pause this long on these two tells that the app may call them once a minute, however short the rest of it is."""

REVOKED: Final = frozenset({"invalid_auth", "not_authed", "token_revoked", "account_inactive", "token_expired"})
UNKNOWN: Final = frozenset({
    "users_not_found", "user_not_found", "user_not_visible", "thread_not_found", "message_not_found",
})  # fmt: skip
PASSING: Final = frozenset({"internal_error", "fatal_error", "request_timeout", "service_unavailable"})
LIMITED: Final = frozenset({"ratelimited", "rate_limited"})
POLICY: Final = frozenset({"enterprise_is_restricted", "team_added_to_org", "org_login_required"})
"""A migration to Enterprise Grid, or a rule of the organization: somebody has to act there."""
REFUSED_CODE: Final = frozenset({
    "invalid_code", "code_already_used", "bad_redirect_uri", "oauth_authorization_url_mismatch",
})  # fmt: skip
REFUSED_CLIENT: Final = frozenset({"bad_client_secret", "invalid_client_id"})

SCOPES: Final = (
    Scope("chat:write", "to post notes, calls and tasks"),
    Scope("chat:write.public", "to post to public channels without joining them", optional=True),
    Scope("users:read", "to look members up"),
    Scope("users:read.email", "to find members by e-mail address"),
    Scope("channels:read", "to list public channels"),
    Scope("groups:read", "to list private channels that the app was invited to"),
    Scope("team:read", "to know the workspace"),
    Scope("im:write", "to open direct messages", optional=True),
    Scope("channels:join", "to join public channels that are chosen", optional=True),
    Scope("channels:history", "to read chosen public channels, and to look for a lost message", optional=True),
    Scope("groups:history", "the same for private channels", optional=True),
)


class Contract(BaseSettings):
    """What an operator may ask for. Read from the environment when the provider is made."""

    model_config = SettingsConfigDict(
        env_prefix="SUPPORTLY_SLACK_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    scopes: str = Field(
        "",
        pattern=r"^([a-z_:.]+(,[a-z_:.]+)*)?$",
        description="Bot scopes to ask for, separated by commas; empty: all. Those that read messages can be left out.",
    )


class Slack(SlackMembers, SlackActions, SlackKnowledge):
    """A Slack workspace: its members, its channels, and chosen messages."""

    id, title = "slack", "Slack"
    base = "https://slack.com/api"
    notice = (
        "Slack's API terms restrict bulk export, long-lived copies and indexes of Slack data, and its use with large "
        "language models. Knowledge from channels is off until an administrator chooses channels, and copying them "
        "may need Slack's approval."
    )
    about: ClassVar[About] = About(
        register=(
            "On api.slack.com/apps, create an app, and add the redirect URI (https) under OAuth & Permissions.",
            "Add the bot scopes below. Leave PKCE off: switching it on cannot be undone and ends tokens after 30 days.",
            "Token rotation is optional; both ways work.",
            "Copy client id and client secret into the service's environment.",
        ),
        limits=(
            "Each method has a tier for each workspace: 1, 20, 50 or 100 calls a minute; a message a second a channel.",
            "Commercial apps outside Slack's Marketplace read messages once a minute, fifteen at a time.",
            "Each page of a walk is kept: 10,000 messages take eleven hours at that pace.",
        ),
        cannot={
            "Creating or updating contacts": "members are managed by the workspace's administrators",
            "Tasks of Slack's own": "bots have none; a task is a message",
            "A thread for each contact by itself": "name the first message's id as `target` to answer in its thread",
            "Deleted and edited messages at once": "Slack does not list them; they are found when they are read again",
            "Direct messages, and channels shared with other companies": "they are never read",
            "Certainty about a lost message without `channels:history`": "its outcome is reported as unknown",
        },
        assumed=(
            "Deactivated members: `users_not_found` or `deleted`; both count as not found.",
            "Names of the token endpoint's refusals `code_already_used` and `invalid_refresh_token`.",
            "`SUPPORTLY_SLACK_SCOPES` replaces the list of scopes.",
        ),
    )

    def __init__(self, contract: Contract | None = None) -> None:
        self.contract = contract or Contract()
        self.oauth = OAuth2(  # type: ignore[misc] # of this installation, not of the class
            authorize="https://slack.com/oauth/v2/authorize",
            token="https://slack.com/api/oauth.v2.access",  # noqa: S106 (an address)
            scopes=chosen_scopes(SCOPES, self.contract.scopes),
            scope_separator=",",
            client_auth="basic",
            rotation="single_use",
            # Without rotation the answer names no life, and the token has no end.
            expires_in=None,
            # One token for each app and workspace: to revoke it ends every connection to it.
            shared_grant=True,
        )

    # --- connecting -------------------------------------------------------------------------------------------------

    async def identify(self, http: Http) -> Identity:
        """The workspace, or the organization; refuses a token that lacks a permission that everything needs."""
        answer = await http.get("/auth.test")
        body = answer.body()
        organization = bool(body.get("is_enterprise_install"))
        key = str((body.get("enterprise_id") if organization else body.get("team_id")) or "")
        if not key:
            raise ProviderFailure("Slack does not say which workspace is connected.")
        granted = {name.strip() for name in answer.headers.get("x-oauth-scopes", "").split(",")} - {""}
        lacking = [scope.name for scope in self.oauth.scopes if not scope.optional and scope.name not in granted]
        if granted and lacking:
            text = f"Slack has not granted {', '.join(lacking)}: add it to the app, and connect again."
            raise ProviderFailure(text, provider_code="missing_scope", details={"missing_scope": lacking})
        facts = {
            "team_id": str(body.get("team_id") or ""), "url": str(body.get("url") or ""),
            "bot_id": str(body.get("bot_id") or ""), "org_install": str(organization).lower(),
        }  # fmt: skip
        return Identity(key, str(body.get("team") or key), facts)

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """The token endpoint, too, says no under status 200."""
        if body.get("ok") is True and not body.get("access_token") and isinstance(body.get("authed_user"), dict):
            text = "Only a Slack user was authorized, not the app: connect again and install the app."
            return GrantRefused(text, reason="code_refused", provider_status=status)
        word = str(body.get("error") or "")
        if body.get("ok") is not False or not word:
            return None
        more: dict[str, Any] = {"provider_status": status, "provider_code": code_word(word)}
        if word in REFUSED_CODE:
            return GrantRefused("Slack does not accept the authorization code.", reason="code_refused", **more)
        if word in REFUSED_CLIENT:
            return ClientRefused("Slack does not know the app, or its secret is wrong.", **more)
        if word in LIMITED:
            return Throttled("Slack asks for a pause.", retry_after=DEFAULT_RETRY_AFTER)
        if word in REVOKED or word == "invalid_refresh_token":
            return GrantRefused("Slack has ended this authorization.", reason="revoked_by_user", **more)
        return ProviderFailure(f"Slack answered {code_word(word)}.", transient=word in PASSING, **more)

    async def revoke(self, http: Http, tokens: Tokens, standard: Callable[[str, str], Awaitable[None]]) -> bool:
        """`auth.revoke` with the token itself; one that is refused has ended already."""
        try:
            await http.get("/auth.revoke")
        except TokenRefused:
            return True
        return True

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """Each method has a bucket of its own."""
        name = path.rpartition("/")[2]
        if name == "chat.postMessage":
            return [Cost(f"{self.id}:{account}:{name}", *POSTS)]
        return [Cost(f"{self.id}:{account}:{name}", TIERS[METHODS.get(name, "3")], MINUTE)]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """There are no headers; a refusal says that the method's bucket is empty for all workers."""
        if answer.status != 429:
            return []
        name = answer.path.rpartition("/")[2]
        window = self.pause(answer) or MINUTE
        if name in RESTRICTED and window >= SLOW_S:
            window = max(MINUTE, window)
        return [Headroom(f"{self.id}:{account}:{name}", 1, window, 0)]

    def pause(self, answer: Answer) -> float | None:
        """`Retry-After`, which Slack always sends."""
        return retry_after(answer.headers)

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """Slack's word decides, whatever the status."""
        body = answer.json() if answer.is_json else None
        word = str(body.get("error") or "") if isinstance(body, dict) and body.get("ok") is False else ""
        if not word:
            return super().read_error(answer)
        code, status = code_word(word), answer.status
        details: dict[str, Any] = {"provider_status": status, "provider_code": code}
        if word in LIMITED or status == 429:
            return Throttled("Slack asks for a pause.", retry_after=self.pause(answer) or DEFAULT_RETRY_AFTER,
                             details=details)  # fmt: skip
        if word in REVOKED:
            return TokenRefused(f"Slack refused the token ({code}).", provider_status=status, provider_code=code)
        if word in UNKNOWN:
            return NotFound("Slack does not know this record.", details=details)
        text = f"Slack answered {code}."
        if word == "missing_scope":
            needed = code_word(str((body or {}).get("needed") or ""))
            details["missing_scope"] = needed
            text = f"Slack has not granted {needed}: add it to the app, and connect again."
        elif word in POLICY:
            text = f"Slack's organization does not allow this now ({code}); an administrator there has to act."
        elif word == "not_in_channel":
            text = "The app is not in this channel, and could not join it: invite it there."
        passing = word in PASSING or status >= 500
        return ProviderFailure(
            text, provider_status=status, provider_code=code, details=details, transient=passing, refused=not passing
        )
