"""Runs of then go on with the workflows of today: every recorded history replays, and none is missing."""

import ast
import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from pydantic import BaseModel
from temporalio import workflow

from activities.contacts import ContactActivities
from supportly.cli.histories import payloads
from supportly.contracts.contacts import Lookup, LookupJob
from tests.replay import corpus, messages
from tests.replay.record import SCENARIOS, record
from workflows.calls import READ_LIFE, promptly
from workflows.contact_lookup import ContactLookup

ROOT = Path(__file__).parents[2]
WHOLE = os.environ.get("SUPPORTLY_PROOFS") == "whole"
RECORDED = corpus.recorded()
NEWEST = max(path for path in corpus.HISTORIES.iterdir() if path.is_dir())
LOOKUPS = [one for one in RECORDED if one.type == "ContactLookup"]
HOW = "docs/changing-workflows.md"


async def test_every_history_replays():
    troubles = await corpus.broken(RECORDED)
    assert not troubles, "\n" + "\n".join(troubles)


def test_every_workflow_has_a_history():
    lacking = {one.__name__ for one in corpus.types()} - {one.type for one in RECORDED if NEWEST in one.path.parents}
    assert not lacking, f"{NEWEST.name} has no history of {', '.join(sorted(lacking))}: record some, see {HOW}"
    gone = {one.type for one in RECORDED} - {one.__name__ for one in corpus.types()}
    assert not gone, f"no worker works off {', '.join(sorted(gone))} any more, and a run may be alive: see {HOW}"


def test_every_scenario_is_recorded_and_every_recording_has_its_scenario():
    known = {one.name for one in SCENARIOS}
    assert len(known) == len(SCENARIOS)
    found = {re.sub(r"-[0-9]+$", "", one.path.stem) for one in RECORDED if NEWEST in one.path.parents}
    assert found == known, f"record what is missing: {HOW} says how"


