"""Stripe: announced, not built yet. What is stated here follows its fact sheet."""

from __future__ import annotations

from supportly.provider import Capabilities, Provider


class Stripe(Provider):
    """Customers, what they pay, and the catalogue of a Stripe account."""

    id, title, available = "stripe", "Stripe", False
    planned = Capabilities(
        contact_lookup=True,
        contact_create=True,
        contact_update=True,
        activities=[],  # a customer has no notes, calls or tasks, and metadata is no place for them
        actions=["get_customer", "get_charges", "get_subscriptions", "get_invoices"],
        knowledge_streams=["products"],  # each with its prices
    )
