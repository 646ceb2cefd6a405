"""Shopify: announced, not built yet. What is stated here follows its fact sheet."""

from __future__ import annotations

from supportly.provider import Capabilities, ConnectField, Provider


class Shopify(Provider):
    """Customers, orders and the published texts of a shop."""

    id, title, available = "shopify", "Shopify", False
    notice = "Disconnecting uninstalls the app from the shop: Shopify has no other way to end its access."
    connect_fields = (
        ConnectField("shop", "shop domain", r"[a-z0-9][a-z0-9_-]*\.myshopify\.com", "acme.myshopify.com"),
    )
    planned = Capabilities(
        contact_lookup=True,
        contact_create=True,
        contact_update=True,
        activities=["note", "call"],  # dated lines of the customer's note; nothing there is a task
        actions=["get_orders", "get_products", "get_customer"],
        knowledge_streams=["products", "pages", "articles", "policies", "collections"],
    )
