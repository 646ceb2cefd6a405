"""Zendesk's records for the contract suite."""

from __future__ import annotations

from tests.providers.seeds.shape import Seeds, StreamSeed, html

SEEDS = Seeds(
    person=lambda _, name, email, phone: {"users": [{"name": name, "email": email, "phone": phone}]},
    streams={
        "articles": StreamSeed(
            "articles",
            lambda n, title, text: {"id": n, "title": title, "body": html(text)},
            key=lambda n: f"{n}:en-us",  # one document per language
        ),
        "macros": StreamSeed("macros", lambda n, title, text: {"id": n, "title": title, "description": text}),
        "tickets": StreamSeed(
            "tickets", lambda n, title, text: {"id": n, "subject": title, "description": text, "status": "solved"}
        ),
    },
    world=lambda _: {
        "users": [{"id": 35001, "name": "Bob", "email": "bob@example.com"}],
        "tickets": [{"id": 35436 + n, "subject": f"Ticket {n}", "requester_id": 35001} for n in range(3)],
    },
    params=lambda _: {"get_tickets": {"user_id": "35001"}, "search_tickets": {"query": "Ticket"}},
    account=lambda n: ({}, {"subdomain": f"acme{n}"}),
)
