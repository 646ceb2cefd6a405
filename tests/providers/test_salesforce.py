"""What only Salesforce does; what all providers share is in test_contract.py."""

import base64
import json
from datetime import timedelta
from urllib.parse import quote_plus

import httpx
import pytest

from sandbox.double import iso
from sandbox.salesforce import Parser, salesforce_id
from supportly.contracts.contacts import ActivityJob, Contact
from supportly.errors import (
    AmbiguousMatch,
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
from supportly.providers.salesforce import Salesforce
from supportly.providers.salesforce.fields import name_parts
from supportly.providers.salesforce.shapes import eighteen
from supportly.providers.salesforce.soql import LONGEST, everything, following, length, moment, parted, quoted, select
from tests.providers.harness import World

HOST = "https://acme.my.salesforce.com"
DATA = "/services/data/v66.0"
ADA = {"FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@example.com", "Phone": "+442079460958"}


@pytest.fixture
def world():
    return World(Salesforce())


@pytest.fixture
async def call(world):
    return await world.call()


@pytest.fixture
def contact():
    return Contact(
        id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442079460958",
        additional_attributes={"company_name": "Analytical", "city": "London", "country": "United Kingdom"},
    )  # fmt: skip


def job(kind="note", content="First line\nsecond", **more):
    return ActivityJob(
        account_id=1, provider="salesforce", contact_id=7, operation_id="op-1", kind=kind, content=content, **more
    )


def against(handler, **settings):
    """A call that is answered by `handler(request)`; for bodies that the double does not give."""
    outbound = Outbound(timeout_s=1, max_bytes=1_000_000, transport=httpx.MockTransport(handler))
    http = Http(outbound, Salesforce(), "token", {"domain": "acme.my.salesforce.com", "instance_url": HOST})
    return Call(http, Salesforce.settings(**settings), "op-1")


def answering(status, body, **headers):
    return lambda _: httpx.Response(status, json=body, headers=headers)


def error(status, code, message="x", **more):
    return answering(status, [{"errorCode": code, "message": message, "fields": [], **more}])


def sent(world, method, path):
    """Bodies of the requests that the double received."""
    return [entry.shown()["body"] for entry in world.requests(path, method)]


def asked(world):
    """Queries that the double received."""
    return [dict(entry.shown()["query"]).get("q", "") for entry in world.requests("/query", "GET")]


def stored(world, kind):
    return [row for row in world.double.records[kind].values() if not row["IsDeleted"]]


def wanted(contact):
    named = {name: contact.value(source) for name, source in Salesforce.mapping.items()}
    return {name: value for name, value in named.items() if value}


def with_settings(call, **settings):
    return Call(call.http, Salesforce.settings(**settings), call.operation_id)


async def made(call, contact, **settings):
    call = with_settings(call, **settings)
    fields, _ = await Salesforce().writable(call, wanted(contact), None)
    return await Salesforce().create(call, contact, fields)


async def walk(call, stream, since=None):
    documents, deleted, cursor = {}, [], None
    while True:
        page = await Salesforce().read_stream(call, stream, cursor, since)
        assert page.failures == []
        documents |= {d.external_id: d for d in page.documents}
        deleted += page.deleted
        if page.next is None:
            return documents, deleted, page.checkpoint
        assert page.next != cursor
        cursor = page.next


async def parts_of(call, record):
    return {name: await part for name, part in Salesforce().parts(call, record).items()}


async def run(call, action, /, **params):
    chosen = Salesforce.actions[action]
    return await chosen.run(Salesforce(), call, chosen.params.model_validate(params))


# --- hosts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "login.salesforce.com",
        "test.salesforce.com",
        "acme.my.salesforce.com",
        "acme--dev.sandbox.my.salesforce.com",
        "acme.my.site.com",
    ],
)
def test_login_hosts_of_production_sandbox_and_own_domains(host):
    parts = Salesforce().host_parts({"domain": host})
    assert Salesforce().urls(parts) == (
        f"https://{host}/services/oauth2/authorize",
        f"https://{host}/services/oauth2/token",
    )


def test_without_a_domain_it_is_production():
    assert Salesforce().host_parts({}) == {"domain": "login.salesforce.com"}


FOREIGN = [
    "acme.lightning.force.com", "acme.my.salesforce.com\n", "\nacme.my.salesforce.com", "evil.example",
    "acme.my.salesforce.com.evil.example", "evil.example/acme.my.salesforce.com", "a@login.salesforce.com",
    "login.salesforce.com:444", "my.salesforce.com", "acme.evil.my.salesforce.com", "-acme.my.salesforce.com",
    "login.salesforce.com#.my.salesforce.com", "https://login.salesforce.com", "salesforce.com", "127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", FOREIGN)
def test_other_login_hosts_are_refused(host):
    with pytest.raises(InvalidInput) as refused:
        Salesforce().host_parts({"domain": host})
    assert refused.value.details["field"] == "domain"


@pytest.mark.parametrize(
    "instance",
    [f"https://{host}" for host in FOREIGN]
    + ["http://acme.my.salesforce.com", "acme.my.salesforce.com", "", "https://login.salesforce.com", f"{HOST}/x"],
)
async def test_a_token_that_names_a_foreign_host_is_sent_nowhere(world, instance):
    tokens = await world.tokens()
    world.sandbox.recorder.ring.clear()
    with pytest.raises(ProviderFailure) as refused:
        await Salesforce().identify(world.http(tokens, instance_url=instance))
    assert refused.value.sent is False
    assert world.requests() == []


@pytest.mark.parametrize(
    "instance", ["https://acme--dev.sandbox.my.salesforce.com", "https://na139.salesforce.com", HOST + "/"]
)
async def test_calls_go_to_the_host_that_the_token_names(world, instance):
    world.double.configure({"instance_url": instance})
    world.parts["domain"] = "test.salesforce.com"
    http = await world.connect()
    await http.get("/limits")
    assert world.requests()[-1].request.host == instance.removeprefix("https://").rstrip("/")


async def test_the_host_of_a_refresh_is_the_one_from_then_on(world):
    tokens = await world.tokens()
    world.double.configure({"instance_url": "https://renamed.my.salesforce.com"})
    fresh = await world.refresh(tokens)
    assert fresh.facts["instance_url"] == "https://renamed.my.salesforce.com"
    await world.http(fresh).get("/limits")


