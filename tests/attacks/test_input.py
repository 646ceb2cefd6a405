"""Input that nobody sends by mistake, at every endpoint that reads a body, and in every other place of a request."""

import asyncio
import contextlib
import http.client
import json
import os
import sys
import time
from urllib.parse import quote

import httpx
import psutil
import pytest

from api.app import create_app
from api.routes.knowledge import LONGEST_QUESTION
from api.server import LONGEST_HEAD
from supportly.dev.processes import Child, free_port
from supportly.settings import Settings

DOCUMENT = create_app(Settings()).openapi()
PREFIX = "/api/v1/accounts/{account_id}/supportly_integrations"
READING = [
    (method.upper(), path.removeprefix(PREFIX).format(provider="hubspot", contact_id=1))
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if "requestBody" in operation
]
EVERY_READING = pytest.mark.parametrize(("method", "path"), READING, ids=[path for _, path in READING])
JSON = {"Content-Type": "application/json"}
MEGABYTE = 1_000_000
DEPTH = 10_000

UNREADABLE = {
    "arrays": b'{"a": ' + b"[" * DEPTH + b"]" * DEPTH + b"}",
    "objects": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "both": b'{"a": [' * DEPTH + b"]}" * DEPTH,
    "open": b"[" * 500_000,
    "a little too deep": b'{"a": ' + b"[" * 33 + b"]" * 33 + b"}",
    "a key twice": b'{"code": "a", "content": "a", "content": "b", "code": "b"}',
    "a key twice, deep": b'{"a": [{"b": {"c": 1, "c": 1}}]}',
    "a key twice, written otherwise": b'{"content": "a", "c\\u006fntent": "b"}',
    "half a character": b'{"content": "\\ud83d", "code": "\\ud83d"}',
    "halves in the wrong order": b'{"a": "\\ude00\\ud83d"}',
    "half a character as a key": b'{"\\udc00": 1}',
    "half a character as bytes": b'{"a": "\xed\xa0\xbd"}',
    "NUL": b'{"a": "x\\u0000y"}',
    "NUL as a byte": b'{"a": "x\x00y"}',
    "NUL in a key, deep": b'{"a": [{"b\\u0000": 1}]}',
    "a giant number": b'{"a": ' + b"9" * 4000 + b"}",
    "a number like a bomb": b'{"a": 1e99999999}',
    "no number": b'{"a": -Infinity}',
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "two bodies": b'{"a": 1}{"b": 2}',
    "a comment": b'{"a": 1 /* one */}',
    "an array": b'[{"content": "x"}]',
    "a text": b'"' + b"x" * 900_000 + b'"',
}


def named(answer, status):
    """An error in the one shape that says what is wrong, and where."""
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    body = answer.json()
    assert set(body) == {"error", "code", "request_id", "details"}
    assert body["details"]["field"]
    assert len(body["error"]) < 400
    return body


@pytest.fixture(scope="module")
def admin(register, http):
    return register.caller(http, 3_910_000)


def test_there_are_endpoints_to_attack():
    assert len(READING) == 7


@EVERY_READING
def test_what_is_no_proper_body_is_refused_and_named(admin, method, path):
    for what, raw in UNREADABLE.items():
        body = named(admin.call(method, path, content=raw, headers=JSON), 422)
        assert body["code"] in ("invalid_json", "invalid_input"), (what, body)
        if "deep" in what or what in ("arrays", "objects", "both", "open"):
            assert "deeply" in body["error"] or "twice" in body["error"] or "NUL" in body["error"], (what, body)


@EVERY_READING
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "in pieces"])
def test_ten_megabytes_are_refused_and_named(admin, method, path, declared):
    raw = b'{"content": "' + b"x" * (10 * MEGABYTE) + b'"}'
    pieces = (raw[at : at + 65_536] for at in range(0, len(raw), 65_536))
    answer = admin.call(method, path, content=raw if declared else pieces, headers=JSON)
    assert named(answer, 413)["code"] == "body_too_large"


@pytest.mark.parametrize(
    "path",
    ["/knowledge/search?q={}", "/knowledge/search?q=x&locale={}", "/knowledge/search?q=x&provider={}", "/{}",
     "/{}/contacts/1", "/hubspot/contacts/{}", "/operations/{}", "/knowledge/search?{}=1", "/hubspot?{}"],
)  # fmt: skip
def test_odd_characters_in_an_address_are_no_failure_of_ours(admin, path):
    for odd in ("%00", "a%00b", "%ED%A0%80", "%ff%fe", "%C0%80", "%F0%9F%98%80", "%0d%0aX: y", "..%2f..%2fadmin", "%",
                "%zz", "%E2%80%AE", "x" * 30_000, "%5c%5c", "%20", "%2e%2e", "1%2fsync", "%7b%7b7*7%7d%7d",
                "'%20or%201=1--", "%3Cscript%3E", "9" * 5_000, "%D9%A3", "-1", "1e5", "0x10"):  # fmt: skip
        answer = admin.call("GET", path.format(odd))
        # 405: a slash is one however it is written, so that `1%2fsync` is another address.
        assert answer.status_code in (200, 404, 405, 422), (odd, answer.status_code, answer.text[:200])
        if answer.status_code != 200:
            assert set(answer.json()) == {"error", "code", "request_id", "details"}
        assert "x-evil" not in answer.headers
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["X-Request-Id", "Prefer", "Idempotency-Key", "api_access_token", "Authorization"])
def test_odd_characters_in_a_header_are_no_failure_of_ours(admin, name):
    for odd in (b"", b"x" * 30_000, b"\xff\xfe", b"\xc3\xa9", b"wait=", b"wait=99999999999999999999",
                b"wait=-1", b"wait=1;wait=2, wait", b"Bearer", b"a\tb", b"'; drop table x; --"):  # fmt: skip
        headers = {name: odd} | ({} if name == "api_access_token" else {"api_access_token": admin.token.encode()})
        address = f"{admin.base}/hubspot/contacts/1/activity"
        answer = admin.http.post(address, json={"content": "x"}, headers=list(headers.items()))
        assert answer.status_code in (401, 409, 422), (odd, answer.status_code, answer.text[:200])
        assert set(answer.json()) == {"error", "code", "request_id", "details"}


