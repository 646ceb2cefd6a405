"""A large account's index holds texts and titles apart, and knows how many candidates it needs."""

import asyncio
import random
from dataclasses import replace

import pytest

from supportly.storage import (
    knowledge_chunks,
    knowledge_index,
    knowledge_models,
    knowledge_recall,
    knowledge_sweeps,
    knowledge_titles,
    search,
)
from supportly.storage.database import rows
from supportly.storage.knowledge_chunks import ChunkRow
from supportly.storage.search import Asked, Index

STARTS = ("ba", "ke", "li", "mo", "nu", "pa", "re", "so", "ti", "zu")
WORDS = [start + end for start in STARTS for end in ("dar", "fen", "gil", "hom", "kur", "lap")]
MANUALS = 240
"""More than a search looks at for their titles alone."""


@pytest.fixture
def eager(monkeypatch):
    """Indexes for accounts of any size, extended by any number of chunks."""
    monkeypatch.setattr(knowledge_index, "INDEXED_FROM", 1)
    monkeypatch.setattr(knowledge_index, "EXTENDED_FROM", 1)


@pytest.fixture
def manuals(base):
    """Manuals of eight sections each: every chunk of one has half of its vector in common with the others."""
    rng = random.Random(14)

    def text(count: int) -> str:
        return " ".join(rng.choices(WORDS, k=count))

    base.source.page_size = 100
    base.source.documents = [
        base.article(text(3), "\n\n".join(f"# {text(2)}\n\n{text(60)}" for _ in range(8))) for _ in range(MANUALS)
    ]
    return base


async def model(base) -> int:
    return await knowledge_models.instant(base.db, base.embedder.model, base.embedder.dimensions)


async def brought(base) -> int:
    return await knowledge_index.bring_up_to_date(base.db, base.account_id, await model(base), base.embed)


async def index(base) -> tuple[Index, tuple[int | None, int | None]]:
    [(name, part, *kept)] = await base.rows(
        "select name, built_part, ef_search, ef_search_titles from knowledge_indexes where account_id = %(a)s"
    )
    return Index(part, name), tuple(kept)


async def tables(base) -> list[str]:
    """What the account has of indexes, by the names of their tables."""
    async with base.db.tenant(base.account_id) as c:
        found = await rows(
            c,
            "select relname from pg_class where relnamespace = 'knowledge_ann'::regnamespace and relkind = 'r' "
            "and relname ~ %(n)s order by 1",
            {"n": f"^[tv]{base.account_id}_"},
        )
    return [row[0] for row in found]


NOBODY_KNOWS = (None, None)


async def keeping(base, **chosen: str) -> tuple[str, str]:
    """Candidates that a search's walks keep, of texts and of titles, as its statement says."""
    asked = await base.asked("anything")
    async with base.db.tenant(base.account_id) as c:
        indexes = await search.read_indexes(c, base.account_id)
    _, at = search.statement(indexes, search.Sought(base.account_id, "anything", asked, **chosen))
    return at["instant_texts"], at["instant_titles"]


async def nearest(base, which: Index, question: str) -> list[tuple[object, bytes]]:
    """The keys of the nearest ten."""
    asked = await base.asked(question)
    async with base.db.tenant(base.account_id) as c:
        indexes = await search.read_indexes(c, base.account_id)
        [number] = indexes
        sought = search.Sought(base.account_id, question, Asked(asked.model, asked.vector))
        _, at = search.statement({number: which}, sought)
        found = await rows(c, search.near("instant", which), at)
    return [(row[0], bytes(row[1])) for row in sorted(found, key=lambda row: -row[2])[:10]]


async def test_it_finds_what_an_exact_scan_finds(manuals, eager):
    await manuals.sync()
    assert await brought(manuals) >= 1800
    assert await knowledge_recall.calibrate(manuals.db, manuals.account_id, await model(manuals), manuals.embed)
    own, _ = await index(manuals)
    rng, hits = random.Random(15), 0
    for _ in range(40):
        question = " ".join(rng.choices(WORDS, k=6))
        hits += len(set(await nearest(manuals, own, question)) & set(await nearest(manuals, Index(), question)))
    assert hits >= 0.99 * 400


