"""What providers share beside their base class."""

import re

import pytest
from pydantic import ValidationError

from supportly.errors import InvalidInput, ProviderFailure
from supportly.provider import Place, e164, integer, next_mark, offset, timestamp
from supportly.providers import PROVIDERS, get


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


def times():
    """Every parameter of every action that is a date or a time, with the schema that is published for it."""
    return [
        pytest.param(action, name, one, id=f"{provider.id}-{action.name}-{name}-{one['format']}")
        for provider in PROVIDERS
        for action in provider.actions.values()
        for name, schema in action.params.model_json_schema().get("properties", {}).items()
        for shape in [schema, *schema.get("anyOf", [])]
        for one in [shape, *shape.get("anyOf", [])]
        if one.get("format") in ("date", "date-time")
    ]


ENDS = ("0001-01-01", "0001-12-31", "9999-01-01", "9999-12-31")


@pytest.mark.parametrize(("action", "name", "schema"), times())
def test_no_time_lies_at_an_end_of_the_calendar_and_the_schema_says_so(action, name, schema):
    after = "" if schema["format"] == "date" else "T00:00:00+05:00"
    for day in ENDS:
        assert not re.search(schema["pattern"], day + after)
        with pytest.raises(ValidationError) as refused:
            action.params.model_validate({**action.example, name: day + after})
        assert [error["loc"] for error in refused.value.errors()] == [(name,)]
        assert "name a year from 0002 to 9998" in refused.value.errors()[0]["msg"]
    for day in ("0002-01-01", "2026-11-27", "9998-12-31"):
        assert re.search(schema["pattern"], day + after)
        action.params.model_validate({**action.example, name: day + after})


def test_a_part_that_is_not_required_may_be_empty_and_case_does_not_matter():
    [domain] = get("salesforce").connect_fields
    assert domain.read("") == domain.read(None) == "login.salesforce.com"
    assert domain.read("ACME.my.salesforce.com") == "acme.my.salesforce.com"
    [subdomain] = get("zendesk").connect_fields
    for missing in ("", None):
        with pytest.raises(InvalidInput):
            subdomain.read(missing)