# --- OAuth -----------------------------------------------------------------------------------------------------------


async def test_tokens_have_no_stated_life_and_end_with_a_401(world):
    tokens = await world.tokens()
    assert tokens.expires_at is None
    world.double.expire()
    with pytest.raises(TokenRefused):
        await world.http(tokens).get("/limits")
    await world.http(await world.refresh(tokens)).get("/limits")


async def test_one_refresh_token_serves_many_refreshes_where_rotation_is_off(world):
    tokens = await world.tokens()
    for _ in range(3):
        tokens = await world.refresh(tokens)
    assert len(world.double.refresh_tokens) == 1
    await world.http(tokens).get("/limits")


async def test_a_rotated_refresh_token_is_kept_and_the_old_one_ends_everything(world):
    world.double.configure({"rotation": "rotate_with_reuse_detection"})
    first = await world.tokens()
    second = await world.refresh(first)
    third = await world.refresh(second)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    with pytest.raises(GrantRefused):
        await world.refresh(first)
    with pytest.raises(TokenRefused):
        await world.http(third).get("/limits")
    with pytest.raises(GrantRefused):
        await world.refresh(third)
    assert Salesforce.oauth.rotation == "single_use_with_reuse_detection"


async def test_what_is_sent_to_the_token_endpoint(world):
    await world.refresh(await world.tokens())
    exchange, refresh = sent(world, "POST", "/services/oauth2/token")
    assert exchange.keys() == {"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret"}
    assert refresh.keys() == {"grant_type", "refresh_token", "client_id", "client_secret"}  # `scope` would be refused
    (page,) = world.requests("/services/oauth2/authorize")
    query = dict(page.shown()["query"])
    assert (query["scope"], query["code_challenge_method"]) == ("api refresh_token openid", "S256")


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("invalid_grant", GrantRefused),
        ("inactive_user", GrantRefused),
        ("inactive_org", GrantRefused),
        ("invalid_client", ClientRefused),
        ("invalid_client_id", ClientRefused),
        ("rate_limit_exceeded", Throttled),
        ("unsupported_grant_type", ProviderFailure),
    ],
)
async def test_the_token_endpoints_words(world, told, kind):
    tokens = await world.tokens()
    world.double.configure({"token_error": told})
    with pytest.raises(kind) as refused:
        await world.refresh(tokens)
    assert type(refused.value) is kind
    assert refused.value.retryable == (kind is Throttled)


async def test_the_tenant_is_the_org_and_the_user(world):
    who = await Salesforce().identify(world.http(await world.tokens()))
    assert who.tenant_key == f"{salesforce_id('00D', 1)}:{salesforce_id('005', 1)}"
    assert who.account_name == "acme.my.salesforce.com (admin@acme.example)"
    assert (who.facts["multi_currency"], who.facts["person_accounts"]) == ("false", "false")
    world.double.configure({"user_number": 2, "multi_currency": True, "person_accounts": True})
    other = await Salesforce().identify(world.http(await world.tokens()))
    assert other.tenant_key != who.tenant_key
    assert (other.facts["multi_currency"], other.facts["person_accounts"]) == ("true", "true")


def test_a_short_id_and_a_long_one_are_one_tenant():
    assert eighteen("001A0000006Vm9r") == "001A0000006Vm9rIAC"
    assert eighteen("001A0000006Vm9rIAC") == "001A0000006Vm9rIAC"


@pytest.mark.parametrize("status", [401, 403])
async def test_the_identity_service_refuses_a_token_in_either_way(world, status):
    world.double.configure({"userinfo_refusal": status})
    tokens = await world.tokens()
    world.double.expire()
    with pytest.raises(TokenRefused):
        await Salesforce().identify(world.http(tokens))


async def test_an_edition_without_an_api_cannot_be_connected(world):
    world.double.configure({"api_enabled": False})
    with pytest.raises(ProviderFailure, match="API is not enabled") as refused:
        await Salesforce().identify(world.http(await world.tokens()))
    assert refused.value.provider_code == "API_DISABLED_FOR_ORG"
    assert not refused.value.retryable


async def test_the_granted_scope_is_compared():
    http = against(answering(200, {})).http
    http.facts = {**http.facts, "scope": "openid refresh_token"}
    with pytest.raises(ProviderFailure, match="did not grant `api`"):
        await Salesforce().identify(http)


# --- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        ("api-usage=18/5000", (5000, 4982)),
        ("api-usage=18/5000; per-app-api-usage=17/250(appName=sample-app)", (5000, 4982)),
        ("per-app-api-usage=17/250(appName=sample-app), api-usage=5001/5000", (5000, 0)),
        ("api-bursts=3/9; api-usage=1/2", (2, 1)),
        ("per-app-api-usage=17/250", None),
        ("api-usage=1/0", None),
        ("", None),
    ],
)
def test_the_days_quota_is_read_from_the_header(header, seen):
    told = Salesforce().headroom(Answer(200, {"sforce-limit-info": header}, b"", "GET", "/"), "acme")
    assert [(h.limit, h.remaining) for h in told] == ([seen] if seen else [])
    assert all(h.bucket == "salesforce:acme:day" and h.window_s == 86_400 for h in told)
    assert [c.bucket for c in Salesforce().costs("GET", "/", "acme")] == ["salesforce:acme:day"]


