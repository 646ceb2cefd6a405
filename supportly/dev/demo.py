"""`make demo`: the whole story over HTTP, against the real processes, one line a step."""

from __future__ import annotations

import os
import sys
import termios
import time
import tty
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from supportly.dev.console import Report
from supportly.dev.stack import ACCOUNT_ID, Stack

CONTACT = 1
# Long enough for a first request, which imports and connects on both sides, on a slow machine.
REQUEST_S = 60.0
SYNC_S = 120.0
POLL_S = 0.25
# What connecting asks a person for, besides consent.
CONNECT: Mapping[str, dict[str, str]] = {"hubspot": {}, "zendesk": {"subdomain": "supportly-demo"}, "schedly": {}}
QUESTION = "How do I reset my password?"


class StoryError(Exception):
    """A step that did not go as told; the message says what came instead."""


def tell(stack: Stack, report: Report) -> bool:
    """Runs the story; True only if every step worked. A failed step does not keep the others from being tried."""
    report.line()
    report.line("The story, over HTTP:", "bold")
    with httpx.Client(timeout=REQUEST_S, headers={"api_access_token": stack.admin_token}) as client:
        story = Story(stack, client)
        told = [_told(report, title, step) for title, step in story.steps()]
    worked = all(told)
    report.line()
    for line in story.links():
        report.line(line)
    if not worked:
        report.line(f"Not every step worked; the logs are in {stack.directory / 'logs'}.", "red")
    return worked


def _told(report: Report, title: str, step: Callable[[], str]) -> bool:
    try:
        with report.step(title) as running:
            try:
                running.detail = step()
            except (StoryError, httpx.HTTPError) as error:
                running.detail = str(error) or type(error).__name__
                raise
    except (StoryError, httpx.HTTPError):
        return False
    return True


