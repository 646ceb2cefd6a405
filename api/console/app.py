"""All pages of the console, in the order in which addresses are looked up."""

from __future__ import annotations

from typing import Final

from api.console.routes import actions, connecting, contacts, entry, integration, knowledge, overview, search

ROUTERS: Final = (
    entry.router,
    overview.router,
    search.router,
    contacts.router,
    connecting.router,
    knowledge.router,
    actions.router,
    integration.router,
    entry.missing,
)
"""The last one answers whatever is left below `/console`."""
