"""What a lookup shows over HTTP: records and their parts, fetched side by side, and what happens when one fails."""

import time

import pytest

TICKETS, ORGANIZATIONS = r"/api/v2/users/\d+/tickets/requested", r"/api/v2/organizations/\d+"
SLOW_S = 1.2
"""Long enough to tell one after the other from side by side, and shorter than a provider's time-out."""


@pytest.fixture
def faults(account):
    """Arms faults of Zendesk's double, and takes them back."""
    ids = []

    def arm(**fault):
        made = account.service.control("POST", "/faults", json={"provider": "zendesk", "times": -1, **fault})
        ids.append(made)

    yield arm
    account.service.control("DELETE", "/faults")


@pytest.fixture
def ada(account):
    """A contact whom Zendesk knows, with a ticket and an organization."""
    assert account.connect("zendesk").status_code == 200
    email = f"ada-{account.account_id}@example.com"
    user, place = account.account_id * 1_000 + 1, account.account_id * 1_000 + 2
    account.service.control("POST", "/zendesk/seed", json={
        "organizations": [{"id": place, "name": f"Analytical {place}"}],
        "users": [{"id": user, "name": "Ada", "email": email, "organization_id": place}],
        "tickets": [{"id": user + 2, "subject": "Cannot sign in", "requester_id": user}],
    })  # fmt: skip
    return account.contact(email=email)


def test_a_lookup_answers_records_and_their_parts(account, ada):
    answer = account.call("GET", f"/zendesk/contacts/{ada}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {"records", "deals", "activities", "extra", "partial"} <= found.keys()
    assert [record["name"] for record in found["records"]] == ["Ada"]
    assert [activity["title"] for activity in found["activities"]] == ["Cannot sign in"]
    assert [company["name"][:10] for company in found["extra"]["companies"]] == ["Analytical"]
    assert (found["deals"], found["partial"]) == ([], {})


def test_a_part_that_fails_is_named_and_the_others_stay(account, ada, faults):
    faults(path=TICKETS, status=403, body={"error": {"title": "Forbidden", "message": "Tickets are not for you."}})
    found = account.call("GET", f"/zendesk/contacts/{ada}").json()
    assert [record["name"] for record in found["records"]] == ["Ada"]
    assert [company["name"][:10] for company in found["extra"]["companies"]] == ["Analytical"]
    assert found["activities"] == []
    assert found["partial"] == {"activities": "Tickets are not for you."}


def test_all_parts_may_fail_and_the_record_is_there(account, ada, faults):
    faults(path=TICKETS, status=500, body={"error": "boom"})
    faults(path=ORGANIZATIONS, cut="before")
    answer = account.call("GET", f"/zendesk/contacts/{ada}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert len(found["records"]) == 1
    assert found["partial"].keys() == {"activities", "companies"}
    assert (found["activities"], found["extra"]) == ([], {})


def test_the_parts_are_fetched_side_by_side(account, ada, faults):
    account.call("GET", f"/zendesk/contacts/{ada}")  # what is slow only once is behind us
    faults(path=TICKETS, delay=SLOW_S)
    faults(path=ORGANIZATIONS, delay=SLOW_S)
    started = time.monotonic()
    found = account.call("GET", f"/zendesk/contacts/{ada}").json()
    took = time.monotonic() - started
    assert (len(found["activities"]), found["partial"]) == (1, {})
    assert SLOW_S <= took < 2 * SLOW_S


def test_several_records_are_shown_with_the_parts_of_all(account):
    """Nothing of one record hides what belongs to the other."""
    assert account.connect("jira", site="acme.atlassian.net").status_code == 200
    email = f"twin-{account.account_id}@example.com"
    people = [f"twin-{account.account_id}-{n}" for n in range(2)]
    account.service.control("POST", "/jira/seed", json={
        "users": [{"id": key, "displayName": key, "emailAddress": email} for key in people],
        "issues": [{"summary": f"By {key}", "reporter": key} for key in people],
    })  # fmt: skip
    found = account.call("GET", f"/jira/contacts/{account.contact(email=email)}").json()
    assert [record["id"] for record in found["records"]] == people
    assert sorted(issue["title"] for issue in found["extra"]["issues"]) == [f"By {key}" for key in people]
