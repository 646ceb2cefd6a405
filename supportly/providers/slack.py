"""Slack: announced, not built yet. What is stated here follows its fact sheet."""

from __future__ import annotations

from supportly.provider import Capabilities, Provider


class Slack(Provider):
    """Members and channels of a Slack workspace."""

    id, title, available = "slack", "Slack", False
    notice = (
        "Slack's API terms restrict bulk export, long-lived copies and indexes of Slack data, and its use with large "
        "language models. Knowledge from channels is off until an administrator chooses channels, and copying them "
        "may need Slack's approval."
    )
    planned = Capabilities(
        contact_lookup=True,  # members: colleagues and guests, not customers
        contact_create=False,
        contact_update=False,
        activities=["note", "call", "task"],  # each is a message in a channel
        actions=[
            "list_channels",
            "get_channel",
            "post_message",
            "update_message",
            "delete_message",
            "find_user_by_email",
            "list_users",
            "open_dm",
            "join_channel",
            "get_thread",
        ],
        knowledge_streams=["channels"],
    )
