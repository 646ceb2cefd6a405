"""What only Zendesk does; what all providers share is in test_contract.py."""

import asyncio
import json
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from sandbox.double import iso
from supportly.contracts.contacts import ActivityJob, Contact
from supportly.errors import (
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    ProviderFailure,
    Throttled,
    TokenRefused,
    UnsupportedByProvider,
)
from supportly.http import Answer, Http, Outbound
from supportly.oauth import GrantRefused
from supportly.provider import Call
from supportly.providers.zendesk import ACCESS_LIFE, UNSTATED_LIFE, Zendesk
from supportly.providers.zendesk.api import term
from tests.providers.harness import World

API, HC = "/api/v2", "/api/v2/help_center"
ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+442079460958"}


@pytest.fixture
def world():
    return World(Zendesk())


@pytest.fixture
async def call(world):
    return await world.call()


@pytest.fixture
def contact():
    return Contact(
        id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442079460958",
        additional_attributes={"company_name": "Analytical", "city": "London"},
    )  # fmt: skip


def job(kind="note", content="First line\nsecond", **more):
    return ActivityJob(
        account_id=1, provider="zendesk", contact_id=7, operation_id="op-1", kind=kind, content=content, **more
    )


def against(handler, **settings):
    """A call that is answered by `handler(request)`; for bodies that the double does not give."""
    outbound = Outbound(timeout_s=1, max_bytes=1_000_000, transport=httpx.MockTransport(handler))
    return Call(Http(outbound, Zendesk(), "token", {"subdomain": "acme"}), Zendesk.settings(**settings), "op-1")


def answering(status, body, **headers):
    return lambda _: httpx.Response(status, json=body, headers=headers)


def sent(world, method, path):
    """Bodies of the requests that the double received."""
    return [entry.shown()["body"] for entry in world.requests(path, method)]


def stored(world, kind):
    return list(world.double.records[kind].values())


def wanted(contact, *left_out):
    named = {name: contact.value(source) for name, source in Zendesk.mapping.items() if name not in left_out}
    return {name: value for name, value in named.items() if value}


async def walk(call, stream, since=None):
    documents, deleted, cursor = [], [], None
    while True:
        page = await Zendesk().read_stream(call, stream, cursor, since)
        documents += page.documents
        deleted += page.deleted
        assert not page.failures
        if page.next is None:
            return documents, deleted, page.checkpoint
        cursor = page.next


# --- OAuth -----------------------------------------------------------------------------------------------------------


NOT_A_LABEL = ["acme.zendesk.com", "a@b", "acme/", "a%2e", "-acme", "acme:443", "", "acme\n", "a" * 64]


@pytest.mark.parametrize("given", NOT_A_LABEL)
def test_a_subdomain_is_one_label(given):
    with pytest.raises(InvalidInput) as refused:
        Zendesk().host_parts({"subdomain": given})
    assert refused.value.details["field"] == "subdomain"


async def test_both_grants_ask_for_lifetimes_and_scope_in_json(world):
    tokens = await world.tokens()
    assert tokens.expires_at - world.now > timedelta(seconds=ACCESS_LIFE - 60)
    await world.refresh(tokens)
    for body in sent(world, "POST", "/oauth/tokens"):
        assert (body["expires_in"], body["refresh_token_expires_in"]) == (ACCESS_LIFE, 7_776_000)
        assert body["scope"] == "read users:write tickets:write organizations:write"


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    ("known", "life"),
    [
        ({}, ACCESS_LIFE),
        ({"granted_seconds": 300}, 300),
        ({"states_life": False}, UNSTATED_LIFE),
        ({"gives_refresh_token": False, "states_life": False}, None),
    ],
    ids=["as asked", "the shortest", "unstated", "an old client's"],
)
async def test_tokens_live_as_long_as_they_are_said_to_or_a_safe_while(world, known, life, status):
    world.double.configure({"access_token_ttl": UNSTATED_LIFE, "token_status": status, **known})
    tokens = await world.tokens()
    if life is None:
        assert (tokens.expires_at, tokens.refresh_token) == (None, None)
        world.sandbox.clock.offset += 40 * 86_400
        assert (await Zendesk().identify(world.http(tokens))).tenant_key == "acme"
        return
    assert abs((tokens.expires_at - world.now).total_seconds() - life) < 2
    world.sandbox.clock.offset += life - 10
    await Zendesk().identify(world.http(tokens))
    world.sandbox.clock.offset += 20
    with pytest.raises(TokenRefused):
        await Zendesk().identify(world.http(tokens))
    fresh = await world.refresh(tokens)
    assert fresh.expires_at > world.now
    await Zendesk().identify(world.http(fresh))


async def test_a_refresh_ends_both_old_tokens_at_once(world):
    tokens = await world.tokens()
    fresh = await world.refresh(tokens)
    assert fresh.refresh_token != tokens.refresh_token
    with pytest.raises(TokenRefused):
        await Zendesk().identify(world.http(tokens))
    with pytest.raises(GrantRefused):
        await world.refresh(tokens)
    await Zendesk().identify(world.http(fresh))
    assert Zendesk.oauth.rotation == "single_use"


