"""Answers that point our next request elsewhere: links, ids, cursors, redirects, hosts and DNS names.

`tests/providers/test_hostile_hosts.py` attacks with what a user types and with hosts that a token answer names; here it
is everything else that a provider says.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supportly.contracts.contacts import ActivityJob, Contact, Record
from supportly.errors import ProviderFailure, SupportlyError
from supportly.http import Outbound, allowed_host
from supportly.oauth import Tokens
from supportly.provider import Call, FindsContacts, LogsActivities, PagedParams, StreamsKnowledge, WritesContacts
from supportly.providers import PROVIDERS
from tests.attacks.poison import CLIMBING, ELSEWHERE, poisoned, strayed
from tests.providers.harness import World
from tests.providers.seeds import SEEDS

EVERY = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)
ADA = Contact(
    id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442071838750",
    additional_attributes={"company_name": "Analytical", "city": "London", "country": "United Kingdom"},
)  # fmt: skip
PAGES = 4
"""Of a walk: the first names the second, and that one is asked for by a poisoned mark."""
TURNS = range(0, max(len(ELSEWHERE), len(CLIMBING)), 3)
"""Each run starts the list of evil texts at another place; `make test` has one of them."""


async def contacts(call: Call, shown: list[Record]) -> AsyncIterator[Awaitable[object]]:
    """What can be asked about contacts, and written to them."""
    provider = call.http.policy
    if isinstance(provider, FindsContacts):
        for linked in (None, shown[0].id):
            yield provider.find(call, ADA, linked)
        for one in CLIMBING:
            yield provider.by_id(call, one)
        for record in shown:
            for part in provider.parts(call, record).values():
                yield part
    if isinstance(provider, WritesContacts):
        yield provider.create(call, ADA, dict.fromkeys(list(provider.mapping)[:2], "x"))
        for record in shown:
            yield provider.update(call, record, dict.fromkeys(list(provider.mapping)[:3], "evil"))


async def activities(call: Call, shown: list[Record]) -> AsyncIterator[Awaitable[object]]:
    """Every kind that can be logged, and looked for afterwards."""
    provider = call.http.policy
    if isinstance(provider, LogsActivities):
        for record in shown[:3]:
            for kind in provider.activity_kinds:
                job = ActivityJob(
                    account_id=1, provider=provider.id, operation_id="op-1", contact_id=7, kind=kind, content="x"
                )
                yield provider.log(call, record, job)
                yield provider.find_logged(call, record, job)


async def actions(call: Call, params: dict) -> AsyncIterator[Awaitable[object]]:
    """Every action, page after page, and with every evil mark for a cursor."""
    provider = call.http.policy

    async def walk(one, asked):
        for _ in range(PAGES):
            answer = await one.run(provider, call, one.params.model_validate(asked))
            if not answer.next_cursor:
                return
            # Zendesk's ticket has a cursor for its comments.
            asked = {**asked, next(n for n in one.params.model_fields if n.endswith("cursor")): answer.next_cursor}

    for name, one in provider.actions.items():
        asked = dict(params.get(name, one.example))
        yield walk(one, asked)
        if one.find:
            yield one.find(provider, call, one.params.model_validate(asked))
        if issubclass(one.params, PagedParams):
            for mark in (*CLIMBING, *ELSEWHERE):
                yield one.run(provider, call, one.params.model_validate({**asked, "cursor": mark}))


async def streams(call: Call, checkpoints: dict[str, str | None]) -> AsyncIterator[Awaitable[object]]:
    """Every stream, from the beginning and from a checkpoint; documents that it named, and documents of evil ids."""
    provider = call.http.policy
    for stream, since in checkpoints.items():
        found: list[str] = []
        yield walked(call, stream, None, found)
        yield walked(call, stream, since, found)
        for external_id in (*found, *CLIMBING, *ELSEWHERE[:4]):
            yield provider.is_gone(call, stream, external_id)


async def walked(call: Call, stream: str, since: str | None, found: list[str]) -> str | None:
    """Up to so many pages; answers the last checkpoint, and adds some documents' ids to `found`."""
    cursor = None
    for _ in range(PAGES):
        page = await call.http.policy.read_stream(call, stream, cursor, since)
        found += [document.external_id for document in page.documents[:2]]
        cursor, checkpoint = page.next, page.checkpoint
        if cursor is None:
            break
    return checkpoint


async def everything(
    call: Call, world: World, tokens: Tokens, record: str, checkpoints: dict[str, str | None]
) -> AsyncIterator[Awaitable[object]]:
    """Whatever a provider's class can be asked for: of a record that is there, and of what an answer may have named."""
    shown = [
        Record(id=one, raw=dict.fromkeys(("id", "Id", "AccountId", "uri"), one)) for one in (record, *CLIMBING[:4])
    ]
    yield call.http.policy.identify(world.http(tokens))
    params = SEEDS[world.provider.id].params(world)
    for part in (contacts(call, shown), activities(call, shown), actions(call, params), streams(call, checkpoints)):
        async for work in part:
            yield work


