"""What the API answers where no workflow's result is the answer itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from supportly.contracts.contacts import ActivityKind
from supportly.contracts.knowledge import Audience, Counts


class Capabilities(BaseModel):
    """What a provider can do."""

    contact_lookup: bool = False
    contact_create: bool = False
    contact_update: bool = False
    activities: list[ActivityKind] = Field(default_factory=list)
    actions: list[str] = Field(default_factory=list)
    knowledge_streams: list[str] = Field(default_factory=list)


class Integration(BaseModel):
    """One provider as an account sees it in the list."""

    provider: str
    name: str
    available: bool
    status: str
    """`not_connected`, `connected`, `reconnect_required` or `disconnecting`."""
    connected: bool
    reason: str | None = None
    account_name: str | None = None
    connected_at: datetime | None = None
    scopes: list[str] = Field(default_factory=list)
    missing_scopes: list[str] = Field(default_factory=list)
    knowledge_enabled: bool = False
    capabilities: Capabilities
    notice: str | None = None


class ScopeNeeded(BaseModel):
    """A permission that connecting asks for, and why."""

    name: str
    reason: str
    optional: bool


class Configuration(BaseModel):
    """How the provider's OAuth is set up here."""

    client_configured: bool
    redirect_uri: str
    pkce: bool
    scopes: list[ScopeNeeded]
    connected_to: dict[str, str | None] = Field(default_factory=dict)


class ConnectPart(BaseModel):
    """A part of the provider's host that connecting needs, such as Zendesk's subdomain."""

    name: str
    title: str
    required: bool
    pattern: str = Field(
        description="Regular expression of the whole value, whose case does not matter. "
        "A part that is not required may be empty as well."
    )
    example: str


class ActionOffered(BaseModel):
    """One action of a provider, with the JSON Schema of its parameters."""

    name: str
    description: str
    writes: bool
    captain: bool = False
    """Captain may run it: it only reads, or the settings allow it."""
    params_schema: dict[str, Any]
    example: dict[str, Any]


class StreamOffered(BaseModel):
    """A source of documents, and whether it is synced."""

    id: str
    title: str
    description: str
    default: bool
    enabled: bool


class IntegrationDetail(Integration):
    """One provider with all that it can do; empty below `notice` where it is announced only."""

    configuration: Configuration | None = None
    connect_fields: list[ConnectPart] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)
    settings_schema: dict[str, Any] = Field(default_factory=dict)
    actions: list[ActionOffered] = Field(default_factory=list)
    streams: list[StreamOffered] = Field(default_factory=list)


class IntegrationList(BaseModel):
    """All providers."""

    integrations: list[Integration]


class AuthorizationStarted(BaseModel):
    """Where to send the user; good for ten minutes and for one use."""

    provider: str
    authorization_url: str
    state: str
    expires_at: datetime
    redirect_uri: str
    pkce: bool


class Disconnected(BaseModel):
    """A connection that ended; `revoked` is `pending` while the provider is still to be told."""

    provider: str
    status: str
    revoked: bool | Literal["pending"]


class SettingsAnswer(BaseModel):
    """All settings of a provider, defaults filled in."""

    provider: str
    settings: dict[str, Any]


class Accepted(BaseModel):
    """A request whose work goes on."""

    operation_id: str
    status: str
    status_url: str


class Toggled(BaseModel):
    """How the knowledge switch stands, and the first sync when it was just turned on."""

    provider: str
    enabled: bool
    interval_minutes: int
    sync: Accepted | None = None


class Decided(BaseModel):
    """A decision on held deletions: one of the three counts says how many documents it concerned."""

    provider: str
    run_id: str
    deleted: int | None = None
    kept: int | None = None
    restored: int | None = None


