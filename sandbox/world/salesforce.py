"""The demo's Salesforce org."""

from sandbox.double import Record
from sandbox.salesforce import salesforce_id
from sandbox.world.articles import ARTICLES
from sandbox.world.people import PEOPLE, PRODUCTS

STAGES = ("Prospecting", "Qualification", "Negotiation/Review", "Closed Won")


def records(now: float) -> Record:
    known = list(enumerate(PEOPLE[:4], 1))
    return {
        "accounts": [
            {
                "id": 300 + n,
                "Name": person[4],
                "Website": f"https://{person[2].partition('@')[2]}",
                "BillingCity": person[5],
                "BillingCountry": person[6],
            }
            for n, person in known
        ],
        "contacts": [
            {
                "id": 100 + n,
                "FirstName": person[0],
                "LastName": person[1],
                "Email": person[2],
                "Phone": person[3],
                "AccountId": salesforce_id("001", 300 + n),
                "MailingCity": person[5],
                "MailingCountry": person[6],
            }
            for n, person in known
        ],
        "opportunities": [
            {
                "id": 200 + n,
                "Name": f"{person[4]}: {PRODUCTS[n % 3][0]}",
                "Amount": 1200.0 * n,
                "StageName": STAGES[n - 1],
                "AccountId": salesforce_id("001", 300 + n),
            }
            for n, person in known
        ],
        "contact_roles": [
            {
                "id": 250 + n,
                "OpportunityId": salesforce_id("006", 200 + n),
                "ContactId": salesforce_id("003", 100 + n),
                "IsPrimary": True,
            }
            for n, _ in known
        ],
        "tasks": [
            {
                "id": 401,
                "WhoId": salesforce_id("003", 101),
                "Subject": "Quote",
                "Description": "Asked for a quote for ten seats.",
            }
        ],
        "products": [
            {"id": 500 + n, "Name": name, "ProductCode": f"P-{n}", "Description": text}
            for n, (name, _, text) in enumerate(PRODUCTS)
        ],
        "articles": [
            {"id": 700 + n, "Title": title, "Answer__c": body} for n, ((title, body), _) in enumerate(ARTICLES[:3])
        ],
    }
