"""Search on a real PostgreSQL, under row-level security."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from supportly.contracts.knowledge import Document
from supportly.knowledge import rank
from supportly.storage import knowledge_status, search
from supportly.storage.search import candidates

TEXTS = {
    "refund": "Money comes back to your account within five working days.",
    "delivery": "Parcels arrive on the third day. An express parcel arrives on the next day.",
    "password": "Open the page of your profile to choose another password.",
}


async def ask(base, question, **filters):
    asked = rank.question(question)
    vector = base.embedder.embed([asked])[0]
    found = await candidates(base.db, base.account_id, asked, vector, **filters)
    return [c for c, _ in rank.spread(rank.mix(found), 5)]


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
    await candidates(
        filled.db, filled.account_id, asked, filled.embedder.embed([asked])[0], locale=rank.question(locale or "")
    )


async def test_nothing_of_another_account(filled, db):
    asked = "money refund parcel password"
    vector = filled.embedder.embed([asked])[0]
    assert await candidates(db, filled.account_id + 700_000, asked, vector) == []


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


async def test_the_index_and_the_exact_scan_give_one_answer(filled, monkeypatch):
    monkeypatch.setattr(knowledge_status, "INDEXED_FROM", 1)
    filled.source.documents = [filled.article(f"n{n}", f"Words of number {n} and its sum.") for n in range(120)]
    filled.source.page_size = 200
    await filled.sync()
    questions = [f"what about number {n}" for n in range(0, 120, 12)]
    exact = [[c.title for c in await ask(filled, q)] for q in questions]
    while await knowledge_status.index_some(filled.db, filled.account_id, 50):
        # Half way, too, with some in the index and some not.
        assert (await ask(filled, questions[0]))[0].title == exact[0][0]
    [(left,)] = await filled.rows("select count(*) from chunks where account_id = %(a)s and not ann")
    assert left == 0
    indexed = [[c.title for c in await ask(filled, q)] for q in questions]
    same = sum(a[0] == b[0] for a, b in zip(exact, indexed, strict=True))
    assert same >= 9


async def test_a_small_account_is_not_indexed(filled):
    assert await knowledge_status.index_some(filled.db, filled.account_id, 50) == 0


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
