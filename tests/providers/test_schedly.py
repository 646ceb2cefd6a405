"""What only Schedly does; what all providers share is in test_contract.py."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from supportly.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    ProviderFailure,
    ProviderTimeout,
    Throttled,
    from_payload,
)
from supportly.http import Http, Outbound
from supportly.oauth import ClientRefused, GrantRefused
from supportly.provider import Call
from supportly.providers.schedly import Schedly
from supportly.providers.schedly.contract import Contract
from supportly.providers.schedly.params import SchedlySettings
from tests.providers.harness import World

SPECS = Path(os.environ.get("SUPPORTLY_SPECS", Path(__file__).resolve().parents[3] / "shared" / "specs")) / "schedly"
PHONE = {"type": "attendeePhone", "phone": "+15551234567"}
ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "time_zone": "Europe/London"}


@pytest.fixture
def world():
    return World(Schedly(Contract(_env_file=None)))


def monday(world, hour=9, weeks=0):
    """A Monday morning ahead, when the double's host works."""
    today = world.now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=7 * (1 + weeks) - today.weekday())).isoformat().replace("+00:00", "Z")


@pytest.fixture
def seeded(world):
    world.seed(
        teams=[{"id": 5, "name": "Sales", "bio": "We sell."}, {"id": 17, "name": "Help"}],
        event_types=[
            {"id": 11, "title": "Intro", "description": "A first talk.", "lengthInMinutes": 30},
            {"id": 12, "title": "Demo", "lengthInMinutes": 60, "teamId": 5},
            {"id": 13, "title": "Secret", "hidden": True},
        ],
        routing_forms=[
            {
                "id": "form-1",
                "targets": [
                    {"when": {"size": "big"}, "eventTypeId": 11},
                    {"when": {"size": "small"}, "message": "We call you."},
                    {"when": {"size": "none"}, "url": "https://example.com/"},
                ],
            }
        ],
    )
    return world


async def act(call, name, **params):
    action = call.http.policy.actions[name]
    return await action.run(call.http.policy, call, action.params.model_validate(params))


async def look(call, name, **params):
    """What is done after an unknown outcome: look for the write."""
    action = call.http.policy.actions[name]
    return await action.find(call.http.policy, call, action.params.model_validate(params))


def booking(world, hour=9, **more):
    return {"event_type_id": 11, "start": monday(world, hour), "attendee": ADA, **more}


# --- the assumed contract -------------------------------------------------------------------------------------------


def test_the_environment_replaces_every_assumption_and_is_read_late(monkeypatch):
    provider = Schedly()
    monkeypatch.setenv("SUPPORTLY_SCHEDLY_BASE_URL", "https://api.schedly.example/public")
    monkeypatch.setenv("SUPPORTLY_SCHEDLY_TOKEN_URL", "https://login.schedly.example/token")
    monkeypatch.setenv("SUPPORTLY_SCHEDLY_SCOPES", '{"read": "reads"}')
    monkeypatch.setenv("SUPPORTLY_SCHEDLY_VERSIONS", '{"/v9/meetings": "7"}')
    monkeypatch.setenv("SUPPORTLY_SCHEDLY_CLIENT_ID", "belongs to the settings")
    assert provider.urls({})[1] == "https://login.schedly.example/token"
    assert provider.hosts({}) == ["api.schedly.example"]
    assert provider.oauth.scope_text(optional=False) == "read"
    assert provider.headers("t", "GET", "/public/v9/meetings/1", {})["cal-api-version"] == "7"
    assert "cal-api-version" not in provider.headers("t", "GET", "/public/v9/meetings-of-others", {})


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v2/bookings", "2024-08-13"),
        ("/v2/bookings/abc/cancel", "2024-08-13"),
        ("/v2/slots", "2024-09-04"),
        ("/v2/event-types", "2024-06-14"),
        ("/v2/teams/5/event-types", None),
        ("/v2/me", None),
    ],
)
def test_each_resource_has_its_version(world, path, version):
    assert world.provider.headers("t", "GET", path, {}).get("cal-api-version") == version


@pytest.mark.beside_the_contract
@pytest.mark.parametrize("path", ["/v2/bookings", "/v2/slots?eventTypeId=11&start=2030-01-07&end=2030-01-08",
                                  "/v2/event-types"])  # fmt: skip
