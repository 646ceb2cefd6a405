"""What every available provider promises, run against its double. A new provider adds one module to `seeds/`.

A test under `shows(…)` proves a capability: `tests/providers/table.py` counts, by provider, what has really passed.
"""

from __future__ import annotations

import email.utils
import itertools
import json

import pytest
from pydantic import ValidationError

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.contacts import ActivityJob, Contact
from supportly.errors import (
    NotFound,
    ProviderFailure,
    ProviderTimeout,
    SupportlyError,
    Throttled,
    TokenRefused,
    from_payload,
)
from supportly.oauth import Client, ClientRefused, GrantRefused, new_state, new_verifier
from supportly.provider import FindsContacts, LogsActivities, PagedParams, StreamsKnowledge, WritesContacts
from supportly.providers import PROVIDERS
from tests.providers.harness import World
from tests.providers.seeds import SEEDS
from tests.providers.table import shows

AVAILABLE = [provider for provider in PROVIDERS if provider.available]
MOST_PAGES = 50
ADA = Contact(
    id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442071838750",
    additional_attributes={"company_name": "Analytical", "city": "London", "country": "United Kingdom"},
)  # fmt: skip


def having(capability):
    """Every available provider with a capability."""
    chosen = [provider for provider in AVAILABLE if isinstance(provider, capability)]
    return pytest.mark.parametrize("provider", chosen, ids=lambda p: p.id)


EVERY = pytest.mark.parametrize("provider", AVAILABLE, ids=lambda p: p.id)
WRITERS = [p for p in AVAILABLE if isinstance(p, WritesContacts)]
EVERY_UPDATING = pytest.mark.parametrize("provider", [p for p in WRITERS if p.updates], ids=lambda p: p.id)
EVERY_FIXED = pytest.mark.parametrize("provider", [p for p in WRITERS if not p.updates], ids=lambda p: p.id)
STREAMS = [(p, s.id) for p in AVAILABLE if isinstance(p, StreamsKnowledge) for s in p.streams]
EVERY_STREAM = pytest.mark.parametrize(("provider", "stream"), STREAMS, ids=[f"{p.id}-{s}" for p, s in STREAMS])
ACTIONS = [(p, name) for p in AVAILABLE for name in p.actions]
EVERY_ACTION = pytest.mark.parametrize(("provider", "name"), ACTIONS, ids=[f"{p.id}-{name}" for p, name in ACTIONS])
PAGED = [(p, name) for p, name in ACTIONS if issubclass(p.actions[name].params, PagedParams)]
EVERY_PAGED = pytest.mark.parametrize(("provider", "name"), PAGED, ids=[f"{p.id}-{name}" for p, name in PAGED])
KINDS = [(p, kind) for p in AVAILABLE if isinstance(p, LogsActivities) for kind in p.activity_kinds]
BREAKABLE = [(p, s) for p, s in STREAMS if SEEDS[p.id].streams[s].broken]
EVERY_BREAKABLE = pytest.mark.parametrize(("provider", "stream"), BREAKABLE, ids=[f"{p.id}-{s}" for p, s in BREAKABLE])
SHEET_ERRORS = [(p, error) for p in AVAILABLE for error in SEEDS[p.id].errors]
EVERY_SHEET_ERROR = pytest.mark.parametrize(
    ("provider", "expected"), SHEET_ERRORS, ids=[f"{p.id}-{error.name}" for p, error in SHEET_ERRORS]
)
LIMITS = [(p, limit) for p in AVAILABLE for limit in SEEDS[p.id].limits]
EVERY_LIMIT = pytest.mark.parametrize(
    ("provider", "limit"), LIMITS, ids=[f"{p.id}-{limit.name}" for p, limit in LIMITS]
)
EVERY_KIND = pytest.mark.parametrize(("provider", "kind"), KINDS, ids=[f"{p.id}-{kind}" for p, kind in KINDS])


@pytest.fixture
def world(provider):
    """Search indexes lag a minute behind, so that only a consistent read sees what was just written."""
    world = World(provider)
    world.double.configure({"search_lag_seconds": 60})
    return world