async def test_the_subdomain_stands_in_the_host_and_nowhere_else(world):
    call = await world.call()
    for url in (*Zendesk().urls(call.facts), Zendesk().base_url(call.facts)):
        parts = urlsplit(url)
        assert parts.netloc == "acme.zendesk.com"
        assert "acme" not in f"{parts.path}?{parts.query}"
    assert list(Zendesk().hosts(call.facts)) == ["acme.zendesk.com"]
    for host in ("other.zendesk.com", "zendesk.com", "acme.zendesk.com.evil.example", "x.acme.zendesk.com"):
        with pytest.raises(ProviderFailure) as refused:
            await call.http.get(f"https://{host}{API}/users/me")
        assert refused.value.sent is False
    assert world.requests() == []


async def test_a_token_of_one_subdomain_is_refused_on_another(world):
    tokens = await world.tokens()
    with pytest.raises(TokenRefused):
        await Zendesk().identify(world.http(tokens, subdomain="other"))


async def test_the_tenant_is_the_subdomain_and_the_role_is_kept(world):
    world.double.configure({"role": "agent"})
    who = await Zendesk().identify(await world.connect())
    assert (who.tenant_key, who.account_name) == ("acme", "acme.zendesk.com")
    assert who.facts == {"user_id": "9001", "role": "agent"}


async def test_nobody_is_not_an_identity():
    call = against(answering(200, {"user": {"id": None, "name": "Anonymous user"}}))
    with pytest.raises(ProviderFailure, match="whose token"):
        await Zendesk().identify(call.http)


@pytest.mark.parametrize(("granted", "fits"), [("read write", True), ("read users:write", False), ("", True)])
async def test_the_granted_scope_is_compared(granted, fits):
    http = against(answering(200, {"user": {"id": 1, "role": "admin"}})).http
    http.facts = {**http.facts, "scope": granted}
    if fits:
        await Zendesk().identify(http)
    else:
        with pytest.raises(ProviderFailure, match="tickets:write, organizations:write"):
            await Zendesk().identify(http)


async def test_a_token_is_deleted_by_its_id(world):
    tokens = await world.tokens()
    assert await Zendesk().revoke(world.http(tokens), tokens, None)
    (deleted,) = world.requests(method="DELETE")
    assert deleted.shown()["path"].rpartition("/")[2].isdigit()


# --- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (422, {"error": "RecordInvalid", "description": "Record validation errors", "details": {
            "name": [{"description": "Name: is too short", "error": "TooShort"}]}}, "Name: is too short"),
        (403, {"error": {"title": "Forbidden", "message": "You do not have access to this page."}}, "have access"),
        (400, {"errors": [{"code": "InvalidPaginationDepth", "title": "Invalid", "detail": "Too deep"}]}, "Too deep"),
        (403, {"error": "SupportProductInactive"}, "SupportProductInactive"),
    ],
)  # fmt: skip
async def test_every_shape_of_an_error_is_read(status, body, says):
    with pytest.raises(ProviderFailure, match=says) as failed:
        await against(answering(status, body)).http.get("/users/1")
    assert not failed.value.retryable
    assert failed.value.provider_code
    assert ("fields" in failed.value.details) == (status == 422)


async def test_a_429_may_be_plain_text_and_a_conflict_is_worth_a_retry():
    call = against(lambda _: httpx.Response(429, text="Number of allowed API requests", headers={"retry-after": "7"}))
    with pytest.raises(Throttled) as refused:
        await call.http.get("/users/1")
    assert refused.value.retry_after == 7
    with pytest.raises(ProviderFailure) as conflict:
        await against(answering(409, {"error": "Conflict"})).http.put("/tickets/1", {})
    assert conflict.value.retryable


async def test_writes_side_by_side_are_a_conflict_that_passes(world, call):
    world.seed(users=[{**ADA, "id": 501}], tickets=[{"id": 9, "subject": "T"}, {"id": 10, "subject": "U"}])
    world.double.configure({"write_seconds": 5})
    for path, other in (("/tickets/9", "/tickets/10"), ("/users/501", "/users/9001")):
        kind = path.split("/")[1].removesuffix("s")
        wanted = {kind: {"tags": ["a"]}}
        answers = await asyncio.gather(
            call.http.put(path, wanted), call.http.put(path, wanted), call.http.put(other, wanted),
            return_exceptions=True,
        )  # fmt: skip
        (refused,) = [a for a in answers if isinstance(a, Exception)]
        assert isinstance(refused, ProviderFailure)
        assert (refused.provider_status, refused.provider_code) == (409, "DatabaseConflict")
        assert refused.retryable
        world.sandbox.clock.offset += 6
        await call.http.put(path, wanted)


async def test_a_conflict_of_two_creates_is_no_duplicate(world, contact):
    with pytest.raises(ProviderFailure) as refused:
        await Zendesk().create(against(answering(409, {"error": "DatabaseConflict"})), contact, {"name": "Ada"})
    assert refused.value.retryable


async def test_a_spent_minute_of_support_leaves_the_help_center_alone(world, call):
    world.double.configure({"rate_limits": True, "requests_per_minute": 3})
    for path in ("/macros", "/help_center/articles"):
        for _ in range(3):
            await call.http.get(path)
        with pytest.raises(Throttled):
            await call.http.get(path)


