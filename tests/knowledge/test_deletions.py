"""What goes, what waits for an administrator, and what comes back."""

import pytest

from supportly.errors import Conflict, NotFound
from supportly.settings import EVENTS
from supportly.storage import events, knowledge, knowledge_status, knowledge_sweeps


async def test_missing_twice_in_a_row_goes(base, articles):
    base.source.documents = articles(10)
    await base.sync()
    del base.source.documents[3]
    _, once = await base.sync()
    assert once.deleted == 0
    _, twice = await base.sync()
    assert twice.deleted == 1
    assert "topic3" not in await base.names()
    assert await base.rows("select 1 from chunks where account_id = %(a)s and body like '%%topic3.'") == []


async def test_missing_once_and_back_stays(base, articles):
    base.source.documents = articles(10)
    await base.sync()
    gone = base.source.documents.pop(3)
    await base.sync()
    base.source.documents.append(gone)
    await base.sync()
    base.source.documents.remove(gone)
    _, counts = await base.sync()
    assert counts.deleted == 0
    assert "topic3" in await base.names()


async def test_what_the_provider_says_is_gone_goes_at_once(base, articles):
    base.source.documents = articles(10)
    await base.sync()
    del base.source.documents[3:5]
    _, counts = await base.sync(gone=("topic3",))
    assert counts.deleted == 1
    assert "topic4" in await base.names()


async def test_the_providers_own_signal(base, articles):
    base.source.documents = articles(5)
    await base.sync()
    gone = base.source.documents.pop(0)
    base.source.deleted = [gone.external_id, "never-heard-of", "topic1"]
    _, counts = await base.sync()
    assert counts.deleted == 1  # topic1 is on the page itself: it exists
    assert await base.names() == {"topic1", "topic2", "topic3", "topic4"}


async def _held(base, articles, count=20, missing=8):
    base.source.documents = articles(count)
    await base.sync()
    base.source.documents = base.source.documents[missing:]
    await base.sync()
    job, counts = await base.sync()
    assert counts.deleted == 0
    return job


async def test_too_many_are_held_then_confirmed_then_undone(base, articles):
    job = await _held(base, articles)
    [held] = (await knowledge_status.read(base.db, base.account_id))["memory"].held
    assert (held["run_id"], held["documents"], held["of_total"]) == (job.run_id, 8, 20)
    place = (base.db, base.account_id, "memory", job.run_id)
    assert await knowledge_sweeps.confirm(*place) == 8
    assert len(await base.names()) == 12
    assert await base.rows("select count(*) from chunks where account_id = %(a)s and not hidden") == [(12,)]
    with pytest.raises(Conflict):
        await knowledge_sweeps.confirm(*place)
    assert await knowledge_sweeps.undo(*place) == 8
    assert len(await base.names()) == 20
    assert await base.rows("select count(*) from chunks where account_id = %(a)s and not hidden") == [(20,)]
    # What was brought back is not proposed again.
    _, counts = await base.sync()
    assert counts.deleted == 0
    assert (await knowledge_status.read(base.db, base.account_id))["memory"].held == []


async def test_a_hold_keeps_its_name_from_run_to_run(base, articles):
    job = await _held(base, articles)
    await base.sync()
    [held] = (await knowledge_status.read(base.db, base.account_id))["memory"].held
    assert held["run_id"] == job.run_id


async def test_confirming_spares_what_came_back(base, articles):
    job = await _held(base, articles)
    base.source.documents += articles(3)
    open_run = await base.open()
    while await base.page(open_run):
        pass
    assert await knowledge_sweeps.confirm(base.db, base.account_id, "memory", job.run_id) == 5
    assert "topic0" in await base.names()


async def test_rejected_documents_stay(base, articles):
    job = await _held(base, articles)
    assert await knowledge_sweeps.reject(base.db, base.account_id, "memory", job.run_id) == 8
    _, counts = await base.sync()
    assert counts.deleted == 0
    assert len(await base.names()) == 20


async def test_a_tombstone_that_the_provider_shows_again_comes_back(base, articles):
    job = await _held(base, articles)
    await knowledge_sweeps.confirm(base.db, base.account_id, "memory", job.run_id)
    base.source.documents = articles(20)
    base.embedder.texts.clear()
    await base.sync()
    assert len(await base.names()) == 20
    assert base.embedder.texts == []


