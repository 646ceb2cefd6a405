"""What a sample says about the whole."""

import random

import pytest

from supportly.knowledge.estimate import wilson


def test_published_values():
    # Wilson 95 % intervals as in Newcombe (1998), table I.
    for hits, of, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
                                (1, 29, 0.0061, 0.1718)]:  # fmt: skip
        assert wilson(hits, of) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_all_and_none_stay_within_the_possible():
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    assert 0.7 < wilson(10, 10)[0] < 0.75
    assert wilson(0, 10)[0] == pytest.approx(0.0)
    for hits, of in [(0, 0), (2, 1), (-1, 3)]:
        with pytest.raises(ValueError, match="no sample"):
            wilson(hits, of)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_the_interval_holds_the_truth_as_often_as_it_says(share):
    chance, tries = random.Random(1), 4000
    held = 0
    for _ in range(tries):
        low, high = wilson(sum(chance.random() < share for _ in range(100)), 100)
        held += low <= share <= high
    assert 0.92 < held / tries < 0.98