async def test_the_version_of_another_resource_is_not_found(seeded, path):
    call = await seeded.call()
    await call.http.get(path)
    for version in ("", "2024-06-11", "2020-01-01"):
        with pytest.raises(NotFound):
            await call.http.get(path, headers={"cal-api-version": version})


async def test_every_request_fits_the_contract(seeded):
    if not SPECS.exists():
        pytest.skip("the contracts are not part of the repository")
    call = await seeded.call(
        captain_scheduling_enabled=True, default_event_type_id="11", default_routing_config_id="form-1"
    )
    start, end = monday(seeded)[:10], monday(seeded, weeks=1)[:10]
    made = await act(
        call, "create_booking", start=monday(seeded),
        attendee={**ADA, "phone_number": "+15551234567", "language": "en"}, guests=["bob@example.com"],
        booking_fields={"why": "curious"}, metadata={"plan": "gold"}, length_in_minutes=30, location=PHONE,
        contact_id=7, requested_by="captain",
        routing={"responseId": 1, "teamMemberIds": [301], "queuedResponseId": None},
    )  # fmt: skip
    uid = made.result["id"]
    await act(
        call, "get_bookings", status=["upcoming", "past"], attendee_email=ADA["email"], attendee_name="Ada",
        event_type_ids=[11, "12"], team_ids=[5], after_start=monday(seeded), before_end=monday(seeded, weeks=1),
        after_updated_at=monday(seeded), before_updated_at=monday(seeded), sort_start="asc", limit=5,
    )  # fmt: skip
    await act(call, "get_available_slots", start=start, end=end, time_zone="Europe/Berlin", duration=30)
    await act(call, "get_teams")
    await act(call, "get_event_types")
    await act(call, "get_event_types", team_id=5)
    await act(call, "route_lead", answers={"size": "big"}, start=start, end=end)
    await act(call, "route_lead", answers={"size": "big"}, start=start, end=end, time_zone="UTC", dry_run=True)
    moved = await act(
        call, "reschedule_booking", booking_uid=uid, start=monday(seeded, 11), reason="Later", rescheduled_by="a@b.co"
    )
    await look(call, "reschedule_booking", booking_uid=uid, start=monday(seeded, 11))
    await act(call, "cancel_booking", booking_uid=moved.result["id"], reason="Ill", cancel_subsequent_bookings=False)
    await seeded.provider.identify(call.http)
    wrong = {f"{r.request.method} {r.request.path}": list(breaches(r.request)) for r in seeded.requests()}
    assert len(wrong) > 8
    assert {call: found for call, found in wrong.items() if found} == {}


def breaches(request):
    """Where a request departs from the contract: path, parameters, version, body."""
    for name in sorted(SPECS.glob("*.json")):
        # The branches of its `oneOf`s overlap, so that a body which fits one fits several.
        document = json.loads(name.read_text().replace('"oneOf"', '"anyOf"'))
        for path, item in document["paths"].items():
            parts, own = path.split("/"), request.path.split("/")
            if len(parts) == len(own) and all(a == b or a.startswith("{") for a, b in zip(parts, own, strict=True)):
                yield from breaches_of(request, item.get(request.method.lower()), document)
                return
    yield "unknown path"


def breaches_of(request, operation, document):
    if operation is None:
        yield "unknown method"
        return
    known = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
    yield from (f"unknown parameter {name}" for name in request.query.keys() - known.keys())
    yield from (f"missing parameter {n}" for n, p in known.items() if p.get("required") and n not in request.query)
    for parameter in (p for p in operation.get("parameters", []) if p["in"] == "header" and p.get("required")):
        sent, wanted = request.headers.get(parameter["name"].lower()), parameter["schema"].get("default")
        if not sent or (wanted and sent != wanted):
            yield f"header {parameter['name']}: {sent}"
    if content := operation.get("requestBody", {}).get("content", {}).get("application/json"):
        # The first branch is the plain booking; the others (recurring, seated) are looser.
        schema = content["schema"]["anyOf"][0] if "anyOf" in content["schema"] else content["schema"]
        yield from (e.message for e in Draft202012Validator({**document, **schema}).iter_errors(request.data))
        name = schema.get("$ref", "").rpartition("/")[2]
        allowed = document["components"]["schemas"].get(name, {}).get("properties", {})
        yield from (f"unknown field {field}" for field in request.data.keys() - allowed.keys())


