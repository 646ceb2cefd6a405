"""Records a history of every course of every workflow: `python -m tests.replay.record 2026-11`.

Each scenario runs for real on a Temporal server of this machine; a few wait for real seconds. The scenarios to record
can be named after the recording; without names, all are.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from tests.replay import connections, corpus, interactive, knowledge, upkeep  # noqa: F401 (they add their scenarios)
from tests.replay.stage import SCENARIOS, Scenario, play, servers


async def record(directory: Path, scenarios: list[Scenario]) -> list[Path]:
    """Play the scenarios, one after the other, and write what each leaves."""
    written: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="spl-record-") as made:
        async with servers(Path(made)) as on:
            for one in scenarios:
                async with on(one) as stage:
                    histories = await play(one, stage)
                paths = corpus.write(histories, one.name, directory)
                print(f"{one.name}: {len(paths)} of {sum(p.stat().st_size for p in paths):,} bytes", flush=True)  # noqa: T201
                written += paths
    return written


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.replay.record", description=__doc__)
    parser.add_argument("version", help="name of the recording: the month")
    parser.add_argument("scenarios", nargs="*", help="which ones; all without")
    chosen = parser.parse_args()
    unknown = set(chosen.scenarios) - {one.name for one in SCENARIOS}
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    logging.disable(logging.WARNING)  # failures are what many scenarios are about
    wanted = [one for one in SCENARIOS if not chosen.scenarios or one.name in chosen.scenarios]
    asyncio.run(record(corpus.HISTORIES / chosen.version, wanted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
