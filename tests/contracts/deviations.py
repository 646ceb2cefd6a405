"""Where a contract is not followed, with the source that wins over it. Each row must be met in a full run.

Sources: `NAME.md §n` is a section of `../shared/providers`, a file name alone stands for one of the contract's files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.contracts.exchange import Violation


@dataclass(frozen=True)
class Deviation:
    """A violation that is meant; `*` in operation and place stands for any text, `[]` for every item of a list."""

    contract: str
    operation: str
    place: str
    rule: str
    reason: str
    source: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        parts = (self.contract, self.operation, self.place, self.rule)
        return re.compile("\n".join(".*".join(map(re.escape, part.split("*"))) for part in parts))

    def fits(self, violation: Violation) -> bool:
        text = "\n".join((violation.contract, violation.operation, general(violation.place), violation.rule))
        return self.pattern.fullmatch(text) is not None

    def __str__(self) -> str:
        return f"{self.contract}: {self.operation}: {self.place}: {self.rule}"


@dataclass(frozen=True)
class Correction:
    """A part of a contract that contradicts the contract itself; `*` in the path is every name."""

    contract: str
    path: tuple[str, ...]
    change: Callable[[Any], Any]
    reason: str
    source: str

    def apply(self, document: Any) -> None:
        """Changes the document; a path that leads nowhere is an error, since the contract was renewed."""
        places = [document]
        for name in self.path[:-1]:
            places = [i for p in places for i in (p.values() if name == "*" else [p[name]] if name in p else [])]
        places = [place for place in places if self.path[-1] in place]
        if not places:
            raise LookupError(f"{self.contract} has nothing at {'/'.join(self.path)}")
        for place in places:
            place[self.path[-1]] = self.change(place[self.path[-1]])


@dataclass(frozen=True)
class Format:
    """A format that a contract names and does not mean by the standard's letter."""

    contract: str
    name: str
    pattern: str
    reason: str
    source: str

    def accepts(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text) is not None


def general(place: str) -> str:
    """A place in a list as the same place of every item."""
    return re.sub(r"\[\d+\]", "[]", place)


def _rows(contract: str, operation: str, places: str, rule: str, reason: str, source: str) -> Iterator[Deviation]:
    """A row for each of the places, which are separated by spaces."""
    return (Deviation(contract, operation, place, rule, reason, source) for place in places.split())


NULLS = (
    "what is not set is null: the schema marks few properties so, and the contract's own examples answer null for ones "
    "that are not marked"
)
NULLS_SOURCE = (
    "v2-trimmed.yaml, examples of GET /deals (origin_id), /deals/search (organization), /persons/search (address); "
    "v1-trimmed.yaml, example of GET /leads (expected_close_date, organization_id)"
)
BASIL = "gone or moved since 2025-03-31.basil; the contract is of 2023-08-16 and we pin a newer version"

