"""What a drill asks of each provider: people whom it knows, a read, and every write that it takes.

Everything is about a `key`, a word of letters and digits that stands in what is sent: faults are armed for it, and what
came of it is counted by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

from drills.stage import Stage
from supportly.dev.cast import CAST
from supportly.provider import LogsActivities, Provider, WritesContacts
from supportly.providers import PROVIDERS
from tests.providers.seeds import SEEDS

Body = dict[str, Any]


@dataclass(frozen=True)
class Asking:
    """One try: its word, its number (bookings take a slot each), and the contact's id in Supportly."""

    key: str
    number: int
    contact: int

    @property
    def email(self) -> str:
        """The contact's address."""
        return f"{self.key}@example.com"

    @property
    def said(self) -> str:
        """A word that stands in what is written, and not in what is asked about the contact."""
        return f"{self.key}said"

    @property
    def slot(self) -> datetime:
        """An hour of a working day in the weeks to come, another one for each number."""
        week, hour = divmod(self.number, 35)
        monday = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
        monday += timedelta(days=7 - monday.weekday())
        return monday + timedelta(weeks=week, days=hour // 7, hours=hour % 7)


READS: Final[Mapping[str, tuple[str, Callable[[Asking], Body]]]] = {
    "hubspot": ("search_contacts", lambda a: {"query": a.key}),
    "salesforce": ("search_contacts", lambda a: {"query": a.key}),
    "pipedrive": ("search_contacts", lambda a: {"query": a.key}),
    "schedly": ("get_bookings", lambda a: {"attendee_email": a.email}),
    "calendly": ("get_scheduled_events", lambda a: {"invitee_email": a.email}),
    "shopify": ("get_customer", lambda a: {"email": a.email}),
    "jira": ("search_users", lambda a: {"query": a.key}),
    "slack": ("find_user_by_email", lambda a: {"email": a.email}),
    "stripe": ("get_customer", lambda a: {"email": a.email}),
    "zendesk": ("search_contacts", lambda a: {"query": a.key}),
}
"""An action of each provider that reads, with the try's key in what is sent."""

_MEETING: Final = "https://api.calendly.com/event_types/intro"
ACTIONS: Final[Mapping[tuple[str, str], Callable[[Asking], Body]]] = {
    ("schedly", "create_booking"): lambda a: {
        "event_type_id": 61,
        "start": a.slot.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "attendee": {"name": a.key, "email": a.email},
    },
    ("schedly", "route_lead"): lambda a: {
        "form_id": "demo-routing",
        "answers": {"company_size": "large", "email": a.email},
        "start": a.slot.strftime("%Y-%m-%d"),
        "end": a.slot.strftime("%Y-%m-%d"),
    },
    ("calendly", "book_meeting"): lambda a: {
        "event_type": _MEETING,
        "start_time": a.slot.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "invitee": {"name": a.key, "email": a.email},
    },
    ("calendly", "create_scheduling_link"): lambda _: {"event_type": _MEETING},
    ("zendesk", "create_ticket"): lambda a: {
        "subject": f"About {a.said}",
        "body": f"Since this morning: {a.said}.",
        "requester": {"email": a.email},
    },
    ("jira", "create_issue"): lambda a: {"project": "SUP", "issue_type": "10001", "summary": f"About {a.said}"},
    ("jira", "add_comment"): lambda a: {"key": "SUP-1", "text": f"Called back: {a.said}."},
    ("jira", "create_customer_request"): lambda a: {
        "service_desk_id": "1",
        "request_type_id": "10",
        "summary": f"About {a.said}",
    },
    ("slack", "post_message"): lambda a: {"channel_id": "C0SUPPORT", "text": f"Called back: {a.said}."},
}
"""Actions that a provider would do twice when it was asked twice."""
UNASKABLE: Final = {("schedly", "route_lead"), ("calendly", "create_scheduling_link")}
"""Those that leave nothing at the provider by which they could be found again."""


@dataclass(frozen=True)
class Writing:
    """One kind of write at one provider. `known`: the contact has to have a record there before."""

    provider: str
    name: str
    known: bool

    @property
    def askable(self) -> bool:
        """False where the provider has no way to tell whether it was written."""
        return (self.provider, self.name) not in UNASKABLE

    def request(self, asking: Asking) -> tuple[str, Body | None]:
        """Path below the account's integrations, and body of the POST."""
        contact = f"/{self.provider}/contacts/{asking.contact}"
        if self.name in ("create", "update"):
            return f"{contact}/sync", None
        if made := ACTIONS.get((self.provider, self.name)):
            return f"/{self.provider}/action", {"action": self.name, "params": made(asking)}
        return f"{contact}/activity", {"activity_type": self.name, "content": f"Spoke about {asking.said}."}


def writings(provider: Provider) -> list[Writing]:
    """Every write of a provider that would leave something twice, or something else, when it was done twice."""
    found = []
    if isinstance(provider, WritesContacts):
        found += [Writing(provider.id, "create", known=False)]
        found += [Writing(provider.id, "update", known=True)] if provider.updates else []
    if isinstance(provider, LogsActivities):
        found += [Writing(provider.id, kind, known=True) for kind in provider.activity_kinds]
    return found + [Writing(provider.id, name, known=True) for owner, name in ACTIONS if owner == provider.id]


WRITINGS: Final = tuple(writing for provider in PROVIDERS for writing in writings(provider))


class Cast:
    """The people of a drill: contacts in Supportly, and their records at the providers."""

    def __init__(self, stage: Stage, account_id: int) -> None:
        self.stage = stage
        self.account_id = account_id

    def set_up(self, *, lag_s: float = 0.0) -> None:
        """The demo's world at every provider, without rate limits; searches see a record after `lag_s` seconds."""
        self.stage.control("POST", "/demo")
        for provider in CAST:
            calm = {"rate_limits": False, "search_lag_seconds": lag_s}
            self.stage.control("POST", f"/{provider}/settings", json=calm)

    def meet(self, askings: Mapping[str, list[tuple[Asking, bool]]]) -> None:
        """Seed the contacts of each provider's tries; True beside one: the provider knows it under an older name."""
        contacts = [
            {"id": a.contact, "account_id": self.account_id, "name": f"Robin {a.key}", "email": a.email}
            for tries in askings.values()
            for a, _ in tries
        ]
        self.stage.control("POST", "/supportly/seed", json={"contacts": contacts})
        for provider, tries in askings.items():
            for asking, known in tries:
                if known:
                    person = SEEDS[provider].person(self._world(provider), "Robin Before", asking.email, "")  # type: ignore[arg-type]
                    self.stage.control("POST", f"/{provider}/seed", json=person)

    def _world(self, provider: str) -> SimpleNamespace:
        """As much of the contract suite's world as its seeds look at: the double's records and the time."""
        stage = self.stage

        class Records(dict[str, Any]):
            def __missing__(self, kind: str) -> dict[str, Any]:
                return {str(record["id"]): record for record in stage.records(provider, kind)}

        return SimpleNamespace(double=SimpleNamespace(records=Records()), now=datetime.now(UTC))
