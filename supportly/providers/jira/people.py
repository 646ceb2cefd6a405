"""Who is a contact in Jira: a customer of a Service Management desk, else a Jira user, who is read only."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final

from supportly.contracts.contacts import Contact, Record
from supportly.errors import InvalidInput, ProviderFailure, UnsupportedByProvider
from supportly.http import segment
from supportly.provider import Call, ProviderSettings, WritesContacts, absent_as_none
from supportly.providers.jira import api
from supportly.providers.jira.api import DESK, V3, Row, array, rows_of

SEARCH: Final = 50
"""People of one page; the most that a desk's list gives."""
EXPERIMENTAL: Final = {"X-ExperimentalApi": "opt-in"}
"""A desk's list of customers is experimental, and refused without this header."""
KNOWN: Final = (400, 409)
"""What Jira says of an address that has an account; 409 when it is asked for strict codes."""
NOT_OURS: Final = "The profile belongs to the holder of the Atlassian account."


class JiraPeople(WritesContacts):
    """Finds people, and creates customers."""

    settings: ClassVar[type[ProviderSettings]] = api.JiraSettings
    mapping: ClassVar[Mapping[str, str]] = {"displayName": "name", "email": "email"}
    updates: ClassVar[bool] = False

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The person with this account id; None for a closed account."""
        found = await absent_as_none(call.http.get(f"{V3}/user", {"accountId": record_id}))
        if found is None or found.body().get("active") is False:
            return None
        return api.person(dict(found.body()), _kind(call))

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """People whose shown address is this one; a hidden address matches nobody, and no name is guessed from."""
        desk = call.settings.service_desk_id
        rows = await _customers(call, desk, email) if desk else await _users(call, email)
        return [api.person(row, _kind(call)) for row in rows if row.get("active") is not False]

    def current(self, record: Record) -> Mapping[str, str | None]:
        """Name and address."""
        return {"displayName": record.name, "email": record.email}

    async def writable(
        self, call: Call, fields: dict[str, str], record: Record | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """A customer is created with name and address; nothing can be changed later."""
        if record is not None:
            now = self.current(record)
            return {}, {n: NOT_OURS for n, v in fields.items() if not self.same(n, v, now.get(n))}
        kept = {name: value for name, value in fields.items() if name in self.mapping}
        return kept, {name: "Jira has no such field of customers." for name in fields if name not in kept}

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Makes an account, or takes the one that has the address, and adds it to the desk; both can be repeated."""
        desk = call.settings.service_desk_id
        if not desk:
            text = "Jira has no contact record; choose a Service Management desk in the settings."
            raise UnsupportedByProvider(text, field="settings.service_desk_id")
        if "email" not in fields:
            raise InvalidInput("Jira needs an e-mail address to make a customer.", field="email")
        body = {"email": fields["email"], "displayName": fields.get("displayName") or fields["email"]}
        try:
            made = await call.http.post(f"{DESK}/customer?strictConflictStatusCode=true", body)
            person: Row = dict(made.body())
        except ProviderFailure as error:
            if error.provider_status not in KNOWN:
                raise
            wanted = fields["email"].casefold()
            known = [r for r in await _users(call, fields["email"]) if _address(r) == wanted]
            if not known:  # the account is there, and hides its address
                raise
            person = known[0]
        await call.http.post(f"{DESK}/servicedesk/{segment(desk)}/customer", {"accountIds": [person["accountId"]]})
        return api.person(person, "customer")

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Nothing can be written; `writable` has said so."""
        return record

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """The issues that this person has reported, the latest first."""
        return {"issues": _reported(call, record)}


def _kind(call: Call) -> str:
    return "customer" if call.settings.service_desk_id else "user"


def _address(row: Row) -> str:
    return str(row.get("emailAddress") or "").casefold()


async def _customers(call: Call, desk: str, query: str) -> list[Row]:
    asked = {"query": query, "limit": SEARCH}
    path = f"{DESK}/servicedesk/{segment(desk)}/customer"
    return rows_of((await call.http.request("GET", path, params=asked, headers=EXPERIMENTAL)).body(), "values")


async def _users(call: Call, query: str) -> list[Row]:
    return array(await call.http.get(f"{V3}/user/search", {"query": query, "maxResults": SEARCH}))


async def _reported(call: Call, record: Record) -> list[Row]:
    query = f"reporter = {api.quoted(record.id)} ORDER BY updated DESC"
    asked = {"jql": query, "fields": list(api.FIELDS), "maxResults": SEARCH}
    rows = rows_of((await call.http.post(f"{V3}/search/jql", asked)).body(), "issues")
    return [api.issue(call, row) for row in rows]
