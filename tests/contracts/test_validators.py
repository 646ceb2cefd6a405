"""The validators, against recorded exchanges that were made wrong: what is wrong is named with its place."""

from __future__ import annotations

import asyncio
import dataclasses
import fnmatch
import itertools
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest

from supportly.contracts.contacts import ActivityJob, Contact
from supportly.errors import SupportlyError
from supportly.provider import LogsActivities, StreamsKnowledge, WritesContacts
from supportly.providers import PROVIDERS
from tests.contracts import watch
from tests.contracts.deviations import CORRECTIONS, DEVIATIONS, general
from tests.contracts.exchange import Answer, Exchange, Message
from tests.contracts.registry import PROVIDERS as CONTRACTED
from tests.contracts.registry import contracts
from tests.providers.harness import World
from tests.providers.seeds import SEEDS

pytestmark = pytest.mark.usefixtures("shared")
ADA = Contact(id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442071838750",
              additional_attributes={"company_name": "Analytical", "city": "London", "country_code": "gb"})  # fmt: skip
BUILT = [provider for provider in PROVIDERS if provider.id in CONTRACTED and provider.available]
OPEN = {"jira": "fields"}
"""Under this name a contract allows anything: the fields of an issue are the site's own."""
CAUGHT = 0.9
"""Share of all values whose change is a violation; the rest stands where a contract allows anything."""


# --- recorded exchanges -----------------------------------------------------------------------------------------------


@cache
def recorded(provider_id: str) -> tuple[Exchange, ...]:
    """What passes when a provider does what it can, after what was written by hand for those that are not built yet."""
    provider = next((p for p in BUILT if p.id == provider_id), None)
    if provider is None:
        return tuple(handmade(provider_id))
    watch.begin()
    asyncio.run(act(provider))
    return (*handmade(provider_id), *watch.taken())


async def act(provider: Any) -> None:
    seeds, world = SEEDS[provider.id], World(provider)
    call = await world.call(**seeds.settings)
    await provider.identify(call.http)
    world.seed(**seeds.person(world, ADA.name, ADA.email, ADA.phone_number))
    world.seed(**seeds.world(world))
    for n, stream in enumerate(seeds.streams.values()):
        world.seed(**{stream.kind: [stream.make(9000 + 10 * n + k, f"Title {k}", f"Text of {k}.") for k in range(3)]})
    world.sandbox.clock.offset += 3600
    found = await provider.find(call, ADA, None)
    await provider.find(call, Contact(id=9, phone_number=ADA.phone_number), None)
    for part in provider.parts(call, found[0]).values() if found else ():
        await part
    if isinstance(provider, WritesContacts):
        other = ADA.model_copy(update={"id": 8, "email": "grace@example.com", "name": "Grace", "phone_number": None})
        wanted = {n: v for n, s in provider.mapping.items() if (v := other.value(s)) is not None}
        fields, _ = await provider.writable(call, wanted, None)
        made = await provider.create(call, other, fields)
        await provider.update(call, made, {"name": "Grace H"} if "name" in provider.mapping else fields)
    for kind in provider.activity_kinds if isinstance(provider, LogsActivities) and found else ():
        job = ActivityJob(account_id=1, provider=provider.id, contact_id=7, operation_id="op", kind=kind, content="x")
        await provider.log(call, found[0], job)
        if not provider.activity_keyed:
            await provider.find_logged(call, found[0], job)
    for stream in provider.streams if isinstance(provider, StreamsKnowledge) else ():
        await provider.read_stream(call, stream.id, None, None)
    for name, action in provider.actions.items():
        try:
            params = action.params.model_validate(seeds.params(world).get(name, action.example))
            await action.run(provider, call, params)
        except SupportlyError:  # an example that this world has no records for
            continue


def handmade(provider_id: str) -> list[Exchange]:
    """Exchanges as the contract's own examples show them."""
    return [
        Exchange(provider_id, message, Answer(status, "application/json", orjson.dumps(body)))
        for message, status, body in HANDMADE.get(provider_id, ())
    ]