# --- connecting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("organization", [41, None])
async def test_the_tenant_is_the_user_in_an_organization(world, organization):
    world.double.configure({"organization_id": organization})
    identity = await world.provider.identify(world.http(await world.tokens()))
    assert identity.tenant_key == f"301:{organization or '-'}"
    assert identity.facts["organization_id"] == str(organization or "")


@pytest.mark.parametrize("rotation", ["none", "rotate", "rotate_with_grace", "rotate_with_reuse_detection"])
async def test_what_comes_back_is_the_next_refresh_token_whether_they_rotate_or_not(world, rotation):
    world.double.configure({"rotation": rotation})
    first = await world.tokens()
    second = await world.refresh(first)
    assert (second.refresh_token == first.refresh_token) == (rotation == "none")
    third = await world.refresh(second)
    assert (await world.provider.identify(world.http(third))).tenant_key == "301:41"


async def test_a_token_answer_without_scope_is_fine(world):
    world.double.configure({"token_scope": False})
    assert (await world.tokens()).scopes == ()


@pytest.mark.parametrize(
    ("words", "kind", "reason"),
    [
        ("invalid_refresh_token", GrantRefused, "expired_or_revoked"),
        ("code_invalid_or_expired", GrantRefused, "code_expired"),
        ("pkce_verification_failed", GrantRefused, "pkce_failed"),
        ("something new", GrantRefused, "revoked_by_user"),
        ("redirect_uri_mismatch", ClientRefused, None),
        ("client_id_mismatch", ClientRefused, None),
    ],
)
def test_refusals_are_told_apart_by_their_description(world, words, kind, reason):
    refusal = world.provider.read_refusal(400, {"error": "invalid_grant", "error_description": words})
    assert type(refusal) is kind
    assert getattr(refusal, "reason", None) == reason


async def test_there_is_no_way_to_revoke(world):
    assert await world.provider.revoke(None, None, None) is False
    assert "remove the app" in world.provider.notice


# --- settings and parameters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"captain_scheduling_enabled": "yes"},
        {"captain_scheduling_enabled": 1},
        {"default_event_type_id": 12},
        {"default_event_type_id": "../me"},
        {"default_routing_config_id": "a b"},
        {"unknown": 1},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValidationError):
        SchedlySettings.model_validate(wrong)


BOOK = {"start": "2030-01-07T09:00:00Z", "attendee": ADA}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("create_booking", {**BOOK, "start": "2030-01-07T09:00:00"}),
        ("create_booking", {**BOOK, "attendee": {"name": "A"}}),
        ("create_booking", {**BOOK, "attendee": {**ADA, "time_zone": "Moon/Base"}}),
        ("create_booking", {**BOOK, "attendee": {**ADA, "time_zone": "../../etc/passwd"}}),
        ("create_booking", {**BOOK, "metadata": {"a": {"b": 1}}}),
        ("create_booking", {**BOOK, "metadata": {"supportly_marker": "x"}}),
        ("create_booking", {**BOOK, "metadata": {"a" * 41: "x"}}),
        ("create_booking", {**BOOK, "metadata": {f"k{n}": "" for n in range(49)}}),
        ("create_booking", {**BOOK, "routing": {"responseId": None, "teamMemberIds": [1]}}),
        ("get_available_slots", {"start": "2030-01-07", "end": "2030-01-08", "event_type_slug": "intro"}),
        ("get_bookings", {"status": ["done"]}),
        ("get_bookings", {"limit": 101}),
        ("cancel_booking", {"booking_uid": ""}),
        ("get_teams", {"limit": 101}),
    ],
)
def test_parameters_are_checked(world, name, wrong):
    with pytest.raises(ValidationError):
        world.provider.actions[name].params.model_validate(wrong)


def test_times_are_sent_in_utc(world):
    params = world.provider.actions["reschedule_booking"].params
    moved = params.model_validate({"booking_uid": "u", "start": "2030-01-07T10:00:00+01:00"})
    assert moved.start == "2030-01-07T09:00:00Z"


