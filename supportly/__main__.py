"""`python -m supportly`, and `supportly` where the package is installed: the command line."""

import os
import sys
from typing import NoReturn

try:
    from supportly.cli.app import main as command
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] == "supportly":  # a mistake of ours, not of the environment
        raise
    sys.exit(f"The environment is damaged (the module {error.name} is missing): `make clean`, then start again.")


def main() -> NoReturn:
    """Run the command, and leave without the interpreter's own end.

    Threads of Temporal's SDK may still be talking to the server then, and touch an interpreter that is half gone: seven
    commands of forty ended with SIGABRT or SIGSEGV after they had done their work, on a busy machine
    (temporalio/sdk-python, issue 300).
    """
    try:
        command()
    except SystemExit as ended:
        if "temporalio.bridge" not in sys.modules:
            raise
        code = ended.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
    raise AssertionError("a command ends by SystemExit")


if __name__ == "__main__":
    main()
