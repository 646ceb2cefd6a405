"""What providers share beside their base class."""

import pytest

from supportly.errors import InvalidInput, ProviderFailure
from supportly.provider import Place, e164, integer, next_mark, offset, timestamp


@pytest.mark.parametrize(("cursor", "rows"), [(None, 0), ("0", 0), ("40", 40), ("999999999", 999_999_999)])
def test_an_offset_is_the_number_of_rows_before_a_page(cursor, rows):
    assert offset(cursor) == rows


@pytest.mark.parametrize("cursor", ["", "later", "-1", "1.5", "1 ", "1\n", "\u0661", "9" * 10, "search:1"])
def test_another_cursor_names_its_field(cursor):
    with pytest.raises(InvalidInput) as refused:
        offset(cursor)
    assert refused.value.details["field"] == "params.cursor"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("+44 20 7183 8750", "+442071838750"),
        ("0044 20 7183 8750", "+442071838750"),
        ("44 20 7183 8750", "+442071838750"),
        ("+44 (0)20 7183 8750", "+442071838750"),
        ("020 7183 8750", None),  # dialled within a country: with a plus it would be a number of Egypt
        ("(020) 7183 8750", None),
        ("", None),
        (None, None),
        ("no number", None),
    ],
)
def test_a_number_names_its_country_or_is_none(typed, read):
    assert e164(typed) == read


@pytest.mark.parametrize(
    ("found", "here", "following"),
    [(None, None, None), ("", "a", None), ("b", "a", "b"), (20, 10, "20"), (0, None, "0")],
)
def test_the_next_page_has_a_mark_or_there_is_none(found, here, following):
    assert next_mark(found, here) == following


@pytest.mark.parametrize(("found", "here"), [("a", "a"), (10, "10")])
def test_a_walk_in_a_circle_is_stopped(found, here):
    with pytest.raises(ProviderFailure, match="same page"):
        next_mark(found, here)


class Somewhere(Place):
    page: int = 1


def test_a_place_moves_or_is_refused():
    assert Somewhere().to(page=2) == Somewhere(page=2)
    with pytest.raises(ProviderFailure, match="same page"):
        Somewhere(page=2).to(page=2)


@pytest.mark.parametrize("value", [1e300, -1e20, float("nan"), 10**400, "0000-01-01", "x", None, True])
def test_what_is_no_moment_is_none(value):
    """A provider's clock may say anything; a record with such a time is a record without one."""
    assert timestamp(value) is None


@pytest.mark.parametrize("found", ["", "x", "-1", "1.5", "²", "٣", "9" * 20, None, True, "1/../2", [1]])
def test_a_number_that_a_provider_names_is_one(found):
    assert integer(0) == integer("0") == 0
    assert integer("9001") == 9001
    with pytest.raises(ProviderFailure):
        integer(found)
