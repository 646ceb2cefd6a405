"""`python -m supportly`, and `supportly` where the package is installed: the command line."""

import sys

try:
    from supportly.cli.app import main
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] == "supportly":  # a mistake of ours, not of the environment
        raise
    sys.exit(f"The environment is damaged (the module {error.name} is missing): `make clean`, then start again.")

if __name__ == "__main__":
    main()
