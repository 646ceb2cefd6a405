"""What is particular about Calendly: URIs, contacts that may be missing, private notes, plans, tokens for one use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sandbox.calendly import API
from supportly.contracts.contacts import ActivityJob, Contact
from supportly.errors import InvalidInput, ProviderFailure, Throttled, UnsupportedByProvider
from supportly.oauth import GrantRefused
from supportly.providers import get
from supportly.providers.calendly import api, custom_fields
from tests.providers.harness import World
from tests.providers.seeds.shape import monday

ADA = Contact(id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442071838750")
USER, ORGANIZATION = f"{API}/users/USER1", f"{API}/organizations/ORG1"


@pytest.fixture
def world():
    return World(get("calendly"))


def contact(**more):
    return {"name": "Ada Lovelace", "emails": [{"email": "ada@example.com", "is_primary": True}], **more}


def job(kind="note", content="Called\nabout it", **more):
    return ActivityJob(
        account_id=1, provider="calendly", contact_id=7, operation_id="op-1", kind=kind, content=content, **more
    )


async def found(world, call):
    (record,) = await world.provider.find(call, ADA, None)
    return record


# --- connecting -------------------------------------------------------------------------------------------------------


async def test_the_client_speaks_basic_to_the_token_endpoint_and_in_the_body_to_the_revocation(world):
    tokens = await world.tokens()
    sent = world.requests("/oauth/token")[-1].request
    assert sent.host == "auth.calendly.com"
    assert sent.headers["authorization"].startswith("Basic ")
    assert "client_secret" not in sent.object
    assert "code_verifier" in sent.object
    facts = world.provider.oauth
    await world.engine.revoke(facts, world.client, url=facts.revoke, token=tokens.refresh_token, hint="refresh_token")
    sent = world.requests("/oauth/revoke")[-1].request
    assert (sent.object["client_id"], sent.object["client_secret"]) == (world.client.id, world.client.secret)
    assert "authorization" not in sent.headers
    assert set(sent.object) == {"client_id", "client_secret", "token"}
    assert world.double.grants[0].revoked


async def test_a_refresh_token_works_once(world):
    first = await world.tokens()
    second = await world.refresh(first)
    assert second.refresh_token != first.refresh_token
    with pytest.raises(GrantRefused) as refused:
        await world.refresh(first)
    assert refused.value.reason == "revoked_by_user"
    assert (await world.refresh(second)).access_token  # what is used late does not end the grant


async def test_nine_tokens_in_a_minute_are_too_many(world):
    world.double.configure({"rate_limits": True})
    tokens = await world.tokens()
    for _ in range(7):
        tokens = await world.refresh(tokens)
    with pytest.raises(Throttled):
        await world.refresh(tokens)


@pytest.mark.parametrize("named", [True, False])
async def test_user_and_organization_are_full_uris_wherever_they_are_told(world, named):
    world.double.configure({"names_in_token": named})
    tokens = await world.tokens()
    assert tokens.facts == ({"owner": USER, "organization": ORGANIZATION} if named else {})
    identity = await world.provider.identify(world.http(tokens))
    assert identity.facts == {"owner": USER, "organization": ORGANIZATION}
    assert identity.tenant_key == "ORG1:USER1"


async def test_two_users_of_one_organization_are_two_tenants(world):
    keys = set()
    for user in ("USER1", "USER2"):
        world.double.configure({"user": user})
        keys.add((await world.provider.identify(world.http(await world.tokens()))).tenant_key)
    assert keys == {"ORG1:USER1", "ORG1:USER2"}


async def test_a_user_without_an_organization_is_not_guessed(world):
    world.fault(method="GET", path="/users/me", status=200, body={"resource": {"uri": USER, "name": "Robin"}})
    with pytest.raises(ProviderFailure, match="which user and organization"):
        await world.provider.identify(world.http(await world.tokens()))


async def test_an_app_without_scopes_is_denied_everywhere(world):
    world.double.configure({"withheld": ["users:read"]})
    with pytest.raises(ProviderFailure) as denied:
        await world.provider.identify(world.http(await world.tokens()))
    assert denied.value.provider_status == 403
    world.double.configure({"legacy_app": True})  # made before March 2026
    assert await world.provider.identify(world.http(await world.tokens()))


# --- contacts ---------------------------------------------------------------------------------------------------------


async def test_the_primary_address_is_read_and_not_the_first(world):
    emails = [{"email": "b@example.com", "is_primary": False}, {"email": "ada@example.com", "is_primary": True}]
    world.seed(contacts=[contact(emails=emails)])
    call = await world.call()
    record = await found(world, call)
    assert (record.email, record.id.startswith(f"{API}/contacts/")) == ("ada@example.com", True)
    assert world.provider.emails_of(record) == {"b@example.com", "ada@example.com"}
    _, skipped = await world.provider.writable(call, {"email": "b@example.com"}, record)
    assert "another address" in skipped["email"]


async def test_lists_are_replaced_as_a_whole_so_what_was_there_is_sent_along(world):
    emails = [{"email": "ada@example.com", "is_primary": True}, {"email": "b@example.com", "is_primary": False}]
    world.seed(contacts=[contact(emails=emails, phone_numbers=[{"phone_number": "+442071838750"}])])
    call = await world.call()
    fields = {"email": "new@example.com", "phone": "+33 1 55 55 01 03"}
    updated = await world.provider.update(call, await found(world, call), fields)
    assert updated.raw["emails"] == [
        {"email": "new@example.com", "is_primary": True},
        {"email": "ada@example.com", "is_primary": False},
        {"email": "b@example.com", "is_primary": False},
    ]
    assert updated.raw["phone_numbers"] == [{"phone_number": "+33155550103"}, {"phone_number": "+442071838750"}]


async def test_a_contact_with_only_a_phone_cannot_be_made(world):
    call = await world.call()
    with pytest.raises(InvalidInput) as refused:
        await world.provider.create(call, ADA, {"name": "Ada", "phone": "+442071838750"})
    assert refused.value.details["field"] == "email"


@pytest.mark.parametrize("answer", ["refused", "doubled"])
async def test_a_second_contact_with_one_address(world, answer):
    """Unconfirmed: a refusal updates the contact that is there; where twins are allowed, one is made."""
    world.double.configure({"same_email": answer})
    world.seed(contacts=[contact()])
    call = await world.call()
    made = await world.provider.create(call, ADA, {"name": "Ada King", "email": "ada@example.com"})
    assert made.name == "Ada King"
    assert len(world.double.records["contact"]) == (1 if answer == "refused" else 2)


@pytest.mark.parametrize(("whose", "count"), [("user", 0), ("organization", 1)])
async def test_contacts_of_a_team_mate(world, whose, count):
    """Unconfirmed: contacts are the user's or the organization's."""
    world.double.configure({"contacts_of": whose})
    world.seed(contacts=[contact(owner=f"{API}/users/OTHER")])
    assert len(await world.provider.find(await world.call(), ADA, None)) == count


FIELDS = [
    {"label": "Plan", "field_type": "single_select", "options": ["growth", "starter"]},
    {"label": "Seats", "field_type": "number"}, {"label": "Tags", "field_type": "tags"},
    {"label": "Since", "field_type": "date"},
]  # fmt: skip


@pytest.mark.parametrize("shape", ["reference", "third party"])
async def test_one_bad_custom_field_would_refuse_the_whole_contact_and_is_left_out(world, shape):
    """Definitions and values have `uri`, `label` and `field_type`; a third party tells of `uuid`, `name` and `type`."""
    world.double.configure({"definitions": shape})
    plan, seats, tags, since = world.seed(custom_fields=FIELDS)
    world.seed(contacts=[contact()])
    call = await world.call()
    record = await found(world, call)
    wrong = {plan: "gold", seats: "many", since: "last year", "no-such-uuid": "x"}
    kept, skipped = await world.provider.writable(call, wrong, record)
    assert (kept, set(skipped)) == ({}, set(wrong))
    good = {plan: "growth", seats: "5", tags: "vip, beta", since: "2026-01-31"}
    kept, skipped = await world.provider.writable(call, good, record)
    option = f"{plan}-0" if shape == "reference" else "growth"
    assert (kept, skipped) == ({**good, plan: option}, {})
    updated = await world.provider.update(call, record, kept)
    stored = {item["uuid"]: item["value"] for item in world.double.records["contact"][record.id.rpartition("/")[2]][
        "custom_fields"]}  # fmt: skip
    assert stored == {plan: option, seats: 5, tags: ["vip", "beta"], since: "2026-01-31"}
    assert {n: world.provider.current(updated)[n] for n in good} == {**good, plan: option}
    assert await world.provider.writable(call, good, updated) == ({}, {}), "nothing is left to write"


async def test_definitions_are_asked_for_without_parameters_and_unset_fields_are_not_set(world):
    (plan, seats, tags, _) = world.seed(custom_fields=FIELDS)
    world.seed(contacts=[contact()])
    call = await world.call()
    record = await found(world, call)
    now = world.provider.current(record)
    assert (now[plan], now[seats], now[tags]) == (None, None, None)
    await world.provider.writable(call, {seats: "7"}, record)
    assert world.requests("/contacts/custom_field_definitions")[-1].request.query == {}


@pytest.mark.parametrize("value", ["uuid", "growth", {"uuid": "uuid", "label": "growth"}, {"label": "growth"}])
def test_a_choice_is_set_whether_it_is_told_by_uuid_or_by_label(value):
    field = {"uri": f"{API}/contacts/custom_field_definitions/f", "field_type": "single_select",
             "options": [{"uuid": "uuid", "label": "growth", "color": None}]}  # fmt: skip
    told = custom_fields.values_of({"custom_fields": [{"uri": field["uri"], "label": "Plan", "value": value}]})
    assert custom_fields.checked(field, "growth") == ("uuid", "")
    assert custom_fields.is_set(field, "uuid", told["f"])


async def test_a_contact_is_shown_where_calendly_shows_it(world):
    world.seed(contacts=[contact(id="c1")])
    assert (await found(world, await world.call())).url == "https://calendly.com/app/contacts/c1"


async def test_without_the_permission_for_contacts_invitees_are_read_and_nothing_is_written(world):
    world.double.configure({"withheld": ["contacts:write", "contacts:read"]})
    world.seed(
        scheduled_events=[{"id": "e1", "start_time": monday(world)}],
        invitees=[{"id": "i1", "event": "e1", "name": "Ada L.", "email": "ada@example.com",
                   "text_reminder_number": "+442071838750"}],
    )  # fmt: skip
    call = await world.call()
    record = await found(world, call)
    assert (record.type, record.name, record.phone) == ("invitee", "Ada L.", "+442071838750")
    assert (await world.provider.by_id(call, record.id)).id == record.id
    assert await world.provider.by_id(call, f"{API}/contacts/1") is None
    parts = {name: await part for name, part in world.provider.parts(call, record).items()}
    assert [e["type"] for e in parts["scheduled_events"]] == ["scheduled_event"]
    for write in (
        world.provider.create(call, ADA, {"name": "Ada", "email": "ada@example.com"}),
        world.provider.update(call, record, {"name": "Ada"}),
        world.provider.log(call, record, job()),
    ):
        with pytest.raises(UnsupportedByProvider, match="reconnect") as refused:
            await write
        assert refused.value.details["missing_scope"] == "contacts:write"
    assert not world.requests(method="PATCH")


async def test_a_comma_cannot_ask_for_two_addresses(world):
    world.seed(contacts=[contact(), contact(emails=[{"email": "b@example.com", "is_primary": True}])])
    call = await world.call()
    assert await world.provider.by_email(call, "ada@example.com,b@example.com") == []


@pytest.mark.parametrize("key", [
    "https://evil.example/contacts/1", "https://api.calendly.com/users/1", "https://api.calendly.com/contacts/",
    "//evil.example/contacts/1", "contacts/1/notes", "https://api.calendly.com/contacts/1/x/",
])  # fmt: skip
def test_an_id_of_another_host_or_kind_is_refused(key):
    with pytest.raises(InvalidInput):
        api.path_of(key, "contacts")


@pytest.mark.parametrize("key", ["../users/me", "a b", "x?y=1#z", "…"])
def test_an_id_stays_one_path_segment(key):
    try:
        path = api.path_of(key.rpartition("/")[2], "contacts")
    except InvalidInput:
        return
    assert path.count("/") == 2
    assert not set(path) & set(" ?#")


# --- notes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["contact", "contact_uri"])
async def test_a_note_names_its_contact_whatever_the_field_is_called(world, field):
    world.double.configure({"note_field": field})
    world.seed(contacts=[contact()])
    call = await world.call()
    record = await found(world, call)
    ref = await world.provider.log(call, record, job())
    assert (await world.provider.find_logged(call, record, job())).id == ref.id
    assert len(world.double.records["note"]) == 1


async def test_a_refusal_that_names_no_other_field_is_passed_on(world):
    world.seed(contacts=[contact()])
    call = await world.call()
    record = await found(world, call)
    world.fault(method="POST", path="/notes", times=2, status=400, body={
        "title": "Invalid Argument", "message": "No.", "details": [{"parameter": "body", "message": "is bad"}],
    })  # fmt: skip
    with pytest.raises(ProviderFailure) as refused:
        await world.provider.log(call, record, job())
    assert refused.value.details["field"] == "body"
    assert len(world.requests("/notes", "POST")) == 1


async def test_a_task_has_a_reminder_and_a_call_a_title(world):
    world.seed(contacts=[contact()])
    call = await world.call()
    record = await found(world, call)
    for kind in ("call", "task"):
        await world.provider.log(call, record, job(kind))
    called, task = (r.request.object for r in world.requests("/notes", "POST"))
    assert (called["title"], "remind_at" in called) == ("Call: Called", False)
    assert task["title"] == "Task: Called"
    assert task["remind_at"].endswith("Z")


async def test_a_task_without_reminders_on_the_account_says_so(world):
    world.double.configure({"reminders": False})
    world.seed(contacts=[contact()])
    call = await world.call()
    await world.provider.log(call, await found(world, call), job("task"))
    (stored,) = world.double.records["note"].values()
    assert stored["remind_at"] is None
    assert "no reminders" in stored["body"]
    assert stored["body"].endswith("[supportly:op-1]")


async def test_content_that_calendly_would_refuse_names_the_field(world):
    world.seed(contacts=[contact()])
    call = await world.call()
    with pytest.raises(InvalidInput) as refused:
        await world.provider.log(call, await found(world, call), job(content="x" * 10_000))
    assert refused.value.details["field"] == "content"
    await world.provider.log(call, await found(world, call), job("task", content="x" * 9_900))


# --- actions ----------------------------------------------------------------------------------------------------------


async def run(world, call, name, **params):
    action = world.provider.actions[name]
    return await action.run(world.provider, call, action.params.model_validate(params))


@pytest.mark.parametrize("role", ["owner", "user"])
async def test_only_admins_see_the_organization_others_their_own_on_every_page(world, role):
    world.double.configure({"role": role})
    other = {"type": "User", "owner": f"{API}/users/OTHER", "name": "Other"}
    for n in range(4):
        world.seed(event_types=[{"id": f"own{n}", "name": f"A{n}"}, {"id": f"o{n}", "name": f"B{n}", "profile": other}])
    call = await world.call()
    names, cursor = [], None
    while True:
        page = await run(world, call, "get_event_types", limit=3, cursor=cursor)
        names += [item["name"] for item in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert names == [f"A{n}" for n in range(4)] + ([f"B{n}" for n in range(4)] if role == "owner" else [])
    denied = [r for r in world.requests("/event_types") if "organization" in r.request.query]
    assert len(denied) == (3 if role == "owner" else 1)


async def test_times_go_out_in_utc_with_six_digits(world):
    call = await world.call()
    await run(world, call, "get_scheduled_events", min_start_time="2026-12-01T10:00:00.5+02:00")
    sent = world.requests("/scheduled_events")[-1].request.query["min_start_time"]
    assert sent == "2026-12-01T08:00:00.500000Z"


async def test_available_times_never_ask_for_more_than_31_days(world):
    world.seed(event_types=[{"id": "intro"}])
    call = await world.call()
    start = world.now + timedelta(hours=1)
    await run(world, call, "get_available_times", event_type=f"{API}/event_types/intro", start_time=start,
              end_time=start + timedelta(days=60))  # fmt: skip
    asked = world.requests("/event_type_available_times")[-1].request.query
    assert asked["end_time"] == (start + timedelta(days=31)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def test_a_booking_whose_answer_was_lost_is_found_by_person_type_and_start(world):
    world.seed(event_types=[{"id": "intro"}, {"id": "other"}])
    call = await world.call()
    action = world.provider.actions["book_meeting"]
    params = action.params.model_validate({
        "event_type": f"{API}/event_types/intro", "start_time": monday(world, 10),
        "invitee": {"name": "Ada", "email": "ada@example.com"},
    })  # fmt: skip
    assert await action.find(world.provider, call, params) is None
    world.fault(method="POST", path="/invitees", cut="after_commit")
    with pytest.raises(ProviderFailure):
        await action.run(world.provider, call, params)
    again = await action.find(world.provider, call, params)
    assert again.result["email"] == "ada@example.com"
    other = params.model_copy(update={"event_type": f"{API}/event_types/other"})
    assert await action.find(world.provider, call, other) is None


async def test_a_plan_without_booking_is_a_denial_with_its_reason(world):
    world.double.configure({"plan": "free"})
    world.seed(event_types=[{"id": "intro"}])
    call = await world.call()
    with pytest.raises(ProviderFailure) as denied:
        await run(world, call, "book_meeting", event_type=f"{API}/event_types/intro", start_time=monday(world, 10),
                  invitee={"name": "Ada", "email": "ada@example.com"})  # fmt: skip
    assert (denied.value.provider_status, denied.value.retryable) == (403, False)
    assert "upgrade" in denied.value.message


async def test_every_record_of_the_double_has_what_calendly_always_tells(world):
    world.seed(
        event_types=[{"id": "intro", "custom_questions": [{"name": "Why?"}]}],
        scheduled_events=[{"id": "e1", "start_time": monday(world)}],
        invitees=[{"id": "i1", "event": "e1", "name": "Ada Lovelace", "email": "ada@example.com"}],
        routing_forms=[{"id": "f1", "name": "Size", "questions": [{"name": "How many?"}]}],
    )
    call = await world.call()

    async def one(path):
        return (await call.http.get(path)).body()["resource"]

    kind, event = await one("/event_types/intro"), await one("/scheduled_events/e1")
    times = {"uri", "created_at", "updated_at"}
    assert times | {
        "active", "admin_managed", "booking_method", "color", "custom_questions", "deleted_at", "description_html",
        "description_plain", "duration", "internal_note", "kind", "name", "pooling_type", "profile", "scheduling_url",
        "secret", "slug", "type",
    } <= set(kind)  # fmt: skip
    assert set(kind["custom_questions"][0]) == {
        "name", "type", "position", "enabled", "required", "answer_choices", "include_other",
    }  # fmt: skip
    assert times | {
        "calendar_event", "end_time", "event_guests", "event_memberships", "event_type", "invitees_counter", "location",
        "name", "start_time", "status",
    } <= set(event)  # fmt: skip
    assert (set(event["invitees_counter"]), "type" in event["location"]) == ({"total", "active", "limit"}, True)
    invitee = await one("/scheduled_events/e1/invitees/i1")
    assert times | {
        "cancel_url", "email", "event", "first_name", "last_name", "name", "new_invitee", "no_show", "old_invitee",
        "payment", "questions_and_answers", "reconfirmation", "reschedule_url", "rescheduled",
        "routing_form_submission", "status", "text_reminder_number", "timezone", "tracking",
    } <= set(invitee)  # fmt: skip
    assert (invitee["first_name"], invitee["last_name"], len(invitee["tracking"])) == ("Ada", "Lovelace", 6)
    form = await one("/routing_forms/f1")
    assert times | {"organization", "name", "status", "questions"} == set(form)
    assert set(form["questions"][0]) == {"uuid", "name", "type", "required", "answer_choices"}


async def test_a_single_use_link_needs_its_own_permission(world):
    world.seed(event_types=[{"id": "intro"}])
    kind = f"{API}/event_types/intro"
    made = await run(world, await world.call(), "create_scheduling_link", event_type=kind)
    assert made.result["url"].startswith("https://calendly.com/d/")
    world.double.configure({"withheld": ["scheduling_links:write"]})
    with pytest.raises(ProviderFailure, match="scheduling_links:write"):
        await run(world, await world.call(), "create_scheduling_link", event_type=kind)


async def test_lists_name_both_neighbours_and_keep_what_was_asked(world):
    world.seed(event_types=[{"id": f"k{n}", "name": f"K{n}"} for n in range(3)])
    call = await world.call()
    asked = {"organization": ORGANIZATION, "sort": "name:asc", "count": 1}
    seen, token = [], None
    for _ in range(3):
        body = (await call.http.get("/event_types", {**asked, "page_token": token})).body()
        told = body["pagination"]
        assert set(told) == {"count", "next_page", "previous_page", "next_page_token", "previous_page_token"}
        assert told["next_page"] is None or "sort=name%3Aasc" in told["next_page"]
        seen.append((body["collection"][0]["name"], bool(told["previous_page_token"]), bool(told["next_page_token"])))
        back, token = told["previous_page_token"], told["next_page_token"]
    assert seen == [("K0", False, True), ("K1", True, True), ("K2", True, False)]
    body = (await call.http.get("/event_types", {**asked, "page_token": back})).body()
    assert [row["name"] for row in body["collection"]] == ["K1"]


async def test_a_canceled_meeting_is_found_canceled_and_cannot_be_canceled_again(world):
    world.seed(scheduled_events=[{"id": "e1", "start_time": monday(world)}])
    call = await world.call()
    uri = f"{API}/scheduled_events/e1"
    action = world.provider.actions["cancel_event"]
    params = action.params(event_id=uri, reason="Moved")
    assert await action.find(world.provider, call, params) is None
    assert (await action.run(world.provider, call, params)).result["status"] == "canceled"
    assert (await action.find(world.provider, call, params)).result["id"] == uri
    with pytest.raises(ProviderFailure, match="already canceled"):
        await action.run(world.provider, call, params)


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_the_reset_header_is_seconds_and_the_free_plan_is_learned(world):
    world.double.configure({"plan": "free"})
    call = await world.call()
    answer = await call.http.get("/users/me")
    (learned,) = world.provider.headroom(answer, "a")
    assert (learned.limit, learned.window_s) == (50, 60)
    buckets = {c.bucket for c in world.provider.costs("POST", "/invitees", "a")}
    assert buckets == {f"calendly:a:{n}" for n in ("calls", "bookings-minute", "bookings-hour", "bookings-day")}


# --- knowledge --------------------------------------------------------------------------------------------------------


async def test_what_nobody_can_book_is_not_read(world):
    world.seed(event_types=[
        {"id": "1", "name": "Open", "description_html": "<p>Talk</p>", "locations": [{"kind": "zoom_conference"}],
         "custom_questions": [{"name": "Why?", "answer_choices": ["a", "b"]}, {"name": "Off", "enabled": False}]},
        {"id": "2", "name": "Off", "active": False},
        {"id": "3", "name": "Deleted", "deleted_at": "2026-01-01T00:00:00Z"},
        {"id": "4", "name": "Secret", "secret": True},
    ])  # fmt: skip
    call = await world.call()
    page = await world.provider.read_stream(call, "event_types", None, None)
    (only,) = page.documents
    assert (only.title, only.audience) == ("Open", "public")
    for text in ("<p>Talk</p>", "30 minutes", "zoom conference", "Why? (a, b)"):
        assert text in only.body
    assert "Off" not in only.body
    gone = [f"{API}/event_types/{n}" for n in (3, 4)]
    assert page.deleted == gone
    assert [await world.provider.is_gone(call, "event_types", f"{API}/event_types/{n}") for n in range(1, 6)] == [
        False, True, True, True, True,
    ]  # fmt: skip
    asked = await world.call(secret_event_types=True)
    page = await world.provider.read_stream(asked, "event_types", None, None)
    assert {d.title: d.audience for d in page.documents} == {"Open": "public", "Secret": "internal"}


async def test_routing_forms_need_an_admin_and_drafts_are_gone(world):
    world.seed(routing_forms=[{"id": "1", "name": "Size"}, {"id": "2", "name": "Draft", "status": "draft"}])
    page = await world.provider.read_stream(await world.call(), "routing_forms", None, None)
    assert ([d.title for d in page.documents], page.deleted) == (["Size"], [f"{API}/routing_forms/2"])
    world.double.configure({"role": "user"})
    with pytest.raises(ProviderFailure) as denied:
        await world.provider.read_stream(await world.call(), "routing_forms", None, None)
    assert denied.value.provider_status == 403


async def test_the_double_wants_full_uris_as_calendly_does(world):
    call = await world.call()
    for params in ({}, {"user": "me"}, {"user": "USER1"}, {"organization": "ORG1"}):
        with pytest.raises(ProviderFailure) as refused:
            await call.http.get("/event_types", params)
        assert refused.value.provider_status == 400
