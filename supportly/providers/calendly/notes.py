"""Notes on Calendly's contacts; a call is a note with a title, a task a note with a reminder."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from supportly.contracts.contacts import ActivityJob, Record, RecordRef
from supportly.errors import InvalidInput, ProviderFailure, UnsupportedByProvider
from supportly.oauth import now_utc
from supportly.provider import Call, LogsActivities
from supportly.providers.calendly import api
from supportly.providers.calendly.api import LIST, Row, row_of, rows_of
from supportly.providers.calendly.contacts import reconnect

TITLE: Final = 255
"""Characters of a note's title."""
BODY: Final = 10_000
"""Characters of a note's body."""
DUE: Final = timedelta(days=1)
"""A task's reminder: a request names none."""
NO_REMINDER: Final = "(Calendly has no reminders on this account.)"
NOT_VALID: Final = 400


class CalendlyNotes(LogsActivities):
    """Logs activities. Notes are private to the user who connected."""

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """Writes one note; a task loses its reminder, and says so, where the account has none."""
        if job.target:
            raise UnsupportedByProvider("Calendly logs on the contact; leave `target` out.", field="target")
        if record.type != "contact":
            reconnect()
        mark = f"\n\n[{call.marker}]"
        room = BODY - len(mark) - len(NO_REMINDER) - 1
        text = job.content.strip()
        if len(text) > room:
            raise InvalidInput(f"Calendly takes at most {room} characters.", field="content")
        note: Row = {"body": text + mark}
        if job.kind != "note":
            first_line = text.partition("\n")[0]
            note["title"] = f"{job.kind.capitalize()}: {first_line}"[:TITLE]
        if job.kind == "task":
            due = (now_utc() + DUE).strftime("%Y-%m-%dT%H:%M:%SZ")
            made = await self._post(call, record, {**note, "remind_at": due}, or_none=True)
            # Documented: where reminders are not available, 403 and no note is made.
            made = made or await self._post(call, record, {**note, "body": f"{text}\n{NO_REMINDER}{mark}"})
        else:
            made = await self._post(call, record, note)
        return RecordRef(id=str((made or {})["uri"]), url=None)

    async def _post(self, call: Call, record: Record, note: Row, *, or_none: bool = False) -> Row | None:
        """The note that was made; for a 403 None where that is an answer, else there is no permission."""
        try:
            return await self._named(call, record, note)
        except ProviderFailure as error:
            if not api.is_denied(error):
                raise
            if not or_none:
                reconnect()
            return None

    @staticmethod
    async def _named(call: Call, record: Record, note: Row) -> Row:
        """Under the field's documented name, or the one that a refusal asks for: which it is, is unconfirmed."""
        try:
            return row_of((await call.http.post("/notes", {"contact": record.id, **note})).body())
        except ProviderFailure as error:
            named = str(error.details.get("field") or "")
            if error.provider_status != NOT_VALID or named == "contact" or not named.startswith("contact"):
                raise
        return row_of((await call.http.post("/notes", {named: record.id, **note})).body())

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Reads the contact's notes for the marker; the list does not lag."""
        token = None
        while True:
            asked: dict[str, Any] = {"contact": record.id, "count": LIST}
            body = (await call.http.get("/notes", {**asked, "page_token": token})).body()
            for row in rows_of(body):
                if f"[{call.marker}]" in str(row.get("body")):
                    return RecordRef(id=str(row["uri"]), url=None)
            if (token := api.next_token(body, token)) is None:
                return None
