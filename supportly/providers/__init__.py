"""The ten providers. A new one costs its module and one line in `PROVIDERS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supportly.errors import NotFound
from supportly.provider import Provider
from supportly.providers.calendly import Calendly
from supportly.providers.hubspot import HubSpot
from supportly.providers.jira import Jira
from supportly.providers.pipedrive import Pipedrive
from supportly.providers.salesforce import Salesforce
from supportly.providers.schedly import Schedly
from supportly.providers.shopify import Shopify
from supportly.providers.slack import Slack
from supportly.providers.stripe import Stripe
from supportly.providers.zendesk import Zendesk

PROVIDERS: Final[tuple[Provider, ...]] = (
    HubSpot(),
    Salesforce(),
    Pipedrive(),
    Calendly(),
    Schedly(),
    Stripe(),
    Zendesk(),
    Jira(),
    Slack(),
    Shopify(),
)
BY_ID: Final[Mapping[str, Provider]] = {provider.id: provider for provider in PROVIDERS}


def get(provider_id: str) -> Provider:
    """The provider with this id. Raises NotFound; `details.allowed` lists the ids that there are."""
    try:
        return BY_ID[provider_id]
    except KeyError:
        known = list(BY_ID)
        message = f"There is no integration with this name; there are {', '.join(known)}."
        raise NotFound(message, details={"allowed": known}) from None
