"""Shopify's quirks."""

import hashlib
import hmac
from datetime import timedelta
from urllib.parse import quote

import pytest

from sandbox.shopify import search
from supportly.contracts.contacts import ActivityJob, Contact
from supportly.errors import AuthorizationInvalid, InvalidInput, ProviderFailure, Throttled, TokenRefused
from supportly.oauth import GrantRefused
from supportly.providers.shopify import Shopify
from supportly.providers.shopify.contract import Contract
from supportly.providers.shopify.graphql import quoted
from tests.providers.harness import World

ADA = Contact(id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442071838750")
SHOP = "acme.myshopify.com"


@pytest.fixture
def world():
    return World(Shopify())


def job(**more):
    given = {
        "account_id": 1,
        "provider": "shopify",
        "contact_id": 7,
        "operation_id": "op-1",
        "content": "Called\nabout it",
    }
    return ActivityJob(**{**given, **more})


def signed(world, returned):
    """Shopify's signature over everything but itself."""
    rest = sorted((k, v) for k, v in returned.items() if k != "hmac")
    text = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in rest)
    key = world.double.settings["client_secret"].encode()
    return {**returned, "hmac": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}


async def test_the_callback_is_believed_only_as_shopify_signed_it(world):
    returned = await world.consent()
    secret = world.double.settings["client_secret"]
    world.provider.check_callback(world.parts, returned, secret)
    spaced = signed(world, {**returned, "extra": "a b+c&d=é"})
    world.provider.check_callback(world.parts, spaced, secret)
    for wrong in (
        {**returned, "code": "another"}, {**returned, "hmac": ""}, {**returned, "hmac": "é"},
        {**returned, "host": "x"}, {k: v for k, v in returned.items() if k != "hmac"},
        {**returned, "added": "1"}, signed(world, {**returned, "shop": "evil.myshopify.com"}),
        signed(world, {**returned, "timestamp": str(int(returned["timestamp"]) - 3600)}),
        signed(world, {**returned, "timestamp": "soon"}),
    ):  # fmt: skip
        with pytest.raises(AuthorizationInvalid):
            world.provider.check_callback(world.parts, wrong, secret)
    with pytest.raises(AuthorizationInvalid):
        world.provider.check_callback(world.parts, returned, "another secret")


async def test_while_the_secret_is_changed_the_one_before_counts_too(world):
    returned = await world.consent()
    old, now = world.double.settings["client_secret"], "the new secret"
    with pytest.raises(AuthorizationInvalid):
        world.provider.check_callback(world.parts, returned, now)
    changing = Shopify(Contract(previous_secret=old))
    changing.check_callback(world.parts, returned, now)
    with pytest.raises(AuthorizationInvalid):
        changing.check_callback(world.parts, {**returned, "code": "another"}, now)
    with pytest.raises(AuthorizationInvalid):  # an empty one is no secret
        empty = hmac.new(b"", b"", hashlib.sha256).hexdigest()
        Shopify(Contract()).check_callback(world.parts, {**returned, "hmac": empty}, now)
    assert old not in repr(changing.contract)


async def test_permissions_that_the_merchant_dropped_are_named_when_connecting(world):
    world.double.configure({"dropped_scopes": ["read_orders", "read_content", "read_customers"]})
    with pytest.raises(ProviderFailure, match="read_orders") as lacking:
        await world.provider.identify(world.http(await world.tokens()))
    # The others: optional, and implied by the permission to write.
    assert lacking.value.details["missing_scope"] == ["read_orders"]
    world.double.configure({"dropped_scopes": ["read_content"]})
    assert (await world.provider.identify(world.http(await world.tokens()))).tenant_key == SHOP


async def test_orders_are_filtered_by_their_time(world):
    (customer,) = world.seed(customers=[{"firstName": "Ada"}])
    for hour in range(3):
        world.seed(orders=[{"customer": customer, "name": f"#{hour}"}])
        world.sandbox.clock.offset += 3600
    call, action = await world.call(), world.provider.actions["get_orders"]
    after = (world.now - timedelta(minutes=90)).isoformat()
    found = await action.run(world.provider, call, action.params.model_validate({"created_after": after}))
    assert [order["title"] for order in found.items] == ["#2"]
    with pytest.raises(ValueError, match="created_after"):
        action.params.model_validate({"created_after": "2026-01-01T00:00:00"})