def slack(method: str, path: str, query: str = "", body: Any = None) -> Message:
    headers = {"authorization": "Bearer t", "content-type": "application/json; charset=utf-8"}
    return Message(method, "slack.com", f"/api/{path}", query, headers, orjson.dumps(body) if body else b"")


def jira(method: str, path: str, query: str = "", body: Any = None) -> Message:
    host, path = "api.atlassian.com", f"/ex/jira/1a2b/rest/api/3/{path}"
    return Message(method, host, path, query, {"content-type": "application/json"}, orjson.dumps(body) if body else b"")


USER = {"accountId": "5b10", "displayName": "Ada", "active": True, "emailAddress": "ada@example.com",
        "self": "https://x.atlassian.net/rest/api/3/user?accountId=5b10", "timeZone": "Europe/London"}  # fmt: skip
TEAM = {
    "ok": True,
    "url": "https://x.slack.com/",
    "team": "X",
    "user": "bot",
    "team_id": "T0123456",
    "user_id": "U0123456",
}
HANDMADE: dict[str, list[tuple[Message, int, Any]]] = {
    "slack": [
        (slack("GET", "auth.test"), 200, TEAM),
        (slack("GET", "auth.test"), 200, {"ok": False, "error": "invalid_auth"}),
        (slack("GET", "users.list", "limit=200"), 200, {"ok": False, "error": "invalid_auth"}),
        (slack("GET", "auth.revoke"), 200, {"ok": True, "revoked": True}),
        (slack("POST", "chat.delete", body={"channel": "C0123456", "ts": "1503435956.000247"}), 200,
         {"ok": True, "channel": "C0123456", "ts": "1503435956.000247"}),
        (slack("GET", "chat.getPermalink", "channel=C0123456&message_ts=1503435956.000247"), 200,
         {"ok": True, "channel": "C0123456", "permalink": "https://x.slack.com/archives/C0123456/p1503435956000247"}),
    ],
    "jira": [
        (jira("GET", "myself"), 200, USER),
        (jira("GET", "search/jql", "jql=project%3DX&maxResults=50&fields=summary"), 200,
         {"issues": [{"id": "10002", "key": "X-1", "fields": {"summary": "A"}}], "nextPageToken": "x"}),
        (jira("POST", "issue/X-1/comment", body={"body": {"type": "doc", "version": 1, "content": []}}), 201,
         {"id": "1", "body": {}, "created": "2021-01-17T12:34:00.000+0000", "author": {"accountId": "5b10"}}),
        (jira("GET", "project/search", "query=X"), 200,
         {"startAt": 0, "maxResults": 50, "total": 1, "isLast": True,
          "values": [{"id": "1", "key": "X", "name": "X", "self": "https://x.atlassian.net/rest/api/3/project/1"}]}),
        (jira("POST", "issue/X-1/transitions", body={"transition": {"id": "5"}}), 400,
         {"errorMessages": ["No."], "errors": {}}),
    ],
}  # fmt: skip


# --- what can be made wrong -------------------------------------------------------------------------------------------


def asking(exchange: Exchange, **changes: Any) -> Exchange:
    return dataclasses.replace(exchange, request=dataclasses.replace(exchange.request, **changes))


def answering(exchange: Exchange, body: Any = None, **changes: Any) -> Exchange:
    if body is not None:
        changes["body"] = orjson.dumps(body)
    return dataclasses.replace(exchange, answer=dataclasses.replace(exchange.answer, **changes))


def query(**wanted: str | None):
    """Parameters set, or left out where None."""

    def change(exchange: Exchange) -> Exchange:
        pairs = [(n, v) for n, v in exchange.request.pairs if n not in wanted]
        pairs += [(name, value) for name, value in wanted.items() if value is not None]
        return asking(exchange, query=urlencode(pairs))

    return change


def header(name: str, value: str | None):
    def change(exchange: Exchange) -> Exchange:
        kept = {n: v for n, v in exchange.request.headers.items() if n != name}
        return asking(exchange, headers=kept if value is None else {**kept, name: value})

    return change


