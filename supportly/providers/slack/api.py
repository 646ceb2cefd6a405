"""Slack's answers: `ok: false` under status 200, cursors, and the shapes that lookups, actions and streams share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from supportly.contracts.contacts import Record
from supportly.errors import InvalidInput, ProviderFailure
from supportly.http import Answer
from supportly.provider import Call, ProviderSettings

CHANNEL: Final = r"^[CGD][A-Z0-9]{2,20}$"
"""Id of a channel or conversation; names are not stable."""
MEMBER: Final = r"^[UW][A-Z0-9]{2,20}$"
STAMP: Final = r"^\d{10}\.\d{6}$"
"""A message's `ts`: a text, never a number, since a float loses its last digits."""
JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
"""Without the charset Slack warns on every call."""
SECTION: Final = 3000
"""Characters of one section block."""
LONGEST: Final = 12_000
"""Characters of one message: a total near 13,000 was reported as refused (slackapi/bolt-js issue 2509)."""

Row = dict[str, Any]


class SlackSettings(ProviderSettings):
    """Settings of Slack."""

    channel: str | None = Field(
        None, pattern=CHANNEL, description="Id of the channel that notes, calls and tasks are posted to."
    )
    channels: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="Ids of the channels whose messages Captain may read. Slack's terms restrict copies of messages "
        "and their use with language models: choose with care.",
    )
    private_channels: bool = Field(False, description="Also read chosen channels that are private.")
    retention_days: int = Field(30, ge=1, le=3650, description="Age in days up to which messages are kept for Captain.")
    lookback_days: int = Field(
        10, ge=0, le=365, description="Days that each sync reads again: Slack does not list edits, or new replies."
    )
    page_size: int = Field(
        15,
        ge=1,
        le=999,
        description="Messages of one page; apps that are neither internal nor in Slack's Marketplace get at most 15.",
    )
    team_id: str | None = Field(
        None,
        pattern=r"^T[A-Z0-9]{2,20}$",
        description="Id of the workspace, where a whole Enterprise organization is connected.",
    )


def escaped(text: str) -> str:
    """`text` so that Slack shows it as it is.

    `&`, `<` and `>` are Slack's control characters: unescaped, `<!channel>` in a customer's words would call everybody.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sections(text: str) -> list[Row]:
    """`text`, escaped, as section blocks; no piece exceeds what one holds, and none ends within an entity.

    Raises InvalidInput for a text that Slack would refuse.
    """
    pieces, piece = [], ""
    for character in text:
        safe = escaped(character)
        if len(piece) + len(safe) > SECTION:
            pieces.append(piece)
            piece = ""
        piece += safe
    pieces.append(piece)
    if sum(map(len, pieces)) > LONGEST:
        text = f"Slack takes at most {LONGEST} characters, and `&`, `<`, `>` count as four or five."
        raise InvalidInput(text, field="content")
    # Not verbatim, Slack would also look for names of channels and members in the plain words, and link or call them.
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": piece, "verbatim": True}}
        for piece in pieces
        if piece.strip()
    ]


def rows_of(body: Mapping[str, Any], name: str) -> list[Row]:
    """The rows of a list."""
    rows = body.get(name)
    if not isinstance(rows, list):
        raise ProviderFailure(f"Slack answered a list without `{name}`.")
    return rows


def row_of(body: Mapping[str, Any], name: str) -> Row:
    """One object of an answer."""
    row = body.get(name)
    if not isinstance(row, dict):
        raise ProviderFailure(f"Slack answered without `{name}`.")
    return row


def next_cursor(body: Mapping[str, Any], cursor: str | None) -> str | None:
    """The cursor of the next page; a short or an empty page may have one. Raises ProviderFailure when it repeats."""
    found = (body.get("response_metadata") or {}).get("next_cursor")
    if found and found == cursor:
        raise ProviderFailure("Slack named the same page twice in a row; the walk was stopped.")
    return str(found) if found else None


def team_of(call: Call) -> str | None:
    """`team_id` for lists, which the token of a whole organization has to name. Raises InvalidInput without one."""
    if call.facts.get("org_install") != "true":
        return None
    if not call.settings.team_id:
        text = "A whole Slack organization is connected: choose the workspace in the settings."
        raise InvalidInput(text, field="settings.team_id")
    return str(call.settings.team_id)


async def post(call: Call, method: str, body: Mapping[str, Any]) -> Answer:
    """A call with a JSON body."""
    return await call.http.post(f"/{method}", body, headers=JSON)


def link(call: Call, channel: str, stamp: str) -> str | None:
    """The page on which a person sees a message."""
    url = call.facts.get("url", "")
    if not re.fullmatch(r"https://[a-z0-9.-]+\.slack\.com/?", url):
        return None
    return f"{url.rstrip('/')}/archives/{channel}/p{stamp.replace('.', '')}"


def member(row: Row) -> Record:
    """A member of the workspace: a colleague or a guest, not a customer."""
    profile = row.get("profile") or {}
    return Record(
        id=str(row["id"]),
        type="member",
        name=row.get("real_name") or profile.get("real_name") or row.get("name") or None,
        email=profile.get("email") or None,
        phone=profile.get("phone") or None,
        raw=row,
    )


def person(row: Row) -> Row:
    """A member, as an item of an action."""
    profile = row.get("profile") or {}
    return {
        "id": str(row["id"]), "type": "member", "name": row.get("real_name") or row.get("name"),
        "email": profile.get("email"), "phone": profile.get("phone") or None, "title": profile.get("title") or None,
        "timezone": row.get("tz"), "url": None, "raw": row,
    }  # fmt: skip


def channel(row: Row) -> Row:
    """A channel, as an item of an action."""
    return {
        "id": str(row["id"]), "type": "channel", "name": row.get("name"), "private": bool(row.get("is_private")),
        "archived": bool(row.get("is_archived")), "member": bool(row.get("is_member")),
        "shared": bool(row.get("is_ext_shared")), "topic": (row.get("topic") or {}).get("value"),
        "purpose": (row.get("purpose") or {}).get("value"), "members": row.get("num_members"), "url": None, "raw": row,
    }  # fmt: skip


def message(call: Call, place: str, row: Row) -> Row:
    """A message, as an item of an action; its id is `channel:ts`."""
    stamp = str(row["ts"])
    return {
        "id": f"{place}:{stamp}", "type": "message", "channel_id": place, "ts": stamp, "text": row.get("text"),
        "user_id": row.get("user"), "thread_ts": row.get("thread_ts"), "replies": row.get("reply_count"),
        "url": link(call, place, stamp), "raw": row,
    }  # fmt: skip