@pytest.fixture
def seeds(provider):
    return SEEDS[provider.id]


@pytest.fixture
async def call(world, seeds):
    return await world.call(**seeds.settings)


def person(world, seeds, name=ADA.name, email=ADA.email, phone=ADA.phone_number):
    return world.seed(**seeds.person(world, name, email, phone))[0]


def later(world, seconds=3600):
    """Time passes: indexes catch up, time stamps differ, and the overlap of incremental walks is over."""
    world.sandbox.clock.offset += seconds


def test_the_suite_knows_every_available_provider():
    assert set(SEEDS) == {provider.id for provider in AVAILABLE}
    for provider, stream in STREAMS:
        assert stream in SEEDS[provider.id].streams


# --- OAuth -----------------------------------------------------------------------------------------------------------


@EVERY
@shows("connect and refresh")
async def test_a_connection_lives_from_consent_to_refresh(world, provider):
    state, verifier = new_state(), new_verifier() if provider.oauth.pkce else None
    returned = await world.consent(state=state, verifier=verifier)
    assert returned["state"] == state
    provider.check_callback(world.parts, returned, world.client.secret)
    tokens = await world.exchange(returned["code"], verifier)
    assert tokens.expires_at is None or tokens.expires_at > world.now
    assert tokens.access_token not in repr(tokens)
    identity = await provider.identify(world.http(tokens))
    assert identity.tenant_key
    assert identity.account_name

    later(world)
    fresh = await world.refresh(tokens)
    assert fresh.refresh_token
    assert fresh.access_token != tokens.access_token
    assert fresh.facts.keys() >= tokens.facts.keys()
    again = await provider.identify(world.http(fresh))
    assert again.tenant_key == identity.tenant_key


@EVERY
@shows("connect and refresh")
async def test_two_accounts_of_a_provider_are_told_apart(provider):
    keys = []
    for number in (5001, 5002):
        world = World(provider)
        known, parts = SEEDS[provider.id].account(number)
        world.double.configure(known)
        world.parts |= parts
        keys.append((await provider.identify(world.http(await world.tokens()))).tenant_key)
    assert keys[0] != keys[1]


@EVERY
@shows("connect and refresh")
async def test_a_person_who_declines_comes_back_with_an_error(world):
    returned = await world.consent(deny=True)
    assert returned["error"] == "access_denied"
    assert "code" not in returned


@EVERY
@shows("connect and refresh")
async def test_a_code_is_good_once_and_only_with_its_verifier(world, provider):
    verifier = new_verifier() if provider.oauth.pkce else None
    code = (await world.consent(verifier=verifier))["code"]
    if provider.oauth.pkce:
        with pytest.raises(GrantRefused):
            await world.exchange(code, new_verifier())
    await world.exchange(code, verifier)
    with pytest.raises(GrantRefused):
        await world.exchange(code, verifier)


@EVERY
@shows("connect and refresh")
async def test_a_grant_that_the_user_ended_is_refused_for_good(world, provider):
    tokens = await world.tokens()
    world.double.revoke()
    with pytest.raises(GrantRefused) as refused:
        await world.refresh(tokens)
    assert refused.value.reason
    assert not refused.value.retryable
    assert tokens.refresh_token not in refused.value.message
    with pytest.raises(TokenRefused):
        await provider.identify(world.http(tokens))


@EVERY
@shows("connect and refresh")
async def test_a_wrong_client_secret_is_an_operators_matter(world, seeds):
    tokens = await world.tokens()
    world.client = Client(world.client.id, "wrong")
    with pytest.raises(seeds.wrong_secret):
        await world.refresh(tokens)


@EVERY
@shows("connect and refresh")
async def test_a_token_endpoint_that_fails_is_no_refusal(world):
    tokens = await world.tokens()
    for fault in ({"status": 503, "body": "<html>busy</html>", "content_type": "text/html"}, {"cut": "body"}):
        world.fault(**fault)
        with pytest.raises(ProviderFailure) as failed:
            await world.refresh(tokens)
        assert not isinstance(failed.value, GrantRefused | ClientRefused)
        assert failed.value.retryable


