"""Issues and comments as activities, each exactly once.

There is no idempotency key, and a search may miss what was just written. A comment is found in its issue's list. An
issue is found by its label, else among the keys that follow the newest known one, which are read by key and do not lag.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from supportly.contracts.contacts import ActivityJob, Record, RecordRef
from supportly.errors import InvalidInput, NotFound, OutcomeUnknown, UnsupportedByProvider
from supportly.http import segment
from supportly.oauth import now_utc
from supportly.provider import Call, LogsActivities, integer
from supportly.providers.jira import adf, api
from supportly.providers.jira.api import DESK, KEY, V3, Row, rows_of

SUMMARY: Final = 255
"""Characters of an issue's summary."""
TASK_DUE: Final = timedelta(days=1)
"""A task wants a due date and a request names none: tomorrow."""
AHEAD: Final = 50
"""Keys that are read beyond the newest known one, at once: more than a project gets while a search lags."""
COMMENTS: Final = 100
"""Comments of one page."""
LONGEST: Final = 30_000
"""Characters of a body: Jira takes 32,767 of a rendered text, and our marker and headings need some."""
HEADINGS: Final = {"note": "", "call": "Call", "task": ""}


class JiraIssues(LogsActivities):
    """Logs activities on the issue that is named, else in an issue of their own."""

    activity_needs_record = False

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """A note or call is a comment on `target`; without one, and for a task, an issue is made."""
        text = job.content.strip()
        if len(text) > LONGEST:
            raise InvalidInput(f"Jira takes at most {LONGEST} characters.", field="content")
        if target := _target(job):
            made = await comment(call, target, text, HEADINGS[job.kind])
            return RecordRef(id=str(made["id"]), url=_focused(call, target, made))
        fields: Row = {
            "summary": text.partition("\n")[0][:SUMMARY].strip(),
            "description": adf.document(text, HEADINGS[job.kind]),
            "project": {"key": _chosen(call, "project_key")},
            "issuetype": {"id": _chosen(call, "issue_type_id")},
        }
        if job.kind == "task":
            fields["duedate"] = (now_utc() + TASK_DUE).date().isoformat()
        made = await create(call, fields)
        return RecordRef(id=str(made["key"]), url=api.link(call, made["key"]))

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """The comment with our marker, or the issue with our label."""
        if target := _target(job):
            found = await commented(call, target)
            return RecordRef(id=str(found["id"]), url=_focused(call, target, found)) if found else None
        made = await created(call, _chosen(call, "project_key"))
        return RecordRef(id=str(made["key"]), url=api.link(call, made["key"])) if made else None


def _target(job: ActivityJob) -> str:
    key = (job.target or "").strip().upper()
    if key and job.kind == "task":
        raise UnsupportedByProvider("A task becomes an issue of its own; leave `target` out.", field="target")
    if key and not re.fullmatch(KEY, key):
        raise InvalidInput("`target` is the key of an issue, such as SUP-12.", field="target")
    return key


def _chosen(call: Call, name: str) -> str:
    """A setting that making an issue needs. Raises InvalidInput."""
    value = getattr(call.settings, name)
    if not value:
        raise InvalidInput(f"Choose `{name}` in the settings, or name an issue as `target`.", field=f"settings.{name}")
    return str(value)


def _focused(call: Call, key: str, made: Row) -> str | None:
    page = api.link(call, key)
    return f"{page}?focusedCommentId={made['id']}" if page else None


async def comment(call: Call, key: str, text: str, heading: str = "", *, internal: bool | None = None) -> Row:
    """Adds a comment with our marker; where a desk is chosen, one that its customer does not see, unless told so."""
    marked = f"{text}\n\n[{call.marker}]"
    if call.settings.service_desk_id or internal:
        body = {"body": f"{heading}\n\n{marked}".strip(), "public": internal is False}
        try:
            return dict((await call.http.post(f"{DESK}/request/{segment(key)}/comment", body)).body())
        except NotFound:
            if internal:  # an issue outside Service Management has no internal comments
                text = "This issue is no Service Management request: its comments cannot be internal."
                raise UnsupportedByProvider(text, field="internal") from None
    wanted = {"body": adf.document(marked, heading)}
    return dict((await call.http.post(f"{V3}/issue/{segment(key)}/comment", wanted)).body())


async def commented(call: Call, key: str) -> Row | None:
    """The comment with our marker, the newest first."""
    start = 0
    while True:
        asked = {"startAt": start, "maxResults": COMMENTS, "orderBy": "-created"}
        body = (await call.http.get(f"{V3}/issue/{segment(key)}/comment", asked)).body()
        rows = rows_of(body, "comments")
        if found := next((row for row in rows if f"[{call.marker}]" in adf.plain(row.get("body"))), None):
            return found
        start += len(rows)
        if not rows or start >= integer(body.get("total") or 0):
            return None


async def create(call: Call, fields: Row) -> Row:
    """Makes an issue under our label."""
    labels = [*fields.get("labels", []), "supportly", api.label(call)]
    body = {"fields": {**fields, "labels": labels}}
    return dict((await call.http.post(f"{V3}/issue", body)).body())


async def created(call: Call, project: str) -> Row | None:
    """The issue with our label, in the search or among the newest keys."""
    wanted = api.label(call)
    query = f"project = {api.quoted(project)} AND labels = {api.quoted(wanted)}"
    body = (await call.http.post(f"{V3}/search/jql", {"jql": query, "fields": ["labels"], "maxResults": 1})).body()
    if rows := rows_of(body, "issues"):
        return rows[0]
    return await newer(call, project, lambda fields: wanted in (fields.get("labels") or []))


async def newer(call: Call, project: str, ours: Callable[[Row], bool]) -> Row | None:
    """An issue of ours that the search does not know yet: keys are numbered, and reading by key does not lag.

    Raises OutcomeUnknown when the project grows so fast that this cannot be told.
    """
    query = f"project = {api.quoted(project)} ORDER BY key DESC"
    body = (await call.http.post(f"{V3}/search/jql", {"jql": query, "fields": ["created"], "maxResults": 1})).body()
    rows = rows_of(body, "issues")
    newest = integer(str(rows[0]["key"]).rpartition("-")[2]) if rows else 0
    keys = [f"{project}-{number}" for number in range(newest, newest + AHEAD + 1) if number]
    asked: dict[str, Any] = {"issueIdsOrKeys": keys, "fields": ["labels", "description"]}
    found = rows_of((await call.http.post(f"{V3}/issue/bulkfetch", asked)).body(), "issues")
    if hit := next((row for row in found if ours(row.get("fields") or {})), None):
        return hit
    if any(row.get("key") == keys[-1] for row in found):
        raise OutcomeUnknown("Jira did not answer, and this project grows too fast to look for the issue. Look there.")
    return None
