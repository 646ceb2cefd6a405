"""The demo's Jira site."""

from sandbox.double import Record
from sandbox.world.people import PEOPLE, TICKETS


def records(now: float) -> Record:
    users = [
        {"id": f"customer-{n}", "displayName": f"{first} {last}", "emailAddress": email, "accountType": "customer"}
        for n, (first, last, email, *_) in enumerate(PEOPLE[:4], 1)
    ]
    return {
        "users": users,
        "service_desks": [{"id": "1", "customers": [u["id"] for u in users]}],
        "issues": [
            {
                "id": str(20_000 + n),
                "number": n,
                "summary": subject,
                "description": text,
                "reporter": f"customer-{who + 1}",
                "request": True,
            }
            for n, (who, subject, text, _) in enumerate(TICKETS, 1)
        ],
    }
