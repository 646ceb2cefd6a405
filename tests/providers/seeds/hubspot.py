"""HubSpot's records for the contract suite."""

from __future__ import annotations

from tests.providers.seeds.shape import Seeds, StreamSeed, html

SEEDS = Seeds(
    person=lambda _, name, email, phone: {
        "contacts": [
            {
                "properties": {
                    "firstname": name.partition(" ")[0],
                    "lastname": name.partition(" ")[2],
                    "email": email,
                    "phone": phone,
                }
            }
        ]
    },
    streams={
        "blog_posts": StreamSeed("blog_posts", lambda n, title, text: {"id": n, "name": title, "postBody": html(text)}),
        "knowledge_articles": StreamSeed(
            "articles", lambda n, title, text: {"id": n, "title": title, "body": html(text)}
        ),
        "products": StreamSeed(
            "products", lambda n, title, text: {"id": n, "properties": {"name": title, "description": text}}
        ),
    },
    world=lambda _: {
        "deals": [{"properties": {"dealname": f"Deal {n}"}} for n in range(3)],
        "companies": [{"properties": {"name": f"Company {n}"}} for n in range(3)],
    },
    account=lambda n: ({"hub_id": n, "user_id": n}, {}),
)
