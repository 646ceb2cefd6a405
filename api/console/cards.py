"""Each provider in one card: how it stands, what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from api.console.wording import percent, plural

Level = Literal["bad", "warn", "note"]
ORDER: Final[Mapping[str, int]] = {"bad": 0, "warn": 1, "note": 2}
REASONS: Final = {
    "revoked_by_user": "The provider has ended this access: somebody removed the app there, or the user who connected "
    "it lost their rights.",
    "refresh_outcome_lost": "The answer to the last token refresh was lost, and this provider allows no second try.",
}
"""Why a connection has to be made again."""
EQUAL_ENOUGH: Final = 0.95
"""Share of equal documents that a healthy sync keeps; below it even the upper end of the interval is worth a look."""


@dataclass(frozen=True)
class Advice:
    """Something that is wrong, and what to do."""

    level: Level
    title: str
    text: str
    todo: str = ""
    """What to do, as a link's text; empty when only waiting helps."""
    to: str = ""
    """Where: a path below the provider's page."""
    adminly: bool = False
    """An administrator has to do it."""


@dataclass(frozen=True)
class Card:
    """A provider on the overview."""

    shown: Mapping[str, Any]
    """The API's entry of the integration."""
    knowledge: Mapping[str, Any] | None
    """The API's entry of its knowledge; None where it has none, or where the status is not known."""
    configured: bool
    advice: list[Advice] = field(default_factory=list)

    @property
    def group(self) -> str:
        """`trouble`, `connected` or `open`."""
        if any(one.level in ("bad", "warn") for one in self.advice):
            return "trouble"
        return "open" if self.shown["status"] == "not_connected" else "connected"

    @property
    def tone(self) -> str:
        """The worst level of its advice; empty when all is well."""
        return min((one.level for one in self.advice), key=ORDER.__getitem__, default="")


def card(shown: Mapping[str, Any], knowledge: Mapping[str, Any] | None, *, configured: bool) -> Card:
    """The card of one provider."""
    alive = shown["status"] != "not_connected"
    found = [*_connection(shown, configured=configured), *(_knowledge(knowledge) if knowledge and alive else ())]
    return Card(shown, knowledge, configured, sorted(found, key=lambda one: ORDER[one.level]))


def _connection(shown: Mapping[str, Any], *, configured: bool) -> Iterable[Advice]:
    name = shown["name"]
    if not shown["available"]:
        yield Advice("note", "Not available yet", f"{name} is announced and not built yet.")
    elif not configured:
        yield Advice(
            "note",
            "Not set up on this server",
            f"An operator has to register an app at {name} and set SUPPORTLY_{shown['provider'].upper()}_CLIENT_ID "
            "and its secret.",
        )
    if shown["status"] == "reconnect_required":
        why = REASONS.get(shown["reason"] or "", "The provider does not accept Supportly's access any more.")
        yield Advice("bad", "Has to be connected again", why, "Connect again", "/connect", adminly=True)
    if shown["missing_scopes"]:
        missing = ", ".join(shown["missing_scopes"])
        yield Advice(
            "warn",
            plural(len(shown["missing_scopes"]), "permission is missing", "permissions are missing"),
            f"Not granted: {missing}. What needs them fails; connect again and allow them.",
            "Connect again",
            "/connect",
            adminly=True,
        )


def _knowledge(found: Mapping[str, Any]) -> Iterable[Advice]:
    streams = "; ".join(
        f"{name}: {why}" for name, why in ((found["last_run"] or {}).get("failed_streams") or {}).items()
    )
    if found["state"] == "stalled":
        yield Advice(
            "bad",
            "The sync is stuck",
            "It was begun, and no worker works on it. An operator should look whether workers run; the next sync "
            "closes it.",
            "Look at it",
            "/knowledge",
        )
    elif found["state"] == "failed":
        yield Advice("bad", "The last sync failed", streams or "Its workflow says why.", "Look at it", "/knowledge")
    elif found["state"] == "partial":
        text = streams or "Some records could not be read."
        yield Advice("warn", "The last sync was not complete", text, "Look at it", "/knowledge")
    held = sum(one["documents"] for one in found["held_deletions"])
    if held:
        yield Advice(
            "warn",
            f"{plural(held, 'deletion')} held back",
            "The provider does not show these documents any more. That many at once may be a mistake, so you decide.",
            "Decide",
            "/knowledge#held",
            adminly=True,
        )
    if found["failures_total"] and found["state"] not in ("partial", "failed"):
        count = plural(found["failures_total"], "record")
        yield Advice("note", f"{count} could not be read", "Every sync tries them again.", "See which", "/knowledge")
    if found["enabled"] and found["stale"] and found["state"] not in ("running", "stalled", "failed", "never_run"):
        yield Advice("warn", "The data is old", "It is older than its interval allows.", "Sync now", "/knowledge")
    sample = found["completeness"]
    if sample and sample["high"] < EQUAL_ENOUGH and not held:  # else they are what differs
        yield Advice(
            "warn",
            "Not all documents are equal",
            f"{percent(sample['share'])} of {sample['sampled']} compared documents are as the provider has them.",
            "Sync now",
            "/knowledge",
        )