def test_what_a_call_costs():
    def buckets(method, path):
        return {c.bucket.split(":", 2)[2] for c in Zendesk().costs(method, path, "acme")}

    assert buckets("GET", f"{HC}/articles") == {"help_center"}
    assert buckets("GET", f"{HC}/incremental/articles") == {"help_center", "exports"}
    assert buckets("PUT", f"{API}/users/5") == {"support", "user:5", "user_updates"}
    assert buckets("PUT", f"{API}/tickets/5") == {"support", "ticket:5", "ticket_updates"}
    assert buckets("GET", f"{API}/tickets/5") == {"support"}


@pytest.mark.parametrize(
    ("path", "headers", "seen"),
    [
        (f"{API}/users", {"ratelimit-limit": "700", "ratelimit-remaining": "3"}, ("support", 700, 3)),
        (f"{HC}/articles", {"x-rate-limit": "400", "x-rate-limit-remaining": "9"}, ("help_center", 400, 9)),
        (
            f"{API}/incremental/tickets/cursor",
            {"ratelimit-limit": "700", "zendesk-ratelimit-incremental-exports": "total=10;remaining=2;resets=30"},
            ("exports", 10, 2),
        ),
        (f"{API}/users", {}, None),
    ],
)
def test_headroom_is_read_from_the_headers(path, headers, seen):
    told = Zendesk().headroom(Answer(200, headers, b"", "GET", path), "acme")
    assert [(h.bucket.split(":")[2], h.limit, h.remaining) for h in told] == ([seen] if seen else [])


def test_a_search_term_cannot_bring_operators():
    assert term("ada+x@example.com") == "ada+x@example.com"
    assert term('a" OR role:admin\\') == '"a OR role:admin"'
    assert term("-type:user") == '"-type:user"'


# --- contacts --------------------------------------------------------------------------------------------------------


async def test_a_partial_hit_is_no_match(world, call):
    world.seed(users=[{**ADA, "email": "ada@example.com.au", "phone": None}])
    assert await Zendesk().find(call, Contact(id=7, email="ada@example.com"), None) == []


async def test_a_number_that_another_system_gave_is_not_our_contact(world, call):
    world.seed(users=[{"name": "Stranger", "email": "s@example.com", "external_id": "7"}])
    assert await Zendesk().find(call, Contact(id=7), None) == []


async def test_a_deleted_user_is_nobody_although_zendesk_answers(world, call):
    (key,) = world.seed(users=[{**ADA, "external_id": "supportly:7", "active": False}])
    who = Contact(id=7, email=ADA["email"], phone_number=ADA["phone"])
    assert await Zendesk().find(call, who, str(key)) == []


async def test_a_created_user_is_found_while_the_search_lags(world, call, contact):
    world.double.configure({"search_lag_seconds": 300})
    world.seed(users=[{**ADA, "name": "Her brother", "email": "b@example.com"}])
    world.sandbox.clock.offset += 400
    made = await Zendesk().create(call, contact, wanted(contact))
    assert [r.id for r in await Zendesk().find(call, contact, None)] == [made.id]
    (body,) = sent(world, "POST", f"{API}/users")
    assert body["user"]["skip_verify_email"] is True
    assert body["user"]["external_id"] == "supportly:7"
    assert body["user"]["user_fields"] == {"city": "London"}
    assert "role" not in body["user"]
    assert [o["name"] for o in stored(world, "organization")] == ["Analytical"]
    assert made.raw["organization_id"] == stored(world, "organization")[0]["id"]


async def test_a_user_who_is_there_is_updated_when_create_is_refused(world, call, contact):
    (there,) = world.seed(users=[{**ADA, "name": "Old"}], organizations=[])
    made = await Zendesk().create(call, contact, wanted(contact, "organization"))
    assert (made.id, made.name, made.raw["external_id"]) == (str(there), "Ada Lovelace", "supportly:7")


async def test_an_address_that_is_taken_and_not_shown_is_tried_again(world, call, contact):
    world.double.configure({"search_lag_seconds": 300})
    world.seed(users=[ADA])
    with pytest.raises(ProviderFailure, match="taken") as refused:
        await Zendesk().create(call, contact, wanted(contact, "organization"))
    assert refused.value.retryable
    assert refused.value.retry_after
    assert "ada@example.com" not in json.dumps(refused.value.payload())


async def test_another_invalid_field_is_the_errors_own(contact):
    body = {"error": "RecordInvalid", "description": "x", "details": {"phone": [{"description": "Phone: bad"}]}}
    with pytest.raises(ProviderFailure, match="Phone: bad") as refused:
        await Zendesk().create(against(answering(422, body)), contact, {"name": "Ada"})
    assert not refused.value.retryable


async def test_agents_are_never_written(world, call, contact):
    world.seed(users=[{**ADA, "name": "Agent Ada", "role": "agent"}])
    (found,) = await Zendesk().find(call, contact, None)
    for attempt in (Zendesk().writable(call, {"name": "x"}, found), Zendesk().update(call, found, {"name": "x"})):
        with pytest.raises(UnsupportedByProvider, match="only end users"):
            await attempt
    with pytest.raises(UnsupportedByProvider):
        await Zendesk().create(call, contact, wanted(contact, "organization"))
    assert world.requests(method="PUT") == []