async def test_ids_that_are_missing_name_the_setting(seeded):
    call = await seeded.call()
    with pytest.raises(InvalidInput, match="default_event_type_id") as refused:
        await act(call, "create_booking", start=monday(seeded), attendee=ADA)
    assert refused.value.details["field"] == "event_type_id"
    with pytest.raises(InvalidInput, match="default_routing_config_id"):
        await act(call, "route_lead", answers={}, start="2030-01-07", end="2030-01-08")
    assert seeded.requests() == []


async def test_the_assistant_may_schedule_only_where_it_is_allowed(seeded):
    call = await seeded.call(default_routing_config_id="form-1")
    asked = {
        "create_booking": booking(seeded),
        "cancel_booking": {"booking_uid": "u"},
        "reschedule_booking": {"booking_uid": "u", "start": monday(seeded)},
        "route_lead": {"answers": {"size": "big"}, "start": "2030-01-07", "end": "2030-01-08"},
    }
    for name, params in asked.items():
        with pytest.raises(InvalidInput) as refused:
            await act(call, name, **params, requested_by="captain")
        assert refused.value.payload()["code"] == "captain_scheduling_disabled"
    assert seeded.requests() == []
    await act(call, "route_lead", **asked["route_lead"], requested_by="captain", dry_run=True)
    allowed = Call(call.http, SchedlySettings(captain_scheduling_enabled=True), "op-2")
    made = await act(allowed, "create_booking", **booking(seeded), requested_by="captain")
    assert made.result["status"] == "accepted"


# --- bookings ------------------------------------------------------------------------------------------------------


async def test_a_booking_carries_our_marker_and_the_contact(seeded):
    call = await seeded.call("op-7")
    made = await act(call, "create_booking", **booking(seeded, contact_id=42, metadata={"plan": "gold"}))
    stored = seeded.double.records["booking"][made.result["id"]]
    assert stored["metadata"] == {"plan": "gold", "supportly_marker": "supportly:op-7", "supportly_contact_id": "42"}
    assert made.result["attendees"][0]["email"] == "ada@example.com"


async def test_a_taken_slot_is_told_before_booking_with_alternatives(seeded):
    call = await seeded.call()
    seeded.seed(bookings=[{"eventTypeId": 11, "start": monday(seeded), "attendee": {"name": "B", "email": "b@b.co"}}])
    with pytest.raises(Conflict) as refused:
        await act(call, "create_booking", **booking(seeded))
    assert refused.value.payload()["code"] == "slot_not_available"
    assert refused.value.details["alternatives"][0] == monday(seeded).replace("09:00:00Z", "09:30:00.000Z")
    assert not refused.value.retryable
    assert seeded.requests(method="POST") == []


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "User either already has booking at this time or is not available", "slot_not_available"),
        (400, "Attempting to book a meeting in the past.", "slot_not_available"),
        (400, "The event type can't be booked at the selected time because it is too soon.", "slot_not_available"),
        (400, "Attendee with this email can't book because the maximum number of active bookings has been reached.",
         "slot_not_available"),
        (409, "The event is full", "slot_not_available"),
        (400, "attendee must have a name and a timeZone", "provider_error"),
    ],
)  # fmt: skip
async def test_a_slot_lost_between_check_and_booking_is_told_by_the_message(seeded, status, message, code):
    call = await seeded.call()
    fault = {"status": "error", "error": {"code": "BadRequestException", "message": message, "details": {}}}
    seeded.fault(method="POST", path="/v2/bookings", status=status, body=fault)
    with pytest.raises((Conflict, ProviderFailure)) as refused:
        await act(call, "create_booking", **booking(seeded))
    assert refused.value.payload()["code"] == code
    assert not refused.value.retryable
    back = from_payload(refused.value.payload())
    assert (back.own_code, back.status) == (code, refused.value.status)


async def test_a_lost_answer_never_makes_two_bookings(seeded):
    call = await seeded.call("op-9")
    seeded.fault(method="POST", path="/v2/bookings", cut="after_commit")
    with pytest.raises(ProviderFailure):
        await act(call, "create_booking", **booking(seeded))
    found = await look(call, "create_booking", **booking(seeded))
    assert found.result["metadata"]["supportly_marker"] == "supportly:op-9"
    assert len(seeded.double.records["booking"]) == 1