async def test_an_error_is_told_by_its_code_and_not_by_its_status():
    for message, low, high in (("TotalRequests Limit exceeded.", 600, 3600), ("ConcurrentPerOrgLongTxn Limit", 1, 60)):
        with pytest.raises(Throttled) as refused:
            await against(error(403, "REQUEST_LIMIT_EXCEEDED", message)).http.get("/limits")
        assert low <= refused.value.retry_after <= high
    with pytest.raises(ProviderFailure) as refused:
        await against(error(403, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY")).http.get("/limits")
    assert refused.value.details["provider_code"] == "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
    assert not refused.value.retryable
    with pytest.raises(TokenRefused):
        await against(error(403, "INVALID_SESSION_ID")).http.get("/limits")


async def test_fields_at_fault_and_the_record_in_the_way_are_in_the_details(world, call):
    with pytest.raises(ProviderFailure, match="Required fields are missing") as refused:
        await call.http.post("/sobjects/Contact", {"FirstName": "Ada"})
    assert refused.value.details["fields"] == ["LastName"]
    text = "duplicate value found: Key__c duplicates value on record with id: 003000000000001"
    with pytest.raises(ProviderFailure) as refused:
        await against(error(400, "DUPLICATE_VALUE", text)).http.get("/limits")
    assert refused.value.details["duplicates"] == [salesforce_id("003", 1)]
    world.double.configure(
        {"validation_rule": {"object": "Contact", "field": "LastName", "message": "Not on Mondays."}}
    )
    with pytest.raises(ProviderFailure, match="Not on Mondays") as refused:
        await call.http.post("/sobjects/Contact", {"LastName": "x"})
    assert refused.value.provider_code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"


async def test_an_address_that_is_too_long_is_an_error_of_its_own(call):
    for status in (414, 431):
        with pytest.raises(ProviderFailure) as refused:
            await against(lambda _, s=status: httpx.Response(s, html="<h1>too long</h1>")).http.get("/query")
        assert not refused.value.retryable
    with pytest.raises(ProviderFailure):
        await call.http.get("/query", {"q": "x" * 17_000})


# --- SOQL ------------------------------------------------------------------------------------------------------------


HOSTILE = [
    "O'Hara", "' OR Id != null OR LastName = '", "\\", "\\'", "\\\\' OR '1", "100%", "a_b", "\\%", 'say "hi"', "a\nb",
    "a\r\nb\tc", "Ünïcødé 漢 🙂", "x') FROM User --", "%", "_", "__%%\\_", "\u2028", "a\x07b\x00c",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
async def test_text_stays_text_in_a_query(world, call, text):
    world.seed(contacts=[{"LastName": text}, {"LastName": "Somebody else", "Email": "x@example.com"}])
    for test in (f"LastName = {quoted(text)}", f"LastName LIKE {quoted(text, like=True)}"):
        rows = await everything(call, select(["LastName"], "Contact", [test]))
        clean = all(letter >= " " or letter in "\n\r\t" for letter in text)
        assert [row["LastName"] for row in rows] == ([text] if clean else [])


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_finds_nobody(world, call, text):
    world.seed(contacts=[ADA])
    assert await Salesforce().find(call, Contact(id=7, email=text), None) == []
    assert (await run(call, "search_contacts", query=text)).items == []
    assert await Salesforce().by_id(call, text) is None


def test_every_query_that_is_built_is_read_by_the_grammar(world):
    for text in HOSTILE:
        statement = select(["Id"], "Contact", [f"Email = {quoted(text)}", f"LastName LIKE {quoted(text, like=True)}"])
        assert Parser(world.double, statement, deleted=False).statement().object == "Contact"


async def test_a_long_list_is_parted_and_a_long_statement_is_not_sent(world, call):
    ids = [salesforce_id("kA0", n) for n in range(1000)]
    statement = select(["Id"], "Knowledge__kav", ["KnowledgeArticleId IN ({})"])
    parts = list(parted(statement, ids))
    assert len(parts) > 1
    assert all(length(part) <= LONGEST for part in parts)
    assert [i for part in parts for i in ids if quoted(i) in part] == ids
    with pytest.raises(InvalidInput):
        await everything(call, select(["Id"], "Contact", [f"LastName = {quoted('ü' * 2000)}"]))
    assert world.requests() == []
    assert list(parted(statement, [])) == []


async def test_archived_articles_are_compared_in_parts(world, call):
    world.seed(articles=[{"id": n, "Title": f"T{n}", "Answer__c": "x"} for n in range(1, 501)])
    _, _, checkpoint = await walk(call, "articles")
    world.sandbox.clock.offset += 3600
    world.seed(articles=[{"id": n, "Title": f"T{n}", "Answer__c": "y"} for n in range(1, 501)])
    world.seed(articles=[{"id": 5, "_deleted": True}])
    world.sandbox.recorder.ring.clear()
    documents, deleted, _ = await walk(call, "articles", checkpoint)
    assert len(documents) == 499
    assert set(deleted) == {f"{salesforce_id('kA0', 5)}:en_US"}  # old versions are archived, too
    assert any("IN (" in q for q in asked(world))
    assert all(len(quote_plus(q)) <= LONGEST for q in asked(world))


async def test_pages_are_followed_on_the_same_host_only(world, call):
    world.double.configure({"page_size_max": 2})
    world.seed(contacts=[{"LastName": f"N{n}"} for n in range(5)])
    rows = await everything(call, select(["LastName"], "Contact", order="Id"))
    assert [row["LastName"] for row in rows] == [f"N{n}" for n in range(5)]
    for after in ("https://evil.example/services/data/v66.0/query/01g0000000000AAAAA-2000", "//evil.example/x",
                  "/services/data/v66.0/sobjects/User", "/services/data/v66.0/query/../x-1"):  # fmt: skip
        hosts = []

        def handler(request, after=after, hosts=hosts):
            hosts.append(request.url.host)
            return httpx.Response(200, json={"records": [], "done": False, "nextRecordsUrl": after})

        with pytest.raises(ProviderFailure, match="not its own"):
            await everything(against(handler), "SELECT Id FROM Contact")
        assert hosts == ["acme.my.salesforce.com"]
        with pytest.raises(ProviderFailure) as refused:
            await following(against(handler), after)
        assert refused.value.sent is False


async def test_pages_in_a_circle_are_an_error():
    def handler(request):
        number = "2000" if request.url.path.endswith("query") or request.url.path.endswith("4000") else "4000"
        after = f"/services/data/v66.0/query/01g000000000000AAA-{number}"
        return httpx.Response(200, json={"records": [], "done": False, "nextRecordsUrl": after})

    with pytest.raises(ProviderFailure, match="circle"):
        await everything(against(handler), "SELECT Id FROM Contact")
    for body in ({"records": [], "done": False}, {"totalSize": 0, "done": True}):
        with pytest.raises(ProviderFailure):
            await everything(against(answering(200, body)), "SELECT Id FROM Contact")


# --- contacts --------------------------------------------------------------------------------------------------------


def test_a_single_word_is_the_last_name():
    assert name_parts("Ada") == {"LastName": "Ada"}
    assert name_parts("Ada King Lovelace") == {"FirstName": "Ada King", "LastName": "Lovelace"}


async def test_a_name_of_one_word_is_written_once(world, call):
    ada = Contact(id=7, name="Ada", email="ada@example.com")
    record = await made(call, ada)
    assert stored(world, "Contact")[0]["LastName"] == "Ada"
    (found,) = await Salesforce().find(call, ada, record.id)
    assert Salesforce().current(found)["Name"] == "Ada"
    nameless = await made(call, Contact(id=8, email="x@example.com"))
    assert world.double.records["Contact"][nameless.id]["LastName"] == "x@example.com"


async def test_several_contacts_of_one_address_are_all_found(world, call):
    world.seed(contacts=[ADA, {**ADA, "Email": "ADA@example.com"}])
    assert len(await Salesforce().find(call, Contact(id=7, email="Ada@Example.com"), None)) == 2


async def test_numbers_in_any_form_are_candidates_and_only_equal_ones_are_kept(world, call):
    world.seed(contacts=[
        {"LastName": "A", "Phone": "+44 (20) 7946-0958"}, {"LastName": "B", "MobilePhone": "+442079460958"},
        {"LastName": "C", "Phone": "+12079460958"}, {"LastName": "D", "Phone": "79460958"},
    ])  # fmt: skip
    found = await Salesforce().find(call, Contact(id=7, phone_number="+442079460958"), None)
    assert sorted(r.name for r in found) == ["A", "B"]
    (body,) = sent(world, "POST", f"{DATA}/parameterizedSearch")
    assert body.keys() == {"q", "fields", "sobjects"}


async def test_a_field_that_the_user_may_not_see_hides_itself_only(world, call):
    world.seed(contacts=[ADA])
    world.double.configure({"hidden_fields": ["Contact.MailingCity"]})
    (found,) = await Salesforce().find(call, Contact(id=7, email=ADA["Email"]), None)
    assert found.email == ADA["Email"]
    _, skipped = await Salesforce().writable(call, {"MailingCity": "London"}, found)
    assert "may not see" in skipped["MailingCity"]


async def test_the_account_is_found_by_its_exact_name_or_left_out_or_created(world, call, contact):
    _, skipped = await Salesforce().writable(call, wanted(contact), None)
    assert "create_accounts" in skipped["Account.Name"]
    record = await made(call, contact, create_accounts=True)
    (account,) = stored(world, "Account")
    assert account["Name"] == "Analytical"
    assert world.double.records["Contact"][record.id]["AccountId"] == account["Id"]
    (found,) = await Salesforce().find(call, contact, record.id)
    assert Salesforce().same("Account.Name", "ANALYTICAL", Salesforce().current(found)["Account.Name"])
    _, skipped = await Salesforce().writable(call, {"Account.Name": "Other"}, found)
    assert "another account" in skipped["Account.Name"]
    world.seed(accounts=[{"Name": "Twin"}, {"Name": "Twin"}])
    _, skipped = await Salesforce().writable(call, {"Account.Name": "Twin"}, None)
    assert "several" in skipped["Account.Name"]
    assert [row["name"] for row in (await parts_of(call, found))["companies"]] == ["Analytical"]


async def test_what_is_not_written_is_named_with_its_reason(world, call):
    world.double.configure(
        {"custom_fields": {"Contact": "Tier__c:picklist(9) Age__c:int Vip__c:boolean Note__c:string(5)"}}
    )
    world.seed(contacts=[ADA])
    (found,) = await Salesforce().find(call, Contact(id=7, email=ADA["Email"]), None)
    fields = {
        "Name": f"Ada {'x' * 81}", "Email": "a@b.co", "Tier__c": "Gold", "Age__c": "x", "Vip__c": "TRUE",
        "Note__c": "123456", "Nope__c": "1", "CreatedDate": "2026-01-01",
    }  # fmt: skip
    kept, skipped = await Salesforce().writable(call, fields, found)
    assert kept == {"Email": "a@b.co", "Tier__c": "gold", "Vip__c": "TRUE"}
    assert skipped.keys() == {"Name", "Age__c", "Note__c", "Nope__c", "CreatedDate"}
    await Salesforce().update(call, found, kept | {"Age__c": "42"})
    row = world.double.records["Contact"][found.id]
    assert (row["Tier__c"], row["Vip__c"], row["Age__c"]) == ("gold", True, 42)


@pytest.mark.parametrize("codes", [False, True])
async def test_a_country_is_a_text_or_a_code(world, call, contact, codes):
    world.double.configure({"country_codes": codes})
    record = await made(call, contact)
    row = world.double.records["Contact"][record.id]
    assert (row["MailingCountry"], row.get("MailingCountryCode")) == ("United Kingdom", "GB" if codes else None)
    if codes:
        (found,) = await Salesforce().find(call, contact, record.id)
        assert await Salesforce().writable(call, {"MailingCountry": "gb"}, found) == ({}, {})
        _, skipped = await Salesforce().writable(call, {"MailingCountry": "Atlantis"}, found)
        assert skipped.keys() == {"MailingCountry"}


async def test_the_one_duplicate_is_updated_and_several_stop_it(world, call, contact):
    world.double.configure({"duplicate_rule": "block"})
    (there,) = world.seed(contacts=[{**ADA, "FirstName": "A."}])
    record = await made(call, contact)
    assert (record.id, record.name) == (there, "Ada Lovelace")
    assert len(stored(world, "Contact")) == 1
    world.seed(contacts=[ADA])
    with pytest.raises(AmbiguousMatch) as several:
        await made(call, contact)
    assert len(several.value.details["candidates"]) == 2
    assert "ada@example.com" not in json.dumps(several.value.payload())


async def test_a_duplicate_gets_the_external_id_that_its_upsert_could_not_bring(world, call, contact):
    world.double.configure({"custom_fields": {"Contact": "Supportly_Id__c:string(40)#"}, "duplicate_rule": "block"})
    (there,) = world.seed(contacts=[ADA])
    await made(call, contact, contact_id_field="Supportly_Id__c")
    assert world.double.records["Contact"][there]["Supportly_Id__c"] == "7"


async def test_a_duplicate_that_is_no_contact_is_the_errors_own(contact):
    rows = [{"matchRecords": [{"record": {"Id": "00Q000000000001AAA", "Email": "ada@example.com"}}]}]
    call = against(error(400, "DUPLICATES_DETECTED", duplicateResult={"allowSave": True, "matchResults": rows}))
    with pytest.raises(ProviderFailure) as refused:
        await Salesforce().create(call, contact, {"Email": "ada@example.com"})
    assert refused.value.provider_code == "DUPLICATES_DETECTED"
    assert "ada@example.com" not in json.dumps(refused.value.payload())


async def test_a_lead_among_the_duplicates_is_left_alone(world, call, contact):
    (there,) = world.seed(contacts=[ADA])
    records = [{"record": {"Id": i}} for i in ("00Q000000000001AAA", there)]
    result = {"allowSave": False, "matchResults": [{"matchRecords": records}]}
    body = [{"errorCode": "DUPLICATES_DETECTED", "message": "x", "duplicateResult": result}]
    world.fault(method="POST", path=".*/sobjects/Contact", status=400, body=body)
    assert (await made(call, contact)).id == there


@pytest.mark.parametrize("status", [200, 204])
async def test_with_an_external_id_field_a_contact_is_created_once(world, call, contact, status):
    world.double.configure({"custom_fields": {"Contact": "Supportly_Id__c:string(40)#"}, "upsert_status": status})
    settings = {"contact_id_field": "Supportly_Id__c"}
    first = await made(call, contact, **settings)
    again = await made(call, contact, **settings)
    assert first.id == again.id
    assert len(stored(world, "Contact")) == 1
    found = await Salesforce().find(with_settings(call, **settings), Contact(id=7), None)
    assert [r.id for r in found] == [first.id]
    world.seed(contacts=[{"LastName": "Twin", "Supportly_Id__c": "7"}])
    assert len(await Salesforce().find(with_settings(call, **settings), Contact(id=7), None)) == 2
    with pytest.raises(AmbiguousMatch):
        await made(call, contact, **settings)


async def test_an_upsert_names_its_field_in_the_address_alone(world, call, contact):
    """A mapping may write the same field; in the body Salesforce would refuse it."""
    world.double.configure({"custom_fields": {"Contact": "Supportly_Id__c:string(40)#"}})
    own = with_settings(call, contact_id_field="Supportly_Id__c", field_mapping={"Supportly_Id__c": "id"})
    record = await Salesforce().create(own, contact, {"Name": "Ada Lovelace", "Supportly_Id__c": "7"})
    assert world.double.records["Contact"][record.id]["Supportly_Id__c"] == "7"
    (upsert,) = [r.request.object for r in world.requests() if r.request.method == "PATCH"]
    assert upsert == {"FirstName": "Ada", "LastName": "Lovelace"}


async def test_an_external_id_field_that_is_not_there_is_named(call, contact):
    with pytest.raises(InvalidInput) as refused:
        await made(call, contact, contact_id_field="Nope__c")
    assert refused.value.details["field"] == "settings.contact_id_field"


async def test_a_person_is_written_through_its_account(world, contact):
    world.double.configure({"person_accounts": True})
    call = await world.call()
    world.seed(
        accounts=[{"id": 5, "Name": "Ada Lovelace", "PersonContactId": salesforce_id("003", 5)}],
        contacts=[{"id": 5, **ADA, "IsPersonAccount": True, "AccountId": salesforce_id("001", 5)}],
    )
    (found,) = await Salesforce().find(call, contact, None)
    await Salesforce().update(call, found, {"Email": "king@example.com", "Name": "Ada King"})
    row = world.double.records["Contact"][found.id]
    assert (row["Email"], row["Name"]) == ("king@example.com", "Ada King")
    assert sent(world, "PATCH", f"{DATA}/sobjects/Account/")[0].keys() == {"PersonEmail", "FirstName", "LastName"}
    assert sent(world, "PATCH", f"{DATA}/sobjects/Contact/") == []


async def test_a_mapping_cannot_bring_a_query_of_its_own(world, call):
    world.seed(contacts=[ADA])
    mapping = {"Id FROM User --": "name", "Title": "name", "Account.Name": "company"}
    found = await Salesforce().find(with_settings(call, field_mapping=mapping), Contact(id=7, email=ADA["Email"]), None)
    assert len(found) == 1
    assert not any("User" in q for q in asked(world))
    assert any("Title" in q for q in asked(world))


async def test_a_lookup_shows_deals_activities_and_the_company(world, call):
    world.seed(
        accounts=[{"id": 1, "Name": "Analytical"}],
        contacts=[{"id": 1, **ADA, "AccountId": salesforce_id("001", 1)}],
        opportunities=[{"id": 1, "Name": "Engine", "Amount": 10.0}, {"id": 2, "Name": "Not hers"}],
        contact_roles=[{"OpportunityId": salesforce_id("006", 1), "ContactId": salesforce_id("003", 1)}],
        tasks=[{"WhoId": salesforce_id("003", 1), "Subject": "Call back", "TaskSubtype": "Call"}],
        content_notes=[{"id": 1, "Title": "A note"}],
        content_links=[
            {"ContentDocumentId": salesforce_id("069", 1), "LinkedEntityId": salesforce_id("003", 1)},
        ],
    )
    (found,) = await Salesforce().find(call, Contact(id=7, email=ADA["Email"]), None)
    parts = await parts_of(call, found)
    assert [(d["title"], d["amount"], d["currency"]) for d in parts["deals"]] == [("Engine", 10.0, None)]
    assert sorted((a["type"], a["title"]) for a in parts["activities"]) == [("call", "Call back"), ("note", "A note")]
    assert parts["companies"][0]["url"] == f"{HOST}/{salesforce_id('001', 1)}"


# --- activities ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def ada(world, call, contact):
    world.seed(contacts=[{"id": 1, **ADA}], accounts=[{"id": 1, "Name": "Analytical"}])
    (found,) = await Salesforce().find(call, contact, None)
    return found


async def test_a_note_is_an_escaped_text_and_its_link_in_one_call(world, call, ada):
    ref = await Salesforce().log(call, ada, job(content="<b>x</b> & y\nsecond"))
    (note,) = stored(world, "ContentNote")
    assert base64.b64decode(note["Content"]).decode() == (
        "&lt;b&gt;x&lt;/b&gt; &amp; y<br>second<br><br>[supportly:op-1]"
    )
    (link,) = stored(world, "ContentDocumentLink")
    assert (link["ContentDocumentId"], link["LinkedEntityId"], link["ShareType"]) == (note["Id"], ada.id, "V")
    assert (ref.id, ref.url) == (note["Id"], f"{HOST}/{note['Id']}")
    assert len(sent(world, "POST", f"{DATA}/composite")) == 1


@pytest.mark.parametrize(
    ("org", "settings", "kind"),
    [
        ({}, {}, "ContentNote"),
        ({"content_notes": False}, {}, "Note"),
        ({"content_notes": False, "classic_notes": False}, {}, "Task"),
        ({}, {"note_as": "note"}, "Note"),
        ({}, {"note_as": "task"}, "Task"),
    ],
)
async def test_a_note_becomes_what_the_org_has(world, call, ada, org, settings, kind):
    world.double.configure(org)
    call = with_settings(call, **settings)
    assert await Salesforce().find_logged(call, ada, job()) is None
    ref = await Salesforce().log(call, ada, job())
    assert ref.id in world.double.records[kind]
    assert (await Salesforce().find_logged(call, ada, job())).id == ref.id
    other = Call(call.http, call.settings, "op-2")
    assert await Salesforce().find_logged(other, ada, job()) is None
    if kind == "Task":
        assert world.double.records[kind][ref.id]["Status"] == "Completed"
    shown = (await parts_of(call, ada))["activities"]
    assert (kind == "Note") == (shown == [])


async def test_half_a_note_is_none(world, call, ada):
    gone = ada.model_copy(update={"id": salesforce_id("003", 99)})
    with pytest.raises(ProviderFailure) as refused:
        await Salesforce().log(call, gone, job())
    assert refused.value.provider_code == "INVALID_CROSS_REFERENCE_KEY"
    assert stored(world, "ContentNote") == []


@pytest.mark.parametrize("fields", [True, False])
async def test_a_call_carries_its_mark_where_the_org_has_a_field_for_it(world, call, ada, fields):
    world.double.configure({"call_fields": fields})
    ref = await Salesforce().log(call, ada, job("call", target=salesforce_id("001", 1)))
    row = world.double.records["Task"][ref.id]
    assert (row["TaskSubtype"], row["Status"], row["WhatId"]) == ("Call", "Completed", salesforce_id("001", 1))
    assert ("supportly:op-1" in row["Description"]) is not fields
    assert row.get("CallObject") == ("supportly:op-1" if fields else None)
    assert (await Salesforce().find_logged(call, ada, job("call"))).id == ref.id


async def test_a_task_is_open_and_belongs_to_its_owner(world, call, ada):
    world.seed(users=[{"id": 2, "Username": "agent@acme.example"}])
    call = with_settings(call, owner_id=salesforce_id("005", 2))
    row = world.double.records["Task"][(await Salesforce().log(call, ada, job("task"))).id]
    assert (row["Status"], row["OwnerId"], row["Subject"]) == ("Not Started", salesforce_id("005", 2), "First line")


async def test_statuses_of_the_orgs_own(world, call, ada):
    world.double.configure({"task_statuses": ["Not Started", "Erledigt"]})
    first = await Salesforce().log(call, ada, job("call"))
    assert world.double.records["Task"][first.id]["Status"] == "Not Started"
    second = await Salesforce().log(with_settings(call, completed_status="erledigt"), ada, job("call"))
    assert world.double.records["Task"][second.id]["Status"] == "Erledigt"


@pytest.mark.parametrize("kind", ["note", "call", "task"])
async def test_with_a_key_field_an_activity_is_written_once(world, call, ada, kind):
    world.double.configure({"custom_fields": {"Task": "Key__c:string(80)#"}})
    call = with_settings(call, activity_key_field="Key__c")
    assert await Salesforce().find_logged(call, ada, job(kind)) is None
    first, second = [await Salesforce().log(call, ada, job(kind)) for _ in range(2)]
    assert first.id == second.id == (await Salesforce().find_logged(call, ada, job(kind))).id
    assert [row["Key__c"] for row in stored(world, "Task")] == ["supportly:op-1"]


async def test_a_target_that_is_no_id_is_refused_before_anything_is_sent(world, call, ada):
    world.sandbox.recorder.ring.clear()
    for target in ("9/../8", "001", f"{salesforce_id('001', 1)}\n"):
        with pytest.raises(InvalidInput):
            await Salesforce().log(call, ada, job("task", target=target))
    with pytest.raises(InvalidInput):
        await Salesforce().log(with_settings(call, note_as="task"), ada, job(content="x" * 32_001))
    with pytest.raises(UnsupportedByProvider):
        await Salesforce().log(with_settings(call, note_as="note"), ada, job(target=salesforce_id("001", 1)))
    assert sent(world, "POST", None) == []


# --- actions ---------------------------------------------------------------------------------------------------------


async def test_deals_of_a_contact_an_account_or_still_open(world, call):
    world.seed(
        accounts=[{"id": 1, "Name": "Analytical"}],
        contacts=[{"id": 1, **ADA, "AccountId": salesforce_id("001", 1)}],
        opportunities=[
            {"id": 1, "Name": "Hers"},
            {"id": 2, "Name": "Theirs", "AccountId": salesforce_id("001", 1), "StageName": "Closed Won"},
        ],
        contact_roles=[{"OpportunityId": salesforce_id("006", 1), "ContactId": salesforce_id("003", 1)}],
    )
    world.sandbox.clock.offset += 60

    async def titles(**params):
        return [item["title"] for item in (await run(call, "get_deals", **params)).items]

    assert await titles(record_id=salesforce_id("003", 1)) == ["Hers"]
    assert await titles(account_id=salesforce_id("001", 1)) == ["Theirs"]
    assert await titles(open_only=True) == ["Hers"]
    assert await titles(
        record_id=salesforce_id("003", 1), limit=1, cursor=f"{moment(world.now)}~{salesforce_id('006', 9)}"
    ) == ["Hers"]
    (company,) = (await run(call, "get_companies", record_id=salesforce_id("003", 1))).items
    assert (company["type"], company["name"]) == ("company", "Analytical")


async def test_a_deals_currency_is_told_where_there_are_several(world):
    world.double.configure({"multi_currency": True})
    world.seed(opportunities=[{"Name": "Deal", "Amount": 5.0, "CurrencyIsoCode": "NOK"}])
    call = await world.call()
    (deal,) = (await run(call, "get_deals")).items
    assert (deal["amount"], deal["currency"]) == (5.0, "NOK")


async def test_actions_walk_rows_of_one_time_and_narrow_pages(world, call):
    world.double.configure({"page_size_max": 2})
    world.seed(accounts=[{"Name": f"A{n}"} for n in range(7)])
    seen, cursor = [], None
    while True:
        page = await run(call, "get_companies", limit=3, cursor=cursor)
        seen += [item["name"] for item in page.items]
        if not (cursor := page.next_cursor):
            break
    assert sorted(seen) == [f"A{n}" for n in range(7)]
    for wrong in ("x", "2026-01-01T00:00:00+00:00~' OR Id != '", "nonsense-time-here-00~001000000000001AAA"):
        with pytest.raises(InvalidInput) as refused:
            await run(call, "get_companies", cursor=wrong)
        assert refused.value.details["field"] == "params.cursor"


async def test_a_wildcard_in_a_search_is_a_letter(world, call):
    world.seed(contacts=[{"LastName": "100%"}, {"LastName": "1000"}], accounts=[{"Name": "a_b"}, {"Name": "axb"}])
    assert [i["name"] for i in (await run(call, "search_contacts", query="100%")).items] == ["100%"]
    assert [i["name"] for i in (await run(call, "get_companies", name="a_b")).items] == ["a_b"]


# --- knowledge: articles ---------------------------------------------------------------------------------------------


def article(number, **more):
    return {"id": number, "Title": f"Title {number}", "Answer__c": f"<p>Text {number}</p>", **more}


@pytest.mark.parametrize("status", ["missing", "describe"])
async def test_an_org_without_knowledge_says_so(world, call, status):
    world.double.configure({"knowledge": "missing"})
    if status == "describe":  # the description is there, the query is refused
        fields = [{"name": n, "type": "string"} for n in ("Title", "IsVisibleInPkb", "Answer__c")]
        fields.append({"name": "Language", "picklistValues": [{"value": "en_US", "active": True}]})
        world.fault(path=".*/describe", status=200, body={"fields": fields})
    with pytest.raises(NotFound, match="has no Knowledge"):
        await Salesforce().read_stream(call, "articles", None, None)
    assert await Salesforce().is_gone(call, "articles", f"{salesforce_id('kA0', 1)}:en_US") is None


async def test_articles_that_the_user_may_not_read_are_not_reported_as_deleted(world, call):
    world.seed(articles=[article(1)])
    _, _, checkpoint = await walk(call, "articles")
    world.double.configure({"knowledge": "unreadable"})
    documents, deleted, _ = await walk(call, "articles", checkpoint)
    assert (documents, deleted) == ({}, [])


async def test_a_query_that_timed_out_is_never_an_empty_page(world, call):
    body = [{"errorCode": "QUERY_TIMEOUT", "message": "Your query request was running for too long."}]
    world.fault(path=".*/query", status=400, body=body)
    with pytest.raises(ProviderFailure) as failed:
        await Salesforce().read_stream(call, "products", None, None)
    assert failed.value.retryable


async def test_articles_come_per_language_under_the_key_that_stays(world, call):
    world.double.configure({"article_languages": ["en_US", "de"]})
    world.seed(articles=[article(1), article(1, Language="de", Title="Titel"), article(2)])
    documents, deleted, _ = await walk(
        with_settings(call, article_site="https://help.acme.example/s/article/"), "articles"
    )
    one = salesforce_id("kA0", 1)
    assert {key: d.title for key, d in documents.items()} == {
        f"{one}:en_US": "Title 1", f"{one}:de": "Titel", f"{salesforce_id('kA0', 2)}:en_US": "Title 2",
    }  # fmt: skip
    first = documents[f"{one}:en_US"]
    assert (first.locale, first.audience, first.metadata, deleted) == ("en-US", "public", {"format": "html"}, [])
    assert first.url.startswith("https://help.acme.example/s/article/article-")
    assert all("PublishStatus = 'Online' AND Language = '" in q for q in asked(world))
    world.seed(articles=[article(1, Title="Edited")])
    again, _, _ = await walk(with_settings(call, article_languages=["en_US", "fr"]), "articles")
    assert {d.title for d in again.values()} == {"Edited", "Title 2"}
    with pytest.raises(NotFound, match="languages"):
        await walk(with_settings(call, article_languages=["fr"]), "articles")


@pytest.mark.parametrize(
    ("audience", "shown"),
    [
        ("public", {1: "public"}),
        ("customers", {1: "public", 2: "internal"}),
        ("all", {1: "public", 2: "internal", 3: "internal"}),
    ],
)
async def test_who_may_read_an_article_decides(world, call, audience, shown):
    hidden = {"IsVisibleInPkb": False}
    world.seed(articles=[article(1), article(2, **hidden, IsVisibleInCsp=True), article(3, **hidden)])
    call = with_settings(call, article_audience=audience)
    documents, deleted, _ = await walk(call, "articles")
    keys = {n: f"{salesforce_id('kA0', n)}:en_US" for n in (1, 2, 3)}
    assert {key: d.audience for key, d in documents.items()} == {keys[n]: who for n, who in shown.items()}
    assert deleted == [keys[n] for n in (1, 2, 3) if n not in shown]
    for n in (1, 2, 3):
        assert await Salesforce().is_gone(call, "articles", keys[n]) is (n not in shown)


async def test_an_org_that_does_not_say_who_may_read_is_for_internal_use_only(world, call):
    world.double.configure({"article_channels": False})
    world.seed(articles=[article(1)])
    with pytest.raises(NotFound, match="article_audience"):
        await Salesforce().read_stream(call, "articles", None, None)
    documents, _, _ = await walk(with_settings(call, article_audience="all"), "articles")
    assert [d.audience for d in documents.values()] == ["internal"]


async def test_the_text_is_in_the_orgs_own_fields(world, call):
    world.double.configure({"article_fields": "Answer__c:textarea(32000) Inside__c:textarea(32000)"})
    world.seed(articles=[article(1, Summary="1 < 2", Inside__c="<p>For agents</p>")])
    (document,) = (await walk(call, "articles"))[0].values()
    assert document.body == "<p>1 &lt; 2</p>\n<p>Text 1</p>\n<p>For agents</p>"
    (document,) = (await walk(with_settings(call, article_fields=["Answer__c", "Nope; --"]), "articles"))[0].values()
    assert "agents" not in document.body


async def test_a_renamed_knowledge_object(world, call):
    world.double.configure({"knowledge_object": "Help__kav"})
    world.seed(articles=[article(1)])
    with pytest.raises(NotFound):
        await walk(call, "articles")
    documents, _, _ = await walk(with_settings(call, knowledge_object="Help__kav"), "articles")
    assert len(documents) == 1


async def test_an_archived_article_has_left(world, call):
    world.seed(articles=[article(1), article(2)])
    _, _, checkpoint = await walk(call, "articles")
    world.sandbox.clock.offset += 3600
    world.seed(articles=[article(1, Title="Edited"), {"id": 2, "_deleted": True}])
    documents, deleted, _ = await walk(call, "articles", checkpoint)
    assert [d.title for d in documents.values()] == ["Edited"]
    assert deleted == [f"{salesforce_id('kA0', 2)}:en_US"]


async def test_views_are_not_counted(world, call):
    world.seed(articles=[article(1)])
    await walk(call, "articles")
    assert not [r for r in world.requests() if "/support/" in r.request.path]


# --- knowledge: products ---------------------------------------------------------------------------------------------


async def test_only_articles_are_on_by_default():
    assert Salesforce().chosen(Salesforce.settings()) == ["articles"]


async def test_inactive_products_have_left(world, call):
    world.seed(products=[
        {"id": 1, "Name": "Starter", "ProductCode": "S-1", "Description": "One inbox."},
        {"id": 2, "Name": "Old", "IsActive": False},
    ])  # fmt: skip
    documents, deleted, _ = await walk(call, "products")
    (document,) = documents.values()
    assert document.body == "One inbox.\n\n- Code: S-1"
    assert deleted == [salesforce_id("01t", 2)]
    gone = [await Salesforce().is_gone(call, "products", key) for key in (salesforce_id("01t", 2), "nope")]
    assert gone == [True, True]
    assert await Salesforce().is_gone(call, "products", salesforce_id("01t", 1)) is False


async def test_only_closed_cases_are_read_and_for_internal_use(world, call):
    world.seed(cases=[
        {"id": 1, "Subject": "Solved", "Description": "Like this.", "Status": "Closed"},
        {"id": 2, "Subject": "Open", "Description": "How?"},
        {"id": 3, "Description": "No subject.", "Status": "Closed"},
    ])  # fmt: skip
    documents, deleted, _ = await walk(call, "cases")
    assert [(d.title, d.audience) for d in documents.values()] == [
        ("Solved", "internal"),
        ("Case 00000003", "internal"),
    ]
    assert deleted == [salesforce_id("500", 2)]
    assert await Salesforce().is_gone(call, "cases", salesforce_id("500", 2)) is True


async def test_rows_of_one_time_survive_a_result_that_expired(world, call):
    world.double.configure({"page_size_max": 3})
    world.seed(products=[{"id": n, "Name": f"P{n}"} for n in range(1, 11)])  # all of one second
    seen, cursor = [], None
    for _ in range(20):
        page = await Salesforce().read_stream(call, "products", cursor, None)
        seen += [d.title for d in page.documents]
        world.sandbox.clock.offset += 1000  # longer than Salesforce keeps a result here
        if not (cursor := page.next):
            break
    assert seen == [f"P{n}" for n in range(1, 11)]


@pytest.mark.parametrize(
    ("days", "double", "path"),
    [
        (1, {}, "deleted"),
        (20, {}, "queryAll"),
        (1, {"deleted_most": 0}, "queryAll"),
    ],
)
async def test_deleted_products_are_told_by_deleted_or_by_the_recycle_bin(world, call, days, double, path):
    world.double.configure({"access_token_ttl": 10**8, "page_size_max": 2, **double})
    call = await world.call()
    world.seed(products=[{"id": n, "Name": f"P{n}"} for n in range(1, 8)])
    world.sandbox.clock.offset += 3600
    _, _, checkpoint = await walk(call, "products")
    world.sandbox.clock.offset += days * 86_400 - 3600
    world.seed(products=[{"id": n, "_deleted": True} for n in (2, 3, 4, 5, 6)])
    world.sandbox.clock.offset += 3600
    documents, deleted, after = await walk(call, "products", checkpoint)
    assert documents == {}
    assert deleted == [salesforce_id("01t", n) for n in (2, 3, 4, 5, 6)]
    assert [r for r in world.requests() if path in r.request.path]
    assert days < 15 or not [r for r in world.requests() if "deleted" in r.request.path]  # it would be refused
    world.sandbox.clock.offset += 3600
    _, deleted, _ = await walk(call, "products", after)
    assert deleted == []


async def test_the_next_walk_asks_for_deletions_from_where_they_were_covered(world, call):
    world.seed(products=[{"id": 1, "Name": "P"}])
    _, _, checkpoint = await walk(call, "products")
    world.sandbox.clock.offset += 7200
    covered = iso(world.sandbox.clock.now() - 1800, "seconds")
    body = {"deletedRecords": [], "earliestDateAvailable": covered, "latestDateCovered": covered}
    world.fault(path=".*/deleted/?", status=200, body=body)
    _, _, checkpoint = await walk(call, "products", checkpoint)
    assert json.loads(checkpoint)["deleted"] == covered.replace("Z", "+00:00")
    await walk(call, "products", checkpoint)
    query = dict(world.requests(f"{DATA}/sobjects/Product2/deleted")[-1].shown()["query"])
    assert query["start"] == covered.replace("Z", "+00:00")


async def test_an_unreadable_checkpoint_is_an_error(call):
    for since in ("x", "{}", '{"at": "x", "deleted": "y"}'):
        with pytest.raises(ProviderFailure, match="checkpoint"):
            await Salesforce().read_stream(call, "products", None, since)


async def test_an_incremental_walk_looks_back_for_calls_that_were_still_running(world, call):
    world.seed(products=[{"id": 1, "Name": "Slow"}])
    since = world.now + timedelta(minutes=9)
    checkpoint = json.dumps({"at": since.isoformat(), "deleted": since.isoformat()})
    world.sandbox.clock.offset += 3600
    documents, _, _ = await walk(call, "products", checkpoint)
    assert len(documents) == 1
