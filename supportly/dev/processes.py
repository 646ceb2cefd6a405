"""Child processes that cannot outlive us, free ports, and waiting for an answer."""

from __future__ import annotations

import _thread
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from queue import SimpleQueue

from supportly.dev import faults, tether
from supportly.dev.faults import StackError

# Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that a port found free
# here is not handed to a connection before the server that it was found for binds it.
FREE_PORTS = range(18_000, 32_000)
POLL_S = 0.03
_Launch = Callable[[], "subprocess.Popen[bytes]"]
_Answer = SimpleQueue["subprocess.Popen[bytes] | BaseException"]


@cache
def _starter() -> SimpleQueue[tuple[_Launch, _Answer]]:
    """What is put here is called in a thread that lives as long as we do; children are tied to it (tether.py).

    No executor: Ctrl-C between two lines of its locks' Python code leaves them locked, or is another error. A
    `SimpleQueue` has no such code.
    """
    asked: SimpleQueue[tuple[_Launch, _Answer]] = SimpleQueue()

    def start() -> None:
        while True:
            launch, answer = asked.get()
            try:
                answer.put(launch())
            except BaseException as error:  # noqa: BLE001 - whoever waits for the child gets it
                answer.put(error)

    _thread.start_new_thread(start, ())
    return asked


def _started(launch: _Launch) -> subprocess.Popen[bytes]:
    """What `launch` starts, tied to us. Raises what it raises."""
    answer: _Answer = SimpleQueue()
    _starter().put((launch, answer))
    found = answer.get()
    if isinstance(found, BaseException):
        raise found
    return found


class Child:
    """A process of ours with a log file of its own; it ends when we end, whichever way that happens."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: tuple[int, int] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        tied = [sys.executable, "-I", "-S", tether.__file__, str(int(death_signal)), str(os.getpid())]
        tied += [f"{user[0]}:{user[1]}" if user else "-", *map(str, command)]
        with log.open("ab") as out:
            # A process group of its own: Ctrl-C in the terminal reaches us alone, and we stop things in order.
            self._process = _started(
                lambda: subprocess.Popen(
                    tied, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd, process_group=0
                )
            )

    @property
    def pid(self) -> int:
        """The process id of the command itself."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """False once it has ended."""
        return self._process.poll() is None

    @property
    def ended(self) -> str:
        """How it ended, for a sentence."""
        code = self._process.poll()
        if code is None:
            return "is running"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def failure(self) -> StackError:
        """Why it ended, as its log tells."""
        return faults.explain(self.name, self.log, self.ended)

    def ask_to_stop(self) -> None:
        """Asks it to end, without waiting."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, ask: signal.Signals = signal.SIGTERM, timeout: float = 10.0) -> None:
        """Asks it to end, and ends it when it has not within `timeout` seconds."""
        if self.running:
            self._process.send_signal(ask)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """Ends it at once, with whatever it started in its process group."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, with_signal)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def wait(self, timeout: float) -> int:
        """Its exit code, waiting up to `timeout` seconds."""
        return self._process.wait(timeout)


def run(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    timeout: float,
    user: tuple[int, int] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Runs a command to its end, tied to us like every child; raises what its log tells when it fails."""
    child = Child(name, command, log=log, user=user, env=env, cwd=cwd)
    try:
        if child.wait(timeout) != 0:
            raise child.failure()
    except subprocess.TimeoutExpired:
        raise StackError(f"{name} has not ended after {timeout:.0f} s; its log is {log}.") from None
    finally:
        child.kill()


def until(child: Child, answers: Callable[[], bool], *, timeout: float, what: str = "") -> None:
    """Waits until `answers()`; raises as soon as the child has ended, or after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not answers():
        if not child.running:
            raise child.failure()
        if time.monotonic() > deadline:
            said = faults.last_lines(child.log, 8)
            raise StackError(
                f"{child.name} has not become ready within {timeout:.0f} s{what and f' ({what})'}; its log is "
                f"{child.log}.\n{faults.indent(said)}"
            )
        time.sleep(POLL_S)


def port_is_free(port: int) -> bool:
    """True if a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port on which nobody listens."""
    for port in random.sample(FREE_PORTS, 200):
        if port_is_free(port):
            return port
    raise StackError(
        f"No free port between {FREE_PORTS.start} and {FREE_PORTS.stop} on 127.0.0.1: end something first."
    )


def chosen_port(port: int | None, variable: str) -> int:
    """`port` if one is given and free, or any free one; `variable` is the setting that names it."""
    if port is None:
        return free_port()
    if not port_is_free(port):
        raise StackError(
            f"Port {port} is in use: end the program that listens there, set {variable} to another port, or unset it "
            "so that a free one is taken."
        )
    return port


def http_status(url: str, timeout: float = 2.0) -> int:
    """The status of a GET, or 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - addresses of our own processes
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
