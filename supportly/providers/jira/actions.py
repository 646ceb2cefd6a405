"""Jira's actions: issues, projects, people, service desks."""

from __future__ import annotations

from typing import Any

from supportly.contracts.actions import ActionAnswer
from supportly.http import segment
from supportly.provider import Call, PagedParams, Provider, action, integer, offset
from supportly.providers.jira import adf, api, issues, params
from supportly.providers.jira.api import DESK, V3, Row, array, rows_of

EXAMPLE = {"key": "SUP-1"}


async def _created(_self: Any, call: Call, given: Any) -> ActionAnswer | None:
    row = await issues.created(call, given.project)
    return await _read(call, str(row["key"])) if row else None


async def _commented(_self: Any, call: Call, given: Any) -> ActionAnswer | None:
    row = await issues.commented(call, given.key)
    return _comment(call, given.key, row) if row else None


async def _moved(_self: Any, call: Call, given: Any) -> ActionAnswer | None:
    """A transition that is not offered any more has been made; one that still is changes nothing twice."""
    offered = {str(row["id"]) for row in await _transitions(call, given.key)}
    return None if given.transition_id in offered else await _read(call, given.key)


async def _repeatable(_self: Any, _call: Call, _given: Any) -> None:
    """Doing it twice leaves what doing it once leaves."""


async def _requested(_self: Any, call: Call, given: Any) -> ActionAnswer | None:
    """Requests bear our marker in their description, and are looked for by key in the desk's project."""
    desk = (await call.http.get(f"{DESK}/servicedesk/{segment(given.service_desk_id)}")).body()
    row = await issues.newer(
        call, str(desk["projectKey"]), lambda fields: f"[{call.marker}]" in adf.plain(fields.get("description"))
    )
    return await _read(call, str(row["key"])) if row else None