async def test_the_planner_knows_the_size_of_an_index_from_its_first_moment(manuals, eager):
    """Uncounted it looked small, and all of it was read: by searches, and by the measure of its own candidates."""
    await manuals.sync()
    joined = await brought(manuals)
    own, _ = await index(manuals)
    assert own.name
    for table, held in ((own.name, joined), (knowledge_titles.of(own.name), MANUALS)):
        counted = f"explain (format json) select from knowledge_ann.{table} where account_id = %(a)s"
        [(answer,)] = await manuals.rows(counted)
        assert answer[0]["Plan"]["Plan Rows"] == held


async def test_candidates_are_measured_once_a_build(manuals, eager):
    await manuals.sync()
    await brought(manuals)
    assert (await index(manuals))[1] == NOBODY_KNOWS
    assert await keeping(manuals) == (str(search.EF_MOST), str(search.EF_MOST))
    least = await knowledge_recall.calibrate(manuals.db, manuals.account_id, await model(manuals), manuals.embed)
    assert least in {*knowledge_recall.PAIRS, (search.EF_MOST, search.EF_MOST)}
    assert await index(manuals) == ((await index(manuals))[0], least)
    assert await knowledge_recall.calibrate(manuals.db, manuals.account_id, await model(manuals), manuals.embed) is None
    assert await keeping(manuals) == tuple(map(str, least))
    assert await keeping(manuals, locale="de") == tuple(str(round(search.FILTERED * each)) for each in least)
    # Built anew it is another index.
    manuals.source.documents = manuals.source.documents[:30]
    manuals.source.documents += [manuals.article(f"new {n}", f"Wholly new {n}.") for n in range(400)]
    await manuals.sync()
    await manuals.sync()
    assert await brought(manuals) > 400
    assert (await index(manuals))[1] == NOBODY_KNOWS


async def test_each_walk_keeps_its_own_candidates(manuals, eager):
    """What the statement says reaches the graph before the walk begins, whatever was set before."""
    await manuals.sync()
    await brought(manuals)
    own, _ = await index(manuals)
    asked = await manuals.asked("parcel refund")
    at = {"a": manuals.account_id, "p": None, "l": None, "pool": 50}
    async with manuals.db.tenant(manuals.account_id) as c:
        for kept in (7, 30):
            await c.exec_driver_sql(
                "set local hnsw.iterative_scan = off; set local hnsw.ef_search = 100; set local enable_seqscan = off"
            )
            found = await rows(
                c,
                search.walk("texts", "instant", own.name),
                at | replace(own, texts=kept, titles=1).values("instant", asked),
            )
            assert len(found) == kept
            titles = await rows(
                c,
                search.walk("titles", "instant", own.name),
                at | replace(own, texts=1, titles=kept).values("instant", asked),
            )
            assert len(titles) == kept


def interrupted(base, by):
    """An embedder in whose middle, once, somebody else is done with `by`."""
    left = [by]

    async def embed(texts):
        while left:
            await left.pop()()
        return await base.embed(texts)

    return embed


async def test_a_build_that_another_one_overtook_ends_in_peace(manuals, eager, monkeypatch):
    """Syncs of an account's providers end at the same time, and each brings the index up to date."""
    await manuals.sync()
    place = manuals.db, manuals.account_id, await model(manuals)
    joined = []

    async def overtake():
        joined.append(await brought(manuals))

    # Its titles are dropped with those of builds that never came to their end; all that it had is in the other one.
    assert await knowledge_index.bring_up_to_date(*place, interrupted(manuals, overtake)) == 0
    assert joined == [len(await manuals.rows("select from vectors where account_id = %(a)s and not hidden"))]
    # So with one that extends what another replaces meanwhile.
    manuals.source.documents += [manuals.article(f"new {n}", f"Wholly new {n}.") for n in range(5)]
    await manuals.sync()
    monkeypatch.setattr(knowledge_index, "REBUILT_FROM", 1.0)

    async def replaced():
        monkeypatch.setattr(knowledge_index, "REBUILT_FROM", 0.0)
        joined.append(await brought(manuals))

    assert await knowledge_index.bring_up_to_date(*place, interrupted(manuals, replaced)) == 0
    assert joined[1] == joined[0] + 5
    assert (await index(manuals))[0].name


