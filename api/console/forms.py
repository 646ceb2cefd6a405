"""Forms made from a JSON Schema, and their fields read back as the JSON that the API wants.

Nothing is validated here: the API does, and its errors go to the fields that they name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from starlette.datastructures import FormData

from api.console.wording import label, plainly
from supportly.errors import SupportlyError

SIMPLE: Final = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "text"}


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    name: str
    """As the API calls it; in the form it stands under `prefix.name`."""
    label: str
    kind: str
    """`text`, `long`, `integer`, `number`, `boolean`, `choice`, `list` (a line each) or `json`."""
    description: str = ""
    nullable: bool = False
    required: bool = False
    default: Any = None
    value: Any = None
    choices: tuple[Any, ...] = ()
    lowest: float | None = None
    highest: float | None = None
    longest: int | None = None
    error: str = ""

    @property
    def shown(self) -> str:
        """The value as the field's text."""
        if self.value is None or self.kind == "boolean":
            return ""
        if self.kind == "list" and isinstance(self.value, list):
            return "\n".join(map(str, self.value))
        if self.kind == "json" and not isinstance(self.value, str):
            return orjson.dumps(self.value, option=orjson.OPT_INDENT_2).decode()
        return str(self.value)

    @property
    def hint(self) -> str:
        """What the field takes, besides its description."""
        default = "" if self.default in (None, "", [], True, False) else f"Default: {self.default}."
        if self.kind == "list":
            of = f", of: {', '.join(map(str, self.choices))}" if self.choices else ""
            return f"One a line{of}. {default}".strip()
        if self.lowest is not None and self.highest is not None:
            return f"{self.lowest:g} to {self.highest:g}. {default}".strip()
        return default


def fields(schema: Mapping[str, Any], values: Mapping[str, Any], *, without: Sequence[str] = ()) -> list[Field]:
    """The fields of an object's schema, filled with `values`."""
    required = schema.get("required", ())
    return [
        replace(_field(name, one), value=values.get(name, one.get("default")), required=name in required)
        for name, one in schema["properties"].items()
        if name not in without
    ]


def _field(name: str, schema: Mapping[str, Any]) -> Field:
    options = schema.get("anyOf", [schema])
    kinds = [one for one in options if one.get("type") != "null"]
    one = kinds[0] if len(kinds) == 1 else {}
    kind = SIMPLE.get(one.get("type", ""), "json")
    items = one.get("items", {})
    if "enum" in one:
        kind = "choice"
    elif one.get("type") == "array" and ("enum" in items or items.get("type") == "string"):
        kind = "list"
    elif len(kinds) > 1 and all(of.get("type") in ("string", "integer") for of in kinds):
        kind = "text"  # an id that may be a number or a text, a date or a time: the API reads either
    elif kind == "text" and one.get("maxLength", 0) > 1000:
        kind = "long"
    # An exclusive limit of a whole number is the next one; of these schemas no other kind has one.
    above, below = one.get("exclusiveMinimum"), one.get("exclusiveMaximum")
    return Field(
        name,
        label(name),
        kind,
        # The schema speaks to programs: where it says null, a person leaves the field empty.
        re.sub(r"\b(N|n)ull\b", lambda m: "Empty" if m[1] == "N" else "empty", schema.get("description", "")),
        nullable=len(kinds) < len(options),
        default=schema.get("default"),
        choices=tuple(one.get("enum", items.get("enum", ()))),
        lowest=one.get("minimum", above + 1 if above is not None else None),
        highest=one.get("maximum", below - 1 if below is not None else None),
        longest=one.get("maxLength"),
    )


def read(known: Sequence[Field], given: FormData, prefix: str) -> list[Field]:
    """The fields with what was typed into the form: as JSON where it can be read, as text where only the API can say
    what is wrong with it; None where the field was left empty.
    """
    return [replace(one, value=_value(one, given, f"{prefix}.{one.name}")) for one in known]


def _value(one: Field, given: FormData, name: str) -> Any:
    if one.kind == "boolean":
        return name in given
    raw = given.get(name)
    text = raw.replace("\r\n", "\n").strip() if isinstance(raw, str) else ""
    if one.kind == "list":
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines or (None if one.nullable else [])
    if not text:
        return None
    if one.kind == "integer":
        return int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdecimal() else text
    if one.kind in ("number", "json"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def changed(before: Sequence[Field], after: Sequence[Field]) -> dict[str, Any]:
    """What has to be sent: an empty field is null, which resets it to its default."""
    old = {one.name: one.value for one in before}
    return {one.name: one.value for one in after if one.value != old[one.name]}


def problems(error: SupportlyError) -> dict[str, str]:
    """What the API found wrong, by the field's whole name (`settings.owner_id`)."""
    listed = error.details.get("problems")
    if isinstance(listed, list):
        return {one["field"]: _sentence(one["problem"]) for one in reversed(listed)}
    where = str(error.details.get("field") or "")
    return {where: error.message} if where else {}


def _sentence(problem: str) -> str:
    text = plainly(problem.removeprefix("is not valid: "))
    return text if text.endswith(".") else f"{text}."


def with_errors(known: Sequence[Field], found: Mapping[str, str], prefix: str) -> tuple[list[Field], dict[str, str]]:
    """The fields with their errors, and the errors that belong to none of them."""
    left = dict(found)
    marked = []
    for one in known:
        mine = [name for name in left if name == f"{prefix}.{one.name}" or name.startswith(f"{prefix}.{one.name}.")]
        texts = [left.pop(name) for name in mine]
        marked.append(replace(one, error=texts[0]) if texts else one)
    return marked, left
