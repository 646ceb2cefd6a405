"""Pages, cursors and counts on a real PostgreSQL, as the application role."""

import asyncio

import pytest
from sqlalchemy.exc import ProgrammingError

from supportly.contracts.knowledge import RecordFailure, StreamPage
from supportly.storage import knowledge, knowledge_pages, knowledge_status, knowledge_sweeps
from supportly.storage.knowledge import Superseded

TENANTS = ("documents", "chunks", "vectors", "sync_runs", "knowledge_streams", "knowledge_languages")
VECTORS = """
select heading, embedding::text from chunks join vectors using (account_id, document_id, text_hash)
where account_id = %(a)s
"""


async def test_first_sync_then_nothing_changes(base, articles):
    base.source.documents = articles(25)
    _, counts = await base.sync()
    assert (counts.seen, counts.added, counts.unchanged) == (25, 25, 0)
    assert counts.chunks_embedded == 25
    stored = await base.rows("select xmin, * from chunks where account_id = %(a)s order by document_id")
    base.embedder.texts.clear()
    _, again = await base.sync()
    assert (again.seen, again.unchanged, again.chunks_embedded, again.chunks_reused) == (25, 25, 0, 0)
    assert base.embedder.texts == []
    assert await base.rows("select xmin, * from chunks where account_id = %(a)s order by document_id") == stored


async def test_an_edit_touches_only_its_section(base):
    sections = [f"# Part {n}\n\nText of part {n}." for n in range(6)]
    base.source.documents = [base.article("guide", "\n\n".join(sections))]
    await base.sync()
    before = dict(await base.rows(VECTORS))
    sections[3] = "# Part 3\n\nOther words now."
    base.source.documents = [base.article("guide", "\n\n".join(sections))]
    base.embedder.texts.clear()
    _, counts = await base.sync()
    assert (counts.changed, counts.chunks_embedded, counts.chunks_reused) == (1, 1, 5)
    assert [t for t in base.embedder.texts if "Other words" in t]
    assert len(base.embedder.texts) == 2  # the title and the one section
    after = dict(await base.rows(VECTORS))
    assert {h for h in after if after[h] != before[h]} == {"Part 3"}


async def test_a_section_put_in_front_moves_the_others(base):
    base.source.documents = [base.article("guide", "# B\n\nbeta\n\n# C\n\ngamma")]
    await base.sync()
    base.source.documents = [base.article("guide", "# A\n\nalpha\n\n# B\n\nbeta\n\n# C\n\ngamma")]
    _, counts = await base.sync()
    assert (counts.chunks_embedded, counts.chunks_reused) == (1, 2)
    order = await base.rows("select heading from chunks where account_id = %(a)s order by position")
    assert [row[0] for row in order] == ["A", "B", "C"]


async def test_a_new_url_costs_no_vector(base):
    base.source.documents = [base.article("guide", url="https://a.example")]
    await base.sync()
    base.embedder.texts.clear()
    base.source.documents = [base.article("guide", url="https://b.example")]
    _, counts = await base.sync()
    assert (counts.changed, counts.chunks_embedded, counts.chunks_reused) == (1, 0, 1)
    assert base.embedder.texts == []
    assert await base.rows("select url from documents where account_id = %(a)s") == [("https://b.example",)]


async def _late(base, job):
    return await base.prepare(job)


async def test_a_late_attempt_of_an_older_run_writes_nothing(base, articles):
    base.source.documents = articles(25)
    job = await base.open()
    late = await _late(base, job)
    _, counts = await base.sync()
    before = await base.rows("select count(*), max(xmin::text) from documents where account_id = %(a)s")
    with pytest.raises(Superseded):
        await knowledge_pages.commit_page(base.db, late)
    with pytest.raises(Superseded):
        await knowledge.read_walk(base.db, job, "articles")
    assert await base.rows("select count(*), max(xmin::text) from documents where account_id = %(a)s") == before
    assert counts.added == 25


@pytest.mark.parametrize("count", [5, 25])
async def test_a_page_is_stored_once_whoever_comes_second(base, articles, count):
    base.source.documents = articles(count)
    job = await base.open()
    late = await _late(base, job)
    assert await base.page(job)
    with pytest.raises(Superseded):
        await knowledge_pages.commit_page(base.db, late)
    assert (await knowledge.counts(base.db, job)).added == min(count, 10)


async def test_two_attempts_at_once_store_a_page_once(base, articles):
    base.source.documents = articles(10)
    job = await base.open()
    pages = [await _late(base, job) for _ in range(4)]
    outcomes = await asyncio.gather(*(knowledge_pages.commit_page(base.db, p) for p in pages), return_exceptions=True)
    assert sum(isinstance(o, Superseded) for o in outcomes) == 3
    assert (await knowledge.counts(base.db, job)).added == 10


@pytest.mark.parametrize("change", ["generation = 2", "state = 'disconnecting'", "state = 'disconnected'"])
async def test_another_or_ended_connection_lets_nothing_in(base, articles, change):
    base.source.documents = articles(5)
    job = await base.open()
    late = await _late(base, job)
    async with base.db.tenant(base.account_id) as c:
        await c.exec_driver_sql(f"update connections set {change} where account_id = {base.account_id}")
    with pytest.raises(Superseded):
        await knowledge_pages.commit_page(base.db, late)
    assert await base.names() == set()


