"""A worker killed in the middle of a sync: afterwards everything is as if nothing had happened."""

import os
import signal

import psycopg
import pytest

from drills.stage import Stage
from supportly.dev.stack import Stack
from tests.caller import until
from tests.weather.conftest import WHOLE, Account

ARTICLES, KILLS = (2000, 3) if WHOLE else (400, 1)
DOCUMENTS = """
select external_id, content_hash, chunk_count, title, url, locale from documents
where account_id = %s and provider = 'zendesk' and deleted_at is null order by 1
"""
CHUNKS = """
select d.external_id, c.text_hash, c.position, c.heading, c.body, v.embedding::text
from chunks c join documents d using (account_id, document_id)
join vectors v using (account_id, document_id, text_hash)
where c.account_id = %s and c.provider = 'zendesk' order by 1, 2
"""


def rows(stack: Stack, sql: str, account_id: int) -> list[tuple]:
    with psycopg.connect(stack.facts()["database_url"]) as connection:
        return connection.execute(sql, [account_id]).fetchall()


def last_run(account: Account) -> dict | None:
    status = account.http.get("/knowledge/status").raise_for_status().json()
    run = next(p for p in status["providers"] if p["provider"] == "zendesk")["last_run"]
    return run if run and run["state"] != "running" else None


@pytest.mark.slow
def test_a_killed_sync_ends_like_an_undisturbed_one(stack: Stack, record_property) -> None:
    stage = Stage(stack)
    stage.control("POST", "/zendesk/seed", json={"generate": {"articles": ARTICLES, "seed": 7}})
    undisturbed, killed = Account(stack, 2), Account(stack, 3)
    assert undisturbed.connect("zendesk", subdomain="supportly-demo").status_code == 200
    undisturbed.http.post("/zendesk/knowledge/toggle", json={"enabled": True}).raise_for_status()
    calm = until(lambda: last_run(undisturbed), 180)
    expected = rows(stack, DOCUMENTS, 2)
    assert len(expected) >= ARTICLES

    # Slow enough to be met in the middle.
    slow = {"provider": "zendesk", "path": ".*/help_center/.*articles.*", "delay": 0.3, "times": -1}
    stage.fault(**slow)
    assert killed.connect("zendesk", subdomain="supportly-demo").status_code == 200
    killed.http.post("/zendesk/knowledge/toggle", json={"enabled": True}).raise_for_status()
    seen = [0]
    for _ in range(KILLS):
        count = until(
            lambda: next((n for n in [len(rows(stack, DOCUMENTS, 3))] if seen[-1] < n < len(expected)), None), 120
        )
        os.kill(stack.workers[0].pid, signal.SIGKILL)
        seen.append(len(rows(stack, DOCUMENTS, 3)))
        assert 0 < count <= seen[-1] < len(expected)
        stack.restart_worker(1)
    stage.calm()
    run = until(lambda: last_run(killed), 240)

    record_property("stored_at_each_kill", seen[1:])
    assert rows(stack, DOCUMENTS, 3) == expected
    assert rows(stack, CHUNKS, 3) == rows(stack, CHUNKS, 2)
    counts = run["counts"]
    assert run["state"] == calm["state"] == "succeeded"
    assert counts["seen"] == counts["added"] + counts["changed"] + counts["unchanged"] + counts["failed"]
    assert (counts["seen"], counts["added"]) == (calm["counts"]["seen"], calm["counts"]["added"])
