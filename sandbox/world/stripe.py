"""The demo's Stripe account."""

from sandbox.double import Record
from sandbox.world.people import PEOPLE, PRODUCTS

MONTHLY = {"interval": "month", "interval_count": 1, "usage_type": "licensed", "aggregate_usage": None}


def records(now: float) -> Record:
    plans = list(enumerate(PRODUCTS[:3], 1))
    known = list(enumerate(PEOPLE[:3], 1))
    return {
        "products": [{"id": f"prod_{n}", "name": name, "description": text} for n, (name, _, text) in plans],
        "prices": [
            {"id": f"price_{n}", "product": f"prod_{n}", "unit_amount": 100 * int(price), "recurring": MONTHLY,
             "nickname": name}
            for n, (name, price, _) in plans
        ],
        "customers": [
            {"id": f"cus_{n}", "name": f"{first} {last}", "email": email, "phone": phone}
            for n, (first, last, email, phone, *_) in known
        ],
        "subscriptions": [{"id": f"sub_{n}", "customer": f"cus_{n}", "price": f"price_{n}"} for n, _ in known],
        "charges": [
            {"id": f"ch_{n}", "customer": f"cus_{n}", "amount": 100 * int(PRODUCTS[n - 1][1]),
             "description": PRODUCTS[n - 1][0], "created": int(now) - 86_400 * n}
            for n, _ in known
        ],
        "invoices": [
            {"id": f"in_{n}", "customer": f"cus_{n}", "number": f"SB-{n:04}", "status": "paid",
             "total": 100 * int(PRODUCTS[n - 1][1])}
            for n, _ in known
        ],
    }  # fmt: skip