async def test_a_write_that_did_not_happen_is_not_found(seeded):
    call = await seeded.call()
    assert await look(call, "create_booking", **booking(seeded)) is None
    # Another operation's booking, another event type, another time, another person: none of them is ours.
    who = {"attendee": {"name": "Ada", "email": "ada@example.com"}}
    at = {"start": monday(seeded)}
    seeded.seed(
        bookings=[
            {**who, **at, "eventTypeId": 11, "metadata": {"supportly_marker": "supportly:other"}},
            {**who, **at, "eventTypeId": 12},
            {**who, "start": monday(seeded, 10), "eventTypeId": 11},
            {**at, "eventTypeId": 11, "attendee": {"name": "Bob", "email": "bob@example.com"}},
            {**who, **at, "eventTypeId": 11, "status": "cancelled"},
        ]
    )
    assert await look(call, "create_booking", **booking(seeded)) is None


async def test_where_metadata_is_not_kept_start_and_event_type_tell(seeded):
    call = await seeded.call()
    made = await act(call, "create_booking", **booking(seeded))
    seeded.double.records["booking"][made.result["id"]]["metadata"] = {}
    assert (await look(call, "create_booking", **booking(seeded))).result["id"] == made.result["id"]


async def test_the_search_for_a_write_reads_all_pages(seeded):
    call = await seeded.call("op-3")
    who = {"attendee": {"name": "Ada", "email": "ada@example.com"}, "eventTypeId": 12, "start": monday(seeded, 13)}
    seeded.seed(bookings=[dict(who) for _ in range(130)])
    await act(call, "create_booking", **booking(seeded))
    assert (await look(call, "create_booking", **booking(seeded))).result["event_type_id"] == "11"
    assert await look(Call(call.http, call.settings, "x"), "create_booking", **booking(seeded)) is None


async def test_cancel_and_reschedule_are_found_by_reading_the_booking(seeded):
    call = await seeded.call()
    uid = (await act(call, "create_booking", **booking(seeded))).result["id"]
    move = {"booking_uid": uid, "start": monday(seeded, 14)}
    assert await look(call, "cancel_booking", booking_uid=uid) is None
    assert await look(call, "reschedule_booking", **move) is None
    assert await look(call, "cancel_booking", booking_uid="nobody") is None

    seeded.fault(method="POST", cut="after_commit")
    with pytest.raises(ProviderFailure):
        await act(call, "reschedule_booking", **move)
    moved = (await look(call, "reschedule_booking", **move)).result
    assert moved["rescheduled_from"] == uid
    assert moved["id"] != uid
    assert await look(call, "reschedule_booking", booking_uid=uid, start=monday(seeded, 15)) is None
    # The old one is cancelled, because it was moved: nobody's wish to cancel it is done by that.
    assert await look(call, "cancel_booking", booking_uid=uid) is None

    # `rescheduledToUid` is optional in the contract: without it the new booking names the old one.
    seeded.double.records["booking"][uid].pop("rescheduledToUid")
    assert (await look(call, "reschedule_booking", **move)).result["id"] == moved["id"]

    seeded.fault(method="POST", cut="after_commit")
    with pytest.raises(ProviderFailure):
        await act(call, "cancel_booking", booking_uid=moved["id"])
    assert (await look(call, "cancel_booking", booking_uid=moved["id"])).result["status"] == "cancelled"


async def test_the_address_of_each_booking_is_checked_again(seeded):
    call = await seeded.call()
    seeded.fault(method="GET", path="/v2/bookings", status=200, times=2, body={
        "status": "success",
        "data": [
            {"uid": "a", "attendees": [{"email": "ADA@example.com"}]},
            {"uid": "b", "attendees": [{"email": "b@b.co"}]},
        ],
        "pagination": {"hasNextPage": False},
    })  # fmt: skip
    assert [b["id"] for b in (await act(call, "get_bookings", attendee_email="ada@example.com")).items] == ["a"]
    assert len((await act(call, "get_bookings")).items) == 2


