"""Calendly's answers: collections, full URIs as ids, and the shapes that lookups, actions and streams share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from supportly.contracts.contacts import Record
from supportly.errors import InvalidInput, ProviderFailure
from supportly.http import segment
from supportly.provider import Call, next_mark, timestamp

BASE: Final = "https://api.calendly.com"
LIST: Final = 100
"""Most items of one page."""
DENIED: Final = 403
"""Scope, role or plan: only the message tells which."""

Row = dict[str, Any]


def rows_of(body: Mapping[str, Any]) -> list[Row]:
    """The items of a collection."""
    rows = body.get("collection")
    if not isinstance(rows, list):
        raise ProviderFailure("Calendly answered a list without `collection`.")
    return rows


def row_of(body: Mapping[str, Any]) -> Row:
    """The one resource of an answer."""
    row = body.get("resource")
    if not isinstance(row, dict):
        raise ProviderFailure("Calendly answered a record without `resource`.")
    return row


def next_token(body: Mapping[str, Any], token: str | None) -> str | None:
    """The token of the next page. Raises ProviderFailure when it is the one that was just asked for."""
    return next_mark((body.get("pagination") or {}).get("next_page_token"), token)


def path_of(uri: str, kind: str) -> str:
    """The path of an id such as `https://api.calendly.com/contacts/{uuid}`, or of its last part alone.

    Raises InvalidInput for a URI of another host or kind: what is asked for comes from callers.
    """
    parts = uri.removeprefix(f"{BASE}/").split("/")
    if len(parts) == 1:
        parts = [kind, uri]
    if len(parts) % 2 or parts[0] != kind or not all(parts):
        raise InvalidInput(f"An id here looks like `{BASE}/{kind}/…`.", field="id")
    return "/" + "/".join(segment(part) for part in parts)


def uri_of(uri: str, kind: str) -> str:
    """The full URI of an id, as Calendly wants it in parameters and bodies."""
    return BASE + path_of(uri, kind)


def is_denied(error: ProviderFailure) -> bool:
    """True for a 403."""
    return error.provider_status == DENIED


async def for_everyone(
    call: Call, path: str, asked: Mapping[str, Any], *, mine: bool = False
) -> tuple[Mapping[str, Any], bool]:
    """A list of the whole organization, or of the connected user alone where only admins may see all.

    Answers the body, and True when it is the user's own. `mine` starts there.
    """
    if not mine and call.settings.organization_wide:
        try:
            found = await call.http.get(path, {**asked, "organization": call.facts["organization"]})
        except ProviderFailure as error:
            if not is_denied(error):
                raise
        else:
            return found.body(), False
    return (await call.http.get(path, {**asked, "user": call.facts["owner"]})).body(), True


def primary(items: Sequence[Mapping[str, Any]] | None) -> str | None:
    """The primary e-mail address, which need not be the first."""
    known = [i for i in items or [] if i.get("email")]
    chosen = next((i for i in known if i.get("is_primary")), known[0] if known else None)
    return str(chosen["email"]) if chosen else None


def contact(row: Row) -> Record:
    """A contact, normalised; its id is the whole URI."""
    numbers = [p["phone_number"] for p in row.get("phone_numbers") or [] if p.get("phone_number")]
    return Record(
        id=str(row["uri"]),
        type="contact",
        url=row.get("app_url") or None,  # since October 2026
        name=row.get("name") or None,
        email=primary(row.get("emails")),
        phone=numbers[0] if numbers else None,
        updated_at=timestamp(row.get("updated_at")),
        raw=row,
    )


def invitee(row: Row) -> Record:
    """Somebody who was invited to an event: what is known of a contact where contacts may not be read."""
    return Record(
        id=str(row["uri"]),
        type="invitee",
        url=row.get("reschedule_url"),
        name=row.get("name") or None,
        email=row.get("email") or None,
        phone=row.get("text_reminder_number") or None,
        updated_at=timestamp(row.get("updated_at")),
        raw=row,
    )


def _item(row: Row, kind: str, /, **own: Any) -> Row:
    return {
        "id": str(row["uri"]), "type": kind, **own, "created_at": row.get("created_at"),
        "updated_at": row.get("updated_at"), "raw": row,
    }  # fmt: skip


def event_type(row: Row) -> Row:
    """A kind of meeting that can be booked; `duration` in minutes."""
    return _item(
        row, "event_type", name=row.get("name"), slug=row.get("slug"), active=row.get("active"),
        duration=row.get("duration"), kind=row.get("kind"), pooling_type=row.get("pooling_type"),
        description=row.get("description_plain"), url=row.get("scheduling_url"),
        questions=[q.get("name") for q in row.get("custom_questions") or []],
    )  # fmt: skip


def event(row: Row) -> Row:
    """A meeting. Its `location` is absent for round robin."""
    return _item(
        row, "scheduled_event", name=row.get("name"), status=row.get("status"), start_time=row.get("start_time"),
        end_time=row.get("end_time"), event_type=row.get("event_type"), location=row.get("location"),
        invitees=(row.get("invitees_counter") or {}).get("active"), url=None,
    )  # fmt: skip


def invited(row: Row) -> Row:
    """An invitee; a rescheduled one is canceled, and `new_invitee` names its successor."""
    return _item(
        row, "invitee", name=row.get("name"), email=row.get("email"), status=row.get("status"),
        timezone=row.get("timezone"), answers=row.get("questions_and_answers") or [],
        rescheduled=bool(row.get("rescheduled")), old_invitee=row.get("old_invitee"),
        new_invitee=row.get("new_invitee"), cancel_url=row.get("cancel_url"), event=row.get("event"),
        url=row.get("reschedule_url"),
    )  # fmt: skip
