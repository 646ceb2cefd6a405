"""Planted markers appear nowhere: not in Temporal's files, the logs, error answers or database rows.

Contact data may stand in histories, encrypted. Tokens, codes and verifiers may not even then.
"""

import json
import uuid

import pytest
from sqlalchemy import create_engine, text

from tests.proofs.histories import decrypted

BOOKKEEPING = {
    "seq", "attempt", "activity_id", "activity_type", "complete_time", "backoff", "original_schedule_time",
    "activation_index",
}  # fmt: skip


@pytest.fixture
def plant():
    """Words that appear nowhere else, as a contact's data."""
    word = uuid.uuid4().hex
    return {
        "name": f"Zed{word} Marker{word}",
        "email": f"zed{word}@example.com",
        "identifier": f"ident{word}",
        "custom_attributes": {"plan": f"plan{word}"},
    }, word


async def live(account, contact, word):
    """Everything that may go right or wrong with the contact; answers all error bodies."""
    bodies = []

    async def call(method, path, **extra):
        answer = await account.call(method, f"/hubspot{path}", **extra)
        if answer.status_code >= 400:
            bodies.append(answer.text)
        return answer

    house, double = account.house, account.house.sandbox.doubles["hubspot"]
    back = await account.returned("hubspot")
    assert (await call("POST", "/callback", json={**back, "state": "wrong"})).status_code == 422
    assert (await call("POST", "/callback", json={**back, "code": f"bad{word}"})).status_code >= 400
    await account.connect("hubspot")
    person, note = f"/contacts/{contact}", f"note {word}"
    assert (await call("GET", person)).status_code == 200
    assert (await call("POST", f"{person}/sync")).status_code == 200
    assert (await call("POST", f"{person}/activity", json={"content": note})).status_code == 200
    search = {"action": "search_contacts", "params": {"query": f"zed{word}"}}
    assert (await call("POST", "/action", json=search)).status_code == 200
    double.expire()
    assert (await call("GET", person)).status_code == 200
    refusal = {"status": "error", "message": f"{word}@example.com token {word}{word} is wrong", "category": "X"}
    for fault in (
        {"status": 400, "body": refusal},
        {"status": 403, "body": refusal},
        {"status": 500, "body": "<html>" + f"{word}@example.com", "content_type": "text/html", "times": 3},
        {"cut": "body", "times": 3},
    ):
        house.sandbox.faults.add({"provider": "hubspot", "path": "/crm/.*", **fault})
        await call("GET", person, headers={"Prefer": "wait=60"})
        await call("POST", f"{person}/activity", json={"content": note}, headers={"Prefer": "wait=60"})
        house.sandbox.faults.armed.clear()
    assert (await call("POST", "/action", json={"action": word, "params": {}})).status_code == 422
    assert (await call("POST", f"{person}/activity", json={"content": ""})).status_code == 422
    double.expire()
    house.sandbox.faults.add(
        {"provider": "hubspot", "method": "POST", "path": double.oauth.token, "cut": "after_commit"}
    )
    assert (await call("GET", person, headers={"Prefer": "wait=60"})).status_code == 200
    assert (await call("DELETE", "/disconnect")).status_code == 200
    assert (await call("GET", person)).status_code == 409
    await account.connect("hubspot")
    return bodies


def issued(house) -> set[str]:
    """Every token, code and verifier that went between us and the double."""
    double = house.sandbox.doubles["hubspot"]
    sent = [entry.request.data for entry in house.sandbox.recorder.ring if entry.request.path == double.oauth.token]
    verifiers = {body["code_verifier"] for body in sent if isinstance(body, dict) and "code_verifier" in body}
    assert verifiers
    return {*double.access_tokens, *double.refresh_tokens, *double.codes, *verifiers, double.settings["client_secret"]}


async def test_planted_markers_are_found_nowhere(house, account, plant, eventually, figure):
    fields, word = plant
    contact, _ = account.contact("hubspot", **fields)
    errors = await live(account, contact, word)
    secrets = issued(house)
    assert len(secrets) > 8

    # Error answers, also those of the operations that failed later.
    assert len(errors) >= 6
    said = "\n".join(errors)
    assert not [secret for secret in secrets if secret in said]
    assert word not in said.replace(f"`{word}`", ""), said  # an unknown action's own name may be repeated

    # Logs of both processes.
    logged = "\n".join(path.read_text() for path in house.logs)
    assert '"level"' in logged  # there is something to read
    assert not [secret for secret in secrets if secret in logged]
    assert word not in logged
    assert account.token not in logged

    # Temporal's files, as bytes; the workflow's id shows that they are the right ones.
    async def flushed():
        files = list((house.directory / "temporal").glob("temporal.db*"))
        raw = b"".join(path.read_bytes() for path in files)
        return raw if f"acct/{account.id}/hubspot/contact/{contact}/lookup".encode() in raw else None

    raw = await eventually(flushed, 20)
    assert not [secret for secret in secrets if secret.encode() in raw]
    assert word.encode() not in raw

    # Histories, decrypted: contact data is there, so we really look inside; secrets are not.
    clear, histories, in_the_clear = await decrypted(house, account.id)
    assert histories >= 8
    # The search attributes, and the SDK's own book-keeping of local activities: names, numbers and times.
    attributes = {f'"{account.id}"', '"hubspot"'}
    assert attributes <= in_the_clear
    assert all(set(json.loads(other)) <= BOOKKEEPING for other in in_the_clear - attributes), in_the_clear
    assert word in clear
    assert not [secret for secret in secrets if secret in clear]
    figure(
        f"{len(secrets)} secrets and 1 contact: not in {len(raw):,} bytes of Temporal, {len(logged):,} of logs, "
        f"{len(errors)} error answers; no secret in {histories} decrypted histories ({len(clear):,} characters)"
    )

    # Every row of the database, as its owner sees it.
    engine = create_engine(house.postgres.admin_url)
    with engine.connect() as c:
        names = c.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars().all()
        rows = {name: "\n".join(c.execute(text(f'select t::text from "{name}" t')).scalars()) for name in names}
    engine.dispose()
    assert str(account.id) in rows["connections"]
    for name, content in rows.items():
        assert not [secret for secret in secrets if secret in content], name
        assert word not in content, name
        assert account.token not in content, name
