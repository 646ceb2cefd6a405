"""Activities that answer what a script says. The workflows, the server and the worker around them are the real ones."""

import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.worker import Worker

import worker as product


class Script:
    """What each activity answers, by its name.

    A value, an exception to raise, or a function of the activity's arguments that gives either; of a list, one after
    the other, and the last one from then on. `asked` is what was called, with its first argument as JSON.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.set(**answers)

    def set(self, **answers: Any) -> None:
        """Change what some of them answer from now on."""
        self.answers |= {name: list(a) if isinstance(a, list) else [a] for name, a in answers.items()}

    def calls(self, name: str) -> list[Any]:
        """The first argument of every call of an activity."""
        return [job for asked, job in self.asked if asked == name]

    async def answer(self, name: str, *args: Any) -> Any:
        self.asked.append((name, args[0]))
        row = self.answers[name]
        found = row.pop(0) if len(row) > 1 else row[0]
        if callable(found):
            found = found(*args)
        if inspect.isawaitable(found):
            found = await found
        if isinstance(found, BaseException):
            raise found
        return found

    @property
    def activity(self) -> Any:
        """One activity that stands for all of them."""

        @activity.defn(dynamic=True)
        async def scripted(args: Sequence[RawValue]) -> Any:
            read = activity.payload_converter().from_payload
            return await self.answer(activity.info().activity_type, *(read(one.payload) for one in args))

        return scripted


@asynccontextmanager
async def working(
    client: Client, script: Script, *, identity: str | None = None, remote: bool = True
) -> AsyncIterator[None]:
    """Workers on all of the product's queues, with its workflows as it runs them, and the script's activities.

    Without `remote`, activities that are not local find nobody.
    """
    async with AsyncExitStack() as closing:
        for queue, workflows in product.WORKFLOWS.items():
            await closing.enter_async_context(
                Worker(
                    client,
                    task_queue=queue,
                    workflows=workflows,
                    workflow_runner=product.RUNNER,
                    activities=[script.activity],
                    identity=identity,
                    no_remote_activities=not remote,
                    graceful_shutdown_timeout=timedelta(seconds=1),
                )
            )
        yield
