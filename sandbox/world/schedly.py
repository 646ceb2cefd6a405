"""The demo's Schedly account."""

from sandbox.double import Record, iso
from sandbox.world.people import DAY, PEOPLE


def records(now: float) -> Record:
    midnight = now - now % DAY
    return {
        "teams": [{"id": 51, "name": "Sales"}, {"id": 52, "name": "Customer success"}],
        "event_types": [
            {
                "id": 61,
                "title": "Intro call",
                "lengthInMinutes": 15,
                "description": "A first talk about what you need.",
            },
            {
                "id": 62,
                "title": "Product demo",
                "lengthInMinutes": 30,
                "description": "We show the inbox and the reports.",
            },
            {
                "id": 63,
                "title": "Onboarding session",
                "lengthInMinutes": 60,
                "teamId": 52,
                "description": "Set-up together.",
            },
        ],
        "routing_forms": [
            {
                "id": "demo-routing",
                "name": "Company size",
                "targets": [
                    {"when": {"company_size": "large"}, "eventTypeId": 62},
                    {"when": {"company_size": "small"}, "eventTypeId": 61},
                    {"message": "Thank you, we will write to you."},
                ],
            }
        ],
        "bookings": [
            {
                "id": 900 + 10 * kind + days,
                "uid": f"demo-{kind}-{first}".lower(),
                "start": iso(midnight + days * DAY + 10 * 3600),
                "eventTypeId": kind,
                "attendee": {"name": f"{first} {last}", "email": email, "timeZone": "UTC"},
            }
            for days, kind, (first, last, email, *_) in ((-6, 61, PEOPLE[0]), (2, 62, PEOPLE[0]), (3, 61, PEOPLE[3]))
        ],
    }
