"""Reads JSON bodies: strictly, after the caller is known, and naming what is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.errors import InvalidJson, UnsupportedMediaType, from_validation
from supportly.errors import InvalidInput

DEEPEST: Final = 32
"""Levels of nesting; no documented body needs more than a handful."""
LARGEST_NUMBER: Final = {int: 2**63 - 1, bool: 1, float: sys.float_info.max}
"""What PostgreSQL's bigint and every provider's JSON can hold; `1e999` reads as infinity."""
NOT_BLANK: Final = r"[^\s\x1c-\x1f\x85]"
"""Pattern of a text that Python does not take for blank, in the regular expressions of JSON Schema."""
EXACT: Final = 2.0**53
"""Up to here every integer is a float as well."""

Body = TypeVar("Body", bound=BaseModel)


def json_body(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body as `model`; no body at all counts as `{}`.

    In a route's signature it stands behind the one that checks the caller, so that strangers learn nothing about it.
    """

    async def read(request: Request) -> Body:
        try:
            return model.model_validate(await read_object(request), strict=True)
        except ValidationError as error:
            raise from_validation(error) from None

    return read


async def read_object(request: Request) -> dict[str, Any]:
    """The body as an object. Raises InvalidJson, UnsupportedMediaType, or InvalidInput naming the field."""
    raw = await request.body()
    if not raw.strip():
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType(
            "The body has to be JSON: send the header `Content-Type: application/json`.", field="Content-Type"
        )
    try:
        found = json.loads(
            raw.decode("utf-8-sig"), object_pairs_hook=_distinct, parse_constant=_no_constant, parse_float=_number
        )
    except RecursionError:
        raise InvalidJson("The body is nested too deeply to be read.", field="body") from None
    except ValueError:
        raise InvalidJson("The body is not valid JSON.", field="body") from None
    if not isinstance(found, dict):
        raise InvalidInput("The body has to be a JSON object.", field="body")
    _check(found, (), 0)
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidInput("A key stands twice in one object of the body.", field=_shown(name) or "(empty key)")
        found[name] = value
    return found


def _number(text: str) -> float:
    """A number with a point or an exponent. JSON knows one kind of number: `60.0` is the integer 60."""
    found = float(text)
    return int(found) if found.is_integer() and abs(found) <= EXACT else found


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _shown(name: str) -> str:
    """A key as an error may quote it: short, and of characters that print."""
    return "".join(c for c in name if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF)[:100]


def _check(value: Any, path: tuple[str, ...], depth: int) -> None:
    """Refuse what no database column and no provider takes: NUL, halves of characters, giant numbers, deep nesting."""
    field = ".".join(path) or "body"
    if depth > DEEPEST:
        raise InvalidInput(f"`{field}` is nested too deeply.", field=field)
    if isinstance(value, str):
        _check_text(value, field)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, f"{field}.(key)" if path else "(key)")
            _check(item, (*path, _shown(name) or "(empty key)"), depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check(item, (*path, str(number)), depth + 1)
    elif isinstance(value, int | float) and not abs(value) <= LARGEST_NUMBER[type(value)]:
        raise InvalidInput(f"`{field}` is a number that is too large.", field=field)


def _check_text(text: str, field: str) -> None:
    if "\x00" in text:
        raise InvalidInput(f"`{field}` holds a NUL character.", field=field)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"`{field}` holds half of a character (a lone surrogate).", field=field) from None
