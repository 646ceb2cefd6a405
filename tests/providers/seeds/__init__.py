"""What the contract suite has to know of each provider: one module each, found by being there."""

import importlib
import pkgutil
from collections.abc import Mapping

from tests.providers.seeds.shape import Seeds

SEEDS: Mapping[str, Seeds] = {
    info.name: importlib.import_module(f"{__name__}.{info.name}").SEEDS
    for info in pkgutil.iter_modules(__path__)
    if info.name != "shape"
}
