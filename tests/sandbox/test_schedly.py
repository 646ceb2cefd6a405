import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

CONTRACTS = Path(__file__).resolve().parents[3] / "shared" / "specs" / "schedly"
MAIN, TEAMS = "calcom-v2-bookings-slots-oauth.json", "calcom-v2-teams-routing-forms.json"
BOOKINGS, SLOTS = {"cal-api-version": "2024-08-13"}, {"cal-api-version": "2024-09-04"}
EVENT_TYPES, SCHEDULES = {"cal-api-version": "2024-06-14"}, {"cal-api-version": "2024-06-11"}


def monday(hour=9):
    today = datetime.now(UTC).replace(hour=hour, minute=0, second=0, microsecond=0)
    return today + timedelta(days=7 + (7 - today.weekday()) % 7)


def stamp(moment):
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture
async def schedly(world):
    token = (await world.connect("schedly"))["access_token"]
    form = {"id": "form-1", "targets": [{"when": {"size": "big"}, "eventTypeId": 11}, {"message": "We call you."}]}
    await world.control("POST", "schedly/seed", {
        "teams": [{"id": 5, "name": "Sales"}],
        "event_types": [
            {"id": 11, "title": "Intro", "lengthInMinutes": 30},
            {"id": 12, "title": "Demo", "lengthInMinutes": 60, "teamId": 5},
        ],
        "routing_forms": [form],
    })  # fmt: skip

    async def call(method, path, headers=None, **more):
        return await world.call("schedly", method, path, token, headers=headers or {}, **more)

    return call


def booking(start, **more):
    attendee = {"name": "Ada", "timeZone": "UTC", "email": "ada@b.co"}
    return {"start": stamp(start), "eventTypeId": 11, "attendee": attendee, **more}


async def test_the_version_header_is_demanded_per_resource(schedly):
    for path, headers in (
        ("/v2/bookings", BOOKINGS),
        ("/v2/event-types", EVENT_TYPES),
        ("/v2/schedules", SCHEDULES),
    ):
        assert (await schedly("GET", path, headers)).status_code == 200
        assert (await schedly("GET", path, SLOTS)).status_code == 404
        missing = await schedly("GET", path)
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "NotFoundException"
        assert missing.json()["path"] == path


async def test_a_taken_slot_is_400_and_leaves_the_list(schedly):
    day = monday().date().isoformat()
    url = f"/v2/slots?eventTypeId=11&start={day}&end={day}"
    before = (await schedly("GET", url, SLOTS)).json()["data"][day]
    assert (before[0], len(before)) == ({"start": stamp(monday())}, 16)
    assert (await schedly("POST", "/v2/bookings", BOOKINGS, json=booking(monday()))).status_code == 201
    taken = await schedly("POST", "/v2/bookings", BOOKINGS, json=booking(monday()))
    assert taken.status_code == 400
    message = "User either already has booking at this time or is not available"
    assert taken.json()["error"]["message"] == message
    after = (await schedly("GET", url + "&format=range&timeZone=Europe/Rome", SLOTS)).json()["data"][day]
    assert len(after) == 15
    assert set(after[0]) == {"start", "end"}
    assert after[0]["start"].endswith(("+01:00", "+02:00"))
    past = await schedly("POST", "/v2/bookings", BOOKINGS, json=booking(monday() - timedelta(days=70)))
    assert past.status_code == 400


