"""The one way out: hosts, classification, deadlines, the sandbox's transport."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportly.errors import (
    InvalidInput,
    NotFound,
    ProviderFailure,
    ProviderTimeout,
    SupportlyError,
    Throttled,
    TokenRefused,
)
from supportly.http import (
    DEFAULT_RETRY_AFTER,
    LONGEST_MESSAGE,
    Answer,
    Cost,
    Headroom,
    Http,
    Outbound,
    SandboxTransport,
    allowed_host,
    browser_url,
    cleaned,
    failure,
    retry_after,
    segment,
)
from supportly.provider import Provider

HOSTS = ["api.acme.com", "*.acme.io"]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.acme.com/v1?a=b#c",
        "https://api.acme.com:443/",
        "https://API.ACME.COM/",
        "https://shop-1.acme.io/",
        "https://api.acme.com:0443/x@evil.com",  # all of it is the path
    ],
)
def test_hosts_of_the_list_are_allowed(url):
    assert allowed_host(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.acme.com/",  # not encrypted
        "ftp://api.acme.com/",
        "//api.acme.com/",
        "api.acme.com/",
        "https:api.acme.com",
        "https:///api.acme.com/",
        "https://",
        "",
        "https://evil.com/api.acme.com",
        "https://api.acme.com.evil.com/",
        "https://evilapi.acme.com/",
        "https://acme.io/",  # the pattern wants one label more
        "https://a.b.acme.io/",  # and not two
        "https://.acme.io/",
        "https://*.acme.io/",
        "https://api.acme.com./",  # trailing dot: the same host, another certificate check
        "https://api.acme.com:8443/",
        "https://api.acme.com:80/",
        "https://api.acme.com:99999/",
        "https://api.acme.com:x/",
        "https://user@api.acme.com/",
        "https://user:pass@api.acme.com/",
        "https://api.acme.com@evil.com/",
        "https://evil.com#@api.acme.com/",
        "https://evil.com\\@api.acme.com/",
        "https://api.acme.com\\.evil.com/",
        "https://evil.com?@api.acme.com/",
        "https://api.acme.com%2eevil.com/",
        "https://api.acme.com%00.evil.com/",
        "https://api.acme.com\x00.evil.com/",
        "https://api.acme.com\n/",
        "https://api\t.acme.com/",
        " https://api.acme.com/",
        "https://api.acme.com /",
        "https://[::1]/",
        "https://[api.acme.com]/",
        "https://[::ffff:127.0.0.1]/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://localhost/",
        "https://аpi.acme.com/",  # a Cyrillic a
        "https://xn--pi-6kc.acme.com/",
        "https://api。acme。com/",  # dots of another script, which IDNA reads as dots
    ],
)
def test_hostile_addresses_are_refused(url):
    assert not allowed_host(url, HOSTS)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_an_ip_address_is_refused_even_when_it_stands_in_the_list(host):
    assert not allowed_host(f"https://{host}/", [host])


@given(st.text(max_size=60))
def test_what_is_allowed_is_also_where_the_client_goes(tail):
    """Two parsers that disagree about a URL are how a request ends up at another host."""
    url = f"https://api.acme.com{tail}"
    if allowed_host(url, HOSTS):
        with contextlib.suppress(httpx.InvalidURL):  # then nothing is sent
            assert httpx.URL(url).host == "api.acme.com"


def test_a_segment_stays_one_segment():
    assert segment("a/b?c#d") == "a%2Fb%3Fc%23d"
    assert segment(17) == "17"
    assert segment("..%2f") == "..%252f"
    assert segment("ключ") == "%D0%BA%D0%BB%D1%8E%D1%87"
    for bad in ("", ".", "..", "a\x00b"):
        with pytest.raises(InvalidInput):
            segment(bad)


NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("Sun, 01 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 01 Nov 2026 12:01:00 -0000", 60.0),  # no zone at all
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0.0),  # already over
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("1_000", None),
    ],
)
def test_retry_after_in_both_forms(header, seconds):
    assert retry_after({"retry-after": header}, NOW) == seconds


def test_retry_after_may_be_missing():
    assert retry_after({}) is None


def test_a_message_is_cleaned_before_anybody_sees_it():
    said = (
        "<b>Contact</b> ann.lee+x@example.com (+1 415 555 0101) has token "
        "sk_live_abcdefghijklmnopqrstuvwxyz0123456789\n"
        "and a Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
    )
    text = cleaned(said)
    for secret in ("ann", "example.com", "415", "sk_live", "eyJ", "<b>", "\n"):
        assert secret not in text
    assert text.startswith("Contact [e-mail]")


def test_a_message_is_short_and_reading_it_takes_no_time():
    assert len(cleaned("word " * 1000)) <= LONGEST_MESSAGE
    # Patterns over a megabyte without a space took minutes.
    assert cleaned("a" * 1_000_000) in ("", "[…]")
    assert cleaned("<" * 1_000_000) == ""
    assert cleaned(None) == ""
    assert cleaned({"a": 1}) == "{'a': 1}"


@given(st.text(alphabet="ab@. ", min_size=0, max_size=200))
def test_no_address_survives_cleaning(text):
    assert "secret@example.com" not in cleaned(f"{text} secret@example.com {text}")


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, httpx.Headers({k.replace("_", "-"): v for k, v in headers.items()}), body, "GET", "/x")


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (301, ProviderFailure, False),
        (400, ProviderFailure, False),
        (401, TokenRefused, False),
        (403, ProviderFailure, False),
        (404, NotFound, False),
        (408, ProviderFailure, True),
        (409, ProviderFailure, False),
        (422, ProviderFailure, False),
        (423, ProviderFailure, True),
        (425, ProviderFailure, True),
        (429, Throttled, True),
        (500, ProviderFailure, True),
        (502, ProviderFailure, True),
        (503, ProviderFailure, True),
    ],
)
def test_each_status_has_one_meaning(status, kind, retryable):
    error = failure(answer(status), message="Because.", code="why")
    assert type(error) is kind
    assert error.retryable is retryable
    assert error.details["provider_status"] == status


def test_a_pause_comes_from_the_provider_else_from_us():
    assert failure(answer(429, retry_after="7")).retry_after == 7
    assert failure(answer(429, retry_after="7"), wait=3).retry_after == 3
    assert failure(answer(429)).retry_after == DEFAULT_RETRY_AFTER
    assert failure(answer(429, retry_after="0")).retry_after == 0
    assert failure(answer(503, retry_after="9")).retry_after == 9
    assert failure(answer(503)).retry_after is None


def test_an_answer_that_is_not_json_is_said_to_be_none():
    assert answer(200).json() is None
    assert answer(200, b'{"a": 1}').body() == {"a": 1}
    with pytest.raises(ProviderFailure) as caught:
        answer(200, b"<html>").json()
    assert caught.value.retryable
    with pytest.raises(ProviderFailure):
        answer(200, b"[1]").body()


class Acme(Provider):
    id, title, base = "acme", "Acme", "https://api.acme.com/v1"


def outbound(handler: Any, **options: Any) -> Outbound:
    return Outbound(transport=httpx.MockTransport(handler), **{"timeout_s": 0.3, "max_bytes": 1000, **options})


async def test_one_deadline_for_the_whole_request():
    async def slow(request: httpx.Request) -> httpx.Response:
        async def drip() -> AsyncIterator[bytes]:
            while True:  # each piece comes in time, the whole never does
                await asyncio.sleep(0.05)
                yield b"x"

        return httpx.Response(200, content=drip())

    client = outbound(slow)
    with pytest.raises(ProviderTimeout) as caught:
        await client.send("GET", "https://api.acme.com/")
    assert caught.value.retryable
    assert caught.value.sent
    await client.aclose()


async def test_an_answer_that_is_too_large_is_given_up():
    client = outbound(lambda r: httpx.Response(200, content=b"x" * 1001))
    with pytest.raises(ProviderFailure, match="larger than 1000"):
        await client.send("GET", "https://api.acme.com/")


@pytest.mark.parametrize(
    ("raised", "sent"),
    [
        (httpx.ConnectError("x"), False),
        (httpx.ConnectTimeout("x"), False),
        (httpx.PoolTimeout("x"), False),
        (httpx.ReadTimeout("x"), True),
        (httpx.ReadError("x"), True),
        (httpx.RemoteProtocolError("x"), True),
        (httpx.WriteError("x"), True),
    ],
)
async def test_transport_errors_say_whether_bytes_went_out(raised, sent):
    def fail(request: httpx.Request) -> httpx.Response:
        raise raised

    with pytest.raises(ProviderFailure) as caught:
        await outbound(fail).send("POST", "https://api.acme.com/", content=b"secret=1")
    assert (caught.value.sent, caught.value.retryable) == (sent, True)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_redirects_are_not_followed():
    seen = []

    def redirect(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(302, headers={"location": "https://evil.com/"})

    with pytest.raises(ProviderFailure, match="redirect"):
        await Http(outbound(redirect), Acme(), "token").get("/me")
    assert seen == ["https://api.acme.com/v1/me"]


@pytest.mark.parametrize(
    "path", ["https://evil.com/next", "https://api.acme.com@evil.com/", "https://api.acme.com:8080/v1"]
)
async def test_a_link_to_another_host_is_not_followed(path):
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"sent to {request.url}")

    with pytest.raises(ProviderFailure, match="host that is not its own") as caught:
        await Http(outbound(never), Acme(), "token").get(path)
    assert not caught.value.sent


@pytest.mark.parametrize("path", ["//evil.com/x", "http://evil.com/x", "https:evil.com/x", "/\\evil.com"])
async def test_whatever_the_path_the_host_stays_ours(path):
    seen = []

    def record(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(200)

    with contextlib.suppress(ProviderFailure):  # or it is not sent at all
        await Http(outbound(record), Acme(), "token").get(path)
    assert seen in ([], ["api.acme.com"])


async def test_params_leave_out_what_is_none():
    seen = []

    def record(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    http = Http(outbound(record), Acme(), "token-1")
    await http.get("/a?x=1", {"b": None, "c": True, "d": "ä &"})
    await http.get("/a", [("e", 1), ("e", 2), ("f", None)])
    await http.post("/a", {"g": 1})
    await http.post("/a", form={"h": False, "i": None})
    assert str(seen[0].url).endswith("/v1/a?x=1&c=true&d=%C3%A4+%26")
    assert str(seen[1].url).endswith("/v1/a?e=1&e=2")
    assert seen[2].headers["content-type"] == "application/json"
    assert seen[3].content == b"h=false"
    assert all(r.headers["authorization"] == "Bearer token-1" for r in seen)
    assert "token-1" not in repr(http)


async def test_nothing_is_sent_after_the_lease():
    sent = []

    def record(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    http = Http(outbound(record), Acme(), "token", not_after=asyncio.get_running_loop().time() - 1)
    with pytest.raises(ProviderFailure, match="out of time") as caught:
        await http.post("/a")
    assert not caught.value.sent
    assert not sent
    http.not_after = asyncio.get_running_loop().time() + 60
    await http.post("/a")
    assert len(sent) == 1
    assert http.wrote


async def test_before_send_runs_last_and_may_call_it_off():
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("sent")

    def stop() -> None:
        raise ProviderFailure("no", sent=False)

    with pytest.raises(ProviderFailure, match="no"):
        await outbound(never).send("POST", "https://api.acme.com/", before_send=stop)


@pytest.mark.parametrize("url", ["https://api.acme.com/\x7f", "https://api.acme.com:port/"])
async def test_an_address_that_cannot_be_sent_is_a_provider_failure(url):
    with pytest.raises(ProviderFailure) as caught:
        await outbound(lambda r: httpx.Response(200)).send("GET", url)
    assert not caught.value.sent


class Purse:
    def __init__(self, wait: float = 0) -> None:
        self.wait, self.spent, self.learnt = wait, [], []

    async def spend(self, costs: Any, lane: Any) -> float:
        self.spent.append((tuple(costs), lane))
        return self.wait

    async def learn(self, seen: Any) -> None:
        self.learnt += seen


class Metered(Acme):
    limits = (Cost("calls", 100, 10),)

    def headroom(self, answer: Answer, account: str) -> list[Headroom]:
        return [Headroom(f"metered:{account}:calls", 100, 10, 7)]


async def test_each_call_spends_and_learns():
    purse = Purse()
    http = Http(outbound(lambda r: httpx.Response(200)), Metered(), "t", budget=purse, lane="sync", account="a1")
    await http.get("/x")
    assert purse.spent == [((Cost("acme:a1:calls", 100, 10, 1),), "sync")]
    assert purse.learnt == [Headroom("metered:a1:calls", 100, 10, 7)]


async def test_a_spent_budget_sends_nothing():
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("sent")

    http = Http(outbound(never), Metered(), "t", budget=Purse(wait=2.5))
    with pytest.raises(Throttled) as caught:
        await http.post("/x")
    assert caught.value.retry_after == 2.5
    assert not http.wrote


async def test_the_sandbox_gets_every_host_and_sees_which_one():
    seen = []

    def record(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers["host"]))
        return httpx.Response(200)

    client = httpx.AsyncClient(transport=SandboxTransport("http://127.0.0.1:9009", httpx.MockTransport(record)))
    await client.get("https://api.acme.com/v1/me?a=b")
    await client.get("http://127.0.0.1:9009/_supportly/x")
    assert seen == [
        ("http://127.0.0.1:9009/v1/me?a=b", "api.acme.com"),
        ("http://127.0.0.1:9009/_supportly/x", "127.0.0.1:9009"),
    ]
    await client.aclose()


def test_the_browser_is_sent_where_the_provider_is():
    url = "https://auth.acme.com/authorize?a=b&c=d"
    assert browser_url(url, "") == url
    assert browser_url(url, "http://127.0.0.1:9009/") == "http://127.0.0.1:9009/_host/auth.acme.com/authorize?a=b&c=d"


async def test_an_error_of_the_provider_names_no_person():
    body = b'{"message": "No such user ann@example.com", "code": "missing"}'
    with pytest.raises(SupportlyError) as caught:
        await Http(outbound(lambda r: httpx.Response(400, content=body)), Acme(), "t").get("/x")
    assert caught.value.message == "No such user [e-mail]"
    assert caught.value.details == {"provider_status": 400, "provider_code": "missing"}


def test_a_date_far_away_is_a_long_pause():
    then = (NOW + timedelta(days=2)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert retry_after({"retry-after": then}, NOW) == 2 * 86_400