def queries() -> set[tuple[str, int]]:
    """Lines of query handlers: a history does not tell who asked."""
    found = set()
    for path in (ROOT / "workflows").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any("query" in ast.unparse(d) for d in node.decorator_list):
                found |= {(path.name, line) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    return found


async def test_every_course_of_every_workflow_has_a_history():
    """Line by line, and branch by branch: what no history runs through could be changed without anybody noticing."""
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.replay.lines"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    told = json.loads(run.stdout)
    assert told["troubles"] == []
    assert len(told["missed"]) > 10
    lines = {(name, line) for name, missed in told["missed"].items() for line in missed["lines"]} - queries()
    branches = {(name, *arc) for name, missed in told["missed"].items() for arc in missed["branches"]}
    assert not lines, f"no history runs through {sorted(lines)}: add a scenario and record it, see {HOW}"
    assert not branches, f"no history takes the branch {sorted(branches)}: add a scenario and record it, see {HOW}"


@pytest.mark.parametrize("one", RECORDED, ids=lambda one: one.name)
def test_todays_messages_read_what_was_written_then(one):
    count, troubles = messages.unread(one)
    assert count >= 1
    assert not troubles, "\n".join([*troubles, f"An answer that is under way would be read with a hole: see {HOW}"])


# --- the checks can fail ----------------------------------------------------------------------------------------------


@workflow.defn(name="ContactLookup", sandboxed=False)
class SleepsFirst:
    @workflow.run
    async def run(self, job: LookupJob) -> Lookup:
        await asyncio.sleep(0.1)
        return await promptly(ContactActivities.lookup, job, life=READ_LIFE)


@workflow.defn(name="ContactLookup", sandboxed=False)
class AsksForSomethingElse:
    @workflow.run
    async def run(self, job: LookupJob) -> Lookup:
        return await promptly(ContactActivities.sync, job, life=READ_LIFE)


@workflow.defn(name="ContactLookup", sandboxed=False)
class AsksNobody:
    @workflow.run
    async def run(self, job: LookupJob) -> Lookup:
        return Lookup(provider=job.provider, contact_id=job.contact_id)


@workflow.defn(name="ContactLookup", sandboxed=False)
class AsksAgain:
    @workflow.run
    async def run(self, job: LookupJob) -> Lookup:
        await promptly(ContactActivities.lookup, job, life=READ_LIFE)
        return await promptly(ContactActivities.lookup, job, life=READ_LIFE)


@workflow.defn(name="ContactLookup", sandboxed=False)
class Guarded:
    """The same change, as docs/changing-workflows.md has it."""

    @workflow.run
    async def run(self, job: LookupJob) -> Lookup:
        if workflow.patched("lookup-sleeps-first"):
            await asyncio.sleep(0.1)
        return await promptly(ContactActivities.lookup, job, life=READ_LIFE)


ALTERED = [SleepsFirst, AsksForSomethingElse, AsksNobody, AsksAgain]


@pytest.mark.parametrize("altered", ALTERED, ids=lambda a: a.__name__)
async def test_a_change_that_breaks_a_run_is_caught_and_says_what_to_do(altered):
    troubles = await corpus.broken(LOOKUPS, [altered])
    assert any("lookup-at-once does not replay" in one for one in troubles), troubles
    assert all("`workflow.patched`" in one and HOW in one for one in troubles)
    assert (ROOT / HOW).exists()


@pytest.mark.parametrize("same", [ContactLookup, Guarded], ids=lambda a: a.__name__)
async def test_a_change_that_is_guarded_passes(same):
    assert await corpus.broken(LOOKUPS, [same]) == []


def answers_as(monkeypatch, kind):
    changed = dataclasses.replace(messages.ACTIVITIES["contact_lookup"], ret_type=kind)
    monkeypatch.setitem(messages.ACTIVITIES, "contact_lookup", changed)


def test_a_message_that_lost_a_field_is_caught(monkeypatch):
    class Shorter(BaseModel):
        provider: str
        contact_id: int

    answers_as(monkeypatch, Shorter)
    [one] = [one for one in LOOKUPS if one.path.stem == "lookup-at-once"]
    _, troubles = messages.unread(one)
    assert len(troubles) == 1
    assert "lost records" in troubles[0]


def test_a_message_that_is_stricter_now_is_caught(monkeypatch):
    class Stricter(Lookup):
        found_at: str

    answers_as(monkeypatch, Stricter)
    [one] = [one for one in LOOKUPS if one.path.stem == "lookup-at-once"]
    assert "is not read" in messages.unread(one)[1][0]


# --- what lies in the files -------------------------------------------------------------------------------------------


def test_histories_are_small_readable_and_of_nobody():
    """They are not encrypted, so that they can be reviewed; all that is in them was made up."""
    for recording in corpus.HISTORIES.iterdir():
        assert sum(path.stat().st_size for path in recording.rglob("*.json")) < 1_500_000, recording.name
    for one in RECORDED:
        assert one.path.stat().st_size < 100_000, one.name
        text = one.path.read_text()
        for event in one.read().events:
            for payload in payloads(event):
                assert payload.metadata["encoding"] in (b"json/plain", b"binary/null"), one.name
                told = payload.data.decode()
                text += told
                found = orjson.loads(payload.data or b"null")
                if isinstance(found, dict) and "account_id" in found:
                    assert found["account_id"] in {1, 71, 72, 73, 74}, one.name
        # No address, no path of the machine, nothing that looks like a secret.
        assert "@" not in text.replace("1@recorder", ""), one.name
        assert not re.search(r"(/home/|/root/|/work/|/tmp/|site-packages)", text), one.name
        assert not re.search(r"(?i)(access_token|refresh_token|client_secret|code_verifier)", text), one.name


# --- recording --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_what_is_recorded_now_is_what_was_recorded(tmp_path):
    """The scenarios still play, on real servers, and leave the histories that lie here."""
    quick = {"lookup-at-once", "sync-refused", "sync-of-two-streams", "nobody-connects", "refining-in-stretches"}
    played = [one for one in SCENARIOS if WHOLE or one.name in quick]
    written = await record(tmp_path, played)
    assert await corpus.broken([corpus.Recorded(path) for path in written]) == []
    for path in written:
        before = NEWEST / path.relative_to(tmp_path)
        if path.stem in quick:
            # How often tasks are started differs from run to run; what the workflow did does not.
            assert did(path) == did(before)


def did(path: Path) -> list[str]:
    kinds = [event["eventType"] for event in json.loads(path.read_text())["events"]]
    return [one for one in kinds if "WORKFLOW_TASK" not in one]