async def test_a_purge_stops_an_attempt_that_is_alive(base, articles):
    base.source.documents = articles(15)
    job = await base.open()
    await base.page(job)
    late = await _late(base, job)
    await knowledge_sweeps.purge(base.db, base.account_id, "memory")
    with pytest.raises(Superseded):
        await knowledge_pages.commit_page(base.db, late)
    assert await base.rows("select 1 from documents where account_id = %(a)s") == []
    assert await base.rows("select 1 from chunks where account_id = %(a)s") == []


async def test_opening_a_run_twice_is_opening_it_once(base, articles):
    base.source.documents = articles(3)
    job = await base.open()
    await base.page(job)
    again = await knowledge.open_run(base.db, job, [], now=None)
    assert again == job
    assert await base.names() == {"topic0", "topic1", "topic2"}


async def test_failures_keep_the_old_version_and_are_tried_again(base, articles):
    base.source.documents = articles(4)
    await base.sync()
    base.source.broken = {"topic1": "no title"}
    base.source.documents[1] = base.article("topic1", "never stored")
    _, counts = await base.sync()
    assert (counts.seen, counts.failed, counts.unchanged) == (4, 1, 3)
    assert "topic1" in await base.names()
    found = (await knowledge_status.read(base.db, base.account_id))["memory"]
    assert found.failures_total == 1
    assert found.failures[0]["reason"] == "no title"
    # Also by a run that would be incremental, and then it is fine.
    base.source.broken = {}
    job, counts = await base.sync(trigger="schedule")
    assert job.full
    assert (counts.changed, counts.failed) == (1, 0)
    assert (await knowledge_status.read(base.db, base.account_id))["memory"].failures == []


async def test_an_unreadable_document_stops_nobody(base, articles, monkeypatch):
    monkeypatch.setattr("supportly.knowledge.text.LONGEST_BODY", 30)
    base.source.documents = [*articles(3), base.article("huge", "x" * 31)]
    _, counts = await base.sync()
    assert (counts.seen, counts.added, counts.failed) == (4, 3, 1)
    [failure] = (await knowledge_status.read(base.db, base.account_id))["memory"].failures
    assert "longer than" in failure["reason"]


async def test_a_record_twice_on_a_page_counts_once(base):
    base.source.documents = [base.article("same", "first"), base.article("same", "second")]
    _, counts = await base.sync()
    assert (counts.seen, counts.added) == (1, 1)
    assert await base.rows("select body from chunks where account_id = %(a)s") == [("second",)]


async def test_what_postgres_cannot_hold_is_left_out(base):
    odd = base.article("odd", "a\x00b \ud800 c\u200bd", url="https://x.example/\x00")
    base.source.documents = [odd.model_copy(update={"metadata": {"k": "\x00"}})]
    _, counts = await base.sync()
    assert (counts.added, counts.failed) == (1, 0)
    assert await base.rows("select url, metadata from documents where account_id = %(a)s") == [
        ("https://x.example/", {"k": ""})
    ]


async def test_scheduled_runs_are_incremental_between_full_walks(base, articles):
    base.source.documents = articles(5)
    await base.sync()
    job, counts = await base.sync(trigger="schedule")
    assert not job.full
    assert counts.seen == 0
    async with base.db.tenant(base.account_id) as c:
        await c.exec_driver_sql(
            f"update knowledge_streams set full_walk_at = now() - interval '25 hours' "
            f"where account_id = {base.account_id}"
        )
    job, counts = await base.sync(trigger="schedule")
    assert job.full
    assert counts.seen == 5


async def test_a_scheduled_run_goes_on_where_the_last_one_stopped(base, articles):
    base.source.documents = articles(30)
    job = await base.open()
    await base.page(job)
    await knowledge.finish_run(base.db, job, "failed")
    _, counts = await base.sync(trigger="schedule")
    assert counts.added == 20
    assert len(await base.names()) == 30


async def test_failed_of_a_page_are_rows_even_without_a_document(base):
    job = await base.open()
    page = StreamPage(failures=[RecordFailure(external_id="x", reason="broken")])
    counts = await knowledge_pages.commit_page(base.db, await base.prepare(job, page))
    assert (counts.seen, counts.failed) == (1, 1)


async def test_no_tenant_no_rows(base, db, articles):
    base.source.documents = articles(2)
    await base.sync()
    async with db.system() as c:
        for table in (
            "documents",
            "chunks",
            "vectors",
            "knowledge_seen",
            "sync_runs",
            "knowledge_streams",
            "knowledge_languages",
        ):
            assert (await c.exec_driver_sql(f"select count(*) from {table}")).scalar_one() == 0
    async with db.tenant(base.account_id + 500_000) as c:
        assert (await c.exec_driver_sql("select count(*) from chunks")).scalar_one() == 0


@pytest.mark.parametrize("table", ["documents_3", "chunks_3", "vectors_3"])
async def test_partitions_are_no_way_around(db, account_id, table):
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with db.tenant(account_id) as c:
            await c.exec_driver_sql(f"select 1 from {table}")
