"""Workflow ids, task queues and priorities: the names under which people find our work in the Temporal UI.

Ids hold numbers, provider names and hashes only, never personal data.
"""

from __future__ import annotations

import hashlib
from typing import Final

INTERACTIVE: Final = "interactive"
"""Task queue for what a person waits for."""
BACKGROUND: Final = "background"
"""Task queue for the same work where nobody waits for it: hundreds of requests at once take no turn of those who do."""
CONNECTIONS: Final = "connections"
"""Task queue for the life of connections: exchange, refresh, revocation."""
KNOWLEDGE: Final = "knowledge"
"""Task queue for bulk work."""
REFINEMENT: Final = "refinement"
"""Task queue for what may always wait: the refined tier's vectors, daily maintenance."""

PROMPT: Final = (INTERACTIVE, CONNECTIONS)
"""Queues of what people, and the tokens that they need, wait for."""
BULK: Final = (BACKGROUND, KNOWLEDGE, REFINEMENT)
"""Queues of all that may take a processor for a while; in processes of their own they slow nobody down."""

PRIORITY_WAITING: Final = 1
PRIORITY_BULK: Final = 5
MODEL_SWITCH: Final = "knowledge/model-switch"
"""Id of the one switch of the refined tier's model, for all accounts."""
RECONCILE: Final = "maintenance/reconcile"
"""Id of the one comparison of all rows with what runs in Temporal."""

MAINTENANCE: Final = "maintenance"
"""Id of the one Schedule that cleans up for all accounts."""

ACCOUNT_ATTRIBUTE: Final = "SupportlyAccount"
PROVIDER_ATTRIBUTE: Final = "SupportlyProvider"


def digest(*parts: str) -> str:
    """A short stable name for `parts`: the first 32 hex digits of their SHA-256."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def _root(account_id: int, provider: str) -> str:
    return f"acct/{account_id}/{provider}"


def of_account(workflow_id: str, account_id: int) -> bool:
    """Whether a workflow works for this account."""
    return workflow_id.startswith(f"acct/{account_id}/")


def connection(account_id: int, provider: str) -> str:
    """Id of the one ConnectionWorkflow of an account and provider."""
    return f"{_root(account_id, provider)}/connection"


def revocation(account_id: int, provider: str, revocation_id: str) -> str:
    """Id of the workflow that revokes one grant of an account; `revocation_id` is the id of its row."""
    return f"{connection(account_id, provider)}/revocation/{revocation_id}"


def lookup(account_id: int, provider: str, contact_id: int) -> str:
    """Id of the running lookup of a contact; callers at the same time share it."""
    return f"{_root(account_id, provider)}/contact/{contact_id}/lookup"


def sync(account_id: int, provider: str, contact_id: int, *, dry_run: bool = False) -> str:
    """Id of the running sync of a contact; a dry run has an id of its own."""
    return f"{_root(account_id, provider)}/contact/{contact_id}/{'plan' if dry_run else 'sync'}"


def activity(account_id: int, provider: str, contact_id: int, key: str) -> str:
    """Id of one logged activity; `key` is the operation's id."""
    return f"{_root(account_id, provider)}/contact/{contact_id}/activity/{key}"


def action(account_id: int, provider: str, key: str) -> str:
    """Id of one provider action; `key` is the operation's id."""
    return f"{_root(account_id, provider)}/action/{key}"


def knowledge(account_id: int, provider: str) -> str:
    """Id of the one running knowledge sync of an account and provider."""
    return f"{_root(account_id, provider)}/knowledge"


def schedule(account_id: int, provider: str) -> str:
    """Id of the Temporal Schedule that starts knowledge syncs."""
    return f"{_root(account_id, provider)}/knowledge/schedule"


def event(account_id: int, provider: str, event_id: str) -> str:
    """Id of the one delivery of an event."""
    return f"{_root(account_id, provider)}/event/{event_id}"


def refinement(account_id: int) -> str:
    """Id of the one run that gives an account's chunks their refined vectors."""
    return f"acct/{account_id}/refinement"
