"""What is too large for Temporal, or too much at once, is told with a code, and nothing hangs on it."""

import httpx
import pytest

MIB = 1024 * 1024


@pytest.fixture
def heavy(account):
    """A contact whose record at HubSpot is as large as asked for."""

    def make(size: int) -> int:
        email = f"heavy-{size}-{account.account_id}@example.com"
        record = {"properties": {"email": email, "firstname": "x" * size}}
        account.service.control("POST", "/hubspot/seed", json={"contacts": [record]})
        return account.contact(email=email)

    account.connect("hubspot")
    return make


@pytest.mark.parametrize("size", [2 * MIB + 1, 5 * MIB])
def test_a_lookup_that_finds_too_much_says_so(account, heavy, size):
    answer = account.call("GET", f"/hubspot/contacts/{heavy(size)}")
    assert (answer.status_code, answer.json()["code"]) == (502, "answer_too_large"), answer.text[:300]


def test_what_fits_is_answered(account, heavy):
    answer = account.call("GET", f"/hubspot/contacts/{heavy(600_000)}")
    assert answer.status_code == 200, answer.text[:300]
    assert len(answer.content) > 600_000


def test_a_body_that_temporal_would_not_take_is_refused(account, without):
    """An operator may allow larger bodies than a workflow can be given."""
    account.connect("hubspot")
    url = without(max_body_bytes=8 * MIB)
    answer = httpx.post(
        f"{url}{account.base}/hubspot/action",
        json={"action": "get_deals", "params": {"cursor": "x" * (3 * MIB)}},
        headers={"api_access_token": account.admin},
        timeout=60,
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large"), answer.text[:300]