def body(*path: Any, to: Any):
    """A JSON body with another value at a place; `...` takes it out."""

    def change(exchange: Exchange) -> Exchange:
        return asking(exchange, body=orjson.dumps(put(orjson.loads(exchange.request.body), path, to)))

    return change


def form(**wanted: str):
    def change(exchange: Exchange) -> Exchange:
        return asking(exchange, body=urlencode([*parse_qsl(exchange.request.body.decode()), *wanted.items()]).encode())

    return change


def path(old: str, new: str):
    return lambda exchange: asking(exchange, path=exchange.request.path.replace(old, new))


def method(name: str):
    return lambda exchange: asking(exchange, method=name)


def answer(*place: Any, to: Any):
    return lambda exchange: answering(exchange, put(orjson.loads(exchange.answer.body), place, to))


def document(old: str, new: str):
    """A GraphQL document with another text in it."""

    def change(exchange: Exchange) -> Exchange:
        sent = orjson.loads(exchange.request.body)
        assert old in sent["query"], sent["query"]
        return asking(exchange, body=orjson.dumps({**sent, "query": sent["query"].replace(old, new, 1)}))

    return change


def status(code: int):
    return lambda exchange: answering(exchange, status=code)


def put(value: Any, place: tuple[Any, ...], to: Any) -> Any:
    """A copy with `to` at the place; `...` takes out what is there."""
    if not place:
        return to
    first, *rest = place
    if isinstance(value, list):
        return [put(item, tuple(rest), to) if n == first else item for n, item in enumerate(value)]
    if to is ... and not rest:
        return {name: item for name, item in value.items() if name != first}
    return {**value, first: put(value.get(first), tuple(rest), to)}


