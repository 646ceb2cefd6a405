"""How the worker process ends, and which task queues it serves."""

import asyncio
from contextlib import AsyncExitStack
from typing import Self

import pytest

import worker
from supportly.contracts import ids
from supportly.settings import Settings


class Queue:
    """A task queue whose work ends only when every other queue has been asked to stop too."""

    def __init__(self, together: asyncio.Barrier) -> None:
        self.together = together

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def shutdown(self) -> None:
        await self.together.wait()


async def test_all_task_queues_share_one_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    together = asyncio.Barrier(len(worker.WORKFLOWS))

    async def build(_settings: Settings, _closing: AsyncExitStack) -> tuple[None, None]:
        return None, None

    async def scheduled(_client: None) -> None:
        return None

    monkeypatch.setattr(worker, "build", build)
    monkeypatch.setattr(worker.schedules, "keep_maintenance", scheduled)
    monkeypatch.setattr(worker, "workers", lambda *_: [Queue(together) for _ in worker.WORKFLOWS])
    monkeypatch.delenv("SUPPORTLY_READY_FILE", raising=False)
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(30):
        await worker.run(Settings(), stop)


def test_prompt_and_bulk_workers_together_serve_what_one_worker_does():
    assert set(worker.SERVED["all"]) == set(worker.WORKFLOWS) == set(worker.CONCURRENCY)
    assert not set(ids.PROMPT) & set(ids.BULK)
    assert {*worker.SERVED["prompt"], *worker.SERVED["bulk"]} == set(worker.SERVED["all"])
