"""Stripe's quirks."""

import pytest

from sandbox.stripe import query
from supportly.contracts.contacts import Contact
from supportly.errors import ProviderFailure, TokenRefused
from supportly.oauth import ClientRefused
from supportly.providers.stripe import Stripe
from supportly.providers.stripe.contract import VERSION, Contract
from supportly.providers.stripe.customers import quoted
from supportly.providers.stripe.shapes import amount
from tests.providers.harness import World

ADA = Contact(
    id=7, name="Ada Lovelace", email="Ada@Example.com", phone_number="+442071838750",
    additional_attributes={"company_name": "Analytical", "city": "London", "country_code": "gb"},
)  # fmt: skip


@pytest.fixture
def world():
    return World(Stripe())


@pytest.fixture
def connect(world):
    """The same with Connect's OAuth."""
    key = world.double.settings["client_secret"]
    return World(Stripe(Contract(mode="connect", client_id="supportly-client", client_secret=key)))


def fields(provider, contact=ADA):
    named = {name: contact.value(source) for name, source in provider.mapping.items()}
    return {name: value for name, value in named.items() if value}


async def test_apps_speak_to_their_own_hosts_with_the_key_as_user_name(world):
    tokens = await world.tokens()
    authorize, token = world.requests("/oauth/v2/authorize")[-1].request, world.requests("/v1/oauth/token")[-1].request
    assert (authorize.host, token.host) == ("marketplace.stripe.com", "api.stripe.com")
    assert "scope" not in authorize.query
    assert "client_secret" not in token.object
    assert (tokens.expires_at - world.now).total_seconds() == pytest.approx(3600, abs=2)
    assert tokens.facts == {"stripe_user_id": "acct_1Sandbox", "livemode": "False"}


def test_a_test_link_has_a_channel():
    link = "https://marketplace.stripe.com/oauth/v2/chnlink_1/authorize"
    assert Stripe(Contract(authorize_url=link)).oauth.authorize == link
    for wrong in ("https://evil.example/oauth/v2/authorize", link.replace("https", "http"), link + "?x=1"):
        with pytest.raises(ValueError, match="authorize_url"):
            Contract(authorize_url=wrong)


async def test_connect_calls_with_our_key_and_the_account(connect):
    tokens = await connect.tokens()
    assert tokens.expires_at is None
    identity = await connect.provider.identify(connect.http(tokens))
    sent = connect.requests("/v1/account")[-1].request
    assert sent.headers["stripe-account"] == "acct_1Sandbox"
    assert tokens.access_token not in sent.headers["authorization"]
    assert identity.tenant_key == "acct_1Sandbox:test"


async def test_connect_deauthorizes_and_apps_cannot(world, connect):
    assert await world.provider.revoke(await world.connect(), await world.tokens(), None) is False
    assert (world.provider.revocable, connect.provider.revocable) == (False, True)
    http, tokens = await connect.connect(), await connect.tokens()
    for _ in range(2):  # a revocation that is repeated is done already
        assert await connect.provider.revoke(http, tokens, None) is True
    with pytest.raises(ProviderFailure):
        await connect.provider.identify(http)


async def test_a_code_of_the_other_system_is_an_operators_matter(world, connect):
    code = (await connect.consent())["code"]
    world.double.codes |= connect.double.codes
    with pytest.raises(ClientRefused):
        await world.exchange(code, None)


async def test_every_call_names_the_pinned_version(world):
    call = await world.call()
    await call.http.get("/v1/customers")
    assert all(r.request.headers["stripe-version"] == VERSION for r in world.requests())
    with pytest.raises(ProviderFailure):
        await call.http.get("/v1/customers", headers={"Stripe-Version": "yesterday"})


async def test_test_mode_is_another_tenant_and_says_so(world):
    test = await world.provider.identify(world.http(await world.tokens()))
    world.double.configure({"livemode": True})
    live = await world.provider.identify(world.http(await world.tokens()))
    assert (test.tenant_key, live.tenant_key) == ("acct_1Sandbox:test", "acct_1Sandbox:live")
    assert test.account_name.endswith("(test mode)")
    assert live.account_name == "Sandbox Shop"


async def test_bodies_are_forms_with_brackets(world):
    call = await world.call()
    kept, skipped = await world.provider.writable(call, fields(world.provider), None)
    made = await world.provider.create(call, ADA, kept)
    assert skipped == {}
    stored = world.double.records["customer"][made.id]
    assert stored["email"] == "ada@example.com"
    assert stored["metadata"] == {"company": "Analytical", "supportly_contact_id": "7"}
    assert (stored["address"]["city"], stored["address"]["country"]) == ("London", "GB")
    sent = world.requests("/v1/customers", "POST")[-1].request
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    assert b"address%5Bcity%5D=London" in sent.body


async def test_a_create_repeated_under_its_key_makes_one_customer(world):
    call = await world.call("op-9")
    first = await world.provider.create(call, ADA, {"name": "Ada"})
    again = await world.provider.create(call, ADA, {"name": "Ada"})
    assert again.id == first.id
    assert len(world.double.records["customer"]) == 1
    with pytest.raises(ProviderFailure) as refused:
        await world.provider.create(call, ADA, {"name": "Another"})
    assert refused.value.details["provider_code"] == "idempotency_error"
    assert not refused.value.retryable


