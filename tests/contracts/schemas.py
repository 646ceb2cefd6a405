"""Schemas of OpenAPI 3.0 and Swagger 2 as JSON Schemas of one direction, compiled once.

An object whose contract lists properties takes no others, in requests and in answers: the published schemas leave it
open, and nearly all of their properties are optional, so that an open check would miss every misspelt name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import jsonschema_rs

from tests.contracts.forms import Schema

Direction = Literal["request", "answer"]
Formats = Mapping[str, Callable[[str], bool]]
Validator = jsonschema_rs.Draft202012Validator
COPIED = (
    "type", "enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "uniqueItems", "required", "multipleOf", "minProperties", "maxProperties",
)  # fmt: skip
ALTERNATIVES = ("anyOf", "oneOf")
AROUND = (*COPIED, *ALTERNATIVES, "properties", "additionalProperties", "items", "allOf")
Breach = tuple[str, str, str]
"""Place (`.data[0].id`), rule and a word on it."""


def is_decimal(text: str) -> bool:
    """A number as text, as Stripe writes amounts smaller than a cent."""
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def compiled(schema: Schema, formats: Formats | None = None) -> Validator:
    """A validator that minds formats."""
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=True, formats={"decimal": is_decimal, **(formats or {})}
    )


class Schemas:
    """The schemas of one contract; `document` is the whole file, for its references."""

    def __init__(self, document: Schema, formats: Formats | None = None) -> None:
        self.document, self.formats = document, formats or {}

    def resolve(self, schema: Schema) -> Schema:
        """What a reference points to; references may be chained."""
        while "$ref" in schema:
            place: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                place = place[part.replace("~1", "/").replace("~0", "~")]
            schema = place
        return schema

    def compiled(self, schema: Schema, direction: Direction) -> Validator:
        """The validator of one schema in one direction."""
        return compiled(_Translation(self, direction).whole(schema), self.formats)


class _Translation:
    """One schema with everything that it refers to."""

    def __init__(self, schemas: Schemas, direction: Direction) -> None:
        self.schemas = schemas
        self.hidden = "readOnly" if direction == "request" else "writeOnly"
        self.defs: dict[str, Schema] = {}

    def whole(self, schema: Schema) -> Schema:
        return {**self.convert(schema), "$defs": self.defs}

    def refer(self, schema: Schema) -> Schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in self.defs:
            self.defs[name] = {}  # schemas refer to themselves
            self.defs[name] = self.convert(self.schemas.resolve(schema))
        return {"$ref": f"#/$defs/{name}"}

    def convert(self, schema: Schema) -> Schema:
        if "$ref" in schema:
            return self.refer(schema)
        if set(schema) & set(AROUND) == {"allOf"} and len(schema["allOf"]) == 1 and not schema.get("nullable"):
            return self.convert(schema["allOf"][0])
        schema = self.merged(schema)
        if isinstance(schema.get("items"), list):  # Slack's way to write alternatives, of whatever type
            schema = {**{n: v for n, v in schema.items() if n != "items"}, "anyOf": schema["items"]}
        word = next((word for word in ALTERNATIVES if word in schema), None)
        return self.either(schema, word) if word else self.one(schema)

    def either(self, schema: Schema, word: str) -> Schema:
        """Alternatives; generated contracts list such that overlap, so one that fits is enough."""
        # What stands around alternatives belongs to each.
        around = {n: v for n, v in schema.items() if n in AROUND and n != word}
        parts = [self.convert({**around, "allOf": [p]} if around else p) for p in schema[word]]
        return {"anyOf": [*parts, {"type": "null"}] if schema.get("nullable") else parts}

    def one(self, schema: Schema) -> Schema:
        found: Schema = {word: schema[word] for word in COPIED if word in schema}
        own = schema.get("properties", {})
        hidden = {name for name, sub in own.items() if self.schemas.resolve(sub).get(self.hidden)}
        if own:
            found["properties"] = {n: n not in hidden and self.convert(s) for n, s in own.items()}
        if "required" in found:
            found["required"] = [name for name in found["required"] if name not in hidden]
        if "allOf" in schema:
            found["allOf"] = [self.convert(part) for part in schema["allOf"]]
        if "items" in schema:
            found["items"] = self.convert(schema["items"])
        more = schema.get("additionalProperties", False if own else None)
        if more is not None:
            found["additionalProperties"] = self.convert(more) if isinstance(more, dict) else more
        return _nullable(found) if schema.get("nullable") else found

    def merged(self, schema: Schema) -> Schema:
        """The schema with its `allOf` worked into it: only the whole knows which properties there are."""
        parts = [self.schemas.resolve(part) for part in schema.get("allOf", ())]
        found = {name: value for name, value in schema.items() if name != "allOf"}
        kept = []
        for part in map(self.merged, parts):
            clash = {n for n in found.keys() & part.keys() & {*COPIED, *ALTERNATIVES, "items"} if found[n] != part[n]}
            if clash - {"required", "type"}:
                kept.append({name: part[name] for name in clash})
            both = {name: found[name] for name in clash}
            names = dict.fromkeys([*found.get("required", ()), *part.get("required", ())])
            known = found.get("properties", {})
            more = {n: {"allOf": [known[n], s]} if n in known and known[n] != s else s
                    for n, s in part.get("properties", {}).items()}  # fmt: skip
            found = {**found, **part, **both}
            if names:
                found["required"] = list(names)
            if known or more:
                found["properties"] = {**known, **more}
        return {**found, "allOf": kept} if kept else found


def _nullable(schema: Schema) -> Schema:
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]} if schema else schema
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    schema = {**schema, "type": [*kinds, "null"]}
    return {**schema, "enum": [*schema["enum"], None]} if "enum" in schema else schema


def breaches(validator: Validator, value: Any) -> list[Breach]:
    """What is wrong with `value`; a list of thousands costs microseconds when nothing is."""
    if validator.is_valid(value):
        return []
    return [breach for error in validator.iter_errors(value) for breach in _told(error)]


def _told(error: Any) -> Iterator[Breach]:
    kind, path = error.kind, _path(error.instance_path)
    if kind.name == "anyOf" and (best := _nearest(error.instance_path, kind.context)):
        # A place inside tells more than "none of the alternatives".
        for inner in best:
            yield from _told(inner)
    elif kind.name == "required":
        yield f"{path}.{kind.property}", "required", ""
    elif kind.name == "additionalProperties":
        for name in kind.unexpected:
            yield f"{path}.{name}", "unknown", ""
    else:
        rule = {"falseSchema": "unknown", "anyOf": "type"}.get(kind.name, kind.name)
        yield path, "null" if error.instance is None else rule, str(error.message)[:160]


def _nearest(place: list[str | int], branches: list[list[Any]]) -> list[Any] | None:
    """The errors of the alternative that was meant: the one of the right type with the fewest errors."""
    fitting = [
        errors for errors in branches
        if errors and not any(e.kind.name in ("type", "enum") and e.instance_path == place for e in errors)
    ]  # fmt: skip
    return min(fitting, key=len, default=None)


def _path(path: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