async def test_points_are_what_the_answer_says_and_a_throttled_query_waits_for_its_own(world):
    world.double.configure({"rate_limits": True, "bucket": 100, "restore_rate": 10})
    call, seen = await world.call(), []

    class Notes:
        async def spend(self, costs, lane):
            return 0.0

        async def learn(self, headroom):
            seen.extend(headroom)

    call.http.budget = Notes()
    query = {"query": "{ products(first: 250) { nodes { id } } }"}  # 27 points
    with pytest.raises(Throttled) as refused:
        for _ in range(5):
            await call.http.request("POST", "graphql.json", json=query)
    left = seen[-1].remaining
    assert (seen[-1].limit, seen[-1].window_s) == (100, 10)
    assert refused.value.retry_after == pytest.approx(max(1, (27 - left) / 10), abs=0.2)


async def test_the_exchange_is_json_and_asks_for_a_token_that_ends(world):
    world.double.configure({"access_token_ttl": 3600})
    tokens = await world.tokens()
    sent = world.requests("/admin/oauth/access_token")[-1].request
    assert sent.headers["content-type"] == "application/json"
    assert sent.host == SHOP
    assert (sent.object["expiring"], "code_verifier" in sent.object) == ("1", False)
    assert (tokens.expires_at - world.now).total_seconds() == pytest.approx(3600, abs=2)
    await world.refresh(tokens)
    assert "expiring" not in world.requests("/admin/oauth/access_token")[-1].request.object


async def test_a_shop_that_gives_permanent_tokens_has_nothing_to_refresh(world):
    world.double.configure({"expiring": False})
    tokens = await world.tokens()
    assert (tokens.expires_at, tokens.refresh_token) == (None, None)
    assert (await world.provider.identify(world.http(tokens))).tenant_key == SHOP


async def test_the_refresh_token_before_works_until_the_new_one_is_used(world):
    first = await world.tokens()
    second = await world.refresh(first)
    third = await world.refresh(first)  # a lost answer is made good
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    await world.refresh(third)
    with pytest.raises(GrantRefused):
        await world.refresh(first)


@pytest.mark.parametrize(
    ("error", "reason"),
    [("invalid_client", "app_uninstalled"), ("invalid_grant", "revoked_by_user"), ("invalid_request", "code_refused")],
)
def test_what_a_refusal_means(world, error, reason):
    refusal = world.provider.read_refusal(400, {"error": error, "error_description": "No."})
    assert isinstance(refusal, GrantRefused)
    assert refusal.reason == reason


async def test_the_token_has_a_header_of_its_own_and_the_version_stands_in_the_path(world):
    world = World(Shopify(Contract(api_version="2026-10")))
    await world.call()
    http = await world.connect()
    await world.provider.identify(http)
    sent = world.requests()[-1].request
    assert sent.path == "/admin/api/2026-10/graphql.json"
    assert sent.headers["x-shopify-access-token"] == http.access_token
    assert dict(world.provider.headers("t", "POST", sent.path, {})) == {"X-Shopify-Access-Token": "t"}
    with pytest.raises(ValueError, match="api_version"):
        Contract(api_version="unstable")


async def test_disconnecting_uninstalls(world):
    http, tokens = await world.connect(), await world.tokens()
    assert await world.provider.revoke(http, tokens, None) is True
    assert world.requests("/admin/api_permissions/current.json", "DELETE")
    with pytest.raises(TokenRefused):
        await world.provider.identify(http)
    assert await world.provider.revoke(http, tokens, None) is True


async def test_a_customer_is_found_at_once_by_its_identifiers(world):
    world.double.configure({"search_lag_seconds": 3600})
    world.seed(customers=[{"firstName": "Ada", "email": "ada@example.com", "phone": ADA.phone_number}])
    call = await world.call()
    assert len(await world.provider.find(call, ADA, None)) == 1
    assert len(await world.provider.find(call, Contact(id=8, phone_number=ADA.phone_number), None)) == 1


async def test_a_number_of_another_customer_is_left_out_and_said_so(world):
    world.seed(customers=[{"firstName": "Bob", "phone": ADA.phone_number}])
    (mine,) = world.seed(customers=[{"firstName": "Ada", "email": "ada@example.com"}])
    call = await world.call()
    record = await world.provider.by_id(call, str(mine))
    kept, skipped = await world.provider.writable(call, {"phone": ADA.phone_number, "firstName": "Ada"}, record)
    assert kept == {"firstName": "Ada"}
    assert "Another customer" in skipped["phone"]


