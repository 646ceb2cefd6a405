"""What pages load: one stylesheet, one script, htmx and an icon, from this service alone.

Addresses carry a hash of the content, so browsers may keep them for good.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from api.console.session import PATH
from supportly.errors import NotFound

STATIC: Final = Path(__file__).parent / "static"
HTMX: Final = "static/django_htmx/htmx-2.min.js"
"""Where the wheel django-htmx keeps it; the package is never imported, since that would need Django."""
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEPT: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file."""

    content: bytes
    kind: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """All files by name, read once. Raises RuntimeError without the wheel that holds htmx."""
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}
    return {name: _read(path) for name, path in {**files, "htmx.js": _htmx()}.items()}


def get(name: str) -> Asset:
    """One file. Raises NotFound."""
    found = assets().get(name)
    if found is None:
        raise NotFound("There is nothing at this address.")
    return found


def url(name: str) -> str:
    """Address of a file, with its version."""
    return f"{PATH}/static/{name}?v={assets()[name].version}"


def _htmx() -> Path:
    spec = find_spec("django_htmx")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise RuntimeError("The package django-htmx is missing; the console takes htmx from it.")
    return Path(places[0]) / HTMX


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    version = hashlib.sha256(content).hexdigest()[:12]
    return Asset(content, f"{TYPES[path.suffix]}; charset=utf-8", version)
