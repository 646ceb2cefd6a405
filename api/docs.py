"""The page at /docs: the OpenAPI document as plain HTML, made here, so that it needs neither scripts nor internet."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: 8px; margin: .6rem 0; padding: .5rem .9rem; }
summary { cursor: pointer; } summary b { display: inline-block; width: 4.5rem; font-family: monospace; }
code, pre { font-family: ui-monospace, monospace; font-size: .875rem; }
pre { overflow-x: auto; padding: .7rem; border-radius: 6px;
background: color-mix(in srgb, currentColor 7%, transparent); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem;
border-bottom: 1px solid var(--line); } .what { opacity: .75; margin-left: .5rem; }
"""


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    sections = []
    for tag in document.get("tags", []):
        entries = [
            _operation(path, method, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if tag["name"] in operation.get("tags", [])
        ]
        sections.append(f"<h2>{escape(tag['name'])}</h2><p>{escape(tag.get('description', ''))}</p>{''.join(entries)}")
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{_prose(info.get('description', ''))}"
        f"<p>For tools: <a href='openapi.json'>openapi.json</a></p>{''.join(sections)}</html>"
    )


def _prose(text: str) -> str:
    """Paragraphs, with `code` in backquotes."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        pieces = escape(" ".join(paragraph.split())).split("`")
        paragraphs.append("".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces)))
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = [
        (p["name"], p["in"], p.get("description", ""), "required" if p.get("required") else "")
        for p in operation.get("parameters", [])
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    needed = body.get("schema", {}).get("required", [])
    for name, field in body.get("schema", {}).get("properties", {}).items():
        rows.append((name, "body", field.get("description", ""), "required" if name in needed else ""))
    parts = [_prose(operation.get("description", ""))]
    if rows:
        cells = "".join(
            f"<tr><td><code>{escape(n)}</code><td>{escape(w)}<td>{_prose(d)}<td>{r}</tr>" for n, w, d, r in rows
        )
        parts.append(f"<table>{cells}</table>")
    if "example" in body:
        parts.append(f"<p>Body</p>{_json(body['example'])}")
    parts += [_response(status, response) for status, response in operation["responses"].items()]
    return (
        f"<details id='{escape(operation.get('operationId', ''))}'><summary><b>{method.upper()}</b> "
        f"<code>{escape(path)}</code><span class=what>{escape(operation.get('summary', ''))}</span></summary>"
        f"{''.join(parts)}</details>"
    )


def _response(status: str, response: dict[str, Any]) -> str:
    content = response.get("content", {}).get("application/json", {})
    head = f"<p><code>{escape(status)}</code> {_prose(response.get('description', ''))[3:-4]}</p>"
    if "example" in content:
        return head + _json(content["example"])
    examples = content.get("examples", {}).items()
    listed = "".join(f"<li><code>{escape(code)}</code>: {escape(found['summary'])}" for code, found in examples)
    return f"{head}<ul>{listed}</ul>" if listed else head


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
