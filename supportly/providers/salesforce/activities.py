"""What is logged on Salesforce's contacts: notes, calls and tasks.

Nothing of these is idempotent but an upsert by an external-id field, which the customer's org may not have. Without one
a mark stands in the text; long texts cannot be filtered, so it is looked for among the contact's newest ones.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any, Final

import orjson

from supportly.contracts.contacts import ActivityJob, Record, RecordRef
from supportly.errors import InvalidInput, ProviderFailure, SupportlyError, UnsupportedByProvider
from supportly.http import Answer, segment
from supportly.provider import FIRST_PAGE, Call, LogsActivities, absent_as_none
from supportly.providers.salesforce.contacts import made_id
from supportly.providers.salesforce.shapes import fields_of, is_id, options, page_url, parent
from supportly.providers.salesforce.soql import VERSION, Row, everything, optional, quoted, select

TASKS: Final = "/sobjects/Task"
LONGEST_TEXT: Final = 32_000
"""Characters of a task's description and of a classic note."""
TITLE: Final = 255
"""Characters of a task's subject and of an enhanced note's title."""
NOTE_TITLE: Final = 80
"""Characters of a classic note's title."""
NOTES: Final = {"content_note": "ContentNote", "note": "Note", "task": "Task"}
HALTED: Final = "PROCESSING_HALTED"
"""Code of a sub-request that was called off because another one failed."""


