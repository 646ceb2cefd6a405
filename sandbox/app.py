"""The sandbox's one ASGI application: dispatch by host, faults, recording, and the control plane."""

import asyncio
import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import asdict
from typing import Any

import uvicorn

import sandbox
from sandbox.double import Clock, Double, Grant, Record, Reply, Request
from sandbox.faults import TRANSPORT, ConnectionCut, CuttableProtocol, Fault, Faults
from sandbox.recorder import Recorder, fingerprint
from sandbox.world import demo

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Watcher = Callable[[str, Request, Reply | None], None]
"""Sees the double's name, a request, and what the double answered; None where a fault did or nobody."""


def discover() -> list[type[Double]]:
    """Every Double subclass in the modules of this package."""
    found = []
    for info in pkgutil.iter_modules(sandbox.__path__):
        if info.name != "__main__":
            module = importlib.import_module(f"sandbox.{info.name}")
            for _, member in inspect.getmembers(module, inspect.isclass):
                if issubclass(member, Double) and member is not Double and member.__module__ == module.__name__:
                    found.append(member)
    return found


class Sandbox:
    """The application; its doubles are reachable as `app.doubles[name]` for tests in the same process."""

    def __init__(self, doubles: Iterable[type[Double]], *, rate_limits: bool) -> None:
        self.clock = Clock(time.time)
        self.faults = Faults()
        self.recorder = Recorder()
        self.doubles = {cls.name: cls(self.clock, rate_limits=rate_limits) for cls in doubles}
        self.by_host: dict[str, Double | None] = {}
        self.watchers: list[Watcher] = []

    def double_for(self, host: str) -> Double | None:
        if host not in self.by_host:
            fits = (d for d in self.doubles.values() if any(re.fullmatch(pattern, host) for pattern in d.hosts))
            self.by_host[host] = next(fits, None)
        return self.by_host[host]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": message["type"] + ".complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        query = scope["query_string"].decode("latin-1")
        if path.startswith("/_sandbox/"):
            await self.send(send, self.control(Request(scope["method"], host, path, query, headers, body)))
            return
        double, host, path = self.addressed(host.lower(), path)
        request = Request(scope["method"], host, path, query, headers, body)
        if double is None:
            await self.send(send, Reply({"error": f"the sandbox has no double for host {host!r}"}, 421))
            return
        await self.serve(double, request, Line(scope, receive, send))

    def addressed(self, host: str, path: str) -> tuple[Double | None, str, str]:
        """Which double a request is for, with the host and path that the double shall see."""
        for double in self.doubles.values():
            if double.mount and path.startswith(double.mount + "/"):
                return double, host, path.removeprefix(double.mount)
        if path.startswith("/_host/"):
            host, _, rest = path.removeprefix("/_host/").partition("/")
            return self.double_for(host.lower()), host.lower(), "/" + rest
        return self.double_for(host), host, path

    async def serve(self, double: Double, request: Request, line: "Line") -> None:
        entry = self.recorder.add(self.clock.now(), double.name, request)
        fault = self.faults.take(double.name, request) or Fault()
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.cut == "before":
            self.watched(double, request, None)
            await line.cut()
            return
        reply, own = self.faults.answer(fault, double, request)
        self.watched(double, request, own)
        if fault.cut == "after_commit":
            await line.cut()
            return
        entry.status = reply.status
        if fault.cut == "body":
            await line.cut(reply)
            return
        if fault.size or fault.drip:
            await line.trickle(reply, fault)
            return
        await self.send(line.send, reply)

    def watched(self, double: Double, request: Request, reply: Reply | None) -> None:
        for watcher in self.watchers:
            watcher(double.name, request, reply)

    @staticmethod
    async def send(send: Send, reply: Reply) -> None:
        body = reply.encoded()
        await send(start(reply, len(body)))
        await send({"type": "http.response.body", "body": body})

    # Control plane

    def control(self, request: Request) -> Reply:
        """Answers `/_sandbox/...`; what the caller got wrong is 404 or 422 with a sentence."""
        parts = request.path.strip("/").split("/")[1:]
        try:
            if request.body and request.data is None:
                raise ValueError("the body is not JSON")
            if len(parts) == 2 and parts[0] in self.doubles:
                return self.control_double(self.doubles[parts[0]], parts[1], request)
            return self.control_all(request.method, "/".join(parts), request)
        except (ValueError, TypeError, KeyError, AttributeError, re.error) as wrong:
            return Reply({"error": f"{type(wrong).__name__}: {wrong}"}, 422)

    def control_double(self, double: Double, verb: str, request: Request) -> Reply:
        match request.method, verb:
            case "POST", "seed":
                return Reply(double.seed(request.data))
            case "GET", "records":
                kinds = [double.kind(request.query["kind"])] if "kind" in request.query else list(double.records)
                return Reply([item for kind in kinds for item in double.records[kind].values()])
            case "POST", "settings":
                return Reply(double.configure(request.object))
            case "GET", "settings":
                return Reply(double.settings)
            case "POST", "expire":
                return Reply({"expired": double.expire()})
            case "POST", "revoke":
                return Reply({"revoked": double.revoke()})
            case "GET", "grants":
                return Reply([shown_grant(double, grant) for grant in double.grants])
        return Reply({"error": f"no control {request.method} {verb}"}, 404)

    def control_all(self, method: str, verb: str, request: Request) -> Reply:
        match method, verb:
            case "GET", "health":
                return Reply({"status": "ok", "doubles": sorted(self.doubles)})
            case "POST", "reset":
                self.reset()
                return Reply({"reset": True})
            case "POST", "demo":
                world = demo(self.clock.now()).items()
                return Reply({name: self.doubles[name].seed(data)["seeded"] for name, data in world})
            case "POST", "clock":
                self.clock.offset += float(request.object["advance"])
                return Reply({"now": self.clock.now(), "offset": self.clock.offset})
            case "POST", "faults":
                return Reply({"ids": self.faults.add(request.data)})
            case "GET", "faults":
                return Reply([described(fault) for fault in self.faults.armed])
            case "DELETE", "faults":
                self.faults.clear(int(request.query["id"]) if "id" in request.query else None)
                return Reply(None, 204)
        return self.control_requests(method, verb, request.query)

    def control_requests(self, method: str, verb: str, query: dict[str, str]) -> Reply:
        match method, verb:
            case "GET", "requests" | "requests/count":
                found = self.recorder.find(
                    query.get("provider"),
                    int(query.get("since", 0)),
                    query.get("path"),
                    query.get("method"),
                    query.get("about"),
                )
                return Reply(
                    {"count": len(found), "last": self.recorder.last}
                    if verb != "requests"
                    else [entry.shown() for entry in found]
                )
            case "DELETE", "requests":
                self.recorder.ring.clear()
                return Reply(None, 204)
        return Reply({"error": f"no control {method} {verb}"}, 404)

    def reset(self) -> None:
        self.clock.offset = 0.0
        self.faults = Faults()
        self.recorder = Recorder()
        for double in self.doubles.values():
            double.reset()


