"""`supportly connect`, `disconnect` and `status`."""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, urlsplit

import typer

from supportly.cli import showing
from supportly.cli.completing import ProviderName, pairs
from supportly.cli.failing import CommandError, Exit
from supportly.cli.showing import Json
from supportly.cli.surroundings import AccountOption, Place, caller

if TYPE_CHECKING:
    from supportly.contracts.answers import Integration, IntegrationDetail, ProviderKnowledge


def connect(
    provider: ProviderName,
    part: Annotated[
        list[str] | None, typer.Option("--part", help="What the provider's host needs: `subdomain=acme`, `shop=…`.")
    ] = None,
    *,
    replace: Annotated[bool, typer.Option(help="Allow another provider account than the one connected.")] = False,
    browser: Annotated[bool, typer.Option("--open", help="Open the address in a browser.")] = False,
    returned: Annotated[
        str, typer.Option(help="Finish a connection: the address on which you landed, or the code alone.")
    ] = "",
    account: AccountOption = None,
    json: Json = False,
) -> None:
    """Connect a provider: prints where to agree, then takes the address on which you land.

    Without an answer on stdin it ends there; `--returned` finishes later (within ten minutes).
    """
    at = caller(account)
    if returned:
        _finished(_finish(at, provider, returned, {}), json=json)
        return
    started = at.client.send(
        at.me.connect(provider, replace=replace or None, host_parts=pairs(part or [], field="part"))
    )
    if json and not sys.stdin.isatty():
        showing.as_json(started)
        return
    showing.line("Open this address and agree:")
    showing.line(started.authorization_url, "cyan")
    if browser:
        webbrowser.open(started.authorization_url)
    showing.line("Then paste the address on which you land, or the code:")
    landed = sys.stdin.readline().strip()
    if not landed:
        showing.line(f"Later: supportly connect {provider} --returned 'ADDRESS'")
        return
    _finished(_finish(at, provider, landed, {"state": started.state}), json=json)


def _finish(at: Place, provider: str, landed: str, known: dict[str, str]) -> IntegrationDetail:
    """Send what the provider returned: every parameter of the address, or the code with the state that is known."""
    found = dict(parse_qsl(urlsplit(landed).query)) if "://" in landed or landed.startswith("/") else {"code": landed}
    if found.get("error") and not found.get("code"):
        raise CommandError(f"It was not granted at the provider ({showing.shown(found['error'])}). Start again.")
    code = found.pop("code", "")
    if not code:
        raise CommandError("This address carries no `code`: copy the whole one on which you landed.", Exit.WRONG_INPUT)
    return at.client.send(at.me.callback(provider, code, returned={**known, **found}))


def _finished(shown: IntegrationDetail, *, json: bool) -> None:
    if json:
        showing.as_json(shown)
        return
    showing.line(f"{shown.name} is {shown.status}: {shown.account_name}", "green")
    if shown.missing_scopes:
        showing.line(f"Not granted: {', '.join(shown.missing_scopes)}", "yellow")


def disconnect(provider: ProviderName, *, account: AccountOption = None, json: Json = False) -> None:
    """End a connection: revoke the grant, destroy the tokens, remove what was synced. Settings stay."""
    at = caller(account)
    done = at.client.send(at.me.disconnect(provider))
    if json:
        showing.as_json(done)
        return
    told = {True: "was told", False: "offers no way to be told", "pending": "is still to be told"}[done.revoked]
    showing.line(f"{provider} is disconnected; the provider {told}.")


def status(*, account: AccountOption = None, json: Json = False) -> None:
    """All integrations of the account: connection, knowledge, and what needs a person."""
    at = caller(account)
    listed, knowledge = at.client.send(at.me.integrations()), at.client.send(at.me.knowledge_status())
    if json:
        showing.as_json({"integrations": listed.integrations, "knowledge": knowledge})
        return
    known = {one.provider: one for one in knowledge.providers}
    rows = [_row(one, known.get(one.provider)) for one in listed.integrations]
    showing.table(("provider", "connection", "account", "knowledge", "documents", "refined", "note"), rows)
    tier = knowledge.refined_tier
    if tier.reason:
        showing.line(tier.reason, "dim")


def _row(one: Integration, stored: ProviderKnowledge | None) -> list[object]:
    notes = [f"reconnect: {one.reason}"] if one.status == "reconnect_required" else []
    if one.missing_scopes:
        notes.append(f"not granted: {' '.join(one.missing_scopes)}")
    if stored and stored.held_deletions:
        notes.append(f"{sum(held.documents for held in stored.held_deletions)} deletions held")
    if stored and stored.stale:
        notes.append("stale")
    return [
        one.provider,
        one.status,
        one.account_name,
        stored.state if stored and (stored.enabled or stored.documents) else "off",
        stored.documents if stored else "",
        f"{stored.refined.done}/{stored.refined.of}" if stored and stored.refined.of else "",
        "; ".join(notes),
    ]
