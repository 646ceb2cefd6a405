"""The Salesforce double by itself: its OAuth server, its query language, its errors."""

import base64
import hashlib
from datetime import UTC, datetime

import httpx
import pytest

from sandbox.salesforce import eighteen, salesforce_id

LOGIN, HOST = "https://login.salesforce.com", "https://acme.my.salesforce.com"
DATA = f"{HOST}/services/data/v66.0"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "https://app.example/callback"


class Org:
    """A client that went through OAuth."""

    def __init__(self, world):
        self.world, self.double, self.token = world, world.app.doubles["salesforce"], ""

    async def code(self, scope="api refresh_token openid", **more):
        query = {"response_type": "code", "client_id": "app", "redirect_uri": BACK, "scope": scope, "state": "s",
                 "code_challenge": CHALLENGE, "code_challenge_method": "S256", **more}  # fmt: skip
        query = {name: value for name, value in query.items() if value}
        return await self.world.http.get(f"{LOGIN}/services/oauth2/authorize", params=query)

    async def ask(self, **form):
        known = {"client_id": "app", "client_secret": "sandbox-salesforce-secret"}
        return await self.world.http.post(f"{LOGIN}/services/oauth2/token", data=known | form)

    async def connect(self, **more):
        back = httpx.URL((await self.code(**more)).headers["location"])
        form = {"grant_type": "authorization_code", "code": back.params["code"], "redirect_uri": BACK}
        answer = await self.ask(**form, code_verifier=VERIFIER)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]
        return answer.json()

    async def call(self, method, path, **more):
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        url = path if path.startswith("https:") else f"{DATA}{path}"
        return await self.world.http.request(method, url, headers=headers, **more)

    async def soql(self, statement, status=200):
        answer = await self.call("GET", "/query", params={"q": statement})
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def org(world):
    org = Org(world)
    await org.connect()
    return org


def code_of(answer):
    return answer.json()[0]["errorCode"]


# --- OAuth -----------------------------------------------------------------------------------------------------------


async def test_a_token_answer_names_the_host_and_no_life(org):
    told = await org.connect()
    assert told["instance_url"] == HOST
    assert "expires_in" not in told
    assert told["id"].startswith("https://login.salesforce.com/id/00D")
    assert told["issued_at"].isdigit()
    bare = await org.connect(scope="api openid")
    assert "refresh_token" not in bare
    assert (await org.call("GET", "https://login.salesforce.com/services/data/v66.0/limits")).status_code == 401
    assert (await org.call("GET", "https://other.my.salesforce.com/services/data/v66.0/limits")).status_code == 401