DEVIATIONS: tuple[Deviation, ...] = (
    # --- Stripe ---
    *_rows("stripe", "GET /v1/invoices*", "answer.data[].paid answer.data[].paid_out_of_band", "required", BASIL,
           "stripe.md §4; stripe-python CHANGELOG 12.0.0"),
    *_rows("stripe", "GET /v1/subscriptions*",
           "answer.data[].current_period_start answer.data[].current_period_end", "required", BASIL, "stripe.md §4"),
    *_rows("stripe", "GET /v1/subscriptions*",
           "answer.data[].items.data[].current_period_start answer.data[].items.data[].current_period_end", "unknown",
           "since 2025-03-31.basil the period stands on the item", "stripe.md §4"),
    Deviation("stripe", "GET /v1/products*", "answer*.features", "required", "called `marketing_features` since 2024",
              "stripe.md, corrections"),
    Deviation("stripe", "GET /v1/products*", "answer*.marketing_features", "unknown", "the new name of `features`",
              "stripe.md, corrections"),
    # --- Pipedrive ---
    Deviation("pipedrive v1", "GET /oauth/authorize", "answer.status 302", "unknown",
              "an authorization answers by redirect", "RFC 6749, 4.1.2"),
    Deviation("pipedrive v1", "GET /oauth/authorize", "query.response_type", "unknown",
              "required by the standard and ignored by Pipedrive", "RFC 6749, 4.1.1; pipedrive.md §2"),
    Deviation("pipedrive v1", "GET /oauth/authorize", "query.decision", "unknown",
              "the sandbox's own: a person who declines", "sandbox/double.py, authorize"),
    *_rows("pipedrive v1", "GET /users/me", "answer.data answer.additional_data answer.error_info", "unknown",
           "every error has the whole envelope", "pipedrive.md §7, error body"),
    *_rows("pipedrive v1", "GET /activityTypes", "answer.data[].add_time answer.data[].update_time", "format",
           "times of v1 have a blank and no zone; the contract's example shows it", "pipedrive.md §1"),
    *_rows("pipedrive v1", "* /notes", "answer.data*.deal_id answer.data*.last_update_user_id answer.data*.lead_id "
           "answer.data*.org_id answer.data*.project_id", "null", NULLS, NULLS_SOURCE),
    Deviation("pipedrive v2", "GET *", "answer.additional_data.next_cursor", "null", "null ends a walk",
              "pipedrive.md §1"),
    *_rows("pipedrive v2", "* /persons*", "answer.data*.org_id answer.data*.picture_id answer.data.last_name "
           "answer.data.items[].item.organization", "null", NULLS, NULLS_SOURCE),
    *_rows("pipedrive v2", "* /activities*", " ".join(f"answer.data*.{name}" for name in (
        "attendees", "deal_id", "due_time", "duration", "lead_id", "location", "marked_as_done_time", "org_id",
        "priority", "project_id", "public_description")), "null", NULLS, NULLS_SOURCE),
    *_rows("pipedrive v2", "GET /deals*", "answer.data*.expected_close_date answer.data*.org_id answer.data*.person_id",
           "null", NULLS, NULLS_SOURCE),
    Deviation("pipedrive v2", "* /organizations*", "answer.data*.address", "null", NULLS, NULLS_SOURCE),
    Deviation("pipedrive v2", "GET /products*", "answer.data*.code", "null", NULLS, NULLS_SOURCE),
    Deviation("pipedrive v2", "GET /deals*", "answer.data*.creator_user_id", "unknown",
              "in the examples and not in the schema", "v2-trimmed.yaml, example of GET /deals"),
    Deviation("pipedrive v2", "GET /personFields", "answer.data[].description", "unknown",
              "in the examples and not in the schema", "v2-trimmed.yaml, example of GET /personFields"),
    Deviation("pipedrive v2", "GET /persons/search", "answer.data.items[].item.organization.address", "unknown",
              "in the examples and not in the schema", "v2-trimmed.yaml, example of GET /persons/search"),
    *_rows("pipedrive v2", "GET /itemSearch/field", "answer.data[].id answer.data[].name", "unknown",
           "schema and example disagree: both are served and read", "pipedrive.md, corrections"),
    # --- Schedly ---
    Deviation("schedly", "POST /v2/auth/oauth2/token", "header.content-type", "enum",
              "form bodies are taken as well; the operation's description says so", "schedly.md §2"),
    Deviation("schedly", "POST /v2/auth/oauth2/token", "answer.scope", "unknown",
              "documented for the answer and missing in the schema", "schedly.md §2"),
    *_rows("schedly teams", "POST /v2/*", "body", "unknown",
           "the answers of a routing form are the body; the generated contract leaves it out", "schedly.md §4"),
    # --- Jira ---
    *_rows("jira", "POST /rest/api/3/issue", "answer.code answer.message", "unknown",
           "a scope that does not match is refused by the gateway, before Jira, in its own words", "jira.md §6"),
    # --- Slack ---
    *_rows("slack", "GET /oauth.v2.access", "body.grant_type body.refresh_token", "unknown",
           "tokens rotate since 2021, after the contract", "slack.md, corrections and §1"),
    Deviation("slack", "GET /oauth.v2.access", "body.code", "required", "a refresh has no code",
              "slack.md, corrections and §1"),
    *_rows("slack", "POST /chat.postMessage", "body.metadata answer.message.metadata", "unknown",
           "metadata of messages is newer than the contract", "slack.md, corrections and §3"),
    Deviation("slack", "GET /conversations.history", "answer.messages", "minItems",
              "a channel may be empty: the contract was taken from samples", "slack.md §5"),
    Deviation("slack", "GET /users.list", "answer.members", "minItems",
              "a page may be empty: the contract was taken from samples", "slack.md §4, a page may be short"),
    Deviation("slack", "GET /users.list", "query.team_id", "unknown",
              "lists of a whole organization name the workspace", "slack.md, corrections and §1, tenant key"),
    Deviation("slack", "GET /conversations.replies", "answer.messages[].blocks", "unknown",
              "the contract's sample was a message without blocks", "slack.md §3; definition `blocks` of the contract"),
)  # fmt: skip

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        "schedly",
        ("paths", "/v2/slots", "get", "responses", "200", "content", "application/json", "schema"),
        lambda schema: {
            "type": "object",
            "properties": {"status": {"type": "string", "enum": ["success"]}, "data": schema},
            "required": ["status", "data"],
        },
        "the schema describes `data` alone; both of its examples have the envelope around it",
        "calcom-v2-bookings-slots-oauth.json, examples of GET /v2/slots",
    ),
    *(
        Correction(
            contract,
            ("components", "schemas", "*", "properties", "isDefault"),
            lambda schema: {**schema, "type": "boolean"},
            "an object whose example and default are true or false",
            f"{file}, examples of isDefault",
        )
        for contract, file in (
            ("schedly", "calcom-v2-bookings-slots-oauth.json"),
            ("schedly teams", "calcom-v2-teams-routing-forms.json"),
        )
    ),
)

FORMATS: tuple[Format, ...] = (
    Format(
        "jira",
        "date-time",
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)",
        "zones are written without a colon, which RFC 3339 does not allow",
        "jira-platform-v3.trimmed.json, examples of comments, worklogs and projects",
    ),
)