# Provider, what is called (method and the end of the path, or a GraphQL operation), the change, place and rule.
MUTATIONS = [
    ("stripe", "GET /v1/customers", query(limit="many"), "query.limit", "type"),
    ("stripe", "GET /v1/customers", query(surprise="1"), "query.surprise", "unknown"),
    ("stripe", "GET /v1/charges", query(**{"created[before]": "1"}), "query.created.before", "unknown"),
    ("stripe", "GET /v1/charges", query(**{"created[gte]": "yesterday"}), "query.created.gte", "type"),
    ("stripe", "GET /v1/subscriptions", query(status="sleeping"), "query.status", "enum"),
    ("stripe", "GET /v1/customers/search", query(query=None), "query.query", "required"),
    ("stripe", "POST /v1/customers", form(emial="a@b.co"), "body.emial", "unknown"),
    ("stripe", "POST /v1/customers", form(**{"address[town]": "x"}), "body.address.town", "unknown"),
    ("stripe", "POST /v1/customers", form(balance="much"), "body.balance", "type"),
    ("stripe", "POST /v1/customers", header("content-type", "application/json"), "header.content-type", "enum"),
    ("stripe", "GET /v1/customers", path("/customers", "/clients"), "path", "unknown"),
    ("stripe", "GET /v1/account", method("PATCH"), "path", "unknown"),
    ("stripe", "GET /v1/customers", answer("has_more", to=...), "answer.has_more", "required"),
    ("stripe", "GET /v1/customers", answer("data", 0, "email", to=5), "answer.data[].email", "type"),
    ("stripe", "GET /v1/charges", answer("data", 0, "paid", to="yes"), "answer.data[].paid", "type"),
    ("stripe", "GET /v1/products", answer("data", 0, "name", to=None), "answer.data[].name", "null"),
    ("stripe", "GET /v1/account", answer("surprise", to=1), "answer.surprise", "unknown"),
    ("stripe", "GET /v1/account", status(402), "answer.error", "required"),
    ("pipedrive", "GET /api/v2/persons/search", query(term=None), "query.term", "required"),
    ("pipedrive", "GET /api/v2/persons/search", query(limit="ten"), "query.limit", "type"),
    ("pipedrive", "GET /api/v2/persons/search", query(fields="mail"), "query.fields[]", "enum"),
    ("pipedrive", "GET /api/v2/deals", query(status="open,frozen"), "query.status[]", "enum"),
    ("pipedrive", "GET /api/v2/deals", query(start="0"), "query.start", "unknown"),
    ("pipedrive", "POST /api/v2/persons", body("email", to="a@b.co"), "body.email", "unknown"),
    ("pipedrive", "POST /api/v2/persons", body("emails", 0, "primary", to="yes"), "body.emails[].primary", "type"),
    ("pipedrive", "POST /api/v2/activities", body("done", to=1), "body.done", "type"),
    ("pipedrive", "POST /api/v1/notes", body("content", to=...), "body.content", "required"),
    ("pipedrive", "GET /api/v1/users/me", path("/me", "/me/too"), "path", "unknown"),
    ("pipedrive", "GET /api/v1/users/me", answer("data", "company_id", to="7"), "answer.data.company_id", "type"),
    ("pipedrive", "GET /api/v1/users/me", status(204), "answer.status 204", "unknown"),
    ("pipedrive", "GET /api/v2/products", answer("data", 0, "id", to=None), "answer.data[].id", "null"),
    ("pipedrive", "GET /api/v2/products", answer("data", 0, "titel", to="x"), "answer.data[].titel", "unknown"),
    ("pipedrive", "POST /oauth/token", form(grant_type="password"), "body.grant_type", "type"),
    ("schedly", "GET /v2/bookings", header("cal-api-version", None), "header.cal-api-version", "required"),
    ("schedly", "GET /v2/bookings", header("cal-api-version", "2020-01-01"), "header.cal-api-version", "enum"),
    ("schedly", "GET /v2/bookings", query(status="past,lost"), "query.status[]", "enum"),
    ("schedly", "GET /v2/bookings", query(take="many"), "query.take", "type"),
    ("schedly", "GET /v2/slots", query(start=None), "query.start", "required"),
    ("schedly", "GET /v2/slots", answer("data", to=[]), "answer.data", "type"),
    ("schedly", "GET /v2/me", header("authorization", None), "header.authorization", "required"),
    ("schedly", "GET /v2/me", answer("data", "email", to=...), "answer.data.email", "required"),
    ("schedly", "GET /v2/teams", answer("data", 0, "id", to="five"), "answer.data[].id", "type"),
    ("schedly", "POST /v2/bookings", body("start", to=...), "body.start", "required"),
    ("schedly", "POST /v2/bookings", body("attendee", "fone", to="1"), "body.attendee.fone", "unknown"),
    ("schedly", "POST /v2/bookings", body("eventTypeId", to="11"), "body.eventTypeId", "type"),
    ("schedly", "POST /v2/bookings", status(200), "answer.status 200", "unknown"),
    ("schedly", "POST /v2/bookings", path("/v2", "/v1"), "path", "unknown"),
    ("shopify", "query Shop", document("myshopifyDomain", "domainName"), "document.Shop.domainName", "unknown"),
    ("shopify", "query Shop", document("shop {", "shop(id: 1) {"), "document.QueryRoot.shop(id)", "unknown"),
    ("shopify", "query Shop", document("shop {", "shop {{"), "document", "syntax"),
    ("shopify", "query Shop", body("surprise", to=1), "body.surprise", "unknown"),
    ("shopify", "query Shop", answer("data", "shop", "myshopifyDomain", to=None),
     "answer.data.shop.myshopifyDomain", "null"),
    ("shopify", "query Shop", answer("data", "shop", "name", to=...), "answer.data.shop.name", "required"),
    ("shopify", "query Shop", answer("data", "shop", "name", to=3), "answer.data.shop.name", "type"),
    ("shopify", "query Shop", answer("data", "shop", "currencyCode", to="XYZ"),
     "answer.data.shop.currencyCode", "enum"),
    ("shopify", "query Shop", answer("data", "shop", "plan", to={}), "answer.data.shop.plan", "unknown"),
    ("shopify", "query Shop", header("content-type", "text/plain"), "header.content-type", "enum"),
    ("slack", "GET /api/auth.test", header("authorization", None), "header.authorization", "required"),
    ("slack", "GET /api/auth.test", path("auth.test", "auth.tset"), "path", "unknown"),
    ("slack", "GET /api/auth.test", answer("team_id", to=...), "answer.team_id", "required"),
    ("slack", "GET /api/auth.test", answer("team", to=1), "answer.team", "type"),
    ("slack", "GET /api/auth.test", answer("surprise", to=1), "answer.surprise", "unknown"),
    ("slack", "GET /api/auth.test", answer("ok", to=False), "answer.error", "required"),
    ("slack", "GET /api/users.list", query(limit="all"), "query.limit", "type"),
    ("slack", "GET /api/users.list", query(page="2"), "query.page", "unknown"),
    ("slack", "GET /api/users.list", answer("error", to="dont_know"), "answer.error", "enum"),
    ("slack", "GET /api/auth.revoke", answer("revoked", to="yes"), "answer.revoked", "type"),
    ("slack", "POST /api/chat.delete", body("chanel", to="C1"), "body.chanel", "unknown"),
    ("slack", "GET /api/chat.getPermalink", query(message_ts=None), "query.message_ts", "required"),
    ("jira", "GET /myself", answer("active", to="yes"), "answer.active", "type"),
    ("jira", "GET /myself", answer("surprise", to=1), "answer.surprise", "unknown"),
    ("jira", "GET /myself", path("/myself", "/me"), "path", "unknown"),
    ("jira", "GET /search/jql", query(maxResults="all"), "query.maxResults", "type"),
    ("jira", "GET /search/jql", query(startAt="0"), "query.startAt", "unknown"),
    ("jira", "GET /search/jql", status(202), "answer.status 202", "unknown"),
    ("jira", "POST /comment", body("author", to={}), "body.author", "unknown"),
    ("jira", "POST /comment", answer("created", to="today"), "answer.created", "format"),
]  # fmt: skip
WORDS = [f"{provider} {call} {place} {rule}" for provider, call, _, place, rule in MUTATIONS]