async def test_what_is_not_written_is_named_with_its_reason(world, call):
    world.seed(
        users=[{**ADA, "external_id": "shop-1"}],
        user_fields=[
            {"key": "plan", "type": "dropdown", "custom_field_options": [{"name": "Pro", "value": "pro_2024"}]}
        ],
    )
    (found,) = await Zendesk().find(call, Contact(id=7, email=ADA["email"]), None)
    fields = {
        "email": "new@example.com", "phone": "+15005550006", "role": "admin", "external_id": "7", "name": "Ada King",
        "user_fields.plan": "Pro", "user_fields.shoe": "42",
    }  # fmt: skip
    kept, skipped = await Zendesk().writable(call, fields, found)
    assert kept == {"name": "Ada King", "user_fields.plan": "pro_2024"}
    assert skipped.keys() == {"email", "phone", "role", "external_id", "user_fields.shoe"}
    assert "another system" in skipped["external_id"]
    after = await Zendesk().update(call, found, kept)
    assert (after.name, after.raw["user_fields"]) == ("Ada King", {"plan": "pro_2024"})


async def test_a_missing_address_is_filled_in(world, call):
    world.seed(users=[{"name": "Ada", "phone": ADA["phone"]}])
    (found,) = await Zendesk().find(call, Contact(id=7, phone_number=ADA["phone"]), None)
    kept, skipped = await Zendesk().writable(call, {"email": ADA["email"]}, found)
    assert (kept, skipped) == ({"email": ADA["email"]}, {})
    assert (await Zendesk().update(call, found, kept)).email == ADA["email"]
    assert sent(world, "PUT", f"{API}/users/{found.id}")[0]["user"]["skip_verify_email"] is True


async def test_the_organization_is_found_by_its_exact_name(world, call, contact):
    number, _ = world.seed(organizations=[{"name": "ANALYTICAL"}, {"name": "Analytical Engines"}])
    made = await Zendesk().create(call, contact, wanted(contact))
    assert made.raw["organization_id"] == number
    assert await Zendesk().writable(call, {"organization": "Analytical"}, made) == ({}, {})
    parts = Zendesk().parts(call, made)
    assert await parts["activities"] == []
    (shown,) = await parts["companies"]
    assert (shown["name"], shown["type"]) == ("ANALYTICAL", "organization")


async def test_a_lookup_without_the_list_of_tickets_uses_the_search(world, call):
    world.seed(users=[{**ADA, "id": 501}], tickets=[{"subject": f"T{n}", "requester_id": 501} for n in range(3)])
    body = {"error": "InvalidEndpoint", "description": "Not found"}
    world.fault(path=r".*/tickets/requested", status=404, body=body, times=-1)
    seen, cursor = [], None
    while True:
        params = {"email": ADA["email"], "limit": 2, "cursor": cursor}
        page = await Zendesk.actions["get_tickets"].run(
            Zendesk(), call, Zendesk.actions["get_tickets"].params.model_validate(params)
        )
        seen += [item["title"] for item in page.items]
        if not (cursor := page.next_cursor):
            break
    assert seen == ["T0", "T1", "T2"]


# --- activities ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def ada(world, call, contact):
    known = {"id": 9, "subject": "Known", "requester_id": 501, "tags": ["vip"]}
    world.seed(users=[{**ADA, "id": 501}], tickets=[known])
    (found,) = await Zendesk().find(call, contact, None)
    return found


@pytest.mark.parametrize("settings", [{}, {"default_ticket_id": "9"}])
async def test_a_note_goes_on_its_ticket_internally_and_is_found_there(world, call, ada, settings):
    call = Call(call.http, Zendesk.settings(**settings), "op-1")
    note = job() if settings else job(target="9")
    assert await Zendesk().find_logged(call, ada, note) is None
    ref = await Zendesk().log(call, ada, note)
    assert (ref.id, ref.url) == ("9", "https://acme.zendesk.com/agent/tickets/9")
    (comment,) = stored(world, "comment")
    assert (comment["public"], comment["body"]) == (False, "First line\nsecond\n\n[supportly:op-1]")
    assert (await Zendesk().find_logged(call, ada, note)).id == "9"


async def test_a_note_without_a_ticket_becomes_one_under_a_key(world, call, ada):
    first = await Zendesk().log(call, ada, job())
    assert (await Zendesk().log(call, ada, job())).id == first.id
    (request, _) = world.requests(f"{API}/tickets", "POST")
    assert request.shown()["headers"]["idempotency-key"] == "supportly:op-1"
    made = world.double.records["ticket"][first.id]
    assert (made["subject"], made["requester_id"], made["tags"]) == ("First line", 501, ["supportly"])
    assert made["is_public"] is False
    assert (await Zendesk().find_logged(call, ada, job())).id == first.id


async def test_a_call_keeps_the_tickets_tags(world, call, ada):
    await Zendesk().log(call, ada, job("call", target="9"))
    assert world.double.records["ticket"]["9"]["tags"] == ["vip", "supportly_call"]


async def test_a_marker_deep_in_a_long_thread_is_found(world, call, ada):
    world.seed(comments=[{"ticket_id": 9, "body": f"C{n}", "public": False} for n in range(250)])
    assert await Zendesk().find_logged(call, ada, job(target="9")) is None
    await Zendesk().log(call, ada, job(target="9"))
    assert (await Zendesk().find_logged(call, ada, job(target="9"))).id == "9"


