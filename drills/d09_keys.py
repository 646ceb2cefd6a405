"""Keys rotated while two thousand refreshes run, and the rotation itself killed twenty times.

The ring is changed as docs/key-rotation.md says, process after process, while connections refresh without a pause. In
the end the old key is taken away, and everything has to be there without it: every sealed value, every running
workflow, and the newest token of every connection.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import signal
import sys
from typing import Any, Final

from drills.caller import Account
from drills.drill import Drill
from drills.grants import Held, Place, ask_for_refresh, grants, held, works
from drills.sealed import cells, fill, vault_of
from drills.stage import BRISK, Stage, staged
from drills.tally import Tally
from supportly.contracts import ids
from supportly.crypto import CannotOpen
from supportly.dev.stack import ROOT
from supportly.storage.database import Database
from supportly.storage.tables import sealed_columns

PROVIDER: Final = "hubspot"
ACCOUNTS: Final = 50
ROWS: Final = 40
"""Rows of every kind and account: 50 accounts have 10,000 values, so that a rotation lasts for twenty kills."""
REFRESHES: Final = 2000
KILLS: Final = 20
BATCH: Final = 20
BATCHES: Final = (1, 12)
"""After how many batches a rotation is killed; the last time when the values are done, and Temporal's part runs."""
SILENT_S: Final = 0.5
"""Batches take less; the look at Temporal, twice with a pause, takes more."""
REFRESHED_S: Final = 120.0
"""A refresh whose worker was restarted under it waits for its lease to end, and for the dead worker to be missed."""


def ring(*names: str) -> str:
    """A key ring; the same name is always the same key."""
    return ",".join(f"{n}:{base64.urlsafe_b64encode(hashlib.sha256(n.encode()).digest()).decode()}" for n in names)


async def run(tally: Tally) -> None:
    """Fill, refresh and rotate at once, and look at everything without the old key."""
    share = tally.left / REFRESHES
    settings = {"SUPPORTLY_KEYS": ring("k1")}
    async with staged(workers=2, settings=settings, worker_script=BRISK, keep_logs=tally.drill) as stage:
        stage.unlimited(PROVIDER)
        accounts = await _accounts(stage, max(5, round(ACCOUNTS * share)))
        rotated = asyncio.Event()
        storm = asyncio.create_task(_storm(stage, tally, rotated))
        try:
            await _roll(stage, "k1", "k2")
            await _roll(stage, "k2", "k1")
            before = tally.tries
            await _rotate(stage, tally, max(2, round(KILLS * share)))
            during = tally.tries - before
            rotated.set()
            await storm
        finally:
            storm.cancel()
        done = await _keys(stage, "rotate")
        status = await _keys(stage, "status")
        await _roll(stage, "k2")
        causes = [*_unneeded(done, status), *await _everything(stage, accounts)]
        tally.note(refreshes_while_rotating=during, values=sum(sum(one.values()) for one in status["values"].values()))
        tally.add("read without the old key", tries=0, lost=len(causes), cause="; ".join(causes[:5]))


async def _accounts(stage: Stage, number: int) -> list[Account]:
    made = [await stage.account() for _ in range(number)]
    for account in made:
        await account.connect(PROVIDER)
    for account in made[:3]:
        (await account.call("POST", f"/{PROVIDER}/knowledge/toggle", json={"enabled": True})).raise_for_status()
    assert stage.stack.postgres
    db = Database(stage.stack.postgres.url, 2)
    try:
        await fill(stage, db, [one.id for one in made], ROWS, [PROVIDER])
    finally:
        await db.close()
    return made


async def _storm(stage: Stage, tally: Tally, rotated: asyncio.Event) -> None:
    """Refresh all connections, again and again, while a rotation runs or tries are left; each refresh is one."""
    while tally.left or not rotated.is_set():
        before = held(stage)
        lost = await _refreshed(stage, before, list(before))
        tally.add("refreshed", tries=len(before), lost=len(lost), cause="; ".join(lost[:3]))


async def _refreshed(stage: Stage, before: dict[Place, Held], chosen: list[Place]) -> list[str]:
    """Refresh once; answers the connections that did not get a newer token."""
    ends = asyncio.get_running_loop().time() + REFRESHED_S
    await ask_for_refresh(stage, ((place, before[place].version) for place in chosen))
    while True:
        now = held(stage)
        waiting = [p for p in chosen if now[p].state != "connected" or now[p].version == before[p].version]
        if not waiting or asyncio.get_running_loop().time() > ends:
            return [f"{p[0]}: {now[p].state} {now[p].reason} at version {now[p].version}" for p in waiting]
        await asyncio.sleep(0.1)


