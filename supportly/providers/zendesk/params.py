"""Parameters of Zendesk's actions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from supportly.errors import InvalidInput
from supportly.provider import PagedParams, Params, one_of
from supportly.providers.zendesk.api import NUMBER, Row

TicketId = Annotated[str, Field(pattern=NUMBER, coerce_numbers_to_str=True, description="Id of a ticket.")]
Status = Literal["new", "open", "pending", "hold", "solved", "closed"]
Priority = Literal["low", "normal", "high", "urgent"]
TicketType = Literal["problem", "incident", "question", "task"]


class Tickets(PagedParams):
    """A page of one person's tickets."""

    model_config = ConfigDict(json_schema_extra={"anyOf": one_of("email", "user_id")})
    email: str | None = Field(None, max_length=320, description="Address of the person; this or `user_id`.")
    user_id: str | None = Field(
        None, pattern=NUMBER, coerce_numbers_to_str=True, description="Zendesk id of the person; this or `email`."
    )
    status: Status | None = Field(
        None, description="Only tickets with this status; a page may then hold fewer than `limit`."
    )

    @model_validator(mode="after")
    def _one(self) -> Tickets:
        if not self.email and not self.user_id:
            raise ValueError("`email` or `user_id` is needed")
        return self


class OneTicket(Params):
    """One ticket."""

    ticket_id: TicketId
    with_comments: bool = Field(False, description="Also answers its comments, 100 at a time.")
    comments_cursor: str | None = Field(None, description="`next_cursor` of the comments before.")


class Requester(Params):
    """Whose ticket it is: a user's id, or an address (Zendesk creates the user when it is new)."""

    model_config = ConfigDict(json_schema_extra={"anyOf": one_of("id", "email")})
    id: str | None = Field(None, pattern=NUMBER, coerce_numbers_to_str=True, description="Zendesk id.")
    email: str | None = Field(None, max_length=320, description="E-mail address.")
    name: str | None = Field(None, max_length=255, description="Name of a new user.")

    @model_validator(mode="after")
    def _one(self) -> Requester:
        if not self.id and not self.email:
            raise ValueError("`id` or `email` is needed")
        return self


class NewTicket(Params):
    """A new ticket."""

    subject: str = Field(min_length=1, max_length=255, description="What it is about, in a line.")
    body: str = Field(min_length=1, max_length=65_536, description="Its first comment.")
    requester: Requester | None = Field(None, description="Whose ticket it is; null: the agent who connected.")
    public: bool = Field(False, description="True shows the comment to the requester, who may get a mail.")
    priority: Priority | None = Field(None, description="How urgent it is.")
    type: TicketType | None = Field(None, description="What kind of ticket it is.")
    tags: list[str] = Field(default_factory=list, max_length=50, description="Its tags.")
    idempotency_key: str | None = Field(
        None, min_length=1, max_length=255, description="Same key, same ticket, for two hours; null: the operation's."
    )


class TicketChanges(Params):
    """What changes in a ticket; what is left out stays."""

    ticket_id: TicketId
    status: Status | None = Field(None, description="`closed` needs the setting `allow_closing_tickets`.")
    priority: Priority | None = Field(None, description="How urgent it is.")
    type: TicketType | None = Field(None, description="What kind of ticket it is.")
    subject: str | None = Field(None, min_length=1, max_length=255, description="A new subject.")
    assignee_id: str | None = Field(
        None, pattern=NUMBER, coerce_numbers_to_str=True, description="Zendesk id of the agent who takes it."
    )
    tags: list[str] | None = Field(None, max_length=50, description="All tags; they replace the old ones.")

    def changes(self) -> Row:
        """The fields that were given, as Zendesk's ticket object. Raises InvalidInput when there are none."""
        given = self.model_dump(exclude={"ticket_id"}, exclude_none=True)
        if not given:
            raise InvalidInput("Name at least one field to change.", field="params")
        return given | ({"assignee_id": int(given["assignee_id"])} if "assignee_id" in given else {})


class NewComment(Params):
    """A new comment."""

    ticket_id: TicketId
    body: str = Field(min_length=1, max_length=65_536, description="Its text.")
    public: bool = Field(False, description="True shows it to the requester, who may get a mail.")


class Search(PagedParams):
    """A page of a search."""

    query: str = Field(min_length=1, max_length=500, description="Words, or Zendesk's search syntax: `status<solved`.")


class ArticleSearch(Search):
    """A page of a search for articles."""

    locale: str | None = Field(
        None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="Such as `en-us`; null: the default one."
    )


class Macros(PagedParams):
    """A page of macros."""

    active: bool | None = Field(True, description="Active or inactive ones; null: both.")