async def test_tags_that_somebody_adds_meanwhile_are_not_lost(world, call, ada):
    world.sandbox.clock.offset += 60
    inner = call.http.outbound

    class Meanwhile:
        async def send(self, method, url, **more):
            if method == "PUT":
                call.http.outbound = inner
                world.sandbox.clock.offset += 1
                world.seed(tickets=[{"id": 9, "tags": ["vip", "urgent"]}])
            return await inner.send(method, url, **more)

    call.http.outbound = Meanwhile()
    with pytest.raises(ProviderFailure) as conflict:
        await Zendesk().log(call, ada, job("call", target="9"))
    assert (conflict.value.provider_status, conflict.value.retryable) == (409, True)
    assert await Zendesk().find_logged(call, ada, job("call", target="9")) is None
    await Zendesk().log(call, ada, job("call", target="9"))
    assert world.double.records["ticket"]["9"]["tags"] == ["vip", "urgent", "supportly_call"]
    assert len(stored(world, "comment")) == 1


async def test_a_task_is_a_ticket_of_its_own(world, call, ada):
    call = Call(call.http, Zendesk.settings(default_ticket_id="9", task_assignee_id="9001"), "op-1")
    made = world.double.records["ticket"][(await Zendesk().log(call, ada, job("task"))).id]
    assert (made["type"], made["assignee_id"]) == ("task", 9001)
    with pytest.raises(InvalidInput) as refused:
        await Zendesk().log(call, ada, job("task", target="9"))
    assert refused.value.details["field"] == "target"


async def test_a_target_that_is_no_ticket_is_refused_before_anything_is_sent(world, call, ada):
    world.sandbox.recorder.ring.clear()
    with pytest.raises(InvalidInput):
        await Zendesk().log(call, ada, job(target="9/../8"))
    assert world.requests() == []
    with pytest.raises(NotFound):
        await Zendesk().log(call, ada, job(target="404"))


async def test_a_closed_ticket_refuses_and_says_so(world, call, ada):
    world.seed(tickets=[{"id": 10, "subject": "Old", "status": "closed"}])
    with pytest.raises(ProviderFailure, match="closed prevents"):
        await Zendesk().log(call, ada, job(target="10"))


# --- actions ---------------------------------------------------------------------------------------------------------


async def run(call, name, **params):
    chosen = Zendesk.actions[name]
    return await chosen.run(Zendesk(), call, chosen.params.model_validate(params))


async def find(call, name, **params):
    chosen = Zendesk.actions[name]
    return await chosen.find(Zendesk(), call, chosen.params.model_validate(params))


async def test_a_ticket_is_created_once_per_key_and_internally(world, call):
    asked = {"subject": "S", "body": "B", "requester": {"email": "new@example.com"}, "idempotency_key": "k1"}
    first, second = [await run(call, "create_ticket", **asked) for _ in range(2)]
    assert first.result["id"] == second.result["id"]
    assert stored(world, "comment")[0]["public"] is False
    with pytest.raises(ProviderFailure) as other:
        await run(call, "create_ticket", **{**asked, "body": "C"})
    assert other.value.provider_code == "IdempotentRequestError"
    assert not other.value.retryable


async def test_closing_needs_a_setting(world, call):
    world.seed(tickets=[{"id": 9, "subject": "T", "tags": ["a", "b"]}])
    with pytest.raises(InvalidInput, match="allow_closing_tickets"):
        await run(call, "update_ticket", ticket_id=9, status="closed")
    assert world.requests() == []
    assert await find(call, "update_ticket", ticket_id=9, status="solved") is None
    await run(call, "update_ticket", ticket_id=9, status="solved")
    found = await find(call, "update_ticket", ticket_id=9, status="solved", tags=["b", "a"])
    assert found.result["status"] == "solved"
    allowed = Call(call.http, Zendesk.settings(allow_closing_tickets=True), "op-1")
    assert (await run(allowed, "update_ticket", ticket_id=9, status="closed")).result["status"] == "closed"
    with pytest.raises(InvalidInput, match="at least one"):
        await run(call, "update_ticket", ticket_id=9)


async def test_an_internal_comment_is_found_again_and_a_public_one_stays_clean(world, call):
    world.seed(tickets=[{"id": 9, "subject": "T"}])
    assert await find(call, "add_comment", ticket_id="9", body="x") is None
    await run(call, "add_comment", ticket_id="9", body="x")
    assert (await find(call, "add_comment", ticket_id="9", body="x")).result["id"] == "9"
    await run(call, "add_comment", ticket_id="9", body="Hello", public=True)
    assert [(c["public"], c["body"]) for c in stored(world, "comment")] == [
        (False, "x\n\n[supportly:op-1]"),
        (True, "Hello"),
    ]
    with pytest.raises(OutcomeUnknown):
        await find(call, "add_comment", ticket_id="9", body="Hello", public=True)
    shown = await run(call, "get_ticket", ticket_id="9", with_comments=True)
    assert [c["public"] for c in shown.result["comments"]] == [False, True]


