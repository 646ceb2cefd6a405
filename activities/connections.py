"""The life of a connection at the provider: exchange, refresh, disconnect, revoke.

Every step first commits what it is about to do, so that a crash at any line leaves a row that says what may have
happened (docs/architecture.md lists the lines).
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from temporalio import activity

from activities import revocations
from activities.calls import Calls
from activities.events import hand_over
from activities.failures import attempting, to_the_end, translated
from supportly.contracts.connections import (
    Authorization,
    ConnectionKey,
    Disconnection,
    RefreshAttempt,
    Retired,
    RevocationJob,
    Standing,
)
from supportly.errors import (
    AuthorizationInvalid,
    NotConnected,
    ProviderFailure,
    SupportlyError,
    Unavailable,
    from_payload,
)
from supportly.http import Http
from supportly.oauth import Client, ClientRefused, Engine, GrantRefused, Tokens
from supportly.provider import Identity, Provider
from supportly.settings import Settings
from supportly.storage import authorizations, connections
from supportly.storage.authorizations import Received
from supportly.storage.connections import Connection, NewGrant
from supportly.telemetry import metrics

LEASE_MARGIN_S: Final = 5.0
"""The lease outlives the token request's deadline by this much, for the write after it."""
STORE_PAUSE_S: Final = 0.5
"""Between two tries to store a token that is in hand while the database is away."""
STORE_FOR_S: Final = 45.0
"""A database that restarts or fails over is back by then, and an attempt has about this much left after its request."""
CLIENT_REFUSED_PAUSE_S: Final = 300.0
"""After a refusal of our own client: an operator has to act; asking more often helps nobody."""

log = logging.getLogger(__name__)


class Dependent(Protocol):
    """What else hangs on a connection: its knowledge. Each takes (account, provider)."""

    async def cleanup(self, account_id: int, provider: str) -> None:
        """Remove schedule, running sync and documents."""

    async def hold(self, account_id: int, provider: str) -> None:
        """Pause until somebody connects again."""

    async def release(self, account_id: int, provider: str) -> None:
        """Go on after a reconnect."""


class RefreshBusy(SupportlyError):
    """Another attempt may still be alive."""

    code, status, transient = "refresh_busy", 503, True


