"""The demo's Slack workspace."""

from sandbox.double import Record
from sandbox.world.people import PEOPLE, PRODUCTS


def records(now: float) -> Record:
    start = int(now) - 3 * 86_400
    return {
        "users": [
            {"id": f"U010{n}", "real_name": f"{first} {last}", "profile": {"email": email, "phone": phone}}
            for n, (first, last, email, phone, *_) in enumerate(PEOPLE[:4], 1)
        ],
        "channels": [{"id": "C0SUPPORT", "name": "support"}, {"id": "C0SALES", "name": "sales"}],
        "messages": [
            {
                "channel": "C0SUPPORT",
                "ts": f"{start + 60 * n}.000100",
                "user": f"U010{1 + n % 4}",
                "text": f"What is in the {name}?\n{text}",
            }
            for n, (name, _, text) in enumerate(PRODUCTS)
        ],
    }
