"""The demo's shop."""

from sandbox.double import Record
from sandbox.world.articles import ARTICLES
from sandbox.world.people import PEOPLE, POSTS, PRODUCTS


def records(now: float) -> Record:
    known = list(enumerate(PEOPLE[:3], 1))
    return {
        "customers": [
            {"id": 100 + n, "firstName": first, "lastName": last, "email": email, "phone": phone,
             "numberOfOrders": "1", "amountSpent": PRODUCTS[n][1] + ".00"}
            for n, (first, last, email, phone, *_) in known
        ],
        "orders": [
            {"id": 200 + n, "name": f"#{1000 + n}", "customer": 100 + n, "email": person[2],
             "total": PRODUCTS[n][1] + ".00", "lines": [PRODUCTS[n][0]]}
            for n, person in known
        ],
        "products": [
            {"id": 300 + n, "title": name, "descriptionHtml": f"<p>{text}</p>", "price": price + ".00"}
            for n, (name, price, text) in enumerate(PRODUCTS)
        ],
        "articles": [{"id": 400 + n, "title": title, "body": body} for n, (title, body) in enumerate(POSTS)],
        "pages": [
            {"id": 500 + n, "title": title, "body": body} for n, ((title, body), _) in enumerate(ARTICLES[:2])
        ],
        "policies": [
            {"id": 600, "title": "Refund policy", "type": "REFUND_POLICY",
             "body": "<p>Send a plan back within 14 days and get your money back.</p>"}
        ],
    }  # fmt: skip