class ConnectionActivities:
    """Activities of ConnectionWorkflow and RevocationWorkflow."""

    def __init__(self, calls: Calls, settings: Settings, dependent: Dependent) -> None:
        self.calls = calls
        self.db = calls.db
        self.vault = calls.vault
        self.settings = settings
        self.dependent = dependent
        self.engine = Engine(calls.outbound)

    @activity.defn(name="connection_standing")
    async def standing(self, key: ConnectionKey) -> Standing:
        """How the connection stands in the database."""
        async with attempting():
            return self._standing(await connections.read(self.db, key.account_id, key.provider))

    @activity.defn(name="connection_exchange")
    async def exchange(self, job: Authorization) -> Standing:
        """Exchange the received code, ask who is connected, store the connection.

        Raises AuthorizationInvalid, DifferentAccount, or what the provider refused with; an outcome that was stored
        before is answered again.
        """
        async with attempting():
            standing = await self._exchanged(job)
            await self._hand_over(job)
            return standing

    async def _exchanged(self, job: Authorization) -> Standing:
        row = await authorizations.begin_exchange(self.db, self.vault, job.account_id, job.provider, job.pending_id)
        if row is None:
            return await self._earlier_outcome(job)
        provider = self.calls.provider(job.provider)
        try:
            return await self._connect(job, provider, row)
        except SupportlyError as error:
            if not error.retryable or (row.tokens is None and not await self._has_tokens(job)):
                await self._fail(job, error)
                error.retryable = False
            raise

    async def _connect(self, job: Authorization, provider: Provider, row: Received) -> Standing:
        now, began = datetime.now(UTC), time.monotonic()
        client = self._client(provider)
        tokens = row.tokens
        if tokens is None:
            # A code of another server must not reach this one (mix-up), so its sender is looked at before it is sent.
            if (issuer := row.returned.get("iss")) is not None and not provider.issues(issuer, row.facts):
                raise AuthorizationInvalid
            provider.check_callback(row.facts, row.returned, client.secret)
            tokens = await to_the_end(self._exchange(job, provider, row, now))
        facts = {**provider.trusted(row.facts), **tokens.facts}
        who = await self._identify(provider, tokens, facts)
        placed = await connections.place(
            self.db,
            self.vault,
            job.account_id,
            job.provider,
            NewGrant(
                tenant_key=who.tenant_key,
                account_name=who.account_name,
                facts={**facts, **who.facts},
                tokens=tokens,
                now=now,
                actor=row.actor,
                replace=row.replace,
                by_state=row.by_state,
                title=provider.title,
                age_s=time.monotonic() - began,
                shared=provider.oauth.shared_grant or not provider.revocable,
            ),
            pending_id=row.id,
        )
        await revocations.start(self.calls.client, job.account_id, job.provider, placed.revocation_id)
        if isinstance(placed, connections.Refused):
            raise placed.error
        if placed.replaced_generation is not None:
            await self.dependent.cleanup(job.account_id, job.provider)
        await self.dependent.release(job.account_id, job.provider)
        return placed.connection.standing()

    async def _exchange(self, job: Authorization, provider: Provider, row: Received, now: datetime) -> Tokens:
        """Send the code, and keep what came for it."""
        tokens = await self.engine.exchange(
            provider.oauth,
            self._client(provider),
            token_url=provider.urls(row.facts)[1],
            code=row.returned["code"],
            redirect_uri=row.redirect_uri,
            verifier=row.verifier,
            now=now,
            refused=provider.read_refusal,
        )
        await authorizations.keep_tokens(self.db, self.vault, job.account_id, job.provider, row.id, tokens)
        return tokens

    async def _identify(self, provider: Provider, tokens: Tokens, facts: dict[str, str]) -> Identity:
        return await provider.identify(
            Http(outbound=self.calls.outbound, policy=provider, access_token=tokens.access_token, facts=facts)
        )

    async def _has_tokens(self, job: Authorization) -> bool:
        status, _ = await authorizations.outcome(self.db, job.account_id, job.pending_id)
        return status == "exchanged"

    async def _earlier_outcome(self, job: Authorization) -> Standing:
        status, outcome = await authorizations.outcome(self.db, job.account_id, job.pending_id)
        if outcome and "standing" in outcome:
            return Standing.model_validate(outcome["standing"])
        if outcome:
            raise from_payload(outcome["error"])
        if status == "exchanging":
            error = ProviderFailure(
                "The provider's answer to this authorization was lost. Start again with connect.",
                code="authorization_outcome_lost",
            )
            await self._fail(job, error)
            raise error
        raise AuthorizationInvalid

    async def _fail(self, job: Authorization, error: SupportlyError) -> None:
        await authorizations.finish(
            self.db, job.account_id, job.pending_id, "failed", {"error": error.payload()}, provider=job.provider
        )

    @activity.defn(name="connection_refresh")
    async def refresh(self, job: RefreshAttempt) -> Standing:
        """Refresh once from `from_version`, within the fence. Answers how the connection stands afterwards."""
        async with attempting():
            try:
                # With an intent committed, and later a token in hand, what Temporal thinks of the attempt comes last.
                standing, outcome = await to_the_end(self._fenced(job))
            except SupportlyError as error:
                metrics.REFRESHES.labels(job.provider, error.own_code).inc()
                raise
            metrics.REFRESHES.labels(job.provider, outcome).inc()
            await self._hand_over(job)
            return standing

    async def _fenced(self, job: RefreshAttempt) -> tuple[Standing, str]:
        """How the connection stands after this attempt, and in one word what the attempt did."""
        provider = self.calls.provider(job.provider)
        attempt = str(uuid.uuid4())
        lease = self.settings.lease_s
        with_reuse_detection = provider.oauth.rotation == "single_use_with_reuse_detection"
        intent, connection, left = await connections.begin_refresh(
            self.db,
            job.account_id,
            job.provider,
            from_version=job.from_version,
            attempt=attempt,
            lease_s=lease,
            # One more lease for a late answer, where a second request could kill the whole family.
            patience_s=lease if with_reuse_detection else 0.0,
        )
        if intent == "superseded" or connection is None:
            return self._standing(connection), "superseded"
        if intent == "busy":
            raise RefreshBusy("Another refresh of this connection may be under way.", retry_after=left)
        if not connection.refreshable:
            standing = await self._reconnect(connection, attempt, "access_token_refused")
        elif reason := self._unsafe(provider, connection):
            standing = await self._reconnect(connection, attempt, reason)
        else:
            standing = await self._refresh(provider, connection, attempt, after_rejection=job.after_rejection)
        return standing, _outcome(standing, job.from_version)

    @staticmethod
    def _unsafe(provider: Provider, connection: Connection) -> str:
        """Why the old refresh token must not be used again after lost attempts; empty when it may."""
        allowed = {"none": None, "grace": None, "single_use": 1, "single_use_with_reuse_detection": 0}
        most = allowed[provider.oauth.rotation]
        return "refresh_outcome_lost" if most is not None and connection.lost_attempts > most else ""

    async def _refresh(
        self, provider: Provider, connection: Connection, attempt: str, *, after_rejection: bool
    ) -> Standing:
        account_id, name = connection.account_id, connection.provider
        deadline = (
            self.settings.lease_s - LEASE_MARGIN_S
            if self.settings.lease_s > 2 * LEASE_MARGIN_S
            else (self.settings.lease_s / 2)
        )
        now, began = datetime.now(UTC), time.monotonic()
        ends = began + deadline
        old = connections.open_tokens(self.vault, connection)
        if not await connections.lease_alive(self.db, account_id, name, attempt=attempt, needed_s=1.0):
            # Nobody has to wonder what became of it.
            await connections.end_attempt(self.db, account_id, name, attempt=attempt)
            raise RefreshBusy("This refresh lost its lease before it was sent.", retry_after=1.0)

        def in_time() -> None:
            if time.monotonic() > ends:
                raise ProviderFailure("This refresh is out of time; nothing was sent.", transient=True, sent=False)

        try:
            tokens = await self.engine.refresh(
                provider.oauth,
                self._client(provider),
                token_url=provider.urls(connection.facts)[1],
                old=old,
                now=now,
                deadline_s=min(deadline, self.settings.provider_timeout_s),
                before_send=in_time,
                refused=provider.read_refusal,
            )
        except GrantRefused as error:
            reason = "refresh_outcome_lost" if connection.lost_attempts else error.reason
            return await self._reconnect(connection, attempt, reason)
        except ClientRefused as error:
            log.error("provider %s refuses our OAuth client: check its credentials", name)  # noqa: TRY400 (an alarm)
            await connections.end_attempt(self.db, account_id, name, attempt=attempt)
            error.retry_after = CLIENT_REFUSED_PAUSE_S
            raise
        except SupportlyError as error:
            known = not isinstance(error, ProviderFailure) or not error.sent or error.provider_status is not None
            if known:
                await connections.end_attempt(self.db, account_id, name, attempt=attempt)
            error.retryable = True
            raise
        return await self._store(connection, tokens, now=now, began=began, after_rejection=after_rejection)

    async def _store(
        self, connection: Connection, tokens: Tokens, *, now: datetime, began: float, after_rejection: bool
    ) -> Standing:
        """Write the answer at once; while the database is away, keep trying for `STORE_FOR_S`.

        `now` and `began` are the same moment, before the request: by the clock, and by the one that never jumps.
        """
        gives_up = time.monotonic() + STORE_FOR_S
        while True:
            try:
                before = await connections.read(self.db, connection.account_id, connection.provider)
                stored = await connections.store_refreshed(
                    self.db,
                    self.vault,
                    connection,
                    tokens,
                    now=now,
                    after_rejection=after_rejection,
                    age_s=time.monotonic() - began,
                )
            except Unavailable:
                if time.monotonic() > gives_up:
                    raise
                await asyncio.sleep(STORE_PAUSE_S)
                continue
            if stored is None:
                await self._discard(connection, tokens)
                stored = await connections.read(self.db, connection.account_id, connection.provider)
            elif before is not None and before.state == "reconnect_required":
                # Somebody had given this answer up already, and paused what hangs on the connection.
                await self.dependent.release(connection.account_id, connection.provider)
            return self._standing(stored)

    async def _discard(self, connection: Connection, tokens: Tokens) -> None:
        """Revoke an answer that came too late, where that harms nothing: its grant is not the one that is lived on."""
        log.info("a late refresh of %s came after a newer one and is dropped", connection.provider)
        provider = self.calls.provider(connection.provider)
        if provider.revocable and not provider.oauth.shared_grant:
            revocation = await connections.discard(self.db, self.vault, connection, tokens)
            await revocations.start(self.calls.client, connection.account_id, connection.provider, revocation)

    async def _reconnect(self, connection: Connection, attempt: str, reason: str) -> Standing:
        await connections.require_reconnect(
            self.db, connection.account_id, connection.provider, version=connection.version, reason=reason
        )
        await connections.end_attempt(self.db, connection.account_id, connection.provider, attempt=attempt)
        standing = self._standing(await connections.read(self.db, connection.account_id, connection.provider))
        if standing.state == "reconnect_required":
            await self.dependent.hold(connection.account_id, connection.provider)
        return standing

    @activity.defn(name="connection_begin_disconnect")
    async def begin_disconnect(self, job: Disconnection) -> float:
        """Mark the connection as going. Answers the seconds for which a refresh may still be alive."""
        async with attempting():
            connection = await connections.begin_disconnect(self.db, job.account_id, job.provider)
            if connection is None:
                raise NotConnected(f"{self.calls.provider(job.provider).title} is not connected.")
            if connection.lease_until is None:
                return 0.0
            return max(0.0, (connection.lease_until - connection.read_at).total_seconds())

    @activity.defn(name="connection_retire")
    async def retire(self, job: Disconnection) -> Retired:
        """Stop what runs, move the tokens into a revocation, remove links and knowledge; settings stay."""
        async with attempting():
            # First what else hangs on the mark, then the end of it: a disconnect that failed half way can be repeated.
            await self.dependent.cleanup(job.account_id, job.provider)
            revocation = await connections.retire(self.db, job.account_id, job.provider)
            standing = self._standing(await connections.read(self.db, job.account_id, job.provider))
            return Retired(standing=standing, revocation_id=revocation or "")

    @activity.defn(name="connection_revoke")
    async def revoke(self, job: RevocationJob) -> bool:
        """Revoke at the provider, then destroy the tokens.

        False where the provider has no way to revoke, or where that would end somebody else's connection.
        """
        with translated():
            provider = self.calls.provider(job.provider)
            found = await connections.open_revocation(
                self.db, self.vault, job.account_id, job.provider, job.revocation_id
            )
            if found is None:
                return True
            if provider.oauth.shared_grant and found.shared:
                await connections.close_revocation(self.db, job.account_id, job.revocation_id, "shared")
                return False
            told = await self._tell_provider(provider, found.facts, found.tokens)
            await connections.close_revocation(
                self.db, job.account_id, job.revocation_id, "revoked" if told else "not_supported"
            )
            return told

    async def _tell_provider(self, provider: Provider, facts: Any, tokens: Tokens) -> bool:
        client = self._client(provider)
        facts = provider.trusted(facts)
        url = provider.revocation_url(facts)

        async def standard(token: str, hint: str) -> None:
            await self.engine.revoke(provider.oauth, client, url=url, token=token, hint=hint)

        http = Http(outbound=self.calls.outbound, policy=provider, access_token=tokens.access_token, facts=facts)
        try:
            return await provider.revoke(http, replace(tokens, facts=facts), standard)
        except SupportlyError as error:
            # A token that the provider no longer accepts needs no revocation; our own secret, refused, says nothing.
            refused = isinstance(error, ProviderFailure) and error.provider_status in (400, 401, 403, 404)
            if refused and not isinstance(error, ClientRefused):
                return True
            error.retryable = True
            raise

    @activity.defn(name="connection_destroy")
    async def destroy(self, job: RevocationJob) -> None:
        """Destroy tokens that could not be revoked within a day."""
        with translated():
            await connections.close_revocation(self.db, job.account_id, job.revocation_id, "expired")

    async def _hand_over(self, job: ConnectionKey) -> None:
        """What the change wrote for Supportly goes on its way; last, so that nothing else waits for it."""
        await hand_over(self.db, self.calls.client, self.settings, job.account_id)

    def _client(self, provider: Provider) -> Client:
        found = self.settings.client(provider.id)
        return Client(found.client_id, found.client_secret.get_secret_value())

    @staticmethod
    def _standing(connection: Connection | None) -> Standing:
        return connection.standing() if connection else Standing(state="disconnected")


def _outcome(standing: Standing, from_version: int) -> str:
    """What a refresh led to, for the metric: a reason, or that there is a newer token."""
    if standing.state != "connected":
        return standing.reason or standing.state
    return "refreshed" if standing.version > from_version else "client_refused"
