"""Messages: when a token is due, what a contact's field is, what a workflow's id tells."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportly.contracts import ids
from supportly.contracts.connections import ASSUMED_LIFE, SHORTEST_PAUSE, Standing
from supportly.contracts.contacts import Contact
from supportly.contracts.knowledge import Counts

THEN = datetime(2026, 11, 1, tzinfo=UTC)


def standing(life_s: float | None = 1800, **changes) -> Standing:
    ends = THEN + timedelta(seconds=life_s) if life_s is not None else None
    values = {"state": "connected", "connection_id": "c", "refreshed_at": THEN, "expires_at": ends, "refreshable": True}
    return Standing(**{**values, **changes})


@pytest.mark.parametrize(
    ("life_s", "earliest", "latest"),
    [
        (300, 135, 150),  # half its life ahead: five minutes would be at once
        (600, 270, 300),
        (1800, 1404, 1440),  # six minutes, a fifth, ahead, and up to 36 s of jitter
        (3600, 2808, 2880),
        (86_400, 67_392, 69_120),
        (None, 2808, 2880),  # counts as one hour
        (60, 60, 60),  # never twice within a minute
        (10, 60, 60),
    ],
)
def test_a_token_is_due_before_it_ends(life_s, earliest, latest):
    for name in map(str, range(50)):
        due = standing(life_s, connection_id=name).refresh_due()
        assert earliest <= (due - THEN).total_seconds() <= latest


@given(st.integers(1, 10**8), st.text(max_size=10))
def test_due_is_after_a_minute_and_before_the_end(life_s, name):
    due = standing(life_s, connection_id=name).refresh_due()
    assert due >= THEN + SHORTEST_PAUSE
    assert due < THEN + timedelta(seconds=life_s) or life_s <= 120


SPANS = st.integers(-(10**7), 10**7).map(lambda s: timedelta(seconds=s))


@given(SPANS, st.integers(0, 600), st.integers(1, 10**6))
def test_a_refresh_is_told_within_the_time_in_which_it_can_have_been(wrong, took_s, life_s):
    """Whatever clock stamped it: its life stays, and it is due within it and not before a minute has passed."""
    asked, now = THEN, THEN + timedelta(seconds=took_s)
    stamped = standing(life_s, refreshed_at=THEN + wrong, expires_at=THEN + wrong + timedelta(seconds=life_s))
    told = stamped.told(now, asked=asked)
    assert asked <= told.refreshed_at <= now
    assert told.expires_at - told.refreshed_at == timedelta(seconds=life_s)
    assert told.refresh_due() >= asked + SHORTEST_PAUSE
    assert told.refresh_due() < now + timedelta(seconds=life_s) or life_s <= 120
    if asked <= stamped.refreshed_at <= now:
        assert told == stamped


def test_what_was_found_may_be_old_and_not_in_the_future():
    now = THEN + timedelta(minutes=5)
    assert standing().told(now) == standing()
    assert standing().told(THEN - timedelta(days=1)).refreshed_at == THEN - timedelta(days=1)
    assert standing(None).told(THEN - timedelta(days=1)).expires_at is None
    unknown = Standing(state="disconnected")
    assert unknown.told(now, asked=THEN) == unknown


def test_connections_do_not_refresh_all_at_once():
    assert len({standing(3600, connection_id=str(n)).refresh_due() for n in range(200)}) > 50
    assert standing(3600).refresh_due() == standing(3600).refresh_due()


@pytest.mark.parametrize(
    "idle",
    [
        standing(state="reconnect_required"),
        standing(state="disconnecting"),
        standing(state="disconnected"),
        standing(refreshable=False),
        standing(refreshed_at=None),
        standing(state="reconnect_required", retry_at=THEN),
    ],
)
def test_nothing_is_due_where_nothing_can_be_refreshed(idle):
    assert idle.refresh_due() is None
    assert not idle.is_due(THEN + timedelta(days=400))


def test_a_failed_refresh_says_when_to_try_again():
    later = THEN + timedelta(minutes=5)
    waiting = standing(retry_at=later)
    assert waiting.refresh_due() == later
    assert waiting.is_paused(later - timedelta(seconds=1))
    assert not waiting.is_paused(later)
    assert waiting.is_due(later)
    assert not standing().is_paused(THEN)


def test_an_hour_is_assumed_where_the_provider_says_nothing():
    assert timedelta(hours=1) == ASSUMED_LIFE


CONTACT = Contact(
    id=7,
    name="  Ann Marie Lee ",
    email="ann@example.com",
    phone_number=" ",
    additional_attributes={"company_name": "Acme", "city": "Ulm", "country": "", "deep": {"a": 1}},
    custom_attributes={"plan": "gold", "seats": 0, "none": None, "vip": True},
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "Ann Marie Lee"),
        ("first_name", "Ann Marie"),
        ("last_name", "Lee"),
        ("email", "ann@example.com"),
        ("phone_number", None),
        ("identifier", None),
        ("contact_id", "7"),
        ("company", "Acme"),
        ("city", "Ulm"),
        ("country", None),
        ("custom_attributes.plan", "gold"),
        ("custom_attributes.seats", "0"),
        ("custom_attributes.none", None),
        ("custom_attributes.missing", None),
        ("additional_attributes.city", "Ulm"),
        ("additional_attributes", None),
        ("unknown", None),
        ("unknown.path", None),
        ("model_dump", None),  # what the class can do is no field
        ("__class__", None),
        ("email.domain", None),
        ("", None),
    ],
)
def test_a_contact_answers_by_source_name(path, value):
    assert CONTACT.value(path) == value


@pytest.mark.parametrize(
    ("name", "first", "last"), [("Ann", "Ann", None), ("", None, None), (None, None, None), ("李 雷", "李", "雷")]
)
def test_names_of_one_word_and_none(name, first, last):
    contact = Contact(id=1, name=name)
    assert (contact.value("first_name"), contact.value("last_name")) == (first, last)


def test_counts_add_up():
    total = Counts(seen=3, added=1) + Counts(seen=2, deleted=1)
    assert total == Counts(seen=5, added=1, deleted=1)


SAFE = re.compile(
    r"acct/\d+/[a-z]+(/(connection|knowledge|knowledge/schedule|contact/\d+/(lookup|sync|plan)|"
    r"contact/\d+/activity/[0-9a-f-]+|action/[0-9a-f-]+))"
)


def test_ids_hold_numbers_names_and_hashes_only():
    operation = "0b8d3a4e-7d43-4d4e-9c3f-0a7f5f4a1b2c"
    made = [
        ids.connection(1, "acme"),
        ids.lookup(1, "acme", 2),
        ids.sync(1, "acme", 2),
        ids.sync(1, "acme", 2, dry_run=True),
        ids.activity(1, "acme", 2, operation),
        ids.action(1, "acme", operation),
        ids.knowledge(1, "acme"),
        ids.schedule(1, "acme"),
    ]
    assert all(SAFE.fullmatch(made_id) for made_id in made), made
    assert len(set(made)) == len(made)


def test_a_digest_tells_nothing_and_joins_nothing():
    assert re.fullmatch(r"[0-9a-f]{32}", ids.digest("ann@example.com"))
    assert ids.digest("a", "bc") != ids.digest("ab", "c")
