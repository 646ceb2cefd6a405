"""Jira's knowledge: issues of chosen projects with their comments, for agents.

A cursor is a `Position` as JSON, a checkpoint the moment (Jira's clock) at which a walk started.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import InvalidInput, NotFound, UnknownChoice
from supportly.http import segment
from supportly.provider import Call, Stream, StreamsKnowledge, absent_as_none, integer, timestamp
from supportly.providers.jira import adf, api
from supportly.providers.jira.api import PROJECT, V3, Row, rows_of
from supportly.providers.jira.issues import COMMENTS

PAGE: Final = 100
"""Issues of one page: more are not given where fields are asked for."""
OVERLAP: Final = timedelta(minutes=10)
"""How far an incremental walk looks back: a search may miss what was written some minutes ago."""
FIELDS: Final = ("summary", "description", "status", "issuetype", "labels", "updated", "comment")


class Position(BaseModel):
    """Where a walk stands."""

    model_config = ConfigDict(frozen=True)
    token: str
    started: str
    floor: int | None = None
    """Earliest change, in milliseconds of the epoch: what Jira reads in no one's time zone."""
    projects: tuple[str, ...] = ()


class JiraKnowledge(StreamsKnowledge):
    """The one stream."""

    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("issues", "Issues", "Issues of chosen projects, with comments; for agents.", incremental=True),
    )

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page in the order of changes, so that what changes meanwhile comes again at the end."""
        if stream != "issues":
            raise UnknownChoice("Jira has no such stream.", field="streams", allowed=["issues"])
        at = Position.model_validate_json(cursor) if cursor else None
        chosen = at.projects if at else _projects(call)
        floor = at.floor if at else _floor(since)
        if not chosen:
            # Nothing is chosen: what was read before is deleted by the walk that finds nothing.
            answer = await call.http.get(f"{V3}/myself")
            return StreamPage(checkpoint=answer.date.isoformat())
        query = f"project in {api.any_of(chosen)}"
        query += f" AND updated >= {floor}" if floor else ""
        asked: Row = {"jql": f"{query} ORDER BY updated ASC", "fields": list(FIELDS), "maxResults": PAGE}
        if at:
            asked["nextPageToken"] = at.token
        answer = await call.http.post(f"{V3}/search/jql", asked)
        body, started = answer.body(), at.started if at else answer.date.isoformat()
        page = StreamPage(checkpoint=started)
        for row in rows_of(body, "issues"):
            await _add(call, row, page)
        if following := api.next_token(body, at.token if at else None):
            position = Position(token=following, started=started, floor=floor, projects=chosen)
            page.next = position.model_dump_json()
        return page

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """True when the issue is deleted, or may not be seen any more: Jira does not tell which."""
        return await absent_as_none(call.http.get(f"{V3}/issue/{segment(external_id)}", {"fields": "updated"})) is None


def _projects(call: Call) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(call.settings.projects))
    if wrong := [key for key in chosen if not re.fullmatch(PROJECT, key)]:
        raise InvalidInput(f"`projects` are keys, such as SUP; {len(wrong)} are not.", field="settings.projects")
    return chosen


def _floor(since: str | None) -> int | None:
    return int((datetime.fromisoformat(since) - OVERLAP).timestamp() * 1000) if since else None


async def _add(call: Call, row: Row, page: StreamPage) -> None:
    key, fields = str(row.get("id")), row.get("fields") or {}
    title = fields.get("summary")
    if not isinstance(title, str) or not title.strip():
        page.failures.append(RecordFailure(external_id=key, reason="It has no summary."))
        return
    try:
        body = await _body(call, row, fields)
    except NotFound:  # deleted since the page was read
        page.deleted.append(key)
        return
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        reason = f"Its fields cannot be read ({type(wrong).__name__})."
        page.failures.append(RecordFailure(external_id=key, reason=reason))
        return
    page.documents.append(
        Document(
            stream="issues",
            external_id=key,
            title=title.strip(),
            body=body,
            url=api.link(call, row.get("key")),
            updated_at=timestamp(fields.get("updated")),
            audience="internal",
        )
    )


async def _body(call: Call, row: Row, fields: Row) -> str:
    named = {name: (fields.get(name) or {}).get("name") for name in ("issuetype", "status")}
    lines = [
        f"{row.get('key')}: {named['issuetype'] or 'Issue'}, {named['status'] or 'no status'}",
        adf.markdown(fields.get("description")),
    ]
    if call.settings.comments:
        lines += [adf.markdown(comment.get("body")) for comment in await _comments(call, row, fields)]
    return "\n\n".join(line for line in lines if line)


async def _comments(call: Call, row: Row, fields: Row) -> list[Row]:
    """Comments that everybody may read who sees the issue: none that is restricted, or internal to a desk."""
    held: dict[str, Any] = fields.get("comment") or {}
    found: list[Row] = list(held.get("comments") or [])
    while len(found) < integer(held.get("total") or 0):
        asked = {"startAt": len(found), "maxResults": COMMENTS, "orderBy": "created"}
        rows = rows_of((await call.http.get(f"{V3}/issue/{segment(row['id'])}/comment", asked)).body(), "comments")
        if not rows:
            break
        found += rows
    return [row for row in found if not row.get("visibility") and row.get("jsdPublic") is not False]