class Hit(BaseModel):
    """One passage. Title, heading and snippet are the provider's text: material, never an instruction, and no HTML."""

    document_id: str
    title: str
    url: str | None = None
    provider: str
    stream: str
    heading: str | None = None
    snippet: str
    snippet_html: str = ""
    """The snippet escaped, ready for a page."""
    audience: Audience = "internal"
    """`public`, or `internal`: for agents, not to be shown to customers."""
    trust: Literal["untrusted"] = "untrusted"
    """Written outside of this service: whoever passes it on to a model or a page treats it as a stranger's words."""
    tier: Literal["instant", "refined"]
    score: float
    locale: str | None = None
    updated_at: datetime | None = None


class Found(BaseModel):
    """The question as it was read, and the passages, best first."""

    query: str
    hits: list[Hit]


class ModelBuilding(BaseModel):
    """A refined model that is to take over."""

    model: str
    done: int
    of: int


class RefinedTier(BaseModel):
    """The model of the refined tier, or why there is none."""

    model: str | None = None
    building: ModelBuilding | None = None
    reason: str = ""


class KnowledgeRun(BaseModel):
    """One run of a sync; a state of `stalled` means that nobody works on it."""

    run_id: str
    state: str
    trigger: str
    started_at: datetime
    finished_at: datetime | None = None
    counts: Counts
    failed_streams: dict[str, str] = Field(default_factory=dict)


class HeldBack(BaseModel):
    """Deletions that a run held back, and what became of them; a confirmed one can be undone until `undo_until`."""

    stream: str
    documents: int
    of_total: int
    status: str
    held_at: datetime
    decided_at: datetime | None = None
    undo_until: datetime | None = None


class PastRun(KnowledgeRun):
    """A run with what it walked; `complete` ones read everything."""

    complete: bool
    streams: list[str]
    held: list[HeldBack]


class KnowledgeRuns(BaseModel):
    """The newest runs of a provider, newest first."""

    provider: str
    runs: list[PastRun]


class Completeness(BaseModel):
    """How much of a sample was stored as the provider has it, with its 95 % interval."""

    share: float
    low: float
    high: float
    sampled: int
    at: datetime


class Progress(BaseModel):
    """`done` of `of` chunks."""

    done: int
    of: int


class RecordFailed(BaseModel):
    """A record that could not become a document."""

    stream: str
    external_id: str
    reason: str
    first_at: datetime
    last_at: datetime


class HeldDeletion(BaseModel):
    """A sweep that waits for an administrator."""

    run_id: str
    stream: str
    documents: int
    of_total: int
    held_at: datetime


class ProviderKnowledge(BaseModel):
    """State of one provider's knowledge."""

    provider: str
    name: str
    enabled: bool
    connection: str
    state: str
    next_run: datetime | None = None
    last_run: KnowledgeRun | None = None
    synced_at: datetime | None = None
    age_seconds: int | None = None
    stale: bool
    completeness: Completeness | None = None
    documents: int
    chunks: int
    refined: Progress
    failures: list[RecordFailed] = Field(default_factory=list)
    failures_total: int = 0
    held_deletions: list[HeldDeletion] = Field(default_factory=list)


class KnowledgeStatus(BaseModel):
    """State of an account's knowledge."""

    refined_tier: RefinedTier
    providers: list[ProviderKnowledge]


class OperationError(BaseModel):
    """Why an operation failed, as its request would have answered."""

    error: str
    code: str
    status: int
    details: dict[str, Any] = Field(default_factory=dict)
    retry_after: float | None = None


class OperationState(BaseModel):
    """What became of a request that answered 202."""

    operation_id: str
    provider: str
    kind: str
    status: Literal["running", "succeeded", "failed"]
    status_url: str
    result: Any = None
    error: OperationError | None = None
    created_at: datetime
    finished_at: datetime | None = None


class Alive(BaseModel):
    """The process answers."""

    status: str
    version: str


class Ready(BaseModel):
    """Whether the service can work; `checks` by part."""

    status: str
    checks: dict[str, str]
