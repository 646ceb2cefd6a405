"""A command that spoke to Temporal ends with its own exit code, whatever the SDK's threads are doing."""

import subprocess
import sys
from collections import Counter

from supportly.dev.stack import ROOT

# The SDK's threads are at work when the command ends: calls that nobody waits for any more.
BUSY = """
import asyncio, sys, threading
from temporalio.client import Client

async def begin(address):
    client = await Client.connect(address)
    for _ in range(20):
        asyncio.ensure_future(client.get_workflow_handle("nobody").describe())
    await asyncio.sleep(0)
    return client

import supportly.__main__ as entry
entry.command = lambda: (asyncio.run(begin(sys.argv[1])), sys.stdout.write("done\\n"), sys.exit(5))
entry.main()
"""


def test_the_exit_code_is_the_commands_own(temporal):
    ended = Counter()
    for _ in range(12):
        done = subprocess.run(
            [sys.executable, "-c", BUSY, temporal.address],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,  # an interpreter that ends in the usual way may also hang here
        )
        ended[done.returncode, done.stdout] += 1
    assert ended == {(5, "done\n"): 12}


def test_without_temporal_the_interpreter_ends_as_ever():
    script = "import sys\nimport supportly.__main__ as e\ne.command = lambda: sys.exit('a sentence')\ne.main()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "a sentence\n")
