"""Everything that can go wrong, as a caller meets it.

    SupportlyError
    ├── InvalidInput            422  a field is missing or wrong; `details.field` names it
    │   ├── UnknownChoice       422  unknown action, setting or stream; `details.allowed` lists the right ones
    │   ├── UnsupportedByProvider  422
    │   ├── ProviderNotAvailable   422
    │   ├── AuthorizationInvalid   422  unknown, expired, foreign or used authorization: one text for all
    │   ├── KeyReused           422  an Idempotency-Key with another body
    │   └── BodyTooLarge        413
    ├── NotAuthenticated        401  bad token, or a role that is too low
    ├── NotFound                404  account, provider, contact, record, operation
    ├── Conflict                409
    │   ├── NotConnected
    │   ├── ReconnectRequired
    │   ├── AmbiguousMatch           `details.candidates`
    │   ├── SelectionRequired        `details.choices`
    │   └── DifferentAccount
    ├── Throttled               429  `retry_after`
    ├── ProviderFailure         502  the provider's own message and status, cleaned
    │   ├── OutcomeUnknown      502  a write may have happened and cannot be looked up
    │   ├── AnswerTooLarge      502  the provider's answer is more than this service passes on
    │   └── TokenRefused        401 of the provider; never leaves the service as such
    ├── Unavailable             503  Temporal or the database is away; `retry_after`
    └── ProviderTimeout         504

An error is classified once (`supportly.http`), translated once to Temporal (`activities.failures`) and once to
HTTP (`api.errors`). It travels as `payload()` and comes back through `from_payload`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12


class ErrorPayload(TypedDict):
    """An error as it crosses Temporal and the operations table: plain JSON, never a secret."""

    code: str
    status: int
    message: str
    details: dict[str, Any]
    retry_after: float | None


class SupportlyError(Exception):
    """Base of all errors; `message` is a sentence for a person and holds neither secrets nor personal data."""

    code: ClassVar[str] = "internal_error"
    status: int = 500
    transient: ClassVar[bool] = False
    """True where trying again later can help."""

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after
        self.own_code = code or self.code
        self.retryable = self.transient
        self.request_id = ""
        """Id of the HTTP request that met this error, where one did: the service's log has it too."""

    def payload(self) -> ErrorPayload:
        """The error as plain JSON."""
        return {
            "code": self.own_code,
            "status": self.status,
            "message": self.message,
            "details": self.details,
            "retry_after": self.retry_after,
        }


class InvalidInput(SupportlyError):
    """A field is missing or wrong."""

    code, status = "invalid_input", 422

    def __init__(self, message: str, *, field: str = "", allowed: list[Any] | None = None, **extra: Any) -> None:
        details: dict[str, Any] = {"field": field} if field else {}
        if allowed is not None:
            details["allowed"] = allowed
        super().__init__(message, details={**details, **extra.pop("details", {})}, **extra)


class UnknownChoice(InvalidInput):
    """An action, setting, stream or activity type that does not exist here."""

    code = "unknown_choice"


class UnsupportedByProvider(InvalidInput):
    """The provider cannot do this; the message says what it can do."""

    code = "unsupported_by_provider"


class ProviderNotAvailable(InvalidInput):
    """The provider is announced and not built yet."""

    code = "provider_not_available"


class AuthorizationInvalid(InvalidInput):
    """An authorization attempt that is unknown, expired, foreign or used; deliberately one text for all four."""

    code = "invalid_authorization"

    def __init__(self, message: str = "", **extra: Any) -> None:
        super().__init__(
            message or "This authorization is unknown, expired or already used. Start again with connect.", **extra
        )


class KeyReused(InvalidInput):
    """An Idempotency-Key came back with another request."""

    code = "idempotency_key_reused"


class BodyTooLarge(InvalidInput):
    """The request's body is larger than this service reads."""

    code, status = "body_too_large", 413


