"""Answers are read with bounded memory, however large, packed or many they are."""

import asyncio
import gzip
import tracemalloc
import zlib

import httpx
import pytest

from supportly.body import LARGE, LARGE_AT_ONCE
from supportly.errors import ProviderFailure, ProviderTimeout
from supportly.http import Outbound

URL = "https://api.acme.com/"


def outbound(handler, **options):
    return Outbound(transport=httpx.MockTransport(handler), **{"timeout_s": 5, "max_bytes": 1000, **options})


def answered(content, **headers):
    return lambda request: httpx.Response(200, content=content, headers=headers)


async def stream(*pieces):
    for piece in pieces:
        yield piece


async def test_what_was_packed_is_unpacked():
    text = b'{"a": "' + b"x" * 500 + b'"}'
    packed = gzip.compress(text)
    for content in (stream(packed), stream(*(packed[n : n + 1] for n in range(len(packed))))):
        got = await outbound(answered(content, **{"content-encoding": "gzip"})).send("GET", URL)
        assert got.content == text
    two = gzip.compress(text[:100]) + gzip.compress(text[100:])
    assert (await outbound(answered(stream(two), **{"content-encoding": "gzip"})).send("GET", URL)).content == text
    assert (await outbound(answered(stream(), **{"content-encoding": "gzip"})).send("GET", URL)).content == b""


async def test_only_what_can_be_unpacked_safely_is_asked_for():
    asked = []

    def answer(request):
        asked.append(request.headers["accept-encoding"])
        return httpx.Response(200, content=b"{}")

    await outbound(answer).send("GET", URL)
    assert asked == ["gzip"]
    with pytest.raises(ProviderFailure, match="not asked for") as refused:
        await outbound(answered(stream(b"x"), **{"content-encoding": "zstd"})).send("GET", URL)
    assert refused.value.retryable


@pytest.mark.parametrize("content", [b"no gzip at all", gzip.compress(b"x" * 500)[:-12]], ids=["broken", "cut"])
async def test_a_packed_answer_that_is_broken_or_cut_may_be_tried_again(content):
    with pytest.raises(ProviderFailure) as failed:
        await outbound(answered(stream(content), **{"content-encoding": "gzip"})).send("GET", URL)
    assert failed.value.retryable
    assert failed.value.sent


async def test_an_answer_that_says_that_it_is_too_large_is_not_read():
    read = []

    async def body():
        read.append(1)
        yield b"x"

    client = outbound(answered(body(), **{"content-length": "1001"}))
    with pytest.raises(ProviderFailure, match="larger than 1000"):
        await client.send("GET", URL)
    assert read == []


async def test_a_small_piece_that_unpacks_to_a_giant_takes_no_more_memory_than_is_allowed():
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(bytes(200_000_000)) + packer.flush()
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(ProviderFailure, match="larger than 2000000"):
            client = outbound(answered(stream(bomb), **{"content-encoding": "gzip"}), max_bytes=2_000_000)
            await client.send("GET", URL)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


async def test_few_large_answers_are_read_at_a_time_and_small_ones_meanwhile():
    open_large, most, full, go_on = 0, 0, asyncio.Event(), asyncio.Event()

    async def large():
        nonlocal open_large, most
        yield b"x" * (LARGE + 1)
        open_large += 1
        most = max(most, open_large)
        if open_large == LARGE_AT_ONCE:
            full.set()
        await go_on.wait()
        open_large -= 1
        yield b"x"

    def answer(request):
        return httpx.Response(200, content=large() if request.url.path == "/large" else stream(b"{}"))

    client = outbound(answer, max_bytes=2 * LARGE, timeout_s=60)
    reading = [asyncio.create_task(client.send("GET", f"{URL}large")) for _ in range(3 * LARGE_AT_ONCE)]
    await full.wait()
    assert (await client.send("GET", URL)).content == b"{}"
    go_on.set()
    assert {len(answer.content) for answer in await asyncio.gather(*reading)} == {LARGE + 2}
    assert most == LARGE_AT_ONCE


async def test_whoever_waits_for_a_turn_waits_within_the_deadline():
    async def large():
        yield b"x" * (LARGE + 1)
        await asyncio.Event().wait()

    client = outbound(lambda request: httpx.Response(200, content=large()), max_bytes=2 * LARGE, timeout_s=0.2)
    ended = await asyncio.gather(*(client.send("GET", URL) for _ in range(2 * LARGE_AT_ONCE)), return_exceptions=True)
    assert {type(one) for one in ended} == {ProviderTimeout}