async def test_rescheduling_gives_a_new_uid_and_cancelling_ends_it(schedly):
    made = (await schedly("POST", "/v2/bookings", BOOKINGS, json=booking(monday()))).json()["data"]
    body = {"start": stamp(monday(10)), "reschedulingReason": "late"}
    moved = await schedly("POST", f"/v2/bookings/{made['uid']}/reschedule", BOOKINGS, json=body)
    assert moved.status_code == 201
    fresh = moved.json()["data"]
    assert fresh["uid"] != made["uid"] == fresh["rescheduledFromUid"]
    old = (await schedly("GET", f"/v2/bookings/{made['uid']}", BOOKINGS)).json()["data"]
    assert (old["status"], old["rescheduledToUid"]) == ("cancelled", fresh["uid"])
    url = f"/v2/bookings/{fresh['uid']}/cancel"
    assert (await schedly("POST", url, BOOKINGS, json={"cancellationReason": "no"})).json()["data"][
        "status"
    ] == "cancelled"
    assert (await schedly("POST", url, BOOKINGS, json={})).status_code == 400


async def test_bookings_filter_and_page(world, schedly):
    rows = [
        {
            "start": stamp(monday() + timedelta(hours=n)),
            "eventTypeId": 11 + n % 2,
            "attendee": {"name": "A", "email": f"{n}@b.co"},
        }
        for n in range(5)
    ]
    await world.control("POST", "schedly/seed", rows)
    first = (await schedly("GET", "/v2/bookings?take=2&skip=2&status=upcoming", BOOKINGS)).json()
    assert (len(first["data"]), first["pagination"]["remainingItems"], first["pagination"]["hasNextPage"]) == (
        2,
        1,
        True,
    )
    one = (await schedly("GET", "/v2/bookings?attendeeEmail=3@B.co", BOOKINGS)).json()["data"]
    assert [row["attendees"][0]["email"] for row in one] == ["3@b.co"]
    assert len((await schedly("GET", "/v2/bookings?teamsIds=5", BOOKINGS)).json()["data"]) == 2
    assert (await schedly("GET", "/v2/bookings?status=nonsense", BOOKINGS)).status_code == 400


async def test_a_lead_is_routed_to_slots_or_a_message(schedly):
    day = monday().date().isoformat()
    url = f"/v2/organizations/41/routing-forms/form-1/responses?start={day}&end={day}"
    real = (await schedly("POST", url, json={"size": "big"})).json()["data"]
    assert real["routing"]["responseId"]
    assert real["slots"][day]
    queued = (await schedly("POST", url + "&queueResponse=true", json={"size": "big"})).json()["data"]
    assert queued["routing"]["queuedResponseId"]
    assert (await schedly("POST", url, json={"size": "small"})).json()["data"] == {
        "routingCustomMessage": "We call you."
    }
    dry = f"/v2/routing-forms/form-1/calculate-slots?start={day}&end={day}"
    assert (await schedly("POST", dry, json={"size": "small"})).status_code == 404
    assert (await schedly("POST", url.replace("41", "42"), json={"size": "big"})).status_code == 403


class Contract:
    """The two documents, with the answers' schemas by call. Known defects of the generated document are mended: some
    booleans are declared objects (with the example `true`), and the branches of `oneOf` overlap."""

    def __init__(self) -> None:
        self.documents = {name: self.mended(json.loads((CONTRACTS / name).read_text())) for name in (MAIN, TEAMS)}

    def mended(self, node):
        """Nullable in OpenAPI 3.0 is a type in JSON Schema."""
        if isinstance(node, list):
            return [self.mended(item) for item in node]
        if not isinstance(node, dict):
            return node
        made = {"anyOf" if key == "oneOf" else key: self.mended(value) for key, value in node.items()}
        if made.get("type") == "object" and made.get("example") in (True, False):
            made["type"] = "boolean"
        for name in ("isDefault", "required"):
            field = made.get("properties", {}).get(name) if isinstance(made.get("properties"), dict) else None
            if isinstance(field, dict) and field.get("type") == "object":
                field["type"] = "boolean"
        if made.get("nullable"):
            made.pop("nullable")
            return {"anyOf": [made, {"type": "null"}]}
        return made

    def schema(self, method, path, status):
        for document in self.documents.values():
            call = document["paths"].get(path, {}).get(method)
            if call:
                schema = call["responses"][str(status)]["content"]["application/json"]["schema"]
                return {**schema, "components": document["components"]}
        raise LookupError(path)

    def check(self, method, path, answer):
        schema = self.schema(method, path, answer.status_code)
        errors = list(Draft202012Validator(schema).iter_errors(answer.json()))
        assert not errors, f"{method} {path}: {errors[0].json_path}: {errors[0].message[:300]}"


