"""Texts of queries and forms as the values that a schema speaks of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Schema = dict[str, Any]
Resolve = Callable[[Schema], Schema]


def tree(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Bracket names as objects and lists: `a[b]=1`, `a[]=1`, `a[0]=1`; a plain name that is repeated is a list."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        first, *more = [name.partition("[")[0], *re.findall(r"\[([^\]]*)\]", name)]
        place: Any = root
        key = first
        for following in more:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                break
            key = following or str(len(place))
        if not isinstance(place, dict):
            root[name] = value  # contradicts itself: no schema knows such a name
        elif key in place:
            known = place[key]
            place[key] = [*known, value] if isinstance(known, list) else [known, value]
        else:
            place[key] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    """Objects whose names are 0, 1, 2… are lists."""
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(item) for name, item in value.items()}
    return list(inner.values()) if list(inner) == [str(n) for n in range(len(inner))] and inner else inner


def typed(value: Any, schema: Schema, resolve: Resolve) -> Any:
    """`value` with its texts turned into what the schema wants; what cannot be turned stays and breaks the schema."""
    options = list(_options(schema, resolve))
    if isinstance(value, dict):
        known = {name: sub for option in options for name, sub in option.get("properties", {}).items()}
        other: Schema = next(
            (o["additionalProperties"] for o in options if isinstance(o.get("additionalProperties"), dict)), {}
        )
        return {name: typed(item, known.get(name, other), resolve) for name, item in value.items()}
    items = next((o["items"] for o in options if isinstance(o.get("items"), dict)), None)
    if isinstance(value, list):
        return [typed(item, items or {}, resolve) for item in value]
    if not isinstance(value, str):
        return value
    return _scalar(value, options)


def _scalar(value: str, options: list[Schema]) -> Any:
    for option in options:
        if option.get("type") == "string" and value in option.get("enum", (value,)):
            return value
    kinds = {option.get("type") for option in options}
    if kinds & {"integer", "number"} and re.fullmatch(r"-?\d+", value):
        return int(value)
    if "number" in kinds and re.fullmatch(r"-?\d+\.\d+", value):
        return float(value)
    if "boolean" in kinds and value in ("true", "false"):
        return value == "true"
    return value


def _options(schema: Schema, resolve: Resolve) -> Iterator[Schema]:
    schema = resolve(schema)
    yield schema
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, ()):
            yield from _options(part, resolve)
