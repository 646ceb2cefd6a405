"""Contacts, the provider's records of them, and what is asked about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from supportly.contracts.addresses import Linked, WebAddress
from supportly.contracts.operations import Operation

ActivityKind = Literal["note", "call", "task"]

PLAIN_FIELDS: Final = ("name", "email", "phone_number", "identifier")
"""Fields of a contact that a mapping may name as they are."""


class Contact(BaseModel):
    """A contact as Supportly holds it (Chatwoot's shape)."""

    id: int
    name: str | None = None
    email: str | None = None
    phone_number: str | None = None
    identifier: str | None = None
    additional_attributes: dict[str, Any] = Field(default_factory=dict)
    custom_attributes: dict[str, Any] = Field(default_factory=dict)

    def value(self, path: str) -> str | None:
        """The value under a mapping's source name, blank as None.

        `path` is a field (`email`), a derived one (`first_name`, `last_name`, `company`, `city`, `country`,
        `contact_id`) or an attribute (`custom_attributes.plan`, `additional_attributes.city`).
        """
        head, _, rest = path.partition(".")
        if rest:
            found = getattr(self, head, {}).get(rest) if head.endswith("_attributes") else None
        elif head in ("first_name", "last_name"):
            first, _, last = (self.name or "").strip().rpartition(" ")
            found = (first or last) if head == "first_name" else (last if first else None)
        elif head == "contact_id":
            found = self.id
        elif head == "company":
            found = self.additional_attributes.get("company_name")
        elif head in ("city", "country"):
            found = self.additional_attributes.get(head)
        else:
            found = getattr(self, head) if head in PLAIN_FIELDS else None
        text = "" if found is None else str(found).strip()
        return text or None


class Record(BaseModel):
    """One record of a provider, normalised; the provider's own shape stands under `raw`."""

    id: str
    type: str = "contact"
    url: WebAddress = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    updated_at: datetime | None = None
    raw: dict[str, Any] = Field(default_factory=dict)


class LookupJob(Operation):
    """Look a Supportly contact up at a provider."""

    contact_id: int
    writes: bool = False


class Lookup(BaseModel):
    """What a provider knows about a contact; `partial` names the parts that failed, and why."""

    provider: str
    contact_id: int
    records: list[Record] = Field(default_factory=list)
    deals: list[Linked] = Field(default_factory=list)
    activities: list[Linked] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)
    partial: dict[str, str] = Field(default_factory=dict)


class RecordRef(BaseModel):
    """Where a record is: its id and the page on which a person sees it."""

    id: str | None = None
    url: WebAddress = None


class FieldChange(BaseModel):
    """One field that a sync changes, or would change."""

    field: str
    before: str | None = None
    after: str


class SyncResult(BaseModel):
    """Outcome of a contact sync; in a dry run the plan, and nothing was written."""

    provider: str
    contact_id: int
    status: Literal["created", "updated", "unchanged"]
    record: RecordRef
    changed_fields: list[str] = Field(default_factory=list)
    changes: list[FieldChange] = Field(default_factory=list)
    skipped_fields: dict[str, str] = Field(default_factory=dict)
    dry_run: bool = False


class SyncJob(Operation):
    """Create or update a Supportly contact at a provider; a dry run only plans."""

    contact_id: int
    dry_run: bool = False
    so_far: SyncResult | None = None
    """What the sync has come to, carried over continue-as-new."""


class ActivityJob(Operation):
    """Log one note, call or task on a contact's record. The operation's id is its marker at the provider."""

    contact_id: int
    kind: ActivityKind = "note"
    content: str
    target: str | None = None


class ActivityResult(BaseModel):
    """The activity as the provider holds it."""

    provider: str
    contact_id: int
    activity_type: ActivityKind
    record: RecordRef
    target: str | None = None
