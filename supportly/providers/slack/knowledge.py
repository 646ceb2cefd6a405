"""Slack's knowledge: messages of chosen channels, one document for each thread. Off until an administrator chooses.

A cursor is a `Position` as JSON, a checkpoint the moment (Slack's clock) at which a walk started. At the pace of
restricted apps (one page a minute) a walk takes hours: whatever a page has cost is in the cursor.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import InvalidInput, NotFound, ProviderFailure, UnknownChoice
from supportly.http import Answer
from supportly.provider import Call, Stream, StreamsKnowledge, timestamp
from supportly.providers.slack import api
from supportly.providers.slack.api import CHANNEL, STAMP, Row, row_of, rows_of
from supportly.providers.slack.messages import code_of

DAY_S: Final = 86_400
TITLE: Final = 100
"""Characters of a title: a message has none, its first line stands for it."""
LONGEST: Final = 40_000
"""Characters of a thread that are read; what Slack itself keeps of one message."""
SPOKEN: Final = (None, "thread_broadcast", "file_share", "me_message")
"""Subtypes that somebody has written; all others tell of joins, topics, bots, and what was deleted."""


class Position(BaseModel):
    """Where a walk stands: channels still to read, and within the first of them a page and its open threads."""

    model_config = ConfigDict(frozen=True)
    channels: tuple[str, ...]
    started: str
    since: str
    """`ts` of the oldest message that is read."""
    cursor: str | None = None
    threads: tuple[str, ...] = ()
    """Threads of the last page that are still to be read."""
    thread_cursor: str | None = None
    texts: tuple[str, ...] = ()
    """What is read of the first of them."""


class SlackKnowledge(StreamsKnowledge):
    """The one stream."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "channels", "Channels", "Messages of chosen channels, a document for each thread; for agents.",
            incremental=True,
        ),
    )  # fmt: skip

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page of messages, or of the replies to one; edits and new replies are found by reading again."""
        if stream != "channels":
            raise UnknownChoice("Slack has no such stream.", field="streams", allowed=["channels"])
        if cursor is None:
            at = await _start(call, since)
        else:
            at = Position.model_validate_json(cursor)
        page = StreamPage(checkpoint=at.started)
        if at.threads:
            at = await _thread(call, at, page)
        elif at.channels:
            at = await _history(call, at, page)
        if at.channels or at.threads:
            page.next = at.model_dump_json()
        return page

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True when the channel has no such message, or may not be read any more."""
        _, channel, stamp = [*external_id.split(":"), "", ""][:3]
        if not re.fullmatch(CHANNEL, channel) or not re.fullmatch(STAMP, stamp):
            return True
        try:
            if channel not in call.settings.channels or not await _may_read(call, channel):
                return True
        except InvalidInput:
            return True
        asked = {"channel": channel, "oldest": stamp, "latest": stamp, "inclusive": True, "limit": 1}
        rows = rows_of((await call.http.get("/conversations.history", asked)).body(), "messages")
        return not any(row.get("ts") == stamp and _is_spoken(call, row) for row in rows)


async def _start(call: Call, since: str | None) -> Position:
    """The walk's beginning: asks who we are, since Slack's time is what counts."""
    answer = await call.http.get("/auth.test")
    now = answer.date
    oldest = now.timestamp() - call.settings.retention_days * DAY_S
    if since is not None:
        again = datetime.fromisoformat(since).timestamp() - call.settings.lookback_days * DAY_S
        oldest = max(oldest, again)
    wanted = [key for key in call.settings.channels if re.fullmatch(CHANNEL, key) and not key.startswith("D")]
    if len(wanted) < len(call.settings.channels):
        raise InvalidInput("`channels` are ids of channels, such as C0123456789.", field="settings.channels")
    return Position(channels=tuple(wanted), started=now.isoformat(), since=f"{max(0, oldest):.6f}")


async def _may_read(call: Call, channel: str) -> bool:
    """False for what must not be copied: channels of other companies, and private ones that were not opted in.

    Raises InvalidInput for one that the app cannot see: deleted, or private and the app not invited any more.
    """
    try:
        answer = await call.http.get("/conversations.info", {"channel": channel})
    except ProviderFailure as error:
        if code_of(error) != "channel_not_found":
            raise
        text = f"Slack does not show the channel {channel} to the app: invite it there, or take the channel out."
        raise InvalidInput(text, field="settings.channels") from None
    row = row_of(answer.body(), "channel")
    if row.get("is_ext_shared") or row.get("is_im") or row.get("is_mpim"):
        return False
    return call.settings.private_channels or not row.get("is_private")


