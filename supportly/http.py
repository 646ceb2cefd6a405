"""The one way out: every call to a provider, or to Supportly, leaves through here.

`Outbound` sends: one total deadline, capped answers, no redirects, transport errors classified. `Http` binds it to one
connection: allowed hosts, token, rate budget, and the provider's own reading of errors. Nothing here retries.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpx
import orjson

from supportly.body import ENCODINGS, Reader
from supportly.errors import (
    InvalidInput,
    NotFound,
    ProviderFailure,
    ProviderTimeout,
    SupportlyError,
    Throttled,
    TokenRefused,
)
from supportly.logs import known
from supportly.telemetry import metrics, tracing

Lane = Literal["waiting", "sync", "knowledge"]
"""Who spends a rate budget: a person waiting, a contact sync, bulk work. Bulk never takes the last fifth."""

DEFAULT_RETRY_AFTER: Final = 10.0
"""Seconds to wait after a 429 that names no time; HubSpot's own SDK waits ten for its ten-second policy."""
LONGEST_MESSAGE: Final = 300
"""Characters of a provider's message that we pass on: a sentence or two, not a page."""
LONGEST_READ: Final = 10 * LONGEST_MESSAGE
"""Characters that cleaning reads: its patterns take time by the square of a text without spaces."""

Pairs = Mapping[str, Any] | Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Cost:
    """What one call takes from a bucket that refills `limit` units every `window_s` seconds."""

    bucket: str
    limit: float
    window_s: float
    amount: float = 1


@dataclass(frozen=True)
class Headroom:
    """What an answer tells about a bucket: units left, and the seconds until it is full again."""

    bucket: str
    limit: float
    window_s: float
    remaining: float


class Budget(Protocol):
    """The rate budget that all processes share (it lives in PostgreSQL)."""

    async def spend(self, costs: Sequence[Cost], lane: Lane) -> float:
        """Take `costs`, all or none. Answers 0 when taken, else the seconds after which it is worth asking again."""

    async def learn(self, seen: Sequence[Headroom]) -> None:
        """Correct the buckets by what the provider said."""


class Unlimited:
    """A budget without limits, for calls to Supportly itself and for token endpoints."""

    async def spend(self, costs: Sequence[Cost], lane: Lane) -> float:
        """Always granted."""
        return 0.0

    async def learn(self, seen: Sequence[Headroom]) -> None:
        """Nothing to correct."""


@dataclass(frozen=True)
class Answer:
    """A provider's answer, read completely."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    method: str
    path: str

    @property
    def is_json(self) -> bool:
        """True when the body parses as JSON."""
        try:
            orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return False
        return True

    def json(self) -> Any:
        """The body; an empty one is None. Raises ProviderFailure (transient) when it is not JSON."""
        if not self.content.strip():
            return None
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            raise ProviderFailure(
                "The provider answered with something that is not JSON.",
                provider_status=self.status,
                transient=True,
            ) from None

    @property
    def date(self) -> datetime:
        """When the server answered, by its own clock (`Date`); ours where it does not say."""
        try:
            found = email.utils.parsedate_to_datetime(self.headers.get("date", ""))
        except ValueError:
            return datetime.now(UTC)
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    def body(self) -> Mapping[str, Any]:
        """The body as an object; anything else is a ProviderFailure."""
        found = self.json()
        if not isinstance(found, dict):
            raise ProviderFailure("The provider answered with an unexpected shape.", provider_status=self.status)
        return found


def segment(value: object) -> str:
    """One path segment, percent-encoded. Empty, `.` and `..` are refused, so that no id climbs out of its path."""
    text = str(value)
    if text in ("", ".", "..") or "\x00" in text:
        raise InvalidInput("An id is empty or not usable in a path.", field="id")
    return quote(text, safe="")


_SECRETS: Final = re.compile(r"[A-Za-z0-9_\-.~+/]{24,}={0,2}")
_EMAILS: Final = re.compile(r"[^\s@<>\"',;:]+@[^\s@<>\"',;:]+")
_PHONES: Final = re.compile(r"\+?\d[\d ().-]{7,}\d")
_TAGS: Final = re.compile(r"<[^>]*>")
_CODE: Final = re.compile(r"[A-Za-z]{1,20}([_.-][A-Za-z]{1,20}){0,9}")
"""An error code: words and separators. What has digits, or no separator for long, may be a secret."""


def cleaned(message: object) -> str:
    """A provider's message that may be shown and stored: no markup, tokens, addresses or phone numbers, and short."""
    text = str(message or "")
    if len(text) > LONGEST_READ:
        # Up to a space, so that no half of an address or a token is left at the end that no pattern knows.
        text = text[:LONGEST_READ].rpartition(" ")[0]
    text = _TAGS.sub(" ", text)
    for pattern, mark in ((_EMAILS, "[e-mail]"), (_SECRETS, "[…]"), (_PHONES, "[number]")):
        text = pattern.sub(mark, text)
    return " ".join(text.split())[:LONGEST_MESSAGE]