@pytest.mark.parametrize("nulls", [False, True])
async def test_what_is_not_set_may_be_left_out_or_null(world, call, nulls):
    world.double.configure({"unset_as_null": nulls})
    world.seed(users=[{"id": 501, "name": "Ada"}], tickets=[{"id": 9, "subject": "T", "requester_id": 501}])
    shown = (await run(call, "get_ticket", ticket_id=9)).result
    assert [shown[n] for n in ("priority", "ticket_type", "assignee_id", "due_at")] == [None] * 4
    (found,) = (await run(call, "search_contacts", query="Ada")).items
    assert (found["email"], found["role"]) == (None, "end-user")
    record = await Zendesk().by_id(call, "501")
    assert (record.email, await Zendesk().parts(call, record)["activities"]) == (
        None, [{**shown, "raw": (await run(call, "get_ticket", ticket_id=9)).raw["ticket"]}]
    )  # fmt: skip


async def test_lists_are_read_by_cursor(world, call):
    world.seed(
        users=[{**ADA, "id": 501}],
        tickets=[{"id": 600 + n, "subject": f"T{n}", "requester_id": 501} for n in range(5)],
        macros=[{"id": 700 + n, "title": f"M{n}"} for n in range(5)],
        comments=[{"ticket_id": 600, "plain_body": f"C{n}", "public": True} for n in range(205)],
    )
    for name, asked, count in (("get_tickets", {"user_id": "501"}, 5), ("get_macros", {}, 6)):
        seen, cursor = [], None
        while not seen or cursor:
            page = await run(call, name, **asked, limit=2, cursor=cursor)
            seen += [item["id"] for item in page.items]
            cursor = page.next_cursor
        assert len(seen) == len(set(seen)) == count
    seen, cursor = [], None
    while not seen or cursor:
        page = await run(call, "get_ticket", ticket_id="600", with_comments=True, comments_cursor=cursor)
        seen += [item["body"] for item in page.result["comments"]]
        cursor = page.next_cursor
    assert seen == [f"C{n}" for n in range(205)]
    lists = [entry.shown()["query"] for entry in world.requests(method="GET") if "page" in str(entry.shown()["query"])]
    assert len(lists) == 3 + 3 + 3
    assert all("page[size]" in unquote(str(query)) and "per_page" not in str(query) for query in lists)


async def test_an_offset_past_ten_thousand_is_refused_and_says_so(world, call):
    world.double.seed({"generate": {"users": 10_050}})
    with pytest.raises(ProviderFailure, match="10,000") as refused:
        await call.http.get("/users/search", {"query": "", "page": 101, "per_page": 100})
    assert (refused.value.provider_status, refused.value.provider_code) == (400, "InvalidPaginationDepth")
    page = await run(call, "search_contacts", query="@", limit=100, cursor="100")
    assert (len(page.items), page.next_cursor) == (100, None)


async def test_a_search_ends_where_zendesk_stops(world, call):
    world.double.seed({"generate": {"tickets": 1_100}})
    page = await run(call, "search_tickets", query="status:new", limit=100, cursor="10")
    assert len(page.items) == 100
    assert page.next_cursor is None
    assert page.raw["count"] == 1_100
    for cursor in ("11", "0", "x", "search:1"):
        with pytest.raises(InvalidInput) as refused:
            await run(call, "search_tickets", query="status:new", limit=100, cursor=cursor)
        assert refused.value.details["field"] == "params.cursor"


async def test_articles_and_macros_are_listed(world, call):
    world.seed(articles=[{"title": "Refunds", "body": "<p>x</p>", "user_segment_id": 5}])
    (found,) = (await run(call, "search_articles", query="refunds", locale="en-us")).items
    assert (found["title"], found["restricted"]) == ("Refunds", True)
    assert [m["title"] for m in (await run(call, "get_macros")).items] == ["Close and redirect to topics"]
    world.double.configure({"help_center": False})
    with pytest.raises(UnsupportedByProvider, match="no Help Center"):
        await run(call, "search_articles", query="refunds")


# --- knowledge: articles ---------------------------------------------------------------------------------------------


def article(number, **more):
    return {"id": number, "title": f"Title {number}", "body": f"<p>Text {number}</p>", **more}


def languages(*locales, draft=()):
    return [{"locale": lc, "title": f"T {lc}", "body": f"<p>{lc}</p>", "draft": lc in draft} for lc in locales]


async def test_every_language_is_a_document_with_its_place(world, call):
    world.seed(articles=[{"id": 1, "translations": languages("en-us", "de", "fr", draft=["fr"])}])
    documents, deleted, _ = await walk(call, "articles")
    assert {d.external_id: (d.locale, d.title) for d in documents} == {
        "1:en-us": ("en-us", "T en-us"),
        "1:de": ("de", "T de"),
    }
    assert deleted == ["1:fr"]
    first = documents[0]
    assert first.url.endswith("/hc/en-us/articles/1")
    assert first.metadata["heading_path"] == ["General", "FAQ"]
    assert (first.metadata["format"], first.audience) == ("html", "public")


async def test_restricted_articles_need_the_setting_and_are_internal(world, call):
    world.seed(articles=[article(1, user_segment_id=5), article(2, user_segment_ids=[6]), article(3)])
    documents, deleted, _ = await walk(call, "articles")
    assert [d.external_id for d in documents] == ["3:en-us"]
    assert deleted == ["1:en-us", "2:en-us"]
    allowed = Call(call.http, Zendesk.settings(include_restricted_articles=True), "op-1")
    documents, _, _ = await walk(allowed, "articles")
    assert [d.audience for d in documents] == ["internal", "internal", "public"]


