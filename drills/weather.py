"""What providers do on bad days, as the sandbox is told of it, and what a caller of the API has to meet then.

The repeating cursor concerns syncs of knowledge, all others a request that a person waits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

PAUSE_S: Final = 2
"""`Retry-After` of a pause that a caller sits out."""
LONG_S: Final = 36_000
"""`Retry-After` of ten hours: no caller waits for it."""
HUGE: Final = 200_000_000
"""Bytes of an answer, ten times as many as `SUPPORTLY_MAX_ANSWER_BYTES` allows."""
DRIP_S: Final = 0.5
"""Between two of some fifty pieces of a slow answer: together far longer than a call may take."""


@dataclass(frozen=True)
class Weather:
    """One way to fail. `told` are fields of the sandbox's fault; `{about}` in a header is what the fault is about."""

    name: str
    told: Mapping[str, Any] = field(default_factory=dict, hash=False)
    then: Literal["passes", "pauses", "fails", "circles"] = "passes"
    """A failure that is tried again until it passes, a pause that is too long to wait for, a failure that is final at
    once, a listing without an end."""
    status: int = 502
    code: str = "provider_error"
    """Status and code of the answer where it never passes."""
    pause_s: float = 1.0
    """Seconds at least between the failure and the next try."""

    @property
    def huge(self) -> bool:
        """True where an answer is larger than any that is read."""
        return "size" in self.told

    @property
    def throttles(self) -> bool:
        """True where the provider asks for a pause: then nobody asks it meanwhile, about whatever it is."""
        return self.code == "throttled"

    def fault(self, about: str, *, writes: bool = False, times: int = 1) -> dict[str, Any]:
        """The fault for requests about a text. A write is done by the double where an answer of 200 says so."""
        headers = {name: value.format(about=about) for name, value in self.told.get("headers", {}).items()}
        done = writes and (self.told.get("status") == 200 or self.huge)
        return {**self.told, "headers": headers, "about": about, "times": times, "commit": done}


PAGE: Final = "<!doctype html><html><head><title>Sign in</title></head><body><h1>Welcome</h1></body></html>"

WEATHER: Final[tuple[Weather, ...]] = (
    Weather(
        "429_retry_after", {"status": 429, "retry_after": PAUSE_S, "body": {}}, "passes", 429, "throttled", PAUSE_S
    ),
    Weather("429", {"status": 429, "body": {}}, "passes", 429, "throttled"),
    Weather("429_ten_hours", {"status": 429, "retry_after": LONG_S, "body": {}}, "pauses", 429, "throttled"),
    Weather("500", {"status": 500, "body": {"message": "Internal error"}}),
    Weather("502_html", {"status": 502, "body": PAGE, "content_type": "text/html"}),
    Weather("cut_body", {"cut": "body"}),
    Weather("slow_body", {"drip": DRIP_S}, "passes", 504, "provider_timeout"),
    Weather("wrong_content_type", {"status": 200, "body": PAGE, "content_type": "text/html"}),
    Weather("invalid_json", {"status": 200, "body": '{"results": [{"id": 1, "na'}),
    Weather("huge_body", {"size": HUGE}, "fails"),
    Weather("endless_redirects", {"status": 302, "headers": {"location": "/again?about={about}"}}, "fails"),
    Weather("repeating_cursor", {"replay": True}, "circles"),
)
