"""Salesforce's own shapes: ids, settings, contacts, deals, companies, activities, and what `describe` tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field

from supportly.contracts.contacts import Record
from supportly.errors import NotFound, ProviderFailure
from supportly.http import segment
from supportly.provider import Call, ProviderSettings, timestamp
from supportly.providers.salesforce.soql import ABSENT, Row

ID: Final = r"^[A-Za-z0-9]{15}([A-Za-z0-9]{3})?$"
"""Salesforce's ids: 15 characters in which case counts, or 18 in which it does not."""
NAME: Final = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
"""API name of a field or an object."""

CONTACT: Final = (
    "Id", "FirstName", "LastName", "Name", "Email", "Phone", "MobilePhone", "AccountId", "Account.Name", "MailingCity",
    "MailingCountry", "CreatedDate", "LastModifiedDate",
)  # fmt: skip
DEAL: Final = (
    "Id", "Name", "StageName", "Amount", "CloseDate", "IsClosed", "IsWon", "AccountId", "Account.Name", "CreatedDate",
    "LastModifiedDate",
)  # fmt: skip
COMPANY: Final = (
    "Id", "Name", "Website", "Phone", "BillingCity", "BillingCountry", "Industry", "CreatedDate", "LastModifiedDate",
)  # fmt: skip
TASK: Final = (
    "Id", "Subject", "Description", "Status", "Priority", "ActivityDate", "TaskSubtype", "CreatedDate",
    "LastModifiedDate",
)  # fmt: skip


class SalesforceSettings(ProviderSettings):
    """Settings of Salesforce."""

    contact_id_field: str | None = Field(
        None,
        pattern=NAME,
        description="API name of a unique external-id field of Contact that holds the Supportly contact's id, such as "
        "`Supportly_Id__c`; contacts are created and found by it. Null: not used.",
    )
    activity_key_field: str | None = Field(
        None,
        pattern=NAME,
        description="API name of a unique external-id field of Task; notes, calls and tasks are then written as tasks "
        "exactly once. Null: a mark in their text.",
    )
    create_accounts: bool = Field(
        False, description="Creates an account for a contact's company where Salesforce has none of exactly its name."
    )
    owner_id: str | None = Field(
        None, pattern=ID, description="User who owns the tasks that we log; null: the connected user."
    )
    completed_status: str = Field(
        "Completed", max_length=255, description="Status of finished calls and notes, where the org has renamed it."
    )
    note_as: Literal["auto", "content_note", "note", "task"] = Field(
        "auto",
        description="What a note becomes: an enhanced note, a classic one, or a finished task. `auto` takes the first "
        "that the org has.",
    )
    knowledge_object: str = Field(
        "Knowledge__kav", pattern=NAME, description="API name of the Knowledge object, where the org has renamed it."
    )
    article_fields: list[str] | None = Field(
        None,
        description="Fields with an article's text, such as `Answer__c`; null takes all rich text fields of the org's "
        "own, notes for agents among them, or all long ones where no field is rich.",
    )
    article_languages: list[str] | None = Field(
        None, description="Languages of articles, such as `en_US`; null takes all of the org's Knowledge."
    )
    article_audience: Literal["public", "customers", "all"] = Field(
        "public",
        description="Which articles are synced: those of the public knowledge base, also those for signed-in "
        "customers, or all, for internal use.",
    )
    article_site: str | None = Field(
        None,
        pattern=r"^https://[a-z0-9.-]+(/[A-Za-z0-9._~/-]*)?$",
        description="Address of the help site on which articles stand under their URL name; null: no links.",
    )


def eighteen(record_id: str) -> str:
    """An id with the three characters that say which of the first 15 are capitals, so that one record has one key."""
    if len(record_id) != 15:
        return record_id
    chunks = (record_id[at : at + 5] for at in (0, 5, 10))
    sums = (sum(1 << place for place, letter in enumerate(chunk) if letter.isupper()) for chunk in chunks)
    return record_id + "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[number] for number in sums)