@EVERY
@shows("revoke")
async def test_revoking_ends_the_access_or_says_that_it_cannot(world, provider):
    http = await world.connect()
    tokens = await world.tokens()
    http = world.http(tokens, **http.facts)

    async def standard(token: str, hint: str) -> None:
        url = provider.oauth.revoke.format_map(world.parts)
        await world.engine.revoke(provider.oauth, world.client, url=url, token=token, hint=hint)

    told = await provider.revoke(http, tokens, standard)
    assert told == provider.revocable
    if told:
        with pytest.raises(TokenRefused):
            await provider.identify(world.http(tokens))
        # A revocation is retried for a day: doing it again must not fail for being done.
        assert await provider.revoke(http, tokens, standard)
    else:
        assert not provider.oauth.revoke
        assert provider.notice


# --- contacts --------------------------------------------------------------------------------------------------------


@having(FindsContacts)
@shows("lookup")
async def test_a_contact_is_found_by_address_whatever_its_case(world, provider, seeds, call):
    person(world, seeds)
    person(world, seeds, "Adam Lovelace", "adam@example.com", "+442071838751")
    later(world)
    for address in (ADA.email, ADA.email.upper()):
        (found,) = await provider.find(call, ADA.model_copy(update={"email": address}), None)
        assert (found.name, (found.email or "").lower()) == (ADA.name, ADA.email)
    linked = await provider.find(call, Contact(id=8), found.id)
    assert [record.id for record in linked] == [found.id]
    for name, part in provider.parts(call, found).items():
        shown = await part
        assert isinstance(shown, list) or name not in ("deals", "activities")
        json.dumps(shown)


@having(FindsContacts)
@shows("lookup")
async def test_an_unknown_contact_is_not_found_and_no_error(world, provider, seeds, call):
    person(world, seeds)
    later(world)
    nobody = Contact(id=9, name=ADA.name, email="a.da@example.com", phone_number="+15005550006")
    assert await provider.find(call, nobody, None) == []
    assert await provider.find(call, Contact(id=9), None) == []


@pytest.mark.parametrize("provider", [p for p in AVAILABLE if SEEDS[p.id].phones], ids=lambda p: p.id)
@shows("lookup by phone")
async def test_two_records_with_one_number_are_both_found(world, provider, seeds, call):
    person(world, seeds, email="one@example.com")
    person(world, seeds, email="two@example.com")
    later(world)
    found = await provider.find(call, Contact(id=9, phone_number=ADA.phone_number), None)
    assert sorted(record.email for record in found) == ["one@example.com", "two@example.com"]


def wanted(provider, contact):
    """The mapped fields of a contact; a blank is left out."""
    named = {name: contact.value(source) for name, source in provider.mapping.items()}
    return {name: value for name, value in named.items() if value is not None}


def differing(provider, fields, record):
    """The fields that a sync would write."""
    now = provider.current(record)
    return {name: value for name, value in fields.items() if not provider.same(name, value, now.get(name))}


@having(WritesContacts)
@shows("create")
async def test_a_contact_is_created_and_then_left_alone(world, provider, call):
    assert await provider.find(call, ADA, None) == []
    fields, _ = await provider.writable(call, wanted(provider, ADA), None)
    made = await provider.create(call, ADA, fields)
    assert made.id

    # No time has passed, so a search index does not know the record yet.
    (found,) = await provider.find(call, ADA, None)
    assert found.id == made.id
    fields, _ = await provider.writable(call, wanted(provider, ADA), found)
    assert differing(provider, fields, found) == {}


@EVERY_UPDATING
@shows("update")
async def test_a_contact_is_updated_and_then_left_alone(world, provider, seeds, call):
    person(world, seeds)
    later(world)
    (found,) = await provider.find(call, ADA, None)
    renamed = ADA.model_copy(update={"name": "Ada King"})
    fields, _ = await provider.writable(call, wanted(provider, renamed), found)
    changes = differing(provider, fields, found)
    assert changes
    updated = await provider.update(call, found, changes)
    assert updated.id == found.id
    stored = await provider.by_id(call, found.id)
    assert stored.name == "Ada King"
    fields, _ = await provider.writable(call, wanted(provider, renamed), stored)
    assert differing(provider, fields, stored) == {}
    assert ADA.email in provider.emails_of(stored)


