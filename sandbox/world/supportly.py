"""The support team's contacts."""

from sandbox.double import Record
from sandbox.world.people import PEOPLE


def records(now: float) -> Record:
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
