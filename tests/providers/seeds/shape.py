"""What the contract suite has to know of a provider and its double. Data only; `seeds/{provider}.py` holds `SEEDS`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from supportly.errors import SupportlyError
from supportly.oauth import ClientRefused
from supportly.provider import Call
from tests.providers.harness import World

Records = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class StreamSeed:
    """Records of one stream, of `kind`: `make(id, title, text)` is a published one, `key(id)` its document's id."""

    kind: str
    make: Callable[[int, str, str], dict[str, Any]]
    key: Callable[[int], str] = str
    broken: Callable[[int], dict[str, Any]] | None = None
    """A record that the double serves and that cannot become a document; None where every record can."""
    paged: bool = True
    """False where the provider has no pages: everything is in one answer."""


@dataclass(frozen=True)
class SheetError:
    """An error body of the fact sheet, as the double sends it to any call, and what has to come of it."""

    name: str
    status: int
    body: Any
    kind: type[SupportlyError]
    retryable: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    """The provider's own code, as `details` names it; empty where it is not passed on."""
    pause: tuple[float, float] | None = None
    """Seconds, from and to, of the wait that the error asks for."""


@dataclass(frozen=True)
class Limit:
    """A rate limit of the fact sheet: `work` is repeated until the double, made small by `settings`, refuses."""

    name: str
    work: Callable[[World, Call], Awaitable[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    pause: tuple[float, float] = (0.001, 3600)
    most: int = 2000
    """Calls after which the double must have refused."""


@dataclass(frozen=True)
class Seeds:
    """One provider's records."""

    person: Callable[[World, str, str, str], Records]
    """A contact with (name, e-mail, phone)."""
    streams: Mapping[str, StreamSeed]
    phones: bool = True
    """Contacts can be found by phone, so that two with one number are ambiguous."""
    world: Callable[[World], Records] = lambda _: {}
    """What actions work on."""
    params: Callable[[World], Mapping[str, Mapping[str, Any]]] = lambda _: {}
    """Parameters of actions whose examples name records that a fresh double does not have."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the connection, where activities or streams need one."""
    account: Callable[[int], tuple[dict[str, Any], dict[str, str]]] = lambda _: ({}, {})
    """The double's settings and the host parts of the n-th provider account."""
    wrong_secret: type[SupportlyError] = ClientRefused
    """What a token endpoint's word on a wrong client secret is read as."""
    errors: tuple[SheetError, ...] = ()
    limits: tuple[Limit, ...] = ()


def monday(world: World, hour: int = 9) -> str:
    """A Monday ahead, when hosts work."""
    today = world.now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=7 - today.weekday())).isoformat().replace("+00:00", "Z")


def html(text: str) -> str:
    """`text` as a paragraph."""
    return f"<p>{text}</p>"
