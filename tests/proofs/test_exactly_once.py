"""One request is one note, whatever is lost, repeated or killed on the way."""

import asyncio
import uuid

import pytest

NOTES = {"hubspot": ("POST", r"/crm/.*/notes"), "zendesk": ("POST", r"/api/v2/tickets")}


def notes(house, text):
    """The notes at HubSpot whose body holds `text`."""
    found = house.sandbox.doubles["hubspot"].records["note"].values()
    return [note for note in found if text in str(note["properties"].get("hs_note_body"))]


def fault(house, **extra):
    method, path = NOTES["hubspot"]
    house.sandbox.faults.add({"provider": "hubspot", "method": method, "path": path, **extra})


async def log(account, contact, content, *, key=None, wait=60):
    headers = {"Prefer": f"wait={wait}", **({"Idempotency-Key": key} if key else {})}
    return await account.call(
        "POST", f"/hubspot/contacts/{contact}/activity", json={"content": content}, headers=headers
    )


async def test_one_key_ten_requests_one_note(house, account):
    """Five at once, the answer of the first note lost after the provider has committed it, five more afterwards."""
    contact, _ = account.contact()
    await account.connect("hubspot")
    text, key = f"once-{uuid.uuid4()}", f"key-{uuid.uuid4()}"
    fault(house, cut="after_commit")
    first = await asyncio.gather(*(log(account, contact, text, key=key) for _ in range(5)))
    later = [await log(account, contact, text, key=key) for _ in range(5)]
    answers = [a.json() for a in (*first, *later)]
    assert {a.status_code for a in (*first, *later)} == {200}, answers
    assert len({a["operation_id"] for a in answers}) == 1
    assert len({str(a["record"]) for a in answers}) == 1
    [note] = notes(house, text)
    assert str(note["id"]) == answers[0]["record"]["id"]


@pytest.mark.parametrize(
    "weather",
    [
        {"cut": "before"},
        {"cut": "body"},
        {"cut": "after_commit", "times": 2},
        {"status": 503, "times": 2},
        {"status": 429, "retry_after": 1},
        {"delay": 3.0},  # longer than our time-out: committed after we have given up
    ],
    ids=str,
)
async def test_one_note_in_any_weather(house, account, weather):
    contact, _ = account.contact()
    await account.connect("hubspot")
    text = f"weather-{uuid.uuid4()}"
    fault(house, **weather)
    answer = await log(account, contact, text)
    assert answer.status_code == 200, answer.text
    await asyncio.sleep(weather.get("delay", 0))
    assert len(notes(house, text)) == 1


async def test_a_success_that_cannot_be_read_is_not_repeated(house, account):
    """The provider commits and answers 200 with a page of HTML, as a proxy in between may."""
    contact, _ = account.contact()
    await account.connect("hubspot")
    text = f"html-{uuid.uuid4()}"
    double = house.sandbox.doubles["hubspot"]
    real, spoilt = double.handle, []

    def handle(request):
        reply = real(request)
        if not spoilt and request.method == "POST" and request.path.endswith("/notes"):
            spoilt.append(reply.status)
            reply.body, reply.content_type = b"<html>200</html>", "text/html"
        return reply

    double.handle = handle
    try:
        answer = await log(account, contact, text)
    finally:
        del double.handle
    assert spoilt == [201]
    assert answer.status_code == 200, answer.text
    assert len(notes(house, text)) == 1


async def test_two_contacts_with_one_address_make_one_record(house, account):
    email = f"shared-{uuid.uuid4()}@example.com"
    people = [account.contact(None, email=email)[0] for _ in range(2)]
    await account.connect("hubspot")
    headers = {"Prefer": "wait=60"}
    answers = await asyncio.gather(
        *(account.call("POST", f"/hubspot/contacts/{n}/sync", headers=headers) for n in people for _ in range(5))
    )
    assert {a.status_code for a in answers} == {200}, [a.text for a in answers]
    assert len({a.json()["record"]["id"] for a in answers}) == 1
    records = house.sandbox.doubles["hubspot"].records["contact"].values()
    assert len([r for r in records if r["properties"].get("email") == email]) == 1


@pytest.mark.slow
async def test_a_killed_worker_writes_once(house, account, eventually, part, figure):
    """SIGKILL while notes are on their way: some were sent and are committed by the provider after our death."""
    rounds = part(5, 1)
    await account.connect("hubspot")
    people = [account.contact()[0] for _ in range(6)]
    for turn in range(rounds):
        texts = [f"killed-{turn}-{n}-{uuid.uuid4()}" for n in range(6)]
        before = house.sandbox.recorder.last
        fault(house, delay=0.8, times=-1)
        accepted = await asyncio.gather(*(log(account, n, text, wait=0) for n, text in zip(people, texts, strict=True)))
        assert {a.status_code for a in accepted} == {202}, [a.text for a in accepted]

        async def sent(before=before):
            return len(house.sandbox.recorder.find("hubspot", before, "/notes", "POST"))

        await eventually(sent)
        house.kill_worker()
        sent_by_the_dead = await sent()
        house.sandbox.faults.armed.clear()
        assert sent_by_the_dead > 0
        await asyncio.sleep(1)  # now the provider has committed what it had received
        house.start_worker()

        async def ended(accepted=accepted):
            shown = [await account.call("GET", f"/operations/{a.json()['operation_id']}") for a in accepted]
            states = [a.json()["status"] for a in shown]
            return states if "running" not in states else None

        assert await eventually(ended, 150) == ["succeeded"] * 6
        assert [len(notes(house, text)) for text in texts] == [1] * 6
        figure(f"killed with {sent_by_the_dead} of 6 notes sent: each is there once")
