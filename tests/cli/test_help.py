"""The command line as its page describes it."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest
import typer

from supportly.cli import completing
from supportly.cli.app import app
from supportly.cli.failing import BY_STATUS, Exit
from supportly.errors import SupportlyError, _tree

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/cli.md").read_text()
WITHOUT_JSON = {"stack up", "stack demo", "mcp"}
"""They stay: the stack tells a story (`stack.json` is what programs read), and `mcp` speaks a protocol of its own."""


def verbs(group: click.Group, before: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= verbs(command, f"{before}{name} ")
        else:
            found[before + name] = command
    return found


VERBS = verbs(typer.main.get_command(app))


def test_every_verb_is_on_the_page_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z]+(?: [a-z]+)?)(?: [A-Z=]+)*` \|", PAGE, re.MULTILINE)
    assert set(rows) == set(VERBS)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_helps_and_speaks_json(name: str) -> None:
    command = VERBS[name]
    options = {o for p in command.params for o in p.opts}
    assert ("--json" in options) is (name not in WITHOUT_JSON)
    assert command.help
    assert all(getattr(p, "help", None) for p in command.params), "each parameter says what it is"


def test_every_exit_code_is_on_the_page() -> None:
    rows = {int(code) for code in re.findall(r"^\| `(\d+)` \|", PAGE, re.MULTILINE)}
    assert rows == {code.value for code in Exit}


def test_every_error_has_an_exit_code_of_its_own_kind() -> None:
    statuses = {kind.status for kind in _tree(SupportlyError)} - {500}
    assert statuses <= set(BY_STATUS)


def test_the_installed_command_is_this_one() -> None:
    module, _, name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["supportly"].partition(
        ":"
    )
    assert callable(getattr(import_module(module), name))


def test_a_shell_completes_providers() -> None:
    assert completing.providers("s") == ["salesforce", "schedly", "stripe", "slack", "shopify"]