async def test_an_index_that_is_replaced_while_it_is_measured_is_left_to_its_successor(manuals, eager, monkeypatch):
    await manuals.sync()
    await brought(manuals)
    before, _ = await index(manuals)
    place = manuals.db, manuals.account_id, await model(manuals)

    async def replaced():
        monkeypatch.setattr(knowledge_index, "REBUILT_FROM", 0.0)
        manuals.source.documents.append(manuals.article("one more", "Wholly new."))
        await manuals.sync()
        assert await brought(manuals)

    assert await knowledge_recall.calibrate(*place, interrupted(manuals, replaced)) is None
    after, measured = await index(manuals)
    assert after.name != before.name
    assert measured == NOBODY_KNOWS
    assert await knowledge_recall.calibrate(*place, manuals.embed)


async def test_an_index_that_misses_asks_for_more(manuals, eager, monkeypatch):
    """What it measures is the index's own answers: one that never finds gets the most."""
    await manuals.sync()
    await brought(manuals)
    original = search.walk

    def blind(graph: str, tier: str, name: str) -> str:
        return f"select * from ({original(graph, tier, name)}) missed offset 60"

    monkeypatch.setattr(knowledge_recall, "walk", blind)
    found = await knowledge_recall.calibrate(manuals.db, manuals.account_id, await model(manuals), manuals.embed)
    assert found == (search.EF_MOST, search.EF_MOST)


async def test_titles_are_embedded_once_and_go_with_their_documents(manuals, eager):
    await manuals.sync()
    await brought(manuals)
    own, _ = await index(manuals)
    titles = knowledge_titles.of(own.name)

    async def stored() -> dict[str, str]:
        found = await manuals.rows(
            f"select d.external_id, t.title_hash from knowledge_ann.{titles} t "
            "join documents d on d.account_id = t.account_id and d.document_id = t.document_id"
        )
        return dict(map(tuple, found))

    first, renamed = await stored(), manuals.source.documents[0]
    assert first.keys() == {d.external_id for d in manuals.source.documents}
    # Two go, one is renamed, one comes: of those that stay none is embedded again.
    manuals.source.documents[0] = renamed.model_copy(update={"title": "Giraffes"})
    del manuals.source.documents[-2:]
    manuals.source.documents.append(manuals.article("zebras"))
    await manuals.sync()
    await manuals.sync()
    manuals.embedder.texts.clear()
    assert await brought(manuals)
    assert sorted(manuals.embedder.texts) == ["About zebras", "Giraffes"]
    after = await stored()
    assert after.keys() == {d.external_id for d in manuals.source.documents}
    assert after[renamed.external_id] != first[renamed.external_id]
    assert {n: h for n, h in after.items() if n in first and n != renamed.external_id}.items() <= first.items()
    own, _ = await index(manuals)
    assert (await nearest(manuals, own, "giraffes"))[0][0] in [
        row[0]
        for row in await manuals.rows(
            "select document_id from documents where account_id = %(a)s and title = 'Giraffes'"
        )
    ]


async def test_a_build_that_was_cut_off_leaves_nothing(manuals, eager, monkeypatch):
    await manuals.sync()

    async def cut(texts):
        raise ConnectionError

    number = await model(manuals)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await knowledge_index.bring_up_to_date(manuals.db, manuals.account_id, number, cut)
    assert len(await tables(manuals)) == 2  # titles of two builds that never ended
    await brought(manuals)
    own, _ = await index(manuals)
    assert await tables(manuals) == [knowledge_titles.of(own.name), own.name]
    # Whoever disconnects leaves none of them.
    monkeypatch.setattr(knowledge_index, "REBUILT_FROM", 0.0)
    manuals.source.documents.append(manuals.article("zebras"))
    await manuals.sync()
    with pytest.raises(ConnectionError):
        await knowledge_index.bring_up_to_date(manuals.db, manuals.account_id, number, cut)
    assert len(await tables(manuals)) == 3
    await knowledge_sweeps.purge(manuals.db, manuals.account_id, "memory")
    assert await tables(manuals) == []


