"""How PostgreSQL answers a search, as the application's role under row-level security: read off its own plans."""

import json

import pytest

from supportly.storage import knowledge_index, knowledge_models, knowledge_titles, search
from supportly.storage.database import rows


def nodes(plan):
    """All nodes of a plan, outermost first."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


async def plans(base, question, *, first="select 1", **chosen):
    """The nodes of the whole search, and of that of the nearest vectors alone."""
    asked = await base.asked(question)
    async with base.db.tenant(base.account_id) as c:
        [(role,)] = await rows(c, "select current_user", {})
        assert role == "supportly_app"
        await c.exec_driver_sql(first)
        indexes = await search.read_indexes(c, base.account_id)
        sql, at = search.statement(indexes, search.Sought(base.account_id, question, asked, **chosen))
        [(plan,)] = await rows(c, f"explain (format json) {sql}", at)
    return list(nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]))


@pytest.fixture
async def filled(base):
    base.source.page_size = 400
    base.source.documents = [
        base.article(f"n{n}", f"Words of number {n} and its sum.", locale="en" if n % 2 else "de") for n in range(300)
    ]
    await base.sync()
    return base


@pytest.mark.parametrize("chosen", [{}, {"provider": "memory"}, {"locale": "de"}], ids=["all", "provider", "locale"])
@pytest.mark.parametrize("counted", [False, True], ids=["new rows", "counted rows"])
async def test_a_small_account_is_scanned_by_its_own_rows_alone(filled, postgres, chosen, counted):
    if counted:
        import psycopg

        with psycopg.connect(postgres.admin_url.replace("+psycopg", ""), autocommit=True) as admin:
            admin.execute("analyze vectors, chunks, documents")
    found = await plans(filled, "number 7", **chosen)
    # Rows are looked up by their key; the scan over the account is bound to it by one index or the other.
    used = {n["Index Name"]: n["Index Cond"] for n in found if "Index Name" in n}
    assert {name.split("_")[0] for name in used if name.endswith("_pkey")} >= {"chunks", "documents", "vectors"}
    assert all("account" in condition for condition in used.values()), used
    # One partition of each. From end to end only one that is counted, and known to hold hardly anybody else.
    assert counted or not [n for n in found if n["Node Type"] == "Seq Scan"]
    touched = {n["Relation Name"] for n in found if "Relation Name" in n}
    assert len({name for name in touched if name.startswith(("chunks_", "documents_", "vectors_"))}) == 3


@pytest.mark.parametrize("chosen", [{}, {"provider": "memory"}, {"locale": "de"}], ids=["all", "provider", "locale"])
async def test_a_large_account_is_asked_by_its_own_index(filled, monkeypatch, chosen):
    monkeypatch.setattr(knowledge_index, "INDEXED_FROM", 1)
    model = await knowledge_models.instant(filled.db, filled.embedder.model, filled.embedder.dimensions)
    assert await knowledge_index.bring_up_to_date(filled.db, filled.account_id, model, filled.embed) == 300
    # Three hundred rows are quicker sorted; a hundred thousand are not.
    found = await plans(filled, "number 7", first="set local enable_sort = off", **chosen)
    [(name,)] = await filled.rows("select name from knowledge_indexes where account_id = %(a)s")
    for table in (name, knowledge_titles.of(name)):
        reads = [n for n in found if n.get("Relation Name") == table]
        [walked] = [n for n in reads if "Order By" in n]
        assert (walked["Node Type"], walked["Index Name"]) == ("Index Scan", f"{table}_embedding_idx")
        assert "<#>" in walked["Order By"]
        # What the other half has found is looked up by its document.
        [looked_up] = [n for n in reads if n is not walked]
        assert "document_id" in looked_up.get("Index Cond", looked_up.get("Recheck Cond"))


async def test_words_are_found_by_their_index(filled, db):
    """Behind the policy the planner may not use it: `@@` is not leakproof. The function may."""
    scans = (
        "select coalesce(sum(pg_stat_get_numscans(indexrelid)), 0) from pg_stat_user_indexes "
        "where indexrelname like 'chunks_%%_terms_idx'"
    )

    async def counted():
        async with db.tenant(filled.account_id) as c:
            await c.exec_driver_sql("select pg_stat_force_next_flush()")
        async with db.tenant(filled.account_id) as c:
            return (await rows(c, scans, {}))[0][0]

    filled.source.page_size = 1000
    # Beyond 2,500 chunks an account is not read whole.
    filled.source.documents += [filled.article(f"m{n}", f"Further words {n}.") for n in range(2300)]
    await filled.sync()
    before = await counted()
    async with db.tenant(filled.account_id) as c:
        found = await rows(c, "select * from knowledge_fulltext('number 77', null, null, 64)", {})
    assert found
    assert await counted() > before
