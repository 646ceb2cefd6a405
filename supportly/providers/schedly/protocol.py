"""How Schedly's HTTP and OAuth speak: versions, limits, refusals, and the one error that only a message tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from supportly.errors import Conflict, SupportlyError
from supportly.http import Answer, Cost, Headroom, Http, cleaned, retry_after
from supportly.oauth import ClientRefused, GrantRefused, OAuth2, read_refusal
from supportly.provider import About, Identity, Provider
from supportly.providers.schedly import shapes
from supportly.providers.schedly.contract import Contract

NO_SLOT: Final = re.compile(
    r"already (has|booked)|not available|no.available|too soon|outside|out of bounds|in the past|limit|maximum number",
    re.IGNORECASE,
)
"""What the message of a 400 to a booking says when the slot cannot be had; nothing else in the answer tells."""
GRANT_REFUSALS: Final = {
    "invalid_refresh_token": "expired_or_revoked",
    "code_invalid_or_expired": "code_expired",
    "pkce_verification_failed": "pkce_failed",
}
CLIENT_REFUSALS: Final = ("redirect_uri_mismatch", "client_id_mismatch")
"""`invalid_grant` of these kinds is about our registration, so an operator's matter."""
EPOCH_FROM: Final = 1e9
"""A rate limit's reset above this is a time stamp, below it seconds."""


class SlotNotAvailable(Conflict):
    """The slot is taken, too soon, past or outside the window; `details.alternatives` may name others."""

    code = "slot_not_available"


class SchedlyProtocol(Provider):
    """Connecting and HTTP, by the assumed contract."""

    id, title = "schedly", "Schedly"
    about = About(
        register=(
            "Ask Schedly for an OAuth client; by the assumed model it is made in the settings and approved there.",
            "Enter the redirect URI, and tick the scopes below.",
            "Copy client id and client secret into the service's environment.",
            "Until an administrator has approved the client, only its owner can connect.",
        ),
        limits=(
            "500 calls a minute for each access token; beyond them a block of a minute.",
            "Routing for real needs an organization's plan, and its administrator or the form's owner.",
        ),
        cannot={
            "Creating or updating contacts": "there are none; a contact is who attends a booking",
            "Notes, calls and tasks": "the model has none, and a booking is no task",
            "Finding somebody by phone": "bookings are searched by e-mail address alone",
            "Finding a routed lead after a lost answer": "responses bear no marker; the outcome is reported as unknown",
            "Revoking": "no endpoint is known; the user removes the app in Schedly's settings",
            "Bookings as knowledge": "they are personal data",
        },
        assumed=(
            "All of it: Schedly publishes nothing. Hosts, paths, versions, scopes and limits are those of Cal.com.",
            "Each can be replaced without new code, by the variables above.",
            "Whether a refresh token works once is not known: what comes back is stored, and both ways work.",
            "A taken slot is told by the words of a 400 (`NO_SLOT` in `protocol.py`).",
        ),
    )
    notice = "Schedly has no way to revoke access: after disconnecting, remove the app in Schedly's settings as well."

    def __init__(self, contract: Contract | None = None) -> None:
        self._given = contract

    @cached_property
    def contract(self) -> Contract:
        """The assumed contract; the environment is read when it is first needed."""
        return self._given or Contract()

    # --- connecting and HTTP ------------------------------------------------------------------------------------------

    @property
    def oauth(self) -> OAuth2:  # type: ignore[override]  # a fact of configuration here, not of the class
        """OAuth facts of the assumed contract."""
        return self.contract.oauth

    async def identify(self, http: Http) -> Identity:
        """The user, and the organization when there is one."""
        me = shapes.rows(await http.get(self.contract.me_path))[0]
        facts = {
            "user_id": str(me["id"]),
            "username": str(me.get("username") or ""),
            "organization_id": str(me.get("organizationId") or ""),
        }
        name = str(me.get("name") or me.get("username") or me["id"])
        return Identity(f"{facts['user_id']}:{facts['organization_id'] or '-'}", name, facts)

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """`error_description` holds a stable word that says more than `invalid_grant`."""
        refusal, words = read_refusal(status, body), str(body.get("error_description") or "")
        if not isinstance(refusal, GrantRefused):
            return refusal
        if any(word in words for word in CLIENT_REFUSALS):
            return ClientRefused(refusal.message, provider_status=status, provider_code=refusal.provider_code)
        reason = next((reason for word, reason in GRANT_REFUSALS.items() if word in words), refusal.reason)
        return GrantRefused(refusal.message, reason=reason, provider_status=status, provider_code="invalid_grant")

    def base_url(self, facts: Mapping[str, str]) -> str:
        """Base URL of the assumed contract."""
        return self.contract.base_url

    def headers(self, access_token: str, method: str, path: str, facts: Mapping[str, str]) -> Mapping[str, str]:
        """Bearer token, and the version of the resource."""
        return {**super().headers(access_token, method, path, facts), **self.contract.version(path)}

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """One bucket per access token."""
        return [Cost(self._bucket(account), self.contract.rate_limit, self.contract.rate_window_s)]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """`X-RateLimit-{Limit,Remaining}-{name of the limit}`: matched by their beginning."""
        limit, left = _rate_header(answer, "limit"), _rate_header(answer, "remaining")
        if limit is None or left is None:
            return []
        wait = self._reset(answer)
        window = wait if wait is not None else float(self.contract.rate_window_s)
        return [Headroom(self._bucket(account), limit, window, left)]

    def pause(self, answer: Answer) -> float | None:
        """After a 429: `Retry-After` when it comes, else the reset header, else the length of a block."""
        if answer.status != 429 or retry_after(answer.headers) is not None:
            return None
        wait = self._reset(answer)
        return wait if wait is not None else float(self.contract.rate_window_s)

    def _bucket(self, account: str) -> str:
        return f"{self.id}:{account}:token"

    def _reset(self, answer: Answer) -> float | None:
        # Seconds in the code, a time stamp in one copy of the documentation: both are understood.
        at = _rate_header(answer, "reset")
        if at is None:
            return None
        return max(0.0, at - datetime.now(UTC).timestamp()) if at > EPOCH_FROM else at

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """A slot that cannot be had is a 400 or 409 on a booking, told by its message."""
        if answer.method == "POST" and answer.status in (400, 409) and self.contract.bookings_path in answer.path:
            body = answer.json() if answer.is_json else None
            message, _ = self.error_words(body) if isinstance(body, dict) else ("", "")
            if answer.status == 409 or NO_SLOT.search(message):
                return SlotNotAvailable(
                    cleaned(message) or "This slot is not available.", details={"provider_status": answer.status}
                )
        return super().read_error(answer)

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """`{error: {code, message}}`; some 500s are `{statusCode, message}`."""
        error = body.get("error")
        if isinstance(error, dict):
            return str(error.get("message") or ""), str(error.get("code") or "")
        return super().error_words(body)


def _rate_header(answer: Answer, kind: str) -> float | None:
    """The number in `X-RateLimit-{kind}…`; the name ends in that of the limit."""
    for name, value in answer.headers.items():
        if name.lower().startswith(f"x-ratelimit-{kind}") and re.fullmatch(r"\d+(\.\d+)?", value.strip()):
            return float(value)
    return None