async def _history(call: Call, at: Position, page: StreamPage) -> Position:
    channel = at.channels[0]
    # A public channel can become private and keeps its id, so that each walk asks again.
    if at.cursor is None and not await _may_read(call, channel):
        return at.model_copy(update={"channels": at.channels[1:]})
    asked = {"channel": channel, "oldest": at.since, "limit": call.settings.page_size, "cursor": at.cursor}
    body = (await _read(call, "conversations.history", asked)).body()
    following = api.next_cursor(body, at.cursor) if body.get("has_more") else None
    threads = []
    for row in rows_of(body, "messages"):
        stamp = row.get("ts")
        if not isinstance(stamp, str) or not re.fullmatch(STAMP, stamp):
            page.failures.append(RecordFailure(external_id=_key(call, channel, str(stamp)), reason="It has no time."))
        elif row.get("thread_ts", stamp) == stamp and _is_spoken(call, row):
            if row.get("reply_count"):
                threads.append(stamp)
            else:
                await _add(call, channel, stamp, [row], page)
    after = at.channels if following else at.channels[1:]
    held = at.channels if threads else after
    return at.model_copy(update={"channels": held, "cursor": following, "threads": tuple(threads)})


async def _thread(call: Call, at: Position, page: StreamPage) -> Position:
    """Reads one page of one thread; the document is made when the last page is there."""
    channel, stamp = at.channels[0], at.threads[0]
    asked = {"channel": channel, "ts": stamp, "limit": call.settings.page_size, "cursor": at.thread_cursor}
    try:
        body = (await _read(call, "conversations.replies", asked)).body()
    except NotFound:  # deleted since the page was read
        return _next_thread(at)
    following = api.next_cursor(body, at.thread_cursor) if body.get("has_more") else None
    rows = [row for row in rows_of(body, "messages") if _is_spoken(call, row)]
    if at.texts:  # every page begins with the thread's first message again
        rows = [row for row in rows if row.get("ts") != stamp]
    texts = (*at.texts, *(str(row.get("text") or "") for row in rows))
    if following and sum(map(len, texts)) < LONGEST:
        return at.model_copy(update={"thread_cursor": following, "texts": texts})
    await _add(call, channel, stamp, [{"text": text} for text in texts], page)
    return _next_thread(at)


def _next_thread(at: Position) -> Position:
    left = at.threads[1:]
    channels = at.channels if left or at.cursor else at.channels[1:]
    return at.model_copy(update={"threads": left, "thread_cursor": None, "texts": (), "channels": channels})


async def _read(call: Call, method: str, asked: Row) -> Answer:
    """A read of messages; a public channel that the app is not in is joined, once."""
    try:
        return await call.http.get(f"/{method}", asked)
    except ProviderFailure as error:
        if code_of(error) != "not_in_channel":
            raise
    await api.post(call, "conversations.join", {"channel": asked["channel"]})
    return await call.http.get(f"/{method}", asked)


def _is_spoken(call: Call, row: Row) -> bool:
    ours = call.facts.get("bot_id")
    return row.get("subtype") in SPOKEN and not (ours and row.get("bot_id") == ours)


def _key(call: Call, channel: str, stamp: str) -> str:
    return f"{call.facts.get('team_id', '')}:{channel}:{stamp}"


async def _add(call: Call, channel: str, stamp: str, rows: list[Row], page: StreamPage) -> None:
    """One document of a message or a thread; a message without text, such as a file, is none."""
    key = _key(call, channel, stamp)
    if not all(isinstance(row.get("text", ""), str) for row in rows):
        page.failures.append(RecordFailure(external_id=key, reason="Its text cannot be read."))
        return
    texts = [text for row in rows if (text := (await _plain(call, row.get("text", ""))).strip())]
    if not texts:
        return
    page.documents.append(
        Document(
            stream="channels",
            external_id=key,
            title=texts[0].partition("\n")[0][:TITLE],
            body="\n\n".join(texts)[:LONGEST],
            url=api.link(call, channel, stamp),
            updated_at=timestamp(float(stamp) * 1000),
            audience="internal",
        )
    )


CONTROL: Final = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
"""Slack's control sequences: `<@U1>`, `<#C1|name>`, `<!here>`, `<https://a|text>`."""


async def _plain(call: Call, text: str) -> str:
    """Slack's markup as Markdown; members are named, which costs a call each."""
    names = {}
    for key in dict.fromkeys(m[2] for m in CONTROL.finditer(text) if m[1] == "@" and not m[3]):
        names[key] = await _name(call, key)

    def shown(found: re.Match[str]) -> str:
        sign, what, label = found[1], found[2], found[3] or ""
        if sign == "@":
            return f"@{label or names.get(what, 'member')}"
        if sign == "#":
            return f"#{label or what}"
        if sign == "!":
            return label or f"@{what.partition('^')[0]}"
        return f"[{label}]({what})" if label else what

    return CONTROL.sub(shown, text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


async def _name(call: Call, key: str) -> str:
    """A member's name; one that cannot be had is no reason to lose the message."""
    try:
        found = await call.http.get("/users.info", {"user": key})
    except ProviderFailure as error:
        if error.retryable:
            raise
        return "member"
    except NotFound:
        return "member"
    row: dict[str, Any] = found.body().get("user") or {}
    return str(row.get("real_name") or row.get("name") or "member")
