"""Zendesk's end users: found by search and by our own id, written with care for the people behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final

from supportly.contracts.contacts import Contact, Record
from supportly.errors import ProviderFailure, UnsupportedByProvider
from supportly.http import segment
from supportly.provider import Call, WritesContacts, absent_as_none, integer
from supportly.providers.zendesk.api import (
    Row,
    agent_url,
    living,
    pages,
    rows,
    search_users,
    term,
    ticket,
    tickets_of,
    user,
)

OURS: Final = "supportly:"
"""Stands before our contact's id in `external_id`. Bare numbers there are other systems' customers, and a number of
theirs must never be taken for a contact of ours. Zendesk compares without case: keep it lower."""
CUSTOM: Final = "user_fields."
"""Begins the name of a custom user field in a mapping: `user_fields.plan`."""
PLAIN: Final = frozenset({"name", "email", "phone", "organization", "external_id", "details", "alias"})
"""Fields that we write. Never `role`, `verified`, `suspended` or the like, whatever a mapping says."""
LOGINS: Final = frozenset({"email", "phone"})
INDEX_LAG_S: Final = 30.0
"""Pause after an address was called taken that no search shows yet; the index is reported to lag up to some minutes."""


class ZendeskContacts(WritesContacts):
    """Finds, creates and updates end users, and gathers what a lookup shows of them."""

    mapping: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "email": "email",
        "phone": "phone_number",
        "organization": "company",
        "external_id": "contact_id",
        "user_fields.city": "city",
        "user_fields.country": "country",
    }

    # --- finding ----------------------------------------------------------------------------------------------------

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The user; a deleted one, whom Zendesk still answers, is None."""
        answer = await absent_as_none(call.http.get(f"/users/{segment(record_id)}"))
        found = answer.body().get("user") if answer else None
        return user(call.facts, found) if found and living(found) else None

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """By search, which lags: a user who was just created is found by `by_external_id`."""
        return await search_users(call, f"email:{term(email)}")

    async def by_phone(self, call: Call, phone: str) -> list[Record]:
        """By search, with the number as we write it; one that was typed in another form is not found."""
        return await search_users(call, f"phone:{term(phone)}")

    async def by_external_id(self, call: Call, contact_id: str) -> list[Record]:
        """By a list of ids, which is read from the database and does not lag."""
        wanted = OURS + contact_id
        body = (await call.http.get("/users/show_many", {"external_ids": wanted})).body()
        found = [row for row in rows(body, "users") if living(row)]
        return [user(call.facts, row) for row in found if str(row.get("external_id") or "").lower() == wanted]

    async def find(self, call: Call, contact: Contact, linked: str | None) -> list[Record]:
        """The linked user, else the one with our id, else by address and number.

        Our id comes first because only its list is read from the database: a search does not know yet whom an attempt
        whose answer was lost has just created, and may know somebody else with the same number.
        """
        if linked and (record := await self.by_id(call, linked)):
            return [record]
        if ours := await self.by_external_id(call, str(contact.id)):
            return ours
        return await super().find(call, contact, None)

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """Tickets that the user requested, and the organization as their company."""
        parts: dict[str, Awaitable[Any]] = {"activities": self._tickets(call, record)}
        if number := record.raw.get("organization_id"):
            parts["companies"] = self._companies(call, number)
        return parts

    @staticmethod
    async def _tickets(call: Call, record: Record) -> list[Row]:
        found, _, _ = await tickets_of(call, record.id)
        return [{**ticket(call.facts, row), "raw": row} for row in found]

    async def _companies(self, call: Call, number: object) -> list[Row]:
        found = await self._organization(call, number)
        return [found] if found else []

    @staticmethod
    async def _organization(call: Call, number: object) -> Row | None:
        answer = await absent_as_none(call.http.get(f"/organizations/{segment(number)}"))
        row = answer.body().get("organization") if answer else None
        if not row:
            return None
        url = agent_url(call.facts, "organizations", row["id"])
        return {"id": str(row["id"]), "type": "organization", "name": row.get("name"), "url": url, "raw": row}

    # --- writing ----------------------------------------------------------------------------------------------------

    def current(self, record: Record) -> Mapping[str, str | None]:
        """The user's fields. The organization is an id here; `writable` compares its name."""
        plain = {name: _text(record.raw.get(name)) for name in PLAIN - {"organization"}}
        custom = record.raw.get("user_fields") or {}
        return plain | {CUSTOM + name: _text(value) for name, value in custom.items()}

    def same(self, name: str, ours: str, theirs: str | None) -> bool:
        """As elsewhere; our own id may stand there with its prefix, and equal texts are the same whatever they are."""
        if name == "external_id" and (theirs or "").lower() == OURS + ours.lower():
            return True
        return ours == (theirs or "").strip() or super().same(name, ours, theirs)

    async def writable(
        self, call: Call, fields: dict[str, str], record: Record | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Leaves out what must not or cannot be written. Raises UnsupportedByProvider for agents and administrators.

        An address or a number is filled in where there is none and never replaced: Zendesk would add a second one, mail
        the customer, and let whoever holds the new address reset the password; so that stays a person's decision.
        """
        if record and fields:
            _end_user_only(record)
        known: Mapping[str, Row] = {}
        if any(name.startswith(CUSTOM) for name in fields):
            known = {row["key"]: row async for page in pages(call, "/user_fields", "user_fields") for row in page}
        kept, skipped = {}, {}
        for name, value in fields.items():
            if name.startswith(CUSTOM):
                own, why_not = _custom(known.get(name.removeprefix(CUSTOM)), value)
            else:
                own, why_not = value, self._why_not(name, value, record)
            if why_not:
                skipped[name] = why_not
            elif own == value or not record or not self.same(name, own, self.current(record).get(name)):
                kept[name] = own
        if record and "organization" in kept and (number := record.raw.get("organization_id")):
            there = await self._organization(call, number)
            if there and str(there["name"]).casefold() == kept["organization"].casefold():
                del kept["organization"]
        return kept, skipped

    def _why_not(self, name: str, value: str, record: Record | None) -> str:
        if name not in PLAIN:
            return "This field of a Zendesk user is not written from here."
        theirs = self.current(record).get(name) if record else None
        if not theirs or self.same(name, value, theirs):
            return ""
        if name in LOGINS:
            return "Zendesk has another one; replacing what a customer signs in with is left to an agent."
        return "Zendesk holds the id of another system, which stays." if name == "external_id" else ""

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Creates without a mail to the customer; a user who is there already is updated and answered instead.

        A company that Zendesk does not know is created after its user, so that a lost answer leaves the user findable.
        """
        plain = {name: value for name, value in fields.items() if name != "organization"}
        plain.setdefault("name", contact.email or contact.phone_number or f"Contact {contact.id}")
        wanted = self._body(call, plain)
        wanted.setdefault("external_id", f"{OURS}{contact.id}")
        wanted["skip_verify_email"] = True
        company = fields.get("organization")
        if company and (number := await _find_organization(call, company)):
            wanted["organization_id"], company = number, None
        try:
            made = user(call.facts, (await call.http.post("/users", {"user": wanted})).body()["user"])
        except ProviderFailure as error:
            there = await self._in_the_way(call, contact, error)
            now = self.current(there)
            changed = {k: v for k, v in fields.items() if not self.same(k, v, now.get(k))}
            kept, _ = await self.writable(call, changed, there)
            return await self.update(call, there, kept) if kept else there
        return await self.update(call, made, {"organization": company}) if company else made

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Writes the changed fields of an end user. Raises UnsupportedByProvider for agents and administrators."""
        _end_user_only(record)
        wanted = self._body(call, fields)
        if company := fields.get("organization"):
            known = await _find_organization(call, company)
            wanted["organization_id"] = known or await _new_organization(call, company)
        if "email" in wanted:
            wanted["skip_verify_email"] = True
        body = (await call.http.put(f"/users/{segment(record.id)}", {"user": wanted})).body()
        return user(call.facts, body["user"])

    def _body(self, call: Call, fields: Mapping[str, str]) -> Row:
        """Fields as Zendesk's user object, without the organization."""
        body: Row = {name: value for name, value in fields.items() if name in PLAIN - {"organization"}}
        if custom := {n.removeprefix(CUSTOM): value for n, value in fields.items() if n.startswith(CUSTOM)}:
            body["user_fields"] = custom
        mapping = call.settings.field_mapping or self.mapping
        if "external_id" in body and mapping.get("external_id") == "contact_id":
            body["external_id"] = OURS + body["external_id"]
        return body

    async def _in_the_way(self, call: Call, contact: Contact, error: ProviderFailure) -> Record:
        """The user because of whom a create was refused, else that error again."""
        said: Mapping[str, str] = error.details.get("fields", {})
        if error.provider_status != 422 or not {"email", "external_id"} & said.keys():
            raise error
        found = await self.by_external_id(call, str(contact.id))
        if not found and contact.email:
            wanted = contact.email.strip().casefold()
            found = [r for r in await self.by_email(call, contact.email.strip()) if wanted in self.emails_of(r)]
        if len(found) == 1:
            return found[0]
        if not any(word in text.lower() for text in said.values() for word in ("duplicate", "already")):
            raise error
        raise ProviderFailure(
            "Zendesk says that the address is taken, and its search does not show by whom: the user was created just "
            "now, or it is the second address of another user.",
            provider_status=error.provider_status,
            provider_code=error.provider_code,
            details=error.details,
            transient=True,
            retry_after=INDEX_LAG_S,
        )


def _end_user_only(record: Record) -> None:
    if record.raw.get("role") != "end-user":
        role = record.raw.get("role") or "not known to be an end user"
        raise UnsupportedByProvider(
            f"This person is {role} in Zendesk; only end users are written from here.", details={"record": record.id}
        )


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _custom(known: Row | None, value: str) -> tuple[str, str]:
    """A custom field's value as Zendesk wants it, or why it cannot be written."""
    if known is None or known.get("active") is False:
        return value, "Zendesk has no such user field."
    if known.get("type") == "checkbox":
        return value.lower(), "" if value.lower() in ("true", "false") else "The field takes true or false."
    options = known.get("custom_field_options") or []
    if not options:
        return value, ""
    by_word = {str(o.get(key)).casefold(): str(o.get("value")) for key in ("name", "value") for o in options}
    chosen = by_word.get(value.strip().casefold())
    return (chosen, "") if chosen else (value, "The value is none of the field's options.")


async def _find_organization(call: Call, name: str) -> int | None:
    """The id of the organization with exactly this name; Zendesk's own upsert does not match by name."""
    found = rows((await call.http.get("/organizations/search", {"name": name})).body(), "organizations")
    return next((integer(row["id"]) for row in found if str(row.get("name")).casefold() == name.casefold()), None)


async def _new_organization(call: Call, name: str) -> int:
    try:
        made = (await call.http.post("/organizations", {"organization": {"name": name}})).body()["organization"]
    except ProviderFailure as error:
        if error.provider_status == 422 and "name" in error.details.get("fields", {}):
            # Another sync was faster, and the search may not show it yet.
            if there := await _find_organization(call, name):
                return there
            error.retryable, error.retry_after = True, INDEX_LAG_S
        raise
    return integer(made["id"])
