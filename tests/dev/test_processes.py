"""Starting children: what is interrupted is interrupted, and nothing else."""

import subprocess
import sys

from supportly.dev.stack import ROOT

INTERRUPTED = """
import random, signal, subprocess, sys, time
from pathlib import Path
from supportly.dev.processes import Child


class Quick:
    # Takes as long as a start; two thousand real ones would take minutes.
    def __init__(self, *_, **__):
        time.sleep(0.0003)


def interrupt(*_):
    raise KeyboardInterrupt


subprocess.Popen = Quick
signal.signal(signal.SIGALRM, interrupt)
chance = random.Random(3)
for _ in range(2000):
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(5e-5, 3.5e-4))
        Child("child", ["true"], log=Path(sys.argv[1]))
        time.sleep(1)
    except KeyboardInterrupt:
        continue
    raise SystemExit("nobody interrupted")
print("done")
"""


def test_ctrl_c_at_any_moment_of_a_start_is_nothing_worse(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "child.log")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "done\n"
