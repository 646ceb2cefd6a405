"""A disconnect that races everything else leaves nothing usable behind."""

import asyncio
import random

import pytest
from sqlalchemy import create_engine, text


def stored(house, account, provider):
    """The connection's row and the open revocations, as the database holds them."""
    engine = create_engine(house.postgres.admin_url)
    where = {"a": account.id, "p": provider}
    with engine.connect() as c:
        row = c.execute(
            text("select state, tokens, lease_until from connections where account_id = :a and provider = :p"), where
        ).one_or_none()
        waiting = c.execute(
            text("select count(*) from revocations where account_id = :a and provider = :p and tokens is not null"),
            where,
        ).scalar_one()
        links = c.execute(
            text("select count(*) from contact_links where account_id = :a and provider = :p"), where
        ).scalar_one()
    engine.dispose()
    return row, waiting, links


@pytest.mark.slow
async def test_disconnect_races_refresh_sync_and_callback(house, account, eventually, part, figure):
    rounds, source = part(36, 6), random.Random(1)
    contact, _ = account.contact()
    double = house.sandbox.doubles["hubspot"]
    outcomes = {"disconnected": 0, "connected": 0}
    for turn in range(rounds):
        await account.connect("hubspot")
        mine = [grant for grant in double.grants if not grant.revoked]
        back = await account.returned("hubspot")
        rival = turn % 3
        calls = {
            0: [("GET", f"/hubspot/contacts/{contact}", None)] * 4,  # with an expired token: a refresh
            1: [("POST", f"/hubspot/contacts/{contact}/sync", None)] * 2,
            2: [("POST", "/hubspot/callback", back)],
        }[rival]
        if rival == 0:
            double.expire()

        async def rivals(calls=calls):
            await asyncio.sleep(source.random() * 0.08)
            return await asyncio.gather(*(account.call(m, path, json=body) for m, path, body in calls))

        async def disconnect():
            await asyncio.sleep(source.random() * 0.08)
            return await account.call("DELETE", "/hubspot/disconnect", headers={"Prefer": "wait=60"})

        answers, ended = await asyncio.gather(rivals(), disconnect())
        assert ended.status_code == 200, ended.text
        assert all(a.status_code < 500 for a in answers), [a.text for a in answers]
        state = (await account.status("hubspot"))[0]
        if state == "connected":
            # Only a callback that took its turn after the disconnect may leave a connection: a new, whole one.
            assert rival == 2
            outcomes["connected"] += 1
            answer = await account.call("GET", f"/hubspot/contacts/{contact}")
            assert answer.status_code == 200, answer.text
            await account.call("DELETE", "/hubspot/disconnect")
        else:
            outcomes["disconnected"] += 1
        assert (await account.status("hubspot"))[0] in ("disconnected", "not_connected")
        answer = await account.call("GET", f"/hubspot/contacts/{contact}")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_connected")

        async def clean():
            row, waiting, links = stored(house, account, "hubspot")
            return tuple(row) == ("disconnected", None, None) and not waiting and not links

        await eventually(clean, 30)
        assert mine
    figure(f"{rounds} races: {outcomes}")