def page_url(facts: Mapping[str, str], record_id: str) -> str | None:
    """The page on which a person sees a record: the org's own host leads there from any id."""
    host = facts.get("instance_url", "").rstrip("/")
    return f"{host}/{record_id}" if host else None


def parent(row: Row, name: str, field: str) -> Any:
    """A field of a parent record, None where there is none."""
    return (row.get(name) or {}).get(field)


def contact(facts: Mapping[str, str], row: Row) -> Record:
    """A contact, normalised."""
    return Record(
        id=str(row["Id"]),
        url=page_url(facts, str(row["Id"])),
        name=full_name(row),
        email=row.get("Email") or None,
        phone=row.get("Phone") or row.get("MobilePhone") or None,
        updated_at=timestamp(row.get("LastModifiedDate")),
        raw=row,
    )


def full_name(row: Row) -> str | None:
    """First and last name; `Name` itself may hold a middle name or a suffix that Supportly does not know."""
    return " ".join(filter(None, (row.get("FirstName"), row.get("LastName")))) or row.get("Name") or None


def _item(facts: Mapping[str, str], row: Row, **own: Any) -> dict[str, Any]:
    times = {"created_at": row.get("CreatedDate"), "updated_at": row.get("LastModifiedDate")}
    return {"id": str(row["Id"]), **own, "url": page_url(facts, str(row["Id"])), **times, "raw": row}


def deal(facts: Mapping[str, str], row: Row) -> dict[str, Any]:
    """A deal, normalised; `amount` is a number in `currency`, which only orgs with several currencies tell."""
    return _item(
        facts, row,
        type="deal", title=row.get("Name"), status=row.get("StageName"), stage=row.get("StageName"),
        amount=row.get("Amount"), currency=row.get("CurrencyIsoCode"), close_date=row.get("CloseDate"),
        closed=row.get("IsClosed"), won=row.get("IsWon"), company=parent(row, "Account", "Name"),
    )  # fmt: skip


def company(facts: Mapping[str, str], row: Row) -> dict[str, Any]:
    """A company, normalised."""
    return _item(
        facts, row,
        type="company", name=row.get("Name"), website=row.get("Website"), phone=row.get("Phone"),
        city=row.get("BillingCity"), country=row.get("BillingCountry"), industry=row.get("Industry"),
    )  # fmt: skip


def task(facts: Mapping[str, str], row: Row) -> dict[str, Any]:
    """A task or call, normalised; `at` is its due date, else when it was made."""
    kind = "call" if row.get("TaskSubtype") == "Call" else "task"
    at = row.get("ActivityDate") or row.get("CreatedDate")
    return _item(
        facts, row, type=kind, title=row.get("Subject"), body=row.get("Description"), status=row.get("Status"), at=at
    )


def deal_fields(facts: Mapping[str, str]) -> list[str]:
    """Fields of a deal. `CurrencyIsoCode` exists in orgs with several currencies only."""
    return [*DEAL, *(["CurrencyIsoCode"] if facts.get("multi_currency") == "true" else [])]


async def fields_of(call: Call, sobject: str) -> dict[str, Row] | None:
    """The fields of an object as the connected user sees them, by name; None where it has no such object."""
    try:
        body = (await call.http.get(f"/sobjects/{segment(sobject)}/describe")).body()
    except NotFound:
        return None
    except ProviderFailure as error:
        if error.provider_code not in ABSENT:
            raise
        return None
    found = body.get("fields")
    if not isinstance(found, list):
        raise ProviderFailure("Salesforce described an object without its fields.")
    return {str(row["name"]): row for row in found}


def options(field: Row | None) -> dict[str, str]:
    """The active values of a picklist, by value and by label in lower case."""
    active = [v for v in (field or {}).get("picklistValues") or [] if v.get("active", True)]
    return {str(v.get(key)).casefold(): str(v["value"]) for key in ("label", "value") for v in active}


def is_id(text: str) -> bool:
    """True when `text` can be a record's id."""
    return bool(re.fullmatch(ID, text)) and "\n" not in text
