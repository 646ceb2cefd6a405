"""`supportly sync` and `search`: what Captain knows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from supportly.cli import showing
from supportly.cli.completing import ProviderName, providers
from supportly.cli.failing import CommandError, Exit
from supportly.cli.showing import Json
from supportly.cli.surroundings import AccountOption, Place, caller

if TYPE_CHECKING:
    from supportly.contracts.answers import ProviderKnowledge
    from supportly.contracts.knowledge import Counts

LOOK_S: Final = 1.0
"""Between two looks at a sync: its counts move with each page, about as often."""


def sync(
    provider: ProviderName,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show counts, rate and refinement until it ends.")
    ] = False,
    refined: Annotated[bool, typer.Option(help="With --watch: also until the refined tier has read it all.")] = False,
    account: AccountOption = None,
    json: Json = False,
) -> None:
    """Sync a provider's knowledge now, or join the sync that runs. Exit code 1 when it fails or is cancelled."""
    from supportly.contracts.answers import Accepted

    at = caller(account)
    begun = at.client.begin(at.me.sync_knowledge(provider).waiting(0))
    if not isinstance(begun, Accepted):  # cannot be waited for with 0 s, but a key's stored result answers so
        raise CommandError("The service answered a finished sync.")
    if not watch:
        if json:
            showing.as_json(begun)
        else:
            showing.line(
                f"Syncing {provider} (operation {begun.operation_id}); `python -m supportly status` says how far it is."
            )
        return
    _watched(at, provider, begun.operation_id, refined=refined, json=json)


def _watched(at: Place, provider: str, operation_id: str, *, refined: bool, json: bool) -> None:
    """Follow a sync; a spectator's bars go to stderr, the outcome to stdout."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=json) as bars:
        records = bars.add_task("records", total=None)
        vectors = bars.add_task("refined", total=None)
        began = time.monotonic()
        while True:
            ended = at.client.send(at.me.operation(operation_id)).status != "running"
            found = _knowledge(at, provider)
            _drawn(bars, records, vectors, found, time.monotonic() - began)
            if ended and not (refined and _refining(at, found)):
                break
            time.sleep(LOOK_S)
    state = at.client.send(at.me.operation(operation_id))
    if state.error is not None:
        raise CommandError(f"The sync failed: {state.error.error}", Exit.FAILED)
    if json:
        showing.as_json({"operation": state, "knowledge": found})
    elif found and found.last_run:
        showing.table(("counted", "records"), list(found.last_run.counts.model_dump().items()))
        for stream, why in found.last_run.failed_streams.items():
            showing.line(f"{stream} was given up: {why}", "red")
        for held in found.held_deletions:
            showing.line(
                f"{held.documents} of {held.of_total} documents of {held.stream} would be deleted, and are held: an "
                f"administrator decides on run {held.run_id}.",
                "yellow",
            )
    outcome = found.last_run.state if found and found.last_run else ""
    if outcome in ("failed", "canceled"):
        raise CommandError(f"The sync is {outcome}.", Exit.FAILED)


def _knowledge(at: Place, provider: str) -> ProviderKnowledge | None:
    listed = at.client.send(at.me.knowledge_status()).providers
    return next((one for one in listed if one.provider == provider), None)


def _refining(at: Place, found: ProviderKnowledge | None) -> bool:
    """True while the refined tier has something of this provider left to read, and can."""
    tier = at.client.send(at.me.knowledge_status()).refined_tier
    return found is not None and not tier.reason and found.refined.done < found.refined.of


def _drawn(bars: Progress, records: TaskID, vectors: TaskID, found: ProviderKnowledge | None, seconds: float) -> None:
    if found is None or found.last_run is None:
        return
    counts: Counts = found.last_run.counts
    rate = counts.seen / seconds if seconds else 0.0
    words = f"{counts.added} new, {counts.changed} changed, {counts.failed} failed"
    bars.update(records, completed=counts.seen, description=f"records  {words}  {rate:,.0f}/s")
    bars.update(vectors, completed=found.refined.done, total=found.refined.of or None)


def search(
    question: Annotated[list[str], typer.Argument(help="The question, in words.")],
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=50, help="Hits at most.")] = 5,
    provider: Annotated[
        str | None, typer.Option(help="Only this provider's documents.", autocompletion=providers)
    ] = None,
    locale: Annotated[str | None, typer.Option(help="This language (`en` finds `en-us`), and what has none.")] = None,
    account: AccountOption = None,
    json: Json = False,
) -> None:
    """Ask the knowledge base."""
    at = caller(account)
    found = at.client.send(at.me.search(" ".join(question), limit=limit, provider=provider, locale=locale))
    if json:
        showing.as_json(found)
        return
    if not found.hits:
        showing.line("Nothing was found.")
    for number, hit in enumerate(found.hits, 1):
        heading = f" › {showing.shown(hit.heading)}" if hit.heading and hit.heading != hit.title else ""
        showing.line(f"{number}. {showing.shown(hit.title)}{heading}", "bold")
        showing.line(f"   {hit.provider}/{hit.stream}  {hit.tier}  {hit.score:.3f}  {hit.url or ''}", "dim")
        showing.line(f"   {showing.shown(hit.snippet)}")