@pytest.fixture
def contract():
    if not CONTRACTS.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CONTRACTS} is not there, and CI demands it")
        pytest.skip(f"{CONTRACTS} is not there")
    return Contract()


async def test_answers_keep_the_contract(world, schedly, contract):
    day = monday().date().isoformat()
    contract.check("get", "/v2/me", await schedly("GET", "/v2/me"))
    contract.check("get", "/v2/event-types", await schedly("GET", "/v2/event-types", EVENT_TYPES))
    contract.check("get", "/v2/event-types/{eventTypeId}", await schedly("GET", "/v2/event-types/11", EVENT_TYPES))
    contract.check("get", "/v2/schedules", await schedly("GET", "/v2/schedules", SCHEDULES))
    contract.check("get", "/v2/teams", await schedly("GET", "/v2/teams"))
    contract.check("get", "/v2/teams/{teamId}", await schedly("GET", "/v2/teams/5"))
    contract.check("get", "/v2/teams/{teamId}/event-types", await schedly("GET", "/v2/teams/5/event-types"))
    made = await schedly("POST", "/v2/bookings", BOOKINGS, json=booking(monday(), metadata={"a": "b"}))
    contract.check("post", "/v2/bookings", made)
    uid = made.json()["data"]["uid"]
    contract.check("get", "/v2/bookings", await schedly("GET", "/v2/bookings", BOOKINGS))
    contract.check("get", "/v2/bookings/{bookingUid}", await schedly("GET", f"/v2/bookings/{uid}", BOOKINGS))
    people = await schedly("GET", f"/v2/bookings/{uid}/attendees", BOOKINGS)
    contract.check("get", "/v2/bookings/{bookingUid}/attendees", people)
    moved = await schedly("POST", f"/v2/bookings/{uid}/reschedule", BOOKINGS, json={"start": stamp(monday(12))})
    contract.check("post", "/v2/bookings/{bookingUid}/reschedule", moved)
    gone = await schedly("POST", f"/v2/bookings/{moved.json()['data']['uid']}/cancel", BOOKINGS, json={})
    contract.check("post", "/v2/bookings/{bookingUid}/cancel", gone)
    held = await schedly(
        "POST", "/v2/slots/reservations", SLOTS, json={"eventTypeId": 11, "slotStart": stamp(monday(13))}
    )
    contract.check("post", "/v2/slots/reservations", held)
    forms = "/v2/organizations/{orgId}/routing-forms"
    contract.check("get", forms, await schedly("GET", "/v2/organizations/41/routing-forms"))
    window = f"?start={day}&end={day}"
    url = f"/v2/organizations/41/routing-forms/form-1/responses{window}"
    for answers in ({"size": "big"}, {"size": "small"}):
        answer = await schedly("POST", url, json=answers)
        contract.check("post", forms + "/{routingFormId}/responses", answer)
    dry = await schedly("POST", f"/v2/routing-forms/form-1/calculate-slots{window}", json={"size": "big"})
    contract.check("post", "/v2/routing-forms/{routingFormId}/calculate-slots", dry)


async def test_tokens_and_booking_bodies_keep_the_contract(world, contract):
    components = {"components": contract.documents[MAIN]["components"]}
    tokens = {"$ref": "#/components/schemas/OAuth2TokensDto", **components}
    Draft202012Validator(tokens).validate(await world.connect("schedly"))
    body = {"$ref": "#/components/schemas/CreateBookingInput_2024_08_13", **components}
    Draft202012Validator(body).validate(booking(monday()))
