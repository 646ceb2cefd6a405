"""What a user may type where a host's name is asked for: 300 hostile texts, and none leads to a foreign host.

What counts as foreign is said by the double (the provider's documented hosts), not by the patterns under test; where a
request would really go is read off the request by httpx.
"""

from __future__ import annotations

import re
from contextlib import suppress

import httpx
import pytest

from supportly.errors import InvalidInput, SupportlyError
from supportly.http import Outbound
from supportly.oauth import authorization_url, new_state
from supportly.provider import ConnectField, Provider
from supportly.providers import PROVIDERS
from tests.providers.harness import REDIRECT, World

PARTS = [(p, part) for p in PROVIDERS if p.available for part in p.connect_fields]
EVERY_PART = pytest.mark.parametrize(("provider", "part"), PARTS, ids=[f"{p.id}-{part.name}" for p, part in PARTS])
KEPT = [(p, name) for p in PROVIDERS if p.available for name in p.oauth.keep if "url" in name or "domain" in name]
EVERY_KEPT = pytest.mark.parametrize(("provider", "name"), KEPT, ids=[f"{p.id}-{name}" for p, name in KEPT])

EVIL = (
    "evil.com",
    "evil.example",
    "xn--vil-cla.com",
    "127.0.0.1",
    "169.254.169.254",
    "localhost",
    "[::1]",
    "0x7f000001",
)
"""Hosts that nobody meant, among them what a cloud's metadata service and this machine answer on."""
SPACES = ("\n", "\r", "\r\n", "\t", " ", "\x00", "\x0b", "\u00a0", "\u2028", "\u3000", "\ufeff", "\u200b", "%0a", "%00")
SUFFIXES = ("net", "org", "io", "test", "evil.com", "com.evil.com", "example.com", "localhost", "internal")
LOOKALIKES = (
    "ａcme",
    "аcme",
    "acme\u0301",
    "ACME\u212a",
    "acmeß",
    "ac\u00adme",
    "acme\u3002evil",
    "acme\uff0eevil",
    "ＡＣＭＥ",
)
MARKS = (
    "#",
    "?",
    "/",
    "\\",
    "@",
    ":",
    ";",
    "&",
    "%23",
    "%2f",
    "%40",
    "%5c",
    "//",
    "/..",
    "/../",
    ".",
    "..",
    "...",
    "|",
    "^",
    "`",
)
FORMS = (
    "2130706433", "0177.0.0.1", "127.1", "0", "::1", "[::ffff:127.0.0.1]", "017700000001",
    "1.1.1.1", "http://", "https://",
    "javascript:alert(1)", "file:///etc/passwd", "gopher://evil.com", "-", "--", "_", "-acme", "acme-", "a" * 64,
    "a" * 300, "{subdomain}", "{0}", "%s", "${host}", "{{7*7}}", "*", "*.acme", "acme,evil", "acme evil", "", " ", "\n",
)  # fmt: skip


def hostile(good: str) -> list[str]:
    """300 texts and more around `good`, the example of a valid one."""
    name, _, domain = good.partition(".")
    tail = f".{domain}" if domain else ""
    found = [*FORMS]
    for evil in EVIL:
        found += [
            evil, f"{good}.{evil}", f"{evil}#", f"{evil}#{good}", f"{evil}?{good}", f"{evil}/{good}", f"{evil}\\{good}",
            f"{evil}/", f"{evil}:443", f"{evil}@{good}", f"{good}@{evil}", f"{good}:x@{evil}", f"{good}/@{evil}",
            f"{good}#@{evil}", f"https://{evil}", f"//{evil}", f"{evil}%23{tail}", f"{evil}%2f{tail}",
            f"{evil}{tail}@{evil}", f"{evil}\n{tail}", f"{evil}#{tail}", f"{evil}/{tail}", f"{evil}?{tail}",
            f"{evil}\\{tail}",
        ]  # fmt: skip
    found += [f"{good}{space}" for space in SPACES] + [f"{space}{good}" for space in SPACES]
    found += [f"{name}{space}{tail}" for space in SPACES] + [f"{look}{tail}" for look in LOOKALIKES]
    found += [f"{name}{mark}{tail}" for mark in MARKS] + [f"{good}{mark}" for mark in MARKS]
    found += [f"{mark}{good}" for mark in MARKS]
    found += [good.upper(), good.title(), f"{good.upper()}.EVIL.COM", f"EVIL.COM#{tail}", f"EVIL.COM{tail.upper()}#"]
    found += [f"{good}.", f".{good}", f"{good}:8080", f"{good}:0443", f"{good}:443", f"user@{good}", f"user:pw@{good}"]
    found += [f"{good}.{suffix}" for suffix in SUFFIXES] + [f"{good}-{suffix}" for suffix in SUFFIXES if "." in suffix]
    if domain:
        found += [
            f"{name}.evil{tail}x",
            f"{name}x{domain}",
            f"{name}.evil.{domain}.evil.com",
            domain,
            f".{domain}",
            f"a.b.{good}",
        ]
    return list(dict.fromkeys(found))