async def seeded(provider) -> tuple[World, Call, str, dict[str, str | None]]:
    """A world with a person and several pages of everything; its call, the person's record, checkpoints of streams."""
    seeds, world = SEEDS[provider.id], World(provider)
    world.double.configure({"page_size_max": 1})
    call = await world.call(**seeds.settings)
    record = str(world.seed(**seeds.person(world, ADA.name, ADA.email, ADA.phone_number))[0])
    for stream, seed in seeds.streams.items():
        world.seed(**{seed.kind: [seed.make(n, f"Title {stream} {n}", "Text") for n in range(9001, 9004)]})
    world.seed(**seeds.world(world))
    names = [stream.id for stream in provider.streams] if isinstance(provider, StreamsKnowledge) else []
    return world, call, record, {name: await walked(call, name, None, []) for name in names}


@EVERY
@pytest.mark.parametrize("aim", ["links", "ids", "marks"])
@pytest.mark.slow
@pytest.mark.beside_the_contract  # nothing here is what a provider documents
async def test_no_answer_leads_a_request_elsewhere(provider, aim, part, figure):
    world, call, record, checkpoints = await seeded(provider)
    tokens = await world.tokens()
    ended: Counter = Counter()
    sent = changed = 0
    first = PROVIDERS.index(provider)
    for turn in part(list(TURNS), [0, TURNS[1 + first % (len(TURNS) - 1)]]):
        with poisoned(world, aim, turn) as poison:
            call.http.outbound = world.outbound
            async for work in everything(call, world, tokens, record, checkpoints):
                try:
                    await work
                    ended["answered"] += 1
                # Anything else would be a failure of ours, which a hostile answer must not bring about.
                except SupportlyError:
                    ended["refused"] += 1
        assert strayed(world, poison.sent) == []
        sent, changed = sent + len(poison.sent), changed + poison.changed
    figure(f"{provider.id}, {aim}: {sent} requests after {changed} evil texts, none astray: {dict(ended)}")
    assert sent > 30
    assert changed or (provider.id, aim) == ("pipedrive", "links"), "nothing was poisoned"


@EVERY
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 201])
@pytest.mark.beside_the_contract
async def test_no_redirect_is_followed(provider, status):
    """Neither with the access token to a foreign host, nor with code, refresh token or secret from a token endpoint."""
    world = World(provider)
    tokens = await world.tokens()
    received = []

    def answers(request: httpx.Request) -> httpx.Response:
        received.append(request)
        headers = {"Location": "https://evil.example/take", "Refresh": "0; url=https://evil.example/", "Link": "</x>"}
        return httpx.Response(status, headers=headers, json={"url": "https://evil.example/take"}, request=request)

    world.outbound = Outbound(timeout_s=2, max_bytes=1000, transport=httpx.MockTransport(answers))
    world.engine.outbound = world.outbound
    standard = world.engine.revoke

    async def revoked(token, hint):
        url = provider.oauth.revoke.format_map(world.parts)
        await standard(provider.oauth, world.client, url=url, token=token, hint=hint)

    for work in (
        provider.identify(world.http(tokens)),
        world.exchange("code", "v" * 43 if provider.oauth.pkce else None),
        world.refresh(tokens),
        provider.revoke(world.http(tokens), tokens, revoked),
    ):
        with contextlib.suppress(SupportlyError):
            await work
    assert len(received) >= 3
    assert strayed(world, received) == []


LETTERS = "".join({*"abcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%\\ \t\r\n\x00", *"аſK。．⒈℀ßıŀ"})
PIECES = st.sampled_from(
    (
        *("https://", "https:", "http://", "//", "api.acme.com", "shop.acme.io", "evil.com", "@", ":443", ":80", "#"),
        *("?", "/", "\\", "%2f", "%40", "%00", "xn--", "..", ".", "[::1]", "127.0.0.1", "0x7f.1", "localhost"),
        *("user:pw@", "\t", "\n"),
    )
)
HOSTS = ["api.acme.com", "*.acme.io"]


@settings(max_examples=3000, deadline=None, derandomize=True)
@given(st.lists(st.one_of(PIECES, PIECES, st.text(LETTERS, max_size=6)), max_size=8).map("".join))
def test_two_readers_of_one_address_agree_where_it_leads(url):
    """What is allowed is read by `urllib`, what is sent by `httpx`."""
    for address in (url, f"https://api.acme.com{url}", f"https://{url}.acme.io/", f"https://{url}@api.acme.com/"):
        if not allowed_host(address, HOSTS):
            continue
        with contextlib.suppress(httpx.InvalidURL, UnicodeError):  # then nothing is sent
            read = httpx.URL(address)
            assert read.scheme == "https"
            assert read.host == "api.acme.com" or read.host.endswith(".acme.io"), address
            assert read.host.count(".") == 2
            assert read.port is None
            assert not read.userinfo


@EVERY
async def test_a_request_that_was_aimed_elsewhere_is_not_sent(provider):
    """Whoever calls `Http` with a full address: it is compared with the hosts of this connection alone."""
    world = World(provider)
    http = world.http(await world.tokens())
    own = httpx.URL(provider.base_url(http.facts)).host
    fixed = [p.base for p in PROVIDERS if p.base.startswith("https://") and "{" not in p.base]
    others = [base for base in fixed if base != provider.base]
    await provider.identify(http)
    world.sandbox.recorder.ring.clear()
    for address in (*(one.replace("{host}", own) for one in ELSEWHERE), *others):
        if address.startswith("https://"):
            with pytest.raises(ProviderFailure) as refused:
                await http.get(address)
            assert refused.value.sent is False
    assert world.requests() == []