async def test_after_a_day_there_is_no_way_back(base, articles):
    job = await _held(base, articles)
    await knowledge_sweeps.confirm(base.db, base.account_id, "memory", job.run_id)
    async with base.db.tenant(base.account_id) as c:
        await c.exec_driver_sql(
            f"update held_deletions set decided_at = now() - interval '25 hours' where account_id = {base.account_id}"
        )
        await c.exec_driver_sql(
            f"update documents set deleted_at = deleted_at - interval '25 hours' where account_id = {base.account_id}"
        )
    with pytest.raises(Conflict):
        await knowledge_sweeps.undo(base.db, base.account_id, "memory", job.run_id)
    await base.sync()
    assert await base.rows("select count(*) from documents where account_id = %(a)s") == [(12,)]
    assert await base.rows("select count(*) from chunks where account_id = %(a)s") == [(12,)]


async def test_emptying_a_stream_is_held_however_small(base, articles):
    base.source.documents = articles(1)
    await base.sync()
    base.source.documents = []
    await base.sync()
    await base.sync()
    assert await base.names() == {"topic0"}


async def test_unknown_runs_hold_nothing(base):
    for run_id in ("not-a-uuid", "0b0d4a5e-58a5-4d4b-8f3e-0d0f6a2f8a11"):
        with pytest.raises(NotFound):
            await knowledge_sweeps.confirm(base.db, base.account_id, "memory", run_id)


async def test_a_stream_switched_off_takes_its_documents_along(base, articles):
    base.source.documents = articles(3)
    await base.sync()
    from datetime import UTC, datetime
    from uuid import uuid4

    from supportly.storage import knowledge

    job = (await base.open()).model_copy(update={"run_id": str(uuid4())})
    job = await knowledge.open_run(base.db, job, [], now=datetime.now(UTC))
    assert (await knowledge.counts(base.db, job)).deleted == 3
    assert await base.rows("select 1 from chunks where account_id = %(a)s") == []


async def test_a_failure_ends_with_its_record(base, articles):
    base.source.documents = articles(3)
    base.source.broken = {"topic1": "no text"}
    await base.sync()
    assert [f["external_id"] for f in (await knowledge_status.read(base.db, base.account_id))["memory"].failures]
    # Nothing is stored of it, so that one complete walk that does not list it is enough.
    del base.source.documents[1]
    await base.sync()
    assert (await knowledge_status.read(base.db, base.account_id))["memory"].failures == []


async def test_a_failure_of_what_is_stored_stays_with_it(base, articles):
    base.source.documents = articles(3)
    await base.sync()
    base.source.broken = {"topic1": "no text"}
    await base.sync()
    base.source.documents = [d for d in base.source.documents if d.external_id != "topic1"]
    await base.sync()
    assert len((await knowledge_status.read(base.db, base.account_id))["memory"].failures) == 1
    await base.sync()
    assert (await knowledge_status.read(base.db, base.account_id))["memory"].failures == []
    assert await base.names() == {"topic0", "topic2"}


async def test_what_came_back_before_it_was_rejected_may_vanish_again(base, articles):
    job = await _held(base, articles)
    base.source.documents += articles(1)
    open_run = await base.open()
    while await base.page(open_run):
        pass
    assert await knowledge_sweeps.reject(base.db, base.account_id, "memory", job.run_id) == 7
    base.source.documents = [d for d in base.source.documents if d.external_id != "topic0"]
    await base.sync()
    await base.sync()
    assert "topic0" not in await base.names()
    assert "topic1" in await base.names()


async def test_a_hold_is_told_once_and_each_run_when_it_ends(base, articles):
    job = await _held(base, articles)
    told = await events.pending(base.db, job.account_id, EVENTS)
    held = [event for event in told if event.kind == "knowledge.deletions_held"]
    assert [event.data for event in held] == [
        {"run_id": job.run_id, "stream": "articles", "documents": 8, "of_total": 20}
    ]
    synced = [event.data for event in told if event.kind == "knowledge.synced"]
    assert len(synced) == 3
    assert synced[-1]["run_id"] == job.run_id
    assert synced[-1]["held"] == 8
    # An attempt whose answer was lost closes the run again.
    assert await knowledge.finish_run(base.db, job, "succeeded") == 8
    assert len(await events.pending(base.db, job.account_id, EVENTS)) == len(told)
    # The same hold, met again by the next run, is no news.
    await base.sync()
    told = await events.pending(base.db, job.account_id, EVENTS)
    assert sum(event.kind == "knowledge.deletions_held" for event in told) == 1
