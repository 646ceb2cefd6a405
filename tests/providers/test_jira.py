"""What is particular about Jira: one gateway for several sites, documents as bodies, JQL, points, desks."""

from __future__ import annotations

import re

import pytest

from supportly.contracts.contacts import ActivityJob, Contact, Record
from supportly.errors import (
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    ProviderFailure,
    SelectionRequired,
    Throttled,
    TokenRefused,
    UnsupportedByProvider,
)
from supportly.oauth import ClientRefused, GrantRefused
from supportly.providers import get
from supportly.providers.jira import Contract, Jira, adf
from supportly.providers.jira.api import V3, label, quoted
from tests.providers.harness import World

ADA = Contact(id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442071838750")
NOBODY = Record(id="")
FIRST, SECOND = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
PLACE = {"project_key": "SUP", "issue_type_id": "10001"}


@pytest.fixture
def world():
    return World(get("jira"))


def job(kind="note", content="Called about it", **more):
    return ActivityJob(
        account_id=1, provider="jira", contact_id=7, operation_id="op-1", kind=kind, content=content, **more
    )


async def run(world, call, name, **params):
    action = world.provider.actions[name]
    return await action.run(world.provider, call, action.params.model_validate(params))


# --- connecting -------------------------------------------------------------------------------------------------------


async def test_the_consent_page_gets_what_it_demands_and_no_proof_key(world):
    await world.tokens()
    asked = world.requests("/authorize")[-1].request.query
    assert (asked["audience"], asked["prompt"]) == ("api.atlassian.com", "consent")
    assert "offline_access" in asked["scope"].split(" ")
    assert "code_challenge" not in asked
    sent = world.requests("/oauth/token")[-1].request
    assert sent.headers["content-type"] == "application/json"
    assert sent.object["client_secret"] == world.client.secret
    assert not {"authorization"} & set(sent.headers)


async def test_the_only_site_is_taken_and_several_have_to_be_chosen_from(world):
    world.parts = {}
    http = world.http(await world.tokens())
    who = await world.provider.identify(http)
    assert (who.tenant_key, who.account_name) == (FIRST, "acme.atlassian.net")
    world.double.configure({"sites": [[FIRST, "acme"], [SECOND, "acme-two"]]})
    http = world.http(await world.tokens())
    with pytest.raises(SelectionRequired) as several:
        await world.provider.identify(http)
    assert several.value.details["choices"] == ["acme-two.atlassian.net", "acme.atlassian.net"]
    world.parts = world.provider.host_parts({"site": "ACME-two.atlassian.net"})
    assert (await world.provider.identify(world.http(await world.tokens()))).tenant_key == SECOND


async def test_a_part_of_a_sites_name_matches_none(world):
    world.double.configure({"sites": [[FIRST, "acme-two"], [SECOND, "two-acme"]]})
    world.parts = {"site": "acme.atlassian.net"}
    with pytest.raises(SelectionRequired):
        await world.provider.identify(world.http(await world.tokens()))


@pytest.mark.parametrize("sites", [[], [["../../evil", "acme"]], [[FIRST + "\n", "acme"]]])
async def test_no_site_or_one_without_a_proper_id_is_no_connection(world, sites):
    world.double.configure({"sites": sites})
    world.parts = {}
    with pytest.raises(ProviderFailure, match="no Jira site"):
        await world.provider.identify(world.http(await world.tokens()))


async def test_who_we_are_may_fail_without_losing_the_connection(world):
    world.double.configure({"myself": False})
    http = await world.connect()
    assert http.facts["cloud_id"] == FIRST
    assert "account_id" not in http.facts


def test_the_gateway_is_the_only_host_whatever_the_facts_say(world):
    assert world.provider.base_url({"cloud_id": FIRST}) == f"https://api.atlassian.com/ex/jira/{FIRST}"
    for wrong in ("", "../x", "evil.example", f"{FIRST}/../..", f"{FIRST}\n"):
        assert world.provider.base_url({"cloud_id": wrong}) == "https://api.atlassian.com"


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refresh_token_that_is_dead_ends_the_grant_whatever_the_status(world, status):
    world.double.configure({"refusal_status": status})
    tokens = await world.tokens()
    world.double.revoke()
    with pytest.raises(GrantRefused) as refused:
        await world.refresh(tokens)
    assert refused.value.reason == "revoked_by_user"


async def test_a_wrong_secret_is_the_operators_matter(world):
    tokens = await world.tokens()
    world.client = type(world.client)(world.client.id, "wrong")
    with pytest.raises(ClientRefused):
        await world.refresh(tokens)


async def test_a_token_that_was_replaced_is_tolerated_for_ten_minutes(world):
    first = await world.tokens()
    await world.refresh(first)
    assert (await world.refresh(first)).access_token  # a lost answer is made good
    world.sandbox.clock.offset += 601
    with pytest.raises(GrantRefused):
        await world.refresh(first)


async def test_there_is_no_way_to_revoke(world):
    assert await world.provider.revoke(await world.connect(), await world.tokens(), None) is False
    assert "remove the app" in world.provider.notice


async def test_a_scope_that_does_not_match_is_not_mended_by_a_refresh(world):
    world.double.configure({"withheld": ["write:jira-work"]})
    call = await world.call(**PLACE)
    with pytest.raises(ProviderFailure) as denied:
        await world.provider.log(call, NOBODY, job())
    assert not isinstance(denied.value, TokenRefused)
    assert denied.value.details["provider_code"] == "missing_scope"


# --- people -----------------------------------------------------------------------------------------------------------


def customer(world, **more):
    world.seed(users=[{"id": "ada", "displayName": "Ada Lovelace", "emailAddress": "ada@example.com", **more}])
    world.seed(service_desks=[{"id": "1", "customers": ["ada"]}])


@pytest.mark.parametrize(("desk", "kind"), [("1", "customer"), (None, "user")])
async def test_a_contact_is_a_desks_customer_or_a_user(world, desk, kind):
    customer(world)
    call = await world.call(service_desk_id=desk)
    (record,) = await world.provider.find(call, ADA, None)
    assert (record.id, record.type) == ("ada", kind)
    sent = [r.request for r in world.requests() if "/customer" in r.request.path]
    assert [r.headers.get("x-experimentalapi") for r in sent] == (["opt-in"] if desk else [])


async def test_a_hidden_address_is_not_found_and_a_name_is_never_guessed_from(world):
    customer(world)
    world.double.configure({"hidden_emails": True})
    world.seed(users=[{"id": "other", "displayName": "ada@example.com"}])
    assert await world.provider.find(await world.call(), ADA, None) == []
    assert await world.provider.find(await world.call(service_desk_id="1"), ADA, None) == []


async def test_without_a_desk_nothing_can_be_created(world):
    with pytest.raises(UnsupportedByProvider) as refused:
        await world.provider.create(await world.call(), ADA, {"email": "ada@example.com"})
    assert refused.value.details["field"] == "settings.service_desk_id"


@pytest.mark.parametrize("strict", [True, False])
async def test_an_account_that_is_there_already_is_added_to_the_desk(world, strict):
    world.double.configure({"strict_conflict": strict})
    world.seed(users=[{"id": "ada", "displayName": "A. L.", "emailAddress": "ada@example.com"}])
    call = await world.call(service_desk_id="1")
    made = await world.provider.create(call, ADA, {"displayName": "Ada", "email": "Ada@example.com"})
    assert (made.id, made.type) == ("ada", "customer")
    assert world.double.records["service_desk"]["1"]["customers"] == ["ada"]
    world.double.configure({"hidden_emails": True})
    with pytest.raises(ProviderFailure):
        await world.provider.create(call, ADA, {"displayName": "Ada", "email": "ada@example.com"})


async def test_only_administrators_create_customers(world):
    world.double.configure({"admin": False})
    with pytest.raises(ProviderFailure) as denied:
        await world.provider.create(await world.call(service_desk_id="1"), ADA, {"email": "ada@example.com"})
    assert denied.value.provider_status == 403


async def test_a_lookup_shows_what_the_person_has_reported(world):
    customer(world)
    world.seed(issues=[{"summary": "Broken", "reporter": "ada"}, {"summary": "Other"}])
    call = await world.call()
    (record,) = await world.provider.find(call, ADA, None)
    found = await world.provider.parts(call, record)["issues"]
    assert [(i["key"], i["title"], i["url"]) for i in found] == [
        ("SUP-1", "Broken", "https://acme.atlassian.net/browse/SUP-1")
    ]


# --- activities -------------------------------------------------------------------------------------------------------


async def test_a_note_is_a_document_and_never_a_text(world):
    world.seed(issues=[{"id": "1", "number": 1}])
    call = await world.call()
    await world.provider.log(call, NOBODY, job("call", "First\n\nthird", target="sup-1"))
    body = world.requests(method="POST")[-1].request.object["body"]
    assert [b["type"] for b in body["content"]] == ["heading"] + ["paragraph"] * 5
    assert adf.plain(body) == "Call\nFirst\n\nthird\n\n[supportly:op-1]\n"
    with pytest.raises(ProviderFailure):  # version 3 takes nothing else
        await call.http.post(f"{V3}/issue/SUP-1/comment", {"body": "text"})


async def test_on_a_desks_request_a_note_is_hidden_from_its_customer(world):
    world.seed(issues=[{"id": "1", "number": 1, "request": True}, {"id": "2", "number": 2}])
    call = await world.call(service_desk_id="1")
    for key in ("SUP-1", "SUP-2"):
        ref = await world.provider.log(call, NOBODY, job(target=key))
        assert (await world.provider.find_logged(call, NOBODY, job(target=key))).id == ref.id
    assert [c.get("jsdPublic") for c in world.double.records["comment"].values()] == [False, None]


@pytest.mark.parametrize("target", ["12", "SUP", "SUP-", "-1", "1-2", "SUP-0", "../myself", "SUP-1/comment"])
async def test_a_target_is_the_key_of_an_issue(world, target):
    with pytest.raises(InvalidInput) as refused:
        await world.provider.log(await world.call(**PLACE), NOBODY, job(target=target))
    assert refused.value.details["field"] == "target"


async def test_without_a_target_an_issue_is_made_where_the_settings_say(world):
    call = await world.call()
    with pytest.raises(InvalidInput) as unplaced:
        await world.provider.log(call, NOBODY, job())
    assert unplaced.value.details["field"] == "settings.project_key"
    placed = await world.call(**PLACE)
    ref = await world.provider.log(placed, NOBODY, job("task"))
    (stored,) = world.double.records["issue"].values()
    assert (ref.id, ref.url) == ("SUP-1", "https://acme.atlassian.net/browse/SUP-1")
    assert stored["labels"] == ["supportly", label(placed)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stored["duedate"])


async def test_an_issue_that_the_search_does_not_know_yet_is_found_by_its_key(world):
    world.seed(issues=[{"summary": f"Old {n}"} for n in range(3)])
    world.sandbox.clock.offset += 3600
    world.double.configure({"search_lag_seconds": 600})
    call = await world.call(**PLACE)
    world.fault(method="POST", path=f"/ex/jira/{FIRST}{V3}/issue", cut="after_commit")
    with pytest.raises(ProviderFailure):
        await world.provider.log(call, NOBODY, job())
    world.seed(issues=[{"summary": f"New {n}"} for n in range(5)])
    assert (await world.provider.find_logged(call, NOBODY, job())).id == "SUP-4"
    world.seed(issues=[{"summary": f"Flood {n}"} for n in range(60)])
    other = await world.call("op-2", **PLACE)
    with pytest.raises(OutcomeUnknown):
        await world.provider.find_logged(other, NOBODY, job())


async def test_a_transition_that_was_made_is_not_made_again(world):
    world.seed(issues=[{"id": "1", "number": 1}])
    call = await world.call()
    action = world.provider.actions["transition_issue"]
    params = action.params(key="SUP-1", transition_id="11")
    assert await action.find(world.provider, call, params) is None
    assert (await action.run(world.provider, call, params)).result["status"] == "In Progress"
    assert (await action.find(world.provider, call, params)).result["status"] == "In Progress"
    with pytest.raises(ProviderFailure):
        await action.run(world.provider, call, params)


async def test_a_lost_request_of_a_desk_is_found_by_its_marker(world):
    call = await world.call()
    action = world.provider.actions["create_customer_request"]
    params = action.params(service_desk_id="1", request_type_id="10", summary="Help")
    world.fault(method="POST", path=f"/ex/jira/{FIRST}/rest/servicedeskapi/request", cut="after_commit")
    with pytest.raises(ProviderFailure):
        await action.run(world.provider, call, params)
    assert (await action.find(world.provider, call, params)).result["key"] == "SUP-1"


async def test_an_internal_comment_needs_a_request(world):
    world.seed(issues=[{"id": "1", "number": 1}, {"id": "2", "number": 2, "request": True}])
    call = await world.call()
    with pytest.raises(UnsupportedByProvider) as refused:
        await run(world, call, "add_comment", key="SUP-1", text="x", internal=True)
    assert refused.value.details["field"] == "internal"
    await run(world, call, "add_comment", key="SUP-2", text="x", internal=True)
    assert [c["jsdPublic"] for c in world.double.records["comment"].values()] == [False]


# --- query language ---------------------------------------------------------------------------------------------------


def test_no_value_ends_its_string():
    assert quoted('a"b\\c') == '"a\\"b\\\\c"'
    assert quoted("a\nb\x00c") == '"a b c"'


@pytest.mark.beside_the_contract  # what has ended is in no contract
async def test_the_offset_search_has_ended_and_ours_is_by_token(world):
    world.seed(issues=[{"summary": f"Issue {n}"} for n in range(5)])
    call = await world.call()
    with pytest.raises(ProviderFailure) as gone:
        await call.http.get(f"{V3}/search", {"jql": "project = SUP"})
    assert gone.value.provider_status == 410
    first = await run(world, call, "search_issues", jql='project = "SUP"', limit=3)
    second = await run(world, call, "search_issues", jql='project = "SUP"', limit=3, cursor=first.next_cursor)
    assert [len(p.items) for p in (first, second)] == [3, 2]
    assert second.next_cursor is None


async def test_a_query_without_a_restriction_is_refused(world):
    with pytest.raises(ProviderFailure, match="Unbounded"):
        await run(world, await world.call(), "search_issues", jql="ORDER BY updated DESC")


async def test_what_may_not_be_seen_is_not_there(world):
    world.seed(issues=[{"id": "1", "number": 1, "security": "secret"}])
    with pytest.raises(NotFound):
        await run(world, await world.call(), "get_issue", key="SUP-1")


# --- limits -----------------------------------------------------------------------------------------------------------


def test_points_are_shared_by_all_tenants_and_bursts_are_not():
    provider = Jira(Contract(hourly_points=100_000))
    one, two = (provider.costs("POST", f"/ex/jira/{FIRST}{V3}/search/jql", a) for a in ("a", "b"))
    assert one[0].bucket == two[0].bucket == "jira:points"
    assert (one[0].limit, one[0].window_s, one[0].amount) == (100_000, 3600, 101)
    assert one[1].bucket != two[1].bucket
    write = provider.costs("POST", f"/ex/jira/{FIRST}{V3}/issue/SUP-1/comment", "a")
    assert write[0].amount == 1
    assert write[1].bucket == provider.costs("POST", f"/ex/jira/{FIRST}{V3}/issue/SUP-2/comment", "a")[1].bucket


@pytest.mark.parametrize(("method", "tail", "counted"), [
    ("POST", "/rest/api/3/issue/SUP-1/comment", True), ("PUT", "/rest/api/3/issue/SUP-1/assignee", True),
    ("POST", "/rest/servicedeskapi/request/SUP-1/comment", True), ("GET", "/rest/api/3/issue/SUP-1/comment", False),
    ("POST", "/rest/api/3/issue/bulkfetch", False), ("POST", "/rest/api/3/issue", False),
])  # fmt: skip
def test_writes_to_one_issue_have_two_buckets_of_their_own(world, method, tail, counted):
    own = world.provider.costs(method, f"/ex/jira/{FIRST}{tail}", "a")[2:]
    assert [(c.limit, c.window_s) for c in own] == ([(20, 2), (100, 30)] if counted else [])
    assert len({c.bucket for c in own}) == len(own)
    assert all("SUP-1" in c.bucket for c in own)


async def test_a_search_costs_a_point_for_its_call_and_each_issue(world):
    world.double.configure({"rate_limits": True})
    world.seed(issues=[{"summary": f"Issue {n}"} for n in range(5)], users=[{"displayName": "Ada"}])
    call = await world.call()

    async def points(work):
        before = sum(world.double.spent.values())
        await work
        return sum(world.double.spent.values()) - before

    assert await points(run(world, call, "search_issues", jql='project = "SUP"', limit=3)) == 1 + 3
    assert await points(run(world, call, "search_users", query="Ada")) == 1 + 2


async def test_other_fields_of_a_search_stand_under_raw(world):
    world.seed(issues=[{"summary": "Issue"}])
    found = await run(world, await world.call(), "search_issues", jql='project = "SUP"', fields=["comment", "summary"])
    assert found.raw[0]["fields"]["comment"]["total"] == 0
    asked = world.requests(method="POST")[-1].request.object["fields"]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("named", [True, False])
async def test_a_spent_hour_pauses_every_tenant_until_it_is_over(world, named):
    world.double.configure({"rate_limits": True, "points": 5, "retry_after": named})
    call, seen = await world.call(), []

    class Notes:
        async def spend(self, costs, lane):
            return 0.0

        async def learn(self, headroom):
            seen.extend(headroom)

    call.http.budget = Notes()
    with pytest.raises(Throttled) as spent:
        for _ in range(10):
            await call.http.get(f"{V3}/myself")
    left = 3600 - world.sandbox.clock.now() % 3600
    assert spent.value.retry_after == pytest.approx(left, abs=3)
    assert [(h.bucket, h.remaining) for h in seen] == [("jira:points", 0)]


# --- knowledge --------------------------------------------------------------------------------------------------------


async def read(world, call, since=None):
    documents, cursor = [], None
    while True:
        page = await world.provider.read_stream(call, "issues", cursor, since)
        assert page.failures == []
        documents += page.documents
        if (cursor := page.next) is None:
            return documents, page.checkpoint


async def test_times_go_as_milliseconds_which_no_time_zone_changes(world):
    world.seed(issues=[{"summary": "Old"}])
    call = await world.call(projects=["SUP"])
    world.sandbox.clock.offset += 3600
    _, checkpoint = await read(world, call)
    world.sandbox.clock.offset += 3600
    world.seed(issues=[{"summary": "New"}])
    documents, _ = await read(world, call, checkpoint)
    assert [d.title for d in documents] == ["New"]
    query = world.requests(method="POST")[-1].request.object["jql"]
    assert re.fullmatch(r'project in \("SUP"\) AND updated >= \d{13} ORDER BY updated ASC', query)


async def test_comments_are_read_to_the_end_without_those_that_are_not_for_everybody(world):
    world.double.configure({"embedded_comments": 2})
    world.seed(issues=[{"id": "1", "number": 1, "summary": "Broken", "description": "It does not start."}])
    world.seed(comments=[
        *({"issue": "1", "body": f"Try {n}."} for n in range(5)), {"issue": "1", "body": "staff", "jsdPublic": False},
        {"issue": "1", "body": "role", "visibility": {"type": "role", "value": "Admins"}},
    ])  # fmt: skip
    ((only,), _) = await read(world, await world.call(projects=["SUP"]))
    assert only.body.split("\n\n") == ["SUP-1: Task, To Do", "It does not start.", *(f"Try {n}." for n in range(5))]
    assert only.audience == "internal"
    ((bare,), _) = await read(world, await world.call(projects=["SUP"], comments=False))
    assert "Try" not in bare.body


async def test_nothing_is_read_until_projects_are_chosen(world):
    world.seed(issues=[{"summary": "Secret"}])
    assert (await read(world, await world.call()))[0] == []
    assert not any(s.default for s in world.provider.streams)
    with pytest.raises(InvalidInput) as refused:
        await read(world, await world.call(projects=['SUP") OR project in ("HR']))
    assert refused.value.details["field"] == "settings.projects"


def test_a_document_becomes_markdown():
    def text(words, *marks):
        return {"type": "text", "text": words, "marks": [{"type": m} for m in marks]}

    def block(kind, *content, **attrs):
        return {"type": kind, "content": list(content), "attrs": attrs}

    body = block(
        "doc",
        block("heading", text("Title"), level=2),
        block("paragraph", text("bold", "strong"), {"type": "hardBreak"}, text("code", "code"),
              {"type": "mention", "attrs": {"text": "@Ada"}},
              {"type": "text", "text": "here", "marks": [{"type": "link", "attrs": {"href": "https://a.example"}}]}),
        block("orderedList", block("listItem", block("paragraph", text("one"))),
              block("listItem", block("paragraph", text("two")), block("bulletList", block("listItem",
                    block("paragraph", text("deep")))))),
        block("taskList", block("taskItem", text("to do"))),
        block("codeBlock", text("x = 1\ny = 2"), language="python"),
        block("blockquote", block("paragraph", text("said"))),
        block("table", block("tableRow", block("tableHeader", block("paragraph", text("A")))),
              block("tableRow", block("tableCell", block("paragraph", text("1"))))),
        block("panel", block("paragraph", text("inside"))),
        {"type": "neverSeen", "content": [block("paragraph", text("kept"))]},
        {"type": "rule"}, {"type": "blockCard", "attrs": {"url": "https://b.example"}},
    )  # fmt: skip
    assert adf.markdown(body) == (
        "## Title\n\n**bold**\n`code`@Ada[here](https://a.example)\n\n1. one\n2. two\n  - deep\n\n- to do\n\n"
        "```python\nx = 1\ny = 2\n```\n\n> said\n\n| A |\n| --- |\n| 1 |\n\ninside\n\nkept\n\n---\n\nhttps://b.example"
    )


def test_a_document_without_end_is_cut_and_what_is_none_is_an_error():
    deep = {"type": "paragraph", "content": [{"type": "text", "text": "x"}]}
    for _ in range(500):
        deep = {"type": "panel", "content": [deep]}
    assert adf.markdown({"type": "doc", "content": [deep]}) == ""
    assert adf.markdown(None) == ""
    for wrong in ("text", ["list"], {"type": "paragraph"}):
        with pytest.raises(ValueError, match="no document"):
            adf.markdown(wrong)