class Line:
    """The connection that a request came on; it can be cut."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.transport: asyncio.Transport | None = (scope.get("extensions") or {}).get(TRANSPORT)
        self.receive, self.send = receive, send

    async def cut(self, reply: Reply | None = None) -> None:
        """Closes the connection, after half of the reply's body when one is given."""
        if self.transport is None:
            raise ConnectionCut("the sandbox cut the connection")
        if reply is not None:
            body = reply.encoded()
            await self.send(start(reply, max(2, len(body))))
            await self.send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        self.transport.close()
        # uvicorn would answer 500 for us if we returned before it has noticed the close.
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def trickle(self, reply: Reply, fault: Fault) -> None:
        """Sends an answer piece by piece, until the client has gone."""
        await self.send(start(reply, None))
        for piece in fault.pieces(reply):
            if self.transport is not None and self.transport.is_closing():
                return
            await self.send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(fault.drip)
        await self.send({"type": "http.response.body", "body": b""})


def start(reply: Reply, length: int | None) -> Message:
    """The head of an answer; without a length its end is marked by the last piece."""
    headers = [(b"content-type", reply.content_type.encode())]
    headers += [] if length is None else [(b"content-length", str(length).encode())]
    headers += [(name.lower().encode(), str(value).encode("latin-1")) for name, value in reply.headers.items()]
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


def described(fault: Fault) -> Record:
    return asdict(fault) | {"left": fault.times}


def shown_grant(double: Double, grant: Grant) -> Record:
    """A grant with fingerprints of the tokens that work, in the form in which requests show them."""
    access, refresh = double.usable_tokens(grant)
    return {
        "id": grant.id, "host": grant.host, "identity": grant.identity, "revoked": grant.revoked,
        "access": [fingerprint(token) for token in access], "refresh": [fingerprint(token) for token in refresh],
    }  # fmt: skip


def create_app(extra: Iterable[type[Double]] = (), *, rate_limits: bool = True) -> Sandbox:
    """A sandbox with every double of the package and the extra ones; `rate_limits` is the default of all."""
    return Sandbox([*discover(), *extra], rate_limits=rate_limits)


def server(app: Sandbox, host: str, port: int) -> uvicorn.Server:
    """A uvicorn server whose connections can be cut; run it in the foreground or in a thread."""
    return uvicorn.Server(
        uvicorn.Config(
            app, host, port, http=CuttableProtocol, ws="none", log_level="warning", access_log=False, date_header=False
        )
    )
