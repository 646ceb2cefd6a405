"""The demo's Zendesk account."""

from sandbox.double import Record
from sandbox.world.articles import ARTICLES
from sandbox.world.people import PEOPLE, TICKETS


def records(now: float) -> Record:
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
