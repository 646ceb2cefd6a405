"""The demo's Calendly organization."""

from sandbox.double import Record, iso
from sandbox.world.people import DAY, PEOPLE


def records(now: float) -> Record:
    midnight = now - now % DAY
    kinds = (
        ("intro", "Intro call", 15, "A first talk about what you need."),
        ("demo", "Product demo", 30, "We show the inbox and the reports, with your own examples."),
        ("onboarding", "Onboarding session", 60, "Import of your data, set-up of channels, training of agents."),
    )
    meetings = ((-6, "intro", PEOPLE[0]), (2, "demo", PEOPLE[0]), (3, "intro", PEOPLE[3]))
    return {
        "contacts": [
            {
                "id": f"contact-{n}",
                "name": f"{first} {last}",
                "emails": [{"email": email, "is_primary": True}],
                "phone_numbers": [{"phone_number": phone}],
                "company": company,
                "city": city,
            }
            for n, (first, last, email, phone, company, city, _) in enumerate(PEOPLE[:4], 1)
        ],
        "event_types": [
            {
                "id": key,
                "name": name,
                "duration": minutes,
                "description_html": f"<p>{text}</p>",
                "locations": [{"kind": "zoom_conference"}],
                "custom_questions": [{"name": "What should we prepare?", "type": "text", "position": 0}],
            }
            for key, name, minutes, text in kinds
        ],
        "routing_forms": [
            {
                "id": "size",
                "name": "Company size",
                "questions": [{"uuid": "q1", "name": "How many agents?", "answer_choices": ["1 to 10", "more"]}],
            }
        ],
        "scheduled_events": [
            {
                "id": f"meeting-{n}",
                "name": kind.capitalize(),
                "event_type": f"https://api.calendly.com/event_types/{kind}",
                "start_time": iso(midnight + days * DAY + 10 * 3600, "microseconds"),
            }
            for n, (days, kind, _) in enumerate(meetings)
        ],
        "invitees": [
            {"id": f"invitee-{n}", "event": f"meeting-{n}", "name": f"{first} {last}", "email": email}
            for n, (_, _, (first, last, email, *_)) in enumerate(meetings)
        ],
    }
