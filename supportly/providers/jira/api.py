"""Jira's answers, its query language, and the shapes that lookups, actions and streams share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import Field

from supportly.contracts.contacts import Record
from supportly.errors import ProviderFailure
from supportly.http import Answer
from supportly.provider import Call, ProviderSettings

V3: Final = "/rest/api/3"
DESK: Final = "/rest/servicedeskapi"
KEY: Final = r"^[A-Z][A-Z0-9_]{1,20}-[1-9][0-9]{0,9}$"
"""Key of an issue."""
PROJECT: Final = r"^[A-Z][A-Z0-9_]{1,20}$"
NUMBER: Final = r"^[0-9]{1,20}$"
ACCOUNT: Final = r"^[A-Za-z0-9:_-]{1,128}$"
"""An Atlassian account id."""
FIELDS: Final = (
    "summary", "description", "status", "priority", "issuetype", "project", "labels", "reporter", "assignee",
    "duedate", "created", "updated",
)  # fmt: skip
"""What an issue is shown with; by default a search gives its id alone."""

Row = dict[str, Any]


class JiraSettings(ProviderSettings):
    """Settings of Jira."""

    project_key: str | None = Field(
        None, pattern=PROJECT, description="Key of the project in which tasks, and notes without a `target`, are made."
    )
    issue_type_id: str | None = Field(
        None, pattern=NUMBER, description="Id of the issue type for them; `get_issue_types` lists those of a project."
    )
    service_desk_id: str | None = Field(
        None,
        pattern=NUMBER,
        description="Id of a Service Management desk: contacts are its customers, and notes are internal comments.",
    )
    projects: list[str] = Field(
        default_factory=list, max_length=50, description="Keys of the projects whose issues Captain may read."
    )
    comments: bool = Field(True, description="Read comments too, without those that are restricted or internal.")


def quoted(text: str) -> str:
    """`text` as one JQL string: quotes and backslashes are escaped, so that no value ends its string.

    Control characters become spaces, since JQL knows escapes for few of them.
    """
    safe = "".join(c if c.isprintable() or c == " " else " " for c in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def any_of(values: Iterable[str]) -> str:
    """A JQL list."""
    return "(" + ", ".join(quoted(value) for value in values) + ")"


def rows_of(body: Mapping[str, Any], name: str) -> list[Row]:
    """The rows of a list."""
    rows = body.get(name)
    if not isinstance(rows, list):
        raise ProviderFailure(f"Jira answered a list without `{name}`.")
    return rows


def array(answer: Answer) -> list[Row]:
    """An answer that is a bare array."""
    rows = answer.json()
    if not isinstance(rows, list):
        raise ProviderFailure("Jira answered something else than a list.", provider_status=answer.status)
    return rows


def next_token(body: Mapping[str, Any], token: str | None) -> str | None:
    """The token of the next page; a short page may have one. Raises ProviderFailure when it repeats."""
    found = body.get("nextPageToken")
    if found and found == token:
        raise ProviderFailure("Jira named the same page twice in a row; the walk was stopped.")
    return str(found) if found else None


def label(call: Call) -> str:
    """The label by which an issue of ours is found again: no personal data, no space."""
    return "supportly-" + hashlib.sha256(call.marker.encode()).hexdigest()[:24]


def link(call: Call, key: object) -> str | None:
    """The page on which a person sees an issue."""
    site = call.facts.get("site_url", "")
    return f"{site}/browse/{key}" if site.startswith("https://") else None


def person(row: Row, kind: str) -> Record:
    """A user or customer; the address is there only where the holder shows it."""
    return Record(
        id=str(row["accountId"]),
        type=kind,
        name=row.get("displayName") or None,
        email=row.get("emailAddress") or None,
        raw=row,
    )


def member(row: Row) -> Row:
    """A user, as an item of an action."""
    return {
        "id": str(row["accountId"]), "type": "user", "name": row.get("displayName"), "email": row.get("emailAddress"),
        "active": row.get("active"), "timezone": row.get("timeZone"), "url": None, "raw": row,
    }  # fmt: skip


def issue(call: Call, row: Row) -> Row:
    """An issue, normalised; `description` is a document, which stands under `raw` alone."""
    fields = row.get("fields") or {}
    key = row.get("key")
    named = {name: (fields.get(name) or {}).get("name") for name in ("status", "priority", "issuetype")}
    people = {name: (fields.get(name) or {}).get("accountId") for name in ("reporter", "assignee")}
    return {
        "id": str(row["id"]), "type": "issue", "key": key, "title": fields.get("summary"),
        "status": named["status"], "priority": named["priority"], "issue_type": named["issuetype"],
        "project": (fields.get("project") or {}).get("key"), "labels": fields.get("labels") or [],
        "reporter_id": people["reporter"], "assignee_id": people["assignee"], "due_date": fields.get("duedate"),
        "url": link(call, key), "created_at": fields.get("created"), "updated_at": fields.get("updated"), "raw": row,
    }  # fmt: skip
