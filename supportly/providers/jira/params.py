"""Parameters of Jira's actions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from supportly.provider import PagedParams, Params
from supportly.providers.jira.api import ACCOUNT, KEY, NUMBER, PROJECT

Key = Annotated[str, Field(pattern=KEY, description="Key of the issue, such as SUP-12.")]
ProjectKey = Annotated[str, Field(pattern=PROJECT, description="Key of the project.")]
FieldId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]
Label = Annotated[str, Field(pattern=r"^[^\s\x85\ufeff]{1,255}$")]
"""Dialects of regular expressions take two characters now for white space and now for none: they are named."""


class Search(PagedParams):
    """A page of a search."""

    jql: str = Field(
        min_length=1, max_length=10_000, description="Query in Jira's language, with at least one restriction."
    )
    fields: list[FieldId] = Field(
        default_factory=list, max_length=50, description="Ids of fields to answer as well, under `raw`."
    )


class OneIssue(Params):
    """An issue."""

    key: Key


class NewIssue(Params):
    """An issue to make."""

    project: ProjectKey
    issue_type: str = Field(pattern=NUMBER, description="Id of the issue type; `get_issue_types` lists them.")
    summary: str = Field(min_length=1, max_length=255, pattern=r"^[^\r\n]+$", description="Title, one line.")
    description: str | None = Field(None, max_length=30_000, description="Plain text.")
    priority: str | None = Field(None, min_length=1, max_length=60, description="Name of the priority.")
    labels: list[Label] = Field(default_factory=list, max_length=20, description="Labels without spaces.")


class NewComment(Params):
    """A comment to add."""

    key: Key
    text: str = Field(min_length=1, max_length=30_000, description="Plain text.")
    internal: bool = Field(False, description="Hidden from the customer of a Service Management request.")


class Move(Params):
    """A transition to make."""

    key: Key
    transition_id: str = Field(pattern=NUMBER, description="Id of the transition; `get_transitions` lists them.")


class Assignee(Params):
    """Who shall work on an issue."""

    key: Key
    account_id: str | None = Field(None, pattern=ACCOUNT, description="Account id of a user; null: nobody.")


class Projects(PagedParams):
    """A page of projects."""

    query: str | None = Field(None, min_length=1, max_length=200, description="Text in a key or name; null lists all.")


class IssueTypes(PagedParams):
    """A page of a project's issue types."""

    project: ProjectKey


class People(PagedParams):
    """A page of users."""

    query: str = Field(min_length=1, max_length=200, description="Text in a name or a shown e-mail address.")


class CustomerRequest(Params):
    """A request to raise in a desk."""

    service_desk_id: str = Field(pattern=NUMBER, description="Id of the desk; `list_service_desks` lists them.")
    request_type_id: str = Field(pattern=NUMBER, description="Id of the request type.")
    summary: str = Field(min_length=1, max_length=255, pattern=r"^[^\r\n]+$", description="Title, one line.")
    description: str = Field("", max_length=30_000, description="Plain text.")
    fields: dict[str, str] = Field(default_factory=dict, description="Other fields of the request type, by their id.")
    raise_on_behalf_of: str | None = Field(
        None, pattern=ACCOUNT, description="Account id of the customer; null: the connected user."
    )
