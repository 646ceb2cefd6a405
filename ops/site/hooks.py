"""What MkDocs runs while it builds: pages of the repository's root, the API's reference, flowcharts as SVG."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ops.site import flowchart, reference  # noqa: E402 (found only now)

ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
ROOT_PAGES |= {"SECURITY.md": "security-policy.md"}
REFERENCE = "api-reference.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation of what is there: a page that is missing is left out, one that nobody placed stands at the end."""
    there = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md")}
    there |= {page for name, page in ROOT_PAGES.items() if (ROOT / name).exists()} | {REFERENCE}
    nav = _present(config.nav, there)
    if others := sorted(there - _named(nav)):
        nav.append({"More": others})
    config.nav = nav
    return config


def _named(nav: Any) -> set[str]:
    targets = [target for one in nav for target in one.values()]
    return {t for t in targets if isinstance(t, str)} | {n for t in targets if isinstance(t, list) for n in _named(t)}


def _present(nav: Any, there: set[str]) -> Any:
    kept = []
    for one in nav:
        [(title, target)] = one.items()
        if isinstance(target, list):
            if inner := _present(target, there):
                kept.append({title: inner})
        elif target in there:
            kept.append(one)
    return kept


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere or are made."""
    for name, page in ROOT_PAGES.items():
        if (ROOT / name).exists():
            files.append(File.generated(config, page, content=_moved((ROOT / name).read_text())))
    files.append(File.generated(config, REFERENCE, content=reference.page()))
    return files


def _moved(text: str) -> str:
    """Links of a page from the root, as they are from `docs/`."""
    text = re.sub(r"\]\(docs/", "](", text)
    for name, page in ROOT_PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Flowcharts as SVG; links to pages of the root lead to where they stand here."""
    for name, page in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({page}")
    return re.sub(r"```mermaid\n(.*?)```", lambda found: flowchart.svg(found[1]), markdown, flags=re.DOTALL)