def code_word(code: object) -> str:
    """A provider's error code; unlike a message it may be long, as `msg_blocks_too_long_for_this_channel`."""
    text = str(code or "").strip()
    return text if _CODE.fullmatch(text) else cleaned(text)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110: seconds or a date), None when it is missing or unreadable."""
    raw = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", raw):
        return float(raw)
    try:
        then = email.utils.parsedate_to_datetime(raw)
    except ValueError:
        return None
    # RFC 9110 dates are in GMT; one that names the zone `-0000` is parsed without a zone.
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())


def failure(answer: Answer, *, message: str = "", code: str = "", wait: float | None = None) -> SupportlyError:
    """Classify an error answer by its status; `message`, `code` and `wait` are what the provider's body said."""
    status, text = answer.status, cleaned(message)
    if status == httpx.codes.UNAUTHORIZED:
        return TokenRefused(text or "The provider refused the access token.", provider_status=status)
    if status == httpx.codes.NOT_FOUND:
        return NotFound(
            text or "The provider does not know this record.", details={"provider_status": status}, code="not_found"
        )
    if status == httpx.codes.TOO_MANY_REQUESTS:
        pause = next((w for w in (wait, retry_after(answer.headers)) if w is not None), DEFAULT_RETRY_AFTER)
        return Throttled("The provider asks for a pause.", retry_after=pause, details={"provider_status": status})
    if 300 <= status < 400:
        return ProviderFailure("The provider redirected the call; redirects are not followed.", provider_status=status)
    return ProviderFailure(
        text or f"The provider answered with status {status}.",
        provider_status=status,
        provider_code=code_word(code),
        transient=status >= 500 or status in (408, 423, 425),
        retry_after=wait if wait is not None else retry_after(answer.headers),
    )


def allowed_host(url: str, hosts: Sequence[str]) -> bool:
    """True when `url` is https on a host of the list; `*.` in front allows sub-domains of one more label each.

    User info, ports, IP addresses, trailing dots and non-ASCII names never match.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or not host or port not in (None, 443) or "@" in parts.netloc:
        return False
    # `urlsplit` drops control characters and other clients read `\\` as `/`: what is checked has to be what is sent.
    if re.search(r"[\x00-\x20\x7f\\]", url):
        return False
    if not re.fullmatch(r"[a-z0-9.-]+", host) or parts.netloc.rstrip("0123456789").rstrip(":").lower() != host:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return False
    return any(
        host == allowed
        or (allowed.startswith("*.") and bool(re.fullmatch(r"[a-z0-9-]+" + re.escape(allowed[1:]), host)))
        for allowed in hosts
    )


class SandboxTransport(httpx.AsyncBaseTransport):
    """Sends every host to the sandbox, the original one in the Host header; the sandbox's own address passes."""

    def __init__(self, sandbox_url: str, inner: httpx.AsyncBaseTransport) -> None:
        self._sandbox = httpx.URL(sandbox_url)
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Rewrite the address, keep the Host header."""
        if (request.url.host, request.url.port) != (self._sandbox.host, self._sandbox.port):
            request.url = request.url.copy_with(
                scheme=self._sandbox.scheme, host=self._sandbox.host, port=self._sandbox.port
            )
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def browser_url(url: str, sandbox_url: str) -> str:
    """The address that a browser opens for `url`: itself, or the sandbox's `/_host/{host}/…` where one is set."""
    if not sandbox_url:
        return url
    parts = urlsplit(url)
    return f"{sandbox_url.rstrip('/')}/_host/{parts.netloc}{parts.path}?{parts.query}"


