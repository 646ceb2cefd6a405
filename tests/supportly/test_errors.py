"""An error is the same error after it has crossed Temporal or the database."""

import json

import pytest

import activities.calls
import activities.connections
import supportly.oauth
from supportly import errors
from supportly.errors import (
    AuthorizationInvalid,
    InvalidInput,
    ProviderFailure,
    SupportlyError,
    TokenRefused,
    UnknownChoice,
    from_payload,
)


def tree(base=SupportlyError):
    yield base
    for child in base.__subclasses__():
        yield from tree(child)


HERE = [kind for kind in tree() if kind.__module__.startswith(("supportly.", "activities."))]
BUILT = {
    supportly.oauth.GrantRefused: lambda: supportly.oauth.GrantRefused("Gone.", reason="revoked_by_user"),
    activities.calls.TokenPending: activities.calls.TokenPending,
}


@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.__name__)
def test_every_error_crosses_and_comes_back(kind):
    error = BUILT.get(kind, lambda: kind("Because.", retry_after=2.5, details={"a": [1, {"b": None}]}))()
    payload = json.loads(json.dumps(error.payload()))
    back = from_payload(payload)
    assert type(back) is kind
    assert back.payload() == error.payload()
    assert str(back) == back.message == error.message
    assert back.status == kind.status
    # Attributes that classes add are there too, whatever way the error was made.
    assert isinstance(back.retryable, bool)
    assert {name for name in vars(error) if name != "reason"} <= set(vars(back))


@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.__name__)
def test_every_code_belongs_to_one_class(kind):
    assert [other for other in HERE if other.code == kind.code] == [kind]
    assert 400 <= kind.status < 600


def test_a_provider_failure_keeps_what_the_provider_said():
    error = ProviderFailure(
        "No.", provider_status=503, provider_code="DOWN", transient=True, retry_after=9, details={"x": 1}
    )
    back = from_payload(error.payload())
    assert isinstance(back, ProviderFailure)
    assert (back.provider_status, back.provider_code, back.retry_after) == (503, "DOWN", 9)
    assert back.details == {"provider_status": 503, "provider_code": "DOWN", "x": 1}
    assert back.sent
    assert not back.retryable


def test_a_code_that_nobody_knows_falls_back_by_status():
    payload = {"code": "brand_new", "status": 409, "message": "m", "details": {}, "retry_after": None}
    back = from_payload(payload)
    assert type(back) is errors.Conflict
    assert back.own_code == "brand_new"
    assert back.payload() == payload
    assert type(from_payload({**payload, "status": 599})) is SupportlyError


def test_a_code_of_its_own_keeps_its_class_status():
    error = errors.NotFound("m", code="record_gone")
    assert (error.own_code, error.status) == ("record_gone", 404)
    assert from_payload(error.payload()).payload() == error.payload()


def test_input_errors_name_field_and_choices():
    error = UnknownChoice("m", field="action", allowed=["a"])
    assert error.details == {"field": "action", "allowed": ["a"]}
    assert InvalidInput("m", field="x", details={"more": 1}).details == {"field": "x", "more": 1}
    assert InvalidInput("m", field="x", allowed=[]).details == {"field": "x", "allowed": []}


def test_one_text_for_every_bad_authorization():
    assert AuthorizationInvalid().message == AuthorizationInvalid("").message
    assert not AuthorizationInvalid().details


def test_a_token_refused_inside_never_shows_what_was_refused():
    assert TokenRefused("m", provider_status=401).payload()["details"] == {"provider_status": 401}
