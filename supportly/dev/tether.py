"""Ties a process to its parent, then becomes the wanted command: `tether.py SIGNAL PARENT UID:GID COMMAND…`.

Linux sends SIGNAL to this process when the thread that started it is gone, however it went. The tie survives exec, so
the process id is the command's own. Standard library only and a file of its own, because it runs as
`python -I -S tether.py` in 12 ms and keeps Python code out of the gap between fork and exec (`preexec_fn`), which is
not safe in a process with threads. Other systems have no such tie: there only an orderly stop cleans up.
"""

from __future__ import annotations

import os
import sys

PR_SET_PDEATHSIG = 1
CANNOT_EXECUTE = 126


def die_with_parent(signal: int) -> None:
    """Asks Linux for `signal` as soon as the parent of this process is gone; does nothing elsewhere."""
    if sys.platform == "linux":
        import ctypes  # here, because the import costs more than everything else in this file

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)


def main(arguments: list[str]) -> None:
    """Ties, changes user if asked to, ties again, checks that the parent still lives, and becomes the command."""
    signal, parent, user, *command = arguments
    die_with_parent(int(signal))
    if user != "-":
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        # The change of user has cut the tie. (Not before it alone: the other user may be unable to read ctypes.)
        die_with_parent(int(signal))
    if sys.platform == "linux" and os.getppid() != int(parent):
        return
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(CANNOT_EXECUTE)


if __name__ == "__main__":
    main(sys.argv[1:])
