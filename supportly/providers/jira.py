"""Jira: announced, not built yet. What is stated here follows its fact sheet."""

from __future__ import annotations

from supportly.provider import Capabilities, Provider


class Jira(Provider):
    """Issues, and customers of Jira Service Management, of a Jira Cloud site."""

    id, title, available = "jira", "Jira", False
    notice = (
        "Customers can be created only in a Jira Service Management desk, by a Jira administrator. Jira offers no way "
        "to revoke access: after disconnecting, remove the app in the Atlassian account as well."
    )
    planned = Capabilities(
        contact_lookup=True,
        contact_create=True,
        contact_update=False,  # the profile belongs to the holder of the Atlassian account
        activities=["note", "call", "task"],
        actions=[
            "search_issues",
            "get_issue",
            "create_issue",
            "add_comment",
            "get_transitions",
            "transition_issue",
            "assign_issue",
            "get_projects",
            "get_issue_types",
            "search_users",
            "list_service_desks",
            "create_customer_request",
        ],
        knowledge_streams=["issues"],
    )
