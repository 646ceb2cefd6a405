"""The signature, and the page that tells how to check it."""

import re
import typing
from pathlib import Path

import pytest
from pydantic import ValidationError

from supportly import webhooks
from supportly.contracts.events import KINDS, EventKind
from supportly.settings import EVENTS, Settings

PAGE = (Path(__file__).parents[2] / "docs/events.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""Secret and signature of the scheme's own libraries' tests."""


def keys(secrets: str) -> list[bytes]:
    return Settings(events_secrets=secrets).event_keys


@pytest.fixture(scope="module")
def verify() -> typing.Any:
    """The code of the page, as it stands there."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, typing.Any] = {}
    exec(compile(code, "docs/events.md", "exec"), found)
    return found["verify"]


def test_it_signs_as_the_schemes_own_libraries_do() -> None:
    signed = webhooks.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', keys(SECRET))
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_code_of_the_page_takes_what_is_ours_and_nothing_else(verify) -> None:
    other = "whsec_" + "A" * 32
    signed = webhooks.headers("e1", 1000, b"{}", keys(f"{other},{SECRET}"))
    for secret in (SECRET, other):
        verify(signed, b"{}", secret, now=1000)
    wrong = [
        (signed, b"{} ", SECRET, 1000),
        (signed, b"{}", "whsec_" + "B" * 32, 1000),
        (signed, b"{}", SECRET, 1301),
        (signed, b"{}", SECRET, 699),
        ({**signed, "webhook-id": "e2"}, b"{}", SECRET, 1000),
        ({**signed, "webhook-timestamp": "1001"}, b"{}", SECRET, 1001),
        ({**signed, "webhook-signature": "v1,"}, b"{}", SECRET, 1000),
        ({**signed, "webhook-signature": ""}, b"{}", SECRET, 1000),
    ]
    for headers, body, secret, now in wrong:
        with pytest.raises(ValueError):
            verify(headers, body, secret, now=now)


def test_every_kind_is_on_the_page_and_can_be_chosen() -> None:
    rows = re.findall(r"^\| `((?:connection|knowledge)\.\w+)` \|", PAGE, re.MULTILINE)
    assert tuple(rows) == EVENTS == KINDS == typing.get_args(EventKind)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"events": "connection.lost"}, "connection.lost"),
        ({"events_url": "hooks.example.com"}, "SUPPORTLY_EVENTS_URL"),
        ({"events_url": "https://hooks.example.com"}, "SUPPORTLY_EVENTS_SECRETS"),
        ({"events_url": "https://x.example", "events_secrets": "whsec_c2hvcnQ="}, "SUPPORTLY_EVENTS_SECRETS"),
        ({"events_url": "https://x.example", "events_secrets": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "whsec_"),
        ({"events_url": "http://x.example", "events_secrets": SECRET, "environment": "production"}, "https"),
    ],
)
def test_settings_that_could_send_nothing_are_refused(wrong, named, monkeypatch) -> None:
    if wrong.get("environment") == "production":
        monkeypatch.setenv("SUPPORTLY_KEYS", "k1:" + "Q" * 43)
        monkeypatch.setenv("SUPPORTLY_TOKEN_PEPPER", "pepper")
        monkeypatch.setenv("SUPPORTLY_CALLBACK_MODE", "strict")
    with pytest.raises(ValidationError, match=re.escape(named)) as caught:
        Settings(**wrong)
    assert "c2hvcnQ" not in str(caught.value.errors(include_input=False))