class NotAuthenticated(SupportlyError):
    """No token, a bad one, or a role that is too low."""

    code, status = "not_authenticated", 401


class NotFound(SupportlyError):
    """The account, provider, contact, record or operation does not exist for this caller."""

    code, status = "not_found", 404


class Conflict(SupportlyError):
    """The request contradicts the present state."""

    code, status = "conflict", 409


class NotConnected(Conflict):
    """The account has no connection to this provider."""

    code = "not_connected"


class ReconnectRequired(Conflict):
    """The provider no longer accepts our grant; a person has to connect again. `details.reason` says why."""

    code = "reconnect_required"


class AmbiguousMatch(Conflict):
    """Several records match exactly; `details.candidates` lists them."""

    code = "ambiguous_match"


class SelectionRequired(Conflict):
    """A person has to choose one of `details.choices` in the settings first."""

    code = "selection_required"


class DifferentAccount(Conflict):
    """The callback belongs to another provider account than the one connected."""

    code = "different_account"


class Throttled(SupportlyError):
    """The provider, or our own budget for it, wants a pause of `retry_after` seconds."""

    code, status, transient = "throttled", 429, True


class ProviderFailure(SupportlyError):
    """The provider answered with an error; `details` holds its status and its own words, cleaned."""

    code, status = "provider_error", 502

    def __init__(
        self,
        message: str,
        *,
        provider_status: int | None = None,
        provider_code: str = "",
        transient: bool = False,
        sent: bool = True,
        refused: bool = False,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        code: str | None = None,
    ) -> None:
        own = {"provider_status": provider_status, "provider_code": provider_code}
        super().__init__(
            message,
            details={k: v for k, v in own.items() if v} | (details or {}),
            retry_after=retry_after,
            code=code,
        )
        self.provider_status = provider_status
        self.provider_code = provider_code
        self.retryable = transient
        self.sent = sent
        """False when the request certainly never reached the provider."""
        self.refused = refused
        """True when the provider said no in words that its status does not tell (a 200 that holds an error)."""


class OutcomeUnknown(ProviderFailure):
    """A write may or may not have happened and the provider offers no way to look; nothing is repeated."""

    code = "outcome_unknown"


class AnswerTooLarge(ProviderFailure):
    """The provider's answer is larger than what this service passes on; ask for less."""

    code = "answer_too_large"


class TokenRefused(ProviderFailure):
    """The provider answered 401: the access token is not valid (any more)."""

    code = "token_refused"


class Unavailable(SupportlyError):
    """A part of this service is away."""

    code, status, transient = "unavailable", 503, True


class ProviderTimeout(ProviderFailure):
    """The provider did not answer in time."""

    code, status = "provider_timeout", 504


def _tree(base: type[SupportlyError]) -> list[type[SupportlyError]]:
    return [base, *(error for child in base.__subclasses__() for error in _tree(child))]


def from_payload(payload: ErrorPayload) -> SupportlyError:
    """The error that `payload()` described, with its status; an unknown code comes back as the nearest by status."""
    known = _tree(SupportlyError)
    by_code = {error.code: error for error in reversed(known)}
    by_status = {error.status: error for error in reversed(known)}
    kind = by_code.get(payload["code"]) or by_status.get(payload["status"], SupportlyError)
    error = kind.__new__(kind)
    details = payload["details"]
    if isinstance(error, ProviderFailure):
        # What crossed Temporal is final there; whether bytes went out is not known any more, so it counts as sent.
        ProviderFailure.__init__(
            error,
            payload["message"],
            provider_status=details.get("provider_status"),
            provider_code=str(details.get("provider_code") or ""),
            details=details,
            retry_after=payload["retry_after"],
            code=payload["code"],
        )
    else:
        SupportlyError.__init__(
            error, payload["message"], details=details, retry_after=payload["retry_after"], code=payload["code"]
        )
    error.status = payload["status"]
    return error