async def _roll(stage: Stage, *names: str) -> None:
    """Give the ring to every process, one worker after the other, as an operator does."""
    stage.configure(SUPPORTLY_KEYS=ring(*names))
    await asyncio.gather(_workers(stage), _api(stage))


async def _workers(stage: Stage) -> None:
    for number in (1, 2):
        stage.worker(number).ask_to_stop()
        await stage.start_worker(number)


async def _api(stage: Stage) -> None:
    stage.kill_api()
    await stage.start_api()


async def _rotate(stage: Stage, tally: Tally, kills: int) -> None:
    """Rotate, killed so many times on the way."""
    rng, killed = tally.rng("kills"), 0
    while killed < kills:
        process = await _start(stage, "rotate", "--batch", str(BATCH))
        if killed < kills - 1:
            killed += await _killed(process, rng.randint(*BATCHES))
        else:
            killed += await _killed(process, None)
        tally.note(rotations_killed=killed)
        if process.returncode == 0 and killed < kills:
            raise AssertionError(f"the rotation was done after {killed} kills: it needs more values")


async def _killed(process: asyncio.subprocess.Process, batches: int | None) -> bool:
    """Kill it after so many batches, or, without a number, when it is silent after them; False when it was done."""
    assert process.stderr
    said = 0
    while said != batches:
        try:
            async with asyncio.timeout(SILENT_S if said and batches is None else None):
                line = await process.stderr.readline()
        except TimeoutError:
            break
        if not line:
            break
        said += 1
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    return await process.wait() == -signal.SIGKILL


async def _start(stage: Stage, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "supportly", "keys", *arguments, "--json",
        cwd=ROOT, env=stage.stack.command_environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _keys(stage: Stage, verb: str) -> dict[str, Any]:
    """`supportly keys VERB --json`, to its end."""
    process = await _start(stage, verb)
    said, complaint = await process.communicate()
    assert said, complaint.decode()
    answer: dict[str, Any] = json.loads(said)
    return answer


def _unneeded(done: dict[str, Any], status: dict[str, Any]) -> list[str]:
    """What says that the old key is still needed."""
    causes = [] if done["complete"] else [f"the rotation says: {done}"]
    needed = [status[what]["k1"] for what in ("values", "workflows") if "k1" in status[what]]
    return [*causes, *(f"the old key is needed for {one}" for one in needed)]


async def _everything(stage: Stage, accounts: list[Account]) -> list[str]:
    """What cannot be read, or is not the newest, when the old key is gone."""
    vault, causes = vault_of(stage), []
    found = cells(stage)
    if missing := {f"{c.table.name}.{c.name}" for c in sealed_columns()} - {f"{c.table}.{c.column}" for c in found}:
        raise AssertionError(f"nothing stands in {missing}: it was not rotated")
    for cell in found:
        try:
            vault.open(cell.value, cell.place)
        except CannotOpen as error:
            causes.append(f"{cell.table}.{cell.column} of {cell.account}: {error}")
    rows = held(stage)
    newest = {g["access"][-1] for g in grants(stage, PROVIDER) if g["access"]}
    causes += [f"{p[0]} does not hold its newest token" for p, row in rows.items() if row.access not in newest]
    client = await stage.temporal()
    for place, row in rows.items():
        # The workers are new: to answer they replay the whole history.
        standing = await client.get_workflow_handle(ids.connection(*place)).query("standing")
        if standing["version"] != row.version:
            causes.append(f"the entity of {place[0]} stands at {standing['version']}, its row at {row.version}")
    syncs = [client.get_workflow_handle(ids.knowledge(account.id, PROVIDER)) for account in accounts[:3]]
    earlier = [(await sync.describe()).run_id for sync in syncs]
    for account in accounts[:3]:
        # What a Schedule starts reads the arguments that lie in it.
        await client.get_schedule_handle(ids.schedule(account.id, PROVIDER)).trigger()
    causes += await _refreshed(stage, rows, list(rows))
    causes += [said for account in accounts if (said := await works(account, PROVIDER))]
    for sync, before in zip(syncs, earlier, strict=True):
        # The run before it was sealed with the old key, as whatever ended before a rotation.
        async with asyncio.timeout(REFRESHED_S):
            while True:
                run = (await sync.describe()).run_id
                if run != before:
                    break
                await asyncio.sleep(0.1)
            await client.get_workflow_handle(sync.id, run_id=run).result()
    return causes


DRILLS: Final = (
    Drill(
        "keys_rotated",
        "The keys are rotated while 2,000 refreshes run, and the rotation is killed twenty times: no refresh is lost, "
        "and everything can be read when the old key is gone.",
        REFRESHES,
        run,
    ),
)
