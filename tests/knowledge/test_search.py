"""Search on a real PostgreSQL, under row-level security."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from supportly.contracts.knowledge import Document
from supportly.knowledge import rank
from supportly.knowledge.closeness import Closeness
from supportly.storage import knowledge_index, knowledge_models, knowledge_sweeps, knowledge_words, search
from supportly.storage.search import Sought

TEXTS = {
    "refund": "Money comes back to your account within five working days.",
    "delivery": "Parcels arrive on the third day. An express parcel arrives on the next day.",
    "password": "Open the page of your profile to choose another password.",
}


async def candidates(base, asked, **filters):
    return await search.candidates(base.db, Sought(base.account_id, asked, await base.asked(asked), **filters))


async def ask(base, question, **filters):
    asked = rank.question(question)
    found = await candidates(base, asked, **filters)
    return [c for c, _ in rank.spread(rank.order(found, asked, Closeness(base.embedder.embed)), 5)]


@pytest.fixture
async def filled(base):
    base.source.documents = [base.article(name, body, locale="en-us") for name, body in TEXTS.items()]
    await base.sync()
    return base


async def test_finds_by_words_and_by_meaning(filled):
    assert (await ask(filled, "when do I get my money back"))[0].title == "About refund"
    assert (await ask(filled, "PARCEL"))[0].title == "About delivery"
    assert (await ask(filled, "forgot my login secret, how do I pick a new password?"))[0].title == "About password"


async def test_words_are_matched_by_their_stem(filled):
    [hit, *_] = await ask(filled, "parcels arriving")
    assert hit.title == "About delivery"
    assert hit.words > 0


@pytest.mark.parametrize("locale", ["en", "en-us", "en-gb", "de"])
async def test_locale_filters(filled, locale):
    filled.source.documents += [
        filled.article("rückgabe", "Geld kommt zurück.", locale="de"),
        filled.article("anything", "Money without a language."),
    ]
    await filled.sync()
    found = {hit.locale for hit in await ask(filled, "money back Geld zurück", locale=locale)}
    assert found == {"en": {"en-us", None}, "en-us": {"en-us", None}, "en-gb": {None}, "de": {"de", None}}[locale]


async def test_a_german_text_is_read_in_german(filled):
    filled.source.documents.append(filled.article("versand", "Die Lieferungen dauern drei Tage.", locale="de-AT"))
    await filled.sync()
    [hit, *_] = await ask(filled, "Lieferung")
    assert hit.title == "About versand"
    assert hit.words > 0


async def test_provider_filters(filled):
    assert len(await ask(filled, "money", provider="memory")) == 3
    assert await ask(filled, "money", provider="zendesk") == []


async def test_a_filter_does_not_empty_the_answer(filled):
    many = [filled.article(f"german{n}", "Money money money refund.", locale="de") for n in range(150)]
    filled.source.documents = [*many, *filled.source.documents]
    filled.source.page_size = 200
    await filled.sync()
    assert len(await ask(filled, "money refund", locale="en-us")) == 3


@pytest.mark.parametrize(
    "question",
    [
        "the of and to",
        "!!! ??? ...",
        "'",
        "\\",
        "a & | ! <-> b:*",
        "'); drop table chunks; --",
        "😀 🎉",
        "x" * 10_000,
        "money " * 5_000,
        "null\x00byte",
        "half \ud800 character",
        "C:\\Users\\it's",
        "%s %(a)s {x}",
        "日本語",
    ],
)
async def test_every_question_has_an_answer(filled, question):
    assert len(await ask(filled, question)) == 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=st.text(max_size=300), locale=st.none() | st.text(max_size=10))
async def test_no_question_is_an_error(filled, question, locale):
    asked = rank.question(question)
    await candidates(filled, asked, locale=rank.question(locale or ""))


async def test_nothing_of_another_account(filled, db):
    asked = "money refund parcel password"
    assert await search.candidates(db, Sought(filled.account_id + 700_000, asked, await filled.asked(asked))) == []


async def test_the_function_answers_the_sessions_account_alone(filled, db):
    call = "select count(*) from knowledge_fulltext('money refund', null, null, 100)"
    async with db.system() as c:
        assert (await c.exec_driver_sql(call)).scalar_one() == 0
    async with db.tenant(filled.account_id) as c:
        assert (await c.exec_driver_sql(call)).scalar_one() == 1


async def test_its_owner_cannot_log_in(db, postgres):
    import psycopg

    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(host="127.0.0.1", port=postgres.port, user="supportly_search", dbname="supportly")
    with pytest.raises(DBAPIError, match="permission denied"):
        async with db.system() as c:
            await c.exec_driver_sql("set local role supportly_search")


async def indexed(base) -> int:
    model = await knowledge_models.instant(base.db, base.embedder.model, base.embedder.dimensions)
    return await knowledge_index.bring_up_to_date(base.db, base.account_id, model, base.embed)


@pytest.fixture
def eager(monkeypatch):
    """Indexes for accounts of any size, extended by any number of chunks."""
    monkeypatch.setattr(knowledge_index, "INDEXED_FROM", 1)
    monkeypatch.setattr(knowledge_index, "EXTENDED_FROM", 1)


async def test_the_index_and_the_exact_scan_give_one_answer(filled, eager):
    articles = [filled.article(f"n{n}", f"Words of number {n} and its sum.") for n in range(120)]
    filled.source.documents, filled.source.page_size = articles[:60], 200
    await filled.sync()
    await filled.sync()
    assert await indexed(filled) == 60
    filled.source.documents = articles[:64]
    await filled.sync()
    questions = [f"what about number {n}" for n in range(0, 64, 6)]
    # What has just come is scanned, and is found beside what is in the index.
    assert {(await ask(filled, f"about n{n}"))[0].title for n in range(60, 64)} == {
        f"About n{n}" for n in range(60, 64)
    }
    half = [[c.title for c in await ask(filled, q)] for q in questions]
    assert await indexed(filled) == 4
    assert await indexed(filled) == 0
    [(name, built, part)] = await filled.rows(
        "select name, built_part, part from knowledge_indexes where account_id = %(a)s"
    )
    assert part == built + 1
    whole = [[c.title for c in await ask(filled, q)] for q in questions]
    filled.source.documents = articles
    await filled.sync()
    assert await indexed(filled) == 120  # that many are quicker built anew
    assert await filled.rows(f"select count(*) from knowledge_ann.{name.rsplit('_', 1)[0]}_{part}") == [(120,)]
    await knowledge_sweeps.purge(filled.db, filled.account_id, "memory")
    assert await ask(filled, questions[0]) == []
    filled.source.documents = articles[:64]
    await filled.sync()
    exact = [[c.title for c in await ask(filled, q)] for q in questions]
    assert sum(a[0] == b[0] == c[0] for a, b, c in zip(exact, half, whole, strict=True)) >= len(questions) - 1


async def test_what_is_deleted_leaves_the_index_with_it(filled, eager):
    await indexed(filled)
    [(name,)] = await filled.rows("select name from knowledge_indexes where account_id = %(a)s")
    del filled.source.documents[0]
    await filled.sync()
    await filled.sync()
    assert await filled.rows(f"select count(*) from knowledge_ann.{name}") == [(2,)]


async def test_an_index_is_its_accounts_alone(filled, eager, db):
    await indexed(filled)
    [(name,)] = await filled.rows("select name from knowledge_indexes where account_id = %(a)s")
    async with db.tenant(filled.account_id + 700_000) as c:
        assert (await c.exec_driver_sql(f"select count(*) from knowledge_ann.{name}")).scalar_one() == 0
    with pytest.raises(DBAPIError, match="not an index of this account"):
        async with db.tenant(filled.account_id + 700_000) as c:
            await c.exec_driver_sql(f"select knowledge_drop('{name}')")
    with pytest.raises(DBAPIError, match="must be owner|permission denied"):
        async with db.tenant(filled.account_id) as c:
            await c.exec_driver_sql(f"drop table knowledge_ann.{name}")


async def test_an_index_that_is_replaced_in_mid_search_is_asked_for_again(filled, eager, monkeypatch):
    await indexed(filled)
    original, asked = search.read_indexes, []

    async def stale(c, account_id):
        asked.append(await original(c, account_id))
        if len(asked) == 1:
            return {m: search.Index(i.built, "v0_0_0", i.complete) for m, i in asked[0].items()}
        return asked[-1]

    monkeypatch.setattr(search, "read_indexes", stale)
    assert (await ask(filled, "PARCEL"))[0].title == "About delivery"
    assert len(asked) == 2


async def test_a_small_account_is_not_indexed(filled):
    assert await indexed(filled) == 0


async def test_only_two_places_of_five_for_one_document(base):
    sections = "\n\n".join(f"# Refund rule {n}\n\nRefund number {n} is a refund." for n in range(9))
    base.source.documents = [
        base.article("refunds", sections),
        *(
            Document(stream="articles", external_id=f"o{n}", title=f"Other {n}", body="Something else.")
            for n in range(5)
        ),
    ]
    await base.sync()
    titles = [c.title for c in await ask(base, "refund rule")]
    assert titles.count("About refunds") == 2
    assert len(titles) == 5
    assert search.POOL >= 5


async def test_common_words_find_only_together(base):
    base.source.page_size = 200
    base.source.documents = [base.article(f"n{n}", f"Money for parcel number{n}.") for n in range(140)]
    base.source.documents.append(base.article("zoo", "Money for the giraffe."))
    await base.sync()
    assert await knowledge_words.count_common(base.db, base.account_id)
    common = await base.rows(
        "select w.word from unnest(array['money', 'parcel', 'giraff']) w (word) join knowledge_common k "
        "on k.account_id = %(a)s and k.term = hashtextextended(w.word, %(a)s)"
    )
    assert {row[0] for row in common} == {"money", "parcel"}
    found = await candidates(base, "money giraffe")
    assert [c.title for c in found if c.words] == ["About zoo"]
    found = await candidates(base, "money parcel")
    assert len([c for c in found if c.words]) > 0
    # Counted anew only when much has changed.
    assert not await knowledge_words.count_common(base.db, base.account_id)
    base.source.documents = base.source.documents[100:]
    await base.sync()
    await base.sync()
    held = await base.rows("select run_id::text from held_deletions where account_id = %(a)s and status = 'held'")
    await knowledge_sweeps.confirm(base.db, base.account_id, "memory", held[0][0])
    assert (await base.names()) == {f"n{n}" for n in range(100, 140)} | {"zoo"}