class Outbound:
    """The process-wide client: connections, deadline and size cap. Raises ProviderFailure and ProviderTimeout only."""

    def __init__(
        self,
        *,
        timeout_s: float,
        max_bytes: int,
        sandbox_url: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        inner = transport or httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=100, keepalive_expiry=30)
        )
        self._client = httpx.AsyncClient(
            transport=SandboxTransport(sandbox_url, inner) if sandbox_url else inner,
            follow_redirects=False,
            timeout=timeout_s,
            trust_env=False,
            headers={
                "User-Agent": "supportly-integrations",
                "Accept": "application/json",
                "Accept-Encoding": ENCODINGS,
            },
        )
        self.timeout_s = timeout_s
        self._reader = Reader(max_bytes)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout_s: float | None = None,
        before_send: Callable[[], None] | None = None,
        peer: str = "",
    ) -> Answer:
        """Send one request and read its answer within one total deadline (httpx's own are per operation).

        `before_send` runs last before bytes go out and may raise to call it off. `peer` names the other side in
        metrics and traces; without it that is the provider of the work around.
        """
        try:
            request = self._client.build_request(method, url, headers=dict(headers or {}), content=content)
        except (httpx.InvalidURL, UnicodeError):
            raise ProviderFailure("The provider's address or a header cannot be sent.", sent=False) from None
        if before_send:
            before_send()
        peer = peer or str(known().get("provider", "other"))
        began, outcome = time.perf_counter(), "broken"
        with tracing.call(request.method, request.url.path, peer) as span:
            try:
                answer = await self._exchange(request, timeout_s or self.timeout_s)
                outcome = "429" if answer.status == 429 else f"{answer.status // 100}xx"
                span.set_attribute("http.response.status_code", answer.status)
            except ProviderTimeout:
                outcome = "timeout"
                raise
            except ProviderFailure as error:
                outcome = "broken" if error.sent else "unreachable"
                raise
            finally:
                span.set_attribute("supportly.outcome", outcome)
                metrics.CALL.labels(peer, outcome).observe(time.perf_counter() - began)
        return answer

    async def _exchange(self, request: httpx.Request, timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._client.send(request, stream=True)
                try:
                    body = await self._reader.read(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            raise ProviderTimeout("The provider did not answer in time.", transient=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise ProviderFailure("The provider cannot be reached.", transient=True, sent=False) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
            raise ProviderFailure("The connection to the provider broke before its answer.", transient=True) from None
        path = urlsplit(str(request.url)).path
        return Answer(response.status_code, response.headers, body, request.method, path)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


class Policy(Protocol):
    """What `Http` has to know of a provider; `supportly.provider.Provider` is one."""

    @property
    def id(self) -> str: ...  # noqa: D102

    def base_url(self, facts: Mapping[str, str]) -> str: ...  # noqa: D102 (described at Provider)
    def hosts(self, facts: Mapping[str, str]) -> Sequence[str]: ...  # noqa: D102
    def headers(self, access_token: str, method: str, path: str, facts: Mapping[str, str]) -> Mapping[str, str]: ...  # noqa: D102
    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]: ...  # noqa: D102
    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]: ...  # noqa: D102
    def read_error(self, answer: Answer) -> SupportlyError | None: ...  # noqa: D102


@dataclass
class Http:
    """One connection's way to its provider. `get`, `post`… take a path under the provider's base, or a full URL."""

    outbound: Outbound
    policy: Policy
    access_token: str = field(repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)
    budget: Budget = field(default_factory=Unlimited)
    lane: Lane = "waiting"
    account: str = ""
    """Names this provider account in budget buckets."""
    not_after: float | None = None
    """Monotonic time after which nothing may be sent any more: a lease of this work ends then."""
    wrote: bool = False
    """True once a request other than GET was sent: from then on a failure may hide a write."""

    async def get(self, path: str, params: Pairs | None = None, **extra: Any) -> Answer:
        """GET."""
        return await self.request("GET", path, params=params, **extra)

    async def post(self, path: str, json: Any = None, **extra: Any) -> Answer:
        """POST with a JSON body (or `form=`)."""
        return await self.request("POST", path, json=json, **extra)

    async def put(self, path: str, json: Any = None, **extra: Any) -> Answer:
        """PUT with a JSON body."""
        return await self.request("PUT", path, json=json, **extra)

    async def patch(self, path: str, json: Any = None, **extra: Any) -> Answer:
        """PATCH with a JSON body."""
        return await self.request("PATCH", path, json=json, **extra)

    async def delete(self, path: str, **extra: Any) -> Answer:
        """DELETE."""
        return await self.request("DELETE", path, **extra)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Pairs | None = None,
        json: Any = None,
        form: Pairs | None = None,
        headers: Mapping[str, str] | None = None,
        weight: float = 1,
    ) -> Answer:
        """Send one request; None values in `params` are left out.

        `weight` multiplies what the call costs, where only the caller knows it (points of a GraphQL query).

        Raises what `Policy.read_error` makes of an error answer, Throttled when our own budget is spent, and
        ProviderFailure for a host that this connection may not reach.
        """
        base = self.policy.base_url(self.facts)
        url = path if path.startswith("https:") else base.rstrip("/") + "/" + path.lstrip("/")
        url = urljoin(base, url)
        if not allowed_host(url, self.policy.hosts(self.facts)):
            raise ProviderFailure(
                "The provider pointed to a host that is not its own; the call was not sent.", sent=False
            )
        if params:
            pairs = params.items() if isinstance(params, Mapping) else params
            query = urlencode([(k, _text(v)) for k, v in pairs if v is not None])
            url += ("&" if "?" in url else "?") + query if query else ""
        target = urlsplit(url).path
        costs = [replace(c, amount=c.amount * weight) for c in self.policy.costs(method, target, self.account)]
        wait = await self.budget.spend(costs, self.lane)
        if costs:
            metrics.BUDGET.labels(self.policy.id, self.lane, "denied" if wait > 0 else "used").inc()
        if wait > 0:
            raise Throttled("The rate budget for this provider is spent for now.", retry_after=wait)
        content, kind = _encode(json, form)
        sent = {**self.policy.headers(self.access_token, method, target, self.facts), **kind, **(headers or {})}
        self.wrote = self.wrote or method != "GET"
        answer = await self.outbound.send(
            method, url, headers=sent, content=content, before_send=self._in_time, peer=self.policy.id
        )
        if seen := self.policy.headroom(answer, self.account):
            await self.budget.learn(seen)
        if error := self.policy.read_error(answer):
            raise error
        return answer

    def _in_time(self) -> None:
        """An attempt that was stopped past its lease must not send what another may have sent meanwhile."""
        if self.not_after is not None and time.monotonic() > self.not_after:
            raise ProviderFailure("This attempt is out of time; nothing was sent.", transient=True, sent=False)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encode(json: Any, form: Pairs | None) -> tuple[bytes | None, dict[str, str]]:
    if json is not None:
        return orjson.dumps(json), {"Content-Type": "application/json"}
    if form is not None:
        pairs = form.items() if isinstance(form, Mapping) else form
        body = urlencode([(k, _text(v)) for k, v in pairs if v is not None]).encode()
        return body, {"Content-Type": "application/x-www-form-urlencoded"}
    return None, {}
