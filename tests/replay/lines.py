"""Which lines and branches of the workflows a replay of the histories runs through: `python -m tests.replay.lines`.

A process of its own, started before any workflow is imported, so that every line is seen.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

import coverage

WORKFLOWS = Path(__file__).parents[2] / "workflows"


def main() -> int:
    """Replay, and print what was not met: lines, and branches as pairs of lines, by file."""
    logging.disable(logging.WARNING)
    seen = coverage.Coverage(branch=True, data_file=None, include=[str(WORKFLOWS / "*.py")], config_file=False)
    seen.start()
    from tests.replay import corpus

    troubles = asyncio.run(corpus.broken(corpus.recorded()))
    seen.stop()
    missed = {}
    for path in sorted(WORKFLOWS.glob("*.py")):
        found = seen._analyze(str(path))
        branches = [[start, end] for start, ends in sorted(found.missing_branch_arcs().items()) for end in ends]
        missed[path.name] = {"lines": sorted(found.missing), "branches": branches}
    print(json.dumps({"troubles": troubles, "missed": missed}))  # noqa: T201 (the answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