class Story:
    """The steps, in order; each answers with what it saw, or raises StoryError."""

    def __init__(self, stack: Stack, client: httpx.Client) -> None:
        self._stack = stack
        self._client = client
        self._base = f"{stack.api_url}/api/v1/accounts/{ACCOUNT_ID}/supportly_integrations"
        self._event_type: Any = None

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Title and step."""
        return [
            ("Seed the sandbox", self.seed),
            ("List integrations", self.overview),
            *((f"Connect {p}", partial(self.connect, p)) for p in CONNECT),
            *((f"Look contact {CONTACT} up in {p}", partial(self.look_up, p)) for p in CONNECT),
            *((f"Write the contact to {p}", partial(self.write, p)) for p in ("hubspot", "zendesk")),
            *((f"Log a note in {p}", partial(self.note, p)) for p in ("hubspot", "zendesk")),
            ("Schedly: get_event_types", self.event_types),
            ("Schedly: get_available_slots", self.slots),
            ("HubSpot: get_deals", self.deals),
            ("Sync Zendesk's help centre", self.sync),
            (f"Ask: {QUESTION}", self.ask),
        ]

    def links(self) -> list[str]:
        """Where a person can look on."""
        ui = self._stack.temporal.ui_url if self._stack.temporal else ""
        namespace = self._stack.temporal.namespace if self._stack.temporal else ""
        query = quote(f'SupportlyAccount="{ACCOUNT_ID}"')
        return [
            f"  API and its pages       {self._stack.api_url}/docs",
            f"  Every step, in Temporal {ui}/namespaces/{namespace}/workflows?query={query}",
        ]

    # The steps

    def seed(self) -> str:
        """People, tickets, deals and articles, as the providers would hold them."""
        seeded = self._call("POST", f"{self._stack.sandbox_url}/_sandbox/demo")
        return (
            ", ".join(f"{name} {_size(what)}" for name, what in seeded.items()) if isinstance(seeded, dict) else "done"
        )

    def overview(self) -> str:
        """All ten, and which of them are available."""
        found = _items(self._call("GET", ""), "integrations", "payload", "data", "providers")
        available = [str(one.get("provider") or one.get("id")) for one in found if one.get("available", True)]
        return f"{len(found)} integrations; available: {', '.join(available)}"

    def connect(self, provider: str) -> str:
        """OAuth as a browser does it: ask, consent at the provider, bring back what it returned."""
        begun = self._call("POST", f"/{provider}/connect", CONNECT[provider])
        consent = self._client.get(begun["authorization_url"], headers={"Accept": "application/json"})
        location = consent.headers.get("location")
        if not location:
            raise StoryError(f"the authorization page answered {consent.status_code} without a redirect")
        returned = dict(parse_qsl(urlsplit(location).query))
        if "code" not in returned:
            raise StoryError(f"the provider refused: {returned.get('error', 'no code came back')}")
        connected = self._call("POST", f"/{provider}/callback", returned)
        name = connected.get("account_name") or connected.get("connected_account") or connected.get("account")
        return f"{connected.get('status', 'connected')} {name or ''}".strip()

    def look_up(self, provider: str) -> str:
        """What the provider knows about the contact."""
        found = self._call("GET", f"/{provider}/contacts/{CONTACT}")
        parts = {name: len(what) for name, what in found.items() if isinstance(what, list) and what}
        return ", ".join(f"{count} {name}" for name, count in parts.items()) or "not known there yet"

    def write(self, provider: str) -> str:
        """The contact, created or updated at the provider."""
        done = self._call("POST", f"/{provider}/contacts/{CONTACT}/sync")
        record = done.get("record") or {}
        return f"{done.get('status', 'done')} {record.get('url') or record.get('id') or ''}".strip()

    def note(self, provider: str) -> str:
        """A note on the contact."""
        body = {"content": "Asked for an invoice copy; sent by e-mail.", "activity_type": "note"}
        done = self._call("POST", f"/{provider}/contacts/{CONTACT}/activity", body)
        activity = done.get("activity") or done.get("record") or done
        return str(activity.get("url") or activity.get("id") or done.get("status") or "logged")

    def event_types(self) -> str:
        """What can be booked."""
        found = self._act("schedly", "get_event_types")
        self._event_type = found[0].get("id") if found else None
        return f"{len(found)} event types{_first(found, 'title')}"

    def slots(self) -> str:
        """When it can be booked, within a week."""
        if self._event_type is None:
            raise StoryError("there is no event type to look for slots of")
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        period = {"start": start.isoformat(), "end": (start + timedelta(days=7)).isoformat()}
        found = self._act("schedly", "get_available_slots", {"event_type_id": self._event_type, **period})
        return f"{len(found)} slots{_first(found, 'start')}"

    def deals(self) -> str:
        """What is being sold."""
        found = self._act("hubspot", "get_deals")
        return f"{len(found)} deals{_first(found, 'name')}"

    def sync(self) -> str:
        """Knowledge on, synced now, until the run has ended."""
        before = self._knowledge("zendesk")
        self._call("POST", "/zendesk/knowledge/toggle", {"enabled": True})
        self._call("POST", "/zendesk/knowledge/sync")
        deadline = time.monotonic() + SYNC_S
        while time.monotonic() < deadline:
            status = self._knowledge("zendesk")
            run = status.get("last_run") or {}
            ended = run.get("state", run.get("status")) in {"succeeded", "partial", "failed", "canceled"}
            if ended and run != (before.get("last_run") or {}):
                if (run.get("state") or run.get("status")) != "succeeded":
                    raise StoryError(f"the run ended as {run.get('state') or run.get('status')}")
                return f"{status.get('documents', '?')} documents, {status.get('chunks', '?')} chunks"
            time.sleep(POLL_S)
        raise StoryError(f"the sync had not ended after {SYNC_S:.0f} s")

    def ask(self) -> str:
        """What Captain would read before it answers."""
        hits = _items(self._call("GET", f"/knowledge/search?q={quote(QUESTION)}&limit=3"), "hits", "results", "data")
        if not hits:
            raise StoryError("nothing was found")
        best = hits[0]
        return (
            f"{best.get('title')} ({best.get('provider')}, {float(best.get('score') or 0):.2f}) {best.get('url') or ''}"
        )

    # How they ask

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer's JSON; a 202 is followed until the work is done. Raises StoryError for any error."""
        url = path if path.startswith("http") else self._base + path
        answer = self._client.request(method, url, json=body if body is not None or method != "POST" else {})
        if answer.status_code == 202 and "status_url" in answer.json():
            return self._follow(answer.json())
        return _content(answer)

    def _follow(self, operation: dict[str, Any]) -> Any:
        url = httpx.URL(self._stack.api_url).join(operation["status_url"])
        deadline = time.monotonic() + REQUEST_S
        while time.monotonic() < deadline:
            state = _content(self._client.get(url))
            if state.get("status") in {"succeeded", "completed", "done"}:
                return state.get("result") or {}
            if state.get("status") not in {"running", "pending", "accepted", "queued"}:
                raise StoryError(f"the operation ended as {state.get('status')}: {state.get('error') or ''}")
            time.sleep(POLL_S)
        raise StoryError(f"the operation had not ended after {REQUEST_S:.0f} s")

    def _act(self, provider: str, action: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        done = self._call("POST", f"/{provider}/action", {"action": action, "params": params or {}})
        return _items(
            done.get("items") if done.get("items") is not None else done.get("result"), "items", "slots", "data"
        )

    def _knowledge(self, provider: str) -> dict[str, Any]:
        found = _items(self._call("GET", "/knowledge/status"), "providers", "integrations", "data", "payload")
        return next((one for one in found if provider in (one.get("provider"), one.get("id"))), {})


def wait_for_key(report: Report) -> None:
    """Holds until a key is pressed in the terminal."""
    report.line("  Press a key to stop everything.")
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        os.read(terminal, 1)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _content(answer: httpx.Response) -> Any:
    try:
        content = answer.json() if answer.content else {}
    except ValueError:
        content = {"error": answer.text[:200]}
    if answer.is_error:
        said = content.get("error") if isinstance(content, dict) else content
        raise StoryError(f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {said}")
    return content


def _items(content: Any, *names: str) -> list[dict[str, Any]]:
    """The list in an answer: the answer itself, or what stands under one of the names; a map's keys become ids."""
    if isinstance(content, dict):
        content = next((content[name] for name in names if name in content), content)
    if isinstance(content, dict):
        content = [
            {"id": key, **(value if isinstance(value, dict) else {"start": value})} for key, value in content.items()
        ]
    return [one for one in content or [] if isinstance(one, dict)]


def _first(found: list[dict[str, Any]], name: str) -> str:
    return f", first: {found[0][name]}" if found and found[0].get(name) else ""


def _size(what: Any) -> int:
    """How many records an answer of the sandbox counts, however it nests them."""
    if isinstance(what, dict):
        return sum(map(_size, what.values()))
    return len(what) if isinstance(what, list) else int(what)
