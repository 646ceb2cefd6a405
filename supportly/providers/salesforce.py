"""Salesforce: announced, not built yet. What is stated here follows its fact sheet."""

from __future__ import annotations

from supportly.provider import Capabilities, ConnectField, Provider

LOGIN_HOSTS = (
    r"(login|test)\.salesforce\.com"
    r"|[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.(?:sandbox|develop|scratch|trailblaze))?\.my\.(?:salesforce|site)\.com"
)
"""Production, sandbox, or an org's own domain. Never `*.lightning.force.com`, which is the user interface only."""


class Salesforce(Provider):
    """Contacts, activities, deals and Knowledge articles of a Salesforce org."""

    id, title, available = "salesforce", "Salesforce", False
    connect_fields = (
        ConnectField(
            "domain",
            "login host",
            LOGIN_HOSTS,
            "acme.my.salesforce.com",
            required=False,
            default="login.salesforce.com",
        ),
    )
    planned = Capabilities(
        contact_lookup=True,
        contact_create=True,
        contact_update=True,
        activities=["note", "call", "task"],
        actions=["get_deals", "get_companies", "search_contacts"],
        knowledge_streams=["articles", "products"],
    )
