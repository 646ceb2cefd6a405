"""The one OAuth 2 engine. Authlib builds and signs the requests; a provider only states its facts.

Authlib's ready-made async client is not used: it switches to `httpx2` as soon as another package installs that, and
would bypass our transport, deadline and host checks. Its protocol functions and `ClientAuth` are.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

import orjson
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from supportly.errors import ProviderFailure, SupportlyError
from supportly.http import Answer, Outbound, allowed_host, cleaned, failure

Rotation = Literal["none", "grace", "single_use", "single_use_with_reuse_detection"]
"""What a refresh does to the old refresh token: nothing; it works a while longer; it is dead; its use kills all."""

CLIENT_AUTH: Final = {"basic": "client_secret_basic", "body": "client_secret_post", "none": "none"}
REFUSAL_WORDS: Final = ("error", "status", "category", "message", "error_description")
"""Where a provider's token endpoint says what it refuses; HubSpot and Pipedrive refuse a wrong secret with 400 too."""
LONGEST_LIFE_S: Final = 10 * 365 * 86_400.0
"""Ten years: a longer life is no date any more."""

ClientAuthMethod = Callable[[Any, str, str, dict[str, str], str], tuple[str, dict[str, str], str]]
"""Authlib's shape of a client authentication: (client, method, url, headers, body) -> (url, headers, body)."""


@dataclass(frozen=True)
class Scope:
    """One scope and the reason for asking for it."""

    name: str
    reason: str
    optional: bool = False


def chosen_scopes(known: tuple[Scope, ...], names: str) -> tuple[Scope, ...]:
    """The scopes that an operator names, separated by commas; all known ones where none is named."""
    reasons = {scope.name: scope for scope in known}
    chosen = [name for name in names.split(",") if name]
    return tuple(reasons.get(n, Scope(n, "chosen by the operator", optional=True)) for n in chosen) or known


@dataclass(frozen=True)
class OAuth2:
    """A provider's OAuth facts. URLs may hold host parts, as in `https://{subdomain}.zendesk.com/oauth/tokens`."""

    authorize: str
    token: str
    revoke: str = ""
    """RFC 7009 endpoint; empty where the provider has none (or another way: override `Provider.revoke`)."""
    scopes: tuple[Scope, ...] = ()
    scope_separator: str = " "
    optional_scope_param: str = ""
    """Query parameter for the optional scopes; without one they join the others."""
    client_auth: Literal["basic", "body", "none"] | ClientAuthMethod = "body"
    revoke_client_auth: Literal["basic", "body"] | None = None
    """How the revocation authenticates the client, where it differs from the token endpoint."""
    revoke_hint: bool = True
    """False where the revocation documents `token` alone, without `token_type_hint`."""
    body: Literal["form", "json"] = "form"
    pkce: bool = False
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    code_params: Mapping[str, str] = field(default_factory=dict)
    """Added to the exchange of a code only."""
    token_params: Mapping[str, Any] = field(default_factory=dict)
    """Added to both grants (Zendesk wants the lifetimes that it should give)."""
    scope_in_authorize: bool = True
    """False where the scopes are fixed when the app is registered, and no parameter names them."""
    scope_in_token_request: bool = False
    shared_grant: bool = False
    """Connections to one provider account share a grant, so that only the last one may revoke it."""
    refreshes: bool = True
    """False where an access token lives until it is revoked: a refresh token that comes along is not kept."""
    rotation: Rotation = "single_use"
    expires_in: int | None = None
    """Life in seconds of an access token when the answer names none; None: it never expires."""
    keep: tuple[str, ...] = ()
    """Fields of the token answer that are facts of the connection (HubSpot's `hub_id`)."""

    def scope_text(self, *, optional: bool) -> str:
        """The scope list as the provider wants it; `optional` picks those of the separate parameter."""
        apart = bool(self.optional_scope_param)
        names = [s.name for s in self.scopes if (s.optional and apart) == optional or (not apart and not optional)]
        return self.scope_separator.join(names)


