"""Which of Stripe's two OAuth systems this installation uses, and the version that every call names.

Read from the environment (`SUPPORTLY_STRIPE_…`) when the provider is made, never at import.
"""

from __future__ import annotations

import base64
from typing import Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from supportly.oauth import OAuth2, Scope

VERSION: Final = "2026-06-24.dahlia"
"""What stripe-python 15.3.1 pins; without the header each account would answer in a version of its own."""


class Contract(BaseSettings):
    """The mode of the installation."""

    model_config = SettingsConfigDict(
        env_prefix="SUPPORTLY_STRIPE_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    mode: Literal["apps", "connect"] = Field(
        "apps", description="`apps`: Stripe Apps OAuth; `connect`: Connect OAuth, calls with our key and the account."
    )
    authorize_url: str = Field(
        "https://marketplace.stripe.com/oauth/v2/authorize",
        pattern=r"^https://marketplace\.stripe\.com/oauth/v2/([A-Za-z0-9_-]+/)?authorize$",
        description="Consent page of Stripe Apps; sandbox and test links carry a channel before `/authorize`.",
    )
    client_id: str = Field("", description="Our client id (`ca_…`).")
    client_secret: SecretStr = Field(SecretStr(""), description="Our secret key of the same mode, live or test.")
    api_version: str = Field(VERSION, pattern=r"^\d{4}-\d\d-\d\d(\.[a-z]+)?$", description="Header `Stripe-Version`.")

    @property
    def connect(self) -> bool:
        """True with Connect OAuth."""
        return self.mode == "connect"

    @property
    def oauth(self) -> OAuth2:
        """The OAuth facts of the mode. In both the developer's secret key stands for a client secret."""
        if self.connect:
            return OAuth2(
                authorize="https://connect.stripe.com/oauth/authorize",
                token="https://connect.stripe.com/oauth/token",  # noqa: S106 (an address)
                scopes=(Scope("read_write", "to find and write customers, and to read payments and products"),),
                client_auth="body",
                refreshes=False,
                rotation="none",
                # To deauthorize ends the platform's access to the account, wherever else it is connected.
                shared_grant=True,
                keep=KEPT,
            )
        return OAuth2(
            authorize=self.authorize_url,
            token="https://api.stripe.com/v1/oauth/token",  # noqa: S106 (an address)
            scopes=PERMISSIONS,
            scope_in_authorize=False,
            client_auth=_key_as_user,
            # That an exchange replaces the refresh token is unconfirmed: one retry with the old one is safe in both.
            rotation="single_use",
            expires_in=3600,  # The answer names no life; NangoHQ/nango#1780 found an hour.
            keep=KEPT,
        )


KEPT: Final = ("stripe_user_id", "livemode")
PERMISSIONS: Final = (
    Scope("customer_read", "to find customers"),
    Scope("customer_write", "to create and update customers"),
    Scope("charge_read", "to show what was paid"),
    Scope("invoice_read", "to show invoices"),
    Scope("subscription_read", "to show subscriptions"),
    Scope("product_read", "to read the product catalogue"),
    Scope("plan_read", "to read prices"),
)
"""Of the app's manifest: the consent page takes no scope parameter."""


def _key_as_user(
    client: object, _method: str, url: str, headers: dict[str, str], body: str
) -> tuple[str, dict[str, str], str]:
    """HTTP Basic with the secret key as user name and no password, in Authlib's shape."""
    key = str(getattr(client, "client_secret", ""))
    return url, {**headers, "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}, body
