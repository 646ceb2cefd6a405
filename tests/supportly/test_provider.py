"""What providers share beside their base class."""

import pytest

from supportly.errors import InvalidInput
from supportly.provider import offset


@pytest.mark.parametrize(("cursor", "rows"), [(None, 0), ("0", 0), ("40", 40), ("999999999", 999_999_999)])
def test_an_offset_is_the_number_of_rows_before_a_page(cursor, rows):
    assert offset(cursor) == rows


@pytest.mark.parametrize("cursor", ["", "later", "-1", "1.5", "1 ", "1\n", "\u0661", "9" * 10, "search:1"])
def test_another_cursor_names_its_field(cursor):
    with pytest.raises(InvalidInput) as refused:
        offset(cursor)
    assert refused.value.details["field"] == "params.cursor"
