"""The demo world: one support team's contacts, deals, tickets, articles and meetings, the same people everywhere."""

from typing import Any

from sandbox.demo_articles import ARTICLES
from sandbox.double import Record, iso

DAY = 86_400
PEOPLE = [  # first name, last name, e-mail, phone, company, city, country; the last one is known to nobody else
    ("Ada", "Lindgren", "ada.lindgren@northwind.example", "+14155550101", "Northwind Traders", "Oslo", "Norway"),
    ("Ben", "Okafor", "ben.okafor@bluepeak.example", "+14155550102", "Bluepeak Outdoor", "Austin", "United States"),
    ("Carla", "Moreau", "carla.moreau@fernhill.example", "+33155550103", "Fernhill Foods", "Lyon", "France"),
    ("Dimitri", "Novak", "dimitri.novak@oakline.example", "+14155550104", "Oakline Studio", "Berlin", "Germany"),
    ("Elena", "Costa", "elena.costa@tidewater.example", "+14155550105", "Tidewater Labs", "Lisbon", "Portugal"),
]
PRODUCTS = [
    ("Starter plan", "19", "One inbox, two agents, e-mail and chat. Billed monthly, no set-up fee."),
    ("Growth plan", "59", "Five inboxes, ten agents, saved replies, working hours and reports."),
    ("Business plan", "149", "Single sign-on, audit log, custom roles, and a 99.9 % availability promise."),
    (
        "Onboarding package",
        "499",
        "Three guided sessions: import of your data, set-up of channels, training of agents.",
    ),
]
POSTS = [
    (
        "How Northwind halved its first response time",
        (
            "<p>Northwind Traders answers 1,200 conversations a week with six agents.</p><h2>What changed</h2><p>They "
            "wrote saved replies for the ten most common questions, and let working hours set expectations.</p>"
        ),
    ),
    (
        "Five signs that your help centre needs pruning",
        (
            "<p>An article that nobody reads costs more than none.</p><h2>Look for duplicates</h2><p>Search your help "
            "centre for the three words that customers use most, and merge what says the same thing twice.</p>"
        ),
    ),
    (
        "Meet the new delivery tracking page",
        (
            "<p>Customers can follow a parcel without asking.</p><h2>How it works</h2><p>The page reads the carrier's "
            "events every 15 minutes, and shows the next step in plain words.</p>"
        ),
    ),
]
TICKETS = [
    (
        0,
        "Invoice shows the wrong VAT number",
        "Our VAT number changed in March, the invoice still has the old one.",
        "open",
    ),
    (
        1,
        "Parcel is marked as delivered but never arrived",
        "Order 4471 is missing, please check with the carrier.",
        "pending",
    ),
    (2, "Cannot add a second agent", "The button is grey although we pay for ten seats.", "solved"),
]


def demo(now: float) -> list[tuple[str, Any]]:
    """What each double is seeded with, by name; `now` is the epoch that meetings and deals are planned from."""
    return [("supportly", supportly()), ("hubspot", hubspot(now)), ("zendesk", zendesk()), ("schedly", schedly(now))]


def supportly() -> Record:
    return {
        "contacts": [
            {
                "id": number,
                "account_id": 1,
                "name": f"{first} {last}",
                "email": email,
                "phone_number": phone,
                "additional_attributes": {"city": city, "country": country, "company_name": company},
                "custom_attributes": {"plan": "growth"} if number % 2 else {},
            }
            for number, (first, last, email, phone, company, city, country) in enumerate(PEOPLE, 1)
        ]
    }


def hubspot(now: float) -> Record:
    known = list(enumerate(PEOPLE[:4], 1))
    return {
        "companies": [
            {
                "id": str(300 + n),
                "properties": {"name": person[4], "domain": person[2].partition("@")[2], "city": person[5]},
            }
            for n, person in known
        ],
        "contacts": [
            {
                "id": str(100 + n),
                "properties": {
                    "firstname": person[0],
                    "lastname": person[1],
                    "email": person[2],
                    "phone": person[3],
                    "company": person[4],
                },
                "associations": {"companies": [str(300 + n)]},
            }
            for n, person in known
        ],
        "deals": [
            {
                "id": str(200 + n),
                "properties": {
                    "dealname": f"{person[4]}: {PRODUCTS[n % 3][0]}",
                    "amount": str(1200 * n),
                    "dealstage": ("appointmentscheduled", "qualifiedtobuy", "contractsent", "closedwon")[n - 1],
                    "pipeline": "default",
                    "closedate": iso(now + 10 * n * DAY),
                    "deal_currency_code": "USD",
                },
                "associations": {"contacts": [str(100 + n)], "companies": [str(300 + n)]},
            }
            for n, person in known
        ],
        "notes": [
            {
                "id": "401",
                "properties": {"hs_timestamp": iso(now - DAY), "hs_note_body": "Asked for a quote for ten seats."},
                "associations": {"contacts": ["101"]},
            }
        ],
        "products": [
            {"id": str(500 + n), "properties": {"name": name, "price": price, "description": text}}
            for n, (name, price, text) in enumerate(PRODUCTS)
        ],
        "blog_posts": [{"id": str(600 + n), "name": name, "postBody": body} for n, (name, body) in enumerate(POSTS)],
        "articles": [
            {"id": str(700 + n), "title": title, "body": body} for n, ((title, body), _) in enumerate(ARTICLES[:3])
        ],
    }


def zendesk() -> Record:
    return {
        "users": [
            {"id": 7000 + n, "name": f"{person[0]} {person[1]}", "email": person[2], "phone": person[3]}
            for n, person in enumerate(PEOPLE[:3])
        ],
        "tickets": [
            {
                "id": 9500 + n,
                "subject": subject,
                "description": text,
                "status": status,
                "requester_id": 7000 + n,
                "submitter_id": 7000 + n,
            }
            for n, subject, text, status in TICKETS
        ],
        "articles": [
            {
                "id": 9100 + n,
                "translations": [
                    {"locale": "en-us", "title": english[0], "body": english[1]},
                    {"locale": "de", "title": german[0], "body": german[1]},
                ],
            }
            for n, (english, german) in enumerate(ARTICLES)
        ],
    }


def schedly(now: float) -> Record:
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