class Border(httpx.AsyncBaseTransport):
    """Lets requests to the provider's own hosts through, and keeps a list of all others."""

    def __init__(self, world: World) -> None:
        self.own = [re.compile(pattern) for pattern in world.double.hosts]
        self.inner, self.foreign = world.browser._transport, []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if (
            url.scheme != "https"
            or url.port is not None
            or url.userinfo
            or not any(p.fullmatch(url.host) for p in self.own)
        ):
            self.foreign.append(str(url))
        return await self.inner.handle_async_request(request)


def guarded(world: World) -> Border:
    """Everything that leaves `world` from now on goes past a border."""
    border = Border(world)
    world.outbound = Outbound(timeout_s=world.timeout_s, max_bytes=1_000_000, transport=border)
    world.engine.outbound = world.outbound
    return border


def address(provider: Provider, parts: dict[str, str]) -> httpx.URL:
    """The consent page as a browser is sent there."""
    page = provider.urls(parts)[0]
    url = authorization_url(
        provider.oauth,
        page,
        client_id="c",
        redirect_uri=REDIRECT,
        state=new_state(),
        code_challenge=None,
    )
    return httpx.URL(url)


def test_there_are_enough_of_them():
    assert all(len(hostile(part.example)) >= 300 for _, part in PARTS)
    assert len(KEPT) >= 2


@EVERY_PART
async def test_no_hostile_part_reaches_a_foreign_host(provider: Provider, part: ConnectField):
    world = World(provider)
    tokens = await world.tokens()
    border = guarded(world)
    accepted, named = [], set()
    for text in hostile(part.example):
        try:
            world.parts = provider.host_parts({part.name: text})
        except InvalidInput as refused:
            named.add(refused.details["field"])
            continue
        accepted.append(text)
        consent = address(provider, world.parts)
        assert consent.scheme == "https"
        assert not consent.userinfo
        assert any(pattern.fullmatch(consent.host) for pattern in border.own), text
        for send in (world.refresh(tokens), provider.identify(world.http(tokens))):
            # An account of that name may not exist; where it was looked for is what counts.
            with suppress(SupportlyError):
                await send
    assert border.foreign == []
    assert named == {part.name}
    # Few are names in another spelling (`ACME`), and an empty one may have a default.
    assert len(accepted) <= 12, accepted


@EVERY_KEPT
@pytest.mark.beside_the_contract  # a hostile host may end in a path
async def test_a_host_from_the_token_answer_is_believed_only_if_it_is_the_providers(provider: Provider, name: str):
    world = World(provider)
    tokens = await world.tokens()
    good = httpx.URL(tokens.facts[name]).host
    border = guarded(world)
    tried = stopped = 0
    for text in hostile(good):
        for given in (text, f"https://{text}", f"https://{text}/"):
            tried += 1
            try:
                await provider.identify(world.http(tokens, **{name: given}))
            except SupportlyError as refused:
                stopped += getattr(refused, "sent", False) is False
    assert border.foreign == []
    # The others are names of the provider's own in another spelling, such as an upper-case one.
    assert tried >= 900
    assert tried - stopped <= 60