async def test_pages_of_bookings_follow_one_another_and_an_endless_list_is_an_error(seeded):
    call = await seeded.call()
    who = {"attendee": {"name": "Ada", "email": "ada@example.com"}, "eventTypeId": 11}
    seeded.seed(bookings=[{**who, "start": monday(seeded, 9 + n)} for n in range(5)])
    seen, cursor = [], None
    while True:
        page = await act(call, "get_bookings", limit=2, cursor=cursor, sort_start="asc")
        seen += [b["start_time"] for b in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == sorted(seen)
    assert len(seen) == 5
    with pytest.raises(InvalidInput):
        await act(call, "get_bookings", cursor="later")
    seeded.fault(status=200, body={"status": "success", "data": [], "pagination": {"hasNextPage": True}})
    with pytest.raises(ProviderFailure):
        await act(call, "get_bookings")


async def test_slots_come_flat_in_order_and_none_is_an_answer(seeded):
    call = await seeded.call(default_event_type_id="11")
    slots = (await act(call, "get_available_slots", start=monday(seeded)[:10], end=monday(seeded)[:10])).items
    assert slots[0]["start"] < slots[0]["end"] == slots[1]["start"]
    seeded.double.records["schedule"].clear()
    assert (await act(call, "get_available_slots", start=monday(seeded)[:10], end=monday(seeded)[:10])).items == []


# --- teams, event types, routing -------------------------------------------------------------------------------------


async def test_event_types_are_cut_into_pages(seeded):
    call = await seeded.call()
    first = await act(call, "get_event_types", limit=1)
    assert ([e["title"] for e in first.items], first.next_cursor) == (["Intro"], "1")
    assert [e["status"] for e in (await act(call, "get_event_types", limit=1, cursor="1")).items] == ["hidden"]
    assert [e["title"] for e in (await act(call, "get_event_types", team_id=5)).items] == ["Demo"]
    teams = await act(call, "get_teams", limit=1)
    assert ([t["title"] for t in teams.items], teams.next_cursor) == (["Sales"], "1")
    rest = await act(call, "get_teams", limit=1, cursor="1")
    assert ([t["title"] for t in rest.items], rest.next_cursor) == (["Help"], None)


async def test_a_lead_goes_to_an_event_type_a_message_or_another_page(seeded):
    call = await seeded.call(default_routing_config_id="form-1")
    span = {"start": monday(seeded)[:10], "end": monday(seeded)[:10]}
    routed = (await act(call, "route_lead", answers={"size": "big"}, **span)).result
    assert (routed["outcome"], routed["event_type_id"]) == ("event_type", 11)
    assert routed["routing"]["responseId"]
    start, routing = routed["slots"][0]["start"], routed["routing"]
    assert await act(call, "create_booking", start=start, event_type_id=11, attendee=ADA, routing=routing)
    assert (await act(call, "route_lead", answers={"size": "small"}, **span)).result["message"] == "We call you."
    assert (await act(call, "route_lead", answers={"size": "none"}, **span)).result["outcome"] == "redirect"
    stored = len(seeded.double.records["response"])
    dry = (await act(call, "route_lead", answers={"size": "big"}, dry_run=True, **span)).result
    assert dry["slots"] == [s for s in routed["slots"] if s != routed["slots"][0]]
    assert len(seeded.double.records["response"]) == stored


async def test_a_route_of_unknown_outcome_is_not_repeated_but_a_dry_one_is(seeded):
    call = await seeded.call(default_routing_config_id="form-1")
    asked = {"answers": {}, "start": "2030-01-07", "end": "2030-01-08"}
    with pytest.raises(OutcomeUnknown):
        await look(call, "route_lead", **asked)
    assert await look(call, "route_lead", **asked, dry_run=True) is None


async def test_routing_needs_an_organization(seeded):
    seeded.double.configure({"organization_id": None})
    call = await seeded.call(default_routing_config_id="form-1")
    with pytest.raises(InvalidInput, match="organization"):
        await act(call, "route_lead", answers={"size": "big"}, start="2030-01-07", end="2030-01-08")


# --- contacts and knowledge ------------------------------------------------------------------------------------------


async def test_a_contact_is_the_attendee_of_their_newest_booking(seeded):
    call = await seeded.call()
    for hour, name in ((9, "Ada Old"), (11, "Ada New"), (10, "Ada Between")):
        who = {"name": name, "email": "Ada@Example.com"}
        seeded.seed(bookings=[{"eventTypeId": 11, "start": monday(seeded, hour), "attendee": who}])
    found = await seeded.provider.by_email(call, "ADA@example.com")
    assert [(r.id, r.name) for r in found] == [("attendee:ada@example.com", "Ada New")]
    assert (await seeded.provider.by_id(call, found[0].id)).name == "Ada New"
    shown = await seeded.provider.parts(call, found[0])["bookings"]
    assert [b["attendees"][0]["name"] for b in shown] == ["Ada New", "Ada Between", "Ada Old"]
    assert await seeded.provider.by_email(call, "nobody@example.com") == []


async def test_event_types_are_read_own_first_then_team_by_team(seeded):
    call = await seeded.call()
    walked, cursor = [], None
    while True:
        page = await seeded.provider.read_stream(call, "event_types", cursor, None)
        walked.append([d.title for d in page.documents])
        if (cursor := page.next) is None:
            break
    assert walked == [["Intro"], ["Demo"], []]
    document = (await seeded.provider.read_stream(call, "event_types", None, None)).documents[0]
    assert document.url == "https://cal.com/sam/intro"
    assert "A first talk." in document.body
    assert "30 minutes" in document.body


@pytest.mark.beside_the_contract
async def test_a_record_that_is_not_whole_fails_alone(seeded):
    seeded.double.records["team"]["5"].pop("name")
    page = await seeded.provider.read_stream(await seeded.call(), "teams", None, None)
    assert [d.title for d in page.documents] == ["Help"]
    assert [f.external_id for f in page.failures] == ["5"]


# --- limits ----------------------------------------------------------------------------------------------------------


async def answer_with(status, headers, body):
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, json=body))
    learned = []

    async def learn(seen):
        learned.extend(seen)

    async def spend(costs, lane):
        return 0.0

    http = Http(
        Outbound(timeout_s=1, max_bytes=1000, transport=transport), Schedly(Contract(_env_file=None)), "t",
        budget=SimpleNamespace(spend=spend, learn=learn), account="a1",
    )  # fmt: skip
    try:
        await http.get("/v2/me")
    finally:
        answer_with.learned = learned


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"Retry-After": "7", "X-RateLimit-Reset-Default": "30"}, 7, 7),
        ({"X-RateLimit-Reset-Default": "30"}, 30, 30),
        ({"X-RateLimit-Reset-Long-Name": "now + 40"}, 30, 40),
        ({"X-RateLimit-Reset-Default": "soon"}, 60, 60),
        ({}, 60, 60),
    ],
)
async def test_a_pause_is_read_from_what_there_is(headers, low, high):
    stamp = str(int(datetime.now(UTC).timestamp()) + 40)
    headers = {name: value.replace("now + 40", stamp) for name, value in headers.items()}
    with pytest.raises(Throttled) as refused:
        await answer_with(429, headers, {"status": "error", "error": {"message": "Too Many Requests"}})
    assert low <= refused.value.retry_after <= high