class SalesforceActivities(LogsActivities):
    """Logs activities on a contact. A `target` names the account, deal or case that a task or call is about."""

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """Writes the activity; a note as what the settings and the org's objects allow."""
        if job.target is not None and not is_id(job.target):
            raise InvalidInput("`target` is the id of an account, deal or case in Salesforce.", field="target")
        if job.kind == "note" and not call.settings.activity_key_field:
            sobject = await self._note_object(call)
            if job.target and sobject != "Task":
                text = "A note stands on the contact itself; leave `target` out, or set `note_as` to `task`."
                raise UnsupportedByProvider(text, field="target")
            if sobject == "ContentNote":
                return await self._content_note(call, record, job)
            if sobject == "Note":
                wanted = {"ParentId": record.id, "Title": _title(job, NOTE_TITLE), "Body": _text(call, job)}
                return _ref(call, made_id((await call.http.post("/sobjects/Note", wanted)).body()))
        return await self._task(call, record, job)

    @staticmethod
    async def _note_object(call: Call) -> str:
        """The object that a note becomes: the chosen one, else the first that the org has. A task always works."""
        if call.settings.note_as != "auto":
            return NOTES[call.settings.note_as]
        for sobject in ("ContentNote", "Note"):
            fields = await fields_of(call, sobject)
            if fields and fields.get("Title", {}).get("createable"):
                return sobject
        return "Task"

    async def _task(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        known = await fields_of(call, "Task")
        if known is None:
            raise UnsupportedByProvider("The connected user may not see tasks in Salesforce.")
        done = job.kind != "task"
        wanted: Row = {"WhoId": record.id, "Subject": _title(job, TITLE), "TaskSubtype": "Task"}
        if job.target:
            wanted["WhatId"] = job.target
        if owner := call.settings.owner_id:
            wanted["OwnerId"] = owner
        # An org may have renamed its statuses; its default is better than a refusal.
        if done and (status := options(known.get("Status")).get(call.settings.completed_status.casefold())):
            wanted["Status"] = status
        if job.kind == "call":
            wanted["TaskSubtype"] = "Call"
            # Documented for call centres; other clients write it freely. Unconfirmed for all editions, hence the look.
            if known.get("CallObject", {}).get("createable"):
                wanted["CallObject"] = call.marker
        if field := call.settings.activity_key_field:
            return await self._keyed_task(call, field, wanted | {"Description": _fitting(job.content)})
        text = _fitting(job.content) if "CallObject" in wanted else _text(call, job)
        return _ref(call, made_id((await call.http.post(TASKS, wanted | {"Description": text})).body()))

    @staticmethod
    async def _keyed_task(call: Call, field: str, wanted: Mapping[str, Any]) -> RecordRef:
        """Upsert: the same key again writes the same task."""
        path = f"{TASKS}/{segment(field)}/{segment(call.marker)}"
        answer = await call.http.patch(path, dict(wanted))
        body = answer.body() if answer.content else (await call.http.get(path, {"fields": "Id"})).body()
        return _ref(call, made_id(body))

    @staticmethod
    async def _content_note(call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """The note and its link to the contact, both or none."""
        markup = html.escape(_text(call, job), quote=False).replace("\n", "<br>")
        content = base64.b64encode(markup.encode()).decode()
        link = {"ContentDocumentId": "@{note.id}", "LinkedEntityId": record.id, "ShareType": "V"}
        parts = [
            ("note", "ContentNote", {"Title": _title(job, TITLE), "Content": content}),
            ("link", "ContentDocumentLink", link),
        ]
        base = f"/services/data/{VERSION}/sobjects"
        wanted = {
            "allOrNone": True,
            "compositeRequest": [
                {"method": "POST", "url": f"{base}/{sobject}", "referenceId": name, "body": body}
                for name, sobject, body in parts
            ],
        }
        answers = (await call.http.post("/composite", wanted)).body().get("compositeResponse")
        if not isinstance(answers, list) or not answers:
            raise ProviderFailure("Salesforce answered a composite request without its parts.")
        if error := _failed(call, answers):
            raise error
        return _ref(call, made_id(answers[0].get("body") or {}))

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Reads the task under our key, else looks for the mark in the contact's newest texts; queries do not lag."""
        if field := call.settings.activity_key_field:
            path = f"{TASKS}/{segment(field)}/{segment(call.marker)}"
            answer = await absent_as_none(call.http.get(path, {"fields": "Id"}))
            return _ref(call, str(answer.body()["Id"])) if answer else None
        who, mark = quoted(record.id), f"[{call.marker}]"
        newest: dict[str, Any] = {"order": "CreatedDate DESC, Id DESC", "limit": FIRST_PAGE}
        if job.kind == "note":
            if found := await self._find_content_note(call, record, job):
                return found
            for row in await optional(call, select(["Id", "Body"], "Note", [f"ParentId = {who}"], **newest)):
                if mark in str(row.get("Body")):
                    return _ref(call, str(row["Id"]))
        if job.kind == "call":
            tests = [f"WhoId = {who}", f"CallObject = {quoted(call.marker)}"]
            for row in await optional(call, select(["Id"], "Task", tests, limit=1)):
                return _ref(call, str(row["Id"]))
        for row in await everything(call, select(["Id", "Description"], "Task", [f"WhoId = {who}"], **newest)):
            if mark in str(row.get("Description")):
                return _ref(call, str(row["Id"]))
        return None

    @staticmethod
    async def _find_content_note(call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Among the contact's notes of the same title, by their content, which costs a call each."""
        links = await optional(
            call,
            select(
                ["ContentDocumentId", "ContentDocument.Title"],
                "ContentDocumentLink",
                [f"LinkedEntityId = {quoted(record.id)}", "ContentDocument.FileType = 'SNOTE'"],
                order="ContentDocument.CreatedDate DESC",
                limit=FIRST_PAGE,
            ),
        )
        for row in links:
            if parent(row, "ContentDocument", "Title") != _title(job, TITLE):
                continue
            note = str(row["ContentDocumentId"])
            answer = await absent_as_none(call.http.get(f"/sobjects/ContentNote/{segment(note)}/Content"))
            if answer and f"[{call.marker}]".encode() in answer.content:
                return _ref(call, note)
        return None


def _ref(call: Call, record_id: str) -> RecordRef:
    return RecordRef(id=record_id, url=page_url(call.facts, record_id))


def _title(job: ActivityJob, most: int) -> str:
    return job.content.strip().partition("\n")[0].strip()[:most] or job.kind.capitalize()


def _fitting(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise InvalidInput(f"Salesforce takes at most {LONGEST_TEXT} characters.", field="content")
    return text


def _text(call: Call, job: ActivityJob) -> str:
    """The content with our mark under it."""
    return _fitting(f"{job.content}\n\n[{call.marker}]")


def _failed(call: Call, answers: list[Row]) -> SupportlyError | None:
    """The error of the sub-request that failed; the answer around it is a 200."""
    bad = [a for a in answers if int(a.get("httpStatusCode") or 500) >= 300]
    cause = next((a for a in bad if _code(a) != HALTED), bad[0] if bad else None)
    if cause is None:
        return None
    status = int(cause.get("httpStatusCode") or 500)
    inner = Answer(status, {}, orjson.dumps(cause.get("body")), "POST", "/composite")
    return call.http.policy.read_error(inner)


def _code(answer: Row) -> str:
    body = answer.get("body")
    first = body[0] if isinstance(body, list) and body else {}
    return str(first.get("errorCode") or "") if isinstance(first, dict) else ""
