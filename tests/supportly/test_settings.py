"""Settings: defaults for a developer's machine, refusals in production."""

import base64

import pytest
from pydantic import ValidationError

from supportly.settings import DEVELOPMENT_KEYS, DEVELOPMENT_SECRET, Settings

GOOD_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
PRODUCTION = {
    "environment": "production",
    "keys": f"k1:{GOOD_KEY}",
    "token_pepper": "a-pepper-of-our-own",
    "callback_mode": "strict",
}


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path):
    import os

    for name in list(os.environ):
        if name.startswith("SUPPORTLY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # no .env of the developer's


def test_development_starts_without_ceremony():
    found = Settings()
    assert found.environment == "development"
    assert found.callback_mode == "compatible"


def test_production_starts_on_secrets_of_its_own():
    assert Settings(**PRODUCTION).environment == "production"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keys": DEVELOPMENT_KEYS}, "SUPPORTLY_KEYS"),
        ({"keys": f"k2:{DEVELOPMENT_KEYS.partition(':')[2]}"}, "SUPPORTLY_KEYS"),
        ({"keys": f"k1:{GOOD_KEY},{DEVELOPMENT_KEYS.rstrip('=')}"}, "SUPPORTLY_KEYS"),
        ({"keys": ""}, "SUPPORTLY_KEYS"),
        ({"token_pepper": DEVELOPMENT_SECRET}, "SUPPORTLY_TOKEN_PEPPER"),
        ({"token_pepper": ""}, "SUPPORTLY_TOKEN_PEPPER"),
        ({"callback_mode": "compatible"}, "SUPPORTLY_CALLBACK_MODE=strict"),
        ({"sandbox_url": "http://127.0.0.1:1"}, "SUPPORTLY_SANDBOX_URL"),
    ],
)
def test_production_refuses_what_anybody_could_guess(change, said):
    with pytest.raises(ValidationError, match=said) as caught:
        Settings(**{**PRODUCTION, **change})
    assert GOOD_KEY not in str(caught.value)


def test_production_by_default_refuses():
    with pytest.raises(ValidationError, match="SUPPORTLY_KEYS, SUPPORTLY_TOKEN_PEPPER"):
        Settings(environment="production")


def test_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("SUPPORTLY_WAIT_S", "7.5")
    monkeypatch.setenv("SUPPORTLY_ACME_CLIENT_ID", "acme-id")
    monkeypatch.setenv("SUPPORTLY_ACME_CLIENT_SECRET", "acme-secret")
    found = Settings()
    assert found.wait_s == 7.5
    assert found.client("acme").client_id == "acme-id"
    assert found.client("acme").client_secret.get_secret_value() == "acme-secret"
    assert found.client("other").client_id == ""


def test_no_secret_shows():
    shown = repr(Settings(**PRODUCTION, supportly_api_token="st-secret", codec_token="ct-secret"))
    for secret in (GOOD_KEY, "a-pepper", "st-secret", "ct-secret"):
        assert secret not in shown


@pytest.mark.parametrize(
    "change", [{"database_pool": 1}, {"wait_s": 61}, {"sync_interval_minutes": 5}, {"provider_timeout_s": 0}]
)
def test_a_setting_out_of_range_is_refused(change):
    with pytest.raises(ValidationError):
        Settings(**change)
