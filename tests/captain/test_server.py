"""What the tools send to the API, seen by an API that only listens."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from mcp.client.client import Client as McpClient

from supportly.captain.place import Place
from supportly.captain.server import server
from supportly.client import Account, AsyncClient


def action(name: str, *, writes: bool, captain: bool, **fields: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": fields}
    return {
        "name": name,
        "description": "d",
        "writes": writes,
        "captain": captain,
        "params_schema": schema,
        "example": {},
    }


DETAIL = {
    "provider": "acme", "name": "Acme", "available": True, "status": "connected", "connected": True, "capabilities": {},
    "actions": [
        action("move", writes=True, captain=True, to={}, requested_by={"enum": ["agent", "captain"]}),
        action("drop", writes=True, captain=False),
        action("look", writes=False, captain=True, at={}),
    ],
}  # fmt: skip


@pytest.fixture
def sent() -> list[httpx.Request]:
    return []


@asynccontextmanager
async def captain(sent: list[httpx.Request]) -> AsyncIterator[McpClient]:
    """A client of the tools; entered and left in the test's own task, as the client's task groups want it."""

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if request.method == "GET":
            return httpx.Response(200, json=DETAIL)
        return httpx.Response(200, json={"provider": "acme", "action": "move", "result": {"id": "1", "raw": {"x": 1}}})

    async with AsyncClient("http://api", "token", transport=httpx.MockTransport(answer)) as api:

        @asynccontextmanager
        async def here(_context):
            yield Place(api, Account(7), "request-1")

        async with McpClient(server(here)) as client:
            yield client


async def test_an_action_hears_who_wants_it_whatever_the_model_wrote(sent) -> None:
    for claimed in ({}, {"requested_by": "agent"}):
        wish = {"provider": "acme", "action": "move", "params": {"to": 1, **claimed}, "idempotency_key": "move-to-1"}
        async with captain(sent) as client:
            done = await client.call_tool("run_writing_action", wish)
        assert not done.is_error, done.content
        assert done.structured_content["result"] == {"id": "1"}
        assert json.loads(sent[-1].content) == {"action": "move", "params": {"to": 1, "requested_by": "captain"}}
        assert sent[-1].headers["Idempotency-Key"] == "move-to-1"
        assert sent[-1].headers["X-Request-Id"] == "request-1"
        assert sent[-1].headers["api_access_token"] == "token"


async def test_nothing_is_sent_that_is_not_allowed_or_not_the_tools_to_run(sent) -> None:
    wish = {"provider": "acme", "action": "drop", "idempotency_key": "drop-it-now"}
    async with captain(sent) as client:
        refused = await client.call_tool("run_writing_action", wish)
        other = await client.call_tool("run_action", {"provider": "acme", "action": "move", "params": {"to": 1}})
    assert (refused.is_error, other.is_error) == (True, True)
    assert {request.method for request in sent} == {"GET"}


async def test_what_only_reads_goes_without_a_key(sent) -> None:
    async with captain(sent) as client:
        done = await client.call_tool("run_action", {"provider": "acme", "action": "look", "params": {"at": 2}})
    assert not done.is_error, done.content
    assert json.loads(sent[-1].content) == {"action": "look", "params": {"at": 2}}
    assert "Idempotency-Key" not in sent[-1].headers
