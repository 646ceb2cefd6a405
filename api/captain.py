"""Captain's tools at `POST /mcp/{account_id}`: MCP over streamable HTTP, with the tokens and roles of the API.

Every request stands alone (no sessions, plain JSON answers), so that any process behind a load balancer may take it.
The tools ask this same application in this process, with the caller's own token: one place decides who may do what.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from mcp.server.mcpserver import Context
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api.auth import check, sent_token
from api.deps import number
from api.errors import rendered
from supportly.captain.place import Place
from supportly.captain.server import server
from supportly.client import Account, AsyncClient
from supportly.errors import InvalidInput, NotAuthenticated, SupportlyError

PATH: Final = "/mcp/{account_id}"
INSIDE: Final = "http://captain"
"""Names this application where it is asked without a network; it never leaves the process."""


class Captain:
    """The ASGI application of one FastAPI application's tools; `running` goes around its life."""

    def __init__(self, app: FastAPI, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve requests while the block runs."""
        # Made with each start, since a manager is good for one; after our logging, to which it then adds nothing.
        tools = server(self._place, version=self._app.version)
        # The Starlette application around the manager stays unused: this one has its own idea of who may come in.
        tools.streamable_http_app(
            json_response=True,
            stateless_http=True,
            max_request_body_size=self._max_body_bytes,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        self._manager = tools.session_manager
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One message. Token and account are settled before it is read."""
        request = Request(scope)
        request_id: str = request.state.request_id
        try:
            if request.method != "POST":
                raise InvalidInput("This address takes POST only.", code="method_not_allowed")
            _same_origin(request)
            caller = await self._app.state.callers.identify(sent_token(request))
            check(caller, number(request.path_params["account_id"]), administrator=False)
        except SupportlyError as error:
            refusal = rendered(error, request_id)
            if error.own_code == "method_not_allowed":
                refusal.status_code, refusal.headers["Allow"] = 405, "POST"
            if isinstance(error, NotAuthenticated):
                refusal.headers["WWW-Authenticate"] = "Bearer"
            await refusal(scope, receive, send)
            return
        assert self._manager is not None  # noqa: S101 (requests come within the application's life)
        await self._manager.handle_request(scope, receive, send)

    @asynccontextmanager
    async def _place(self, context: Context[Any, Any]) -> AsyncIterator[Place]:
        """The account of the request's path, asked with the request's token."""
        request = cast("Request", context.request_context.request)
        transport = httpx.ASGITransport(self._app)
        account = Account(int(request.path_params["account_id"]))
        async with AsyncClient(INSIDE, sent_token(request), transport=transport) as client:
            yield Place(client, account, request.state.request_id)


def _same_origin(request: Request) -> None:
    """A browser's page of another site is refused, as the protocol asks; programs send no Origin."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAuthenticated("This address does not answer to pages of other sites.", code="foreign_origin")
