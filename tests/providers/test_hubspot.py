"""What only HubSpot does; what all providers share is in test_contract.py."""

import re
from datetime import timedelta

import httpx
import pytest

from sandbox.double import iso
from supportly.contracts.contacts import ActivityJob, Contact
from supportly.errors import (
    InvalidInput,
    NotFound,
    ProviderFailure,
    Throttled,
    TokenRefused,
    UnsupportedByProvider,
)
from supportly.http import Answer, Http, Outbound
from supportly.oauth import ClientRefused, GrantRefused
from supportly.provider import Call
from supportly.providers.hubspot import HubSpot, crm
from supportly.providers.hubspot import knowledge as streams
from tests.providers.harness import World

ADA = {"email": "Ada@Example.com", "firstname": "Ada", "lastname": "Lovelace", "phone": "+44 20 7946 0958"}
PLAN = {
    "name": "plan",
    "type": "enumeration",
    "fieldType": "select",
    "options": [{"value": "pro_2024", "label": "Pro"}, {"value": "free", "label": "Free"}],
}


@pytest.fixture
def world():
    return World(HubSpot())


@pytest.fixture
def contact():
    return Contact(id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442079460958")


def seed_contact(world, **properties):
    return world.seed(contacts=[{"properties": {**ADA, **properties}}])[0]


def job(kind="note", content="First line\n<b>second</b>", **more):
    return ActivityJob(
        account_id=1, provider="hubspot", contact_id=7, operation_id="op-1", kind=kind, content=content, **more
    )


def against(handler, **settings):
    """A call that is answered by `handler(request)`; for bodies that the double does not give."""
    outbound = Outbound(timeout_s=1, max_bytes=1_000_000, transport=httpx.MockTransport(handler))
    return Call(Http(outbound, HubSpot(), "token", {"hub_id": "1"}), HubSpot.settings(**settings), "op-1")


async def walk(call, stream, since=None):
    """All pages of a stream: documents by id, deleted ids, and the last checkpoint."""
    documents, deleted, cursor, pages = {}, [], None, 0
    while True:
        page = await call.http.policy.read_stream(call, stream, cursor, since)
        documents |= {document.external_id: document for document in page.documents}
        deleted += page.deleted
        pages += 1
        assert pages < 100, "the walk does not end"
        if page.next is None:
            return documents, deleted, page.checkpoint
        cursor = page.next


class TestConnecting:
    async def test_optional_scopes_stand_apart(self, world):
        assert "content" not in world.provider.oauth.scope_text(optional=False).split()
        assert world.provider.oauth.scope_text(optional=True).split() == [
            "content",
            "cms.knowledge_base.articles.read",
            "crm.objects.products.read",
        ]

    async def test_identity_comes_from_account_details(self, world):
        world.double.configure({"account_type": "DEVELOPER_TEST"})
        identity = await world.provider.identify(world.http(await world.tokens()))
        assert identity.tenant_key == "8800001"
        assert identity.account_name == "HubSpot account 8800001 (developer test)"
        assert identity.facts["currency"] == "USD"

    async def test_the_scope_list_of_the_token_is_an_array(self, world):
        tokens = await world.tokens()
        assert "crm.objects.contacts.write" in tokens.scopes
        assert tokens.facts == {"hub_id": "8800001", "user_id": "77001"}

    @pytest.mark.parametrize("shape", ["both", "v1", "dated", "standard"])
    async def test_a_revoked_grant_is_final_in_either_shape(self, world, shape):
        world.double.configure({"token_errors": shape})
        tokens = await world.tokens()
        world.double.revoke()
        with pytest.raises(GrantRefused) as refused:
            await world.refresh(tokens)
        assert refused.value.reason == "revoked_by_user"

    @pytest.mark.parametrize("shape", ["both", "v1", "dated", "standard"])
    async def test_a_wrong_secret_and_a_used_code_are_told_apart_in_every_shape(self, world, shape):
        world.double.configure({"token_errors": shape})
        code = (await world.consent())["code"]
        await world.exchange(code, None)
        with pytest.raises(GrantRefused):
            await world.exchange(code, None)
        world.client = type(world.client)(world.client.id, "wrong")
        with pytest.raises(ClientRefused):
            await world.exchange((await world.consent())["code"], None)

    @pytest.mark.parametrize("field", ["status", "category", "error"])
    @pytest.mark.parametrize(
        ("word", "kind", "reason"),
        [
            ("BAD_REFRESH_TOKEN", GrantRefused, "revoked_by_user"),
            ("BAD_AUTH_CODE", GrantRefused, "code_refused"),
            ("BAD_REDIRECT_URI", ClientRefused, None),
            ("BAD_CLIENT_ID", ClientRefused, None),
            ("BAD_CLIENT_SECRET", ClientRefused, None),
        ],
    )
    async def test_every_refusal_of_the_token_endpoint(self, world, field, word, kind, reason):
        tokens = await world.tokens()
        world.fault(
            path=r"/oauth/.*", status=400, body={"status": "error", "message": "missing or invalid", field: word}
        )
        with pytest.raises(kind) as refused:
            await world.refresh(tokens)
        assert getattr(refused.value, "reason", None) == reason
        assert not refused.value.retryable

    async def test_a_long_token_works_and_the_secret_travels_in_the_form(self, world):
        tokens = await world.tokens()
        assert len(tokens.access_token) >= 300
        await world.provider.identify(world.http(tokens))
        (asked,) = [r.shown() for r in world.requests("/oauth/2026-09/token", "POST")]
        assert asked["headers"]["content-type"].startswith("application/x-www-form-urlencoded")
        assert "authorization" not in asked["headers"]
        assert asked["body"]["client_secret"]
        assert "client_secret" not in str(asked["query"])

    @pytest.mark.parametrize(
        ("told", "shown"), [("app-eu1.hubspot.com", "app-eu1.hubspot.com"), ("evil.example", "app.hubspot.com")]
    )
    async def test_records_are_shown_where_the_account_lives(self, world, told, shown):
        world.double.configure({"ui_domain": told})
        call = await world.call()
        record = await world.provider.by_id(call, seed_contact(world))
        assert record.url.startswith(f"https://{shown}/contacts/8800001/")
        assert call.http.policy.hosts(call.facts) == ["api.hubapi.com"]

    def test_refusals_by_status_category_or_error(self):
        read = HubSpot().read_refusal
        assert isinstance(read(400, {"category": "BAD_REFRESH_TOKEN"}), GrantRefused)
        assert isinstance(read(400, {"status": "BAD_CLIENT_SECRET"}), ClientRefused)
        assert isinstance(read(401, {"error": "invalid_client"}), ClientRefused)
        assert read(500, {"status": "error", "message": "try again"}) is None
        assert read(200, {"status": "BAD_REFRESH_TOKEN"}) is None

    async def test_revoking_ends_both_tokens(self, world):
        tokens, ended = await world.tokens(), []

        async def standard(token, hint):
            ended.append((token, hint))

        assert await world.provider.revoke(world.http(tokens), tokens, standard)
        assert ended == [(tokens.refresh_token, "refresh_token"), (tokens.access_token, "access_token")]


class TestErrors:
    def read(self, status, body=None, **headers):
        answer = httpx.Response(status, json=body, headers=headers)
        return HubSpot().read_error(Answer(status, answer.headers, answer.content, "GET", "/crm"))

    @pytest.mark.parametrize(("policy", "wait"), [("TEN_SECONDLY_ROLLING", 10), ("SECONDLY", 1), ("DAILY", 3600)])
    def test_the_wait_follows_the_policy(self, policy, wait):
        error = self.read(429, {"status": "error", "errorType": "RATE_LIMIT", "policyName": policy})
        assert isinstance(error, Throttled)
        assert error.retry_after == wait

    def test_a_retry_after_wins(self):
        assert self.read(429, {"policyName": "DAILY"}, **{"Retry-After": "3"}).retry_after == 3

    def test_locks_and_migrations_pass(self):
        locked, migrating = self.read(423, {}), self.read(477, {}, **{"Retry-After": "20"})
        assert (locked.retryable, locked.retry_after) == (True, 2)
        assert (migrating.retryable, migrating.retry_after) == (True, 20)

    def test_the_edge_refuses_a_token_with_530(self):
        assert isinstance(self.read(530), TokenRefused)

    def test_an_admin_rule_is_final_and_names_the_property(self):
        context = {"propertyName": ["lifecyclestage"]}
        body = {
            "category": "VALIDATION_ERROR",
            "message": "Not valid",
            "errors": [{"message": "x", "context": context}],
        }
        error = self.read(400, body)
        assert error.message == "lifecyclestage: Not valid"
        assert error.details["properties"] == ["lifecyclestage"]
        assert not error.retryable

    def test_a_missing_scope_is_no_lost_connection(self):
        error = self.read(403, {"category": "MISSING_SCOPES", "message": "Missing"})
        assert (type(error), error.retryable, error.provider_code) == (ProviderFailure, False, "MISSING_SCOPES")

    def test_searches_spend_their_own_bucket(self):
        provider = HubSpot()
        (search,) = provider.costs("POST", "/crm/objects/2026-09/contacts/search", "1")
        (other,) = provider.costs("GET", "/crm/objects/2026-09/contacts", "1")
        assert (search.bucket, search.window_s) == ("hubspot:1:search", 1)
        assert (other.bucket, other.limit, other.window_s) == ("hubspot:1:calls", 110, 10)

    async def test_a_spent_search_leaves_the_other_calls_alone_and_the_other_way_round(self, world):
        call = await world.call()
        world.double.configure({"rate_limits": True})
        for _ in range(5):
            await crm.search(call, "contacts", {})
        with pytest.raises(Throttled) as refused:
            await crm.search(call, "contacts", {})
        assert refused.value.retry_after == 1
        await world.provider.by_id(call, "1")
        world.double.configure({"requests_per_ten_seconds": 1})
        world.sandbox.clock.offset += 2
        with pytest.raises(Throttled):
            await world.provider.by_id(call, "1")
        await crm.search(call, "contacts", {})

    async def test_everything_goes_to_the_dated_paths_of_one_version(self, world, contact):
        call = await world.call(contact_id_property="supportly_id")
        world.double.configure({"enforce_scopes": False})
        world.seed(properties=[PLAN, {"name": "supportly_id", "hasUniqueValue": True}], products=[{"properties": {}}])
        provider = world.provider
        await provider.writable(call, {"plan": "Pro"}, None)
        record = await provider.create(call, contact, {"email": "ada@example.com"})
        await provider.find(call, Contact(id=9, phone_number="+442079460958"), None)
        await provider.update(call, record, {"city": "London"})
        for kind in ("note", "call", "task"):
            await provider.log(call, record, job(kind))
            await provider.find_logged(call, record, job(kind))
        for part in provider.parts(call, await provider.by_id(call, record.id)).values():
            await part
        for name in ("get_deals", "get_companies"):
            await provider.actions[name].run(provider, call, provider.actions[name].params())
        for stream in provider.streams:
            await walk(call, stream.id, world.now.isoformat())
        dated = r"/(crm/\w+|account-info|oauth|cms/blogs)/2026-09(/.*)?"
        paths = {request.shown()["path"] for request in world.requests()}
        assert len(paths) > 15
        odd = {path for path in paths if not re.fullmatch(dated, path)}
        assert odd == {"/cms/knowledge-base/2027-03-beta/articles"}

    async def test_a_path_of_an_older_version_is_not_served(self, world):
        call = await world.call()
        for path in ("/crm/v3/objects/contacts", "/oauth/v1/access-tokens/x", "/crm/v4/objects/contacts"):
            with pytest.raises(NotFound):
                await call.http.get(path)

    def test_the_headers_correct_the_bucket_of_the_calls(self):
        headers = {f"x-hubspot-ratelimit-{k}": v for k, v in
                   {"max": "190", "remaining": "12", "interval-milliseconds": "10000"}.items()}  # fmt: skip
        (seen,) = HubSpot().headroom(Answer(200, headers, b"", "GET", "/"), "1")
        assert (seen.bucket, seen.limit, seen.remaining, seen.window_s) == ("hubspot:1:calls", 190, 12, 10)
        assert HubSpot().headroom(Answer(200, {}, b"", "POST", "/x/search"), "1") == []


class TestSearches:
    """The contract marks every member of a search but `query` as required, and knows sorts as texts."""

    MEMBERS = frozenset({"filterGroups", "sorts", "properties", "limit", "after"})

    async def test_every_search_is_whole(self, world):
        call = await world.call()
        world.double.configure({"enforce_scopes": False})
        world.double.seed({"generate": {"products": 250}})
        await world.provider.find(call, Contact(id=9, email="no@example.com", phone_number="+442079460958"), None)
        search = world.provider.actions["search_contacts"]
        await search.run(world.provider, call, search.params(query="ada"))
        world.sandbox.clock.offset += 60
        await walk(call, "products", (world.now - timedelta(days=1)).isoformat())
        bodies = [request.request.object for request in world.requests("/search")]
        assert len(bodies) == 5
        for body in bodies:
            assert self.MEMBERS <= set(body) <= self.MEMBERS | {"query"}
            assert all(isinstance(sort, str) for sort in body["sorts"])
            assert isinstance(body["after"], str)
            assert isinstance(body["limit"], int)
            filters = [one for group in body["filterGroups"] for one in group["filters"]]
            assert all(isinstance(one["value"], str) for one in filters)

    async def test_a_changed_order_of_products_is_asked_for_by_name(self, world):
        call = await world.call()
        world.double.configure({"enforce_scopes": False})
        now = world.sandbox.clock.now()
        stamps = (iso(now), iso(now - 9))
        newer, older = world.seed(products=[{"properties": {"name": "P"}, "updatedAt": at} for at in stamps])
        page = await world.provider.read_stream(call, "products", None, world.now.isoformat())
        assert [document.external_id for document in page.documents] == [older, newer]


class TestContacts:
    @pytest.mark.parametrize("unset", ["absent", "null"])
    async def test_a_property_without_a_value_is_absent_or_null(self, world, contact, unset):
        world.double.configure({"unset_properties": unset})
        call = await world.call()
        seed_contact(world, lastname=None)
        (record,) = await world.provider.find(call, contact, None)
        assert ("city" in record.raw["properties"]) == (unset == "null")
        assert (record.name, world.provider.current(record).get("city")) == ("Ada", None)
        changed = {"city": "London", "email": contact.email}
        assert [
            n for n, v in changed.items() if not world.provider.same(n, v, world.provider.current(record).get(n))
        ] == ["city"]
        for name in ("get_deals", "get_companies"):
            world.seed(deals=[{"properties": {"dealname": "D"}}], companies=[{"properties": {"name": "C"}}])
            action = world.provider.actions[name]
            (item, *_) = (await action.run(world.provider, call, action.params())).items
            assert None in item.values()

    async def test_an_address_is_found_before_the_search_index_knows_it(self, world, contact):
        call = await world.call()
        world.double.configure({"search_lag_seconds": 600})
        key = seed_contact(world)
        (record,) = await world.provider.find(call, contact, None)
        assert (record.id, record.name) == (key, "Ada Lovelace")
        assert record.url == f"https://app.hubspot.com/contacts/8800001/record/0-1/{key}"
        assert not world.requests("/search")

    async def test_a_secondary_address_is_found_and_does_not_become_the_primary(self, world, contact):
        call = await world.call()
        seed_contact(world, email="countess@example.com", hs_additional_emails="ada@example.com;a@example.com")
        (record,) = await world.provider.find(call, contact, None)
        kept, skipped = await world.provider.writable(call, {"email": "ada@example.com"}, record)
        assert kept == {}
        assert "secondary" in skipped["email"]

    @pytest.mark.parametrize("seen_by_reads", [True, False])
    @pytest.mark.parametrize("lag", [0, 600])
    async def test_whoever_holds_a_secondary_address_is_written_to_and_nobody_is_added(
        self, world, contact, seen_by_reads, lag
    ):
        call = await world.call()
        world.double.configure({"email_reads_secondary": seen_by_reads, "search_lag_seconds": lag})
        key = seed_contact(world, email="countess@example.com", hs_additional_emails="old@example.com;ada@example.com")
        found = await world.provider.find(call, contact, None)
        assert [record.id for record in found] in ([key], [])
        made = await world.provider.create(call, contact, {"email": contact.email, "city": "London"})
        assert made.id == key
        kept = world.double.records["contact"]
        assert (len(kept), kept[key]["properties"]["email"]) == (1, "countess@example.com")
        assert kept[key]["properties"]["city"] == "London"

    @pytest.mark.parametrize("lowered", [True, False])
    async def test_an_address_is_the_same_whether_or_not_hubspot_keeps_its_case(self, world, lowered):
        call = await world.call()
        world.double.configure({"lowercase_emails": lowered})
        wanted = {"email": "Ada@Example.com"}
        made = await world.provider.create(call, Contact(id=7, **wanted), wanted)
        (found,) = await world.provider.find(call, Contact(id=7, **wanted), None)
        assert found.id == made.id
        assert found.email == ("ada@example.com" if lowered else "Ada@Example.com")
        assert world.provider.same("email", "Ada@Example.com", found.email)

    async def test_an_admins_rule_names_its_property_on_create_and_update(self, world, contact):
        call = await world.call()
        record = await world.provider.by_id(call, seed_contact(world, city=""))
        world.double.configure({"required_properties": ["city"]})
        for write in (
            world.provider.create(call, contact, {"email": "new@example.com"}),
            world.provider.update(call, record, {"country": "UK"}),
        ):
            with pytest.raises(ProviderFailure, match="city") as refused:
                await write
            assert refused.value.details["properties"] == ["city"]
            assert (refused.value.provider_code, refused.value.retryable) == ("VALIDATION_ERROR", False)
        assert (await world.provider.update(call, record, {"city": "London"})).id == record.id

    async def test_many_properties_are_read_in_addresses_that_are_not_too_long(self, world, contact):
        names = [f"{'custom_property_' * 5}{n:03}" for n in range(250)]
        world.seed(properties=[{"name": name} for name in names])
        seed_contact(world, **{name: name[-3:] for name in names})
        call = await world.call(field_mapping=dict.fromkeys(names, "custom_attributes.x"))
        (record,) = await world.provider.find(call, contact, None)
        assert {name: world.provider.current(record)[name] for name in names} == {name: name[-3:] for name in names}
        assert record.name == "Ada Lovelace"
        assert max(len(str(request.shown()["query"])) for request in world.requests()) < 15_000
        assert 2 <= len(world.requests()) <= 4

    async def test_a_secondary_address_that_the_read_does_not_know_is_searched(self):
        row = {"id": "5", "properties": {"email": "other@example.com", "hs_additional_emails": "ada@example.com"}}

        def answer(request):
            if request.method == "GET":
                return httpx.Response(404, json={"category": "OBJECT_NOT_FOUND"})
            return httpx.Response(200, json={"results": [row]})

        call = against(answer)
        (record,) = await HubSpot().find(call, Contact(id=1, email="ADA@example.com"), None)
        assert record.id == "5"

    @pytest.mark.parametrize("name", ["phone", "mobilephone"])
    async def test_a_phone_number_is_compared_with_its_country_code(self, world, name):
        call = await world.call()
        swiss = {"email": "b@example.com", name: "+41 20 7946 0958"}  # the same national digits
        ours = {"email": "c@example.com", name: "+44 20 7946 0958"}
        _, key = world.seed(contacts=[{"properties": swiss}, {"properties": ours}])
        (record,) = await world.provider.find(call, Contact(id=1, phone_number="+442079460958"), None)
        assert record.id == key
        assert len(world.requests("/contacts/search")) == 1

    async def test_several_with_one_number_are_all_answered(self, world):
        call = await world.call()
        world.seed(contacts=[{"properties": {**ADA, "email": f"{n}@example.com"}} for n in range(3)])
        assert len(await world.provider.find(call, Contact(id=1, phone_number="+442079460958"), None)) == 3

    async def test_the_external_id_is_written_and_found_in_the_unique_property(self, world):
        world.seed(properties=[{"name": "supportly_id", "hasUniqueValue": True}])
        call = await world.call(contact_id_property="supportly_id")
        nameless = Contact(id=7, name="Ada")
        made = await world.provider.create(call, nameless, {"firstname": "Ada"})
        (found,) = await world.provider.find(call, nameless, None)
        assert found.id == made.id

    async def test_a_property_that_is_not_unique_is_the_settings_fault(self, world):
        call = await world.call(contact_id_property="no_such_thing")
        with pytest.raises(InvalidInput) as wrong:
            await world.provider.find(call, Contact(id=7), None)
        assert wrong.value.details["field"] == "settings.contact_id_property"

    @pytest.mark.parametrize("key", ["901", "123456789012"])
    async def test_a_duplicate_is_updated_instead(self, world, contact, key):
        call = await world.call()
        world.seed(
            contacts=[{"id": key, "properties": {"email": "x@example.com", "hs_additional_emails": contact.email}}]
        )
        record = await world.provider.create(call, contact, {"email": contact.email, "firstname": "Ada"})
        assert record.id == key
        kept = world.double.records["contact"][key]["properties"]
        assert (kept["email"], kept["firstname"]) == ("x@example.com", "Ada")
        assert len(world.double.records["contact"]) == 1

    async def test_a_duplicate_that_only_the_message_names_is_read_by_its_id(self, contact):
        def answer(request):
            if request.method == "POST":
                text = "Contact already exists. Existing ID: 123456789012"
                return httpx.Response(409, json={"message": text, "category": "CONFLICT"})
            if request.url.path.endswith("/123456789012") and "idProperty" not in request.url.params:
                return httpx.Response(200, json={"id": "123456789012", "properties": {"email": "ada@example.com"}})
            return httpx.Response(404, json={})

        record = await HubSpot().create(against(answer), contact, {"email": "ada@example.com"})
        assert record.id == "123456789012"

    async def test_a_duplicate_that_cannot_be_found_stays_an_error(self, contact):
        def answer(request):
            if request.method == "GET":
                return httpx.Response(404, json={})
            if request.url.path.endswith("/search"):
                return httpx.Response(200, json={"results": []})
            return httpx.Response(409, json={"message": "Contact already exists.", "category": "CONFLICT"})

        with pytest.raises(ProviderFailure) as error:
            await HubSpot().create(against(answer), contact, {"email": "ada@example.com"})
        assert (error.value.provider_status, error.value.retryable) == (409, False)

    async def test_a_contact_with_a_number_only_is_refused_before_the_call(self, world):
        call = await world.call()
        with pytest.raises(InvalidInput):
            await world.provider.create(call, Contact(id=1), {"phone": "+442079460958"})
        assert not world.requests()

    async def test_an_update_sends_what_changed_and_keeps_the_rest(self, world, contact):
        call = await world.call()
        key = seed_contact(world)
        (record,) = await world.provider.find(call, contact, None)
        after = await world.provider.update(call, record, {"city": "London"})
        assert (after.email, world.provider.current(after)["city"]) == ("Ada@Example.com", "London")
        assert len(world.requests(f"/contacts/{key}", "PATCH")) == 1

    async def test_custom_fields_that_hubspot_would_refuse_are_skipped(self, world, contact):
        world.seed(properties=[PLAN, {"name": "score", "modificationMetadata": {"readOnlyValue": True}}])
        fields = {"plan": "Pro", "score": "9", "nonsense": "1", "city": "London"}
        call = await world.call(field_mapping=dict.fromkeys(fields, "custom_attributes.x"))
        kept, skipped = await world.provider.writable(call, fields, None)
        assert kept == {"plan": "pro_2024", "city": "London"}
        assert set(skipped) == {"score", "nonsense"}
        _, skipped = await world.provider.writable(call, {"plan": "Gold"}, None)
        assert "options" in skipped["plan"]
        assert "Gold" not in skipped["plan"]

    async def test_an_option_written_by_its_label_is_unchanged_the_second_time(self, world, contact):
        world.seed(properties=[PLAN])
        seed_contact(world, plan="pro_2024")
        call = await world.call(field_mapping={"plan": "custom_attributes.plan"})
        (record,) = await world.provider.find(call, contact, None)
        assert await world.provider.writable(call, {"plan": "Pro"}, record) == ({}, {})

    async def test_the_default_mapping_needs_no_look_at_the_properties(self, world):
        call = await world.call()
        await world.provider.writable(call, dict.fromkeys(world.provider.mapping, "x"), None)
        assert not world.requests()


class TestLookup:
    async def test_a_lookup_shows_deals_activities_and_companies(self, world, contact):
        call = await world.call()
        key = seed_contact(world)
        link = {"associations": {"contacts": [key]}}
        world.seed(
            deals=[{"properties": {"dealname": "Big", "dealstage": "closedwon", "amount": "12"}, **link}],
            notes=[{"properties": {"hs_note_body": "hi", "hs_timestamp": "2026-01-01T00:00:00Z"}, **link}],
            tasks=[{"properties": {"hs_task_subject": "do", "hs_timestamp": "2026-02-01T00:00:00Z"}, **link}],
        )
        world.double.seed({"companies": [{"id": "77", "properties": {"name": "Acme"}}]})
        world.double.link(("contact", key), ("company", "77"), 279)
        (record,) = await world.provider.find(call, contact, None)
        shown = {name: await part for name, part in world.provider.parts(call, record).items()}
        (deal,) = shown["deals"]
        assert (deal["title"], deal["status"], deal["stage"]) == ("Big", "Closed Won", "closedwon")
        assert [item["type"] for item in shown["activities"]] == ["task", "note"]
        assert shown["companies"][0]["name"] == "Acme"
        assert not world.requests("/crm/associations/"), "the links come with the contact"

    async def test_a_contact_without_links_costs_no_further_reads(self, world, contact):
        call = await world.call()
        seed_contact(world)
        (record,) = await world.provider.find(call, contact, None)
        assert [await part for part in world.provider.parts(call, record).values()] == [[], [], []]
        assert len(world.requests()) == 1

    async def test_a_record_from_a_list_reads_its_links(self, world):
        call = await world.call()
        key = seed_contact(world)
        world.seed(deals=[{"properties": {"dealname": "Big"}, "associations": {"contacts": [key]}}])
        record = await world.provider.by_id(call, key)
        del record.raw["associations"]
        parts = world.provider.parts(call, record)
        assert [deal["title"] for deal in await parts["deals"]] == ["Big"]
        assert await parts["companies"] == []
        assert await parts["activities"] == []


class TestActivities:
    @pytest.mark.parametrize("kind", ["note", "call", "task"])
    async def test_an_activity_is_linked_and_found_again_by_its_marker(self, world, kind):
        call = await world.call(owner_id="501")
        record = await world.provider.by_id(call, seed_contact(world))
        world.double.configure({"search_lag_seconds": 600})
        assert await world.provider.find_logged(call, record, job(kind)) is None
        made = await world.provider.log(call, record, job(kind))
        assert await world.provider.find_logged(call, record, job(kind)) == made
        own = world.double.records[kind][made.id]["properties"]
        assert own[f"hs_{kind}_body"].startswith("First line<br>&lt;b&gt;second")
        assert own["hubspot_owner_id"] == "501"
        assert not world.requests("/search")

    async def test_another_operations_note_is_not_ours(self, world):
        record = await world.provider.by_id(call := await world.call("op-10"), seed_contact(world))
        await world.provider.log(call, record, job())
        assert await world.provider.find_logged(Call(call.http, call.settings, "op-1"), record, job()) is None

    async def test_a_marker_deep_in_a_long_history_is_found(self, world):
        call = await world.call()
        key = seed_contact(world)
        mine = {"properties": {"hs_note_body": f"[{call.marker}]"}, "associations": {"contacts": [key]}}
        other = {"properties": {"hs_note_body": "x"}, "associations": {"contacts": [key]}}
        first, *_ = world.seed(notes=[mine, *[other] * 250])
        found = await world.provider.find_logged(call, await world.provider.by_id(call, key), job())
        assert found.id == first

    async def test_what_hubspot_cannot_take_is_said_before_the_call(self, world):
        call = await world.call()
        record = await world.provider.by_id(call, seed_contact(world))
        with pytest.raises(InvalidInput):
            await world.provider.log(call, record, job(content="&" * 20_000))
        with pytest.raises(UnsupportedByProvider):
            await world.provider.log(call, record, job(target="x"))
        assert not world.requests(method="POST")


class TestActions:
    async def run(self, world, name, call=None, **params):
        found = world.provider.actions[name]
        return await found.run(world.provider, call or await world.call(), found.params(**params))

    async def test_deals_of_a_contact_page_by_page(self, world):
        key, call = seed_contact(world), await world.call()
        one = {"properties": {"dealname": "Deal"}, "associations": {"contacts": [key]}}
        ids = world.seed(deals=[one] * 5 + [{"properties": {"dealname": "Not hers"}}])[:5]
        seen, cursor = [], None
        for _ in range(3):
            answer = await self.run(world, "get_deals", call, record_id=key, limit=2, cursor=cursor)
            seen += [item["id"] for item in answer.items]
            cursor = answer.next_cursor
        assert sorted(seen) == sorted(ids)
        assert cursor is None
        assert "raw" not in answer.items[0]
        assert answer.raw[0]["properties"]["dealname"] == "Deal"

    async def test_all_companies(self, world):
        world.seed(companies=[{"properties": {"name": f"C{n}"}} for n in range(3)])
        answer = await self.run(world, "get_companies", limit=2)
        assert [item["name"] for item in answer.items] == ["C0", "C1"]
        rest = await self.run(world, "get_companies", limit=2, cursor=answer.next_cursor)
        assert ([item["name"] for item in rest.items], rest.next_cursor) == (["C2"], None)

    async def test_contacts_by_text(self, world):
        seed_contact(world)
        answer = await self.run(world, "search_contacts", query="lovelace")
        assert answer.items[0]["email"] == "Ada@Example.com"

    async def test_a_search_ends_at_ten_thousand(self, world):
        world.double.seed({"generate": {"contacts": 10_050}})
        call = await world.call()
        answer = await self.run(world, "search_contacts", call, query="a", limit=100, cursor="9800")
        assert answer.next_cursor == "9900"
        answer = await self.run(world, "search_contacts", call, query="a", limit=100, cursor="9900")
        assert (len(answer.items), answer.next_cursor) == (100, None)

    @pytest.mark.parametrize(
        ("name", "more"),
        [
            ("get_deals", {"record_id": "1", "cursor": "x"}),
            ("search_contacts", {"query": "a", "cursor": "x"}),
            ("search_contacts", {"query": "a", "cursor": "10000"}),
        ],
    )
    async def test_a_foreign_cursor_is_the_callers_fault(self, world, name, more):
        with pytest.raises(InvalidInput):
            await self.run(world, name, **more)
        assert not world.requests()


class TestKnowledge:
    @pytest.fixture
    async def call(self, world):
        call = await world.call()
        world.double.configure({"enforce_scopes": False})
        return call

    def test_only_what_is_public_is_on_by_default(self, world):
        assert world.provider.chosen(world.provider.settings()) == ["blog_posts"]

    async def test_posts_are_html_and_drafts_are_gone(self, world, call):
        live, draft = world.seed(blog_posts=[
            {"name": "Live", "postBody": "<p>Hi</p>"}, {"name": "Draft", "postBody": "<p>no</p>", "state": "DRAFT"},
        ])  # fmt: skip
        documents, deleted, _ = await walk(call, "blog_posts")
        assert list(documents) == [live]
        assert (documents[live].metadata, documents[live].audience) == ({"format": "html"}, "public")
        assert deleted == [draft]
        assert await world.provider.is_gone(call, "blog_posts", draft)
        assert not await world.provider.is_gone(call, "blog_posts", live)
        assert await world.provider.is_gone(call, "blog_posts", "404404")

    @pytest.mark.parametrize("times", ["updated", "updatedAt"])
    async def test_a_post_is_dated_by_either_name(self, world, call, times):
        world.double.configure({"post_times": times})
        world.seed(blog_posts=[{"name": "Live", "postBody": "<p>Hi</p>", "updatedAt": "2026-03-01T10:00:00.000Z"}])
        (document,) = (await world.provider.read_stream(call, "blog_posts", None, None)).documents
        assert document.updated_at.isoformat() == "2026-03-01T10:00:00+00:00"

    async def test_what_members_alone_may_read_is_internal(self, world, call):
        world.seed(
            blog_posts=[{"name": "Secret", "postBody": "<p>x</p>", "password": "p"}],
            articles=[{"title": "Inside", "body": "<p>x</p>", "accessType": "SSO_LOGIN"}],
        )
        for stream in ("blog_posts", "knowledge_articles"):
            documents, _, _ = await walk(call, stream)
            assert [document.audience for document in documents.values()] == ["internal"]

    async def test_a_post_without_text_is_a_failure(self, world, call):
        (key,) = world.seed(blog_posts=[{"name": "Empty"}])
        page = await world.provider.read_stream(call, "blog_posts", None, None)
        assert [(failure.external_id, failure.reason) for failure in page.failures] == [(key, "It has no text.")]

    @pytest.mark.beside_the_contract
    @pytest.mark.parametrize("odd", [None, "text", 5])
    async def test_a_product_of_an_unexpected_shape_stops_nothing(self, world, call, odd):
        good, bad = world.seed(products=[{"properties": {"name": "P"}}, {"properties": {"name": "Q"}}])
        world.double.shown = lambda kind, record, *_: record  # as it stands there
        world.double.records["product"][bad]["properties"] = odd
        page = await world.provider.read_stream(call, "products", None, None)
        assert [document.external_id for document in page.documents] == [good]
        assert [(failure.external_id, failure.reason) for failure in page.failures] == [
            (bad, "It has an unexpected shape.")
        ]

    async def test_articles_are_asked_for_by_the_documented_page(self, world, call):
        world.double.seed({"generate": {"articles": 60}})
        documents, _, _ = await walk(call, "knowledge_articles")
        assert len(documents) == 60
        assert len(world.requests("/cms/knowledge-base/2027-03-beta/articles")) == 3
        with pytest.raises(ProviderFailure):
            await call.http.get("/cms/knowledge-base/2027-03-beta/articles", {"limit": 26})

    @pytest.mark.parametrize("stream", ["blog_posts", "knowledge_articles"])
    async def test_content_is_read_from_a_checkpoint_with_overlap(self, world, call, stream):
        kind, title, body = (
            ("blog_posts", "name", "postBody") if stream == "blog_posts" else ("articles", "title", "body")
        )
        now = world.sandbox.clock.now()
        old, lagging, fresh = world.seed(**{kind: [
            {title: "t", body: "b", "updatedAt": iso(now - age)} for age in (3600, 120, 0)
        ]})  # fmt: skip
        documents, _, checkpoint = await walk(call, stream)
        assert set(documents) == {old, lagging, fresh}
        documents, _, _ = await walk(call, stream, checkpoint)
        assert set(documents) == {lagging, fresh}

    @pytest.mark.parametrize("status", [403, 404])
    async def test_no_knowledge_base_reads_as_none(self, world, call, status):
        world.double.configure({"knowledge_base": status})
        with pytest.raises(NotFound):
            await world.provider.read_stream(call, "knowledge_articles", None, None)

    async def test_a_missing_scope_is_never_an_empty_blog(self, world, call):
        world.double.configure({"enforce_scopes": True})
        call.http.access_token = (await world.tokens()).access_token
        for grant in world.double.grants:
            grant.scope = ("oauth",)
        with pytest.raises(ProviderFailure) as error:
            await world.provider.read_stream(call, "blog_posts", None, None)
        assert error.value.provider_status == 403

    async def test_products_fully_then_by_change_with_deletions(self, world, call):
        ids = world.seed(products=[{"properties": {"name": f"P{n}", "price": "5"}} for n in range(250)])
        documents, deleted, checkpoint = await walk(call, "products")
        assert set(documents) == set(ids)
        assert deleted == []
        assert documents[ids[0]].body == "- Price: 5 USD"
        world.sandbox.clock.offset += 1200
        world.seed(products=[{"id": ids[3], "properties": {"description": "New"}}])
        world.double.records["product"][ids[4]]["archived"] = True
        later = (world.now - timedelta(minutes=5)).isoformat()
        documents, deleted, _ = await walk(call, "products", later)
        assert list(documents) == [ids[3]]
        assert deleted == [ids[4]]
        assert await world.provider.is_gone(call, "products", ids[4])
        documents, deleted, _ = await walk(call, "products")
        assert (len(documents), deleted) == (249, [ids[4]])
        assert checkpoint

    @pytest.mark.parametrize("spread", ["apart", "one_time", "crowd_in_between"])
    async def test_a_search_deeper_than_it_may_be(self, world, call, monkeypatch, spread):
        monkeypatch.setattr("sandbox.hubspot.SEARCH_DEPTH", 400)
        monkeypatch.setattr(streams, "SEARCH_DEPTH", 400)
        now = world.sandbox.clock.now()
        stamps = {
            "apart": [now + n for n in range(1300)],
            "one_time": [now] * 1300,
            "crowd_in_between": [now + n for n in range(150)] + [now + 200] * 900 + [now + 300 + n for n in range(250)],
        }[spread]
        ids = world.seed(products=[{"properties": {"name": "P"}, "updatedAt": iso(at)} for at in stamps])
        documents, _, _ = await walk(call, "products", world.now.isoformat())
        assert set(documents) == set(ids)

    async def test_the_same_page_twice_is_an_error(self):
        def answer(request):
            return httpx.Response(200, json={"results": [], "paging": {"next": {"after": "7"}}})

        call = against(answer)
        page = await HubSpot().read_stream(call, "blog_posts", None, None)
        with pytest.raises(ProviderFailure, match="same page"):
            await HubSpot().read_stream(call, "blog_posts", page.next, None)