@EVERY_FIXED
async def test_a_contact_that_cannot_be_changed_says_so_of_every_field(world, provider, seeds, call):
    assert provider.capabilities.contact_update is False
    person(world, seeds)
    later(world)
    (found,) = await provider.find(call, ADA, None)
    new = wanted(provider, ADA.model_copy(update={"name": "Ada King"}))
    fields, skipped = await provider.writable(call, new, found)
    assert fields == {}
    assert "Ada King" in {new[name] for name in skipped}
    assert all(skipped.values())


@having(WritesContacts)
@pytest.mark.parametrize("nth", range(2))
@shows("create")
async def test_a_lost_answer_to_create_leaves_one_record(world, provider, call, nth):
    """The n-th POST of a create commits and its answer is lost; the retry looks first, as the activity does."""
    fields, _ = await provider.writable(call, wanted(provider, ADA), None)
    world.fault(method="POST", cut="after_commit", skip=nth)
    lost = None
    try:
        await provider.create(call, ADA, fields)
    except ProviderFailure as error:
        lost = error
    assert lost or nth > 0, "a create sends a POST"
    world.sandbox.faults.armed.clear()
    assert lost is None or lost.sent
    if lost and not await provider.find(call, ADA, None):
        await provider.create(call, ADA, fields)
    assert len(await provider.find(call, ADA, None)) == 1
    later(world)
    assert len(await provider.find(call, ADA, None)) == 1


@having(FindsContacts)
@shows("lookup")
async def test_a_record_that_is_gone_is_none(provider, call):
    assert await provider.by_id(call, "999999999") is None


# --- activities ------------------------------------------------------------------------------------------------------


@EVERY_KIND
@shows("activities")
async def test_an_activity_is_logged_and_found_by_its_marker(world, provider, seeds, call, kind):
    person(world, seeds)
    later(world)
    (record,) = await provider.find(call, ADA, None)
    job = ActivityJob(
        account_id=1, provider=provider.id, contact_id=ADA.id, operation_id=call.operation_id, kind=kind,
        content="Called about the <b>engine</b> & its price.\nSecond line.",
    )  # fmt: skip
    if not provider.activity_keyed:
        assert await provider.find_logged(call, record, job) is None
    logged = await provider.log(call, record, job)
    assert logged.id
    again = await (provider.log if provider.activity_keyed else provider.find_logged)(call, record, job)
    assert again.id == logged.id


@EVERY_KIND
@pytest.mark.parametrize("nth", range(3))
@shows("activities")
async def test_a_lost_answer_to_an_activity_is_found(world, provider, seeds, call, kind, nth):
    """The n-th request of a log is answered and the answer lost; the retry looks first, as the activity does."""
    person(world, seeds)
    later(world)
    (record,) = await provider.find(call, ADA, None)
    job = ActivityJob(
        account_id=1, provider=provider.id, contact_id=ADA.id, operation_id=call.operation_id, kind=kind, content="x"
    )
    world.fault(cut="after_commit", skip=nth)
    lost = None
    try:
        await provider.log(call, record, job)
    except ProviderFailure as error:
        lost = error
    assert lost or nth > 0, "a log sends a request"
    world.sandbox.faults.armed.clear()
    if lost and (provider.activity_keyed or not await provider.find_logged(call, record, job)):
        await provider.log(call, record, job)
    found = await (provider.log if provider.activity_keyed else provider.find_logged)(call, record, job)
    assert found.id
    # As many records as one undisturbed log leaves.
    quiet = World(provider)
    again = await quiet.call(**seeds.settings)
    person(quiet, seeds)
    later(quiet)
    await provider.log(again, (await provider.find(again, ADA, None))[0], job)
    assert records_of(world) == records_of(quiet)


def records_of(world):
    """How many records of each kind the double holds."""
    return {kind: len(records) for kind, records in world.double.records.items()}


