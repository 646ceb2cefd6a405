"""Posting to Slack exactly once: there is no idempotency key, so a lost message is looked for in its channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from supportly.errors import OutcomeUnknown, ProviderFailure, SupportlyError
from supportly.provider import Call
from supportly.providers.slack import api
from supportly.providers.slack.api import Row, rows_of

WINDOW_S: Final = 86_400.0
"""How far back a lost message is looked for: a retry comes within minutes, or after a night without a worker."""
PAGES: Final = 5
"""Pages that are read for it; what restricted apps may read in that many minutes."""
MAY_HAVE_HAPPENED: Final = "Slack did not answer, and the message cannot be looked for here. Look into the channel."


async def send(call: Call, body: Row) -> Mapping[str, Any]:
    """Posts one message under our marker; a public channel that the app is not in is joined, once."""
    body = {**body, "unfurl_links": False, **marked(call)}
    if body.get("blocks"):
        body["blocks"] = [{**body["blocks"][0], "block_id": call.marker}, *body["blocks"][1:]]
    try:
        return (await api.post(call, "chat.postMessage", body)).body()
    except ProviderFailure as error:
        if code_of(error) != "not_in_channel":
            raise
        refusal = error
    try:
        await api.post(call, "conversations.join", {"channel": body["channel"]})
    except SupportlyError:
        raise refusal from None
    return (await api.post(call, "chat.postMessage", body)).body()


def marked(call: Call) -> Row:
    """The marker as metadata, which people do not see."""
    return {"metadata": {"event_type": "supportly_activity", "event_payload": {"activity_id": call.operation_id}}}


def code_of(error: SupportlyError) -> str:
    """Slack's word for an error."""
    return str(error.details.get("provider_code") or "")


async def sent(call: Call, channel: str, thread: str | None) -> Row | None:
    """The message with our marker, None when it is certain that there is none.

    Raises OutcomeUnknown where that cannot be told: without the permission to read, or in a channel too busy to search.
    """
    cursor: str | None = None
    method, asked = "conversations.history", {"channel": channel, "limit": call.settings.page_size}
    if thread:
        method, asked = "conversations.replies", {**asked, "ts": thread}
    for _ in range(PAGES):
        try:
            answer = await call.http.get(f"/{method}", {**asked, "oldest": None, "cursor": cursor})
        except ProviderFailure as error:
            if code_of(error) in ("missing_scope", "not_in_channel", "channel_not_found"):
                raise OutcomeUnknown(MAY_HAVE_HAPPENED) from None
            raise
        rows = rows_of(answer.body(), "messages")
        if hit := next((row for row in rows if _is_ours(row, call)), None):
            return hit
        cursor = api.next_cursor(answer.body(), cursor)
        # History lists the newest first: what is older than the window was not sent by this operation.
        edge = answer.date.timestamp() - WINDOW_S
        if cursor is None or (not thread and rows and float(rows[-1]["ts"]) < edge):
            return None
    raise OutcomeUnknown(MAY_HAVE_HAPPENED)


def _is_ours(row: Mapping[str, Any], call: Call) -> bool:
    blocks = row.get("blocks") or []
    payload = (row.get("metadata") or {}).get("event_payload") or {}
    first = blocks[0] if blocks and isinstance(blocks[0], dict) else {}
    return first.get("block_id") == call.marker or payload.get("activity_id") == call.operation_id
