"""Slack's members are looked up and never written; activities become messages in a channel."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from supportly.contracts.contacts import ActivityJob, ActivityKind, Record, RecordRef
from supportly.errors import InvalidInput, NotFound, ProviderFailure
from supportly.provider import Call, LogsActivities, ProviderSettings, absent_as_none
from supportly.providers.slack import api, messages
from supportly.providers.slack.api import CHANNEL, STAMP, row_of

TITLES: Final[dict[ActivityKind, str]] = {"note": "Note", "call": "Call", "task": "Task"}
TARGET: Final = "`target` is a channel's id, or the id of an earlier message (`channel:ts`) to answer in its thread."


class SlackMembers(LogsActivities):
    """Finds members, and posts activities."""

    settings: ClassVar[type[ProviderSettings]] = api.SlackSettings
    activity_needs_record: ClassVar[bool] = False

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The member; None for an account that is deactivated."""
        found = await absent_as_none(call.http.get("/users.info", {"user": record_id}))
        return _active(row_of(found.body(), "user")) if found else None

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """The member with this address."""
        try:
            found = await call.http.get("/users.lookupByEmail", {"email": email})
        except NotFound:
            return []
        record = _active(row_of(found.body(), "user"))
        return [record] if record else []

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """One message; the contact is named by the words of the activity's author, not by us."""
        channel, thread = _place(call, job)
        blocks = api.sections(f"{TITLES[job.kind]}\n{job.content.strip()}")
        body = {"channel": channel, "text": api.escaped(job.content.strip()[: api.SECTION // 5]), "blocks": blocks}
        made = await messages.send(call, {**body, **({"thread_ts": thread} if thread else {})})
        return await _ref(call, str(made["channel"]), str(made["ts"]))

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Reads the channel's newest messages for the marker."""
        channel, thread = _place(call, job)
        found = await messages.sent(call, channel, thread)
        return await _ref(call, channel, str(found["ts"])) if found else None


def _active(row: dict[str, object]) -> Record | None:
    return None if row.get("deleted") else api.member(row)


def _place(call: Call, job: ActivityJob) -> tuple[str, str | None]:
    """Channel and thread of an activity. Raises InvalidInput where none is named."""
    channel, _, thread = (job.target or call.settings.channel or "").partition(":")
    if not channel:
        raise InvalidInput("Choose a channel in the settings, or name one as `target`.", field="settings.channel")
    if not re.fullmatch(CHANNEL, channel) or (thread and not re.fullmatch(STAMP, thread)):
        raise InvalidInput(TARGET, field="target")
    return channel, thread or None


async def _ref(call: Call, channel: str, stamp: str) -> RecordRef:
    """Id and link. The message is there: a link that cannot be had now is no reason to fail."""
    try:
        found = await call.http.get("/chat.getPermalink", {"channel": channel, "message_ts": stamp})
        url = str(found.body().get("permalink") or "") or None
    except ProviderFailure:
        url = api.link(call, channel, stamp)
    return RecordRef(id=f"{channel}:{stamp}", url=url)
