"""`supportly contact`: look a contact up at a provider, sync it, or see what a sync would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from supportly.cli import showing
from supportly.cli.completing import ContactNumber, ProviderName
from supportly.cli.showing import Json
from supportly.cli.surroundings import AccountOption, caller

if TYPE_CHECKING:
    from supportly.contracts.contacts import SyncResult

app = typer.Typer(no_args_is_help=True, help="A Supportly contact at a provider.")


@app.command("show")
def show(
    provider: ProviderName, contact_id: ContactNumber, *, account: AccountOption = None, json: Json = False
) -> None:
    """What the provider knows of the contact."""
    at = caller(account)
    found = at.client.send(at.me.look_up(provider, contact_id))
    if json:
        showing.as_json(found)
        return
    if not found.records:
        showing.line(f"{provider} does not know contact {contact_id}.")
    else:
        head = ("id", "type", "name", "email", "phone", "url")
        showing.table(head, [[r.id, r.type, r.name, r.email, r.phone, r.url] for r in found.records])
    for title, listed in (("Deals", found.deals), ("Activities", found.activities)):
        if listed:
            names = [name for name in listed[0] if name != "raw" and not isinstance(listed[0][name], dict | list)]
            showing.table(names, [[row.get(name) for name in names] for row in listed], title=title)
    for part, why in found.partial.items():
        showing.line(f"{part} could not be read: {why}", "yellow")


@app.command("sync")
def sync(
    provider: ProviderName,
    contact_id: ContactNumber,
    *,
    key: Annotated[str, typer.Option(help="Idempotency-Key: the same key answers the first sync's result.")] = "",
    account: AccountOption = None,
    json: Json = False,
) -> None:
    """Create or update the contact at the provider."""
    at = caller(account)
    ask = at.me.sync_contact(provider, contact_id)
    done = at.client.send(ask.keyed(key) if key else ask)
    if json:
        showing.as_json(done)
        return
    showing.line(f"{done.status} {done.record.id or ''} {done.record.url or ''}".rstrip(), "green")
    _changes(done)


@app.command("diff")
def diff(
    provider: ProviderName, contact_id: ContactNumber, *, account: AccountOption = None, json: Json = False
) -> None:
    """What a sync would change; nothing is written."""
    at = caller(account)
    plan = at.client.send(at.me.sync_contact(provider, contact_id, dry_run=True))
    if json:
        showing.as_json(plan)
        return
    word = {"created": "would be created", "updated": "would be updated", "unchanged": "is up to date"}[plan.status]
    showing.line(f"Contact {contact_id} {word} in {provider}.")
    _changes(plan)


def _changes(result: SyncResult) -> None:
    if result.changes:
        showing.table(("field", "before", "after"), [[c.field, c.before, c.after] for c in result.changes])
    for field, why in result.skipped_fields.items():
        showing.line(f"left out {field}: {why}", "yellow")
