"""What others made and is installed here: hashes, licences, and every program, model and large file in the wheels.

docs/supply-chain.md holds the lists; these tests compare it with requirements.lock and with the environment.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from boolean import Expression
from license_expression import ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supportly.dev.stack import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
PAGE = (ROOT / "docs" / "supply-chain.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LARGE = 5_000_000
"""From this size on a file of a wheel stands on the page. Smaller ones are Python's everyday extension modules."""
STILL_LARGE = LARGE // 2
"""Down to this size a row stays: wheels of other Pythons and processors hold the same module somewhat smaller."""
SPDX = get_spdx_licensing()
SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-2-Clause AND BSD-3-Clause",  # the classifier does not say which: both must be allowed
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The MIT License (MIT)": "MIT",
}
"""How older metadata, and first lines of licence files, call what SPDX has an identifier for."""
APPROVALS = {"DFSG approved"}
"""Classifiers that say who approves of a licence, and not which it is."""
RUNS = {"production", "not called", "tests and development"}


def entries(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement with its options; anything that is neither is an error."""
    found = []
    for entry in re.sub(r"\\\n", " ", lock).splitlines():
        assert entry, "an empty line"
        requirement, *options = re.split(r"\s+(?=--)", entry.strip())
        found.append((Requirement(requirement), options))
    return found


LOCKED = entries(LOCK)
HERE = {canonicalize_name(one.name): one for one, _ in LOCKED if not one.marker or one.marker.evaluate()}
"""Locked packages that this platform and this Python get."""


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/supply-chain.md lacks the section {title}"
    return found[1]


def rows(title: str) -> Iterator[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    assert len(lines) > 2, title
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# The lock.


def flaws(lock: str) -> list[str]:
    """What keeps a lock from saying exactly which archives are installed, from whichever index."""
    found = []
    for one, options in entries(lock):
        if one.url or not re.fullmatch(r"==[^*,]+", str(one.specifier)):
            found.append(f"{one.name} is not pinned to a version")
        if not options or not all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options):
            found.append(f"{one.name} lacks sha256 hashes, or has other options")
    return found


def test_every_locked_package_has_a_version_and_hashes_and_no_host_is_named() -> None:
    assert len(LOCKED) > 150
    assert flaws(LOCK) == []
    assert "://" not in LOCK


@pytest.mark.parametrize(
    "lock",
    [
        "one==1.0\n",
        "one>=1.0 --hash=sha256:" + "0" * 64,
        "one==1.* --hash=sha256:" + "0" * 64,
        "one==1.0 --hash=md5:" + "0" * 32,
        "one @ https://example.com/one.whl --hash=sha256:" + "0" * 64,
        "one==1.0 --hash=sha256:" + "0" * 64 + " --index-url=example",
    ],
)
def test_a_lock_that_leaves_something_open_is_noticed(lock: str) -> None:
    assert flaws(lock)


def test_the_environment_is_what_is_locked() -> None:
    for name, locked in HERE.items():
        assert locked.specifier.contains(distribution(name).version, prereleases=True), name


def test_whoever_installs_the_lock_demands_its_hashes() -> None:
    for path in ("Dockerfile", "supportly/dev/setup.py"):
        assert "--require-hashes" in (ROOT / path).read_text(), path


# Licences.


@cache
def stated() -> dict[str, str]:
    """Each installed package's licence: what its metadata state, else the first line of the licence that it ships."""
    done = subprocess.run(
        [sys.executable, "-m", "piplicenses", "--from=mixed", "--format=json", "--with-license-file", "--with-system"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {}
    for one in json.loads(done.stdout):
        text = one["LicenseText"] if one["License"] == "UNKNOWN" else one["License"]
        found[canonicalize_name(one["Name"])] = text.strip().partition("\n")[0].strip()
    return found


def expression(text: str) -> str:
    """What was stated, as an SPDX expression: several classifiers all hold."""
    parts = [part.strip() for part in text.split(";")]
    return " AND ".join(f"({SPELLINGS.get(part, part)})" for part in parts if part not in APPROVALS)


def permitted(text: str, allowed: set[str]) -> bool:
    """Whether every licence that holds is allowed; of alternatives one is enough. What is no licence is not."""

    def holds(node: Expression) -> bool:
        if isinstance(node, SPDX.OR):
            return any(holds(one) for one in node.args)
        if isinstance(node, SPDX.AND):
            return all(holds(one) for one in node.args)
        return node.render() in allowed  # "A WITH B" is one licence

    if not text:
        return False
    try:
        parsed = SPDX.parse(expression(text), validate=True)
    except ExpressionError:
        return False
    return parsed is not None and holds(parsed)


ALLOWED = set(code(section("Licences").partition("### Exceptions")[0]))


def test_every_locked_package_has_an_allowed_licence_or_stands_among_the_exceptions() -> None:
    exceptions = {code(package)[0]: (code(licence)[0], reason) for package, licence, reason in rows("Licences")}
    refused = {name: stated()[name] for name in HERE if not permitted(stated()[name], ALLOWED)}
    missing = {name: text for name, text in refused.items() if name not in exceptions}
    assert not missing, "neither allowed nor an exception on docs/supply-chain.md"
    assert exceptions.keys() <= refused.keys(), "docs/supply-chain.md makes exceptions of packages that need none"
    for name, text in refused.items():
        licence, reason = exceptions[name]
        assert permitted(text, {*ALLOWED, *re.findall(r"[\w.-]+", licence)}), f"{name} is under {text} now"
        assert len(reason) > 20, f"{name} needs a reason"


def test_the_allow_list_is_of_identifiers_and_holds_no_copyleft() -> None:
    assert len(ALLOWED) >= 5
    assert SPDX.validate(" AND ".join(ALLOWED)).errors == []
    assert not [one for one in ALLOWED if re.search("GPL|MPL|EPL|CDDL|SSPL|BUSL", one)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", True),
        ("Apache Software License; MIT License", True),
        ("DFSG approved; MIT License", True),
        ("DFSG approved", False),
        ("MIT License; GNU General Public License v3 (GPLv3)", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("Apache-2.0 OR SomethingElse", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_what_an_expression_permits(text: str, expected: bool) -> None:
    assert permitted(text, {"MIT", "Apache-2.0"}) is expected


# Programs, models and large files.


def is_program(head: bytes, name: str) -> bool:
    """Whether a file is an ELF executable: position-independent ones differ from shared objects by their name only."""
    if not head.startswith(b"\x7fELF"):
        return False
    little = "little" if head[5] == 1 else "big"
    return int.from_bytes(head[16:18], little) == 2 or not re.search(r"\.so(\.|$)", name)  # 2 is ET_EXEC


def brought(one: Distribution, least: int) -> set[str]:
    """Programs and files above `least` bytes of one distribution, relative to site-packages or to the environment."""
    assert one.files, f"{one.name} has no RECORD"
    found = set()
    for file in one.files:
        path = Path(str(one.locate_file(file)))
        if not path.is_file():  # compiled modules that nobody has compiled yet
            continue
        with path.open("rb") as opened:
            program = is_program(opened.read(18), path.name)
        if program or path.stat().st_size > least:
            found.add(re.sub(r"^(\.\./)+", "", file.as_posix()))
    return found


@cache
def in_production() -> set[str]:
    """Names of all packages that those of `project.dependencies` ask for, however far."""
    seen: set[tuple[str, str]] = set()
    left = [Requirement(one) for one in PYPROJECT["project"]["dependencies"]]
    while left:
        one = left.pop()
        for extra in ("", *one.extras):
            key = (canonicalize_name(one.name), extra)
            if key in seen or key[0] not in HERE:  # pyproject.toml says what is left out
                continue
            seen.add(key)
            asked = [Requirement(text) for text in distribution(one.name).requires or []]
            left += [each for each in asked if not each.marker or each.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


@pytest.mark.skipif(sys.platform != "linux", reason="the page describes the wheels for Linux")
def test_every_program_and_large_file_that_a_wheel_brings_stands_on_the_page() -> None:
    table: dict[str, list[str]] = {}
    for package, files, *_ in rows("Programs, models and large files"):
        table[code(package)[0]] = code(files)
    assert table.keys() <= HERE.keys()
    for name in HERE:
        patterns = table.get(name, [])
        missing = {file for file in brought(distribution(name), LARGE) if not _matches(file, patterns)}
        assert not missing, f"docs/supply-chain.md does not say where {name}'s files come from: {sorted(missing)}"
        still = brought(distribution(name), STILL_LARGE) if patterns else set()
        for pattern in patterns:
            assert any(fnmatchcase(file, pattern) for file in still), f"{name} brings no {pattern} any more"


def _matches(file: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)


def test_each_says_what_it_is_whence_it_comes_and_where_it_runs() -> None:
    for package, _, what, origin, runs in rows("Programs, models and large files"):
        name = code(package)[0]
        assert len(what) > 10, name
        assert re.search(r"https://[\w.-]+/\S", origin), f"{name} needs an origin"
        assert runs in RUNS, name
        assert (name in in_production()) is (runs != "tests and development"), f"{name}: {runs}"


def test_programs_are_told_from_libraries() -> None:
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    assert is_program(header + b"\x02\x00", "server")
    assert is_program(header + b"\x02\x00", "server.so")
    assert is_program(header + b"\x03\x00", "server")
    assert not is_program(header + b"\x03\x00", "module.cpython-311-x86_64-linux-gnu.so")
    assert not is_program(header + b"\x03\x00", "libpq.so.5.18")
    assert not is_program(b"#!/bin/sh\n", "server")


def test_a_distribution_without_its_record_is_noticed(tmp_path: Path) -> None:
    info = tmp_path / "one-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one\nVersion: 1.0\n")
    with pytest.raises(AssertionError, match="no RECORD"):
        brought(Distribution.at(info), LARGE)
    (tmp_path / "server").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00")
    (tmp_path / "data").write_bytes(bytes(LARGE + 1))
    (tmp_path / "small").write_bytes(bytes(LARGE))
    (info / "RECORD").write_text("server,,\ndata,,\nsmall,,\nnever-compiled.pyc,,\n")
    assert brought(Distribution.at(info), LARGE) == {"server", "data"}


# The bill of materials.


def test_the_sbom_names_every_locked_package_that_is_installed(tmp_path: Path) -> None:
    made = tmp_path / "there" / "sbom.json"
    # `-o setup`: the environment stands. CycloneDX's own validation takes ten seconds, and `make sbom` keeps it.
    done = subprocess.run(
        ["make", "-o", "setup", "sbom", f"SBOM={made}", "SBOM_ARGS=--no-validate"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bill = json.loads(made.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == PYPROJECT["project"]["name"]
    named = {(canonicalize_name(one["name"]), one["version"]): one["purl"] for one in bill["components"]}
    for name in HERE:
        assert named[name, distribution(name).version].startswith("pkg:pypi/"), name
    assert str(ROOT) not in made.read_text()


def test_what_is_not_installed_here_is_said_on_the_page() -> None:
    elsewhere = {canonicalize_name(one.name) for one, _ in LOCKED} - HERE.keys()
    for name in elsewhere:
        with pytest.raises(PackageNotFoundError):
            distribution(name)
    if sys.platform == "linux":
        assert set(code(section("What is locked").partition("Not installed on Linux")[2])) == elsewhere
