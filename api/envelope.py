"""What surrounds every request: its id, the size of its body, one log line, and the last resort."""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import traces
from api.errors import InternalError, rendered
from supportly import logs
from supportly.errors import BodyTooLarge, SupportlyError
from supportly.telemetry import metrics

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
"""Answers hold data of customers: nobody on the way keeps them."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")

log = logging.getLogger("api.access")
trouble = logging.getLogger("api.errors")


class Envelope:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever goes wrong inside is answered in the one shape."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        with logs.bound(request_id=request_id):
            await self._serve(scope, receive, send, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        began, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                traces.note_ids()  # the span ends with the answer
                status = message["status"]
                known = {name.lower() for name, _ in message["headers"]}
                extra = [(name, value) for name, value in HEADERS if name not in known]
                message["headers"] = [*message["headers"], *extra, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, self._counted(scope, receive), sent)
        except SupportlyError as error:
            if status:
                raise
            await rendered(error, request_id)(scope, receive, sent)
        except Exception as error:
            report(error, request_id)
            if status:
                raise
            await rendered(InternalError(), request_id)(scope, receive, sent)
        finally:
            _log(scope, status, time.perf_counter() - began, request_id)

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` that raises BodyTooLarge as soon as the body is, whether its length was declared or not."""
        length = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        declared = int(length) if length.isdigit() else 0
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            if declared > self.max_body_bytes:
                raise self._too_large()
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self.max_body_bytes:
                    raise self._too_large()
            return message

        return counted

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than {self.max_body_bytes} bytes.", field="body")


def _request_id(scope: Scope) -> str:
    given = next((v for k, v in scope["headers"] if k == b"x-request-id"), b"").decode("latin-1")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def report(error: Exception, request_id: str) -> None:
    """The type and the lines of code; the text of a foreign exception may quote values."""
    places = [f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)[-6:]]
    trouble.error("unforeseen %s", type(error).__name__, extra={"request_id": request_id, "places": " > ".join(places)})


def _log(scope: Scope, status: int, seconds: float, request_id: str) -> None:
    route = scope.get("route")
    fields = {
        "request_id": request_id,
        "method": scope["method"],
        # The route's template: a path may hold ids, and a query may hold what a customer asked.
        "route": getattr(route, "path", "-"),
        "status": status,
        "ms": round(seconds * 1000, 1),
    }
    # A method is whatever a stranger sends; a label must not be.
    method = fields["method"] if fields["method"] in METHODS else "other"
    metrics.HTTP.labels(method, fields["route"], status).observe(seconds)
    log.info("%s %s %s", fields["method"], fields["route"], status, extra=fields)