# --- actions ---------------------------------------------------------------------------------------------------------


@EVERY_ACTION
@shows("actions")
async def test_an_action_answers_the_envelope(world, provider, seeds, call, name):
    person(world, seeds)
    world.seed(**seeds.world(world))
    later(world)
    action = provider.actions[name]
    params = action.params.model_validate(seeds.params(world).get(name, action.example))
    answer = await action.run(provider, call, params)
    assert isinstance(answer, ActionAnswer)
    assert (answer.items is None) != (answer.result is None)
    assert answer.raw is not None
    assert (answer.items is not None) or not issubclass(action.params, PagedParams)
    assert (answer.result is not None) or not action.writes, "what was written is one thing"
    json.dumps(answer.model_dump(mode="json"))
    for item in answer.items or []:
        assert "id" in item or "start" in item


@EVERY_PAGED
@shows("actions")
async def test_a_listing_action_walks_page_by_page(world, provider, seeds, call, name):
    action = provider.actions[name]
    world.seed(**seeds.world(world))
    person(world, seeds)
    later(world)
    asked = {**seeds.params(world).get(name, action.example), "limit": 1}
    seen, cursor = [], None
    for _ in range(MOST_PAGES):
        page = await action.run(provider, call, action.params.model_validate({**asked, "cursor": cursor}))
        assert len(page.items) <= 1
        seen += [item["id"] for item in page.items]
        if page.next_cursor is None:
            break
        assert page.next_cursor != cursor
        cursor = page.next_cursor
    else:
        pytest.fail("the walk has no end")
    assert len(seen) == len(set(seen))
    whole = await action.run(provider, call, action.params.model_validate({**asked, "limit": 100}))
    assert len(whole.items) > 1, "one page shows no walk"
    assert set(seen) == {item["id"] for item in whole.items}
    assert whole.next_cursor is None


@EVERY_PAGED
@shows("actions")
@pytest.mark.parametrize("limit", [0, 101, -1, "many", 1.5])
async def test_a_limit_that_is_none_is_refused_before_anything_is_sent(provider, name, limit):
    action = provider.actions[name]
    with pytest.raises(ValidationError) as refused:
        action.params.model_validate({**action.example, "limit": limit})
    assert ("limit",) in {error["loc"] for error in refused.value.errors()}


@EVERY_ACTION
@shows("actions")
async def test_a_write_can_be_looked_up_or_is_keyed(provider, name):
    action = provider.actions[name]
    assert not (action.keyed and action.find)
    if action.writes:
        assert action.keyed or action.find
    else:
        assert not action.keyed
        assert action.find is None


# --- knowledge -------------------------------------------------------------------------------------------------------


async def walk(provider, call, stream, since=None):
    """A whole walk: documents by id, what the provider itself reports gone, and the checkpoint."""
    documents, deleted, checkpoint, cursor = {}, set(), None, None
    for _ in range(MOST_PAGES):
        page = await provider.read_stream(call, stream, cursor, since)
        assert page.failures == []
        documents |= {d.external_id: d for d in page.documents}
        deleted |= set(page.deleted)
        checkpoint = page.checkpoint or checkpoint
        if page.next is None:
            return documents, deleted, checkpoint
        assert page.next != cursor
        cursor = page.next
    pytest.fail("the walk has no end")


