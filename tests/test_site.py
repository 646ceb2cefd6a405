"""The docs as a site: it builds strictly, asks no other host for anything, and every link leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ops.site import flowchart
from supportly.dev.stack import ROOT
from tests.conftest import Service

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = re.compile(r"^<!-- runs on the service -->\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
HOST = "https://integrations.example.com"
"""What an example calls the service."""
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", made],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return made


def test_the_navigation_leads_to_every_page(site: Path) -> None:
    front = (site / "index.html").read_text()
    navigation = front[front.index('<nav class="md-nav md-nav--primary') :]
    for page in (ROOT / "docs").glob("*.md"):
        assert f'href="{page.stem}.html"' in navigation or f"href={page.stem}.html" in navigation, page.name
    listed = re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text())
    assert len(listed) == len(set(listed))
    for page in ("index", "api-reference", "operations", "production", "contributing"):
        assert (site / f"{page}.html").stat().st_size > 5_000


def test_the_site_asks_no_other_host_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]+src=\"?([^\"\s>]+)", text)
        loaded += re.findall(
            r"<link(?=[^>]+rel=\"?(?:stylesheet|preconnect|icon|preload))[^>]+href=\"?([^\"\s>]+)", text
        )
        assert loaded
        assert not [one for one in loaded if re.match(r"(https?:)?//", one)], page.name
        # Material's script fetches Mermaid's from another host as soon as a page has such a block.
        assert 'class="mermaid"' not in text


def test_flowcharts_are_drawn(site: Path) -> None:
    for page in ("index.html", "architecture.html"):
        drawn = re.findall(r'<svg class="flowchart".*?</svg>', (site / page).read_text(), re.DOTALL)
        assert len(drawn) == 1
        assert drawn[0].count("<rect") >= 6
        assert "PostgreSQL" in drawn[0]


@pytest.mark.parametrize("line", ["graph TD", "flowchart LR\n  a -.-> b", "flowchart LR\n  a ==> b"])
def test_a_flowchart_that_is_not_understood_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="flowchart"):
        flowchart.svg(line)


def test_every_endpoint_stands_in_the_reference(site: Path) -> None:
    from api.app import create_app
    from supportly.settings import Settings

    text = (site / "api-reference.html").read_text()
    for path, methods in create_app(Settings()).openapi()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in text


def anchors(page: Path) -> set[str]:
    """What GitHub and MkDocs make of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    words = (
        re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)).strip().lower() for title in titles
    )
    return {re.sub(r"\s+", "-", one) for one in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_of_the_repository_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(re.sub(r"`[^`]*`", "", text)):
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} leads to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} leads to {target}"


EXAMPLES = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(EXAMPLE.findall(page.read_text()), 1)
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_that_says_so_runs(service: Service, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"__name__": "example", "token": service.token(1)}
    exec(compile(code.replace(HOST, service.api_url), "example", "exec"), names)
    assert capsys.readouterr().out, "it prints what it found"


def test_python_examples_of_the_docs_are_python() -> None:
    """Those that do not run on their own (they need an account, or leave things out) parse at least."""
    fenced = re.compile(r"^```python.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = [block for page in PAGES for block in fenced.findall(page.read_text())]
    assert found
    for block in found:
        compile(block, "example", "exec", flags=0x2000)  # `await` outside a function is fine in an example
    assert EXAMPLES, "at least one example runs"


def test_pre_commit_runs_what_check_runs_from_the_projects_own_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    entries = [hook["entry"].split()[0] for hook in config["repos"][0]["hooks"]]
    check = re.search(r"^check:.*?\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert check
    programs = re.findall(r"\$\(BIN\)/([\w-]+)", check[1])
    assert [Path(entry).name for entry in entries] == programs
    assert all(entry.startswith(".venv/bin/") for entry in entries)
