"""What an answer holds that its model does not know."""

import json
import typing

from pydantic import BaseModel

OUTER = {"operation_id"}
"""Stands beside the fields of every stored operation's result."""


def unknown(model: type[BaseModel], data: dict) -> set[str]:
    """Fields of `data`, at any depth, that the model does not know."""

    def missing(given: typing.Any, kept: typing.Any, at: str) -> set[str]:
        if isinstance(given, dict) and isinstance(kept, dict):
            return {f"{at}.{k}" for k in given if k not in kept} | {
                found for k in given if k in kept for found in missing(given[k], kept[k], f"{at}.{k}")
            }
        if isinstance(given, list) and isinstance(kept, list):
            return {found for g, k in zip(given, kept, strict=True) for found in missing(g, k, f"{at}[]")}
        return set()

    found = missing(data, model.model_validate_json(json.dumps(data)).model_dump(mode="json"), "")
    return found - {f".{name}" for name in OUTER - set(model.model_fields)}
