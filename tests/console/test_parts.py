"""What pages are made of, without a service: forms from schemas, advice, charts, words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.datastructures import FormData

from api.console import charts, forms, wording
from api.console.cards import card
from api.presenting import detailed
from supportly.errors import InvalidInput
from supportly.providers import PROVIDERS
from supportly.settings import Settings
from supportly.storage.provider_settings import Stored

SHOWN = {provider.id: detailed(provider, None, Stored(), Settings()) for provider in PROVIDERS}


def typed(known: list[forms.Field], prefix: str) -> FormData:
    """The form as a browser sends it when nobody has touched it."""
    sent = [(f"{prefix}.{one.name}", one.shown) for one in known if one.kind != "boolean"]
    return FormData([*sent, *((f"{prefix}.{one.name}", "on") for one in known if one.kind == "boolean" and one.value)])


@pytest.mark.parametrize("provider", SHOWN)
def test_a_form_that_nobody_touched_changes_nothing(provider):
    shown = SHOWN[provider]
    known = forms.fields(shown["settings_schema"], shown["settings"], without=("streams", "field_mapping"))
    assert all(one.kind != "json" for one in known), "every setting has a field of its own kind"
    assert forms.changed(known, forms.read(known, typed(known, "settings"), "settings")) == {}


@pytest.mark.parametrize("provider", SHOWN)
def test_every_action_has_a_form(provider):
    for action in SHOWN[provider]["actions"]:
        names = [one.name for one in forms.fields(action["params_schema"], {})]
        assert names == list(action["params_schema"].get("properties", {}))


def test_what_was_typed_becomes_json():
    schema = {
        "properties": {
            "minutes": {
                "anyOf": [{"type": "integer", "minimum": 15, "maximum": 60}, {"type": "null"}],
                "default": None,
            },
            "on": {"type": "boolean", "default": True},
            "projects": {"type": "array", "items": {"type": "string"}, "default": []},
            "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "extra": {"type": "object", "default": {}},
        }
    }
    before = forms.fields(schema, {})
    sent = {"p.minutes": " 30 ", "p.projects": "SUP\r\n\r\n OPS ", "p.kind": "b", "p.extra": '{"a": 1}'}
    after = forms.read(before, FormData(sent), "p")
    wanted = {"minutes": 30, "on": False, "projects": ["SUP", "OPS"], "kind": "b", "extra": {"a": 1}}
    assert forms.changed(before, after) == wanted
    wrong = forms.read(before, FormData({**sent, "p.minutes": "soon", "p.extra": "{"}), "p")
    assert {one.name: one.value for one in wrong}["minutes"] == "soon", "the API says what is wrong with it"
    assert {one.name: one.value for one in wrong}["extra"] == "{"
    assert next(one for one in before if one.name == "minutes").hint == "15 to 60."


def test_errors_go_to_the_fields_that_they_name():
    known = forms.fields({"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}, {})
    listed = [{"field": "p.a", "problem": "is not valid: too short"}, {"field": "p.c.0", "problem": "is missing"}]
    found = forms.problems(InvalidInput("x", details={"problems": listed}))
    marked, left = forms.with_errors(known, found, "p")
    assert [one.error for one in marked] == ["Too short.", ""]
    assert left == {"p.c.0": "Is missing."}
    assert forms.problems(InvalidInput("No such thing.", field="p.b")) == {"p.b": "No such thing."}
    assert forms.problems(InvalidInput("No such thing.")) == {}


# --- advice ----------------------------------------------------------------------------------------------------------

FINE: dict[str, Any] = {
    "provider": "zendesk",
    "name": "Zendesk",
    "available": True,
    "status": "connected",
    "reason": None,
    "missing_scopes": [],
}
READ: dict[str, Any] = {
    "enabled": True,
    "state": "succeeded",
    "last_run": {"failed_streams": {}},
    "stale": False,
    "failures_total": 0,
    "held_deletions": [],
    "completeness": {"share": 1.0, "low": 0.9, "high": 1.0, "sampled": 60},
}


def test_a_card_without_trouble_says_nothing():
    found = card(FINE, READ, configured=True)
    assert (found.group, found.tone, found.advice) == ("connected", "", [])
    alone = card({**FINE, "status": "not_connected"}, None, configured=True)
    assert (alone.group, alone.advice) == ("open", [])


@pytest.mark.parametrize(
    ("shown", "knowledge", "title", "level"),
    [
        ({"status": "reconnect_required", "reason": "revoked_by_user"}, {}, "Has to be connected again", "bad"),
        ({"missing_scopes": ["read"]}, {}, "1 permission is missing", "warn"),
        ({}, {"state": "failed"}, "The last sync failed", "bad"),
        ({}, {"state": "stalled"}, "The sync is stuck", "bad"),
        (
            {},
            {"state": "partial", "last_run": {"failed_streams": {"a": "b"}}},
            "The last sync was not complete",
            "warn",
        ),
        ({}, {"held_deletions": [{"documents": 7}, {"documents": 5}]}, "12 deletions held back", "warn"),
        ({}, {"failures_total": 3}, "3 records could not be read", "note"),
        ({}, {"stale": True}, "The data is old", "warn"),
        (
            {},
            {"completeness": {**READ["completeness"], "share": 0.8, "high": 0.9}},
            "Not all documents are equal",
            "warn",
        ),
    ],
)
def test_a_card_says_what_is_wrong(shown, knowledge, title, level):
    found = card({**FINE, **shown}, {**READ, **knowledge}, configured=True)
    assert [(one.title, one.level) for one in found.advice] == [(title, level)]
    assert (found.group == "trouble") == (level in ("bad", "warn"))


def test_the_worst_comes_first_and_a_provider_that_is_not_set_up_says_which_setting():
    found = card(
        {**FINE, "missing_scopes": ["a"], "status": "reconnect_required"},
        {**READ, "failures_total": 1},
        configured=True,
    )
    assert [one.level for one in found.advice] == ["bad", "warn", "note"]
    [one] = card({**FINE, "status": "not_connected"}, None, configured=False).advice
    assert "SUPPORTLY_ZENDESK_CLIENT_ID" in one.text


# --- charts and words ------------------------------------------------------------------------------------------------


def runs(*counts: tuple[int, int]) -> list[dict[str, Any]]:
    """Runs, an hour apart, newest first, each adding and deleting so many."""
    now = datetime.now(UTC)
    made = []
    for place, (added, deleted) in enumerate(reversed(counts)):
        began = now - timedelta(hours=place, minutes=10)
        made.append(
            {
                "started_at": began.isoformat(),
                "finished_at": (began + timedelta(minutes=2)).isoformat(),
                "state": "succeeded",
                "failed_streams": {},
                "counts": {"added": added, "deleted": deleted},
            }
        )
    return made


def test_documents_are_reckoned_back_from_today():
    chart = charts.documents(runs((100, 0), (50, 0), (0, 30)), 120)
    assert chart
    assert [value for _, value in chart.rows] == ["120", "150", "100"]
    assert chart.told == "From 100 to 120 documents over 3 syncs."
    heights = [y for y, _ in chart.across]
    assert heights == sorted(heights, reverse=True)
    assert chart.across[0] == (chart.bottom, "0")
    assert chart.across[-1][1] == "150"
    assert charts.documents(runs((1, 0)), 1) is None


def test_the_age_falls_to_the_length_of_a_whole_sync_and_a_failed_one_does_not_count():
    chart = charts.ages(runs((1, 0), (1, 0), (1, 0)))
    assert chart
    assert [value for _, value in chart.rows] == ["fell to 2 minutes"] * 3
    assert chart.told.startswith("Now 10 minutes old; at most 1 hour")
    assert [text for _, text in chart.across] == ["0", "30 min", "1 h", "1.5 h"]
    broken = runs((1, 0), (1, 0), (1, 0))
    broken[1] |= {"failed_streams": {"articles": "away"}}
    longer = charts.ages(broken)
    assert longer
    assert longer.told == "Now 10 minutes old; at most 2 hours in this time."
    assert charts.ages([{**one, "state": "failed"} for one in broken]) is None


def test_what_a_provider_said_is_text_and_links_lead_to_the_web_alone():
    assert (
        wording.marked("<b>Reset</b> it & go", "reset the <b>") == "&lt;b&gt;<mark>Reset</mark>&lt;/b&gt; it &amp; go"
    )
    assert wording.backticked("`<i>` is wrong") == "<code>&lt;i&gt;</code> is wrong"
    for url in ("javascript:alert(1)", "data:text/html,x", "//evil", "", None, 7, "http://[", "https:///x"):
        assert wording.web_address(url) == ""
    assert wording.web_address("https://acme.example/a") == "https://acme.example/a"


def test_numbers_and_times_read_well():
    assert wording.percent(0.9999) == "99.9\u00a0%"
    assert wording.percent(1.0) == "100\u00a0%"
    assert [wording.duration(s) for s in (0.25, 1, 59, 60, 7200, 90_000)] == [
        "0.2 seconds", "1 second", "59 seconds", "1 minute", "2 hours", "1 day",
    ]  # fmt: skip
    assert wording.plural(1234, "document") == "1\u202f234 documents"
    assert "in 2 hours" in wording.ago(datetime.now(UTC) + timedelta(hours=2, seconds=5))
    assert wording.ago(None) == "never"
    assert wording.label("default_ticket_id") == "Default ticket ID"