async def test_the_budget_learns_from_headers_of_any_name():
    headers = {"X-RateLimit-Limit-OAuth": "500", "X-RateLimit-Remaining-OAuth": "3", "X-RateLimit-Reset-OAuth": "20"}
    await answer_with(200, headers, {"status": "success", "data": {}})
    (seen,) = answer_with.learned
    assert (seen.bucket, seen.limit, seen.remaining, seen.window_s) == ("schedly:a1:token", 500, 3, 20)
    assert seen.bucket == Schedly(Contract(_env_file=None)).costs("GET", "/v2/me", "a1")[0].bucket


async def test_the_short_error_body_of_some_500s_is_read():
    with pytest.raises(ProviderFailure, match="Internal boom") as refused:
        await answer_with(500, {}, {"statusCode": 500, "message": "Internal boom"})
    assert refused.value.retryable


async def test_a_success_that_says_error_is_an_error(seeded):
    call = await seeded.call()
    seeded.fault(status=200, body={"status": "error", "data": []})
    with pytest.raises(ProviderFailure):
        await act(call, "get_teams")


async def test_a_slow_answer_is_a_timeout():
    world = World(Schedly(Contract(_env_file=None)), timeout_s=0.1)
    http = await world.connect()
    world.fault(delay=0.3)
    with pytest.raises(ProviderTimeout):
        await http.get("/v2/me")
