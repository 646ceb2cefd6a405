"""Which contracts a provider has, and what of it no contract holds."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.contracts.exchange import Contract, Exchange, Message
from tests.contracts.graphql_schema import GraphQl
from tests.contracts.openapi import OpenApi
from tests.contracts.slack_api import Slack

SHARED = Path(__file__).parents[3] / "shared"
SPECS = SHARED / "specs"


class Outside(NamedTuple):
    """Exchanges that no contract holds: method and `host/path` as a regular expression, with the reason."""

    provider: str
    method: str
    url: str
    reason: str

    def fits(self, exchange: Exchange) -> bool:
        request = exchange.request
        return (self.provider, self.method) == (exchange.provider, request.method) and (
            re.fullmatch(self.url, request.host + request.path) is not None
        )


OUTSIDE = (
    Outside("stripe", "GET", r"marketplace\.stripe\.com/oauth/v2/(\w+/)?authorize", "a page for people"),
    Outside("stripe", "GET", r"connect\.stripe\.com/oauth/authorize", "a page for people"),
    Outside("stripe", "POST", r"api\.stripe\.com/v1/oauth/token", "Stripe publishes its OAuth apart from the API"),
    Outside("stripe", "POST", r"connect\.stripe\.com/oauth/(token|deauthorize)", "the OAuth of Connect, likewise"),
    Outside("pipedrive", "POST", r"oauth\.pipedrive\.com/oauth/revoke", "the contract has authorize and token alone"),
    Outside("shopify", "GET", r"[\w-]+\.myshopify\.com/admin/oauth/authorize", "a page for people"),
    Outside("shopify", "POST", r"[\w-]+\.myshopify\.com/admin/oauth/access_token", "OAuth is not in the schema"),
    Outside("shopify", "DELETE", r"[\w-]+\.myshopify\.com/admin/api_permissions/current\.json", "not GraphQL"),
    Outside("schedly", "GET", r"app\.cal\.com/auth/oauth2/authorize", "a page for people"),
    Outside("jira", "GET", r"auth\.atlassian\.com/authorize", "a page for people"),
    Outside("jira", "POST", r"auth\.atlassian\.com/oauth/token", "the platform's contract starts behind OAuth"),
    Outside("jira", "GET", r"api\.atlassian\.com/oauth/token/accessible-resources", "likewise"),
    *(
        Outside("jira", method, r"api\.atlassian\.com/ex/jira/[^/]+/rest/servicedeskapi/.+", "JSM is another contract")
        for method in ("GET", "POST", "PUT", "DELETE")
    ),
    Outside("slack", "GET", r"slack\.com/oauth/v2/authorize", "a page for people"),
)


class PipedriveV1(OpenApi):
    """The refresh stands in the contract as a path of its own, `/oauth/token/`; both are one URL."""

    def rest(self, request: Message) -> str | None:
        path = super().rest(request)
        return "/oauth/token/" if path == "/oauth/token" and b"grant_type=refresh_token" in request.body else path


PROVIDERS = ("jira", "pipedrive", "schedly", "shopify", "slack", "stripe")


def available() -> bool:
    """Whether the contracts are on this machine: a copy of this repository alone has none."""
    return SPECS.is_dir()


@cache
def contracts(provider: str) -> tuple[Contract, ...]:
    """A provider's contracts, read once in a process."""
    match provider:
        case "stripe":
            return (OpenApi("stripe", SPECS / "stripe/spec3-2023-08-16-trimmed.json", r"api\.stripe\.com"),)
        case "pipedrive":
            return (
                OpenApi("pipedrive v2", SPECS / "pipedrive/v2-trimmed.yaml", r"[\w-]+\.pipedrive\.com/api/v2"),
                PipedriveV1(
                    "pipedrive v1",
                    SPECS / "pipedrive/v1-trimmed.yaml",
                    r"oauth\.pipedrive\.com(?=/oauth/)|[\w-]+\.pipedrive\.com/(api/)?v1",
                ),
            )
        case "shopify":
            files = ("admin-2025-01-needed.graphql", "admin-2026-07-customerset.graphql")
            return (
                GraphQl(
                    "shopify",
                    [SPECS / "shopify" / name for name in files],
                    r"[\w-]+\.myshopify\.com/admin/api/\d{4}-\d\d/graphql\.json",
                ),
            )
        case "schedly":
            return (
                OpenApi("schedly", SPECS / "schedly/calcom-v2-bookings-slots-oauth.json", r"api\.cal\.com"),
                OpenApi("schedly teams", SPECS / "schedly/calcom-v2-teams-routing-forms.json", r"api\.cal\.com"),
            )
        case "jira":
            return (
                OpenApi("jira", SPECS / "jira/jira-platform-v3.trimmed.json", r"api\.atlassian\.com/ex/jira/[^/]+"),
            )
        case "slack":
            file, samples = SPECS / "slack/web-api.trimmed.json", SPECS / "slack/response-samples.json"
            return (Slack("slack", file, samples, r"slack\.com/api"),)
    return ()
