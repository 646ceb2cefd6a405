"""Contacts at a provider: look up, create or update, log an activity."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from temporalio import activity

from activities.calls import Calls, OpenCall
from activities.failures import READ_PATIENCE_S, translated
from activities.writes import LEASE_S, maybe_done, once
from supportly.contracts import ids
from supportly.contracts.contacts import (
    ActivityJob,
    ActivityResult,
    Contact,
    FieldChange,
    Lookup,
    LookupJob,
    Record,
    RecordRef,
    SyncJob,
    SyncResult,
)
from supportly.errors import (
    AmbiguousMatch,
    NotFound,
    SupportlyError,
    TokenRefused,
    Unavailable,
    UnsupportedByProvider,
)
from supportly.platform import Platform
from supportly.provider import FindsContacts, LogsActivities, WritesContacts, e164
from supportly.storage import links, operations

CLAIM_KEPT_S: Final = 3600.0
"""How long a created record stays known by its address: longer than any search index is reported to lag."""
CLAIM_PAUSE_S: Final = 0.5
"""Between two looks at somebody else's claim."""


class ContactActivities:
    """Activities of ContactLookup, ContactSync and ContactActivity."""

    def __init__(self, calls: Calls, platform: Platform) -> None:
        self.calls = calls
        self.db = calls.db
        self.platform = platform

    @activity.defn(name="contact_lookup")
    async def lookup(self, job: LookupJob) -> Lookup:
        """Everything the provider knows about a contact; parts that fail are named, the others stay."""
        with translated(patience_s=READ_PATIENCE_S, paced=True):
            # Supportly and our database are asked side by side: somebody waits.
            asking = asyncio.create_task(self.platform.contact(job.account_id, job.contact_id))
            # Whatever it ends with is heard, also when the connection's failure came first.
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                return await self._lookup(job, asking)
            finally:
                asking.cancel()

    async def _lookup(self, job: LookupJob, asking: asyncio.Task[Contact]) -> Lookup:
        async with self.calls.open(job.account_id, job.provider, "waiting", contact_id=job.contact_id) as opened:
            provider = opened.provider
            if not isinstance(provider, FindsContacts):
                raise UnsupportedByProvider(f"{provider.title} has no contacts to look up.")
            records = await provider.find(opened.call, await asking, opened.linked)
            found = Lookup(provider=job.provider, contact_id=job.contact_id, records=records)
            await self._add_parts(provider, opened, found)
            return found

    @staticmethod
    async def _add_parts(provider: FindsContacts, opened: OpenCall, found: Lookup) -> None:
        """All parts of all records, side by side; what comes of one record hides nothing of another."""
        parts = [part for record in found.records for part in provider.parts(opened.call, record).items()]
        answers = await asyncio.gather(*(part for _, part in parts), return_exceptions=True)
        for (name, _), answer in zip(parts, answers, strict=True):
            if isinstance(answer, TokenRefused):
                raise answer
            if isinstance(answer, SupportlyError):
                found.partial[name] = answer.message
            elif isinstance(answer, BaseException):
                raise answer
            elif name == "deals":
                found.deals.extend(answer)
            elif name == "activities":
                found.activities.extend(answer)
            else:
                found.extra.setdefault(name, []).extend(answer)

    @activity.defn(name="contact_sync")
    async def sync(self, job: SyncJob) -> SyncResult:
        """Create or update the contact's record; a dry run answers the plan and writes nothing."""
        with translated(paced=True):
            contact = await self.platform.contact(job.account_id, job.contact_id)
            place = (job.account_id, job.provider)
            async with self.calls.open(*place, "sync", contact_id=job.contact_id, lease_s=LEASE_S) as opened:
                provider = opened.provider
                if not isinstance(provider, WritesContacts):
                    raise UnsupportedByProvider(cannot(provider.title, "create or update contacts", opened))
                result = await self._sync(provider, opened, contact, job)
                if job.dry_run or result.record.id is None:
                    return result
                kept = await links.link(
                    self.db,
                    job.account_id,
                    job.provider,
                    job.contact_id,
                    connection_id=opened.connection.connection_id,
                    generation=opened.connection.generation,
                    record_id=result.record.id,
                    url=result.record.url,
                )
            if kept:
                await self._write_back(job, result.record.id)
            if job.operation_id:
                stored = result.model_dump(mode="json")
                await operations.finish(self.db, self.calls.vault, job.account_id, job.operation_id, result=stored)
            return result

    async def _sync(self, provider: WritesContacts, opened: OpenCall, contact: Contact, job: SyncJob) -> SyncResult:
        record = the_one(provider, await provider.find(opened.call, contact, opened.linked))
        wanted = self._wanted(provider, opened, contact)
        if record is None and not job.dry_run:
            made = await self._create_once(provider, opened, contact, wanted)
            if isinstance(made, SyncResult):
                return made
            record = made
        current = provider.current(record) if record else {}
        changed = {k: v for k, v in wanted.items() if not provider.same(k, v, current.get(k))}
        fields, skipped = await provider.writable(opened.call, changed, record)
        result = SyncResult(
            provider=job.provider,
            contact_id=job.contact_id,
            status="created" if record is None else "updated" if fields else "unchanged",
            record=RecordRef(id=record.id, url=record.url) if record else RecordRef(),
            changed_fields=sorted(fields),
            changes=[FieldChange(field=k, before=current.get(k), after=v) for k, v in sorted(fields.items())],
            skipped_fields=skipped,
            dry_run=job.dry_run,
        )
        if record and fields and not job.dry_run:
            with _written_or_again():
                after = await provider.update(opened.call, record, fields)
            result.record = RecordRef(id=after.id, url=after.url or record.url)
        return result

    @staticmethod
    def _wanted(provider: WritesContacts, opened: OpenCall, contact: Contact) -> dict[str, str]:
        """The provider's fields with the contact's values; a blank never overwrites a value."""
        mapping = opened.call.settings.field_mapping or provider.mapping
        values = {name: contact.value(source) for name, source in mapping.items()}
        return {name: value for name, value in values.items() if value is not None}

    async def _create_once(
        self, provider: WritesContacts, opened: OpenCall, contact: Contact, wanted: dict[str, str]
    ) -> Record | SyncResult:
        """Create the record under a claim on its address, or answer the one that somebody else just created."""
        who = (contact.email or "").strip().casefold() or e164(contact.phone_number) or f"contact:{contact.id}"
        place = (opened.connection.account_id, opened.connection.connection_id, ids.digest(who))
        owner = activity.info().workflow_run_id or ""
        ours, made = await links.claim(self.db, *place, owner=owner, seconds=LEASE_S)
        if not ours:
            record = await provider.by_id(opened.call, made) if made else None
            if record is None:
                raise Unavailable("Another sync is creating this record right now.", retry_after=CLAIM_PAUSE_S)
            return record
        fields, skipped = await provider.writable(opened.call, wanted, None)
        try:
            with _written_or_again():
                record = await provider.create(opened.call, contact, fields)
        except SupportlyError as error:
            if not maybe_done(error):
                await links.release(self.db, *place, owner=owner)
            raise
        await links.fulfil(self.db, *place, record_id=record.id, seconds=CLAIM_KEPT_S)
        return SyncResult(
            provider=provider.id,
            contact_id=contact.id,
            status="created",
            record=RecordRef(id=record.id, url=record.url),
            changed_fields=sorted(fields),
            changes=[FieldChange(field=k, after=v) for k, v in sorted(fields.items())],
            skipped_fields=skipped,
        )

    async def _write_back(self, job: SyncJob, record_id: str) -> None:
        """Tell Supportly the record's id, where it is not known there yet."""
        contact = await self.platform.contact(job.account_id, job.contact_id)
        external = contact.additional_attributes.get("external") or {}
        if str(external.get(f"{job.provider}_id", "")) != record_id:
            await self.platform.remember(job.account_id, job.contact_id, job.provider, record_id)

    @activity.defn(name="contact_log")
    async def log(self, job: ActivityJob) -> ActivityResult:
        """Log one note, call or task, exactly once however often this is attempted."""
        with translated(paced=True):
            contact = await self.platform.contact(job.account_id, job.contact_id)

            async def write(opened: OpenCall, *, look_first: bool) -> ActivityResult:
                provider = opened.provider
                if not isinstance(provider, LogsActivities) or job.kind not in provider.activity_kinds:
                    raise UnsupportedByProvider(cannot(provider.title, f"log a {job.kind}", opened))
                if provider.activity_needs_record:
                    record = the_one(provider, await provider.find(opened.call, contact, opened.linked))
                else:
                    record = itself(contact)
                if record is None:
                    raise NotFound(f"{provider.title} has no record of this contact. Sync the contact first.")
                found = None
                if look_first and not provider.activity_keyed:
                    found = await provider.find_logged(opened.call, record, job)
                ref = found or await provider.log(opened.call, record, job)
                return ActivityResult(
                    provider=job.provider,
                    contact_id=job.contact_id,
                    activity_type=job.kind,
                    record=ref,
                    target=job.target,
                )

            return await once(self.calls, job, "waiting", ActivityResult, write, contact_id=job.contact_id)


