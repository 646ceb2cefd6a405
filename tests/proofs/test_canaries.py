"""Secrets and personal data of all ten providers, used, refused, failed and logged at debug level: found nowhere.

Everything that is secret or personal is a word that stands nowhere else. Then the whole service runs on it: ten
connections, refreshes, lookups, writes, actions, knowledge, questions, the console, and faults that quote the words
back. At the end every byte that was written anywhere is searched, also for encoded forms. Only columns that are named
here, with the reason, may hold one.
"""

import asyncio
import base64
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from supportly.dev.processes import free_port
from supportly.provider import LogsActivities, StreamsKnowledge, WritesContacts
from supportly.providers import PROVIDERS
from supportly.storage import knowledge_tables  # noqa: F401 (its tables join the metadata)
from supportly.storage.tables import metadata, sealed_columns
from tests.caller import new_token
from tests.proofs.canaries import Canaries, forms
from tests.proofs.collector import Collector
from tests.proofs.conftest import WHOLE, Account, House, open_house
from tests.proofs.histories import decrypted
from tests.providers.seeds import SEEDS

PLACES = {"subdomain": "acme", "shop": "acme.myshopify.com", "site": "acme.atlassian.net"}
PATIENT = {"Prefer": "wait=60"}
TEXTS_OF_PROVIDERS = "what a provider publishes is stored so that it can be found: it is Captain's knowledge"
ALLOWED = {
    ("documents", "title"): TEXTS_OF_PROVIDERS,
    ("documents", "url"): TEXTS_OF_PROVIDERS,
    ("documents", "metadata"): TEXTS_OF_PROVIDERS,
    ("chunks", "title"): TEXTS_OF_PROVIDERS,
    ("chunks", "heading"): TEXTS_OF_PROVIDERS,
    ("chunks", "body"): TEXTS_OF_PROVIDERS,
}
"""Columns in which the text of a published document may stand. No column may hold anything else that was planted."""
QUOTED = {"a first name", "a last name", "a note"}
"""What a provider's sentence may repeat: addresses, numbers and tokens are cut out of it, and nothing tells a name from
other words. An error answer holds such a sentence; whoever hears it has asked about this person."""
SENTENCES = {
    ("pending_authorizations", "outcome"): "why a provider refused a code; the request that it answered named nobody",
    ("sync_runs", "failed_streams"): "why a provider gave up a list; the request that it answered named nobody",
}
"""Columns that hold such sentences in the clear. Here the doubles quote a person whom nobody has told them of."""


@dataclass
class Person:
    """Somebody's data, planted."""

    name: str
    email: str
    phone: str
    fields: dict[str, Any]
    note: str
    question: str


@dataclass
class Planted:
    """A house with planted secrets, what is personal, and where all of it was written."""

    house: House
    secrets: Canaries
    personal: Canaries
    published: Canaries
    collector: Collector
    metrics: list[tuple[str, dict[str, str]]]
    said: list[str]
    """Bodies of answers that were errors."""


def key_ring(canaries: Canaries) -> str:
    """A key that is looked for as its bytes, and as the text of the setting."""
    key = secrets.token_bytes(32)
    canaries.planted |= {base64.urlsafe_b64encode(key).decode().rstrip("="): "the key", key.hex(): "the key in hex"}
    return f"k1:{base64.urlsafe_b64encode(key).decode()}"