async def test_rotation_is_a_setting_and_reuse_ends_the_grant(org):
    told = await org.connect()
    for _ in range(3):
        again = await org.ask(grant_type="refresh_token", refresh_token=told["refresh_token"])
        assert again.status_code == 200
        assert "refresh_token" not in again.json()
    org.double.configure({"rotation": "rotate_with_reuse_detection"})
    fresh = (await org.ask(grant_type="refresh_token", refresh_token=told["refresh_token"])).json()
    assert fresh["refresh_token"] != told["refresh_token"]
    reused = await org.ask(grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    assert reused.json()["error_description"] == "expired access/refresh token"
    org.token = fresh["access_token"]
    assert (await org.call("GET", "/limits")).status_code == 401
    assert (await org.ask(grant_type="refresh_token", refresh_token=fresh["refresh_token"])).status_code == 400


async def test_token_errors(org):
    told = await org.connect()
    scoped = await org.ask(grant_type="refresh_token", refresh_token=told["refresh_token"], scope="api")
    assert scoped.json()["error"] == "invalid_request"
    assert (await org.ask(grant_type="refresh_token", client_secret="x")).json()["error"] == "invalid_client"
    assert (await org.ask(grant_type="password")).json()["error"] == "unsupported_grant_type"
    org.double.configure({"require_pkce": True})
    assert (await org.code(code_challenge="", code_challenge_method="")).status_code == 400


async def test_the_sixth_grant_of_a_user_ends_the_first(org):
    first, token = org.token, None
    for _ in range(5):
        token = (await org.connect())["access_token"]
    assert token == org.token
    assert (await org.call("GET", "/limits")).status_code == 200
    org.token = first
    assert (await org.call("GET", "/limits")).status_code == 401


async def test_introspection_and_revocation(org):
    told = await org.connect()
    form = {"client_id": "app", "client_secret": "sandbox-salesforce-secret"}
    url = f"{HOST}/services/oauth2"
    seen = await org.world.http.post(f"{url}/introspect", data={**form, "token": told["access_token"]})
    assert seen.json()["active"] is True
    assert seen.json()["exp"] > 0
    assert (await org.world.http.post(f"{url}/introspect", data={"token": told["access_token"]})).status_code == 400
    assert (await org.world.http.post(f"{url}/revoke", data={"token": told["refresh_token"]})).status_code == 200
    seen = await org.world.http.post(f"{url}/introspect", data={**form, "token": told["access_token"]})
    assert seen.json() == {"active": False}


async def test_the_user_is_told_and_a_bad_token_is_refused_in_its_own_way(org):
    who = (await org.call("GET", f"{HOST}/services/oauth2/userinfo")).json()
    assert (len(who["organization_id"]), len(who["user_id"])) == (18, 18)
    org.token = "nonsense"
    refused = await org.call("GET", f"{HOST}/services/oauth2/userinfo")
    assert (refused.status_code, refused.text) == (403, "Bad_OAuth_Token")
    assert code_of(await org.call("GET", "/limits")) == "INVALID_SESSION_ID"


def test_ids_carry_their_case():
    assert eighteen("001A0000006Vm9r") == "001A0000006Vm9rIAC"
    assert salesforce_id("003", 1) == "003000000000001AAA"


# --- SOQL ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def people(org):
    org.double.seed({
        "accounts": [{"id": 1, "Name": "Analytical"}, {"id": 2, "Name": "Babbage & Sons"}],
        "contacts": [
            {"id": 1, "FirstName": "Ada", "LastName": "O'Hara", "Email": "Ada@Example.com",
             "AccountId": salesforce_id("001", 1)},
            {"id": 2, "LastName": "100%_sure\\", "Email": "b@example.com", "Phone": "(207) 183-8750"},
            {"id": 3, "LastName": "Line\nbreak", "Title": 'say "hi"'},
            {"id": 4, "LastName": "Ünïcødé 漢", "AccountId": salesforce_id("001", 2)},
        ],
        "opportunities": [{"id": 1, "Name": "Deal", "Amount": 10.5}, {"id": 2, "Name": "Other"}],
        "contact_roles": [{"OpportunityId": salesforce_id("006", 1), "ContactId": salesforce_id("003", 1)}],
    })  # fmt: skip
    return org


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        (r"LastName = 'o\'hara'", [1]),
        ("Email = 'ada@example.COM'", [1]),
        (r"LastName = '100%_sure\\'", [2]),
        (r"LastName LIKE '100\%\_sure\\'", [2]),
        (r"LastName LIKE '100\_%'", []),
        (r"LastName LIKE '1__\%%'", [2]),
        (r"LastName LIKE 'line\nbreak'", [3]),
        (r"LastName LIKE '%BREAK'", [3]),
        (r"Title = 'say \"hi\"'", [3]),
        ("LastName LIKE 'ÜNÏ%漢'", [4]),
        ("Account.Name = 'Analytical'", [1]),
        ("Account.Name != null AND (NOT Account.Name LIKE 'ana%')", [4]),
        ("AccountId = null", [2, 3]),
        ("Email != 'b@example.com'", [1, 3, 4]),
        ("Id IN ('003000000000001AAA', '003000000000004')", [1, 4]),
        ("Id NOT IN ('003000000000001AAA')", [2, 3, 4]),
        ("Id > '003000000000002AAA'", [3, 4]),
        ("Id IN (SELECT ContactId FROM OpportunityContactRole WHERE Opportunity.Name = 'deal')", [1]),
        ("(FirstName = 'Ada' OR FirstName = null) AND Email = null", [3, 4]),
        ("CreatedDate >= 2020-01-01T00:00:00Z AND CreatedDate < 2090-01-01T00:00:00+02:00", [1, 2, 3, 4]),
        ("IsDeleted = false", [1, 2, 3, 4]),
    ],
)
async def test_a_condition_is_understood(people, where, numbers):
    rows = (await people.soql(f"SELECT Id FROM Contact WHERE {where} ORDER BY Id"))["records"]
    assert [row["Id"] for row in rows] == [salesforce_id("003", n) for n in numbers]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT Id FROM Contact WHERE LastName = 'O'Hara'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 'x", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE LastName = 'a\nb'", "MALFORMED_QUERY"),
        (r"SELECT Id FROM Contact WHERE LastName = 'a\qb'", "MALFORMED_QUERY"),
        (r"SELECT Id FROM Contact WHERE LastName = 'a\%b'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Id = null AND Email = 'x' OR Phone = 'y'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact LIMIT x", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact; SELECT Id FROM User", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Id IN (SELECT Id FROM Contact) OR Email = 'x'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Email = 'x' AND (Id IN (SELECT Id FROM Contact))", "MALFORMED_QUERY"),
        ("SELECT Id FROM ContentDocumentLink", "MALFORMED_QUERY"),
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Account.Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Description LIKE '%x%'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE CreatedDate > '2026-01-01'", "INVALID_FIELD"),
        ("SELECT CurrencyIsoCode FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Id = 'nope'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
async def test_what_salesforce_refuses_is_refused(people, statement, code):
    answer = await people.soql(statement, 400)
    assert answer[0]["errorCode"] == code


async def test_rows_carry_their_parents_and_come_in_pages(people):
    people.double.configure({"page_size_max": 3})
    body = await people.soql("SELECT Id, Account.Name FROM Contact ORDER BY Account.Name DESC NULLS LAST, Id")
    assert (body["totalSize"], body["done"], len(body["records"])) == (4, False, 3)
    assert body["records"][0]["Account"]["Name"] == "Babbage & Sons"
    assert body["records"][2]["Account"] is None
    assert body["nextRecordsUrl"].startswith("/services/data/v66.0/query/01g")
    rest = (await people.call("GET", HOST + body["nextRecordsUrl"])).json()
    assert (rest["done"], len(rest["records"]), "nextRecordsUrl" in rest) == (True, 1, False)
    body = await people.soql("SELECT Id FROM Contact")
    people.world.app.clock.offset += 1000
    expired = await people.call("GET", HOST + body["nextRecordsUrl"])
    assert code_of(expired) == "INVALID_QUERY_LOCATOR"
    assert (await people.soql("SELECT COUNT() FROM Contact"))["totalSize"] == 4


async def test_what_was_deleted_is_in_query_all_and_in_deleted(people):
    clock = people.world.app.clock
    gone = salesforce_id("003", 2)
    assert (await people.call("DELETE", f"/sobjects/Contact/{gone}")).status_code == 204
    assert code_of(await people.call("GET", f"/sobjects/Contact/{gone}")) == "ENTITY_IS_DELETED"
    every = await people.call("GET", "/queryAll", params={"q": "SELECT Id FROM Contact WHERE IsDeleted = true"})
    assert [row["Id"] for row in every.json()["records"]] == [gone]
    clock.offset += 3600

    async def deleted(start, end):
        times = {"start": moment(clock.now() + start), "end": moment(clock.now() + end) if end is not None else "x"}
        return await people.call("GET", "/sobjects/Contact/deleted/", params=times)

    found = (await deleted(-7200, 0)).json()
    assert [row["id"] for row in found["deletedRecords"]] == [gone]
    assert found.keys() == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}
    for start, end in ((0, 0), (-16 * 86_400, 0), (0, None)):
        assert code_of(await deleted(start, end)) == "INVALID_REPLICATION_DATE"
    people.double.configure({"deleted_most": 0})
    assert code_of(await deleted(-7200, 0)) == "EXCEEDED_ID_LIMIT"


