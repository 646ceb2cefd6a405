"""Pipedrive's quirks."""

import pytest

from supportly.contracts.contacts import ActivityJob, Contact
from supportly.errors import InvalidInput, ProviderFailure
from supportly.oauth import ClientRefused, GrantRefused
from supportly.providers import get
from tests.providers.harness import World

ADA = Contact(id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442071838750")


@pytest.fixture
def world():
    return World(get("pipedrive"))


def person(**more):
    return {"name": "Ada Lovelace", "emails": [{"value": "ada@example.com", "primary": True, "label": "work"}], **more}


def job(kind="note", **more):
    return ActivityJob(
        account_id=1, provider="pipedrive", contact_id=7, operation_id="op-1", kind=kind, content="<b>x</b>", **more
    )


async def test_the_consent_page_gets_no_scope(world):
    await world.consent()
    assert "scope" not in world.requests("/oauth/authorize")[-1].request.query


async def test_the_api_host_comes_with_the_tokens_and_changes_with_a_refresh(world):
    world.double.configure({"company_domain": "acme"})
    tokens = await world.tokens()
    assert tokens.facts["api_domain"] == "https://acme.pipedrive.com"
    await world.provider.identify(world.http(tokens))
    assert world.requests("/api/v1/users/me")[-1].request.host == "acme.pipedrive.com"
    world.double.grants[-1].identity["company_domain"] = "renamed"
    fresh = await world.refresh(tokens)
    assert fresh.facts["api_domain"] == "https://renamed.pipedrive.com"
    assert (await world.provider.identify(world.http(fresh))).account_name == "Sandbox Ltd"


async def test_two_users_of_one_company_are_two_tenants(world):
    keys = set()
    for user in (1, 2):
        world.double.configure({"user_id": user})
        keys.add((await world.provider.identify(world.http(await world.tokens()))).tenant_key)
    assert keys == {"54235233:1", "54235233:2"}


@pytest.mark.parametrize("keys", ["error", "message"])
async def test_refusals_are_read_whatever_keys_hold_the_text(world, keys):
    world.double.configure({"error_keys": keys})
    tokens = await world.tokens()
    world.double.revoke()
    with pytest.raises(GrantRefused) as refused:
        await world.refresh(tokens)
    assert refused.value.reason == "revoked_by_user"
    world.client = type(world.client)(world.client.id, "wrong")
    with pytest.raises(ClientRefused):
        await world.refresh(tokens)


async def test_v1_and_v2_stand_side_by_side(world):
    world.seed(persons=[person()])
    call = await world.call()
    (record,) = await world.provider.find(call, ADA, None)
    for part in world.provider.parts(call, record).values():
        await part
    await world.provider.log(call, record, job())
    await world.provider.update(call, record, {"name": "Ada King"})
    sent = [(r.request.method, r.request.path.split("/")) for r in world.requests()]
    paths = {(method, parts[2], parts[3]) for method, parts in sent}
    assert {
        ("GET", "v2", "persons"),
        ("GET", "v1", "notes"),
        ("POST", "v1", "notes"),
        ("PATCH", "v2", "persons"),
    } <= paths
    assert not any(method == "PUT" for method, *_ in paths)


async def test_what_costs_how_much(world):
    def tokens(method, path):
        return next(c.amount for c in world.provider.costs(method, path, "a") if c.bucket.endswith(":tokens"))

    assert [
        tokens("GET", "/api/v2/persons/7"), tokens("GET", "/api/v2/persons"), tokens("GET", "/api/v2/persons/search"),
        tokens("PATCH", "/api/v2/persons/7"), tokens("GET", "/api/v1/users/me"), tokens("GET", "/api/v1/notes"),
        tokens("POST", "/api/v1/notes"), tokens("GET", "/api/v2/itemSearch/field"),
    ] == [1, 10, 20, 5, 2, 20, 10, 20]  # fmt: skip
    searches = {c.bucket for c in world.provider.costs("GET", "/api/v2/persons/search", "a")}
    assert searches == {"pipedrive:a:searches", "pipedrive:a:tokens"}


async def test_a_second_address_is_kept_when_the_first_changes(world):
    emails = [
        {"value": "ada@example.com", "primary": True, "label": "work"},
        {"value": "b@example.com", "label": "home"},
    ]
    world.seed(persons=[person(emails=emails)])
    call = await world.call()
    (record,) = await world.provider.find(call, ADA, None)
    updated = await world.provider.update(call, record, {"email": "new@example.com"})
    assert updated.email == "new@example.com"
    assert world.provider.emails_of(updated) == {"new@example.com", "ada@example.com", "b@example.com"}
    assert [e["label"] for e in updated.raw["emails"]] == ["work", "work", "home"]
    _, skipped = await world.provider.writable(call, {"email": "b@example.com"}, updated)
    assert "secondary" in skipped["email"]


@pytest.mark.parametrize("typed", ["+442071838750", "+44 20 7183 8750", "020 7183 8750", "02071838750"])
async def test_a_number_is_found_however_it_was_typed(world, typed):
    world.seed(persons=[person(emails=[], phones=[{"value": typed, "primary": True, "label": "work"}])])
    call = await world.call()
    (record,) = await world.provider.find(call, Contact(id=8, phone_number=ADA.phone_number), None)
    assert record.phone == ADA.phone_number
    assert record.raw["phones"][0]["value"] == typed


async def test_a_number_without_its_country_is_no_other_countrys(world):
    """Read as an international number, `020 7183 8750` would be one of Egypt (+20)."""
    world.seed(persons=[person(emails=[], phones=[{"value": "020 7183 8750", "primary": True, "label": "work"}])])
    call = await world.call()
    for other in ("+2071838750", "+492071838750"):
        assert await world.provider.find(call, Contact(id=8, phone_number=other), None) == []


async def test_a_value_in_another_spelling_is_replaced_and_not_doubled(world):
    phones = [{"value": "+44 20 7183 8750", "primary": True, "label": "work"}]
    world.seed(persons=[person(phones=phones)])
    call = await world.call()
    (record,) = await world.provider.find(call, ADA, None)
    fields = {"email": "Ada@Example.com", "phone": "+442071838750"}
    updated = await world.provider.update(call, record, fields)
    assert [e["value"] for e in updated.raw["emails"]] == ["Ada@Example.com"]
    assert [p["value"] for p in updated.raw["phones"]] == ["+442071838750"]


@pytest.mark.parametrize("shape", ["example", "schema"])
async def test_a_custom_field_carries_our_id_in_both_documented_shapes(world, shape):
    world.double.configure({"field_search": shape})
    (field,) = world.seed(person_fields=[{"field_name": "Supportly id"}])
    call = await world.call(contact_id_field=field)
    made = await world.provider.create(call, ADA, {"name": "Ada Lovelace"})
    assert made.raw["custom_fields"] == {field: "7"}
    assert [r.id for r in await world.provider.by_external_id(call, "7")] == [made.id]


async def test_custom_fields_are_written_in_their_type(world):
    plan, seats = world.seed(person_fields=[
        {"field_name": "Plan", "field_type": "enum", "options": [{"id": 4, "label": "Growth"}]},
        {"field_name": "Seats", "field_type": "double"},
    ])  # fmt: skip
    world.seed(persons=[person()])
    call = await world.call()
    (record,) = await world.provider.find(call, ADA, None)
    kept, skipped = await world.provider.writable(call, {plan: "growth", seats: "5", "f" * 40: "x"}, record)
    assert kept == {plan: "4", seats: "5"}
    assert "no such custom field" in skipped["f" * 40]
    updated = await world.provider.update(call, record, kept)
    assert updated.raw["custom_fields"] == {plan: 4, seats: 5.0}
    _, skipped = await world.provider.writable(call, {plan: "gold", seats: "many"}, record)
    assert set(skipped) == {plan, seats}


async def test_the_organization_is_found_before_one_is_made(world):
    world.seed(organizations=[{"id": 31, "name": "Analytical"}])
    call = await world.call()
    made = await world.provider.create(call, ADA, {"name": "Ada", "company": "analytical"})
    assert made.raw["org_id"] == 31
    kept, _ = await world.provider.writable(call, {"company": "Analytical"}, made)
    assert kept == {}


async def test_a_deleted_person_is_gone(world):
    (key,) = world.seed(persons=[person(is_deleted=True)])
    call = await world.call()
    assert await world.provider.by_id(call, str(key)) is None
    assert await world.provider.find(call, ADA, None) == []


async def test_a_call_goes_to_the_participant_and_never_to_person_id(world):
    world.seed(persons=[person()])
    call = await world.call()
    (record,) = await world.provider.find(call, ADA, None)
    await world.provider.log(call, record, job("call"))
    (stored,) = world.double.records["activity"].values()
    assert stored["person_id"] == int(record.id)
    assert stored["note"].startswith("&lt;b&gt;x&lt;/b&gt;")
    assert stored["done"] is True


async def test_an_activity_type_that_is_switched_off_is_named_with_the_others(world):
    world.double.configure({"switched_off_types": ["call"]})
    world.seed(persons=[person()])
    call = await world.call()
    (record,) = await world.provider.find(call, ADA, None)
    with pytest.raises(InvalidInput) as refused:
        await world.provider.log(call, record, job("call"))
    assert refused.value.details["field"] == "settings.call_type"
    assert "meeting" in refused.value.details["allowed"]
    other = await world.call(call_type="meeting")
    assert (await world.provider.log(other, record, job("call"))).id


async def test_times_are_asked_for_in_whole_seconds(world):
    world.seed(products=[{"name": "Pencil"}])
    call = await world.call()
    world.sandbox.clock.offset += 180  # more than a walk looks back
    page = await world.provider.read_stream(call, "products", None, None)
    world.sandbox.clock.offset += 60
    again = await world.provider.read_stream(call, "products", None, page.checkpoint)
    assert again.documents == []
    assert "." not in world.requests("/api/v2/products")[-1].request.query["updated_since"]


async def test_deleted_deals_are_reported_by_the_list(world):
    world.seed(deals=[{"id": 5, "title": "Renewal"}, {"id": 6, "title": "Old", "is_deleted": True}])
    call = await world.call()
    page = await world.provider.read_stream(call, "deals", None, None)
    assert ([d.external_id for d in page.documents], page.deleted) == (["5"], ["6"])


async def test_a_grant_of_one_user_is_uninstalled_by_revoking_the_refresh_token(world):
    tokens = await world.tokens()
    url = world.provider.oauth.revoke
    await world.engine.revoke(
        world.provider.oauth, world.client, url=url, token=tokens.refresh_token, hint="refresh_token"
    )
    assert world.double.grants[0].revoked
    sent = world.requests("/oauth/revoke")[-1].request
    assert sent.headers["authorization"].startswith("Basic ")


@pytest.mark.beside_the_contract
async def test_numbers_as_texts_are_refused_by_v2(world):
    """What the client never sends: the double is as strict as v2."""
    call = await world.call()
    with pytest.raises(ProviderFailure) as refused:
        await call.http.post("/api/v2/persons", {"name": "Ada", "org_id": "31"})
    assert refused.value.details["field"] == "org_id"
