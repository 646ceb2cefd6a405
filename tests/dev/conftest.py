"""A house with the same doors as ours and nothing behind them, so that these tests are about the stack alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from supportly.dev.stack import ROOT

WORKER = """
import os, pathlib, time
pathlib.Path(os.environ["SUPPORTLY_READY_FILE"]).write_text(os.environ["SUPPORTLY_WORKER_QUEUES"])
time.sleep(600)
"""
SANDBOX = """
import http.server, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/_sandbox/health" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Health).serve_forever()
"""
API = """
def create_app():
    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        token = dict(scope["headers"]).get(b"api_access_token")
        known = scope["path"] == "/readyz" or token in (b"admin", b"agent")
        await send({"type": "http.response.start", "status": 200 if known else 401, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})
    return app
"""
SERVES = """
import sys, uvicorn
from api.app import create_app
uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[sys.argv.index("--port") + 1]))
"""
# Runs the real command line on the house above; what follows the two directories are its arguments.
RUNNER = """
import sys
from pathlib import Path
from supportly.cli import app, stacks
from supportly.dev.stack import Stack
directory, root, *arguments = sys.argv[1:]
stacks._configured = lambda report: Stack(Path(directory), root=Path(root), report=report)
sys.argv = ["supportly", *arguments]
app.main()
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    root = tmp_path / "house"
    files = {"sandbox/__main__.py": SANDBOX, "api/app.py": API, "api/__main__.py": SERVES}
    for name, text in {"worker.py": WORKER, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A stack's directory whose tokens the house's API accepts."""
    made = tmp_path / "stack"
    made.mkdir()
    secrets = {"keys": "s1:" + "A" * 43 + "=", "token_pepper": "p", "admin_token": "admin", "agent_token": "agent"}
    (made / "secrets.json").write_text(json.dumps(secrets))
    return made


@pytest.fixture
def start_cli(house: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(directory: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(directory), str(house), *arguments],
            cwd=ROOT, env={**os.environ, **environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def eventually(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not become true within {seconds} s"
        time.sleep(0.02)


def family(pid: int) -> list[psutil.Process]:
    """Everything that the process has started, and what that has started."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]