@dataclass(frozen=True)
class Client:
    """Our registration at a provider."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Tokens:
    """A token answer. Never leaves the process unencrypted; its repr is empty of secrets."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> bytes:
        """The secrets as JSON, to be encrypted."""
        return orjson.dumps({"access_token": self.access_token, "refresh_token": self.refresh_token})


class GrantRefused(ProviderFailure):
    """The token endpoint refused for good; `reason` is a stable word such as `revoked_by_user`."""

    code = "grant_refused"

    def __init__(self, message: str, *, reason: str, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.reason = reason


class ClientRefused(ProviderFailure):
    """The provider does not know our client or its secret: an operator's alarm, not a user's."""

    code = "client_refused"


def new_state() -> str:
    """A state of 256 random bits."""
    return secrets.token_urlsafe(32)


def new_verifier() -> str:
    """A PKCE verifier of 384 random bits (64 characters; RFC 7636 wants 43 to 128)."""
    return secrets.token_urlsafe(48)


def challenge(verifier: str) -> str:
    """The S256 challenge of a verifier."""
    return str(create_s256_code_challenge(verifier))


def authorization_url(
    facts: OAuth2, url: str, *, client_id: str, redirect_uri: str, state: str, code_challenge: str | None
) -> str:
    """The address of the provider's consent page; `url` is `facts.authorize` with its host parts filled in."""
    extra: dict[str, str] = dict(facts.authorize_params)
    if facts.optional_scope_param and (optional := facts.scope_text(optional=True)):
        extra[facts.optional_scope_param] = optional
    if code_challenge:
        extra |= {"code_challenge": code_challenge, "code_challenge_method": "S256"}
    scope = (facts.scope_text(optional=False) or None) if facts.scope_in_authorize else None
    return str(
        prepare_grant_uri(
            url, client_id=client_id, response_type="code", redirect_uri=redirect_uri, scope=scope, state=state, **extra
        )
    )


RefusalReader = Callable[[int, Mapping[str, Any]], SupportlyError | None]


def read_refusal(status: int, body: Mapping[str, Any]) -> SupportlyError | None:
    """RFC 6749 errors: `invalid_grant` is final for the grant, `invalid_client` for our registration; else None."""
    error = str(body.get("error") or "")
    message = cleaned(body.get("error_description") or body.get("message") or error)
    if error == "invalid_grant":
        return GrantRefused(message, reason="revoked_by_user", provider_status=status, provider_code=error)
    if error in ("invalid_client", "unauthorized_client"):
        return ClientRefused(message, provider_status=status, provider_code=error)
    return None


@dataclass
class Engine:
    """Sends the token requests of all providers."""

    outbound: Outbound

    async def exchange(
        self,
        facts: OAuth2,
        client: Client,
        *,
        token_url: str,
        code: str,
        redirect_uri: str,
        verifier: str | None,
        now: datetime,
        refused: RefusalReader = read_refusal,
    ) -> Tokens:
        """Exchange an authorization code. Raises GrantRefused, ClientRefused or a ProviderFailure."""
        params: dict[str, Any] = {"code": code, "redirect_uri": redirect_uri, **facts.token_params, **facts.code_params}
        if verifier:
            params["code_verifier"] = verifier
        answer = await self._post(facts, client, token_url, "authorization_code", params)
        return self._tokens(facts, answer, now, refused, old=None)

    async def refresh(
        self,
        facts: OAuth2,
        client: Client,
        *,
        token_url: str,
        old: Tokens,
        now: datetime,
        deadline_s: float,
        before_send: Callable[[], None] | None = None,
        refused: RefusalReader = read_refusal,
    ) -> Tokens:
        """Refresh once under `deadline_s`. A refresh token that the answer omits is kept."""
        params: dict[str, Any] = {"refresh_token": old.refresh_token, **facts.token_params}
        answer = await self._post(
            facts, client, token_url, "refresh_token", params, timeout_s=deadline_s, before_send=before_send
        )
        return self._tokens(facts, answer, now, refused, old=old)

    async def revoke(self, facts: OAuth2, client: Client, *, url: str, token: str, hint: str) -> None:
        """Revoke one token (RFC 7009). An answer of 2xx, or one that says it is gone already, is success.

        Raises ClientRefused where the provider does not know our client: then nothing was revoked.
        """
        _check(url)
        facts = replace(facts, client_auth=facts.revoke_client_auth or facts.client_auth)
        asked = [("token", token), *([("token_type_hint", hint)] if facts.revoke_hint else [])]
        content, headers = _signed(facts, client, url, asked)
        answer = await self.outbound.send("POST", url, headers=headers, content=content)
        body = answer.json() if answer.status in (400, 401, 403) and answer.is_json else None
        words = [str(body.get(name)) for name in REFUSAL_WORDS] if isinstance(body, dict) else []
        if any("client" in word.casefold() for word in words):
            raise ClientRefused("The provider does not accept this app's id or secret; nothing was revoked.",
                                provider_status=answer.status)  # fmt: skip
        if answer.status >= 400 and answer.status not in (400, 404):
            raise failure(answer)

    async def _post(
        self,
        facts: OAuth2,
        client: Client,
        url: str,
        grant_type: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        before_send: Callable[[], None] | None = None,
    ) -> Answer:
        _check(url)
        scope = facts.scope_text(optional=False) if facts.scope_in_token_request else None
        form = prepare_token_request(grant_type, "", **({"scope": scope} if scope else {}), **params)
        content, headers = _signed(facts, client, url, parse_qsl(form, keep_blank_values=True))
        return await self.outbound.send(
            "POST", url, headers=headers, content=content, timeout_s=timeout_s, before_send=before_send
        )

    @staticmethod
    def _tokens(facts: OAuth2, answer: Answer, now: datetime, refused: RefusalReader, *, old: Tokens | None) -> Tokens:
        body = answer.json() if answer.is_json else {}
        body = body if isinstance(body, dict) else {}
        if refusal := refused(answer.status, body):
            raise refusal
        access = body.get("access_token")
        if answer.status >= 300 or not isinstance(access, str) or not access:
            if answer.status < 300:
                raise ProviderFailure("The token answer holds no access token.", provider_status=answer.status)
            raise failure(answer, message=str(body.get("error_description") or body.get("message") or ""))
        fresh = (body.get("refresh_token") or (old.refresh_token if old else None)) if facts.refreshes else None
        # Without a stated life and a way to refresh, a token is used until it is refused.
        life = _life(body.get("expires_in")) or (facts.expires_in if fresh else None)
        granted = body.get("scope") or body.get("scopes") or ""
        names = granted if isinstance(granted, list) else str(granted).replace(",", " ").split()
        kept = {name: str(body[name]) for name in facts.keep if body.get(name) is not None}
        return Tokens(
            access_token=access,
            refresh_token=fresh,
            expires_at=now + timedelta(seconds=life) if life else None,
            scopes=tuple(str(n) for n in names) or (old.scopes if old else ()),
            facts={**(old.facts if old else {}), **kept},
        )


def _check(url: str) -> None:
    if not allowed_host(url, url.split("/")[2:3]):
        raise ProviderFailure("The token address is not an https host name; nothing was sent.", sent=False)


def _life(told: object) -> float | None:
    """Seconds of an `expires_in`; None for what is no positive number, since a token in hand is worth keeping."""
    try:
        life = float(str(told))
    except ValueError:
        return None
    return min(life, LONGEST_LIFE_S) if life > 0 else None


def _signed(facts: OAuth2, client: Client, url: str, pairs: list[tuple[str, str]]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a token request, with the client's authentication where the provider wants it."""
    method = facts.client_auth if callable(facts.client_auth) else CLIENT_AUTH[facts.client_auth]
    auth = ClientAuth(client_id=client.id, client_secret=client.secret, auth_method=method)
    form = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    _, headers, body = auth.prepare("POST", url, form, urlencode(pairs))
    if facts.body == "json":
        signed: dict[str, Any] = dict(parse_qsl(body, keep_blank_values=True))
        signed |= {k: v for k, v in facts.token_params.items() if k in signed}
        return orjson.dumps(signed), {**headers, "Content-Type": "application/json"}
    return str(body).encode(), dict(headers)


def now_utc() -> datetime:
    """The clock that callers inject by default."""
    return datetime.now(UTC)
