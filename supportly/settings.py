"""Every setting of the service, read once from the environment (prefix `SUPPORTLY_`) and injected from there.

Defaults suit development on one machine. `environment=production` refuses the development secrets.
"""

from __future__ import annotations

import base64
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Thirty-two zero bytes: a key that anyone can guess, so that development starts without ceremony.
DEVELOPMENT_KEY = base64.urlsafe_b64encode(bytes(32)).decode()
DEVELOPMENT_KEYS = f"dev:{DEVELOPMENT_KEY}"
DEVELOPMENT_SECRET = "development-only"  # noqa: S105 (production refuses it)

ADDRESS = r"^(\S*:\d{1,5})?$"
"""`host:port`, or nothing."""


EVENTS = ("connection.needs_attention", "connection.recovered", "knowledge.synced", "knowledge.deletions_held")
"""The kinds of events that there are (a test compares them with `contracts.events`)."""


class ClientCredentials(BaseSettings):
    """The OAuth client of one provider: `SUPPORTLY_{PROVIDER}_CLIENT_ID` and `…_CLIENT_SECRET`."""

    model_config = SettingsConfigDict(extra="ignore")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")


class Settings(BaseSettings):
    """All settings. Each one is described in docs/settings.md (a test compares the two)."""

    model_config = SettingsConfigDict(env_prefix="SUPPORTLY_", extra="ignore", env_file=".env")

    environment: Literal["development", "production"] = Field(
        "development", description="`production` refuses development secrets and wants `callback_mode=strict`."
    )
    database_url: str = Field(
        "postgresql+psycopg://supportly_app@localhost/supportly",
        description="PostgreSQL as the application role, which row-level security binds.",
    )
    admin_database_url: str = Field(
        "", description="PostgreSQL as the owner of the tables; only migrations and the command line use it."
    )
    database_pool: int = Field(12, ge=2, le=200, description="Connections that one process keeps at most.")
    temporal_address: str = Field("localhost:7233", description="host:port of the Temporal frontend.")
    temporal_namespace: str = Field("default", description="Temporal namespace.")
    temporal_api_key: SecretStr = Field(SecretStr(""), description="API key for Temporal Cloud; turns TLS on.")
    temporal_ui_url: str = Field(
        "http://localhost:8233", description="Temporal UI, for the console's links; empty turns them off."
    )
    worker_queues: Literal["all", "prompt", "bulk"] = Field(
        "all",
        description="What a worker does: `prompt`, what people wait for; `bulk`, syncs and all that nobody waits for.",
    )
    worker_deployment: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_-]{0,100}$",
        description="Deployment name for worker versioning; empty turns it off. Letters, digits, `_`, `-`.",
    )
    worker_build_id: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._+-]{0,100}$",
        description="Build id of this worker, required with a deployment: another one for every image.",
    )
    graceful_shutdown_s: float = Field(
        40.0, ge=1, description="Seconds that a stopping process gives to running calls; above the longest one."
    )
    keys: SecretStr = Field(
        SecretStr(DEVELOPMENT_KEYS),
        description="Key ring `id:base64url,id:base64url` (32 bytes each); the first key writes, all of them read.",
    )
    token_pepper: SecretStr = Field(SecretStr(DEVELOPMENT_SECRET), description="HMAC key of the stored API tokens.")
    codec_token: SecretStr = Field(
        SecretStr(""), description="Bearer token for the codec endpoint of the Temporal UI; empty turns it off."
    )
    auth_backend: Literal["local", "supportly"] = Field(
        "local", description="Who knows the callers: tokens of our own, or Supportly's profile endpoint."
    )
    supportly_api_url: str = Field("http://localhost:3000/api/v1", description="Supportly's API, ending in `/api/v1`.")
    supportly_api_token: SecretStr = Field(SecretStr(""), description="Token for Supportly's contact API.")
    callback_url: str = Field(
        "http://localhost:3000/app/integrations/{provider}/callback",
        description="Redirect URI registered at the providers; `{provider}` is filled in.",
    )
    console_callback_url: str = Field(
        "http://localhost:8000/console/callback/{provider}",
        description="The console's own redirect URI, registered at the providers beside the other; its https turns the "
        "console's cookies `Secure`.",
    )
    callback_mode: Literal["compatible", "strict"] = Field(
        "compatible", description="`strict` demands `state` in the callback; `compatible` finds the one live attempt."
    )
    sandbox_url: str = Field("", description="Sends every provider host to this sandbox instead of the internet.")
    events_url: str = Field("", description="Where Supportly takes signed events; empty sends none.")
    events_secrets: SecretStr = Field(
        SecretStr(""), description="Secrets `whsec_…` that sign events, separated by commas; each of them signs."
    )
    events: str = Field(",".join(EVENTS), description="Kinds of events that are sent, separated by commas.")
    provider_timeout_s: float = Field(
        8.0, gt=0, description="Total seconds for one provider call, so that two fit into the default wait."
    )
    lease_s: float = Field(
        25.0, gt=0, description="Seconds for which one refresh attempt owns a connection; above its own deadline."
    )
    wait_s: float = Field(20.0, ge=0, le=60, description="Seconds that a request waits for its workflow by default.")
    rate_factor: float = Field(
        1.0, gt=0, description="Multiplies the providers' published rate limits, for plans that allow more."
    )
    max_body_bytes: int = Field(1_000_000, ge=1024, description="Largest request body, in bytes.")
    max_answer_bytes: int = Field(20_000_000, ge=1024, description="Largest provider answer, in bytes.")
    operations_kept_days: int = Field(
        30, ge=2, description="Days after which ended operations and revocations are removed; a write may take one."
    )
    sync_interval_minutes: int = Field(60, ge=15, le=10_080, description="Default minutes between knowledge syncs.")
    refined_model: str = Field(
        "minilm",
        pattern=r"^(minilm|off|openai:\S+)$",
        description="Encoder of the refined tier: `minilm`, in this process; `openai:<model>`, an endpoint; or `off`.",
    )
    refined_model_path: str = Field(
        "", description="Directory with all-MiniLM-L6-v2 as ONNX; empty takes the installed weights, else a download."
    )
    refined_threads: int = Field(1, ge=1, le=64, description="Cores that the encoder in this process may take.")
    refined_api_url: str = Field(
        "https://api.openai.com/v1", description="Endpoint of `openai:` models: what comes before `/embeddings`."
    )
    refined_api_key: SecretStr = Field(SecretStr(""), description="Key for that endpoint; empty sends none.")
    refined_dimensions: int = Field(
        1536, ge=1, le=4000, description="Dimensions of an `openai:` model's vectors; pgvector's index takes 4,000."
    )
    metrics_token: SecretStr = Field(
        SecretStr(""), description="Bearer token with which Prometheus asks the API's `/metrics`; empty turns it off."
    )
    metrics_address: str = Field(
        "", pattern=ADDRESS, description="host:port where a worker answers Prometheus; empty turns it off."
    )
    temporal_metrics_address: str = Field(
        "",
        pattern=ADDRESS,
        description="host:port of the Temporal SDK's own metrics, in API and workers; empty turns them off.",
    )
    tracing: bool = Field(
        default=False, description="Sends traces over OTLP; the standard `OTEL_EXPORTER_OTLP_*` variables say where to."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Level of the JSON log.")

    @model_validator(mode="after")
    def _a_deployment_knows_its_builds(self) -> Self:
        if self.worker_deployment and not self.worker_build_id:
            raise ValueError("SUPPORTLY_WORKER_DEPLOYMENT needs SUPPORTLY_WORKER_BUILD_ID: builds are told apart by it")
        return self

    @model_validator(mode="after")
    def _no_development_secret_in_production(self) -> Self:
        if self.environment != "production":
            return self
        weak = [
            f"SUPPORTLY_{name.upper()}"
            for name, secret, default in (
                ("keys", self.keys, DEVELOPMENT_KEY.rstrip("=")),
                ("token_pepper", self.token_pepper, DEVELOPMENT_SECRET),
            )
            # Also as the second key of a ring, which only reads: what it would open was sealed with a known key.
            if not secret.get_secret_value() or default in secret.get_secret_value()
        ]
        if weak:
            raise ValueError(f"production needs secrets of its own: set {', '.join(weak)}")
        if self.callback_mode != "strict":
            raise ValueError("production needs SUPPORTLY_CALLBACK_MODE=strict, so that a callback carries its state")
        if self.sandbox_url:
            raise ValueError("production talks to real providers: unset SUPPORTLY_SANDBOX_URL")
        return self

    @model_validator(mode="after")
    def _events_can_be_sent(self) -> Self:
        if unknown := sorted(self.event_kinds - set(EVENTS)):
            raise ValueError(f"SUPPORTLY_EVENTS names {', '.join(unknown)}; there are {', '.join(EVENTS)}")
        if not self.events_url:
            return self
        if not self.events_url.startswith(("https://", "http://")):
            raise ValueError("SUPPORTLY_EVENTS_URL is no address: it begins with https://")
        if self.environment == "production" and not self.events_url.startswith("https://"):
            raise ValueError("production sends events over https only: change SUPPORTLY_EVENTS_URL")
        if not self.event_keys:
            raise ValueError("events are signed: set SUPPORTLY_EVENTS_SECRETS, or unset SUPPORTLY_EVENTS_URL")
        return self

    @property
    def event_kinds(self) -> frozenset[str]:
        """The kinds of events that are sent."""
        return frozenset(filter(None, (kind.strip() for kind in self.events.split(","))))

    @property
    def event_keys(self) -> list[bytes]:
        """The keys that sign events. Raises ValueError for a secret that is none."""
        keys = []
        for secret in filter(None, (text.strip() for text in self.events_secrets.get_secret_value().split(","))):
            try:
                key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            except ValueError:
                key = b""
            if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
                raise ValueError("SUPPORTLY_EVENTS_SECRETS: each is `whsec_` and 24 to 64 bytes in base64")
            keys.append(key)
        return keys

    def client(self, provider: str) -> ClientCredentials:
        """The OAuth client of `provider`; empty strings where the environment has none."""
        prefix = f"SUPPORTLY_{provider.upper()}_"
        return ClientCredentials(_env_prefix=prefix, _env_file=".env")