class JiraActions(Provider):
    """The actions."""

    @action(params=params.Search, description="Issues by a query in Jira's own language (JQL).",
            example={"jql": 'project = "SUP" ORDER BY updated DESC', "limit": 10})  # fmt: skip
    async def search_issues(self, call: Call, given: params.Search) -> ActionAnswer:
        """The query goes as it is; what was written some minutes ago may be missing."""
        fields = list(dict.fromkeys((*api.FIELDS, *given.fields)))
        asked: Row = {"jql": given.jql, "fields": fields, "maxResults": given.limit}
        if given.cursor:
            asked["nextPageToken"] = given.cursor
        body = (await call.http.post(f"{V3}/search/jql", asked)).body()
        items = [api.issue(call, row) for row in rows_of(body, "issues")]
        return ActionAnswer.listed(items, api.next_token(body, given.cursor))

    @action(params=params.OneIssue, description="One issue.", example=EXAMPLE)
    async def get_issue(self, call: Call, given: params.OneIssue) -> ActionAnswer:
        """A 404 is also what Jira says of an issue that may not be seen."""
        return await _read(call, given.key)

    @action(
        params=params.NewIssue,
        description="Makes an issue.",
        example={"project": "SUP", "issue_type": "10001", "summary": "The invoice shows the wrong VAT number"},
        writes=True,
        find=_created,
    )
    async def create_issue(self, call: Call, given: params.NewIssue) -> ActionAnswer:
        """Fields that the project demands and that are missing here are named in Jira's refusal."""
        fields: Row = {
            "project": {"key": given.project}, "issuetype": {"id": given.issue_type}, "summary": given.summary,
            "labels": given.labels,
        }  # fmt: skip
        if given.description:
            fields["description"] = adf.document(given.description)
        if given.priority:
            fields["priority"] = {"name": given.priority}
        made = await issues.create(call, fields)
        return await _read(call, str(made["key"]))

    @action(params=params.NewComment, description="Adds a comment to an issue.",
            example={**EXAMPLE, "text": "The customer has called back."}, writes=True, find=_commented)  # fmt: skip
    async def add_comment(self, call: Call, given: params.NewComment) -> ActionAnswer:
        """An internal one is possible on requests of Service Management only."""
        row = await issues.comment(call, given.key, given.text, internal=given.internal)
        return _comment(call, given.key, row)

    @action(params=params.OneIssue, description="Transitions that an issue can make now.", example=EXAMPLE)
    async def get_transitions(self, call: Call, given: params.OneIssue) -> ActionAnswer:
        """All at once: this list has no pages."""
        return ActionAnswer.listed([
            {"id": str(row["id"]), "type": "transition", "name": row.get("name"),
             "to": (row.get("to") or {}).get("name"), "url": None, "raw": row}
            for row in await _transitions(call, given.key)
        ])  # fmt: skip

    @action(params=params.Move, description="Moves an issue to another status.",
            example={**EXAMPLE, "transition_id": "11"}, writes=True, find=_moved)  # fmt: skip
    async def transition_issue(self, call: Call, given: params.Move) -> ActionAnswer:
        """Two at once are a 409."""
        path = f"{V3}/issue/{segment(given.key)}/transitions"
        await call.http.post(path, {"transition": {"id": given.transition_id}})
        return await _read(call, given.key)

    @action(params=params.Assignee, description="Assigns an issue to a user, or to nobody.",
            example={**EXAMPLE, "account_id": None}, writes=True, find=_repeatable)  # fmt: skip
    async def assign_issue(self, call: Call, given: params.Assignee) -> ActionAnswer:
        """The user needs access to the project."""
        await call.http.put(f"{V3}/issue/{segment(given.key)}/assignee", {"accountId": given.account_id})
        return await _read(call, given.key)

    @action(params=params.Projects, description="Projects that the connected user sees.", example={"limit": 10})
    async def get_projects(self, call: Call, given: params.Projects) -> ActionAnswer:
        """The cursor is an offset."""
        start = offset(given.cursor)
        asked = {"query": given.query, "startAt": start, "maxResults": given.limit}
        body = (await call.http.get(f"{V3}/project/search", asked)).body()
        rows = rows_of(body, "values")
        items = [
            {"id": str(row["id"]), "type": "project", "key": row.get("key"), "name": row.get("name"),
             "kind": row.get("projectTypeKey"), "url": None, "raw": row}
            for row in rows
        ]  # fmt: skip
        more = rows and body.get("isLast") is False
        return ActionAnswer.listed(items, str(start + len(rows)) if more else None)

    @action(params=params.IssueTypes, description="Issue types of a project.", example={"project": "SUP"})
    async def get_issue_types(self, call: Call, given: params.IssueTypes) -> ActionAnswer:
        """The cursor is an offset."""
        start = offset(given.cursor)
        path = f"{V3}/issue/createmeta/{segment(given.project)}/issuetypes"
        body = (await call.http.get(path, {"startAt": start, "maxResults": given.limit})).body()
        rows = rows_of(body, "issueTypes")
        items = [
            {"id": str(row["id"]), "type": "issue_type", "name": row.get("name"), "subtask": row.get("subtask"),
             "url": None, "raw": row}
            for row in rows
        ]  # fmt: skip
        more = rows and start + len(rows) < integer(body.get("total") or 0)
        return ActionAnswer.listed(items, str(start + len(rows)) if more else None)

    @action(params=params.People, description="Users by name or shown e-mail address.", example={"query": "ada"})
    async def search_users(self, call: Call, given: params.People) -> ActionAnswer:
        """Covers the site's first thousand users; the cursor is an offset."""
        start = offset(given.cursor)
        asked = {"query": given.query, "startAt": start, "maxResults": given.limit}
        rows = array(await call.http.get(f"{V3}/user/search", asked))
        following = str(start + len(rows)) if len(rows) == given.limit else None
        return ActionAnswer.listed([api.member(row) for row in rows], following)

    @action(params=PagedParams, description="Service desks of the site.", example={"limit": 10})
    async def list_service_desks(self, call: Call, given: PagedParams) -> ActionAnswer:
        """A site without Service Management has none. The cursor is an offset; a page has at most fifty."""
        start = offset(given.cursor)
        body = (await call.http.get(f"{DESK}/servicedesk", {"start": start, "limit": given.limit})).body()
        rows = rows_of(body, "values")
        items = [
            {"id": str(row["id"]), "type": "service_desk", "name": row.get("projectName"),
             "project": row.get("projectKey"), "url": None, "raw": row}
            for row in rows
        ]  # fmt: skip
        more = rows and body.get("isLastPage") is False
        return ActionAnswer.listed(items, str(start + len(rows)) if more else None)

    @action(
        params=params.CustomerRequest,
        description="Raises a request in a service desk, for a customer.",
        example={"service_desk_id": "1", "request_type_id": "10", "summary": "Cannot sign in"},
        writes=True,
        find=_requested,
    )
    async def create_customer_request(self, call: Call, given: params.CustomerRequest) -> ActionAnswer:
        """The marker stands in the description, where a lost request is found again."""
        values: Row = {**given.fields, "summary": given.summary}
        values["description"] = f"{given.description}\n\n[{call.marker}]".strip()
        body: Row = {
            "serviceDeskId": given.service_desk_id, "requestTypeId": given.request_type_id,
            "requestFieldValues": values,
        }  # fmt: skip
        if given.raise_on_behalf_of:
            body["raiseOnBehalfOf"] = given.raise_on_behalf_of
        made = (await call.http.post(f"{DESK}/request", body)).body()
        return await _read(call, str(made["issueKey"]))


async def _read(call: Call, key: str) -> ActionAnswer:
    asked = {"fields": ",".join(api.FIELDS)}
    return ActionAnswer.single(api.issue(call, dict((await call.http.get(f"{V3}/issue/{segment(key)}", asked)).body())))


async def _transitions(call: Call, key: str) -> list[Row]:
    return rows_of((await call.http.get(f"{V3}/issue/{segment(key)}/transitions")).body(), "transitions")


def _comment(call: Call, key: str, row: Row) -> ActionAnswer:
    page = api.link(call, key)
    item = {"id": str(row["id"]), "type": "comment", "key": key, "created_at": row.get("created"),
            "url": f"{page}?focusedCommentId={row['id']}" if page else None, "raw": row}  # fmt: skip
    return ActionAnswer.single(item)