async def test_a_stored_500_is_left_behind_by_another_key_after_a_look(world):
    call = await world.call("op-9")
    world.double.configure({"stored_failures": 1})
    with pytest.raises(ProviderFailure) as failed:  # Stripe's own answer, which may be tried again
        await world.provider.create(call, ADA, {"name": "Ada", "email": "ada@example.com"})
    assert (failed.value.provider_status, failed.value.retryable) == (500, True)
    made = await world.provider.create(call, ADA, {"name": "Ada", "email": "ada@example.com"})
    keys = [r.request.headers["idempotency-key"] for r in world.requests("/v1/customers", "POST")]
    assert keys == ["supportly:op-9:create", "supportly:op-9:create", "supportly:op-9:create-2"]
    assert list(world.double.records["customer"]) == [made.id]
    methods = [r.request.method for r in world.requests()]
    assert methods[:2] == ["POST", "POST"]
    assert (set(methods[2:-1]), methods[-1]) == ({"GET"}, "POST"), "a look comes before the other key"
    again = await world.provider.create(call, ADA, {"name": "Ada", "email": "ada@example.com"})
    assert again.id == made.id


async def test_what_a_failed_write_made_after_all_is_found_and_not_made_twice(world):
    call = await world.call("op-9")
    world.double.configure({"stored_failures": 1})
    with pytest.raises(ProviderFailure):
        await world.provider.create(call, ADA, {"email": "ada@example.com"})
    (key,) = world.seed(customers=[{"email": "ada@example.com"}])
    assert (await world.provider.create(call, ADA, {"email": "ada@example.com"})).id == key
    assert len(world.double.records["customer"]) == 1


async def test_connect_keeps_no_refresh_token_since_nothing_expires(connect, world):
    tokens = await connect.tokens()
    assert (tokens.expires_at, tokens.refresh_token) == (None, None)
    assert (await world.tokens()).refresh_token


async def test_an_address_is_found_at_once_whatever_search_says(world):
    world.double.configure({"search_lag_seconds": 3600})
    world.seed(customers=[{"name": "Ada", "email": "ada@example.com"}])
    call = await world.call()
    assert len(await world.provider.find(call, ADA, None)) == 1
    assert world.requests("/v1/customers/search") == []


async def test_an_address_in_another_spelling_is_found_by_search(world):
    world.seed(customers=[{"name": "Ada", "email": "aDA@example.COM"}])
    call = await world.call()
    assert len(await world.provider.find(call, ADA, None)) == 1


async def test_an_account_without_search_is_asked_by_the_list_alone(world):
    world.double.configure({"country": "IN"})
    call = await world.call()
    assert await world.provider.find(call, ADA, None) == []
    world.fault(path="/v1/customers/search", status=400, body={"error": {"type": "invalid_request_error"}})
    with pytest.raises(ProviderFailure):  # another failure is never an empty answer
        await world.provider.find(call, ADA, None)


async def test_a_deleted_customer_answers_200_and_is_gone(world):
    (key,) = world.seed(customers=[{"name": "Ada", "email": "ada@example.com"}])
    world.seed(customers=[{"id": key, "_deleted": True}])
    call = await world.call()
    assert await world.provider.by_id(call, key) is None
    assert await world.provider.find(call, ADA, key) == []


@pytest.mark.parametrize("shapes", ["new", "old"])
async def test_periods_and_features_are_read_from_both_places(world, shapes):
    world.double.configure({"shapes": shapes})
    name = "marketing_features" if shapes == "new" else "features"
    world.seed(products=[{"id": "prod_1", "name": "Plan", name: [{"name": "Ten seats"}]}])
    world.seed(prices=[{"id": "price_1", "product": "prod_1", "unit_amount": 900}])
    world.seed(
        subscriptions=[{"id": "sub_1", "customer": "cus_1", "price": "price_1", "current_period_end": 1_800_000_000}]
    )
    call = await world.call()
    params = world.provider.actions["get_subscriptions"].params(record_id="cus_1")
    answer = await world.provider.get_subscriptions(call, params)
    assert answer.items[0]["current_period_end"] == "2027-01-15T08:00:00+00:00"
    page = await world.provider.read_stream(call, "products", None, None)
    assert "- Ten seats" in page.documents[0].body
    assert "- Price: 9.00 EUR" in page.documents[0].body


async def test_an_archived_product_is_gone(world):
    world.seed(products=[{"id": "prod_1", "name": "Plan", "active": False}])
    call = await world.call()
    assert (await world.provider.read_stream(call, "products", None, None)).documents == []
    assert await world.provider.is_gone(call, "products", "prod_1") is True


@pytest.mark.parametrize(
    ("units", "currency", "shown"),
    [(1299, "eur", "12.99"), (500, "jpy", "500"), (1234, "kwd", "1.234"), (0, "usd", "0.00"), (None, "usd", None)],
)
def test_amounts_are_decimal_texts_of_their_currency(units, currency, shown):
    assert amount(units, currency) == shown


async def test_what_stripe_would_refuse_is_left_out_with_a_reason(world):
    call = await world.call()
    wanted = {
        "phone": "+" + "1" * 20, "address[country]": "United Kingdom", "metadata[a[b]]": "x", "metadata[ok]": "x" * 501,
        "balance": "100", "name": "Ada",
    }  # fmt: skip
    kept, skipped = await world.provider.writable(call, wanted, None)
    assert kept == {"name": "Ada"}
    assert set(skipped) == set(wanted) - {"name"}


@pytest.mark.parametrize("value", ['a"b', "a\\", 'x" OR email:"y', "'", "", 'a\\"b', "ü\n"])
def test_a_quoted_text_is_one_text(value):
    record = {"name": value, "metadata": {}}
    assert query(f"name:{quoted(value)}")(record)
    assert not query(f"name:{quoted(value + 'x')}")(record)


async def test_an_expired_key_is_a_refused_token(world):
    call = await world.call()
    world.double.expire()
    with pytest.raises(TokenRefused):
        await call.http.get("/v1/account")