def moment(epoch):
    return datetime.fromtimestamp(int(epoch), UTC).isoformat()


async def test_the_search_index_lags_and_knows_numbers_in_any_form(people):
    async def found(q):
        wanted = {"q": q, "fields": ["Id", "Phone"], "sobjects": [{"name": "Contact"}]}
        return (await people.call("POST", "/parameterizedSearch", json=wanted)).json()["searchRecords"]

    assert [row["Phone"] for row in await found("2071838750")] == ["(207) 183-8750"]
    assert [row["Phone"] for row in await found("183-8750")] == ["(207) 183-8750"]
    people.double.configure({"search_lag_seconds": 60})
    people.double.seed({"contacts": [{"LastName": "Late", "Phone": "2071838750"}]})
    assert len(await found("2071838750")) == 0  # nothing is older than a minute
    odd = await people.call("POST", "/parameterizedSearch", json={"q": "late", "nope": 1})
    assert code_of(odd) == "JSON_PARSER_ERROR"


# --- writes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"FirstName": "Ada"}, "REQUIRED_FIELD_MISSING"),
        ({"LastName": "x", "Nope": "y"}, "INVALID_FIELD"),
        ({"LastName": "x", "Name": "y"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"LastName": "x", "FirstName": "y" * 41}, "STRING_TOO_LONG"),
        ({"LastName": "x", "Email": "nope"}, "INVALID_EMAIL_ADDRESS"),
        ({"LastName": 5}, "JSON_PARSER_ERROR"),
        ({"LastName": "x", "AccountId": "001000000000009AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"LastName": "x", "Title": "boss"}, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    ],
)
async def test_a_write_is_checked(org, body, code):
    org.double.configure({"validation_rule": {"object": "Contact", "field": "Title", "message": "No titles."}})
    assert code_of(await org.call("POST", "/sobjects/Contact", json=body)) == code
    assert org.double.records["Contact"] == {}


async def test_other_refusals(org):
    assert code_of(await org.call("POST", "/sobjects/Contact", data={"LastName": "x"})) == "UNSUPPORTED_MEDIA_TYPE"
    assert code_of(await org.call("PUT", "/sobjects/Contact/003000000000001AAA", json={})) == "METHOD_NOT_ALLOWED"
    assert code_of(await org.call("GET", "/sobjects/Nope/describe")) == "NOT_FOUND"
    assert (await org.call("GET", f"{HOST}/services/data/v30.0/limits")).status_code == 410
    assert (await org.call("GET", f"{HOST}/services/data/v69.0/limits")).status_code == 404
    assert (await org.call("GET", f"{HOST}/services/data/v41.0/limits")).status_code == 200
    long = await org.call("GET", "/query", params={"q": "x" * 17_000})
    assert (long.status_code, long.headers["content-type"]) == (414, "text/html")
    org.double.configure({"api_enabled": False})
    assert code_of(await org.call("GET", "/limits")) == "API_DISABLED_FOR_ORG"


async def test_an_upsert_creates_updates_and_stops_at_several(org):
    org.double.configure({"custom_fields": {"Contact": "Key__c:string(40)#"}})
    path = "/sobjects/Contact/Key__c/a%40b.inc"
    made = await org.call("PATCH", path, json={"LastName": "x"})
    assert (made.status_code, made.json()["created"]) == (201, True)
    again = await org.call("PATCH", path, json={"LastName": "y"})
    assert (again.status_code, again.json()["id"], again.json()["created"]) == (200, made.json()["id"], False)
    assert (await org.call("GET", path)).json()["LastName"] == "y"
    assert code_of(await org.call("PATCH", path, json={"Key__c": "z"})) == "INVALID_FIELD"
    assert (await org.call("PATCH", "/sobjects/Contact/Key__c/n?updateOnly=true", json={})).status_code == 404
    taken = await org.call("POST", "/sobjects/Contact", json={"LastName": "z", "Key__c": "a@b.inc"})
    assert code_of(taken) == "DUPLICATE_VALUE"
    assert made.json()["id"][:15] in taken.json()[0]["message"]
    org.double.configure({"upsert_status": 204})
    assert (await org.call("PATCH", path, json={"LastName": "z"})).content == b""
    org.double.seed({"contacts": [{"LastName": "twin", "Key__c": "a@b.inc"}]})
    several = await org.call("PATCH", path, json={"LastName": "never"})
    assert (several.status_code, len(several.json())) == (300, 2)


async def test_a_duplicate_rule_warns_or_blocks(org):
    body, header = {"LastName": "x", "Email": "a@b.co"}, {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    await org.call("POST", "/sobjects/Contact", json=body)
    for rule, saved in (("alert", 201), ("block", 400)):
        org.double.configure({"duplicate_rule": rule})
        refused = await org.call("POST", "/sobjects/Contact", json=body)
        assert code_of(refused) == "DUPLICATES_DETECTED"
        assert refused.json()[0]["duplicateResult"]["allowSave"] is (rule == "alert")
        assert (await org.call("POST", "/sobjects/Contact", json=body, headers=header)).status_code == saved


async def test_a_composite_is_all_or_none(org):
    base = "/services/data/v66.0/sobjects"
    note = {"method": "POST", "url": f"{base}/ContentNote", "referenceId": "note",
            "body": {"Title": "T", "Content": base64.b64encode(b"<p>x</p>").decode()}}  # fmt: skip
    link = {"method": "POST", "url": f"{base}/ContentDocumentLink", "referenceId": "link",
            "body": {"ContentDocumentId": "@{note.id}", "LinkedEntityId": "003000000000009AAA"}}  # fmt: skip
    wanted = {"allOrNone": True, "compositeRequest": [note, link]}
    answer = await org.call("POST", "/composite", json=wanted)
    assert answer.status_code == 200
    parts = answer.json()["compositeResponse"]
    assert [p["body"][0]["errorCode"] for p in parts] == ["PROCESSING_HALTED", "INVALID_CROSS_REFERENCE_KEY"]
    assert org.double.records["ContentNote"] == {}
    org.double.seed({"contacts": [{"id": 9, "LastName": "x"}]})
    parts = (await org.call("POST", "/composite", json=wanted)).json()["compositeResponse"]
    assert [p["httpStatusCode"] for p in parts] == [201, 201]
    content = await org.call("GET", f"/sobjects/ContentNote/{parts[0]['body']['id']}/Content")
    assert content.text == "<p>x</p>"


# --- Knowledge and limits --------------------------------------------------------------------------------------------


async def test_an_edited_article_is_a_new_version_and_the_old_one_is_archived(org):
    article = salesforce_id("kA0", 7)
    for text in ("old", "new"):
        org.double.seed({"articles": [{"id": 7, "Title": "T", "Answer__c": text}]})
    rows = (await org.soql("SELECT Id, PublishStatus, Answer__c, KnowledgeArticleId, VersionNumber "
                           "FROM Knowledge__kav ORDER BY VersionNumber"))["records"]  # fmt: skip
    assert [(r["PublishStatus"], r["Answer__c"]) for r in rows] == [("Archived", "old"), ("Online", "new")]
    assert {r["KnowledgeArticleId"] for r in rows} == {article}
    assert rows[0]["Id"] != rows[1]["Id"]
    for knowledge, status in (("missing", 400), ("unreadable", 200)):
        org.double.configure({"knowledge": knowledge})
        answer = await org.soql("SELECT Id FROM Knowledge__kav WHERE PublishStatus = 'Online'", status)
        assert (answer[0]["errorCode"] == "INVALID_TYPE") if status == 400 else (answer["totalSize"] == 0)


async def test_the_days_quota_is_told_and_ends_in_403(org):
    org.double.configure({"rate_limits": True, "daily_requests": 3, "limit_info": "; per-app-api-usage=1/2"})
    told = [(await org.call("GET", "/limits")) for _ in range(4)]
    assert told[0].headers["sforce-limit-info"].endswith("/3; per-app-api-usage=1/2")
    assert (told[-1].status_code, code_of(told[-1])) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert "retry-after" not in told[-1].headers
