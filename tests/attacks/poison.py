"""A provider that turned: its answers point our next request elsewhere, and what leaves is looked at.

It stands between us and the double, so that everything else stays as the provider documents it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import httpx

from supportly.http import Outbound
from tests.providers.harness import World

Aim = Literal["links", "ids", "marks"]

PLACE, NAME = "evil-place", "evil-name"
"""A path's segment and a parameter that only an answer names; in a request they mean that it was believed."""
ONWARD = "start_time=99999999999&page=2&cursor=x&page[after]=x&after=2"
"""What the next page's address holds."""
NEXT = tuple(
    f"{place}/{PLACE}?{ONWARD}"
    for place in ("https://evil.example", "https://{host}.evil.example", "https://{host}@evil.example", "@evil.example")
)
"""Addresses of a next page that read like one."""
ELSEWHERE = (
    *NEXT,
    f"https://evil.example/{PLACE}",
    f"//evil.example/{PLACE}",
    f"http://{{host}}/{PLACE}",
    f"https://{{host}}@evil.example/{PLACE}",
    f"https://{{host}}.evil.example/{PLACE}",
    f"https://evil.example#@{{host}}/{PLACE}",
    f"https://evil.example\\@{{host}}/{PLACE}",
    f"https://{{host}}:8443/{PLACE}",
    f"https://{{host}}./{PLACE}",
    "https://127.0.0.1/latest/meta-data",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    f"@evil.example/{PLACE}",
    f".evil.example/{PLACE}",
    "https:evil.example",
    "https://xn--evil.example/",
    f"https://{{host}}\n.evil.example/{PLACE}",
    f"ftp://{{host}}/{PLACE}",
    "javascript:alert(1)",
    "file:///etc/passwd",
)
"""Where a link may lead; `{host}` is the host that was asked."""
CLIMBING = (
    f"1/../../../../{PLACE}",
    f"../../{PLACE}",
    f"1/{PLACE}",
    f"1?{NAME}=1",
    f"1&{NAME}=1",
    f"1#{NAME}",
    f"1%2f..%2f{PLACE}",
    f"..%2f{PLACE}",
    f"1;/{PLACE}",
    f"1\\..\\{PLACE}",
    f"1\r\n{NAME}: 1",
    f"1\x00/{PLACE}",
    "..",
    ".",
    f"//evil.example/{PLACE}",
    f"https://evil.example/{PLACE}",
    f"1' OR {NAME} = '1",
    f'1" OR {NAME} = "1',
)
"""What an id may be that wants more than its place."""
LINK = re.compile(r"(https?:)?//|/[^/ ]+/")
IDS = re.compile(r"(^|_)(id|ids|uid|key|gid|uuid|slug|name_or_key|uri|url_name)$|[a-z](Id|Key|Uri|Uid)$|^(Id|uri|key)$")
MARKS = re.compile(
    r"cursor|after|next|token|offset|page|start_time|end_time|nextRecordsUrl|before|skip|endCursor|continuation",
    re.IGNORECASE,
)


@dataclass
class Poison(httpx.AsyncBaseTransport):
    """Passes requests on, notes where they go, and changes what comes back."""

    inner: httpx.AsyncBaseTransport
    aim: Aim
    turn: int
    sent: list[httpx.Request] = field(default_factory=list)
    changed: int = 0
    _count: Iterator[int] = field(default_factory=itertools.count)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = await self.inner.handle_async_request(request)
        content = await answer.aread()
        headers = [(k, v) for k, v in answer.headers.multi_items() if k not in ("content-length", "location", "link")]
        headers.append(("Location", self._evil(ELSEWHERE, request.url.host)))
        headers.append(("Link", f'<{self._evil(ELSEWHERE, request.url.host)}>; rel="next"'.replace("\n", "")))
        headers = [(k, v.replace("\n", "")) for k, v in headers]
        try:
            body = json.loads(content)
        except ValueError:
            return httpx.Response(answer.status_code, headers=headers, content=content, request=request)
        poisoned = self._walk(body, "", request.url.host)
        return httpx.Response(answer.status_code, headers=headers, content=json.dumps(poisoned), request=request)

    def _evil(self, choices: tuple[str, ...], host: str) -> str:
        # Neighbours in one answer differ, and so do runs.
        return choices[(next(self._count) + self.turn) % len(choices)].replace("{host}", host)

    def _walk(self, value: Any, name: str, host: str) -> Any:
        if isinstance(value, dict):
            return {key: self._walk(one, key, host) for key, one in value.items()}
        if isinstance(value, list):
            return [self._walk(one, name, host) for one in value]
        if isinstance(value, bool) or (value is None and ("next" not in name.lower() or self.aim == "ids")):
            return value
        text = str(value)
        choices: tuple[str, ...] = ()
        if self.aim == "links" and "next" in name.lower():
            choices = NEXT  # also where there is no next page
        elif self.aim == "links" and isinstance(value, str) and LINK.match(text):
            choices = ELSEWHERE
        elif self.aim == "ids" and IDS.search(name):
            choices = CLIMBING
        elif self.aim == "marks" and MARKS.search(name):
            choices = (*CLIMBING, *ELSEWHERE)
        if not choices:
            return value
        self.changed += 1
        return self._evil(choices, host)


def strayed(world: World, sent: list[httpx.Request]) -> list[str]:
    """Requests that went to another host than the provider's own, or where an answer's text became an address."""
    own = [re.compile(pattern) for pattern in world.double.hosts]
    found = []
    for request in sent:
        parts = urlsplit(str(request.url))
        if (
            parts.scheme != "https"
            or parts.port is not None
            or parts.username
            or not any(pattern.fullmatch(parts.hostname or "") for pattern in own)
        ):
            found.append(f"host: {request.url}")
        if PLACE in parts.path.split("/"):
            found.append(f"path: {request.url}")
        if any(name == NAME for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
            found.append(f"parameter: {request.url}")
        if any(name.lower() == NAME for name in request.headers):
            found.append(f"header: {request.url}")
    return found


@contextmanager
def poisoned(world: World, aim: Aim, turn: int) -> Iterator[Poison]:
    """Everything that comes to `world` meanwhile is poisoned."""
    outbound, poison = world.outbound, Poison(world.browser._transport, aim, turn)
    world.outbound = Outbound(timeout_s=world.timeout_s, max_bytes=20_000_000, transport=poison)
    world.engine.outbound = world.outbound
    try:
        yield poison
    finally:
        world.outbound = world.engine.outbound = outbound
