"""What of Shopify's API an operator may pin otherwise. Read from the environment when the provider is made."""

from __future__ import annotations

from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from supportly.oauth import OAuth2, Scope, chosen_scopes

SCOPES: Final = (
    Scope("read_customers", "to find customers"),
    Scope("write_customers", "to create and update customers, and to add notes"),
    Scope("read_orders", "to show orders of the last sixty days"),
    Scope("read_products", "to read products and collections"),
    Scope("read_content", "to read pages and blog articles", optional=True),
    Scope("read_legal_policies", "to read the shop's policies", optional=True),
)


class Contract(BaseSettings):
    """Version and permissions."""

    model_config = SettingsConfigDict(
        env_prefix="SUPPORTLY_SHOPIFY_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    api_version: str = Field(
        "2026-07", pattern=r"^20\d\d-(01|04|07|10)$", description="Version in the path; each is kept about a year."
    )
    scopes: str = Field(
        "",
        pattern=r"^([a-z_]+(,[a-z_]+)*)?$",
        description="Permissions to ask for, separated by commas; empty: all below.",
    )

    previous_secret: SecretStr = Field(
        SecretStr(""),
        description="The client secret before the present one, while Shopify changes from one to the other.",
    )

    @property
    def oauth(self) -> OAuth2:
        """The OAuth facts; both hosts are the shop's own."""
        return OAuth2(
            authorize="https://{shop}/admin/oauth/authorize",
            token="https://{shop}/admin/oauth/access_token",  # noqa: S106 (an address)
            scopes=chosen_scopes(SCOPES, self.scopes),
            scope_separator=",",
            client_auth="body",
            body="json",
            # Asks for a token that ends and can be refreshed; without it the token stays for good.
            code_params={"expiring": "1"},
            # Since August 2026 the token before works until the new one is used, for at most thirty days.
            rotation="grace",
            # To give a token back uninstalls the app from the shop, wherever else it is connected.
            shared_grant=True,
        )
