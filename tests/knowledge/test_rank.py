from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from supportly.knowledge import rank


@dataclass(frozen=True)
class Chunk:
    document_id: str


def ranked(names):
    return [(Chunk(name), 1 - place / 100) for place, name in enumerate(names)]


def test_a_document_takes_two_of_the_first_five_places():
    first = [c.document_id for c, _ in rank.spread(ranked([*["big"] * 8, "d0", "d1", "d2", "d3"]), 5)]
    assert first == ["big", "big", "d0", "d1", "d2"]


def test_the_others_follow_and_none_is_lost():
    assert len(rank.spread(ranked(["big"] * 8), 50)) == 8


@given(st.text(max_size=5000))
def test_a_question_is_one_short_storable_line(anything):
    asked = rank.question(anything)
    assert len(asked) <= rank.LONGEST_QUESTION
    assert "\x00" not in asked
    asked.encode()
