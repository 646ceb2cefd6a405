"""The product's worker, which is missed sooner when it dies: a drill that kills often would wait for little else.

In production a worker beats every five seconds, and is missed after twenty without a beat. The figures lie in modules
of ours that are imported once for all workflows, so a drill can shorten them in its own worker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

import uvloop

import worker
from activities import failures
from workflows import knowledge_sync, turns

BEAT_S: Final = 1.0
REFRESH_SILENCE_S: Final = 4.0
SYNC_SILENCE_S: Final = 8.0
"""Longer: the SDK sends a beat when four fifths of it are over, and a sync that embeds may be late with it."""


def shorten() -> None:
    """Let whoever waits for a worker that died wait less."""
    vars(failures).update(HEARTBEAT_S=BEAT_S)
    vars(turns).update(SILENCE=timedelta(seconds=REFRESH_SILENCE_S))
    vars(knowledge_sync).update(SILENCE=timedelta(seconds=SYNC_SILENCE_S))


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A worker's `main`, to its end."""
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


if __name__ == "__main__":
    shorten()
    run(worker.main)
