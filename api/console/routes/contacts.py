"""A contact at a provider: looked up, compared, synced (first as a plan), and an activity logged."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.console.gateway import Answer, segment
from api.console.place import Form, Here, Place, text
from api.console.rendering import page
from api.console.route import ConsoleRoute
from api.console.session import PATH
from api.deps import number
from supportly import providers
from supportly.contracts import ids
from supportly.contracts.contacts import Contact
from supportly.errors import ErrorPayload, NotFound, from_payload

router = APIRouter(
    prefix=f"{PATH}/accounts/{{account_id}}/contacts",
    route_class=ConsoleRoute,
    include_in_schema=False,
)

PATIENCE_S: Final = 8.0
"""Seconds that a part of the page waits before it begins to ask for the operation."""
COMPARED: Final = (("Name", "name", "name"), ("E-mail", "email", "email"), ("Phone", "phone_number", "phone"))
"""What both sides call the same: label, Supportly's field, the record's."""


@router.get("")
async def contacts(request: Request, here: Here) -> Response:
    """Which contact, at which provider; then its parts load by themselves."""
    listed = (await here.api.get(""))["integrations"]
    able = [one for one in listed if one["connected"] and one["capabilities"]["contact_lookup"]]
    wanted = request.query_params.get("contact", "").strip()
    chosen = request.query_params.get("provider", "") or (able[0]["provider"] if able else "")
    contact_id = number(wanted)
    problem = "A contact's ID is a whole number, such as 42." if wanted and contact_id is None else ""
    one = next((found for found in able if found["provider"] == chosen), None)
    return page(
        request,
        "contacts.html",
        status=422 if problem else 200,
        here=here,
        able=able,
        wanted=wanted,
        chosen=chosen,
        contact_id=contact_id,
        one=one,
        problem=problem,
        key=str(uuid.uuid4()),
    )


@router.get("/{contact_id}/{provider}")
async def look_up(request: Request, here: Here, contact_id: str, provider: str) -> Response:
    """Both sides of a contact."""
    path = f"/{segment(provider)}/contacts/{segment(contact_id)}"
    contact, answered = await asyncio.gather(_contact(here, contact_id), here.api.ask("GET", path, wait=PATIENCE_S))
    return _part(request, here, "lookup", contact_id, provider, answered, contact)


async def _contact(here: Place, contact_id: str) -> Contact:
    found = number(contact_id)
    if found is None:
        raise NotFound("Supportly does not know this contact.")
    return await here.services.platform.contact(here.account_id, found)


@router.post("/{contact_id}/{provider}/{what}")
async def work(request: Request, here: Here, contact_id: str, provider: str, what: str, given: Form) -> Response:
    """A plan, a sync, or an activity."""
    path = f"/{segment(provider)}/contacts/{segment(contact_id)}"
    if what in ("plan", "sync"):
        query = {"dry_run": "true"} if what == "plan" else {}
        answered = await here.api.ask("POST", f"{path}/sync", {}, wait=PATIENCE_S, query=query)
    elif what == "activity":
        body = {"content": text(given, "content"), "activity_type": text(given, "activity_type") or "note"}
        if target := text(given, "target"):
            body["target"] = target
        # The form's own key: sent twice, it is logged once.
        answered = await here.api.ask("POST", f"{path}/activity", body, wait=PATIENCE_S, key=text(given, "key"))
    else:
        raise NotFound("There is no such page.")
    return _part(request, here, what, contact_id, provider, answered)


@router.get("/{contact_id}/{provider}/{what}/{operation}")
async def outcome(request: Request, here: Here, contact_id: str, provider: str, what: str, operation: str) -> Response:
    """What became of work that took longer."""
    if what not in PARTS:
        raise NotFound("There is no such page.")
    found = await here.api.get(f"/operations/{segment(operation)}", wait=PATIENCE_S)
    if found["error"]:
        raise from_payload(error_payload(found["error"]))
    answered = Answer(found["result"], operation if found["status"] == "running" else "")
    contact = await _contact(here, contact_id) if what == "lookup" and not answered.pending else None
    return _part(request, here, what, contact_id, provider, answered, contact)


def error_payload(failed: dict[str, Any]) -> ErrorPayload:
    """An operation's error as the API shows it, back in the form in which errors travel."""
    return {
        "code": failed["code"],
        "status": failed["status"],
        "message": failed["error"],
        "details": failed["details"],
        "retry_after": failed["retry_after"],
    }


PARTS: Final = {
    "lookup": "contact_record.html",
    "plan": "contact_plan.html",
    "sync": "contact_plan.html",
    "activity": "contact_activity.html",
}


def _part(
    request: Request,
    here: Place,
    what: str,
    contact_id: str,
    provider: str,
    answered: Answer,
    contact: Contact | None = None,
) -> Response:
    account, of = here.account_id, number(contact_id) or 0
    links: dict[str, Callable[[], str]] = {
        "lookup": lambda: ids.lookup(account, provider, of),
        "plan": lambda: ids.sync(account, provider, of, dry_run=True),
        "sync": lambda: ids.sync(account, provider, of),
        "activity": lambda: ids.activity(account, provider, of, answered.pending or answered.body["operation_id"]),
    }
    return page(
        request,
        "pending.html" if answered.pending else PARTS[what],
        here=here,
        again=f"{here.base}/contacts/{contact_id}/{provider}/{what}/{answered.pending}",
        result=answered.body,
        contact=contact,
        title=providers.get(provider).title,
        workflow=here.workflow(links[what]()),
        rows=_compared(contact, answered.body) if contact and not answered.pending else [],
    )


def _compared(contact: Contact, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Supportly's fields beside those of the first record."""
    record = found["records"][0] if found["records"] else {}
    rows = []
    for label, ours, theirs in COMPARED:
        mine, other = contact.value(ours), record.get(theirs)
        rows.append({"label": label, "ours": mine, "theirs": other, "same": (mine or "") == (other or "")})
    return rows