@EVERY_STREAM
@shows("streams")
async def test_a_stream_tells_what_is_new_changed_and_gone(world, provider, seeds, call, stream):
    kind, make, key = seeds.streams[stream].kind, seeds.streams[stream].make, seeds.streams[stream].key
    facts = next(s for s in provider.streams if s.id == stream)
    world.double.configure({"page_size_max": 2})
    first = range(9001, 9006)
    for number in first:
        world.seed(**{kind: [make(number, f"Title {number}", f"Text of {number}.")]})
        later(world)
    documents, _, checkpoint = await walk(provider, call, stream)
    for number in first:
        document = documents[key(number)]
        assert (document.stream, document.title) == (stream, f"Title {number}")
        assert f"Text of {number}." in document.body
    assert (checkpoint is not None) == facts.incremental

    later(world)
    world.seed(**{kind: [make(9006, "Title 9006", "Text of 9006."), make(9002, "Title 9002", "Another text.")]})
    later(world)
    changed, _, checkpoint = await walk(provider, call, stream, checkpoint if facts.incremental else None)
    assert "Another text." in changed[key(9002)].body
    assert key(9006) in changed
    if facts.incremental:
        assert len(changed) < len(documents)

    world.seed(**{kind: [{**make(9003, "", ""), "_deleted": True}]})
    later(world)
    left, _, _ = await walk(provider, call, stream)
    assert facts.complete
    assert key(9003) not in left
    assert {key(n) for n in (9001, 9002, 9004, 9005, 9006)} <= left.keys()
    assert await provider.is_gone(call, stream, key(9003)) in (True, None)
    assert await provider.is_gone(call, stream, key(9002)) in (False, None)


LATE_S = 30
"""Seconds for which any provider may hide a record that bears an older time: replicas, requests that take long."""


@EVERY_STREAM
@shows("streams")
async def test_what_becomes_visible_late_is_met_by_the_next_walk(world, provider, seeds, call, stream):
    """A record that the walk could not see yet bears a time from before its checkpoint, or just that time."""
    kind, make, key = seeds.streams[stream].kind, seeds.streams[stream].make, seeds.streams[stream].key
    if not next(s for s in provider.streams if s.id == stream).incremental:
        pytest.skip("every walk of this stream is over everything")
    if "lookback_days" in provider.settings.model_fields:
        pytest.skip("it looks back for days, as `lookback_days` says")
    checkpoint = None
    for number in (9001, 9003, 9005):  # the first walk is over everything, and may make its checkpoint otherwise
        later(world)
        world.seed(**{kind: [make(number, f"Title {number}", f"Text of {number}.")]})
        later(world, 90)  # indexes catch up
        world.seed(**{kind: [make(9000, "Title 9000", f"Just changed: {number}.")]})
        _, _, checkpoint = await walk(provider, call, stream, checkpoint)
        for late, name in ((LATE_S, number + 1), (0, number + 11)):
            world.sandbox.clock.offset -= late
            world.seed(**{kind: [make(name, f"Title {name}", f"Text of {name}.")]})
            world.sandbox.clock.offset += late
        later(world, 90)
        changed, _, _ = await walk(provider, call, stream, checkpoint)
        assert {key(number + 1), key(number + 11)} <= changed.keys()


@EVERY_STREAM
@shows("streams")
async def test_the_same_content_gives_the_same_documents(world, provider, seeds, call, stream):
    kind, make = seeds.streams[stream].kind, seeds.streams[stream].make
    world.seed(**{kind: [make(n, f"Title {n}", f"Text of {n}.") for n in range(9001, 9004)]})
    later(world)
    first, _, _ = await walk(provider, call, stream)
    later(world)
    second, _, _ = await walk(provider, call, stream)
    assert first == second


@EVERY_STREAM
@shows("10,000 records")
async def test_ten_thousand_records_arrive_once_each(world, provider, seeds, call, stream):
    kind, make, key = seeds.streams[stream].kind, seeds.streams[stream].make, seeds.streams[stream].key
    wanted = range(20_001, 30_001)
    world.seed(**{kind: [make(n, f"Title {n}", f"Text of {n}.") for n in wanted]})
    later(world)
    seen, pages, cursor = [], 0, None
    while True:
        page = await provider.read_stream(call, stream, cursor, None)
        assert page.failures == []
        seen += [document.external_id for document in page.documents]
        pages += 1
        if page.next is None:
            break
        assert page.next != cursor
        cursor = page.next
    assert (pages > 1) == seeds.streams[stream].paged
    assert len(seen) == len(set(seen))
    assert {key(n) for n in wanted} <= set(seen)