async def test_an_address_that_was_taken_meanwhile_is_updated(world):
    world.seed(customers=[{"firstName": "A.", "email": "ada@example.com"}])
    call = await world.call()
    made = await world.provider.create(call, ADA, {"firstName": "Ada", "email": "ada@example.com"})
    assert made.name == "Ada"
    assert len(world.double.records["customer"]) == 1


async def test_user_errors_name_their_field(world):
    call = await world.call()
    with pytest.raises(InvalidInput) as refused:
        await world.provider.create(call, ADA, {"email": "not an address"})
    assert refused.value.details["field"] == "email"


async def test_an_address_is_written_once_and_never_replaced(world):
    call = await world.call()
    wanted = {"firstName": "Ada", "address.city": "London", "address.countryCode": "gb"}
    made = await world.provider.create(call, ADA, wanted)
    assert world.double.records["customer"][made.id]["addresses"] == [{"city": "London", "countryCode": "GB"}]
    kept, skipped = await world.provider.writable(call, {**wanted, "address.city": "Paris"}, made)
    assert "address.city" in skipped
    assert "address.countryCode" in kept  # equal, so that a sync has nothing to do


async def test_custom_attributes_are_metafields_of_ours(world):
    call = await world.call(field_mapping={"metafields.plan": "custom_attributes.plan"})
    made = await world.provider.create(call, ADA, {"firstName": "Ada", "metafields.plan": "growth"})
    stored = await world.provider.by_id(call, made.id)
    assert world.provider.current(stored)["metafields.plan"] == "growth"


async def test_a_note_keeps_what_the_merchant_wrote(world):
    (key,) = world.seed(customers=[{"firstName": "Ada", "email": "ada@example.com", "note": "Prefers e-mail."}])
    call = await world.call()
    (record,) = await world.provider.find(call, ADA, None)
    await world.provider.log(call, record, job())
    await world.provider.log(call, record, job(kind="call"))
    first, second, third = world.double.records["customer"][str(key)]["note"].split("\n")
    assert first == "Prefers e-mail."
    assert second.endswith(f"Called about it [{call.marker}]")
    assert "[Call]" in third
    with pytest.raises(InvalidInput):
        await world.provider.log(call, record, job(content="x" * 5000))


async def test_customer_data_that_is_not_approved_is_a_clear_reason(world):
    call = await world.call()
    world.double.configure({"protected": True})
    with pytest.raises(ProviderFailure) as denied:
        await world.provider.find(call, ADA, None)
    assert denied.value.details["provider_code"] == "ACCESS_DENIED"
    assert "not approved" in denied.value.message


async def test_what_the_store_does_not_show_is_gone(world):
    world.seed(
        products=[
            {"id": 1, "title": "A"},
            {"id": 2, "title": "B", "status": "DRAFT"},
            {"id": 3, "title": "C", "published": False},
        ],
        pages=[{"id": 4, "title": "D", "isPublished": False}],
    )
    call = await world.call()
    page = await world.provider.read_stream(call, "products", None, None)
    assert ([d.external_id for d in page.documents], page.deleted) == (["1"], ["2", "3"])
    assert (await world.provider.read_stream(call, "pages", None, None)).deleted == ["4"]
    for_agents = await world.call(unpublished_products=True)
    assert len((await world.provider.read_stream(for_agents, "products", None, None)).documents) == 2


async def test_a_walk_goes_on_where_paging_ends(world, monkeypatch):
    monkeypatch.setattr("supportly.providers.shopify.knowledge.DEEPEST", 6)
    monkeypatch.setattr("supportly.providers.shopify.knowledge.PAGE", 3)
    monkeypatch.setattr("sandbox.shopify.DEEPEST", 9)
    for number in range(1, 21):
        world.seed(products=[{"id": number, "title": f"T{number}"}])
        world.sandbox.clock.offset += 60
    call = await world.call()
    seen, cursor = set(), None
    while True:
        page = await world.provider.read_stream(call, "products", cursor, None)
        seen |= {d.external_id for d in page.documents}
        if (cursor := page.next) is None:
            break
    assert seen == {str(n) for n in range(1, 21)}


@pytest.mark.parametrize(
    "value",
    [
        'a"b',
        "a\\",
        'x" OR title:"y',
        "a AND b",
        "NOT a",
        "-a",
        "a*",
        "(a)",
        "title:x",
        "",
        "a:>b",
        "ü \n z",
        "a' OR 'b",
    ],
)
def test_a_quoted_text_is_one_text(value):
    row = {"title": value, "updatedAt": "2026-01-01T00:00:00Z"}
    assert search(f"title:{quoted(value)}")(row)
    assert not search(f"title:{quoted(value + 'x')}")(row)
