"""Draws what the benches measured: `python bench/plot.py FIGURES.jsonl docs`, with the environment of `bench.peers`.

`ingest.svg`: milliseconds a document and MiB above idle, by the number of documents. `recall.svg`: recall@10 and the
time of a search, by the number of an account's chunks, of random words and of real text. What FIGURES lacks stays as it
was.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "supportly", "font.size": 10, "axes.spines.top": False})
NO_DATE = {"Date": None}


def sized(figures: dict[str, dict[str, Any]], prefix: str, suffix: str = "") -> list[tuple[int, float]]:
    """Size and value of all figures named `prefix<size>suffix`."""
    found = []
    for name, line in figures.items():
        size = name.removeprefix(prefix).removesuffix(suffix)
        if name.startswith(prefix) and size.isdigit() and name == f"{prefix}{size}{suffix}":
            found.append((line["n"], line["value"]))
    return sorted(found)


def ingest(figures: dict[str, dict[str, Any]], path: Path) -> None:
    """Time a document and memory, by size."""
    plot, left = plt.subplots(figsize=(7, 4))
    right = left.twinx()
    for kind, colour in (("first", "tab:blue"), ("unchanged", "tab:green"), ("one_percent", "tab:orange")):
        points = sized(figures, f"ingest_{kind}_")
        label = kind.replace("_", " ")
        left.plot([p[0] for p in points], [1000 / p[1] for p in points], "o-", color=colour, label=label)
    memory = sized(figures, "memory_first_")
    right.plot([p[0] for p in memory], [p[1] for p in memory], "s--", color="tab:gray", label="memory of a first load")
    left.set(xscale="log", yscale="log", xlabel="documents", ylabel="milliseconds a document")
    right.set(ylabel="MiB above idle", ylim=(0, 320))
    plot.legend(loc="upper center", ncols=2, frameon=False)
    plot.savefig(path, metadata=NO_DATE)


def recall(figures: dict[str, dict[str, Any]], path: Path) -> None:
    """Recall and time, by the account's size; one line a filter, dashed for real text."""
    plot, (above, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True)
    colours = {"none": "tab:blue", "provider": "tab:orange", "locale": "tab:green"}
    for chosen, colour in colours.items():
        for text, style in (("", "o-"), ("_manuals", "s--")):
            label = f"filter: {chosen}{', real text' if text else ''}"
            for axis, prefix in ((above, "recall10_"), (below, "search_p50_")):
                points = sorted(
                    (line["n"], line["value"])
                    for name, line in figures.items()
                    if name.startswith(prefix) and name.endswith(f"_{chosen}{text}")
                )
                axis.plot([p[0] for p in points], [p[1] for p in points], style, color=colour, label=label)
    above.set(ylabel="recall@10", ylim=(0.9, 1.005))
    below.set(xscale="log", xlabel="chunks of the account", ylabel="ms in the database, p50", ylim=(0, None))
    above.legend(frameon=False, ncols=2, fontsize=8)
    plot.savefig(path, metadata=NO_DATE)


def main() -> None:
    """Both plots."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [json.loads(line) for line in source.read_text().splitlines() if line.startswith("{")]
    figures = {line["figure"]: line for line in lines}
    if any(name.startswith("ingest_") for name in figures):
        ingest(figures, target / "ingest.svg")
    if any(name.startswith("recall10_") for name in figures):
        recall(figures, target / "recall.svg")


if __name__ == "__main__":
    main()
