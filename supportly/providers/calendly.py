"""Calendly: announced, not built yet. What is stated here follows its fact sheet."""

from __future__ import annotations

from supportly.provider import Capabilities, Provider


class Calendly(Provider):
    """Contacts (an API of May 2026), notes on them, event types and scheduled events."""

    id, title, available = "calendly", "Calendly", False
    notice = "Notes on contacts are private to the Calendly user who connects: team mates do not see them."
    planned = Capabilities(
        contact_lookup=True,
        contact_create=True,
        contact_update=True,
        # A call is a note with a title, a task a note with a reminder.
        activities=["note", "call", "task"],
        actions=["get_event_types", "get_scheduled_events"],
        knowledge_streams=["event_types", "routing_forms"],
    )
