"""The order of a pool: close words, two tiers, exact names. On a help centre and, where it is there, on a FAQ set."""

import json
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import judged
from supportly.knowledge import rank, split
from supportly.knowledge.closeness import Closeness, words
from supportly.knowledge.embed import titled

HELP_CENTRE = Path(__file__).with_name("help_centre.json")
SHARES = [n / 10 for n in range(11)]


@dataclass(frozen=True)
class Chunk:
    document_id: str
    title: str
    heading: str = ""
    body: str = ""
    instant: float = 0.0
    refined: float | None = None
    words: float = 0.0


@pytest.fixture(scope="module")
def likeness(instant):
    return Closeness(instant.embed)


def unlike(question, titles, texts):
    """No likeness between any words, so that only similarities rank."""
    return np.zeros(len(titles), np.float32), np.zeros(len(texts), np.float32)


def read(path, embedder):
    """Pools of chunks with all they have, one a question, and the document that answers."""
    data = json.loads(path.read_text())
    chunks = [split.Chunk(*c[1:]) for c in data["chunks"]]
    stored = titled(embedder, [c.title for c in chunks], [c.text for c in chunks])
    asked = embedder.embed([q["q"] for q in data["questions"]])
    return [
        (
            q["q"],
            q["document"],
            [
                Chunk(
                    data["chunks"][n][0], c.title, c.heading, c.body, like, q["refined"][n], q["words"].get(str(n), 0.0)
                )
                for n, (c, like) in enumerate(zip(chunks, (stored @ vector).tolist(), strict=True))
            ],
        )
        for q, vector in zip(data["questions"], asked, strict=True)
    ]


@pytest.fixture(scope="module")
def pools(instant):
    return read(HELP_CENTRE, instant)


def figures(pools, ranked):
    """MAP and hit@1 of an order over all pools."""
    return np.mean([judged((c.document_id for c, _ in ranked(p, q)), {d}) for q, d, p in pools], axis=0)


def refined_in_part(pools, share):
    """The same chunks have a refined similarity in every pool."""
    chosen = random.Random(7).sample(range(len(pools[0][2])), round(share * len(pools[0][2])))
    return [
        (q, d, [c if n in set(chosen) else replace(c, refined=None) for n, c in enumerate(pool)])
        for q, d, pool in pools
    ]


@pytest.mark.parametrize("share", SHARES)
def test_never_worse_than_the_better_half(pools, likeness, share):
    pools = refined_in_part(pools, share)
    by_words = figures(pools, lambda pool, _: sorted(((c, c.words) for c in pool), key=lambda p: -p[1]))
    by_vectors = figures(pools, lambda pool, q: rank.order(pool, q, unlike))
    both = figures(pools, lambda pool, q: rank.order(pool, q, likeness))
    assert (both >= np.maximum(by_words, by_vectors)).all(), (both, by_words, by_vectors)


def test_more_refined_chunks_rank_better(pools, likeness):
    none, half, all_of_them = (
        figures(refined_in_part(pools, share), lambda pool, q: rank.order(pool, q, likeness)) for share in (0, 0.5, 1)
    )
    assert (none <= half).all()
    assert (half <= all_of_them).all()
    assert all_of_them[1] >= 0.8


def test_close_words_lift_the_instant_tier_on_the_faq_set(shared, instant, likeness):
    data = json.loads((shared / "retrieval" / "covidfaq.json").read_text())
    pieces = [(d["id"], c) for d in data["documents"] for c in split.split(d["title"], d["body"])]
    stored = titled(instant, [c.title for _, c in pieces], [c.text for _, c in pieces])
    asked = instant.embed([q["q"] for q in data["queries"]])
    pools = [
        (
            q["q"],
            q["documents"][0],
            [Chunk(d, c.title, c.heading, c.body, s) for (d, c), s in zip(pieces, (stored @ v).tolist(), strict=True)],
        )
        for q, v in list(zip(data["queries"], asked, strict=True))[::5]
    ]
    vectors = figures(pools, lambda pool, q: rank.order(pool, q, unlike))
    both = figures(pools, lambda pool, q: rank.order(pool, q, likeness))
    assert both[1] > vectors[1] + 0.15
    assert both[0] > vectors[0] + 0.12


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("what is ERR_4012?", ["ERR_4012"]),
        ("size of the WM-200, please", ["WM-200"]),
        ("GET /v2/users/{id} returns nothing", ["/v2/users/{id}"]),
        ("we get HTTP 502 all day", ["HTTP 502", "502"]),
        ('it says "payment was refused"', ["payment was refused"]),
        ("order #12345", ["12345"]),
        ("between 2019 and 2021, from 10:30, 24/7, 1,000 users, mp3 and/or 1st, task_id", []),
        ("how do I reset my password", []),
    ],
)
def test_what_is_an_identifier(question, names):
    assert rank.identifiers(question) == names


