"""Salesforce's actions: deals, companies and contacts, newest change first."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic import Field

from supportly.contracts.actions import ActionAnswer
from supportly.errors import InvalidInput
from supportly.provider import Call, PagedParams, Provider, action, timestamp
from supportly.providers.salesforce import shapes
from supportly.providers.salesforce.contacts import contact_fields, roles_of
from supportly.providers.salesforce.shapes import ID
from supportly.providers.salesforce.soql import Row, everything, moment, quoted, select, told

CHANGED: Final = "LastModifiedDate"
CURSOR: Final = re.compile(r"([0-9T:.+-]{19,35})~([A-Za-z0-9]{15,18})")
"""The last row's change and id: a place in the list that no new row moves."""


class Deals(PagedParams):
    """A page of deals."""

    record_id: str | None = Field(
        None, pattern=ID, description="Id of a Salesforce contact: deals that it has a role in."
    )
    account_id: str | None = Field(None, pattern=ID, description="Id of a Salesforce account: its deals.")
    open_only: bool = Field(False, description="Leaves out deals that are won or lost.")


class Companies(PagedParams):
    """A page of companies."""

    record_id: str | None = Field(
        None, pattern=ID, description="Id of a Salesforce contact: the account it belongs to."
    )
    name: str | None = Field(None, min_length=1, max_length=200, description="Text within the company's name.")


class Search(PagedParams):
    """A page of contacts that hold some text."""

    query: str = Field(
        min_length=1, max_length=200, description="Text in a name, e-mail address, phone number or company."
    )


class SalesforceActions(Provider):
    """Runs actions."""

    @action(params=Deals, description="Deals of the org, of a contact or of an account.", example={"limit": 10})
    async def get_deals(self, call: Call, params: Deals) -> ActionAnswer:
        """Deals; their currency only where the org has several."""
        tests = []
        if params.record_id:
            tests.append(f"Id IN ({roles_of(params.record_id)})")
        if params.account_id:
            tests.append(f"AccountId = {quoted(params.account_id)}")
        if params.open_only:
            tests.append("IsClosed = false")
        return await _page(
            call, params, "Opportunity", shapes.deal_fields(call.facts), tests, lambda row: shapes.deal(call.facts, row)
        )

    @action(params=Companies, description="Companies of the org, or of a contact.", example={"name": "Analytical"})
    async def get_companies(self, call: Call, params: Companies) -> ActionAnswer:
        """Companies."""
        tests = []
        if params.record_id:
            tests.append(f"Id IN ({select(['AccountId'], 'Contact', [f'Id = {quoted(params.record_id)}'])})")
        if params.name:
            tests.append(f"Name LIKE {quoted(params.name, like=True)}")
        return await _page(call, params, "Account", shapes.COMPANY, tests, lambda row: shapes.company(call.facts, row))

    @action(params=Search, description="Contacts that hold some text.", example={"query": "ada@example.com"})
    async def search_contacts(self, call: Call, params: Search) -> ActionAnswer:
        """Contacts by a query, which has pages and does not lag; the search index has neither of both."""
        wanted = quoted(params.query, like=True)
        names = ("Name", "Email", "Phone", "MobilePhone", "Account.Name")
        test = "(" + " OR ".join(f"{name} LIKE {wanted}" for name in names) + ")"
        return await _page(
            call, params, "Contact", contact_fields(call), [test],
            lambda row: shapes.contact(call.facts, row).model_dump(mode="json"),
        )  # fmt: skip


async def _page(
    call: Call,
    params: PagedParams,
    sobject: str,
    fields: Sequence[str],
    tests: Sequence[str],
    shown: Callable[[Row], dict[str, Any]],
) -> ActionAnswer:
    """One page; a row more than wanted is asked for, which tells whether there is another page."""
    conditions = [*tests, *([_after(params.cursor)] if params.cursor else [])]
    order = f"{CHANGED} DESC, Id DESC"
    rows = await everything(call, select(fields, sobject, conditions, order=order, limit=params.limit + 1))
    page = rows[: params.limit]
    more = f"{moment(told(page[-1], CHANGED))}~{page[-1]['Id']}" if len(rows) > params.limit else None
    items = [{name: value for name, value in shown(row).items() if name != "raw"} for row in page]
    return ActionAnswer(items=items, next_cursor=more, raw=page)


def _after(cursor: str) -> str:
    """The rows behind a cursor. Raises InvalidInput for what is none of ours."""
    found = CURSOR.fullmatch(cursor)
    at = timestamp(found[1]) if found else None
    if not found or at is None:
        raise InvalidInput("`cursor` is not one that this action gave.", field="params.cursor")
    last, time = quoted(found[2]), moment(at)
    return f"({CHANGED} < {time} OR ({CHANGED} = {time} AND Id < {last}))"
