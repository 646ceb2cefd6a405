"""How times, numbers and states read on a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from markupsafe import Markup, escape

from supportly.contracts import addresses

UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
SHORTEST_WORD: Final = 3
"""Letters of a question's word that is worth marking in a snippet."""
STATES: Final = {
    "never_run": ("Never synced", "quiet"),
    "running": ("Syncing", "busy"),
    "succeeded": ("Succeeded", "good"),
    "partial": ("Partly", "warn"),
    "failed": ("Failed", "bad"),
    "canceled": ("Cancelled", "quiet"),
    "stalled": ("Stalled", "bad"),
    "connected": ("Connected", "good"),
    "reconnect_required": ("Reconnect", "bad"),
    "disconnecting": ("Disconnecting", "busy"),
    "not_connected": ("Not connected", "quiet"),
    "held": ("Waiting for you", "warn"),
    "confirmed": ("Deleted", "quiet"),
    "rejected": ("Kept", "quiet"),
    "undone": ("Restored", "quiet"),
    "void": ("Came back", "quiet"),
    "final": ("Deleted", "quiet"),
}
"""State -> word and tone."""
TRIGGERS: Final = {"manual": "by hand", "schedule": "on schedule", "toggle": "when switched on"}
ACRONYMS: Final = {"id": "ID", "jql": "JQL", "url": "URL", "api": "API", "sla": "SLA", "soql": "SOQL"}


def instant(given: str | datetime) -> datetime:
    """A moment of an answer; without a zone it is UTC."""
    found = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def duration(seconds: float) -> str:
    """`4 minutes`, the largest unit alone; `0.4 seconds` below one."""
    if seconds < 1:
        return f"{max(seconds, 0):.1f} seconds"
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size)
    count = int(seconds // size)
    return f"{count} {unit}{'' if count == 1 else 's'}"


def ago(given: str | datetime | None) -> Markup:
    """How long ago, or how long until, with the exact time in the element."""
    if not given:
        return Markup("never")
    at = instant(given)
    seconds = (datetime.now(UTC) - at).total_seconds()
    near = abs(seconds) < 10
    told = "just now" if near else f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"
    exact = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), exact, told)


def span(started: str | datetime, finished: str | datetime | None) -> str:
    """How long a run took, or has taken."""
    end = instant(finished) if finished else datetime.now(UTC)
    return duration((end - instant(started)) / timedelta(seconds=1))


def number(value: float | None) -> str:
    """With narrow blanks between thousands; a dash for nothing."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def percent(share: float) -> str:
    """`99.5 %`; full ones without decimals. Never rounded up to 100."""
    tenths = int(share * 1000)
    return f"{tenths // 10}\u00a0%" if tenths % 10 == 0 else f"{tenths / 10:.1f}\u00a0%"


def label(name: str) -> str:
    """`default_ticket_id` as a label: `Default ticket ID`."""
    words = [ACRONYMS.get(word, word) for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def state(word: str) -> tuple[str, str]:
    """A state's word and tone."""
    return STATES.get(word, (label(word), "quiet"))


def plural(count: int, one: str, many: str = "") -> str:
    """`1 document`, `3 documents`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def first_of(item: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that says something: each provider's things are named in their own way."""
    return next((str(item[name]) for name in names if item.get(name)), "")


def web_address(url: Any) -> str:
    """`url` when a link may point there: providers' answers are not trusted with `javascript:`."""
    return addresses.web_address(url) or ""


def marked(snippet: str, question: str) -> Markup:
    """A snippet as text, with the question's words marked."""
    words = {word for word in re.findall(r"\w+", question.lower()) if len(word) >= SHORTEST_WORD}
    if not words:
        return escape(snippet)
    found = re.compile(rf"\b({'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})\b", re.IGNORECASE)
    pieces = [
        Markup("<mark>{}</mark>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(found.split(snippet))
    ]
    return Markup("").join(pieces)


def plainly(message: str) -> str:
    """What a validator says, without the words that only programs need."""
    bare = re.sub(r"^`(params|settings)` is not valid: ", "", message).replace("Value error, ", "")
    return f"{bare[:1].upper()}{bare[1:]}"


def backticked(text: str) -> Markup:
    """A sentence whose `names` stand in code's type."""
    pieces = [
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    ]
    return Markup("").join(pieces)
