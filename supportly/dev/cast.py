"""Who plays in `make demo`: what each provider is asked for when it is connected, and which of its actions is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Role:
    """One provider's part. `{record}` in a parameter is the contact's record there."""

    action: str
    params: Mapping[str, Any] = field(default_factory=dict)
    connect: Mapping[str, str] = field(default_factory=dict)
    """Host parts that the user names."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What an administrator has to choose before notes or knowledge have a place."""


CAST: Final[Mapping[str, Role]] = {
    "hubspot": Role("get_deals"),
    "salesforce": Role("get_deals", settings={"streams": ["products"]}),
    "pipedrive": Role("get_deals", settings={"streams": ["products"]}),
    "schedly": Role("get_event_types"),
    "calendly": Role("get_event_types"),
    "shopify": Role("get_orders", {"record_id": "{record}"}, connect={"shop": "supportly-demo.myshopify.com"}),
    "jira": Role(
        "search_issues",
        {"jql": 'project = "SUP" ORDER BY updated DESC'},
        connect={"site": "acme.atlassian.net"},
        settings={
            "service_desk_id": "1",
            "project_key": "SUP",
            "issue_type_id": "10001",
            "projects": ["SUP"],
            "streams": ["issues"],
        },
    ),
    "slack": Role(
        "list_channels", settings={"channel": "C0SUPPORT", "channels": ["C0SUPPORT"], "streams": ["channels"]}
    ),
    "stripe": Role("get_subscriptions", {"record_id": "{record}"}),
    "zendesk": Role("get_tickets", {"user_id": "{record}"}, connect={"subdomain": "supportly-demo"}),
}