@pytest.mark.parametrize("build", ["first", "another"])
async def test_whoever_disconnects_while_an_index_is_built_leaves_none_behind(manuals, eager, monkeypatch, build):
    """Neither of the two has what the other waits for, and what the build was about to name is gone with the rest."""
    await manuals.sync()
    number, letting_go, held = await model(manuals), asyncio.Event(), asyncio.Event()
    stopping = "select 1 from knowledge_indexes where account_id = %(a)s for share"
    if build == "another":
        await brought(manuals)
        monkeypatch.setattr(knowledge_index, "REBUILT_FROM", 0.0)
        manuals.source.documents.append(manuals.article("zebras"))
        await manuals.sync()
        [(part,)] = await manuals.rows("select part from knowledge_indexes where account_id = %(a)s")
        stopping = f"lock table knowledge_ann.t{manuals.account_id}_{number}_{part} in row exclusive mode"

    async def stop():
        async with manuals.db.tenant(manuals.account_id) as c:
            await c.exec_driver_sql(stopping, {"a": manuals.account_id} if "%" in stopping else None)
            held.set()
            await letting_go.wait()

    async def halt():
        """From here the build gets on with its index, and stops before it can be named."""
        running.append(asyncio.create_task(stop()))
        await held.wait()

    async def waiting(count: int):
        asked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        for _ in range(1500):
            if await manuals.rows(asked) == [(count,)]:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("nobody waited")

    running: list[asyncio.Task] = []
    place = manuals.db, manuals.account_id
    running.append(asyncio.create_task(knowledge_index.bring_up_to_date(*place, number, interrupted(manuals, halt))))
    await waiting(1)
    running.append(asyncio.create_task(knowledge_sweeps.purge(*place, "memory")))
    await waiting(2)
    letting_go.set()
    await asyncio.gather(*running)
    assert await manuals.rows("select name from knowledge_indexes where account_id = %(a)s") == [(None,)]
    assert await tables(manuals) == []
    assert (
        await search.candidates(manuals.db, search.Sought(manuals.account_id, "zebra", await manuals.asked("zebra")))
        == []
    )


async def test_pages_of_two_streams_change_what_a_model_has_read_without_waiting_for_each_other(
    manuals, eager, monkeypatch
):
    """Both take chunks out of an index, and both say of the refined model that it has no longer read everything."""
    await manuals.sync()
    await brought(manuals)
    number, (own, _) = await model(manuals), await index(manuals)
    async with manuals.db.tenant(manuals.account_id) as c:
        await rows(
            c,
            "insert into knowledge_indexes (account_id, model_id, name, built_part, complete) "
            "values (%(a)s, %(m)s, %(n)s, %(b)s, true) returning 1",
            {"a": manuals.account_id, "m": number + 500, "n": own.name, "b": own.built},
        )
    both, original = asyncio.Barrier(2), knowledge_chunks.current_part

    async def side_by_side(*of):
        part = await original(*of)
        await both.wait()
        return part

    monkeypatch.setattr(knowledge_chunks, "current_part", side_by_side)

    async def page(document, text: str):
        row = ChunkRow(document, text.encode(), None, "english", 0, "New", "", text)
        added = knowledge_chunks.Change([document], [], [row], manuals.embedder.embed([text]), number)
        async with manuals.db.tenant(manuals.account_id) as c:
            await knowledge_chunks.swap(c, {"a": manuals.account_id, "p": "memory"}, added)

    some = await manuals.rows("select document_id from documents where account_id = %(a)s order by 1 limit 2")
    await asyncio.gather(*(page(document, f"Wholly new {n}.") for n, (document,) in enumerate(some)))
    assert await manuals.rows("select model_id from knowledge_indexes where account_id = %(a)s and complete") == []
    left = f"select count(*) from knowledge_ann.{own.name} where document_id = any(%(d)s::uuid[])"
    async with manuals.db.tenant(manuals.account_id) as c:
        assert await rows(c, left, {"d": [document for (document,) in some]}) == [(0,)]
