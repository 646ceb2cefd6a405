"""Real text in quantity, on every machine: the docstrings of the Python packages that are installed here.

Some 50,000 of them, by people, in English, about everything from statistics to mail. A module is a document, a function
or class that says something a section of it: what an account with large manuals looks like.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from supportly.contracts.knowledge import Document

LEAST: Final = 40
"""Characters of a docstring that says something."""
MOST: Final = 400_000
"""Characters of a file that is read: longer ones are tables and generated code."""


def documents() -> list[Document]:
    """Every module that says something, as Markdown; no text twice. Takes half a minute."""
    told: set[str] = set()
    paths = sysconfig.get_paths()
    roots = list(dict.fromkeys(Path(paths[name]) for name in ("purelib", "platlib", "stdlib")))
    found = []
    for root in roots:
        for file in sorted(root.rglob("*.py")):
            named = file.relative_to(root).with_suffix("")
            if root == Path(paths["stdlib"]) and named.parts[0] == "site-packages":
                continue
            sections = [text for text in _sections(file) if text not in told]
            told.update(sections)
            if sections:
                title = ".".join(named.parts).removesuffix(".__init__")
                found.append(Document(stream="articles", external_id=title, title=title, body="\n\n".join(sections)))
    return found


def _sections(file: Path) -> Iterator[str]:
    """What a module says, then what each of its functions and classes does, below its name."""
    if file.stat().st_size > MOST:
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # written for another Python, or a template
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node)
            if said and len(said) >= LEAST:
                yield said if isinstance(node, ast.Module) else f"## {node.name}\n\n{said}"
