"""Every endpoint, as a method that makes its request (a test compares them with the OpenAPI document)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from supportly.client.asking import Ask
from supportly.contracts import answers
from supportly.contracts.actions import ActionResult
from supportly.contracts.contacts import ActivityKind, ActivityResult, Lookup, SyncResult
from supportly.contracts.knowledge import KnowledgeReport

PREFIX: Final = "/api/v1/accounts/{account_id}/supportly_integrations"

Decision = Literal["confirm_deletes", "reject_deletes", "undo_deletes"]


def _given(**values: Any) -> dict[str, Any]:
    """What the caller named."""
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Account:
    """The endpoints of one account. What a method answers is sent by a client."""

    account_id: int

    def _at(self, **parts: str | int) -> dict[str, str | int]:
        return {"account_id": self.account_id, **parts}

    def integrations(self) -> Ask[answers.IntegrationList]:
        """All providers with their connection status."""
        return Ask("GET", PREFIX, answers.IntegrationList, self._at())

    def integration(self, provider: str) -> Ask[answers.IntegrationDetail]:
        """One provider: status, actions with schemas, settings with theirs."""
        return Ask("GET", PREFIX + "/{provider}", answers.IntegrationDetail, self._at(provider=provider))

    def connect(
        self,
        provider: str,
        *,
        code_challenge: str | None = None,
        replace: bool | None = None,
        return_to: str | None = None,
        host_parts: Mapping[str, str] | None = None,
    ) -> Ask[answers.AuthorizationStarted]:
        """Start OAuth. `host_parts` are what the provider needs (`subdomain`, `shop`). Administrators only.

        `return_to` chooses between the two configured redirect URIs: `app`, the default, or `console`.
        """
        method = "S256" if code_challenge else None
        own = _given(code_challenge=code_challenge, code_challenge_method=method, replace=replace, return_to=return_to)
        return Ask(
            "POST",
            PREFIX + "/{provider}/connect",
            answers.AuthorizationStarted,
            self._at(provider=provider),
            body={**(host_parts or {}), **own},
        )

    def callback(
        self,
        provider: str,
        code: str,
        *,
        state: str | None = None,
        code_verifier: str | None = None,
        returned: Mapping[str, str] | None = None,
    ) -> Ask[answers.IntegrationDetail]:
        """Finish OAuth. `returned` is whatever else came to the redirect URI. Administrators only."""
        own = _given(code=code, state=state, code_verifier=code_verifier)
        return Ask(
            "POST",
            PREFIX + "/{provider}/callback",
            answers.IntegrationDetail,
            self._at(provider=provider),
            body={**(returned or {}), **own},
        )

    def disconnect(self, provider: str) -> Ask[answers.Disconnected]:
        """Revoke, destroy the tokens, remove what was synced. Administrators only."""
        return Ask("DELETE", PREFIX + "/{provider}/disconnect", answers.Disconnected, self._at(provider=provider))

    def change_settings(self, provider: str, settings: Mapping[str, Any]) -> Ask[answers.SettingsAnswer]:
        """Set what is named; None resets one. Administrators only."""
        return Ask(
            "PUT",
            PREFIX + "/{provider}/settings",
            answers.SettingsAnswer,
            self._at(provider=provider),
            body={"settings": dict(settings)},
        )

    def look_up(self, provider: str, contact_id: int) -> Ask[Lookup]:
        """What a provider knows of a contact."""
        at = self._at(provider=provider, contact_id=contact_id)
        return Ask("GET", PREFIX + "/{provider}/contacts/{contact_id}", Lookup, at, waits=True)

    def sync_contact(self, provider: str, contact_id: int, *, dry_run: bool = False) -> Ask[SyncResult]:
        """Create or update a contact; a dry run answers the plan and writes nothing."""
        return Ask(
            "POST",
            PREFIX + "/{provider}/contacts/{contact_id}/sync",
            SyncResult,
            self._at(provider=provider, contact_id=contact_id),
            query={"dry_run": "true"} if dry_run else {},
            waits=True,
        )

    def log_activity(
        self,
        provider: str,
        contact_id: int,
        content: str,
        *,
        activity_type: ActivityKind | None = None,
        target: str | None = None,
    ) -> Ask[ActivityResult]:
        """Log a note, call or task."""
        return Ask(
            "POST",
            PREFIX + "/{provider}/contacts/{contact_id}/activity",
            ActivityResult,
            self._at(provider=provider, contact_id=contact_id),
            body=_given(content=content, activity_type=activity_type, target=target),
            waits=True,
        )

    def run_action(self, provider: str, action: str, params: Mapping[str, Any] | None = None) -> Ask[ActionResult]:
        """Run one of the provider's actions; `integration` lists them."""
        return Ask(
            "POST",
            PREFIX + "/{provider}/action",
            ActionResult,
            self._at(provider=provider),
            body={"action": action, "params": dict(params or {})},
            waits=True,
        )

    def toggle_knowledge(
        self, provider: str, *, enabled: bool | None = None, purge: bool | None = None
    ) -> Ask[answers.Toggled]:
        """Turn knowledge sync on or off, or flip it. Administrators only."""
        return Ask(
            "POST",
            PREFIX + "/{provider}/knowledge/toggle",
            answers.Toggled,
            self._at(provider=provider),
            body=_given(enabled=enabled, purge=purge),
        )

    def sync_knowledge(self, provider: str) -> Ask[KnowledgeReport]:
        """Sync now, or join the sync that runs."""
        at = self._at(provider=provider)
        return Ask("POST", PREFIX + "/{provider}/knowledge/sync", KnowledgeReport, at, waits=True)

    def decide_deletions(self, provider: str, decision: Decision, run_id: str) -> Ask[answers.Decided]:
        """Decide on deletions that a run holds back. Administrators only."""
        return Ask(
            "POST",
            PREFIX + "/{provider}/knowledge/sync",
            answers.Decided,
            self._at(provider=provider),
            body={decision: run_id},
        )

    def knowledge_status(self) -> Ask[answers.KnowledgeStatus]:
        """State of knowledge over all providers."""
        return Ask("GET", PREFIX + "/knowledge/status", answers.KnowledgeStatus, self._at())

    def knowledge_runs(self, provider: str, *, limit: int | None = None) -> Ask[answers.KnowledgeRuns]:
        """The newest syncs of a provider, with what they held back."""
        at = self._at(provider=provider)
        return Ask("GET", PREFIX + "/{provider}/knowledge/runs", answers.KnowledgeRuns, at, query=_given(limit=limit))

    def search(
        self, q: str, *, limit: int | None = None, provider: str | None = None, locale: str | None = None
    ) -> Ask[answers.Found]:
        """Passages that answer a question, best first."""
        query = _given(q=q, limit=limit, provider=provider, locale=locale)
        return Ask("GET", PREFIX + "/knowledge/search", answers.Found, self._at(), query=query)

    def operation(self, operation_id: str) -> Ask[answers.OperationState]:
        """What became of a request that answered 202."""
        at = self._at(operation_id=operation_id)
        return Ask("GET", PREFIX + "/operations/{operation_id}", answers.OperationState, at)


class Service:
    """The endpoints that belong to no account."""

    def alive(self) -> Ask[answers.Alive]:
        """The process answers, and its version."""
        return Ask("GET", "/healthz", answers.Alive)

    def ready(self) -> Ask[answers.Ready]:
        """Whether the service can work, also where it says 503: `checks` tells what is missing."""
        return Ask("GET", "/readyz", answers.Ready, also=(503,))
