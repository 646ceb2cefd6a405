"""Run the drills: `python -m drills [NAME …] [--seed N]`; `DRILLS=quick` makes a tenth of the tries.

Prints one JSON object a drill and exits non-zero when anything was lost or doubled, or a drill could not make its
tries. A run with the same seed goes on where it was interrupted; `--anew` forgets that. `--table docs/reliability.md`
runs nothing and writes what is recorded of full runs into that page. Two drills run at a time, each in a process of
its own, since most wait as long as they work; those that measure times follow alone. `--lanes 1` is for a slow machine.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import drills
from drills import machine, table
from drills.drill import Drill
from drills.tally import Tally

ROOT: Final = Path(__file__).parents[1]
RECORDS: Final = ROOT / ".cache" / "drills"
"""Below it a directory a seed and size, with one file a drill."""


def found() -> list[Drill]:
    """Every drill of the modules `drills/dNN_….py`, in their order."""
    names = sorted(m.name for m in pkgutil.iter_modules(drills.__path__) if m.name[:1] == "d" and m.name[1:3].isdigit())
    return [drill for name in names for drill in importlib.import_module(f"drills.{name}").DRILLS]


def tally_of(drill: Drill, seed: int, *, quick: bool) -> Tally:
    """The drill's record under this seed."""
    wanted = max(1, drill.tries // 10) if quick else drill.tries
    directory = RECORDS / f"{seed}-{'quick' if quick else 'full'}"
    return Tally(drill.name, seed, wanted, directory / f"{drill.name}.jsonl", quick=quick)


def perform(drill: Drill, tally: Tally) -> bool:
    """Make the tries that are left; True if all were made and checked, and nothing was lost or doubled."""
    began = time.monotonic()
    try:
        if tally.left:
            tally.begin(machine.here())
            asyncio.run(drill.run(tally))
    except Exception as error:  # noqa: BLE001 - the other drills go on; this one is reported as not finished
        traceback.print_exc(file=sys.stderr)
        if not tally.left:
            # Started again it would find nothing left to do, and what it looks at in the end was not looked at.
            tally.add("broke off", tries=0, lost=1, cause=f"not checked in the end: {type(error).__name__}")
    finally:
        tally.spent(time.monotonic() - began)
    sys.stdout.write(json.dumps(tally.line()) + "\n")
    sys.stdout.flush()
    return not (tally.left or tally.lost or tally.doubled)


def perform_apart(name: str, seed: int) -> bool:
    """The same in a process of its own, which prints the drill's line."""
    return (
        subprocess.run([sys.executable, "-m", "drills", name, "--seed", str(seed)], cwd=ROOT, check=False).returncode
        == 0
    )


def side_by_side(chosen: Sequence[Drill], seed: int, lanes: int) -> bool:
    """Several drills at a time, then those that must be alone; True if every one was good."""
    beside = sorted((drill for drill in chosen if not drill.alone), key=lambda drill: not drill.waits)
    with ThreadPoolExecutor(lanes) as pool:
        together = list(pool.map(lambda drill: perform_apart(drill.name, seed), beside))
    return all([*together, *(perform_apart(drill.name, seed) for drill in chosen if drill.alone)])


def main() -> int:
    """0 if every drill made all its tries and nothing was lost or doubled."""
    known = {drill.name: drill for drill in found()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(known)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2, help="how many run at a time")
    parser.add_argument("--anew", action="store_true", help="forget what this seed has done before")
    parser.add_argument("--table", type=Path, metavar="PAGE", help="write the table of all full runs into PAGE")
    given = parser.parse_args()
    if given.table:
        table.write(given.table, list(known.values()), RECORDS)
        return 0
    if unknown := set(given.names) - set(known):
        parser.error(f"no such drill: {', '.join(sorted(unknown))}")
    quick = os.environ.get("DRILLS") == "quick"
    if given.anew:
        for name in given.names or known:
            tally_of(known[name], given.seed, quick=quick).file.unlink(missing_ok=True)
    chosen = [known[name] for name in given.names or known]
    began = time.monotonic()
    if given.lanes > 1 and len(chosen) > 1:
        good = side_by_side(chosen, given.seed, given.lanes)
    else:
        results = [perform(drill, tally_of(drill, given.seed, quick=quick)) for drill in chosen]  # none is left out
        good = all(results)
    if len(chosen) > 1:
        sys.stderr.write(f"{len(chosen)} drills in {(time.monotonic() - began) / 60:.0f} min\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