@EVERY_BREAKABLE
@shows("a record breaks")
@pytest.mark.beside_the_contract  # a broken record is what no contract allows
async def test_a_record_that_breaks_is_named_and_stops_nothing(world, provider, seeds, call, stream):
    seed = seeds.streams[stream]
    world.seed(**{seed.kind: [seed.make(9001, "Title 9001", "Text of 9001.")]})
    world.seed(**{seed.kind: [seed.broken(9002)]})
    world.seed(**{seed.kind: [seed.make(9003, "Title 9003", "Text of 9003.")]})
    later(world)
    documents, failures, cursor = set(), {}, None
    for _ in range(MOST_PAGES):
        page = await provider.read_stream(call, stream, cursor, None)
        documents |= {document.external_id for document in page.documents}
        failures |= {failure.external_id: failure.reason for failure in page.failures}
        cursor = page.next
        if cursor is None:
            break
    assert {seed.key(9001), seed.key(9003)} <= documents
    assert seed.key(9002) not in documents
    assert failures[seed.key(9002)]


class Replay:
    """An outbound that answers every path as it was answered the first time: a provider that is stuck on a page."""

    def __init__(self, inner):
        self.inner, self.answers = inner, {}

    async def send(self, method, url, **more):
        key = (method, url.partition("?")[0])
        if key not in self.answers:
            self.answers[key] = await self.inner.send(method, url, **more)
        return self.answers[key]


@EVERY_STREAM
@shows("streams")
async def test_a_provider_that_is_stuck_on_a_page_is_an_error(world, provider, seeds, call, stream):
    kind, make = seeds.streams[stream].kind, seeds.streams[stream].make
    world.double.configure({"page_size_max": 2})
    world.seed(**{kind: [make(n, f"Title {n}", f"Text of {n}.") for n in range(9001, 9010)]})
    later(world)
    call.http.outbound = Replay(world.outbound)
    seen, cursor = set(), None
    try:
        for _ in itertools.repeat(None, MOST_PAGES):
            page = await provider.read_stream(call, stream, cursor, None)
            if page.next is None:
                break
            assert page.next not in seen, "the same cursor came back and nobody minded"
            cursor = page.next
            seen.add(cursor)
        else:
            pytest.fail("the walk has no end")
    except ProviderFailure:
        pass


# --- errors ----------------------------------------------------------------------------------------------------------

HTML = {"body": "<html><script>x</script><h1>Oops ada@example.com</h1></html>", "content_type": "text/html"}
SECRET = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = f"<b>Oops</b> ada@example.com {SECRET}"
TALKING = {"message": WORDS, "error": WORDS, "error_description": WORDS, "description": WORDS, "category": WORDS}
ERRORS = {
    "401": ({"status": 401, "body": {}}, TokenRefused, False),
    "403": ({"status": 403, "body": {}}, ProviderFailure, False),
    "404": ({"status": 404, "body": {}}, NotFound, False),
    "409": ({"status": 409, "body": {}}, SupportlyError, False),
    "422": ({"status": 422, "body": {}}, SupportlyError, False),
    "500": ({"status": 500, "body": {}}, ProviderFailure, True),
    "500 that talks": ({"status": 500, "body": TALKING}, ProviderFailure, True),
    "400 that talks": ({"status": 400, "body": TALKING}, SupportlyError, False),
    "401 that talks": ({"status": 401, "body": TALKING}, TokenRefused, False),
    "503": ({"status": 503, "body": {}, "retry_after": 9}, ProviderFailure, True),
    "502 with a page": ({"status": 502, **HTML}, ProviderFailure, True),
    "200 with a page": ({"status": 200, **HTML}, ProviderFailure, True),
    "200 with a list": ({"status": 200, "body": []}, ProviderFailure, False),
    "redirect": ({"status": 302, "headers": {"location": "https://evil.example/"}}, ProviderFailure, False),
    "cut before": ({"cut": "before"}, ProviderFailure, True),
    "cut within": ({"cut": "body"}, ProviderFailure, True),
    "cut after": ({"cut": "after_commit"}, ProviderFailure, True),
}


async def identity_of(world, provider, call):
    await provider.identify(call.http)


async def first_page(world, provider, call):
    for stream in getattr(provider, "streams", ()):
        await provider.read_stream(call, stream.id, None, None)