async def test_a_first_load_costs_a_call_per_hundred_articles(world, call):
    world.double.seed({"generate": {"articles": 450}})
    documents, _, _ = await walk(call, "articles")
    assert len(documents) == 450
    assert len(world.requests()) == 5 + 2  # pages, and the outline once


async def test_translations_come_with_the_articles_in_both_walks(world, call):
    world.seed(articles=[{"id": n, "translations": languages("en-us", "de")} for n in range(1, 31)])
    for since in (None, "0"):
        world.sandbox.recorder.ring.clear()
        documents, _, _ = await walk(call, "articles", since=since)
        assert len(documents) == 60
        paths = [entry.shown()["path"] for entry in world.requests()]
        assert not [path for path in paths if path.endswith("/translations")]
        assert len(paths) == 3  # the page, and the outline once


@pytest.mark.beside_the_contract
@pytest.mark.parametrize(
    ("odd", "failed"),
    [
        ({"label_names": 5}, ["1:en-us", "1:de"]),
        ({"translations": [languages("en-us")[0], {"locale": "de", "title": "T", "body": {"text": "x"}}]}, ["1:de"]),
        ({"translations": ["a text"]}, ["1:en-us"]),
        ({"translations": 5}, ["1:en-us"]),
    ],
)
async def test_an_article_that_breaks_is_named_by_the_ids_of_its_documents(world, call, odd, failed):
    """Else the walk would take the documents that are there for deleted ones."""
    world.seed(articles=[{"id": 1, "translations": languages("en-us", "de")}, article(2)])
    world.double.records["article"]["1"] = {**world.double.records["article"]["1"], **odd}
    page = await Zendesk().read_stream(call, "articles", None, None)
    assert [failure.external_id for failure in page.failures] == failed
    assert {d.external_id for d in page.documents} == {"1:en-us", "1:de", "2:en-us"} - set(failed) - (
        {"1:de"} if failed == ["1:en-us"] else set()
    )
    assert page.deleted == []


async def test_what_changed_is_listed_once_and_the_checkpoint_never_goes_back(world, call):
    world.double.seed({"generate": {"articles": 5}})
    now = int(world.now.timestamp())
    # The walk looks back a minute behind its checkpoint.
    documents, _, checkpoint = await walk(call, "articles", since=str(now - 90))
    assert len(documents) == 2
    assert int(checkpoint) >= now - 90
    documents, _, unmoved = await walk(call, "articles", since=str(now + 500))
    assert (documents, unmoved) == ([], str(now + 500))


async def test_changes_are_paged_by_time(world, call):
    world.double.configure({"page_size_max": 2})
    world.seed(articles=[article(n, updated_at=iso(1_700_000_000 + 60 * n, "seconds")) for n in range(1, 8)])
    documents, _, checkpoint = await walk(call, "articles", since="1700000000")
    assert sorted({d.external_id for d in documents}) == [f"{n}:en-us" for n in range(1, 8)]
    assert checkpoint == str(1_700_000_000 + 7 * 60)


@pytest.mark.parametrize(("count", "ends"), [(1, True), (1_000, False)])
async def test_a_next_page_that_is_this_page_ends_the_walk_or_is_an_error(count, ends):
    listed = [{"id": n, "user_segment_id": None, "translations": []} for n in range(count)]
    body = {
        "articles": listed, "end_time": 1_700_000_000, "categories": [], "sections": [],
        "next_page": f"https://acme.zendesk.com{HC}/incremental/articles.json?start_time={1_700_000_000 - 60}",
    }  # fmt: skip
    call = against(answering(200, body))
    if ends:
        page = await Zendesk().read_stream(call, "articles", None, "1700000000")
        assert (page.next, page.checkpoint) == (None, "1700000000")
    else:
        with pytest.raises(ProviderFailure, match="same page"):
            await Zendesk().read_stream(call, "articles", None, "1700000000")


async def test_a_next_page_on_another_host_is_not_fetched():
    body = {
        "articles": [], "end_time": 1_700_000_100,
        "next_page": "https://evil.example/api/v2/help_center/incremental/articles?start_time=1700000100",
    }  # fmt: skip
    asked = []

    def handler(request):
        asked.append(request.url.host)
        return httpx.Response(200, json=body)

    call = against(handler)
    page = await Zendesk().read_stream(call, "articles", None, "1700000000")
    with pytest.raises(ProviderFailure) as refused:
        await Zendesk().read_stream(call, "articles", page.next, "1700000000")
    assert refused.value.sent is False
    assert set(asked) == {"acme.zendesk.com"}


@pytest.mark.parametrize("aside", [False, True])
async def test_translations_may_stand_beside_the_articles_or_cost_a_call_each(world, call, aside):
    rows = {n: [{"locale": "de", "title": f"T{n}", "body": "<p>x</p>", "source_id": n}] for n in range(250)}
    bare = [{"id": n, "user_segment_id": None} for n in rows]
    calls = []

    def handler(request):
        calls.append(request.url.path)
        if request.url.path.endswith("/translations"):
            number = int(request.url.path.split("/")[-2])
            return httpx.Response(200, json={"translations": rows[number]})
        beside = {"translations": [row for found in rows.values() for row in found]} if aside else {}
        return httpx.Response(200, json={"articles": bare, "categories": [], "sections": [], "meta": {}, **beside})

    documents, _, _ = await walk(against(handler), "articles")
    assert sorted(d.metadata["article_id"] for d in documents) == sorted(map(str, rows))
    assert len([path for path in calls if path.endswith("/translations")]) == (0 if aside else 250)
    assert calls.count(f"{HC}/articles") == (1 if aside else 3)


