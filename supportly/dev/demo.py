"""`make demo`: the whole story over HTTP, against the real processes, one line a step."""

from __future__ import annotations

import os
import sys
import termios
import time
import tty
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from supportly.dev.cast import CAST, Role
from supportly.dev.console import Report
from supportly.dev.stack import ACCOUNT_ID, Stack

CONTACT = 1
# Long enough for a first request, which imports and connects on both sides, on a slow machine.
REQUEST_S = 60.0
SYNC_S = 120.0
POLL_S = 0.25
COLUMNS = ("Provider", "Connected to", "Contact", "Written", "Activity", "Action", "Documents")
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
    report.table(COLUMNS, story.rows())
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
        self._done: dict[str, dict[str, str]] = {provider: {} for provider in CAST}
        self._titles: dict[str, str] = {}
        self._before: dict[str, Any] = {}

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Title and step."""
        return [
            ("Seed the sandbox", self.seed),
            ("List integrations", self.overview),
            *((f"Connect {p} and use it", partial(self.provider, p, role)) for p, role in CAST.items()),
            ("Knowledge of all of them", self.knowledge),
            (f"Ask: {QUESTION}", self.ask),
        ]

    def rows(self) -> list[tuple[str, ...]]:
        """What each provider did, by `COLUMNS`; a dash where the provider cannot do it, nothing where it failed."""
        return [
            (self._titles.get(p, p), *(done.get(column, "") for column in COLUMNS[1:]))
            for p, done in self._done.items()
        ]

    def links(self) -> list[str]:
        """Where a person can look on."""
        ui = self._stack.temporal.ui_url if self._stack.temporal else ""
        namespace = self._stack.temporal.namespace if self._stack.temporal else ""
        query = quote(f'SupportlyAccount="{ACCOUNT_ID}"')
        return [
            f"  Console                 {self._stack.console_url} (sign in with admin_token of {self._stack.file})",
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
        """All of them, and which are available."""
        found = self._call("GET", "")["integrations"]
        self._titles = {one["provider"]: one["name"] for one in found}
        available = [one["provider"] for one in found if one["available"]]
        return f"{len(found)} integrations; available: {', '.join(available)}"

    def provider(self, provider: str, role: Role) -> str:
        """Everything that a provider can do for a contact, as far as it can."""
        done = self._done[provider]
        done["Connected to"] = self.connect(provider, role)
        told = self._call("GET", f"/{provider}")
        can = told["capabilities"]
        if role.settings:
            self._call("PUT", f"/{provider}/settings", {"settings": {**told["settings"], **role.settings}})
        done["Contact"], record = self.look_up(provider)
        done["Written"] = self.write(provider) if can["contact_create"] else "–"
        done["Activity"] = self.note(provider) if can["activities"] else "–"
        done["Action"] = self.act(provider, role, record)
        # A stack that was used before knows earlier runs.
        before = self._status(provider).get("last_run") or {}
        self._call("POST", f"/{provider}/knowledge/toggle", {"enabled": True})
        self._call("POST", f"/{provider}/knowledge/sync")
        self._before[provider] = before.get("run_id")
        return "; ".join(f"{column.lower()} {what}" for column, what in done.items() if what != "–")

    def connect(self, provider: str, role: Role) -> str:
        """OAuth as a browser does it: ask, consent at the provider, bring back what it returned."""
        begun = self._call("POST", f"/{provider}/connect", dict(role.connect))
        consent = self._client.get(begun["authorization_url"], headers={"Accept": "application/json"})
        location = consent.headers.get("location")
        if not location:
            raise StoryError(f"the authorization page answered {consent.status_code} without a redirect")
        returned = dict(parse_qsl(urlsplit(location).query))
        if "code" not in returned:
            raise StoryError(f"the provider refused: {returned.get('error', 'no code came back')}")
        return str(self._call("POST", f"/{provider}/callback", returned)["account_name"])

    def look_up(self, provider: str) -> tuple[str, str]:
        """What the provider knows about the contact, and the record's id."""
        found = self._call("GET", f"/{provider}/contacts/{CONTACT}")
        if found["partial"]:
            raise StoryError(f"not all parts came: {found['partial']}")
        parts = (("records", "record", "records"), ("deals", "deal", "deals"), ("activities", "activity", "activities"))
        counts = [(len(found[name]), one, many) for name, one, many in parts if found[name]]
        told = ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts)
        return told or "not known", found["records"][0]["id"] if found["records"] else ""

    def write(self, provider: str) -> str:
        """The contact, created or updated at the provider."""
        done = self._call("POST", f"/{provider}/contacts/{CONTACT}/sync")
        return f"{done['status']} {short(done['record']['id'])}"

    def note(self, provider: str) -> str:
        """A note on the contact."""
        body = {"content": "Asked for an invoice copy; sent by e-mail.", "activity_type": "note"}
        done = self._call("POST", f"/{provider}/contacts/{CONTACT}/activity", body)
        return f"note {short(done['record']['id'])}"

    def act(self, provider: str, role: Role, record: str) -> str:
        """One of its actions; `{record}` in the parameters is the record that was found."""
        params = {k: v.format(record=record) if isinstance(v, str) else v for k, v in role.params.items()}
        done = self._call("POST", f"/{provider}/action", {"action": role.action, "params": params})
        return f"{role.action}: {len(done['items'])}" if done.get("items") is not None else role.action

    def knowledge(self) -> str:
        """What was turned on above syncs by itself; this waits until all first runs have ended."""
        deadline, documents, chunks = time.monotonic() + SYNC_S, 0, 0
        for provider in self._before:
            status = self._synced(provider, deadline)
            self._done[provider]["Documents"] = str(status["documents"])
            documents, chunks = documents + status["documents"], chunks + status["chunks"]
        return f"{documents} documents, {chunks} chunks"

    def _synced(self, provider: str, deadline: float) -> dict[str, Any]:
        while time.monotonic() < deadline:
            status = self._status(provider)
            run = status.get("last_run") or {}
            if run.get("run_id") != self._before[provider] and run.get("state") != "running":
                if run["state"] != "succeeded":
                    why = run.get("failed_streams") or "see the workflow"
                    raise StoryError(f"the run of {provider} ended as {run['state']}: {why}")
                return status
            time.sleep(POLL_S)
        raise StoryError(f"the run of {provider} had not ended after {SYNC_S:.0f} s")

    def _status(self, provider: str) -> dict[str, Any]:
        found = self._call("GET", "/knowledge/status")["providers"]
        return next((one for one in found if one["provider"] == provider), {})

    def ask(self) -> str:
        """What Captain would read before it answers."""
        hits = self._call("GET", f"/knowledge/search?q={quote(QUESTION)}&limit=3")["hits"]
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


def short(key: str) -> str:
    """A record's id; of one that is a URI, its end."""
    return key.rpartition("/")[2]


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


def _size(what: Any) -> int:
    """How many records an answer of the sandbox counts, however it nests them."""
    if isinstance(what, dict):
        return sum(map(_size, what.values()))
    return len(what) if isinstance(what, list) else int(what)
