"""The demo's Pipedrive company."""

from sandbox.double import Record
from sandbox.world.people import PEOPLE, PRODUCTS


def records(now: float) -> Record:
    return {
        "organizations": [
            {"id": 300 + n, "name": person[4], "address": {"value": f"{person[5]}, {person[6]}", "locality": person[5]}}
            for n, person in enumerate(PEOPLE[:4], 1)
        ],
        "persons": [
            {
                "id": 100 + n,
                "name": f"{first} {last}",
                "emails": [{"value": email, "primary": True, "label": "work"}],
                "phones": [{"value": phone, "primary": True, "label": "work"}],
                "org_id": 300 + n,
            }
            for n, (first, last, email, phone, *_) in enumerate(PEOPLE[:4], 1)
        ],
        "deals": [
            {"id": 200 + n, "title": f"{person[4]}: {PRODUCTS[n % 3][0]}", "value": 1200 * n, "person_id": 100 + n,
             "org_id": 300 + n, "stage_id": 1 + n % 3}
            for n, person in enumerate(PEOPLE[:4], 1)
        ],
        "products": [
            {"id": 500 + n, "name": name, "description": text,
             "prices": [{"product_id": 500 + n, "price": int(price), "currency": "EUR", "cost": 0}]}
            for n, (name, price, text) in enumerate(PRODUCTS)
        ],
    }  # fmt: skip
