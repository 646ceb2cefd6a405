"""The product's worker, whose refreshes can be held at named points until it kills or stops itself.

`DRILL_HOLD` names a JSON file: `signal`, `points` (workflow id -> point), `report`. While there is none, nothing is
held. Once every connection of the list has come to its point, their ids are written to `report`, the file is taken
away, and the process sends itself the signal: SIGKILL ends all of them where they are; after SIGSTOP and SIGCONT they
go on.

The points lie in the clients that `worker.py` injects; the activities know nothing of them. It is missed soon when it
dies, as `brisk_worker.py` is.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import await_only
from temporalio import activity

import worker
from drills import brisk_worker
from supportly.contracts import ids
from supportly.http import Answer, Outbound
from supportly.storage.database import Database

POINTS: Final = ("before_intent", "intent", "sent", "answered", "before_write", "written")
"""Where a refresh can be: before the intent is written, after its commit, after the bytes of the request went out,
after the answer came, before it is written, after its commit."""
PATIENCE_S: Final = 20.0
"""After the first has come to its point, so long for the last: who is not there then does not count."""
AT_ONCE: Final = 300
"""Refreshes at a time: all that shall be held have to be under way."""


class Hold:
    """Who is to be held where, and what happens when all are there."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.wanted: dict[str, Any] = {}
        self.there: set[str] = set()
        self.gone_on = asyncio.Event()

    async def reach(self, point: str) -> None:
        """Stay here, when the refresh of this task is to be held at `point`."""
        if not self.wanted and self.file.exists():
            self.wanted, self.gone_on = orjson.loads(self.file.read_bytes()), asyncio.Event()
        name = current()
        if name in self.there or self.wanted.get("points", {}).get(name) != point:
            return
        self.there.add(name)
        if len(self.there) == 1:
            asyncio.get_running_loop().call_later(PATIENCE_S, self.fire, self.wanted)
        if len(self.there) == len(self.wanted["points"]):
            self.fire(self.wanted)
        dies = self.wanted.get("signal") == "SIGKILL"
        while not self.gone_on.is_set():
            try:
                await self.gone_on.wait()
            except asyncio.CancelledError:
                # A deadline of the attempt. To be killed at its point it need not hear of it.
                if not dies:
                    self.there.discard(name)
                    raise

    def fire(self, wanted: dict[str, Any]) -> None:
        """Say who is where, and send the signal; once for each file."""
        if wanted is not self.wanted:
            return
        report, there = Path(wanted["report"]), sorted(self.there)
        self.file.unlink()
        half = report.with_suffix(".half")
        half.write_bytes(orjson.dumps(there))
        half.replace(report)
        os.kill(os.getpid(), signal.Signals[wanted["signal"]])
        # After SIGCONT.
        self.wanted, self.there = {}, set()
        self.gone_on.set()


def current() -> str:
    """Id of the workflow whose refresh this is; empty for all other work."""
    if not activity.in_activity() or activity.info().activity_type != "connection_refresh":
        return ""
    return activity.info().workflow_id or ""


def statement_of(sql: str) -> str:
    """Which of the fence's two writes a statement is; empty for any other."""
    if not sql.startswith("UPDATE connections SET"):
        return ""
    changed = sql.partition(" WHERE ")[0]
    if "tokens=" in changed:
        return "write"
    return "intent" if "lost_attempts=" in changed else ""


class HeldDatabase(Database):
    """Holds before the fence's writes, and after their commits."""

    hold: Hold

    def __init__(self, url: str, pool: int = 10) -> None:
        super().__init__(url, pool)
        self.wrote: dict[str, str] = {}

        @event.listens_for(self.engine.sync_engine, "before_cursor_execute")
        def before(_connection: object, _cursor: object, sql: str, *_: object) -> None:
            if (name := current()) and (which := statement_of(sql)):
                await_only(self.hold.reach(f"before_{which}"))
                self.wrote[name] = which

    @asynccontextmanager
    async def tenant(self, account_id: int) -> AsyncIterator[AsyncConnection]:
        """A transaction, and what comes after its commit."""
        async with super().tenant(account_id) as connection:
            yield connection
        if which := self.wrote.pop(current(), ""):
            await self.hold.reach({"intent": "intent", "write": "written"}[which])


class HeldTransport(httpx.AsyncHTTPTransport):
    """Holds when the last byte of a token request has gone out."""

    hold: Hold

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, watched."""
        if current():
            request.extensions = {**request.extensions, "trace": self.watch}
        return await super().handle_async_request(request)

    async def watch(self, name: str, _info: dict[str, Any]) -> None:
        """Called by httpcore at each step of a request."""
        if name == "http11.send_request_body.complete":
            await self.hold.reach("sent")


class HeldOutbound(Outbound):
    """Holds when the answer to a token request has been read."""

    hold: Hold

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, transport=HeldTransport())

    async def send(self, *arguments: Any, **options: Any) -> Answer:
        """Send, then hold."""
        answer = await super().send(*arguments, **options)
        await self.hold.reach("answered")
        return answer


async def main() -> None:
    """The worker's own `main`, with what it injects replaced."""
    brisk_worker.shorten()
    worker.CONCURRENCY[ids.CONNECTIONS] = AT_ONCE
    HeldDatabase.hold = HeldTransport.hold = HeldOutbound.hold = Hold(Path(os.environ["DRILL_HOLD"]))
    vars(worker).update(Database=HeldDatabase, Outbound=HeldOutbound)
    await worker.main()


if __name__ == "__main__":
    brisk_worker.run(main)
