"""Tokens that end under load, and refreshes whose answer is lost."""

import asyncio
import time

import pytest

CALLERS = 64


@pytest.mark.slow
async def test_64_callers_and_one_refresh(house, account, token_requests, part, figure):
    """Each round the token expires, and 64 callers ask for 64 different contacts at once."""
    people = [account.contact() for _ in range(CALLERS)]
    await account.connect("hubspot")
    rounds, right, refreshed, took = part(20, 2), 0, 0, []
    for _ in range(rounds):
        house.sandbox.doubles["hubspot"].expire()
        before, began = house.sandbox.recorder.last, time.monotonic()
        answers = await asyncio.gather(
            *(account.call("GET", f"/hubspot/contacts/{ours}", headers={"Prefer": "wait=60"}) for ours, _ in people)
        )
        took.append(time.monotonic() - began)
        assert [a.status_code for a in answers] == [200] * CALLERS, [a.text for a in answers if a.status_code != 200][
            :3
        ]
        found = [[record["id"] for record in a.json()["records"]] for a in answers]
        right += sum(ids == [theirs] for ids, (_, theirs) in zip(found, people, strict=True))
        refreshed += token_requests("hubspot", before)
    figure(f"{CALLERS} callers, {rounds} rounds: {refreshed} token requests, {right} right, slowest {max(took):.1f} s")
    assert (refreshed, right) == (rounds, CALLERS * rounds)


async def lost_refresh(house, account, provider, contact):
    """A lookup with an expired token, and the answer to its refresh lost after the provider has committed it."""
    double = house.sandbox.doubles[provider]
    double.expire()
    house.sandbox.faults.add(
        {"provider": provider, "method": "POST", "path": double.oauth.token, "cut": "after_commit"}
    )
    return await account.call("GET", f"/{provider}/contacts/{contact}", headers={"Prefer": "wait=40"})


async def test_a_lost_answer_where_nothing_rotates_heals_by_itself(house, account, token_requests):
    contact, record = account.contact("hubspot")
    await account.connect("hubspot")
    before = house.sandbox.recorder.last
    answer = await lost_refresh(house, account, "hubspot", contact)
    assert answer.status_code == 200, answer.text
    assert answer.json()["records"][0]["id"] == record
    assert token_requests("hubspot", before) == 2
    assert await account.status("hubspot") == ("connected", None)


async def test_a_lost_answer_of_a_single_use_token_says_so(house, account, token_requests, eventually):
    """Zendesk: the old refresh token is dead, and the new one never came. One retry, then the truth."""
    contact, record = account.contact("zendesk")
    await account.connect("zendesk")
    before = house.sandbox.recorder.last
    answer = await lost_refresh(house, account, "zendesk", contact)
    assert (answer.status_code, answer.json()["code"]) == (409, "reconnect_required"), answer.text
    assert answer.json()["details"]["reason"] == "refresh_outcome_lost"
    assert await account.status("zendesk") == ("reconnect_required", "refresh_outcome_lost")
    assert token_requests("zendesk", before) == 2
    await account.connect("zendesk")
    answer = await account.call("GET", f"/zendesk/contacts/{contact}")
    assert answer.json()["records"][0]["id"] == record


@pytest.mark.parametrize("cut", ["before", "body"])
async def test_a_refresh_that_the_provider_never_saw_or_cut_short(house, account, cut):
    contact, _ = account.contact("zendesk")
    await account.connect("zendesk")
    double = house.sandbox.doubles["zendesk"]
    double.expire()
    house.sandbox.faults.add({"provider": "zendesk", "method": "POST", "path": double.oauth.token, "cut": cut})
    answer = await account.call("GET", f"/zendesk/contacts/{contact}", headers={"Prefer": "wait=40"})
    # Never seen: the old token still works. Cut short: it was committed, and the new one is lost.
    assert answer.status_code == {"before": 200, "body": 409}[cut], answer.text


@pytest.mark.parametrize("status", [404, 503])
async def test_an_error_of_the_token_endpoint_is_no_lost_answer(house, account, status):
    contact, _ = account.contact("zendesk")
    await account.connect("zendesk")
    double = house.sandbox.doubles["zendesk"]
    double.expire()
    house.sandbox.faults.add(
        {"provider": "zendesk", "method": "POST", "path": double.oauth.token, "status": status, "retry_after": 1}
    )
    answer = await account.call("GET", f"/zendesk/contacts/{contact}", headers={"Prefer": "wait=40"})
    assert answer.status_code == 200, answer.text
    assert await account.status("zendesk") == ("connected", None)


async def test_a_revoked_grant_is_said_to_be_revoked(house, account):
    contact, _ = account.contact("hubspot")
    await account.connect("hubspot")
    house.sandbox.doubles["hubspot"].revoke()
    answer = await account.call("GET", f"/hubspot/contacts/{contact}", headers={"Prefer": "wait=40"})
    assert (answer.status_code, answer.json()["code"]) == (409, "reconnect_required"), answer.text
    assert (await account.status("hubspot"))[0] == "reconnect_required"