@pytest.mark.parametrize(
    ("question", "body"),
    [
        ("what does error ERR_4012 mean", "Code ERR_4012: the certificate has run out."),
        ("err-4012", "Code ERR_4012: the certificate has run out."),
        ("WM-200 manual", "Covers the models WM 200 and WM 210."),
        ("what does /v2/users answer", "Lists people. `GET /v2/users` needs the scope read."),
        ("HTTP 502", "A gateway answers HTTP 502 while we deploy."),
        ('why "seat limit reached"', "The message “Seat limit  reached” comes from the plan."),
    ],
)
def test_an_exact_name_wins_over_likeness(likeness, question, body):
    other = [
        Chunk(f"other{n}", f"What does this error mean? {n}", "", "Errors, manuals, limits, answers.", 0.9, 0.95, 9.0)
        for n in range(20)
    ]
    near = [Chunk("near", "Codes", "", "See ERR_40123, WM-2001, /v2/usersets, HTTP 5020, seat limits.", 0.8, 0.9)]
    [(first, score), *rest] = rank.order([*other, *near, Chunk("it", "Notes", "", body, 0.0, None)], question, likeness)
    assert first.document_id == "it"
    assert score > 0.5 > rest[0][1]


def test_a_name_that_most_documents_hold_is_no_name(likeness):
    theme = [Chunk(f"d{n}", f"Question {n}", "", "All about COVID-19.", n / 100) for n in range(19)]
    without = Chunk("best", "How long is quarantine?", "", "Ten days.", 0.5)
    assert rank.order([*theme, without], "how long is quarantine with COVID-19", likeness)[0][0] == without


def test_what_is_missing_is_estimated_on_the_refined_scale():
    instant = np.array([0.1, 0.2, 0.3, 0.4, 0.35])
    refined = np.array([0.5, 0.6, 0.7, 0.8, np.nan])
    assert rank.merged(instant, refined).tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.75])


def test_few_refined_chunks_change_nothing():
    instant = np.array([0.1, 0.2, 0.3])
    assert rank.merged(instant, np.array([9.0, np.nan, np.nan])).tolist() == instant.tolist()


def test_a_fully_refined_pool_is_ranked_by_the_refined_tier():
    chunks = [Chunk("instant", "", instant=0.9, refined=0.1), Chunk("refined", "", instant=0.1, refined=0.9)]
    assert rank.order(chunks, "anything", unlike)[0][0].document_id == "refined"


def test_equal_scores_fall_by_words_and_then_by_document():
    chunks = [Chunk("b", ""), Chunk("c", "", words=1.0), Chunk("a", "")]
    assert [c.document_id for c, _ in rank.order(chunks, "?", unlike)] == ["c", "a", "b"]


def test_the_same_word_is_close_and_a_stranger_is_not(likeness):
    titles, texts = likeness("refund", ["Refund", "Refunds", "Tractor", ""], ["refund", "x refund y", "tractor", ""])
    assert titles[0] == pytest.approx(1, abs=1e-5)
    assert titles[0] > titles[1] > titles[2] >= titles[3] == 0
    assert texts[0] == pytest.approx(texts[1])


def test_rare_words_weigh_more(likeness):
    texts = ["account invoice", "account", "account", "account", "account"]
    _, close = likeness("account invoice", [""] * 5, texts)
    assert close[0] == pytest.approx(1, abs=1e-5)
    assert close[1] < 0.5


def test_it_forgets_without_losing_anything(instant, monkeypatch):
    fresh = Closeness(instant.embed)
    first = fresh("some words", ["words"], ["some words here"])
    monkeypatch.setattr("supportly.knowledge.closeness.KNOWN_TEXTS", 1)
    assert np.allclose(fresh("some words", ["words"], ["some words here"]), first)


def test_words_are_lower_case_and_come_once():
    assert words("Don't STOP, don't – 日本語 x_1") == ["don't", "stop", "日本語", "x_1"]


texts = st.text(max_size=60)
chunks = st.builds(
    Chunk,
    st.sampled_from("abc"),
    texts,
    texts,
    texts,
    st.floats(-1, 1),
    st.none() | st.floats(-1, 1),
    st.floats(0, 100),
)


@given(st.lists(chunks, max_size=12), texts)
def test_every_pool_and_question_has_an_order(likeness, found, question):
    ranked = rank.order(found, question, likeness)
    scores = [score for _, score in ranked]
    assert sorted(map(id, found)) == sorted(id(c) for c, _ in ranked)
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_a_question_over_200_chunks_takes_milliseconds(pools, likeness):
    question, _, pool = pools[0]
    big = [replace(c, body=f"{c.body} {n} {c.body} {c.body}") for n in range(3) for c in pool][:200]
    rank.order(big, question, likeness)
    spent = []
    for question, _, _ in pools[:20]:
        started = time.thread_time()
        rank.order(big, question, likeness)
        spent.append(time.thread_time() - started)
    assert sorted(spent)[10] < 0.02