@pytest.fixture(scope="module")
def planted(postgres) -> Iterator[Planted]:
    canaries, collector = Canaries(), Collector()
    worker_port = free_port()
    metrics_token = canaries.plant("the token of the metrics")
    key = canaries.plant("the secret of the events")[:32]
    settings = {
        "log_level": "DEBUG",
        "keys": key_ring(canaries),
        "token_pepper": canaries.plant("the pepper"),
        "codec_token": canaries.plant("the token of the codec"),
        "supportly_api_token": canaries.plant("Supportly's token"),
        "refined_api_key": canaries.plant("the key of the embeddings"),
        "events_secrets": "whsec_" + base64.b64encode(key.encode()).decode(),
        "metrics_token": metrics_token,
        "metrics_address": f"127.0.0.1:{worker_port}",
        "tracing": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    canaries.add("the secret of the events", [settings["events_secrets"].removeprefix("whsec_").rstrip("=")])
    clients = {p.id: canaries.plant(f"{p.id}'s client secret") for p in PROVIDERS}
    with tempfile.TemporaryDirectory(prefix="spl-canaries-") as made:
        with open_house(Path(made), postgres, secrets=clients, **settings) as house:
            asked = [
                (f"{house.api_url}/metrics", {"authorization": f"Bearer {metrics_token}"}),
                (f"http://127.0.0.1:{worker_port}/metrics", {}),
            ]
            yield Planted(house, canaries, Canaries(), Canaries(), collector, asked, [])
        collector.close()


def person(canaries: Canaries) -> Person:
    word = canaries.word
    email = f"{word('an e-mail address')}@example.com"
    phone = canaries.number("a telephone number")
    name = f"{word('a first name')} {word('a last name')}"
    fields = {
        "name": name,
        "email": email,
        "phone_number": phone,
        "identifier": word("an identifier"),
        "additional_attributes": {"company_name": word("a company"), "city": word("a city")},
        "custom_attributes": {"plan": word("an attribute")},
    }
    return Person(name, email, phone, fields, f"Called, {word('a note')}", f"Why is {word('a question')} not found?")


async def member(planted: Planted, number: int, client: httpx.AsyncClient) -> Account:
    """An account with an administrator's token, which is planted too."""
    house = planted.house
    house.sandbox.doubles["supportly"].settings["accounts"].append(number)
    token = await new_token(house.postgres.admin_url, house.settings, number)
    planted.secrets.add("an API token", [token])
    return Account(house, number, token, client)


class Life:
    """One provider's life in an account of its own; it keeps the answers that were errors."""

    def __init__(self, planted: Planted, account: Account, provider: Any) -> None:
        self.planted, self.account, self.provider = planted, account, provider
        self.double = planted.house.sandbox.doubles[provider.id]
        self.seeds = SEEDS[provider.id]
        self.host = {part.name: PLACES[part.name] for part in provider.connect_fields if part.name in PLACES}
        self.person = person(planted.personal)
        # What the seeds ask of the suite's world, of this double.
        self.world = SimpleNamespace(double=self.double, now=datetime.now(UTC), seed=self._seed)

    def _seed(self, **records: Any) -> list[Any]:
        return list(self.double.seed(records)["ids"])

    async def call(self, method: str, path: str, **extra: Any) -> httpx.Response:
        extra.setdefault("headers", PATIENT)
        answer = await self.account.call(method, f"/{self.provider.id}{path}", **extra)
        if answer.status_code >= 400:
            self.planted.said.append(answer.text)
        return answer

    async def good(self, method: str, path: str, **extra: Any) -> httpx.Response:
        answer = await self.call(method, path, **extra)
        assert answer.status_code < 300, (self.provider.id, path, answer.text)
        return answer

    async def connect(self) -> None:
        back = await self.account.returned(self.provider.id, **self.host)
        self.planted.secrets.add("a code or a state", [back["code"], back["state"]])
        wrong = self.planted.secrets.plant("a code that somebody made up")
        await self.call("POST", "/callback", json={**back, "state": wrong})
        await self.call("POST", "/callback", json={**back, "code": wrong})
        # That ended the attempt; another one, which the provider refuses in its own words, and one that succeeds.
        back = await self.account.returned(self.provider.id, **self.host)
        self.planted.secrets.add("a code or a state", [back["code"], back["state"]])
        self._fault(method="POST", path=self.double.oauth.token, status=403, body=self._told(back["code"]))
        refused = await self.call("POST", "/callback", json=back)
        assert refused.status_code >= 400
        self._clear()
        back = await self.account.returned(self.provider.id, **self.host)
        self.planted.secrets.add("a code or a state", [back["code"], back["state"]])
        await self.good("POST", "/callback", json=back)

    async def use(self, contact: int) -> None:
        """Everything that the provider can do, with the person's data."""
        me, path = self.person, f"/contacts/{contact}"
        if self.provider.capabilities.contact_lookup:
            found = await self.good("GET", path)
            assert self.person.email in found.text, (self.provider.id, found.text)
        if isinstance(self.provider, WritesContacts):
            await self.call("POST", f"{path}/sync", params={"dry_run": "true"})
            await self.call("POST", f"{path}/sync")
        if isinstance(self.provider, LogsActivities):
            for kind in self.provider.activity_kinds:
                body = {"content": me.note, "activity_type": kind}
                await self.call("POST", f"{path}/activity", json=body, headers={**PATIENT, "Idempotency-Key": kind})
        known = dict(self.seeds.params(self.world))
        for name, action in self.provider.actions.items():
            params = dict(known.get(name, action.example or {}))
            await self.call("POST", "/action", json={"action": name, "params": self._personal(action, params)})

    def _personal(self, action: Any, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters, with the person's words where an action takes words."""
        fitting = {"query": self.person.email, "email": self.person.email, "text": self.person.note,
                   "body": self.person.note, "comment": self.person.note, "summary": self.person.note}  # fmt: skip
        return {name: fitting.get(name, value) if isinstance(value, str) else value for name, value in params.items()}

    async def fail(self, contact: int) -> None:
        """Errors of the provider that quote what they were sent: data, a token, our secret."""
        live = next(reversed(self.double.access_tokens))
        body = self._told(live)
        told = str(body["message"])
        faults = [
            {"status": 400, "body": body},
            {"status": 403, "body": body},
            {"status": 500, "body": f"<html>{told}", "content_type": "text/html", "times": 2},
            {"status": 200, "body": told, "content_type": "text/plain", "times": 2},
            {"cut": "body", "times": 2},
        ]
        for fault in faults if WHOLE else faults[: 1 + PROVIDERS.index(self.provider) % 2 * 2] + faults[-2:]:
            self._fault(**fault)
            await self.call("GET", f"/contacts/{contact}")
            await self.call("POST", f"/contacts/{contact}/activity", json={"content": self.person.note})
        self._clear()
        # A refresh that is answered twice as well, once late and once with the words of a refusal.
        self.double.expire()
        self._fault(method="POST", path=self.double.oauth.token, cut="before")
        await self.call("GET", f"/contacts/{contact}")
        self._clear()
        self.double.expire()
        self._fault(method="POST", path=self.double.oauth.token, status=400, times=3,
                    body={"error": "invalid_grant", "error_description": told, "message": told})  # fmt: skip
        await self.call("GET", f"/contacts/{contact}")
        self._clear()

    def _told(self, token: str) -> dict[str, Any]:
        """An error that quotes whatever the provider knows."""
        me = self.person
        told = f"{me.name} <{me.email}> {me.phone}, {me.note}: {token} {self.double.settings['client_secret']}"
        one = {"message": told, "detail": told, "errorCode": told}
        return {"status": "error", "message": told, "error": told, "error_description": told, "errors": [one]}

    def _fault(self, **fault: Any) -> None:
        self.planted.house.sandbox.faults.add({"provider": self.provider.id, **fault})

    def _clear(self) -> None:
        armed = self.planted.house.sandbox.faults.armed
        armed[:] = [fault for fault in armed if fault.provider != self.provider.id]

    async def learn(self) -> None:
        """Knowledge: a published document, a sync, and questions about it."""
        if not isinstance(self.provider, StreamsKnowledge):
            return
        word = self.planted.published.plant("a published text")
        for stream in self.seeds.streams.values():
            self._seed(**{stream.kind: [stream.make(9005, f"How {word} works", f"It is {word}. {word} helps.")]})
        self._fault(method="GET", status=403, times=-1, body=self._told("none"))
        await self.call("POST", "/knowledge/toggle", json={"enabled": True})
        await self.call("POST", "/knowledge/sync")
        self._clear()
        await self.call("POST", "/knowledge/sync")
        for question in (self.person.question, f"what is {word}"):
            answer = await self.account.call("GET", "/knowledge/search", params={"q": question})
            assert answer.status_code == 200, answer.text
        await self.account.call("GET", "/knowledge/status")

    async def run(self) -> None:
        if records := self.seeds.world(self.world):
            self._seed(**records)
        contact, _ = self.account.contact(None, **self.person.fields)
        self._seed(**self.seeds.person(self.world, self.person.name, self.person.email, self.person.phone))
        await self.connect()
        if self.seeds.settings:
            await self.good("PUT", "/settings", json={"settings": dict(self.seeds.settings)})
        await self.use(contact)
        await self.learn()
        self.double.expire()
        if self.provider.capabilities.contact_lookup:
            await self.call("GET", f"/contacts/{contact}")
        await self.fail(contact)
        await self.console(contact)
        if PROVIDERS.index(self.provider) % 2:
            await self.call("DELETE", "/disconnect")
            await self.call("GET", f"/contacts/{contact}")

    async def console(self, contact: int) -> None:
        """The same data in the console's pages, whose requests are forms and whose questions stand in addresses."""
        house = self.planted.house
        async with httpx.AsyncClient(base_url=house.api_url, timeout=60, follow_redirects=True) as browser:
            same = {"origin": house.api_url, "sec-fetch-site": "same-origin"}
            wrong = self.planted.secrets.plant("a token that somebody mistyped")
            await browser.post("/console/sign-in", data={"token": wrong}, headers=same)
            signed = await browser.post("/console/sign-in", data={"token": self.account.token}, headers=same)
            assert signed.status_code == 200, signed.text[:300]
            self.planted.secrets.add("a session's cookie", [cookie.value for cookie in browser.cookies.jar])
            at = f"/console/accounts/{self.account.id}"
            for page in ("", "/knowledge", f"/contacts?contact_id={contact}"):
                await browser.get(f"{at}{page}")
            await browser.get(f"{at}/search", params={"q": self.person.question})


async def live(planted: Planted, numbers: list[int]) -> None:
    """All ten providers at once, each in an account of its own."""
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=planted.house.api_url, timeout=90, limits=limits) as client:
        accounts = [await member(planted, number, client) for number in numbers]
        lives = [Life(planted, account, provider) for account, provider in zip(accounts, PROVIDERS, strict=True)]
        await asyncio.gather(*(one.run() for one in lives))
        # What callers may send anywhere: a bad token, a body that is none, an address that nobody knows.
        word = planted.secrets.plant("something that a caller sent")
        for method, path, extra in (
            ("GET", f"/api/v1/accounts/{numbers[0]}/supportly_integrations/", {"headers": {"api_access_token": word}}),
            ("GET", f"/{word}?q={word}", {}),
            ("POST", f"/api/v1/accounts/{numbers[0]}/supportly_integrations/hubspot/action", {"content": word}),
        ):
            planted.said.append((await client.request(method, path, **extra)).text)
    for provider in PROVIDERS:
        double = planted.house.sandbox.doubles[provider.id]
        planted.secrets.add(f"{provider.id}'s token", [*double.access_tokens, *double.refresh_tokens])
        planted.secrets.add(f"{provider.id}'s code", double.codes)
        sent = planted.house.sandbox.recorder.find(provider.id, 0, double.oauth.token, "POST")
        bodies = [entry.request.data for entry in sent if isinstance(entry.request.data, dict)]
        planted.secrets.add("a verifier", [body["code_verifier"] for body in bodies if body.get("code_verifier")])


def in_rows(url: str, canaries: Canaries) -> dict[tuple[str, str], set[str]]:
    """Which column of which table holds what: every column of every table outside the system's own schemas."""
    engine = create_engine(url)
    found: dict[tuple[str, str], set[str]] = {}
    with engine.connect() as c:
        columns = c.execute(
            text(
                "select table_schema, table_name, column_name from information_schema.columns join pg_tables "
                "on schemaname = table_schema and tablename = table_name "
                "where table_schema not in ('pg_catalog', 'information_schema')"
            )
        ).all()
        for schema, table, column in columns:
            rows = c.execute(text(f'select string_agg("{column}"::text, chr(10)) from "{schema}"."{table}"'))
            if hits := canaries.found((rows.scalar() or "").encode()):
                found[table, column] = hits
    engine.dispose()
    return found


def raw(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a directory that can be read."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


async def flushed(directory: Path, numbers: list[int], eventually: Any) -> dict[Path, bytes]:
    """Temporal's files, once every account is in them: ids show that they are the right ones."""

    async def read() -> dict[Path, bytes]:
        files = dict(raw(directory))
        whole = b"".join(files.values())
        return files if all(f"acct/{n}/".encode() in whole for n in numbers) else {}

    return await eventually(read, 30)


async def test_nothing_that_was_planted_is_found_anywhere(planted, eventually, figure):
    numbers = list(range(60_001, 60_001 + len(PROVIDERS)))
    await live(planted, numbers)
    house, published = planted.house, planted.published
    private = Canaries(planted.secrets.planted | planted.personal.planted)
    every = Canaries(private.planted | published.planted)
    assert len(planted.secrets.planted) > 150
    assert len(planted.personal.planted) == 10 * len(PROVIDERS)

    # Metrics, while the processes live; traces that are on their way still.
    async with httpx.AsyncClient(timeout=30) as client:
        told = [await client.get(url, headers=headers) for url, headers in planted.metrics]
    for answer in told:
        assert answer.status_code == 200, answer.url
        assert "supportly_" in answer.text
        assert not every.found(answer.content), answer.url

    async def traced() -> bytes:
        return b"".join(planted.collector.received) if len(planted.collector.received) > 3 else b""

    traces = await eventually(traced, 30)
    assert b"POST" in traces
    assert not every.found(traces)

    assert len(planted.said) > 40
    assert set().union(*(every.found(body.encode()) for body in planted.said)) == QUOTED

    logged = b"\n".join(path.read_bytes() for path in house.logs)
    assert b'"DEBUG"' in logged
    if every.found(logged):
        raise AssertionError([line[:2000] for line in logged.splitlines() if every.found(line)])

    files = await flushed(house.directory / "temporal", numbers, eventually)
    for path, content in files.items():
        assert not every.found(content), path.name
    # Opened with the key, histories hold what a person asked for, and no secret even then.
    opened = [await decrypted(house, number) for number in numbers]
    clear = "\n".join(told for told, _, _ in opened).encode()
    assert planted.personal.found(clear) >= {"an e-mail address", "a telephone number", "a note"}
    assert not planted.secrets.found(clear)

    # PostgreSQL: rows, column by column, then its files, which hold what was deleted, too, and its log.
    url = house.postgres.admin_url
    columns = {(table.name, column.name) for table in metadata.sorted_tables for column in table.columns}
    sealed = {(column.table.name, column.name) for column in sealed_columns()}
    assert len(sealed) >= 6
    assert columns >= ALLOWED.keys() | SENTENCES.keys() | sealed
    assert in_rows(url, planted.secrets) == {}
    held = in_rows(url, planted.personal)
    assert held.keys() <= SENTENCES.keys(), held
    assert set().union(*held.values()) <= QUOTED, held
    places = {(re.sub(r"_p?[0-9]+$", "", table), column) for table, column in in_rows(url, published)}
    assert ("chunks", "body") in places, "there is something to find, and it is found"
    assert places <= ALLOWED.keys(), places - ALLOWED.keys()
    deep = Canaries({word: what for word, what in private.planted.items() if what not in QUOTED})
    size = 0
    for path, content in raw(house.postgres.directory):
        size += len(content)
        assert not deep.found(content), path.name
    figure(
        f"{len(planted.secrets.planted)} secrets and {len(planted.personal.planted)} personal words of "
        f"{len(PROVIDERS)} providers: not in {sum(map(len, files.values())):,} bytes of Temporal, {size:,} of "
        f"PostgreSQL, {len(logged):,} of logs, {len(traces):,} of traces, {len(planted.said)} error answers; no secret "
        f"in {sum(count for _, count, _ in opened)} decrypted histories"
    )


def test_a_planted_word_is_found_in_every_form():
    canaries = Canaries()
    word, name = canaries.plant("a word"), canaries.word("a name")
    number = canaries.number("a number")
    for before in ("", "x", "xy", "xyz", '{"refresh_token": "'):
        hidden = base64.b64encode(f"{before}{word}…".encode())
        assert canaries.found(b"junk" + hidden + b"junk") == {"a word"}
        assert canaries.found(base64.urlsafe_b64encode(f"{before}{word}".encode())) == {"a word"}
        assert canaries.found(base64.b64encode(f"{before}{name} and more".encode())) == {"a name"}
    for told in (word, word.upper(), f"%22{word}%22", f"a@{word}", word.encode().hex()):
        assert canaries.found(told.encode()) == {"a word"}
    asked = httpx.URL("https://a.example", params={"q": f"{number} {name.title()}"})
    assert canaries.found(asked.query) == {"a name", "a number"}
    assert canaries.found(os.urandom(1 << 20)) == set()
    assert len(forms(word)) == 5


def test_a_leak_is_found(postgres):
    """The scans that found nothing above do find."""
    canaries = Canaries()
    word = canaries.plant("a leak")
    engine = create_engine(postgres.admin_url)
    with engine.begin() as c:
        c.execute(text("create table leaking (a bigint, said jsonb)"))
        c.execute(text("insert into leaking values (1, jsonb_build_object('x', cast(:w as text)))"), {"w": word})
    try:
        assert in_rows(postgres.admin_url, canaries) == {("leaking", "said"): {"a leak"}}
        with engine.connect() as c:
            c.execution_options(isolation_level="AUTOCOMMIT").execute(text("checkpoint"))
        assert any(canaries.found(content) for _, content in raw(postgres.directory))
    finally:
        with engine.begin() as c:
            c.execute(text("drop table leaking"))
        engine.dispose()
