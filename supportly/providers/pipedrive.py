"""Pipedrive: announced, not built yet. What is stated here follows its fact sheet."""

from __future__ import annotations

from supportly.provider import Capabilities, Provider


class Pipedrive(Provider):
    """Persons, activities, deals and products of a Pipedrive company."""

    id, title, available = "pipedrive", "Pipedrive", False
    planned = Capabilities(
        contact_lookup=True,
        contact_create=True,
        contact_update=True,
        activities=["note", "call", "task"],
        actions=["get_deals", "get_companies", "search_contacts"],
        # It has no articles; products may be shown to customers, deals and organizations only to agents.
        knowledge_streams=["products", "deals", "organizations"],
    )