def called(exchange: Exchange, call: str) -> bool:
    """Whether an exchange is the one that a row speaks of, and was answered with success."""
    if exchange.answer is None or exchange.answer.status >= 300:
        return False
    if exchange.provider == "shopify":
        return f'"{call}' in exchange.request.body.decode()
    wanted, end = call.split(" ")
    return exchange.request.method == wanted and exchange.request.path.endswith(end)


@pytest.mark.parametrize(("provider", "call", "change", "place", "rule"), MUTATIONS, ids=WORDS)
def test_what_is_wrong_is_named_with_its_place(provider, call, change, place, rule):
    exchange = next(e for e in recorded(provider) if called(e, call) and change(e) != e)
    assert not watch.judged([exchange])[1]
    _, wrong = watch.judged([change(exchange)])
    assert (place, rule) in {(violation.place, violation.rule) for violation in wrong}, list(wrong)


# --- everything, one by one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", CONTRACTED)
def test_recorded_exchanges_keep_their_contracts(provider):
    tally, wrong = watch.judged(list(recorded(provider)))
    assert not wrong
    assert sum(count for (_, column), count in tally.items() if column == "answers") >= 4


def inside(provider: str) -> list[Exchange]:
    """One exchange of each operation that a contract holds."""
    found: dict[str, Exchange] = {}
    for exchange in recorded(provider):
        if any(outside.fits(exchange) for outside in watch.OUTSIDE) or exchange.answer is None:
            continue
        key = f"{exchange.request.method} {exchange.request.path} {exchange.request.body[:60]!r}"
        found.setdefault(key, exchange)
    return list(found.values())


