"""What counts the drills, chooses them, and writes the page about them."""

import json
import re
import time
from pathlib import Path

import pytest

import drills.__main__ as command
from drills import machine, table
from drills.drill import Drill
from drills.tally import Tally

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


async def three(tally: Tally) -> None:
    """Makes two tries at a time at most, as a drill that is interrupted."""
    for _ in range(min(2, tally.left)):
        number = tally.tries
        tally.add("odd" if number % 2 else "even", lost=int(number == 3), cause="a note is gone" if number == 3 else "")
    tally.note(slowest_s={"API": 1.5})


THREE = Drill("three", "Nothing is broken; all of it must hold.", 30, three)


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "RECORDS", tmp_path)
    monkeypatch.setattr(command, "found", lambda: [THREE])
    monkeypatch.setenv("DRILLS", "quick")
    return tmp_path


def ran(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    monkeypatch.setattr("sys.argv", ["drills", "--lanes", "1", *arguments])
    code = command.main()
    return code, json.loads(capsys.readouterr().out)


def test_an_interrupted_drill_goes_on_where_it_was(records, monkeypatch, capsys):
    code, line = ran(monkeypatch, capsys)
    assert (code, line["tries"], line["wanted"], line["outcome"]) == (1, 2, 3, {"even": 1, "odd": 1})
    code, line = ran(monkeypatch, capsys)
    assert (code, line["tries"], line["outcome"]) == (0, 3, {"even": 2, "odd": 1})
    assert line["facts"] == {"slowest_s": {"API": 1.5}}
    # Nothing is left to be done, and nothing is done; another seed begins anew, and so does whoever forgets.
    assert ran(monkeypatch, capsys, "three")[1]["tries"] == 3
    assert ran(monkeypatch, capsys, "--seed", "2")[1]["tries"] == 2
    assert ran(monkeypatch, capsys, "--anew")[1]["tries"] == 2


def test_what_is_lost_fails_the_run_and_says_why(records, monkeypatch, capsys):
    monkeypatch.delenv("DRILLS")
    for _ in range(15):
        code, line = ran(monkeypatch, capsys)
    assert (code, line["tries"], line["lost"], line["causes"]) == (1, 30, 1, ["a note is gone"])
    assert {file.parent.name for file in records.rglob("three.jsonl")} == {"1-full"}


def test_a_drill_that_breaks_off_is_not_finished_and_the_others_run(records, monkeypatch, capsys):
    async def broken(tally: Tally) -> None:
        tally.add("made")
        raise RuntimeError("the stack did not start")

    monkeypatch.setattr(command, "found", lambda: [Drill("broken", "…", 20, broken), THREE])
    monkeypatch.setattr("sys.argv", ["drills", "--lanes", "1"])
    assert command.main() == 1
    said = capsys.readouterr()
    assert [json.loads(line)["tries"] for line in said.out.splitlines()] == [1, 2]
    assert "the stack did not start" in said.err


def test_an_unknown_drill_is_named(records, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["drills", "four"])
    with pytest.raises(SystemExit):
        command.main()
    assert "no such drill: four" in capsys.readouterr().err


def test_randomness_belongs_to_seed_and_drill(tmp_path):
    def drawn(drill: str, seed: int, *of: object) -> float:
        return Tally(drill, seed, 1, tmp_path / "none").rng(*of).random()

    assert drawn("a", 1, 5) == drawn("a", 1, 5)
    assert len({drawn("a", 1, 5), drawn("a", 2, 5), drawn("b", 1, 5), drawn("a", 1, 6)}) == 4


def test_the_table_holds_full_runs_of_every_seed_and_nothing_else(records, monkeypatch, capsys, tmp_path):
    ran(monkeypatch, capsys, "--seed", "9")  # quick
    monkeypatch.delenv("DRILLS")
    for seed in ("2", "1"):
        ran(monkeypatch, capsys, "--seed", seed)
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{table.BEGIN}\nWhat stood there.\n{table.END}\n\nAfter.\n")
    monkeypatch.setattr("sys.argv", ["drills", "--table", str(page)])
    assert command.main() == 0
    written = page.read_text()
    assert written.startswith(f"Before.\n\n{table.BEGIN}\n")
    assert written.endswith(f"{table.END}\n\nAfter.\n")
    assert "What stood there." not in written
    assert "| `three` | Nothing is broken; all of it must hold. | 30 |" in written
    rows = re.findall(r"^\| `three` \| (\d) \| (.+) \|$", written, re.MULTILINE)
    assert rows == [(seed, "2 of 30 | 0 | 0 | even: 1; odd: 1 | slowest s: API 1.5 | 0") for seed in "12"]
    assert f"`{machine.commit()}` | {machine.parts()['cores']} cores" in written
    # Writing again changes nothing.
    assert command.main() == 0
    assert page.read_text() == written


def test_the_table_keeps_what_another_machine_has_recorded(records, monkeypatch, capsys, tmp_path):
    page = tmp_path / "page.md"
    kept = "| `three` | 2 | 30 | 0 | 0 | even: 15; odd: 15 |  | 7 |"
    place = "| 2026-01-02 | `abc` | 8 cores, Temporal 1 | {} |"
    before = [kept, kept.replace("| 2 |", "| 1 |"), "| `gone` | 1 | 30 | 0 | 0 | even: 30 |  | 7 |"]
    before += [place.format("`three` 1, `three` 2"), place.replace("abc", "old").format("`three` 1")]
    page.write_text("\n".join([table.BEGIN, *before, table.END]))
    monkeypatch.delenv("DRILLS")
    ran(monkeypatch, capsys)
    table.write(page, [THREE], records)
    written = page.read_text().splitlines()
    assert not [line for line in written if "`gone`" in line]
    assert kept in written
    assert [line for line in written if line.startswith("| `three` | 1 | 2 of 30 |")]
    assert place.format("`three` 2") in written
    assert not [line for line in written if "`old`" in line]


def test_two_drills_at_a_time_and_those_that_measure_alone(records, monkeypatch):
    under_way, most, order, begun = set(), [], [], []

    def apart(name: str, seed: int) -> bool:
        under_way.add(name)
        begun.append(name)
        time.sleep(0.05)
        most.append((name, len(under_way)))
        under_way.remove(name)
        order.append(name)
        return name != "c"

    def named(name: str, **more: bool) -> Drill:
        return Drill(name, "…", 10, three, **more)

    monkeypatch.setattr(command, "perform_apart", apart)
    every = [named("a"), named("m", alone=True), named("b"), named("c"), named("w", waits=True)]
    monkeypatch.setattr(command, "found", lambda: every)
    monkeypatch.setattr("sys.argv", ["drills"])
    assert command.main() == 1  # one was not good, and the others ran
    assert sorted(order) == ["a", "b", "c", "m", "w"]
    assert "w" in begun[:2]
    assert order[-1] == "m"
    assert ("m", 1) in most
    assert max(count for _, count in most) == 2


def test_a_drill_that_breaks_off_before_its_last_look_is_no_good_one(records, capsys):
    async def all_but_the_end(tally: Tally) -> None:
        tally.add("even", tries=tally.left)
        raise ValueError("the look at what is left behind")

    broken = Drill("broken", "…", 30, all_but_the_end)
    assert not command.perform(broken, tally := command.tally_of(broken, 1, quick=False))
    assert (tally.tries, tally.lost, tally.causes) == (30, 1, ["not checked in the end: ValueError"])
    # Nor when it is started again, with no tries left.
    assert not command.perform(broken, command.tally_of(broken, 1, quick=False))


def test_a_page_without_its_markers_is_refused(records, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Nothing here.")
    with pytest.raises(ValueError, match="lacks the lines"):
        table.write(page, [THREE], records)
    assert page.read_text() == "Nothing here."


def test_every_drill_stands_on_the_page():
    page, drills = PAGE.read_text(), command.found()
    names = [drill.name for drill in drills]
    assert len(names) == len(set(names)) >= 7
    lacking = [d.name for d in drills if f"| `{d.name}` | {d.means} | {d.tries} |" not in page]
    assert not lacking, f"docs/reliability.md lacks {lacking}: run `python -m drills --table docs/reliability.md`"


async def test_one_kill_for_real(tmp_path):
    """The API dies among 25 callers; whatever breaks in the stage breaks here, before an hour of drills does."""
    [drill] = [known for known in command.found() if known.name == "kill_api"]
    tally = Tally(drill.name, 1, 1, tmp_path / "kill_api.jsonl")
    await drill.run(tally)
    assert (tally.tries, tally.lost, tally.doubled, tally.causes) == (1, 0, 0, [])
    assert tally.facts["posts"] == 25
    assert tally.facts["tries_ended"].keys() > {"200", "202"}  # and what the killed process cut