@contextmanager
def _written_or_again() -> Iterator[None]:
    """A write whose answer could not be read may have happened: the next attempt looks, instead of saying no."""
    try:
        yield
    except SupportlyError as error:
        error.retryable = error.retryable or maybe_done(error)
        raise


def itself(contact: Contact) -> Record:
    """A contact as a record, for providers that log activities somewhere else than on a record."""
    return Record(id="", name=contact.name, email=contact.email, phone=contact.phone_number)


def the_one(provider: FindsContacts, found: list[Record]) -> Record | None:
    """The record found, None when there is none. Raises AmbiguousMatch when there are several."""
    if len(found) > 1:
        raise AmbiguousMatch(
            f"{len(found)} records in {provider.title} match this contact exactly. Merge them there, then try again.",
            details={"candidates": [{"id": r.id, "url": r.url} for r in found]},
        )
    return found[0] if found else None


def cannot(title: str, what: str, opened: OpenCall) -> str:
    """A sentence that says what a provider cannot do, and what it can."""
    can = opened.provider.capabilities
    able = [
        *(["look contacts up"] if can.contact_lookup else []),
        *(["create and update contacts"] if can.contact_create else []),
        *(f"log a {kind}" for kind in can.activities),
        *([f"run the actions {', '.join(can.actions)}"] if can.actions else []),
    ]
    return f"{title} cannot {what}. It can {'; '.join(able) or 'be connected only'}."
