from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from supportly.knowledge import rank


@dataclass(frozen=True)
class Chunk:
    document_id: str
    similarity: float
    words: float


def test_each_half_alone_and_the_mix():
    chunks = [Chunk("words", 0.1, 3.0), Chunk("vector", 0.9, 0.0), Chunk("both", 0.8, 2.5), Chunk("none", 0.0, 0.0)]
    assert rank.mix(chunks, 0.0)[0][0].document_id == "words"
    assert rank.mix(chunks, 1.0)[0][0].document_id == "vector"
    assert [c.document_id for c, _ in rank.mix(chunks)] == ["both", "words", "vector", "none"]


def test_no_words_in_common_leaves_the_vector_order():
    chunks = [Chunk(str(n), n / 10, 0.0) for n in range(5)]
    assert [c.document_id for c, _ in rank.mix(chunks)] == ["4", "3", "2", "1", "0"]


def test_a_document_takes_two_of_the_first_five_places():
    chunks = [Chunk("big", 1 - n / 100, 0.0) for n in range(8)] + [Chunk(f"d{n}", 0.1, 0.0) for n in range(4)]
    first = [c.document_id for c, _ in rank.spread(rank.mix(chunks), 5)]
    assert first.count("big") == 2
    assert len(first) == 5


def test_the_others_follow_and_none_is_lost():
    chunks = [Chunk("big", 1 - n / 100, 0.0) for n in range(8)]
    assert len(rank.spread(rank.mix(chunks), 50)) == 8


@given(st.lists(st.builds(Chunk, st.sampled_from("abc"), st.floats(-1, 1), st.floats(0, 100)), max_size=30))
def test_scores_lie_between_nought_and_one_and_fall(chunks):
    scores = [score for _, score in rank.mix(chunks)]
    assert scores == sorted(scores, reverse=True)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in scores)


@given(st.text(max_size=5000))
def test_a_question_is_one_short_storable_line(anything):
    asked = rank.question(anything)
    assert len(asked) <= rank.LONGEST_QUESTION
    assert "\x00" not in asked
    asked.encode()
