"""The table of `docs/reliability.md`: every drill, and what full runs of it have found, by seed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from drills.drill import Drill
from drills.tally import Tally

BEGIN: Final = "<!-- drills: begin; `python -m drills --table docs/reliability.md` writes what follows -->"
END: Final = "<!-- drills: end -->"
RESULT: Final = re.compile(r"\| `(\w+)` \| (\d+) \| ")
PLACE: Final = re.compile(r"\| (?P<date>[\d-]{10}) \| `(?P<commit>[^`]+)` \| (?P<machine>[^|]+) \| (?P<runs>[^|]+) \|$")


def tallies(drill: Drill, records: Path) -> list[Tally]:
    """What is recorded of full runs of a drill, by seed."""
    files = [*records.glob(f"*-full/{drill.name}.jsonl")]
    found = [Tally(drill.name, int(file.parent.name.partition("-")[0]), drill.tries, file) for file in files]
    return sorted((t for t in found if t.tries), key=lambda t: t.seed)


def markdown(drills: Sequence[Drill], records: Path, before: str = "") -> str:
    """Three tables: what the drills are, what they found, and where they ran.

    Rows of `before`, the same tables as they were, stay where nothing newer is recorded: records stay on their machine.
    """
    lines = ["| Drill | What is broken, and what must hold | Tries |", "|---|---|---|"]
    lines += [f"| `{d.name}` | {d.means} | {d.tries} |" for d in drills]
    found = [tally for drill in drills for tally in tallies(drill, records)]
    results = {match.groups(): line for line in before.splitlines() if (match := RESULT.match(line))}
    results |= {(tally.drill, str(tally.seed)): _row(tally) for tally in found}
    order = {drill.name: place for place, drill in enumerate(drills)}
    lines += [
        "",
        "| Drill | Seed | Tries | Lost | Doubled | Outcomes | Figures | Seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    known = [(order[name], int(seed), line) for (name, seed), line in results.items() if name in order]
    lines += [line for *_, line in sorted(known)]
    lines += ["", "| Date (UTC) | Commit | Machine | Runs |", "|---|---|---|---|"]
    return "\n".join([*lines, *_places(found, before)])


def _row(tally: Tally) -> str:
    tries = f"{tally.tries}" if tally.tries >= tally.wanted else f"{tally.tries} of {tally.wanted}"
    outcomes = "; ".join(f"{name}: {count}" for name, count in sorted(tally.outcome.items()) if count)
    figures = "; ".join(f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in sorted(tally.facts.items()))
    cells = (f"`{tally.drill}`", tally.seed, tries, tally.lost, tally.doubled, outcomes, figures, round(tally.seconds))
    return f"| {' | '.join(map(_cell, cells))} |"


def _shown(value: object) -> str:
    """A figure, or several of one name side by side."""
    if isinstance(value, dict):
        return ", ".join(f"{str(name).replace('_', ' ')} {_shown(inner)}" for name, inner in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _places(found: Sequence[Tally], before: str) -> list[str]:
    """One line for each day, commit and machine."""
    anew = {f"`{tally.drill}` {tally.seed}" for tally in found}
    runs: dict[tuple[str, str, str], list[str]] = {}
    for place in map(PLACE.match, before.splitlines()):
        if place and (kept := [name for name in place["runs"].split(", ") if name not in anew]):
            runs[place["date"], place["commit"], place["machine"]] = kept
    for tally in found:
        for ran in tally.ran:
            machine = (
                f"{ran['cores']} cores, {ran['memory_gb']} GB, Python {ran['python']}, "
                f"PostgreSQL {ran['postgresql']}, Temporal {ran['temporal']}"
            )
            names = runs.setdefault((ran["at"][:10], ran["commit"], machine), [])
            if (name := f"`{tally.drill}` {tally.seed}") not in names:
                names.append(name)
    return [
        f"| {date} | `{commit}` | {machine} | {', '.join(names)} |"
        for (date, commit, machine), names in sorted(runs.items())
    ]


def write(page: Path, drills: Sequence[Drill], records: Path) -> None:
    """Put the tables between the page's two markers. Raises ValueError when the page lacks them."""
    before = page.read_text()
    if not re.search(f"{re.escape(BEGIN)}.*{re.escape(END)}", before, re.DOTALL):
        raise ValueError(f"{page} lacks the lines between which the table stands: {BEGIN} and {END}")
    head, _, rest = before.partition(BEGIN)
    tables, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n\n{markdown(drills, records, tables)}\n\n{END}{tail}")
