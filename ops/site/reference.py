"""The page of the API's reference, from the OpenAPI document that the service itself serves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from api.app import create_app
from supportly.settings import Settings

INTRO = """# API reference

Made when the site is built, from the service's OpenAPI document (`/openapi.json`). How calls wait, repeat and fail:
[API](api.md).
"""


def page() -> str:
    """The whole page."""
    document = create_app(Settings()).openapi()
    parts = [INTRO]
    tags = [tag["name"] for tag in document["tags"]]
    for tag in tags:
        parts.append(f"## {tag}")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag in operation.get("tags", ()):
                    parts += _operation(method, path, operation)
    return "\n\n".join(parts) + "\n"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {operation['summary']}"
    yield f"`{method.upper()} {path}`"
    yield operation["description"]
    if parameters := operation.get("parameters"):
        rows = [
            f"| `{one['name']}` | {one['in']} | {'yes' if one.get('required') else 'no'} | "
            f"{' '.join(one.get('description', '').split())} |"
            for one in parameters
        ]
        yield "\n".join(["| Parameter | In | Required | Means |", "|---|---|---|---|", *rows])
    for _, body in _json(operation.get("requestBody", {})):
        yield "Body:"
        yield _code(body)
    for status, response in operation["responses"].items():
        for name, example in _json(response):
            yield f"{status}{f', `{name}`' if name else ''}:"
            yield _code(example)
            break  # one example of each status; the others differ in their code


def _json(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values of the examples of a body."""
    media = part.get("content", {}).get("application/json", {})
    if "example" in media:
        yield "", media["example"]
    for name, one in media.get("examples", {}).items():
        yield name, one["value"]


def _code(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"