WORKS = pytest.mark.parametrize("work", [identity_of, first_page], ids=lambda w: w.__name__)


@EVERY
@WORKS
@pytest.mark.parametrize("name", ERRORS)
@shows("errors")
async def test_an_error_is_classified(world, provider, call, work, name):
    fault, kind, retryable = ERRORS[name]
    world.fault(times=-1, **fault)
    with pytest.raises(kind) as failed:
        await work(world, provider, call)
    error = failed.value
    assert error.retryable is retryable
    assert isinstance(error, TokenRefused) == name.startswith("401")
    if isinstance(error, ProviderFailure):
        assert error.sent
    told = json.dumps(error.payload())
    for hidden in (call.http.access_token, SECRET, "ada@example.com", "<"):
        assert hidden not in told
    back = from_payload(error.payload())
    assert (back.status, back.own_code) == (error.status, error.own_code)


@EVERY_SHEET_ERROR
@shows("error bodies")
async def test_an_error_body_of_the_documentation_is_understood(world, provider, call, expected):
    world.fault(
        status=expected.status, body=expected.body, headers=dict(expected.headers), times=-1,
        content_type="application/json" if isinstance(expected.body, dict | list) else "text/html",
    )  # fmt: skip
    with pytest.raises(expected.kind) as failed:
        await provider.identify(call.http)
    error = failed.value
    assert type(error) is expected.kind, "a broader class than it should be"
    assert error.retryable is expected.retryable
    if expected.code:
        assert error.details["provider_code"] == expected.code
    if expected.pause:
        assert expected.pause[0] <= error.retry_after <= expected.pause[1]
    assert call.http.access_token not in json.dumps(error.payload())


@EVERY_LIMIT
@shows("limits")
async def test_a_limit_that_the_double_enforces_is_read_as_a_pause(world, provider, call, limit):
    world.double.configure({"rate_limits": True, **limit.settings})
    with pytest.raises(Throttled) as refused:
        for _ in range(limit.most):
            await limit.work(world, call)
    assert limit.pause[0] <= refused.value.retry_after <= limit.pause[1]
    assert refused.value.retryable
    # After the pause it goes on: what was read is the truth.
    later(world, refused.value.retry_after + 1)
    await limit.work(world, call)


@EVERY
@WORKS
@shows("limits")
async def test_a_pause_is_read_from_retry_after_in_seconds_or_as_a_date(world, provider, call, work):
    soon = email.utils.format_datetime(world.now.replace(microsecond=0))
    for given, low, high in ((7, 7, 7), (soon, 0, 5), (None, 0.001, 3600)):
        world.sandbox.faults.armed.clear()
        world.fault(status=429, body={}, retry_after=given, times=-1)
        with pytest.raises(Throttled) as refused:
            await work(world, provider, call)
        assert low <= refused.value.retry_after <= high
        assert refused.value.retryable


@EVERY
@WORKS
@shows("errors")
async def test_a_slow_answer_is_a_timeout(provider, work):
    world = World(provider, timeout_s=0.25)
    call = await world.call(**SEEDS[provider.id].settings)
    world.fault(delay=0.6, times=-1)
    with pytest.raises(ProviderTimeout) as slow:
        await work(world, provider, call)
    assert slow.value.retryable
    assert slow.value.sent


@EVERY
@shows("hosts")
async def test_only_the_providers_own_hosts_are_reached(world, provider, call):
    for url in ("https://evil.example/x", "https://" + provider.hosts(call.facts)[0].lstrip("*.") + "@evil.example/"):
        with pytest.raises(ProviderFailure) as refused:
            await call.http.get(url)
        assert refused.value.sent is False
    assert world.requests() == []


@EVERY
@shows("limits")
async def test_every_call_has_a_cost_in_a_bucket_of_its_own(provider):
    names = {cost.bucket for cost in provider.costs("GET", "/", "a1")}
    assert names
    assert all(name.startswith(f"{provider.id}:") for name in names)
    assert all(cost.limit > 0 and cost.window_s > 0 and cost.amount > 0 for cost in provider.costs("POST", "/", "a1"))
