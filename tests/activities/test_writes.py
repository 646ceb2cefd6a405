"""A write that is done once, whatever happens to those who do it."""

import pytest
from pydantic import BaseModel

from activities import writes
from supportly.contracts.operations import Operation
from supportly.storage import operations


class Written(BaseModel):
    record: str


async def test_an_attempt_that_dies_after_its_marker_leaves_the_operation_to_the_next(world, operation_id, monkeypatch):
    await world.connect()
    opened = {"account_id": world.account_id, "provider": "hubspot", "kind": "activity"}
    await operations.open_operation(world.db, world.vault, **opened, operation_id=operation_id, request_hash="r")
    job = Operation(account_id=world.account_id, provider="hubspot", operation_id=operation_id)
    sent = []

    async def write(_opened, *, look_first):
        sent.append(look_first)
        return Written(record="r-1")

    async def dies(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(writes.operations, "finish", dies)
        await writes.once(world.calls, job, "waiting", Written, write)
    assert (await operations.read(world.db, world.vault, world.account_id, operation_id)).status == "running"

    for _ in range(2):
        assert await writes.once(world.calls, job, "waiting", Written, write) == Written(record="r-1")
    ended = await operations.read(world.db, world.vault, world.account_id, operation_id)
    assert (ended.status, ended.result, sent) == ("succeeded", {"record": "r-1"}, [False])
