"""Salesforce's records for the contract suite."""

from __future__ import annotations

from sandbox.salesforce import salesforce_id
from supportly.errors import (
    AmbiguousMatch,
    NotFound,
    ProviderFailure,
    SupportlyError,
    Throttled,
    TokenRefused,
)
from supportly.provider import Call
from tests.providers.harness import World
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed, html

HTML = "<html><body><h1>HTTP/1.1 431 Request Header Fields Too Large</h1></body></html>"


def sheet_error(
    status: int, code: str, message: str, kind: type[SupportlyError] = ProviderFailure, **more: object
) -> SheetError:
    """An error array of one entry; its code comes back in `details` where the error is the provider's own."""
    body = [{"message": message, "errorCode": code, "fields": []}]
    named = {"code": code} if kind is ProviderFailure else {}
    return SheetError(code.lower(), status, body, kind, **{**named, **more})  # type: ignore[arg-type]


MATCHED = {
    "allowSave": True,
    "duplicateRule": "Standard_Contact_Duplicate_Rule",
    "matchResults": [
        {"matchRecords": [{"matchConfidence": 100, "record": {"attributes": {}, "Id": "003000000000001AAA"}}]}
    ],
}
ERRORS = (
    sheet_error(400, "MALFORMED_QUERY", "unexpected token: 'x'"),
    sheet_error(400, "INVALID_TYPE", "sObject type 'Knowledge__kav' is not supported."),
    sheet_error(400, "EXCEEDED_ID_LIMIT", "too many ids"),
    sheet_error(400, "INVALID_FIELD", "No such column 'X' on entity 'Contact'."),
    sheet_error(400, "QUERY_TIMEOUT", "Your query request was running for too long.", retryable=True),
    sheet_error(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]"),
    sheet_error(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "A rule of the customer."),
    sheet_error(400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name."),
    sheet_error(400, "STRING_TOO_LONG", "First Name: data value too large"),
    sheet_error(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", retryable=True),
    sheet_error(400, "DUPLICATE_VALUE", "duplicate value found: on record with id: 003000000000001"),
    SheetError(
        "duplicates_detected",
        400,
        [{"errorCode": "DUPLICATES_DETECTED", "message": "Use one of these records?", "duplicateResult": MATCHED}],
        ProviderFailure,
        code="DUPLICATES_DETECTED",
    ),
    sheet_error(401, "INVALID_SESSION_ID", "Session expired or invalid", TokenRefused),
    sheet_error(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"),
    sheet_error(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner"),
    sheet_error(
        403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Throttled, retryable=True, pause=(600, 3600)
    ),
    SheetError(
        "too many long calls",
        403,
        [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentPerOrgLongTxn Limit exceeded."}],
        Throttled,
        retryable=True,
        pause=(1, 60),
    ),
    sheet_error(404, "NOT_FOUND", "The requested resource does not exist", NotFound),
    sheet_error(405, "METHOD_NOT_ALLOWED", "HTTP Method 'PUT' not allowed."),
    sheet_error(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type is not supported"),
    sheet_error(410, "UNSUPPORTED_API_VERSION", "This version of the API has been retired."),
    sheet_error(503, "SERVER_UNAVAILABLE", "Server is busy", retryable=True),
    SheetError("several records", 300, ["/services/data/v66.0/sobjects/Contact/003000000000001AAA"], AmbiguousMatch),
    SheetError("an address that is too long", 414, HTML, ProviderFailure),
    SheetError("headers that are too long", 431, HTML, ProviderFailure),
    SheetError("a pause by 420", 420, [], Throttled, retryable=True, pause=(1, 60)),
    SheetError("a pause by 429", 429, [], Throttled, retryable=True, pause=(1, 60)),
)


async def _one_call(_: World, call: Call) -> None:
    await call.http.get("/limits")


SEEDS = Seeds(
    person=lambda _, name, email, phone: {
        "contacts": [
            {
                "FirstName": name.partition(" ")[0],
                "LastName": name.partition(" ")[2],
                "Email": email,
                "Phone": phone,
            }
        ]
    },
    streams={
        "articles": StreamSeed(
            "articles",
            lambda n, title, text: {"id": n, "Title": title, "Answer__c": html(text)},
            key=lambda n: f"{salesforce_id('kA0', n)}:en_US",  # one document per language
            broken=lambda n: {"id": n, "Title": "A title and no text"},
        ),
        "products": StreamSeed(
            "products",
            lambda n, title, text: {"id": n, "Name": title, "Description": text},
            key=lambda n: salesforce_id("01t", n),
        ),
        "cases": StreamSeed(
            "cases",
            lambda n, title, text: {"id": n, "Subject": title, "Description": text, "Status": "Closed"},
            key=lambda n: salesforce_id("500", n),
            broken=lambda n: {"id": n, "Subject": "A subject and no text", "Status": "Closed"},
        ),
    },
    world=lambda _: {
        "accounts": [{"Name": f"Analytical {n}"} for n in range(3)],
        "opportunities": [{"Name": f"Deal {n}", "Amount": 100.0 * n} for n in range(3)],
        "contacts": [{"LastName": f"Bob {n}", "Email": "bob@example.com"} for n in range(3)],
    },
    params=lambda _: {"search_contacts": {"query": "bob@"}},
    account=lambda n: ({"organization_number": n, "user_number": n}, {"domain": f"acme{n}.my.salesforce.com"}),
    errors=ERRORS,
    # The window is 24 hours; an hour here, because an hour is the pause after which the quota is asked for again.
    limits=(
        Limit("daily quota of the org", _one_call, {"daily_requests": 20, "quota_seconds": 3600}, (600, 3600), most=30),
    ),
)