async def test_a_pause_amid_a_page_keeps_what_was_read(world):
    left = [15]

    def handler(request):
        if not request.url.path.endswith("/translations"):
            listed = [{"id": n, "user_segment_id": None} for n in range(30)]
            return httpx.Response(200, json={"articles": listed, "categories": [], "sections": [], "meta": {}})
        left[0] -= 1
        if left[0] < 0:
            return httpx.Response(429, headers={"retry-after": "5"})
        return httpx.Response(200, json={"translations": [{"locale": "de", "title": "T", "body": "x"}]})

    call = against(handler)
    page = await Zendesk().read_stream(call, "articles", None, None)
    assert len(page.documents) == 15
    with pytest.raises(Throttled):
        await Zendesk().read_stream(call, "articles", page.next, None)
    left[0] = 15
    page = await Zendesk().read_stream(call, "articles", page.next, None)
    assert (len(page.documents), page.next) == (15, None)


async def test_no_help_center_is_empty_and_says_nothing_of_single_articles(world, call):
    world.seed(articles=[article(1)])
    world.double.configure({"help_center": False})
    assert await walk(call, "articles") == ([], [], None)
    assert await walk(call, "articles", since="1700000000") == ([], [], "1700000000")
    assert await Zendesk().is_gone(call, "articles", "1:en-us") is None


async def test_a_language_that_went_is_gone(world, call):
    world.seed(articles=[{"id": 1, "translations": languages("en-us", "de", "fr", draft=["fr"])}, article(2)])
    gone = {key: await Zendesk().is_gone(call, "articles", key) for key in ("1:en-us", "1:de", "1:fr", "1:es", "9:de")}
    assert gone == {"1:en-us": False, "1:de": False, "1:fr": True, "1:es": True, "9:de": True}
    world.seed(articles=[{"id": 2, "user_segment_id": 5}])
    assert await Zendesk().is_gone(call, "articles", "2:en-us") is True


# --- knowledge: macros and tickets -----------------------------------------------------------------------------------


async def test_macros_are_internal_and_off_by_default(world, call):
    assert Zendesk().chosen(Zendesk.settings()) == ["articles"]
    world.seed(macros=[
        {"id": 1, "title": "Refund", "description": "a < b", "actions": [
            {"field": "comment_value_html", "value": "<p>We refund.</p>"}, {"field": "status", "value": "solved"}]},
        {"id": 2, "title": "Plain", "actions": [{"field": "comment_value", "value": ["channel:all", "Hello"]}]},
        {"id": 3, "title": "Off", "active": False, "description": "x"},
    ])  # fmt: skip
    documents, _, _ = await walk(call, "macros")
    assert [(d.title, d.body, d.audience) for d in documents] == [
        ("Refund", "<p>a &lt; b</p>\n<p>We refund.</p>", "internal"),
        ("Plain", "Hello", "internal"),
    ]
    assert documents[0].metadata == {"format": "html"}


async def test_only_public_comments_of_solved_tickets_are_read(world, call):
    world.seed(
        users=[{**ADA, "id": 501}],
        tickets=[
            {"id": 1, "subject": "Solved", "status": "solved", "requester_id": 501},
            {"id": 2, "subject": "Open", "status": "open"},
            {"id": 3, "subject": "Deleted", "status": "deleted"},
            {"id": 4, "subject": "Internal", "status": "closed", "is_public": False},
        ],
        comments=[
            {"ticket_id": 1, "author_id": 501, "plain_body": "How?", "public": True},
            {"ticket_id": 1, "author_id": 9001, "plain_body": "Secret.", "public": False},
            {"ticket_id": 1, "author_id": 9001, "plain_body": "Like this.", "public": True},
            {"ticket_id": 4, "author_id": 9001, "plain_body": "Secret.", "public": False},
        ],
    )
    world.sandbox.clock.offset += 120
    documents, deleted, checkpoint = await walk(call, "tickets")
    assert [(d.external_id, d.body, d.audience) for d in documents] == [
        ("1", "Customer: How?\n\nAgent: Like this.", "internal")
    ]
    assert sorted(deleted) == ["2", "3", "4"]
    world.seed(tickets=[{"id": 2, "status": "solved"}])
    world.sandbox.clock.offset += 120
    documents, _, _ = await walk(call, "tickets", since=checkpoint)
    assert [d.external_id for d in documents] == ["2"]
    assert await Zendesk().is_gone(call, "tickets", "3") is True
    assert await Zendesk().is_gone(call, "tickets", "1") is False


async def test_tickets_need_an_administrator(world):
    world.double.configure({"role": "agent"})
    call = await world.call()
    with pytest.raises(ProviderFailure) as refused:
        await Zendesk().read_stream(call, "tickets", None, None)
    assert refused.value.provider_status == 403