@pytest.mark.parametrize("provider", CONTRACTED)
def test_no_operation_takes_an_unknown_path_parameter_or_body(provider):
    for exchange in inside(provider):
        for change in (query(surprise="1"), lambda e: asking(e, path=e.request.path + "/no/where")):
            assert watch.judged([change(exchange)])[1], change(exchange)
        if exchange.answer.status == 200:
            assert watch.judged([answering(exchange, content_type="text/html")])[1], exchange


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a value that is no container, in the first item of each list."""
    if isinstance(value, dict):
        return list(itertools.chain.from_iterable(leaves(item, (*place, name)) for name, item in value.items()))
    if isinstance(value, list):
        return leaves(value[0], (*place, 0)) if value else []
    return [place]


@pytest.mark.parametrize("provider", CONTRACTED)
def test_nearly_every_answered_value_has_a_type(provider):
    """A value of no sensible type is put everywhere in every answer."""
    tried, missed = 0, []
    for exchange in inside(provider):
        value = orjson.loads(exchange.answer.body or b"null")
        for place in (place for place in leaves(value) if OPEN.get(provider) not in place):
            changed = answering(exchange, put(value, place, {"surprise": [{}]}))
            tried += 1
            if not watch.judged([changed])[1]:
                missed.append((exchange.request.path, place))
    assert tried >= 15
    assert len(missed) <= tried * (1 - CAUGHT), missed


# --- variables, which only GraphQL has ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"first": "many"}, "variables.first"),
        ({"first": None}, "variables.first"),
        ({"surprise": 1}, "variables.surprise"),
    ],
)
def test_variables_are_coerced_as_the_server_would(change, place):
    sent = {"query": "query Q($first: Int!) { products(first: $first) { nodes { id } } }", "variables": {"first": 5}}
    plain = next(e for e in inside("shopify") if b"query Shop" in e.request.body)

    def with_variables(variables: dict[str, Any]) -> Exchange:
        asked = asking(plain, body=orjson.dumps({**sent, "variables": variables}))
        return answering(asked, {"data": {"products": {"nodes": [{"id": "gid://shopify/Product/1"}]}}})

    assert not watch.judged([with_variables({"first": 5})])[1]
    _, wrong = watch.judged([with_variables({"first": 5, **change})])
    assert place in {violation.place for violation in wrong}


def test_input_objects_and_scalars_are_coerced():
    plain = next(e for e in inside("shopify") if b"customerCreate" in e.request.body)
    sent = orjson.loads(plain.request.body)
    (name,) = [n for n, v in sent["variables"].items() if isinstance(v, dict)]
    for change in ({"emial": "a@b.co"}, {"email": 5}, {"tags": {"a": 1}}, {"taxExempt": "no"}):
        variables = {**sent["variables"], name: {**sent["variables"][name], **change}}
        _, wrong = watch.judged([asking(plain, body=orjson.dumps({**sent, "variables": variables}))])
        assert any(v.place.startswith(f"variables.{name}") for v in wrong), (change, wrong)
        if change.keys() != {"emial"}:
            assert {v.place for v in wrong} == {f"variables.{name}.{next(iter(change))}"}


# --- the lists --------------------------------------------------------------------------------------------------------


def test_every_listed_deviation_names_an_operation_and_a_source(shared):
    known = {c.name: c for provider in CONTRACTED for c in contracts(provider)}
    for row in (*DEVIATIONS, *CORRECTIONS):
        assert row.contract in known
        assert row.reason
        for name in (word.split(" ")[0].rstrip(",;") for word in row.source.split("; ")):
            if name.endswith(".md") and name.islower():
                text = (shared / "providers" / name).read_text()
                if (section := row.source.partition("§")[2][:1]) and name in row.source.split("§")[0]:
                    assert f"\n## {section}." in text, row
    for row in DEVIATIONS:
        titles = [operation.title for operation in known[row.contract].operations]
        assert any(fnmatch.fnmatchcase(title, row.operation) for title in titles), row


def test_a_deviation_excuses_what_it_names_alone():
    exchange = next(e for e in recorded("stripe") if called(e, "GET /v1/products"))
    tally, wrong = watch.judged([exchange])
    assert not wrong
    assert sum(count for (contract, _), count in tally.items() if contract == watch.DEVIATION) > 0
    _, wrong = watch.judged([answer("data", 0, "features", to=5)(exchange)])
    assert {(v.place, v.rule) for v in wrong} == {("answer.data[].features", "type")}


def test_a_deviation_that_nothing_met_is_stale():
    class Report:
        user_properties = [(watch.PROPERTY, (watch.DEVIATION, str(n), 1)) for n in range(1, len(DEVIATIONS))]

    assert watch.stale([Report()]) == [str(DEVIATIONS[0])]
    assert general("answer.data[12].x[3]") == "answer.data[].x[]"