@pytest.mark.parametrize("path", ["/hubspot/settings", "/hubspot/connect", "/knowledge/status", ""])
def test_an_unknown_method_is_told_the_known_ones(admin, path):
    template = f"{PREFIX}{path}".replace("/hubspot", "/{provider}")
    known = {method.upper() for method in DOCUMENT["paths"][template]}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PROPFIND"} - known:
        answer = admin.call(method, path)
        assert answer.status_code == 405, (method, answer.status_code)
        assert {one.strip() for one in answer.headers["allow"].split(",")} == known
        assert answer.json()["code"] == "method_not_allowed"


@pytest.fixture(scope="module")
def process(service, tmp_path_factory):
    """An API in a process of its own, so that its memory can be read."""
    directory, port = tmp_path_factory.mktemp("api"), free_port()
    env = {
        **os.environ,
        "SUPPORTLY_DATABASE_URL": service.settings.database_url,
        "SUPPORTLY_TEMPORAL_ADDRESS": service.settings.temporal_address,
    }
    command = [sys.executable, "-m", "api", "--port", str(port)]
    child = Child("api", command, log=directory / "api.log", env=env)
    url, ends = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while True:
        assert child.running, child.log.read_text()[-2000:]
        assert time.monotonic() < ends
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                break
        except httpx.HTTPError:
            time.sleep(0.1)
    yield child, url
    child.kill()


def test_memory_is_bounded_whatever_is_sent(process, admin, figure):
    """Forty bodies of ten megabytes at once, and twelve as deep or as wide as the limit lets them be."""
    child, url = process
    watched = psutil.Process(child.pid)
    token = {"api_access_token": admin.token, **JSON}
    wide = json.dumps({"content": "x", "params": {f"k{n}": [] for n in range(60_000)}}).encode()
    legal = [wide, b'{"content": ' + b"[" * 499_000 + b"]" * 499_000 + b"}", b'{"a":[' + b"{}," * 300_000 + b"{}]}"]
    assert all(len(raw) < MEGABYTE for raw in legal)

    async def flood(bodies):
        peak = 0
        async with httpx.AsyncClient(base_url=url, timeout=120, headers=token) as client:

            async def send(raw):
                async def pieces():
                    for at in range(0, len(raw), 65_536):
                        yield raw[at : at + 65_536]

                return (await client.post(f"{admin.base}/hubspot/contacts/1/activity", content=pieces())).status_code

            sending = asyncio.gather(*map(send, bodies))
            while not sending.done():
                peak = max(peak, watched.memory_info().rss)
                await asyncio.sleep(0.01)
            return await sending, peak

    asyncio.run(flood([b'{"content": "x"}'] * 40))
    before = watched.memory_info().rss
    large, peak_large = asyncio.run(flood([b" " * (10 * MEGABYTE)] * 40))
    small, peak_small = asyncio.run(flood(legal * 4))
    grown = (max(peak_large, peak_small) - before) // MEGABYTE
    figure(
        f"400 MB in 40 requests and 8 MB in 12 more: the API grew by {grown} MB at most from {before // MEGABYTE} MB"
    )
    assert set(large) == {413}
    # 503: so many at once may wait too long for a connection to the database.
    assert set(small) <= {409, 422, 503}
    # One body is parsed at a time, into some thirty times its bytes at worst.
    assert grown < 150


def asked(admin, question: str) -> tuple[int, bytes]:
    """Status and body of a search. httpx sends no address above 64 KiB; other clients do."""
    address = httpx.URL(str(admin.http.base_url))
    line = http.client.HTTPConnection(address.host, address.port, timeout=90)
    path = f"/api/v1/accounts/{admin.account_id}/supportly_integrations/knowledge/search?q={quote(question)}"
    with contextlib.closing(line):
        line.request("GET", path, headers={"Authorization": f"Bearer {admin.token}"})
        answer = line.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("character", ["x", "é", "語", "😀"])
def test_a_question_of_ten_thousand_characters_is_answered_in_any_script(admin, character):
    """It travels in the address, where a character takes up to twelve bytes."""
    status, body = asked(admin, character * LONGEST_QUESTION)
    assert status == 200, body[:300]
    status, body = asked(admin, character * (LONGEST_QUESTION + 1))
    assert (status, json.loads(body)["details"]["field"]) == (422, "q")


def test_a_request_whose_head_does_not_end_is_refused(admin):
    """With 400, or without an answer for those who go on sending."""
    try:
        status, _ = asked(admin, "x" * 8 * LONGEST_HEAD)
    except ConnectionError:
        status = 400
    assert status == 400
