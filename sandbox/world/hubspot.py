"""The demo's HubSpot account."""

from sandbox.double import Record, iso
from sandbox.world.articles import ARTICLES
from sandbox.world.people import DAY, PEOPLE, POSTS, PRODUCTS


def records(now: float) -> Record:
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
